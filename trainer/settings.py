"""What a training run can be told."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from gristmill.trainer.base_settings import Settings
from gristmill.trainer.batch_ramp import ramp_steps, windows_before
from gristmill.trainer.model_settings import ModelSettings

__all__ = [
    "BatchRampSettings",
    "CheckpointSettings",
    "DocumentSettings",
    "EvaluationSettings",
    "LossSettings",
    "ModelSettings",
    "MuonSettings",
    "ObjectiveSettings",
    "OptimizerSettings",
    "ParallelSettings",
    "ScheduleSettings",
    "Settings",
    "SpikeSettings",
    "TaskSettings",
    "TrainSettings",
]


class MuonSettings(Settings):
    """Muon (Jordan et al. 2024), for the matrices of hidden layers."""

    learning_rate: PositiveFloat = 0.02
    """Highest rate of these matrices, with `adjust: original` (modded-nanogpt, from memory)."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.95
    adjust: Literal["original", "match_rms_adamw"] = "original"
    """How a matrix's shape scales its update: sqrt(max(1, rows / columns)), or 0.2 sqrt(max(rows, columns)), with which rates
    tuned for AdamW fit (Liu et al. 2025, arXiv:2502.16982)."""


class OptimizerSettings(Settings):
    """AdamW (Loshchilov & Hutter 2019, arXiv:1711.05101); matrices and embeddings decay, norms do not."""

    name: Literal["adamw", "muon", "adafactor"] = "adamw"
    """muon: for matrices of hidden layers, and AdamW for the rest; adafactor: Shazeer & Stern 2018, arXiv:1804.04235."""
    learning_rate: PositiveFloat = 1e-3
    beta1: Annotated[float, Field(ge=0, lt=1)] = 0.9
    beta2: Annotated[float, Field(ge=0, lt=1)] = 0.95
    epsilon: PositiveFloat = 1e-8
    weight_decay: NonNegativeFloat = 0.1
    clip: PositiveFloat | None = 1.0
    """Largest norm of all gradients together; null clips nothing."""
    muon: MuonSettings = MuonSettings()
    """What Muon is told, where it is the optimizer."""


class SpikeSettings(Settings):
    """Steps whose loss or gradient norm stands out are not taken."""

    sigmas: PositiveFloat = 6.0
    """Standard deviations above the mean of the last steps."""
    history: Annotated[int, Field(gt=1)] = 128
    """How many steps that mean is of; half of them must be there first."""


class ScheduleSettings(Settings):
    """Linear warm-up, then one of several shapes down to a share of the learning rate."""

    name: Literal["cosine", "linear", "wsd", "power"] = "cosine"
    """wsd: stable, then a decay at the end; power: falls as the clock to the power of -exponent, then the same decay."""
    clock: Literal["steps", "tokens"] = "steps"
    """What warm-up and end are counted in; tokens where batches differ in size."""
    steps: PositiveInt | None = None
    """Steps from start to the end of the schedule; as many as the run's when null."""
    tokens: PositiveInt | None = None
    """Tokens from start to the end, by the clock of tokens; as many as the run's when null."""
    warmup_steps: NonNegativeInt = 0
    warmup_tokens: NonNegativeInt = 0
    least: Annotated[float, Field(ge=0, le=1)] = 0.1
    """Share of the learning rate at the end."""
    decay_fraction: Annotated[float, Field(gt=0, le=1)] = 0.1
    """wsd, power: share of the schedule that the decay takes; MiniCPM: 10% is enough, 2.5% is not."""
    decay: Literal["linear", "sqrt", "cosine", "exponential"] = "linear"
    """wsd, power: form of the decay; sqrt is 1 - sqrt(x)."""
    half_lives: PositiveFloat = 5.0
    """decay exponential: how often the rate halves during the decay (MiniCPM's form; the number is ours)."""
    exponent: PositiveFloat = 0.51
    """power: -0.51 in OLMo-core and Shen et al. 2024 (from memory)."""

    @model_validator(mode="after")
    def _one_clock(self) -> Self:
        other = ("steps", "warmup_steps") if self.clock == "tokens" else ("tokens", "warmup_tokens")
        if wrong := [name for name in other if getattr(self, name)]:
            off = " ".join(f"schedule.{name}={0 if name.startswith('warmup') else 'null'}" for name in wrong)
            raise ValueError(f"clock is {self.clock}, and {' and '.join(wrong)} count something else; set {off}")
        return self


