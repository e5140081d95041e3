"""The command line: each command calls one function and prints one result.

Results go to stdout, progress and messages to stderr. `--help` loads neither Arrow nor Dask nor torch: what a command needs
is imported when it runs.
"""

from __future__ import annotations

import errno
import os
import sys
import traceback
from collections.abc import Sequence

from cyclopts import App, CycloptsError, Parameter

from gristmill.pipeline.cli_classifier import classifier_app
from gristmill.pipeline.cli_embeddings import embeddings_app
from gristmill.pipeline.cli_export import export
from gristmill.pipeline.cli_forget import forget
from gristmill.pipeline.cli_importance import importance_app
from gristmill.pipeline.cli_inspect import funnel, sample, whatif, why
from gristmill.pipeline.cli_lists import lists_app
from gristmill.pipeline.cli_mixture import mixture_app
from gristmill.pipeline.cli_perplexity import perplexity_app
from gristmill.pipeline.cli_recipe import recipe_app
from gristmill.pipeline.cli_run import clean, plan, run
from gristmill.pipeline.cli_shards import shards_app
from gristmill.pipeline.cli_stage import offer_stages, stage_app, with_mappings_as_json
from gristmill.pipeline.cli_tokenizer import tokenizer_app
from gristmill.pipeline.cli_tools import demo_crawl, models_app
from gristmill.pipeline.cli_train import train_app
from gristmill.pipeline.errors import GuardrailStop, TaskFailed, UserError
from gristmill.stages.stage import StageUnavailable

DONE, FAILED, USER_ERROR, GUARDRAIL, READER_GONE, INTERRUPTED = 0, 1, 2, 3, 141, 130
"""Exit statuses; the last two as shells count a closed pipe and Ctrl-C."""

USER_ERRNOS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.ENAMETOOLONG})
USER_OS_ERRORS = (FileNotFoundError, FileExistsError, NotADirectoryError, IsADirectoryError, PermissionError)
"""Failures of the system that the user can mend: disk full, no such file, no permission."""


def _version() -> str:
    from importlib.metadata import version

    return version("gristmill")


app = App(
    name="gristmill",
    help="Raw crawls go in, tokens to train on come out, and every document's fate can be explained.\n\n"
    "Begin with: gristmill demo-crawl demo.warc.gz && gristmill run demo --input demo.warc.gz --output demo-run",
    version=_version,
    help_format="plaintext",
    # several values may follow one flag: --input a.warc.gz b.warc.gz
    default_parameter=Parameter(consume_multiple=True, show_env_var=False),
    suppress_keyboard_interrupt=False,
)
for _command in (run, plan, clean, forget, funnel, why, sample, whatif, export, demo_crawl):
    app.command(_command)
for _group in (
    stage_app,
    recipe_app,
    mixture_app,
    tokenizer_app,
    classifier_app,
    embeddings_app,
    perplexity_app,
    importance_app,
    shards_app,
    train_app,
    models_app,
    lists_app,
):
    app.command(_group)


def main() -> None:
    """The console script `gristmill`."""
    try:
        sys.exit(exit_status(sys.argv[1:]))
    except BaseException as ending:
        # one of several processes of a training must not wind up the interpreter
        if (world := sys.modules.get("gristmill.trainer.world")) is not None:
            world.leave(ending)
        raise


def exit_status(arguments: Sequence[str]) -> int:
    """Carry out a command line.

    Returns:
        0 done, 2 the user's mistake, 3 stopped by a guardrail, 130 stopped by Ctrl-C, 1 anything else. Of all but the last,
        one message is printed and no traceback.
    """
    try:
        if arguments[:1] == ["stage"]:
            offer_stages(arguments[1:])
            arguments = with_mappings_as_json(arguments)
        app(list(arguments), exit_on_error=False, print_error=False, result_action="return_value")
        if sys.stdout is not None:  # `gristmill ... >&-`
            sys.stdout.flush()
        return DONE
    except CycloptsError as error:
        return _told(_usage(error, arguments), USER_ERROR)
    except (UserError, StageUnavailable) as error:
        return _told(str(error), USER_ERROR)
    except GuardrailStop as error:
        return _told(str(error), GUARDRAIL)
    except TaskFailed as error:
        # where the stage's code failed, for who can mend it; nothing of ours is in between
        if (cause := error.__cause__) is not None and type(cause).__name__ != "KilledWorker":
            traceback.print_exception(cause, file=sys.stderr)
        return _told(str(error), FAILED)
    except KeyboardInterrupt:
        return _told("stopped; give the same command again to go on from what is finished", INTERRUPTED)
    except BrokenPipeError:  # `gristmill ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return READER_GONE
    except OSError as error:
        if error.errno not in USER_ERRNOS and not isinstance(error, USER_OS_ERRORS):
            raise
        return _told(_os_error(error), USER_ERROR)


def _told(message: str, status: int) -> int:
    print(message, file=sys.stderr, flush=True)
    return status


def _os_error(error: OSError) -> str:
    """Where the system failed, and what the user can do."""
    if error.errno is None:  # raised by the package, with a message of its own
        return str(error)
    full = "free some space or choose another place, and give the same command again: what is finished is kept"
    denied = "check its permissions, or choose another place"
    advice = {errno.ENOSPC: full, errno.EDQUOT: full, errno.EROFS: denied, errno.EACCES: denied, errno.EPERM: denied}
    where = f"{error.filename}: " if error.filename is not None else ""
    return f"{where}{(error.strerror or os.strerror(error.errno)).lower()}; {advice.get(error.errno, 'check the path')}"


def _flag(place: tuple[int | str, ...]) -> str:
    """The flag that a mistake is in; nothing where it is about several."""
    # <table>, literal[...], constrained-float and the like name branches of a union, not what was typed
    branches = ("str", "int", "float", "bool")
    names = [part for part in map(str, place) if part.removeprefix("constrained-") not in branches and part[0] != "<"]
    names = [part for part in names if "[" not in part]
    return f"--{'.'.join(names).replace('_', '-')}: " if names else ""


def _usage(error: CycloptsError, arguments: Sequence[str]) -> str:
    """What is wrong with the words of a command, and where its help is."""
    from pydantic import ValidationError

    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ValidationError):
        cause = cause.__cause__ or cause.__context__
    if isinstance(cause, ValidationError):
        from gristmill.pipeline.recipe_errors import shown

        told: dict[str, list[str]] = {}
        for found in cause.errors():
            # a value that fits no branch of a union fails once for each
            message = found["msg"].removeprefix("Value error, ").replace("Input should", f"is {shown(found['input'])}; should")
            told.setdefault(_flag(found["loc"]), []).append(message)
        said = "\n".join(flag + "; or ".join(dict.fromkeys(messages)) for flag, messages in told.items())
    else:
        said = " ".join(str(error).split())
    names: list[str] = []
    for word in arguments[:2]:
        group = app[names[0]] if names else app
        if word not in list(group):
            break
        names.append(word)
    return f"{said}\nSee: {' '.join(['gristmill', *names, '--help'])}"
