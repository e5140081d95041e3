"""A model spread over the processes of a run; the model itself knows nothing of it.

In this order, as torchtitan has it: matrices are split (tensor parallelism), activations are recomputed, blocks are compiled,
and at last weights are shared out (FSDP2) or copied (DDP). All of it changes the model in place and leaves the names of its
parameters as they are.

Gradients of data-parallel ranks are averaged, as DDP and FSDP do by themselves; so a rank's loss is divided by the tokens of the
whole batch over the number of ranks, and the average is the gradient of the mean over all tokens, however unevenly they lie.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor, Replicate
from torch.distributed.tensor.parallel import ColwiseParallel, PrepareModuleInput, RowwiseParallel, parallelize_module
from torch.nn.parallel import DistributedDataParallel
from torch.utils.checkpoint import CheckpointPolicy, checkpoint, create_selective_checkpoint_contexts

from gristmill.trainer.losses import Losses
from gristmill.trainer.micro_batch import MicroBatch
from gristmill.trainer.model import Block, Decoder
from gristmill.trainer.settings import TrainSettings
from gristmill.trainer.world import DATA, TENSOR, World


class Spread:
    """A model on the processes of a world: computes losses, and gradients that are those of the whole batch."""

    def __init__(self, model: Decoder, world: World, device: torch.device, *, data: str) -> None:
        """Take a model that `apply` has prepared; `data` is ddp, fsdp, or empty where one data rank has all windows."""
        self.model, self.world = model, world
        self.wrapped = None
        if data == "ddp":
            self.wrapped = _copied(model, world, device)
        self._partial = _norms_of_heads(model) if world.tensor_ranks > 1 else []

    def losses(self, part: MicroBatch, denominator: Tensor) -> Losses:
        """What a micro-batch costs; see `Decoder.forward`. The mean is over `denominator` tokens, those of all ranks."""
        call = self.model if self.wrapped is None else self.wrapped
        ranks = self.world.data_ranks
        result: Losses = call(
            part.ids,
            part.targets,
            documents=part.documents,
            positions=part.positions,
            prefix=part.prefix,
            denominator=denominator if ranks == 1 else denominator / ranks,
        )
        return result

    def accumulating(self, more: bool) -> AbstractContextManager[Any]:
        """Around a micro-batch: where more of the same batch follow, its gradients are kept and not sent."""
        if isinstance(self.model, FSDPModule):
            self.model.set_requires_gradient_sync(not more)
        if self.wrapped is not None and more:
            no_sync: AbstractContextManager[Any] = self.wrapped.no_sync()
            return no_sync
        return nullcontext()

    @torch.no_grad()
    def clip(self, most: float) -> Tensor:
        """Finish the gradients of a batch and scale them down to a norm of at most `most`.

        Returns:
            Their norm before, over all parameters of all processes, a scalar.
        """
        self._sum_partial()
        if self.world.alone:
            return torch.nn.utils.clip_grad_norm_(self.model.parameters(), most)
        norm = self._norm()
        if most < math.inf:
            # as torch's own clip_grad_norm_ does
            factor = (most / (norm + 1e-6)).clamp(max=1.0)
            torch._foreach_mul_([grad for grad, _ in self._gradients()], factor)
        return norm

    def _sum_partial(self) -> None:
        """Add up the gradients of gains that each process has for its own heads only."""
        if grads := [_local(each.grad) for each in self._partial if each.grad is not None]:
            flat = self.world.sum(torch.cat([grad.flatten() for grad in grads]), TENSOR)
            for grad, part in zip(grads, torch.split(flat, [grad.numel() for grad in grads]), strict=True):
                grad.copy_(part.view_as(grad))

    def _gradients(self) -> Iterator[tuple[Tensor, tuple[bool, bool]]]:
        """This process's part of each gradient, and along which dimensions of the mesh, data and tensor, others have more."""
        for parameter in self.model.parameters():
            if parameter.grad is not None:
                split = _split_over(parameter.grad)
                yield _local(parameter.grad), (DATA in split, TENSOR in split)

    def _norm(self) -> Tensor:
        """Squares are added up here, then along the dimensions over which a gradient is split: each number counts once."""
        kinds: dict[tuple[bool, bool], list[Tensor]] = {}
        for grad, split in self._gradients():
            kinds.setdefault(split, []).append(grad)
        device = next(self.model.parameters()).device
        # the same four places on all processes, whatever they have of each kind
        squares = torch.zeros(2, 2, device=device)
        for (over_data, over_tensor), grads in kinds.items():
            norms = torch._foreach_norm([grad.float() for grad in grads])
            squares[int(over_data), int(over_tensor)] = torch.stack(norms).square().sum()
        squares[1] = self.world.sum(squares[1].clone(), DATA)
        squares[:, 1] = self.world.sum(squares[:, 1].clone(), TENSOR)
        return squares.sum().sqrt()


def apply(model: Decoder, settings: TrainSettings, world: World, device: torch.device) -> Spread:
    """Change a model in place so that the processes compute it together; all of them must call it, with equal weights.

    Args:
        model: with its weights drawn, on its device.
        settings: what is asked for; `misfits` finds nothing in them.
        world: in its mesh, see `World.arranged`.
        device: of this process.
    """
    if world.tensor_ranks > 1:
        _split_matrices(model, world)
    if settings.activation_checkpointing != "none":
        for block in _blocks(model):
            _recompute(block, selective=settings.activation_checkpointing == "selective")
    if settings.compile:
        for block in _blocks(model):
            block.forward = torch.compile(block.forward)  # type: ignore[method-assign]
    data = settings.parallel.data if world.data_ranks > 1 else ""
    if data == "fsdp":
        _share_out(model, world, device)
    return Spread(model, world, device, data=data)