class Denoisers(Settings):
    """Shares of UL2's kinds of denoiser; the defaults are U-PaLM's (Tay et al. 2022, arXiv:2210.11399)."""

    R: NonNegativeFloat = 0.25
    """Short spans, few of them hidden."""
    S: NonNegativeFloat = 0.5
    """The end of the window, given what stands before it."""
    X: NonNegativeFloat = 0.25
    """Long spans, or many."""

    @model_validator(mode="after")
    def _some(self) -> Self:
        if self.R + self.S + self.X <= 0:
            raise ValueError("no denoiser has a share; set one of R, S, X")
        return self


class ObjectiveSettings(Settings):
    """What the model learns to predict; each window's draw depends on the run's seed and the window alone."""

    name: Literal["causal", "prefix", "span_corruption", "ul2", "fill_in_the_middle"] = "causal"
    prefix_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.75
    """prefix, and the S denoiser of ul2: mean share of a window that is only read."""
    corrupted: Annotated[float, Field(gt=0, lt=1)] = 0.15
    """span_corruption: share of the tokens that are hidden."""
    mean_span: PositiveFloat = 3.0
    """span_corruption: mean length of a hidden span, in tokens."""
    denoisers: Denoisers = Denoisers()
    """ul2: shares of its kinds of denoiser."""
    rate: Annotated[float, Field(ge=0, le=1)] = 0.5
    """fill_in_the_middle: share of the windows that are rearranged."""
    suffix_first: Annotated[float, Field(ge=0, le=1)] = 0.5
    """fill_in_the_middle: share of those that give the suffix before the prefix (SPM; Bavarian et al. 2022, arXiv:2207.14255)."""
    bidirectional_prefix: bool = True
    """Whether the tokens that are only read see each other both ways."""


class DocumentSettings(Settings):
    """What the model is told of the documents that stand in a window; only for the causal objective."""

    mask: bool = False
    """Whether a token sees only its own document."""
    positions: Literal["window", "document"] = "window"
    """Where positions begin at 0; by document with `mask`, a document is read as if it stood alone."""
    first_token: Literal["keep", "ignore"] = "keep"
    """Whether the first token of a document, of which nothing is known but the document before, counts in the loss."""

    @property
    def needed(self) -> bool:
        """Whether the documents of a window must be known."""
        return self.mask or self.positions == "document" or self.first_token == "ignore"


class LossSettings(Settings):
    """What is minimised beside the cross-entropy, and how it is computed."""

    z_weight: NonNegativeFloat = 0.0
    """Weight of the squared log-sum-exp of the logits; 1e-5 in OLMo-core's recipes, 1e-4 in PaLM (from memory)."""
    chunk_tokens: PositiveInt | None = 2048
    """Positions whose logits live at once; all of a micro-batch when null."""


class TaskSettings(Settings):
    """Multiple-choice questions in a file of JSON lines, scored by how likely the model finds each choice."""

    file: str
    """JSON lines, also gzip."""
    name: str | None = None
    """What it is called in the metrics; the file's name up to its first dot when null. Descriptions of sets go by it."""
    question: str | None = None
    """Field of what stands before the choices; a list of as many texts as choices where it differs. The set's own, or
    `question` or `text`, when null."""
    choices: str | tuple[str, ...] | None = None
    """Field of the list of choices, or the choices themselves; the set's own, or `choices`, when null."""
    answer: str | None = None
    """Field of the right choice: its text, its number from 0 or its letter; the set's own, or `answer`, when null."""
    prompt: str | None = None
    """What the model reads before a space and the choice, {question} in it; the set's own, or the question, when null."""
    items: PositiveInt | None = None
    """At most so many, by a hash of their ids; all when null."""
    clean: str | None = None
    """A contamination.json, or the folder of its run: only items that it calls clean are asked."""

    @property
    def called(self) -> str:
        """The name."""
        return self.name or Path(self.file).name.split(".")[0]

    @model_validator(mode="after")
    def _the_prompt_asks(self) -> Self:
        if self.prompt is not None and "{question}" not in self.prompt:
            raise ValueError(f"the prompt {self.prompt!r} has no {{question}} in it")
        return self


