"""The commands `gristmill train ...`: training itself, and questions about a model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

from cyclopts import App, Parameter

from gristmill.pipeline.cli_shared import AsJson, Sets, print_table, show_json
from gristmill.pipeline.errors import GuardrailStop, TaskFailed, UserError

train_app = App(
    name="train",
    help="Train a model on token shards, and ask what a model is like. An output folder with a checkpoint is continued.\n\n"
    "Example: gristmill train tiny --set data=out/web/shards steps=20 schedule.steps=20 --output out/tiny",
)


Plain = Annotated[bool, Parameter(name="--plain", negative="", show_default=False)]


@contextmanager
def told() -> Iterator[None]:
    """What is wrong with a configuration or its model is the user's to mend; so is a missing PyTorch."""
    from gristmill.trainer.config import ConfigError

    try:
        yield
    except ModuleNotFoundError as error:
        if error.name not in ("torch", "safetensors"):
            raise
        raise UserError(f"training needs {error.name}, which is not installed: pip install 'gristmill[train]'") from None
    except ConfigError as error:
        raise UserError(str(error)) from error


def _show(result: dict[str, Any], as_json: bool) -> None:
    if as_json:
        show_json(result)
    else:
        print_table([{"setting": key, "value": value} for key, value in result.items()])


@train_app.default
def train(config: str, /, *, set: Sets = (), output: str | None = None, plain: Plain = False, as_json: AsJson = False) -> None:
    """Train a model on token shards; torchrun and srun start it on several processes.

    Example: torchrun --nproc-per-node 2 -m gristmill.pipeline train tiny --set data=out/web/shards parallel.data=fsdp

    Args:
        config: a file, or the name of a shipped one such as tiny.
        set: changes to the settings, each PATH=VALUE.
        output: folder for checkpoints and metrics.jsonl; default: runs/ and the name of the configuration.
        plain: show lines of progress also on a terminal, not a table.
        as_json: print what it came to as JSON.
    """
    with told():
        from gristmill.trainer.train import Diverged
        from gristmill.trainer.train import train as start
        from gristmill.trainer.world import OthersGone, ToldElsewhere, wait_for_the_first

        try:
            result = start(config, set, output, plain=plain)
        except Diverged as error:
            raise GuardrailStop(str(error)) from error
        except OthersGone as error:
            raise TaskFailed(str(error)) from None
        except ToldElsewhere:
            wait_for_the_first()
            raise SystemExit(2) from None
    if result:  # of several processes, the first has one
        _show(result, as_json)


@train_app.command(name="describe")
def train_describe(config: str, /, *, set: Sets = (), as_json: AsJson = False) -> None:
    """Count a model's parameters and what a token of training costs; nothing is trained and no data is read.

    Example: gristmill train describe llama3-8b

    Args:
        config: a file, or the name of a shipped one.
        set: changes to the settings, each PATH=VALUE.
        as_json: print JSON.
    """
    with told():
        from gristmill.trainer.describe import describe

        result = describe(config, set)
    _show(result, as_json)


@train_app.command(name="average")
def train_average(*checkpoints: str, output: str, running: bool = False, as_json: AsJson = False) -> None:
    """Write a folder whose checkpoint holds the mean weights of several of one run, or of runs of one model.

    Example: gristmill train average out/tiny/checkpoints/step-00000200 out/tiny/checkpoints/step-00000300 --output out/mean

    Args:
        checkpoints: folders that training wrote, two or more.
        output: the folder to write; `gristmill train export` takes it.
        running: take the running averages that they hold (average_decay), not the weights.
        as_json: print JSON.
    """
    from pathlib import Path

    with told():
        from gristmill.trainer.averaging import average

        try:
            result = average([Path(one) for one in checkpoints], Path(output), running=running)
        except (ValueError, FileNotFoundError) as error:
            raise UserError(str(error)) from error
    _show(result, as_json)


