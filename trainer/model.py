"""A decoder: the architectures of GPT-2, GPT-NeoX, BLOOM, PaLM, Llama, Mistral, Gemma 2 and OLMoE, by its settings."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from gristmill.trainer.attention import Attention, Kernel, Sight, look, softcap
from gristmill.trainer.experts import Experts
from gristmill.trainer.feed_forward import FeedForward
from gristmill.trainer.losses import IGNORED, Losses, next_token_loss
from gristmill.trainer.model_settings import ModelSettings
from gristmill.trainer.positions import alibi_slopes, rotate, rotations

__all__ = ["Block", "Decoder", "make_norm", "padded_vocabulary", "rotate", "rotations"]

VOCABULARY_MULTIPLE = 128
"""The vocabulary is padded to a multiple of this: odd matrix shapes are slow on a GPU."""

Rotation = tuple[Tensor, Tensor]


def padded_vocabulary(vocab_size: int) -> int:
    """The vocabulary that the model has for a tokenizer of this size; ids beyond the tokenizer's never occur as targets."""
    return -(-vocab_size // VOCABULARY_MULTIPLE) * VOCABULARY_MULTIPLE


def make_norm(settings: ModelSettings) -> nn.Module:
    """A norm over the width."""
    if settings.norm == "rms":
        return nn.RMSNorm(settings.width, eps=settings.norm_epsilon)
    return nn.LayerNorm(settings.width, eps=settings.norm_epsilon, bias=settings.bias == "all")


class Block(nn.Module):
    """Attention and feed-forward, each on the normalised stream and added to it."""

    def __init__(self, settings: ModelSettings, kernel: Kernel = "auto") -> None:
        """Make both parts and their norms."""
        super().__init__()
        self.kind = settings.block
        self.attention_norm = make_norm(settings)
        self.attention = Attention(settings, kernel)
        self.feed_forward_norm = make_norm(settings) if settings.block != "parallel_one_norm" else None
        self.feed_forward: FeedForward | Experts = Experts(settings) if settings.experts else FeedForward(settings)
        self.attention_post_norm = make_norm(settings) if settings.post_norms else None
        self.feed_forward_post_norm = make_norm(settings) if settings.post_norms else None

    def forward(self, hidden: Tensor, rotation: Rotation | None, sight: Sight) -> tuple[Tensor, Tensor | None]:
        """One layer.

        Args:
            hidden: shape (batch, length, width).
            rotation: cosines and sines of the positions, with rotary ones.
            sight: what each position sees in this layer.

        Returns:
            As hidden; and the losses of the experts, a scalar, None where there are none.
        """
        normalised = self.attention_norm(hidden)
        attended = self.attention(normalised, rotation, sight)
        if self.attention_post_norm is not None:
            attended = self.attention_post_norm(attended)
        if self.kind == "sequential":
            hidden = hidden + attended
        if self.feed_forward_norm is not None:
            normalised = self.feed_forward_norm(hidden)
        penalty = None
        if isinstance(self.feed_forward, Experts):
            fed, penalty = self.feed_forward(normalised)
        else:
            fed = self.feed_forward(normalised)
        if self.feed_forward_post_norm is not None:
            fed = self.feed_forward_post_norm(fed)
        return hidden + fed + attended if self.kind != "sequential" else hidden + fed, penalty


class Ahead(nn.Module):
    """Predicts one token further: what is known so far, joined with the token that came, through a block of its own.

    Source: DeepSeek-V3, arXiv:2412.19437, sec. 2.2; embedding and head are the model's.
    """

    def __init__(self, settings: ModelSettings, kernel: Kernel) -> None:
        """Make norms, the join and the block."""
        super().__init__()
        self.hidden_norm, self.token_norm = make_norm(settings), make_norm(settings)
        self.join = nn.Linear(2 * settings.width, settings.width, bias=False)
        self.block = Block(settings, kernel)

    def forward(self, hidden: Tensor, tokens: Tensor, rotation: Rotation | None, sight: Sight) -> tuple[Tensor, Tensor | None]:
        """Hidden states and the embeddings of the tokens after them, each (batch, length, width); as a block returns."""
        joined = self.join(torch.cat([self.hidden_norm(hidden), self.token_norm(tokens)], dim=-1))
        out: tuple[Tensor, Tensor | None] = self.block(joined, rotation, sight)
        return out


class Decoder(nn.Module):
    """Token ids to scores of the next token."""

    def __init__(
        self,
        settings: ModelSettings,
        vocab_size: int | None,
        seq_len: int,
        *,
        kernel: Kernel = "auto",
        z_weight: float = 0.0,
        chunk_tokens: int | None = 2048,
    ) -> None:
        """Make the model and draw its weights.

        Args:
            settings: the shape.
            vocab_size: ids that occur; the settings' vocabulary, which may not be smaller, when None.
            seq_len: longest input, in tokens.
            kernel: of the attention, see `attend`; auto takes flex on a GPU where the layers need more than causality.
            z_weight: of the z-loss.
            chunk_tokens: positions whose logits live at once in the loss; all when None.

        Raises:
            ValueError: more ids than the vocabulary has rows, or longer inputs than there are learned positions.
        """
        super().__init__()
        self.settings, self.seq_len, self.kernel = settings, seq_len, kernel
        self.z_weight, self.chunk_tokens = z_weight, chunk_tokens
        vocabulary = _vocabulary(settings, vocab_size)
        rows = settings.max_positions or seq_len
        if settings.positions == "learned" and seq_len > rows:
            raise ValueError(f"seq_len {seq_len} is beyond the {rows} learned positions; lower it or raise model.max_positions")
        self.embedding = nn.Embedding(vocabulary, settings.width)
        self.position_embedding = nn.Embedding(rows, settings.width) if settings.positions == "learned" else None
        self.embedding_norm = make_norm(settings) if settings.embedding_norm else None
        self.blocks = nn.ModuleList(Block(settings, kernel) for _ in range(settings.layers))
        self.norm = make_norm(settings)
        self.head = nn.Linear(settings.width, vocabulary, bias=False)
        if settings.tied:
            self.head.weight = self.embedding.weight
        self.aheads = nn.ModuleList(Ahead(settings, kernel) for _ in range(settings.ahead))
        self.cosines: Tensor | None
        self.sines: Tensor | None
        self.slopes: Tensor | None
        self._register_positions()
        self.draw_weights()

    def _register_positions(self) -> None:
        """Tables of the positions; derived from the settings, so not part of what is saved."""
        of = self.settings
        cosines, sines = None, None
        if of.positions == "rope":
            cosines, sines = rotations(self.seq_len, of.rotary_size, of.rope_base, of.rope_scaling)
        self.register_buffer("cosines", cosines, persistent=False)
        self.register_buffer("sines", sines, persistent=False)
        slopes = alibi_slopes(of.heads) if of.positions == "alibi" else None
        self.register_buffer("slopes", slopes, persistent=False)

    def draw_weights(self) -> None:
        """Normal weights; those that write into the stream are scaled down by its 2 x layers additions (Radford et al. 2019).

        With muP the standard deviation of matrices between hidden layers falls with the root of the width.
        """
        of = self.settings
        for name, parameter in self.named_parameters():
            if parameter.dim() < 2:
                if name.endswith("bias"):
                    nn.init.zeros_(parameter)
                continue
            scale = (2 * of.layers) ** -0.5 if name.endswith(("out.weight", "feed_forward.out")) else 1.0
            if is_hidden_matrix(name):
                scale *= of.width_multiple**-0.5
            nn.init.normal_(parameter, std=of.init_std * scale)

    def forward(
        self,
        ids: Tensor,
        targets: Tensor | None = None,
        *,
        documents: Tensor | None = None,
        positions: Tensor | None = None,
        prefix: Tensor | None = None,
        denominator: Tensor | None = None,
    ) -> Tensor | Losses:
        """Scores of every next token, or what the targets cost.

        Args:
            ids: shape (batch, length), int64, length at most seq_len.
            targets: shape (batch, length): the token after each position, or IGNORED. Without them the result is the scores.
            documents: shape (batch, length): equal numbers for tokens of one document; nothing sees across documents.
            positions: shape (batch, length): of `positions_in_documents`, to begin again in each document; 0, 1, ... when None.
            prefix: shape (batch,): so many first tokens of a row all see each other.
            denominator: a scalar; see `next_token_loss`.

        Returns:
            Scores, shape (batch, length, vocabulary), or the losses.

        Raises:
            ValueError: the input is longer than seq_len.
        """
        length = ids.shape[1]
        if length > self.seq_len:
            raise ValueError(f"the input has {length} tokens, the model was made for {self.seq_len}")
        rotation = self._rotation(length, positions)
        sights = self._sights(length, ids.device, documents, prefix)
        hidden = self._embed(ids, positions)
        penalties = []
        for block, window in zip(self.blocks, self.settings.windows, strict=True):
            hidden, penalty = block(hidden, rotation, sights[window])
            penalties.append(penalty)
        if targets is None:
            scores: Tensor = softcap(self.head(self._last(hidden)), self.settings.logit_softcap)
            return scores
        total, each, sizes = self._cost(hidden, targets, denominator)
        ahead = None
        if self.aheads:
            sight = sights[self.settings.windows[-1]]
            ahead, further = self._cost_ahead(hidden, ids, targets, documents, rotation, sight)
            penalties += further
        some_penalties = [penalty for penalty in penalties if penalty is not None]
        experts = torch.stack(some_penalties).mean() if some_penalties else None
        counted = targets != IGNORED
        tokens = counted.sum()
        for part, weight in ((experts, 1.0), (ahead, self.settings.ahead_loss)):
            if part is not None:
                # a micro-batch's share of a mean over several
                total = total + weight * part * (1.0 if denominator is None else tokens / denominator)
        some = tokens.clamp(min=1)
        return Losses(total, each.sum() / some, sizes.square().sum() / some, experts, ahead, tokens, each.view_as(targets))

    def loss(self, rows: Tensor) -> Tensor:
        """What is minimised, for rows of shape (batch, length + 1): each token given those before it, in nats."""
        losses = self(rows[:, :-1], rows[:, 1:])
        total: Tensor = losses.total
        return total

    def _embed(self, ids: Tensor, positions: Tensor | None, *, plainly: bool = False) -> Tensor:
        """Embeddings, scaled; unless `plainly`, with learned positions and normalised."""
        hidden: Tensor = self.embedding(ids)
        if self.settings.embedding_scale is not None:
            hidden = hidden * self.settings.embedding_scale
        if plainly:
            return hidden
        if self.position_embedding is not None:
            places = torch.arange(ids.shape[1], device=ids.device) if positions is None else positions
            hidden = hidden + self.position_embedding(places)
        return hidden if self.embedding_norm is None else self.embedding_norm(hidden)

    def _rotation(self, length: int, positions: Tensor | None) -> Rotation | None:
        if self.cosines is None or self.sines is None:
            return None
        if positions is None:
            return self.cosines[:length], self.sines[:length]
        return self.cosines[positions][:, None], self.sines[positions][:, None]

    def _sights(
        self, length: int, device: torch.device, documents: Tensor | None, prefix: Tensor | None
    ) -> dict[int | None, Sight]:
        """What is seen, for each window that some layer has."""
        sights = {}
        for window in set(self.settings.windows):
            special = documents is not None or prefix is not None or self.slopes is not None
            special = special or self.settings.attention_softcap is not None or (window is not None and window < length)
            flex = self.kernel == "flex" or (self.kernel == "auto" and device.type == "cuda" and special)
            sights[window] = look(
                length, device, window=window, documents=documents, prefix=prefix, slopes=self.slopes, flex=flex
            )
        return sights

    def _last(self, hidden: Tensor) -> Tensor:
        """What the head multiplies; muP divides the logits by the width multiple."""
        normalised: Tensor = self.norm(hidden)
        return normalised if self.settings.mup is None else normalised / self.settings.width_multiple

    def _cost(self, hidden: Tensor, targets: Tensor, denominator: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        return next_token_loss(
            self._last(hidden).flatten(0, 1),
            self.head.weight,
            targets.flatten(),
            denominator=denominator,
            z_weight=self.z_weight,
            cap=self.settings.logit_softcap,
            chunk_tokens=self.chunk_tokens,
        )

    def _cost_ahead(
        self, hidden: Tensor, ids: Tensor, targets: Tensor, documents: Tensor | None, rotation: Rotation | None, sight: Sight
    ) -> tuple[Tensor, list[Tensor | None]]:
        """Mean cross-entropy of the second, third, ... token after each position, where its row and document have one.

        And what the blocks of their own add, as `Block` returns it.
        """
        costs, penalties = [], []
        # input and last target as one stream: `targets` alone does not know the tokens that are ignored
        stream = torch.cat([ids, targets[:, -1:].clamp(min=0)], dim=1)
        for shift, ahead in enumerate(self.aheads, 1):
            came = functional.pad(stream[:, shift : shift + ids.shape[1]], (0, shift - 1))
            hidden, penalty = ahead(hidden, self._embed(came, None, plainly=True), rotation, sight)
            penalties.append(penalty)
            wanted = functional.pad(targets[:, shift:], (0, shift), value=IGNORED)
            if documents is not None:
                inside = functional.pad(documents[:, shift:] == documents[:, :-shift], (0, shift), value=False)
                wanted = wanted.masked_fill(~inside, IGNORED)
            costs.append(self._cost(hidden, wanted, None)[0])
        return torch.stack(costs).mean(), penalties


def is_hidden_matrix(name: str) -> bool:
    """Whether a parameter of this name is a matrix between hidden layers: no embedding, no head, no gain and no bias."""
    part = name.rsplit(".", 2)[-2:]
    gain = name.endswith("bias") or any("norm" in word for word in part)
    return name.startswith(("blocks.", "aheads.")) and not gain


def _vocabulary(settings: ModelSettings, vocab_size: int | None) -> int:
    rows = settings.vocab_size
    if rows is None:
        if vocab_size is None:
            raise ValueError("the model's vocabulary is not set; set model.vocab_size")
        return padded_vocabulary(vocab_size)
    if vocab_size is not None and vocab_size > rows:
        raise ValueError(
            f"model.vocab_size is {rows:,}, the data has {vocab_size:,} token ids; set model.vocab_size=null to have as many"
        )
    return rows
