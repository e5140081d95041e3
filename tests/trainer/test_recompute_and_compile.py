"""Activations that are computed again, and compiled blocks, in one process."""

import shutil

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from gristmill.trainer import parallel
from gristmill.trainer.config import read_config
from gristmill.trainer.model import Decoder
from gristmill.trainer.world import World

SMALL = ["data=none", "threads=1", "model.width=32", "model.heads=4", "model.kv_heads=2"]
PRODUCTS = {torch.ops.aten.mm.default, torch.ops.aten._scaled_dot_product_flash_attention_for_cpu.default}
DEVICE = torch.device("cpu")


def prepared(*sets):
    """A model with the same weights each time, as the settings prepare it."""
    settings = read_config("tiny", [*SMALL, *sets])
    torch.manual_seed(0)
    return parallel.apply(Decoder(settings.model, 300, 32), settings, World(), DEVICE).model


def rows():
    return torch.randint(0, 300, (4, 33), generator=torch.Generator().manual_seed(1))


class Counted(TorchDispatchMode):
    """Counts operations by kind: matrix products and attention, and all others."""

    def __init__(self):
        super().__init__()
        self.products = self.others = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func in PRODUCTS:
            self.products += 1
        else:
            self.others += 1
        return func(*args, **(kwargs or {}))


def learned(model):
    """Loss, gradients by name, and what was computed."""
    with Counted() as counted:
        loss = model.loss(rows())
        loss.backward()
    return loss.item(), {name: one.grad for name, one in model.named_parameters()}, counted


@pytest.mark.parametrize("model", [[], ["model.experts={count: 4, per_token: 2, width: 16}"], ["model.ahead=1"]])
def test_what_is_computed_again_is_the_same_to_the_last_bit(model):
    loss, gradients, _ = learned(prepared("model.layers=2", *model))
    for kind in ("full", "selective"):
        again, others, _ = learned(prepared("model.layers=2", f"activation_checkpointing={kind}", *model))
        assert again == loss
        assert others.keys() == gradients.keys()
        assert all(torch.equal(others[name], gradients[name]) for name in gradients)


def test_selective_computes_no_matrix_product_again_and_full_all_of_them():
    none, selective, full = (
        learned(prepared("model.layers=2", f"activation_checkpointing={kind}"))[2] for kind in ("none", "selective", "full")
    )
    # a block's forward: seven matrices and the attention; the last matrix's product is nothing that the backward pass needs
    assert full.products == none.products + 2 * 7
    assert selective.products == none.products
    assert selective.others > none.others


@pytest.mark.skipif(not any(map(shutil.which, ("c++", "g++", "clang++"))), reason="needs a C++ compiler")
def test_a_compiled_model_learns_the_same(monkeypatch):
    # here, not in a pool of processes that each import torch first
    monkeypatch.setattr("torch._inductor.config.compile_threads", 1)
    loss, gradients, _ = learned(prepared("model.layers=2"))
    compiled = prepared("model.layers=2", "compile=true")
    torch._dynamo.utils.counters.clear()
    again = compiled.loss(rows())
    again.backward()
    assert again.item() == pytest.approx(loss, rel=1e-6)
    for name, one in compiled.named_parameters():
        torch.testing.assert_close(one.grad, gradients[name], rtol=1e-4, atol=1e-7)
    # blocks are alike and compiled once, with nothing left out
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1
    assert not torch._dynamo.utils.counters["graph_break"]