@train_app.command(name="coordinate-check")
def train_coordinate_check(
    config: str,
    /,
    *,
    set: Sets = (),
    widths: tuple[int, ...] = (),
    steps: int = 5,
    learning_rate: float = 0.01,
    without: bool = False,
    as_json: AsJson = False,
) -> None:
    """Show how large activations grow in the first steps at several widths: with muP they do not depend on the width.

    Example: gristmill train coordinate-check tiny --widths 128 256 512

    Args:
        config: a file, or the name of a shipped one; its width is the base width.
        set: changes to the settings, each PATH=VALUE.
        widths: to compare; the model's, and 2 and 4 times that, by default.
        steps: updates.
        learning_rate: of Adam, at the base width.
        without: leave muP out, to see what it does.
        as_json: print JSON.
    """
    with told():
        from gristmill.trainer.describe import check_coordinates

        rows = check_coordinates(config, set, widths=widths, steps=steps, learning_rate=learning_rate, mup=not without)
    if as_json:
        show_json(rows)
    else:
        print_table([{key: f"{value:.4g}" if isinstance(value, float) else value for key, value in row.items()} for row in rows])


@train_app.command(name="evaluate")
def train_evaluate(
    model: str,
    /,
    *,
    task: tuple[str, ...] = (),
    question: str | None = None,
    choices: str | None = None,
    answer: str | None = None,
    prompt: str | None = None,
    items: int | None = None,
    clean: str | None = None,
    data: str | None = None,
    tokens: int | None = None,
    step: int | None = None,
    average: bool = False,
    tokenizer: str | None = None,
    device: str = "auto",
    as_json: AsJson = False,
) -> None:
    """Put multiple-choice questions and held-out documents to a model; without --task and --data, what its training asked.

    Example: gristmill train evaluate out/tiny --task piqa.jsonl.gz --task arc_easy.jsonl.gz --clean RUN/contamination.json

    Args:
        model: output folder of a training, a checkpoint in it, or a folder with config.json and model.safetensors.
        task: files of items, JSON lines; the name of a known set (piqa.jsonl) says what its fields are.
        question: field of the question, in all of these files.
        choices: field of the list of choices.
        answer: field of the right choice: its text, its number from 0 or its letter.
        prompt: what the model reads before a choice, {question} in it.
        items: at most so many of each file, by a hash of their ids.
        clean: contamination.json of a run, or the run: only items that it calls clean.
        data: held-out token shards, held_out/ of a run.
        tokens: at most about so many of each source of the data.
        step: of the checkpoint; the newest by default.
        average: take the running average of the weights.
        tokenizer: a tokenizer.json, where that of the training's shards is gone.
        device: auto, cpu or cuda.
        as_json: print JSON.
    """
    with told():
        from pydantic import ValidationError

        from gristmill.trainer.evaluate import evaluate
        from gristmill.trainer.settings import TaskSettings

        fields = {"question": question, "choices": choices, "answer": answer, "prompt": prompt, "items": items, "clean": clean}
        try:
            asked = [TaskSettings.model_validate({"file": file, **fields}) for file in task]
            result = evaluate(
                model, tasks=asked, data=data, tokens=tokens, step=step, average=average, tokenizer=tokenizer, device=device
            )
        except FileNotFoundError as error:
            raise UserError(str(error)) from error
        except ValidationError as error:
            lines = [
                f"--{'-'.join(map(str, one['loc'])) or 'task'}: {one['msg'].removeprefix('Value error, ')}"
                for one in error.errors()
            ]
            raise UserError("\n".join(dict.fromkeys(lines))) from error
    if as_json:
        show_json(result)
        return
    print(result["model"])
    costs = result.get("held_out", {}).items()
    print_table([{"held out": name, "bits_per_byte": None} | _rounded(row) for name, row in costs])
    print_table([{"task": name} | _rounded(row) for name, row in result.get("tasks", {}).items()])


