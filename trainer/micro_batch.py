"""What the model gets at once: inputs and targets of some windows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gristmill.trainer.loader import Draw
from gristmill.trainer.losses import IGNORED, with_ignored
from gristmill.trainer.objectives import Objective
from gristmill.trainer.positions import positions_in_documents
from gristmill.trainer.settings import DocumentSettings

MARK = 1 << 40
"""What is added to the id of a token that is no target, while an objective moves tokens about."""


@dataclass(frozen=True)
class MicroBatch:
    """Inputs and targets, shape (windows, length) each, int64."""

    ids: Tensor
    targets: Tensor
    prefix: Tensor | None
    """How many first tokens of each row see each other both ways, shape (windows,); None where none do."""
    counted: int
    """Targets that count."""
    sources: Tensor
    """Shape (windows,), int64: index into `Plan.sources` of each window."""
    documents: Tensor | None = None
    """Shape (windows, length): equal numbers for tokens of one document; None where tokens see across documents."""
    positions: Tensor | None = None
    """Shape (windows, length): the place of each token in its document; None where it is that in the window."""

    def to(self, device: torch.device) -> Self:
        """On a device; from pinned memory this returns before it is done, so that memory must stay as it is until then."""
        moved: dict[str, Any] = {name: tensor.to(device, non_blocking=True) for name, tensor in self.tensors().items()}
        return replace(self, **moved)

    def tensors(self) -> dict[str, Tensor]:
        """Those that there are, by field."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if isinstance(value, Tensor)}


def make_micro_batches(
    parts: Sequence[NDArray[np.int64]],
    draw: Draw,
    objective: Objective,
    seed: int,
    *,
    rank: int = 0,
    ranks: int = 1,
    ignored: Sequence[NDArray[np.bool_] | None] | None = None,
    masked: Sequence[NDArray[np.bool_] | None] | None = None,
) -> list[MicroBatch]:
    """What `Loader.rows` read, as the objective makes it.

    Args:
        parts: of `Loader.rows`, each of shape (micro, seq_len + 1).
        draw: the global batch they are of.
        objective: makes examples of windows; its draws depend on the seed, the window and the step.
        seed: of the run.
        rank: as given to `Loader.rows`.
        ranks: as given to `Loader.rows`.
        ignored: of `Loader.ignored`; only the causal objective has such.
        masked: of `Loader.masked`: tokens that are no target, wherever the objective puts them.
    """
    made = []
    none = [None] * len(parts)
    for number, (rows, not_counted, not_learned) in enumerate(zip(parts, ignored or none, masked or none, strict=True)):
        start = (number * ranks + rank) * len(rows)
        sources = torch.from_numpy(draw.sources[start : start + len(rows)].astype(np.int64))
        if objective.settings.name == "causal":
            if not_learned is not None:
                not_counted = not_learned[:, 1:] if not_counted is None else not_counted | not_learned[:, 1:]
            tensor = torch.from_numpy(rows)
            following, counted = tensor[:, 1:], rows.shape[0] * (rows.shape[1] - 1)
            if not_counted is not None:
                following = following.masked_fill(torch.from_numpy(not_counted), IGNORED)
                counted -= int(not_counted.sum())
            made.append(MicroBatch(tensor[:, :-1], following, None, counted, sources))
            continue
        if not_learned is not None:
            rows = rows + MARK * not_learned  # a token keeps its mark wherever it goes
        examples = [
            objective.example(row, (seed, int(draw.sources[start + n]), int(draw.windows[start + n]), draw.step))
            for n, row in enumerate(rows)
        ]
        ids, targets = np.stack([each.ids for each in examples]), np.stack([each.targets for each in examples])
        ids, targets = ids % MARK, np.where(targets >= MARK, IGNORED, targets)
        prefix = None
        if objective.settings.bidirectional_prefix and objective.settings.name != "fill_in_the_middle":
            prefix = torch.tensor([each.prefix for each in examples])
        counted = int((targets >= 0).sum())
        made.append(MicroBatch(torch.from_numpy(ids), torch.from_numpy(targets), prefix, counted, sources))
    return made


def with_documents(
    batches: Sequence[MicroBatch], documents: Sequence[NDArray[np.int32]], settings: DocumentSettings
) -> list[MicroBatch]:
    """Causal micro-batches that tell the model of the documents in their windows.

    Args:
        batches: of `make_micro_batches`.
        documents: of `Loader.documents`, each of shape (micro, seq_len + 1).
        settings: what is told.
    """
    told = []
    for batch, numbers in zip(batches, documents, strict=True):
        of = torch.from_numpy(numbers)
        inputs, targets = of[:, :-1], batch.targets
        if settings.first_token == "ignore":
            targets = with_ignored(targets, documents=of)
        told.append(
            replace(
                batch,
                targets=targets,
                counted=int((targets != IGNORED).sum()),
                documents=inputs if settings.mask else None,
                positions=positions_in_documents(inputs) if settings.positions == "document" else None,
            )
        )
    return told
