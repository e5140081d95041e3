"""What a training run reads: a folder of token shards, or the plan of a mixture over several."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from gristmill.tokenizers.manifest import ShardError
from gristmill.tokenizers.mixture_plan import MixturePlan, MixtureShards, open_mixture
from gristmill.tokenizers.shards import open_shards
from gristmill.trainer import mixture
from gristmill.trainer.config import ConfigError
from gristmill.trainer.packing import told
from gristmill.trainer.plan import Plan, Sources
from gristmill.trainer.settings import TrainSettings


def settle(settings: TrainSettings, say: Callable[[str], None]) -> tuple[Sources, Plan, int]:
    """Open the data and settle what is read from it.

    Args:
        settings: of the run; `data` is a folder of token shards, or the file of a mixture's plan.
        say: takes what the user should know.

    Returns:
        The data, the plan, and the step to stop at.

    Raises:
        FileNotFoundError: no such data.
        ConfigError: it cannot be read, was changed since it was planned, or has too few tokens.
    """
    file = Path(settings.data)
    try:
        if file.suffix in (".yaml", ".yml"):
            plan = file.with_suffix(".plan.json")
            raise ConfigError(
                f"{file}: is a mixture; plan it (gristmill mixture plan {file} --output {plan}) and set data={plan}"
            )
        if file.is_file() or file.suffix == ".json":
            return _mixture(settings, open_mixture(file, verify=settings.verify), say)
        return _folder(settings, say)
    except ShardError as error:
        raise ConfigError(str(error)) from error
    except mixture.Shortage as error:
        raise ConfigError(f"{settings.data}: too few tokens for {settings.steps:,} steps\n{error}") from error
    except ConfigError:
        raise
    except ValueError as error:
        raise ConfigError(f"{settings.data}: {error}") from error


def _folder(settings: TrainSettings, say: Callable[[str], None]) -> tuple[Sources, Plan, int]:
    shards = open_shards(settings.data, verify=settings.verify)
    weights: dict[str, float] = dict(settings.mixture or {})
    if settings.mixture is None:
        weights, left_out = mixture.default_weights(shards, settings.seq_len, shards.manifest.mixture, settings.packing)
        if left_out:
            say(f"left out, shorter than one window: {', '.join(left_out)}")
    plan = _plan(settings, shards, weights, (), say)
    changed, steps, told = mixture.fit_to_available(
        plan, settings.steps, max_epochs=settings.max_epochs, on_shortage=settings.on_shortage
    )
    if changed:
        plan = plan.with_shares(changed)
    if told:
        say(told)
    return shards, plan, steps


def _mixture(settings: TrainSettings, shards: MixtureShards, say: Callable[[str], None]) -> tuple[Sources, Plan, int]:
    """A plan's own shares, phases and caps hold: `max_epochs` and `on_shortage` were settled when it was made."""
    if settings.mixture is not None:
        raise ConfigError(
            f"{settings.data}: is a plan and gives the shares itself; leave out mixture, or change the mixture's file"
        )
    first, *later = shards.plan.phases
    names = list(shards.streams)
    shares = [{name: float(phase.sources.get(name, 0)) for name in names} for phase in (first, *later)]
    plan = _plan(settings, shards, shares[0], [(phase.start, share) for phase, share in zip(later, shares[1:], strict=True)], say)
    read, most = plan.targets_before(settings.steps), plan.steps_within(shards.plan.tokens)
    if settings.steps > most:
        raise ConfigError(
            f"{settings.data}: plans {shards.plan.tokens:,} tokens, {settings.steps:,} steps{_batches(plan)} read {read:,}; "
            f"set steps={most} or less, or plan more tokens"
        )
    if unreached := [phase.name for phase in later if phase.start >= read]:
        say(f"{settings.steps:,} steps end before {', '.join(unreached)}; the whole plan has {most:,}")
    for line in _more_epochs(shards.plan, plan):
        say(line)
    return shards, plan, settings.steps


def _plan(
    settings: TrainSettings,
    shards: Sources,
    shares: Mapping[str, float],
    later: Sequence[tuple[int, Mapping[str, float]]],
    say: Callable[[str], None],
) -> Plan:
    plan = Plan.of(
        shards,
        shares,
        seq_len=settings.seq_len,
        windows=settings.windows,
        later=later,
        packing=settings.packing,
        ramp=settings.ramp,
    )
    for name, packed in zip(plan.sources, plan.packed, strict=bool(plan.packed)):
        say(told(name, plan.packing, packed, len(shards.streams[name])))
    return plan


def _more_epochs(mixture_plan: MixturePlan, plan: Plan) -> list[str]:
    """Sources that are read more often than the mixture allows, because packing leaves out some of their tokens, a line each."""
    targets = dict(zip(plan.sources, plan.targets, strict=True))
    return [
        f"{one.source}: {one.tokens:,} tokens are {one.tokens / targets[one.source]:.2f} epochs of what {plan.packing} leaves "
        f"of it, the mixture allows {one.max_epochs:g}; plan again with a larger max_epochs or fewer tokens, unless that is meant"
        for one in mixture_plan.sources
        if plan.packed and one.tokens > targets.get(one.source, one.tokens) * one.max_epochs
    ]


def _batches(plan: Plan) -> str:
    return "" if plan.ramp or plan.padded else f" of {plan.windows * plan.seq_len:,}"
