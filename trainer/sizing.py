"""How large a model, how many tokens, what batch and learning rate a budget of operations is for, by published laws.

C is the budget in FLOPs, N parameters, D tokens. Laws disagree, and were fitted on budgets of their own; each is told with its
source and with what is not certain about its constants.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

RECALLED = "UNVERIFIED: constants from memory"
SECOND_HAND = "constants second-hand, not read in the paper"


@dataclass(frozen=True)
class Size:
    """What one law says."""

    law: str
    source: str
    uncertain: str | None = None
    """What about the numbers was not checked; None where they are those of the paper."""
    parameters: float | None = None
    tokens: float | None = None
    unique_tokens: float | None = None
    """What the tokens are read from, where repeats are counted."""
    loss: float | None = None
    """Nats a token; of the law's own data and tokenizer, so comparable within a law alone."""
    batch_tokens: float | None = None
    learning_rate: float | None = None
    flops_a_token: float | None = None
    """Where the law speaks of these in place of parameters: forward and backward, without embedding and head."""
    note: str | None = None


@dataclass(frozen=True)
class Surface:
    """L = E + A / N^alpha + B / D^beta."""

    e: float
    a: float
    b: float
    alpha: float
    beta: float

    def loss(self, parameters: float, tokens: float) -> float:
        """Nats a token."""
        return self.e + self.a * math.pow(parameters, -self.alpha) + self.b * math.pow(tokens, -self.beta)

    def best(self, flops: float) -> tuple[float, float]:
        """Parameters and tokens of the lowest loss with C = 6 N D; Hoffmann et al. 2022, eq. 4."""
        ratio = (self.alpha * self.a / (self.beta * self.b)) ** (1 / (self.alpha + self.beta))
        parameters = ratio * (flops / 6) ** (self.beta / (self.alpha + self.beta))
        return parameters, flops / 6 / parameters


CHINCHILLA = Surface(1.69, 406.4, 410.7, 0.34, 0.28)
EPOCH = Surface(1.82, 482.0, 2085.0, 0.348, 0.366)
REPEATED = Surface(math.exp(0.6255), math.exp(6.2554), math.exp(7.3049), 0.3527, 0.3527)
TOKEN_DECAY, PARAMETER_DECAY = 15.39, 5.31
"""R_D* and R_N*: after about so many repeats a token, or an excess parameter, is worth 1/e of a first one."""


def sizes(flops: float, *, unique_tokens: float | None = None) -> list[Size]:
    """What the laws say of a budget.

    Args:
        flops: of the whole training, forward and backward.
        unique_tokens: how many there are; what repeating them comes to is worked out too.

    Raises:
        ValueError: a number that is not positive.
    """
    if not (flops > 0 and math.isfinite(flops)):
        raise ValueError(f"flops is {flops:g}; give the operations of the whole training, 1e19 say")
    if unique_tokens is not None and not (unique_tokens > 0 and math.isfinite(unique_tokens)):
        raise ValueError(f"unique tokens are {unique_tokens:g}; give how many the data has, 2e9 say")
    parameters, tokens = rule_of_20(flops)
    found = [
        Size(
            "20 tokens a parameter",
            "Hoffmann et al. 2022, arXiv:2203.15556, as it is mostly quoted",
            None,
            parameters,
            tokens,
            note="the laws below that take N and D take these",
        ),
        _by_surface(
            "chinchilla",
            CHINCHILLA,
            flops,
            "Hoffmann et al. 2022, arXiv:2203.15556, approach 3",
            "the published constants are rounded, which moves the result",
        ),
        _by_surface("chinchilla, refitted", EPOCH, flops, "Besiroglu et al. 2024 (Epoch), arXiv:2404.10102", RECALLED),
        deepseek(flops),
        step_law(parameters, tokens),
        olmo_ladder(parameters, tokens),
        critical_batch(tokens),
    ]
    return found if unique_tokens is None else [*found, data_constrained(flops, unique_tokens)]


def rule_of_20(flops: float) -> tuple[float, float]:
    """Parameters and tokens with D = 20 N and C = 6 N D."""
    parameters = math.sqrt(flops / 120)
    return parameters, 20 * parameters


def _by_surface(law: str, surface: Surface, flops: float, source: str, uncertain: str) -> Size:
    parameters, tokens = surface.best(flops)
    return Size(law, source, uncertain, parameters, tokens, loss=surface.loss(parameters, tokens))


def deepseek(flops: float) -> Size:
    """Allocation, batch and rate of DeepSeek LLM, fitted on budgets from 1e17 to 3e20."""
    return Size(
        "deepseek",
        "DeepSeek-AI 2024, arXiv:2401.02954, sec. 3",
        f"{RECALLED} for the allocation; {SECOND_HAND}, for batch and rate",
        tokens=5.8316 * flops**0.4757,
        batch_tokens=0.2920 * flops**0.3271,
        learning_rate=0.3118 * flops**-0.1250,
        flops_a_token=0.1715 * flops**0.5243,
        note="C = M D, M the FLOPs a token without embedding and head",
    )


