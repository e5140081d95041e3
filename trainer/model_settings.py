"""The shape of a decoder: everything that its architecture can be told."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from gristmill.trainer.base_settings import Settings


class RopeScaling(Settings):
    """Slower rotations at low frequencies, for inputs longer than those trained on first (Llama 3.1's form)."""

    factor: PositiveFloat
    """How much slower the slowest pairs turn."""
    low: PositiveFloat = 1.0
    """Pairs that turn fewer times than this over `original` positions are slowed by the whole factor."""
    high: PositiveFloat = 4.0
    """Pairs that turn more often than this stay as they are; those between go over smoothly."""
    original: PositiveInt = 8192
    """Positions of the first training."""

    @model_validator(mode="after")
    def _low_below_high(self) -> Self:
        if self.low >= self.high:
            raise ValueError(f"low {self.low} must be below high {self.high}")
        return self


class ExpertSettings(Settings):
    """A mixture of experts in place of the feed-forward: each token goes to a few of many; none is ever dropped."""

    count: PositiveInt
    """Experts to choose from."""
    per_token: PositiveInt
    """Experts that each token goes to."""
    width: PositiveInt
    """Inner width of one expert."""
    shared: NonNegativeInt = 0
    """Further experts that every token goes to."""
    normalise: bool = False
    """Whether the weights of the chosen experts are made to sum to 1."""
    balance_loss: NonNegativeFloat = 0.01
    """Weight of the load-balancing loss (Fedus et al. 2021, arXiv:2101.03961, eq. 4, over the experts per token)."""
    router_z_loss: NonNegativeFloat = 0.001
    """Weight of the squared log-sum-exp of the router's scores (Zoph et al. 2022, arXiv:2202.08906, eq. 5)."""

    @model_validator(mode="after")
    def _enough(self) -> Self:
        if self.per_token > self.count:
            raise ValueError(f"per_token {self.per_token} is more than the {self.count} experts")
        return self


class MupSettings(Settings):
    """What is tuned on a narrow model holds for a wide one: maximal update parametrisation (Yang et al., arXiv:2203.03466)."""

    base_width: PositiveInt
    """Width at which the learning rate and init_std were tuned; at this width nothing changes but the attention scale."""


class ModelSettings(Settings):
    """A decoder. The defaults are Llama's: pre-norm RMSNorm, rotary positions, SwiGLU, no biases."""

    layers: PositiveInt = 4
    width: PositiveInt = 128
    vocab_size: PositiveInt | None = None
    """Rows of the embedding; the tokenizer's tokens, rounded up to a multiple of 128, when null."""

    heads: PositiveInt = 4
    kv_heads: PositiveInt | None = None
    """Heads of keys and values, shared by groups of query heads; as many as heads when null, 1 is multi-query."""
    head_width: PositiveInt | None = None
    """Dimensions of a head; width / heads when null."""
    qk_norm: Literal["head", "width"] | None = None
    """Normalise queries and keys: each head by itself, or all of them together (OLMoE); null does not."""
    attention_scale: PositiveFloat | None = None
    """Factor on the scores before the softmax; head_width^-0.5 when null."""
    attention_softcap: PositiveFloat | None = None
    """Bound on the scores: cap * tanh(score / cap) (Gemma 2: 50)."""
    window: PositiveInt | None = None
    """Tokens that a position sees, itself included (Mistral: 4096); all before it when null."""
    global_every: PositiveInt | None = None
    """With a window, one of so many layers sees everything, the last of them (Gemma 2: 2); none when null."""

    positions: Literal["rope", "alibi", "learned", "none"] = "rope"
    max_positions: PositiveInt | None = None
    """Rows of learned positions; seq_len when null."""
    rope_base: PositiveFloat = 10_000.0
    rotary_fraction: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Share of a head's dimensions that turn, the first ones (GPT-NeoX: 0.25)."""
    rope_scaling: RopeScaling | None = None

    feed_forward: PositiveInt | None = None
    """Inner width of the feed-forward; when null 8/3 of the width, rounded up to a multiple of 64, or 4 widths without a gate."""
    activation: Literal["silu", "gelu", "gelu_tanh", "relu", "relu_squared"] = "silu"
    gated: bool = True
    """Whether the activation multiplies a second projection: SwiGLU with silu, GeGLU with gelu."""
    experts: ExpertSettings | None = None

    norm: Literal["rms", "layer"] = "rms"
    norm_epsilon: PositiveFloat = 1e-5
    bias: Literal["none", "qkv", "all"] = "none"
    """Which projections add a bias; `all` gives one to LayerNorm as well. The head never has one."""
    block: Literal["sequential", "parallel", "parallel_one_norm"] = "sequential"
    """Feed-forward after attention, or both on the same input (GPT-NeoX), or both on one norm of it (PaLM)."""
    post_norms: bool = False
    """Whether what each part adds to the stream is normalised too (Gemma 2)."""
    embedding_norm: bool = False
    """Whether the embeddings are normalised (BLOOM)."""
    embedding_scale: PositiveFloat | None = None
    """Factor on the embeddings (Gemma 2: the square root of the width); 1 when null."""
    tied: bool = True
    """Whether the head is the embedding."""
    logit_softcap: PositiveFloat | None = None
    """Bound on the logits, as attention_softcap (Gemma 2: 30)."""

    ahead: NonNegativeInt = 0
    """Further tokens to predict, each by a block of its own on top of the last (DeepSeek-V3, arXiv:2412.19437, sec. 2.2)."""
    ahead_loss: NonNegativeFloat = 0.1
    """Weight of the mean loss of those predictions (Megatron-LM's default)."""

    init_std: PositiveFloat = 0.02
    mup: MupSettings | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.head_width is None and self.width % self.heads:
            raise ValueError(f"width {self.width} over {self.heads} heads must give each an even number of dimensions")
        if self.head_size % 2:
            raise ValueError(f"a head has {self.head_size} dimensions; width over heads must give each an even number")
        if self.heads % self.key_heads:
            raise ValueError(f"kv_heads {self.kv_heads} must divide heads {self.heads}")
        if self.positions == "rope" and (self.rotary_size < 2 or self.rotary_size % 2):
            raise ValueError(
                f"rotary_fraction {self.rotary_fraction} of {self.head_size} dimensions is {self.rotary_size}, no number of pairs"
            )
        if self.max_positions is not None and self.positions != "learned":
            raise ValueError(f"max_positions is for learned positions; positions is {self.positions}")
        if self.global_every is not None and self.window is None:
            raise ValueError("global_every needs a window")
        if self.post_norms and self.block != "sequential":
            raise ValueError(f"post_norms goes with the sequential block; block is {self.block}")
        if self.experts is not None and self.block == "parallel_one_norm":
            raise ValueError("experts go with the sequential and the parallel block; block is parallel_one_norm")
        if self.experts is not None and self.bias == "all":
            raise ValueError("experts have no biases; set bias=none or bias=qkv")
        return self

    @property
    def head_size(self) -> int:
        """Dimensions of a head."""
        return self.head_width or self.width // self.heads

    @property
    def key_heads(self) -> int:
        """Heads of keys and values."""
        return self.kv_heads or self.heads

    @property
    def rotary_size(self) -> int:
        """Dimensions of a head that turn."""
        return int(self.head_size * self.rotary_fraction)

    @property
    def inner_width(self) -> int:
        """Inner width of the feed-forward."""
        if self.feed_forward:
            return self.feed_forward
        return -(-8 * self.width // (3 * 64)) * 64 if self.gated else 4 * self.width

    @property
    def windows(self) -> tuple[int | None, ...]:
        """How far each layer sees, first to last; None is everything."""
        every = self.global_every
        return tuple(None if every and (layer + 1) % every == 0 else self.window for layer in range(self.layers))

    @property
    def width_multiple(self) -> float:
        """Width over the width that muP was tuned at; 1 without muP."""
        return self.width / self.mup.base_width if self.mup else 1.0