def _blocks(model: Decoder) -> list[Block]:
    return [module for module in model.modules() if isinstance(module, Block)]


def _split_matrices(model: Decoder, world: World) -> None:
    """Give each process some of the heads and of the inner width of every block.

    Queries, keys, values, gate and up are split by rows of their weights, what writes into the stream by columns; the stream,
    norms, embedding and head are whole on every process (Shoeybi et al. 2019, arXiv:1909.08053, sec. 3, without the split of the
    vocabulary). A process sums over its peers twice a block forward, and twice backward.
    """
    if world.mesh is None:
        raise RuntimeError("a process alone has nobody to split matrices with")
    mesh, whole = world.mesh[TENSOR], Replicate()
    for block in _blocks(model):
        plan = {
            "attention": PrepareModuleInput(input_layouts=(whole, None, None), desired_input_layouts=(whole, None, None)),
            "attention.queries": ColwiseParallel(),
            "attention.keys": ColwiseParallel(),
            "attention.values": ColwiseParallel(),
            "attention.out": RowwiseParallel(),
            "feed_forward": PrepareModuleInput(input_layouts=(whole,), desired_input_layouts=(whole,)),
            "feed_forward.up": ColwiseParallel(),
            **({"feed_forward.gate": ColwiseParallel()} if model.settings.gated else {}),
            "feed_forward.out": RowwiseParallel(),
        }
        parallelize_module(block, mesh, plan)
    if model.slopes is not None:
        model.slopes = model.slopes.chunk(world.tensor_ranks)[world.tensor_rank].clone()


def _norms_of_heads(model: Decoder) -> list[nn.Parameter]:
    """Gains over a head's dimensions: every process has them whole, and gradients of its own heads alone."""
    norms = (norm for block in _blocks(model) for norm in (block.attention.query_norm, block.attention.key_norm))
    return [gain for norm in norms if norm is not None for gain in norm.parameters()]


def _recompute(block: Block, *, selective: bool) -> None:
    """Keep a block's input alone for the backward pass, or beside it what is dear to compute again.

    The method is wrapped, not the module: names stay, and FSDP's hooks run outside, once.
    """
    contexts: dict[str, Any] = {}
    if selective:
        contexts = {"context_fn": partial(create_selective_checkpoint_contexts, _keep_what_is_dear)}
    block.forward = partial(checkpoint, block.forward, use_reentrant=False, **contexts)  # type: ignore[method-assign]


def _keep_what_is_dear(context: Any, operation: Any, *args: Any, **kwargs: Any) -> CheckpointPolicy:
    return CheckpointPolicy.MUST_SAVE if operation in _dear() else CheckpointPolicy.PREFER_RECOMPUTE


def _dear() -> frozenset[Any]:
    """Matrix products and fused attention (the list of torchtitan, from memory, without collectives)."""
    aten = torch.ops.aten
    return frozenset(
        {
            aten.mm.default,
            aten.addmm.default,
            aten.bmm.default,
            aten._grouped_mm.default,
            aten._scaled_dot_product_flash_attention.default,
            aten._scaled_dot_product_flash_attention_for_cpu.default,
            aten._scaled_dot_product_efficient_attention.default,
            aten._scaled_dot_product_cudnn_attention.default,
            torch.ops.higher_order.flex_attention,
        }
    )


def _copied(model: Decoder, world: World, device: torch.device) -> DistributedDataParallel:
    """The model within what averages its gradients while the rest of the backward pass goes on."""
    with warnings.catch_warnings():
        # its new name is not in all versions of torch; buffers are tables, the same everywhere
        warnings.filterwarnings("ignore", ".*broadcast_buffers", FutureWarning)
        return DistributedDataParallel(
            model,
            device_ids=[device.index] if device.type == "cuda" else None,
            process_group=world.group(DATA),
            gradient_as_bucket_view=True,
            broadcast_buffers=False,
        )


def _share_out(model: Decoder, world: World, device: torch.device) -> None:
    """Cut every parameter into as many parts as there are data ranks, a block at a time; the rest of the model is one unit.

    Master weights and sums of gradients are float32. Blocks compute in bfloat16 on a GPU; embedding, head and the last norm are
    gathered in float32, so that the stream between the blocks is what one process has.
    """
    if world.mesh is None:
        raise RuntimeError("a process alone has nobody to share weights with")
    mesh = world.mesh[DATA]
    kept = MixedPrecisionPolicy(cast_forward_inputs=False)
    narrow = MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32, cast_forward_inputs=False)
    for unit in [*model.blocks, *model.aheads]:
        fully_shard(unit, mesh=mesh, mp_policy=narrow if device.type == "cuda" else kept)
    # the loss reads the head's weight by itself, within the model's forward: so it belongs to the model's own unit
    fully_shard(model, mesh=mesh, mp_policy=kept)


def _local(tensor: Tensor) -> Tensor:
    """This process's part."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def _split_over(tensor: Tensor) -> set[str]:
    """Dimensions of the mesh along which the processes have different parts of a tensor."""
    if not isinstance(tensor, DTensor):
        return set()
    if any(placement.is_partial() for placement in tensor.placements):
        raise RuntimeError(f"a gradient is a sum not yet summed: {tensor.placements}")
    names = tensor.device_mesh.mesh_dim_names or ()
    return {name for name, placement in zip(names, tensor.placements, strict=True) if not placement.is_replicate()}