def step_law(parameters: float, tokens: float) -> Size:
    """Batch and rate by the Step Law; its N leaves out embeddings."""
    return Size(
        "step law",
        "Li et al. 2025, arXiv:2503.04715",
        SECOND_HAND,
        parameters,
        tokens,
        batch_tokens=0.58 * tokens**0.571,
        learning_rate=1.79 * parameters**-0.713 * tokens**0.307,
    )


def olmo_ladder(parameters: float, tokens: float) -> Size:
    """Batch and rate of OLMo's ladder of model sizes."""
    scale = parameters / 108e6
    batch = 2048 * 160 * scale ** (2 / 3)
    beta2 = 0.95 if batch >= 524_288 else 0.99
    return Size(
        "olmo ladder",
        "OLMo-core's model ladder",
        "constants read in its code; its recipe of today halves the rate",
        parameters,
        tokens,
        batch_tokens=batch,
        learning_rate=0.0047 * scale ** (-1 / 3),
        note=f"beta2 {beta2}, warm-up over {parameters:.3g} tokens, decay over the last 10%",
    )


def critical_batch(tokens: float) -> Size:
    """The batch at which 20% more steps' worth of tokens are needed than with small ones."""
    return Size(
        "critical batch",
        "Zhang et al. 2024, arXiv:2410.21676",
        RECALLED,
        tokens=tokens,
        batch_tokens=22.91 * tokens**0.47,
        note="beyond it, larger batches cost tokens",
    )


def effective_tokens(tokens: float, unique: float) -> float:
    """What tokens read from fewer unique ones are worth in fresh ones."""
    repeats = max(0.0, tokens / unique - 1)
    return min(tokens, unique) + unique * TOKEN_DECAY * -math.expm1(-repeats / TOKEN_DECAY)


def effective_parameters(parameters: float, unique: float) -> float:
    """What parameters are worth, when there are more than so many unique tokens call for."""
    # alpha = beta: N / D of the lowest loss is the same at every budget
    enough = unique * math.pow(REPEATED.a / REPEATED.b, 2 / (REPEATED.alpha + REPEATED.beta))
    excess = max(0.0, parameters / enough - 1)
    return min(parameters, enough) + enough * PARAMETER_DECAY * -math.expm1(-excess / PARAMETER_DECAY)


def constrained_loss(parameters: float, tokens: float, unique: float) -> float:
    """Nats a token after reading so many tokens out of so many unique ones."""
    return REPEATED.loss(effective_parameters(parameters, unique), effective_tokens(tokens, unique))


def data_constrained(flops: float, unique: float) -> Size:
    """The lowest loss of a budget where data must be repeated."""

    def loss(log_parameters: float) -> float:
        parameters = math.exp(log_parameters)
        return constrained_loss(parameters, flops / 6 / parameters, unique)

    # falls, then rises: the lowest loss lies within some orders of magnitude around the unconstrained one
    middle = math.log(REPEATED.best(flops)[0])
    parameters = math.exp(_lowest(loss, middle - 12, middle + 12))
    tokens = flops / 6 / parameters
    fresh = effective_tokens(tokens, unique)
    return Size(
        "data-constrained",
        "Muennighoff et al. 2023, arXiv:2305.16264, eqs. 5 to 7",
        "constants read in the authors' code",
        parameters,
        tokens,
        unique_tokens=unique,
        loss=constrained_loss(parameters, tokens, unique),
        note=f"{tokens / unique:.2g} epochs, worth {fresh:.3g} fresh tokens",
    )


def _lowest(function: Callable[[float], float], low: float, high: float) -> float:
    """Where a function with one valley is lowest, by golden sections."""
    golden = (math.sqrt(5) - 1) / 2
    for _ in range(100):
        first, second = high - golden * (high - low), low + golden * (high - low)
        low, high = (low, second) if function(first) <= function(second) else (first, high)
    return (low + high) / 2


VOCABULARY = 32_768
"""Assumed for shipped configurations that leave it to the data."""


def report(flops: float, *, unique_tokens: float | None = None) -> list[dict[str, Any]]:
    """`sizes` as rows, each with `steps` (where there is a batch) and the shipped configuration nearest to it, `config`.

    Raises:
        ValueError: as `sizes`.
    """
    known = _shipped()
    rows = []
    for size in sizes(flops, unique_tokens=unique_tokens):
        row = asdict(size)
        row["steps"] = None if not size.batch_tokens or not size.tokens else max(1, round(size.tokens / size.batch_tokens))
        measure, wanted = ("flops", size.flops_a_token) if size.flops_a_token else ("parameters", size.parameters)
        row["config"] = None
        if wanted:
            row["config"] = min(known, key=lambda name: (abs(math.log(known[name][measure] / wanted)), name))
        rows.append(row)
    return rows


def _shipped() -> dict[str, dict[str, float]]:
    """Parameters, and FLOPs a token without embedding and head, of the shipped configurations; of experts those in use."""
    from gristmill.trainer import flops
    from gristmill.trainer.config import read_config, shipped

    found: dict[str, dict[str, float]] = {}
    for name in shipped():
        settings = read_config(name, ["data=unread"])
        of = settings.model
        rows = of.vocab_size or VOCABULARY
        head = rows * of.width
        found[name] = {
            "parameters": flops.matmul_weights(of, rows) + (0 if of.tied else head),
            "flops": flops.flops_per_token(of, rows, settings.seq_len) - 6 * head,
        }
    return found
