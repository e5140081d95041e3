"""Multiple-choice questions, answered by how likely the model finds each choice."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gristmill.tokenizers.encoding import Encoder
from gristmill.trainer.config import ConfigError
from gristmill.trainer.losses import IGNORED
from gristmill.trainer.model import Decoder
from gristmill.trainer.positions import positions_in_documents
from gristmill.trainer.settings import DocumentSettings, TaskSettings
from gristmill.trainer.tasks import Item, read_items
from gristmill.trainer.world import World

LENGTH_STEP = 32
"""Inputs are padded to multiples of this, so that compiled models see few shapes."""


@dataclass(frozen=True)
class Request:
    """One choice of one item, as tokens."""

    item: int
    choice: int
    tokens: NDArray[np.int64]
    """An end-of-text token, the prompt and the choice; at most one more than the model's inputs."""
    scored: int
    """How many of the last tokens are the choice's."""


class Task:
    """The items of one file, ready to be scored.

    A choice's score is the sum of the log-likelihoods of its tokens, given the prompt and a space. `accuracy` takes the choice of
    the highest score, `accuracy_norm` the highest score a byte of the choice, `accuracy_token` the highest a token.
    Source: lm-eval's acc and acc_norm (which divides by characters); a token: Brown et al. 2020, arXiv:2005.14165, sec. 2.4.
    As in training, a text begins after an end-of-text token; lm-eval gives models without a token of their own for it none.
    """

    def __init__(
        self,
        settings: TaskSettings,
        encoder: Encoder,
        length: int,
        documents: DocumentSettings | None = None,
        say: Callable[[str], None] = print,
    ) -> None:
        """Read and tokenize the items.

        Args:
            settings: which items.
            encoder: of the model.
            length: most tokens of an input. Longer prompts lose their beginnings; an item with a longer choice is left out.
            documents: what the model is told of documents in training, and so here: an item is one.
            say: takes how many were cut and left out.

        Raises:
            FileNotFoundError: no such file.
            ConfigError: items cannot be read, or none of them fits.
        """
        self.name, self.length, self.documents = settings.called, length, documents or DocumentSettings()
        self._eos = encoder.eos_id
        self.items: list[Item] = []
        self.requests: list[Request] = []
        self.cut = self.left_out = 0
        for item, pairs in _encoded(read_items(settings), encoder):
            if any(len(tokens) - shared > length for tokens, shared in pairs):
                self.left_out += 1
                continue
            self.cut += any(len(tokens) - 1 > length for tokens, _ in pairs)
            for choice, (tokens, shared) in enumerate(pairs):
                self.requests.append(Request(len(self.items), choice, tokens[-length - 1 :], len(tokens) - shared))
            self.items.append(item)
        if not self.items:
            raise ConfigError(
                f"{settings.file}: all {self.left_out:,} items have choices longer than an input of {length} tokens"
            )
        if self.cut or self.left_out:
            say(
                f"{self.name}: of {len(self.items) + self.left_out:,} items, {self.cut:,} lose the beginning of their prompt and "
                f"{self.left_out:,} are left out: an input has {length} tokens"
            )
        # like lengths together; longest first, so that memory runs out at once if it does
        self.requests.sort(key=lambda request: (-len(request.tokens), request.item, request.choice))

    def measure(
        self,
        model: Decoder,
        device: torch.device,
        precision: Callable[[], AbstractContextManager[Any]],
        tokens_at_once: int,
        world: World | None = None,
    ) -> dict[str, float]:
        """Score all items.

        Args:
            model: as it stands; nothing of it, nor of the random state, changes.
            device: where it is.
            precision: makes the context in which the model is called.
            tokens_at_once: most positions on the device, as long as one input fits.
            world: the processes of the run, which share the choices and all come to the same result; this one alone when None.

        Returns:
            `accuracy`, `accuracy_norm`, `accuracy_token`; `chance`, what guessing comes to; `answer_bits_per_byte`, of the right
            choices, which moves where accuracies still stand at chance; `items`, `cut`, `left_out`.
        """
        return self._told(self.scores(model, device, precision, tokens_at_once, world))

    def scores(
        self,
        model: Decoder,
        device: torch.device,
        precision: Callable[[], AbstractContextManager[Any]],
        tokens_at_once: int,
        world: World | None = None,
    ) -> list[list[float]]:
        """The log-likelihood of each choice of each item, nats; see `measure`."""
        found = [[0.0] * len(item.choices) for item in self.items]
        world = world or World()
        # fetched at the end: the device goes on working meanwhile
        all_costs = torch.zeros(len(self.requests), dtype=torch.float64, device=device)
        with torch.no_grad():
            for (start, batch), mine in world.dealt(self._batches(tokens_at_once)):
                ids, targets, documents, positions = (None if one is None else one.to(device) for one in self._tensors(batch))
                with precision():
                    losses = model(ids, targets, documents=documents, positions=positions)
                if mine:
                    all_costs[start : start + len(batch)] = losses.per_token.double().sum(1)
        for request, cost in zip(self.requests, world.sum(all_costs).tolist(), strict=True):
            found[request.item][request.choice] = -cost
        return found

    def _batches(self, tokens_at_once: int) -> Iterator[tuple[int, Sequence[Request]]]:
        """Requests that go together, and the number of the first."""
        start = 0
        while start < len(self.requests):
            rows = max(1, tokens_at_once // self._padded(len(self.requests[start].tokens) - 1))
            yield start, self.requests[start : start + rows]
            start += rows

    def _padded(self, length: int) -> int:
        return min(-(-length // LENGTH_STEP) * LENGTH_STEP, self.length)

    def _tensors(self, batch: Sequence[Request]) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
        """Inputs, targets, documents and positions, each of shape (requests, longest); only choices are targets."""
        width = self._padded(max(len(request.tokens) for request in batch) - 1)
        ids, targets = np.zeros((len(batch), width), np.int64), np.full((len(batch), width), IGNORED, np.int64)
        for row, request in enumerate(batch):
            last = len(request.tokens) - 1
            ids[row, :last] = request.tokens[:-1]
            targets[row, last - request.scored : last] = request.tokens[-request.scored :]
        documents = positions = None
        if self.documents.mask or self.documents.positions == "document":
            # the end-of-text token before an item is the end of another document; a prompt that lost its beginning has none
            begins = torch.tensor([request.tokens[0] == self._eos for request in batch])
            of = torch.ones(ids.shape, dtype=torch.int64)
            of[:, 0] -= begins.long()
            documents = of if self.documents.mask else None
            positions = positions_in_documents(of) if self.documents.positions == "document" else None
        return torch.from_numpy(ids), torch.from_numpy(targets), documents, positions

    def _told(self, scores: list[list[float]]) -> dict[str, float]:
        tokens = [[0] * len(item.choices) for item in self.items]
        for request in self.requests:
            tokens[request.item][request.choice] = request.scored
        sizes = [[len(choice.encode()) for choice in item.choices] for item in self.items]
        right = [item.right for item in self.items]
        nats = sum(of[which] for of, which in zip(scores, right, strict=True))
        size = sum(of[which] for of, which in zip(sizes, right, strict=True))
        return {
            "accuracy": _accuracy(scores, right),
            "accuracy_norm": _accuracy(_divided(scores, sizes), right),
            "accuracy_token": _accuracy(_divided(scores, tokens), right),
            "chance": sum(1 / len(item.choices) for item in self.items) / len(self.items),
            "answer_bits_per_byte": -nats / (math.log(2) * size),
            "items": len(self.items),
            "cut": self.cut,
            "left_out": self.left_out,
        }


def _divided(scores: list[list[float]], by: list[list[int]]) -> list[list[float]]:
    return [[score / count for score, count in zip(*both, strict=True)] for both in zip(scores, by, strict=True)]


def _accuracy(scores: list[list[float]], right: list[int]) -> float:
    """Share of the items whose highest score is that of the right choice; of equal ones the first counts."""
    return sum(of.index(max(of)) == which for of, which in zip(scores, right, strict=True)) / len(right)


def _encoded(items: Sequence[Item], encoder: Encoder) -> Iterator[tuple[Item, list[tuple[NDArray[np.int64], int]]]]:
    """Each item with, for each choice, its tokens and how many of the first are the prompt's.

    The whole is tokenized at once, as it would stand in a document. Where the prompt's last token and the choice grow together,
    the choice begins with the first token that is not the prompt's.
    """
    begun = 1 if encoder.bos_id is None else 2
    prompts = encoder.encode([prompt for item in items for prompt in item.contexts])
    wholes = encoder.encode(
        [f"{prompt} {choice}" for item in items for prompt, choice in zip(item.contexts, item.choices, strict=True)]
    )
    row = 0
    for item in items:
        pairs = []
        for _ in item.choices:
            # without the end-of-text token after it, and with the one before
            prompt, whole = (
                np.concatenate([[encoder.eos_id], of[row].values.to_numpy(zero_copy_only=False)[:-1]]).astype(np.int64)
                for of in (prompts, wholes)
            )
            shortest = min(len(prompt), len(whole))
            differing = np.flatnonzero(prompt[:shortest] != whole[:shortest])
            pairs.append((whole, max(begun, int(differing[0]) if len(differing) else shortest)))
            row += 1
        yield item, pairs