class EvaluationSettings(Settings):
    """What the model is asked beside its training, and when; the last step always is followed by it."""

    data: str | None = None
    """Folder of token shards that the model does not learn from, held_out/ of a run; null where there are only tasks."""
    tasks: tuple[TaskSettings, ...] = ()
    """Multiple-choice questions."""
    every: PositiveInt = 100
    """Steps between evaluations."""
    tokens: PositiveInt | None = None
    """At most about so many of each source: its first whole documents, which are a hash's choice; all when null."""
    micro_windows: PositiveInt = 8
    """Windows on the device at once."""

    @model_validator(mode="after")
    def _something_each_once(self) -> Self:
        if self.data is None and not self.tasks:
            raise ValueError("has neither data nor tasks; set data=RUN/held_out, or leave evaluation out")
        names = [task.called for task in self.tasks]
        if repeated := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"tasks called the same: {', '.join(repeated)}; give each a name")
        return self


class CheckpointSettings(Settings):
    """When the run is saved; it always is at its end."""

    every: PositiveInt = 100
    """Steps between checkpoints."""
    keep: PositiveInt = 2
    """How many of the newest stay."""
    milestone_every: PositiveInt | None = None
    """Steps between checkpoints that stay for good; null keeps none so."""
    milestones: tuple[PositiveInt, ...] = ()
    """Single steps whose checkpoints stay for good."""
    asynchronous: bool = False
    """Copy to memory, which takes as much again as weights and optimizer, and write while training goes on."""

    def milestone(self, step: int) -> bool:
        """Whether a step's checkpoint stays for good."""
        return step in self.milestones or (self.milestone_every is not None and step % self.milestone_every == 0)

    def due(self, step: int, last: int) -> bool:
        """Whether the run is saved after a step, `last` being its end."""
        return step == last or step % self.every == 0 or self.milestone(step)


class ParallelSettings(Settings):
    """How a run is spread over its processes, as many as torchrun or srun starts; one alone needs none of it."""

    data: Literal["ddp", "fsdp"] = "ddp"
    """ddp: every process holds the whole model; fsdp: each a share of weights, gradients and optimizer (FSDP2)."""
    tensor: PositiveInt = 1
    """Processes that share each matrix of the blocks and read the same windows; a divisor of heads and key heads."""
    timeout_seconds: PositiveInt = 600
    """How long a process waits for the others before it gives up."""


class BatchRampSettings(Settings):
    """A stretch of the training with batches of its own size."""

    tokens: PositiveInt
    """How many are read so, up to the end of the batch that reaches them; padding counts."""
    windows: PositiveInt
    """Windows of a batch."""