def _rounded(row: dict[str, Any]) -> dict[str, Any]:
    return {key: f"{value:.4f}" if isinstance(value, float) else value for key, value in row.items()}


@train_app.command(name="export")
def train_export(run: str, folder: str, /, *, step: int | None = None, as_json: AsJson = False) -> None:
    """Write a checkpoint as config.json and model.safetensors, as `transformers` reads them.

    Example: gristmill train export out/tiny out/tiny-hf

    Args:
        run: output folder of a training.
        folder: to write; must not hold a model.
        step: of the checkpoint; the newest by default.
        as_json: print JSON.
    """
    with told():
        from gristmill.trainer.describe import export_run

        result = export_run(run, folder, step)
    _show(result, as_json)


@train_app.command(name="size")
def train_size(*, flops: float, unique_tokens: float | None = None, as_json: AsJson = False) -> None:
    """Show how large a model, how many tokens, what batch and learning rate a budget is for, by several published laws.

    Example: gristmill train size --flops 1e19 --unique-tokens 2e8

    Args:
        flops: operations of the whole training, forward and backward.
        unique_tokens: how many the data has; shows what repeating them comes to.
        as_json: print JSON.
    """
    from gristmill.trainer.sizing import report

    try:
        rows = report(flops, unique_tokens=unique_tokens)
    except ValueError as error:
        raise UserError(str(error)) from error
    if as_json:
        show_json(rows)
        return
    numbers = ("parameters", "tokens", "loss", "flops_a_token", "batch_tokens", "learning_rate", "steps")
    shown = [{"law": row["law"]} | {key: _brief(row[key]) for key in numbers} | {"config": row["config"]} for row in rows]
    print_table(shown)
    print()
    for row in rows:
        print(f"{row['law']}: {'; '.join(row[key] for key in ('source', 'uncertain', 'note') if row[key])}")
    print("config: the shipped configuration of the nearest size.")


def _brief(value: float | None) -> str | None:
    return None if value is None else f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


@train_app.command(name="which")
def train_which(run: str, /, *, step: int, rank: int = 0, ranks: int = 1, as_json: AsJson = False) -> None:
    """Show the documents that a step of a training read, with their ids in the run that made the shards.

    Example: gristmill train which out/tiny --step 12

    Args:
        run: output folder of a training.
        step: from 1.
        rank: whose share of the batch, from 0.
        ranks: in how many shares the batch is cut.
        as_json: print JSON.
    """
    from gristmill.pipeline.training_documents import with_ids

    with told():
        from gristmill.trainer.which import which

        try:
            found = which(run, step, rank=rank, ranks=ranks)
        except FileNotFoundError as error:
            raise UserError(str(error)) from error
    found["documents"] = with_ids(found["documents"])
    if as_json:
        show_json(found)
        return
    agrees = {True: "as in the log", False: "NOT the log's: the training read something else", None: "the log does not reach it"}
    print(f"step {found['step']:,}  order {found['order_hash']}  {agrees[found['in_log']]}")
    shown = ("window_of_batch", "source", "window", "doc_id", "url", "tokens", "first_token", "document_tokens", "run")
    print_table([{key: row[key] for key in shown} | {"doc_id": row["doc_id"] or row["doc_hash"]} for row in found["documents"]])


@train_app.command(name="report")
def train_report(*runs: str, output: str, as_json: AsJson = False) -> None:
    """Draw the curves of several trainings into one HTML file that needs no network.

    Example: gristmill train report out/a out/b --output curves.html

    Args:
        runs: output folders of trainings.
        output: the file to write.
        as_json: print JSON.
    """
    if not runs:
        raise UserError("give the output folders of one or more trainings")
    with told():
        from gristmill.trainer.report import report

        try:
            result = report(runs, output)
        except OSError as error:
            raise UserError(str(error)) from error
    _show(result, as_json)