class TrainSettings(Settings):
    """A training run."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    data: str
    """Folder of token shards (shards/ of a run)."""
    steps: PositiveInt
    """Where to stop, counted from the very first step."""
    seq_len: PositiveInt = 256
    """Tokens predicted in a window."""
    windows: PositiveInt = 16
    """Windows of a batch."""
    batch_ramp: tuple[BatchRampSettings, ...] = ()
    """Batches of other sizes at the start, `[{tokens: 1000000, windows: 4}, ...]` one after the other; then `windows`."""
    micro_windows: PositiveInt | None = None
    """Windows on the device at once; the gradients of a batch are summed. All at once when null."""
    packing: Literal["concat", "best_fit", "crop"] = "concat"
    """How documents are put into windows: end to end; whole where they fit, with padding (and documents.mask unless it is
    given); or from their beginnings, cropped where a window ends, which loses the rest. Losses do not compare across them."""
    seed: NonNegativeInt = 0
    device: Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:\d+)?)$")] = "auto"
    """auto is a GPU where there is one."""
    threads: PositiveInt | None = None
    """CPU threads; what torch chooses when null. Bitwise equal runs need equal threads."""
    mixture: dict[str, NonNegativeFloat] | None = None
    """Shares of the tokens by source; each source by its tokens when null."""
    max_epochs: PositiveFloat = 4.0
    """Most passes over a source; further repeats help little (Muennighoff et al. 2023, arXiv:2305.16264)."""
    on_shortage: Literal["error", "cap", "renormalise"] = "error"
    """When a source has too few tokens: stop; train fewer steps; or let the other sources give more."""
    verify: bool = False
    """Compare the sha256 of every shard before the first step."""
    verify_tokens: bool = False
    """Compare a checksum of what is on the device with that of what was read, each batch; waits for the device."""
    read_ahead: bool = False
    """Have the system fetch all windows of a batch at once, before they are read; for disks that answer slowly."""
    progress_every: PositiveInt = 5
    """Steps between lines of progress."""
    model: ModelSettings = ModelSettings()
    attention: Literal["auto", "plain", "sdpa", "flex"] = "auto"
    """Kernel of the attention; auto takes the one that fits."""
    objective: ObjectiveSettings = ObjectiveSettings()
    documents: DocumentSettings = DocumentSettings()
    loss: LossSettings = LossSettings()
    optimizer: OptimizerSettings = OptimizerSettings()
    schedule: ScheduleSettings = ScheduleSettings()
    spikes: SpikeSettings | None = None
    """Leave out steps that stand out, `{}` with the usual bounds; null takes every step."""
    parallel: ParallelSettings = ParallelSettings()
    activation_checkpointing: Literal["none", "selective", "full"] = "none"
    """What of a block is computed again in the backward pass, to save memory; selective: not matrix products and attention."""
    compile: bool = False
    """Whether blocks are compiled (torch.compile); needs a C++ compiler on the CPU."""
    average_decay: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Share of a running average of the weights that each step keeps, 0.999 say; null keeps none."""
    evaluation: EvaluationSettings | None = None
    """Held-out documents and questions that the model is asked while training; null asks nothing."""
    checkpoint: CheckpointSettings = CheckpointSettings()
    init_from: str | None = None
    """A checkpoint, or a run whose newest one it is, that a new output folder begins with: a decay from a stable point, say."""
    init: Literal["all", "weights"] = "all"
    """What is taken from it: all, for the same data in the same order; or only the weights, for any data from its start."""

    @model_validator(mode="before")
    @classmethod
    def _mask_packed(cls, given: Any) -> Any:
        """Documents that share a window only because they fit do not see each other, unless it is said that they do."""
        if not isinstance(given, dict) or given.get("packing") != "best_fit":
            return given
        documents = given.get("documents", {})
        if isinstance(documents, DocumentSettings):
            documents = documents.model_dump(exclude_unset=True)
        return given | {"documents": {"mask": True} | documents} if isinstance(documents, dict) else given

    @property
    def ramp(self) -> tuple[tuple[int, int], ...]:
        """Tokens and windows of `batch_ramp`."""
        return tuple((stretch.tokens, stretch.windows) for stretch in self.batch_ramp)

    @property
    def tokens(self) -> int:
        """Of all steps, with padding."""
        return windows_before(ramp_steps(self.ramp, self.seq_len), self.windows, self.steps) * self.seq_len

    @model_validator(mode="after")
    def _batch_divides(self) -> Self:
        for windows in (self.windows, *(stretch.windows for stretch in self.batch_ramp)):
            if windows % (self.micro_windows or windows):
                raise ValueError(f"micro_windows {self.micro_windows} must divide windows {windows}")
        if self.packing != "concat" and self.objective.name != "causal":
            raise ValueError(f"packing {self.packing} is for the causal objective; {self.objective.name} takes concat")
        if self.documents.needed and self.objective.name != "causal":
            raise ValueError(
                f"documents are told to the causal objective; {self.objective.name} moves tokens, leave documents out"
            )
        return self
