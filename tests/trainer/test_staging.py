import dataclasses
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gristmill.trainer.batches import Batches
from gristmill.trainer.micro_batch import MicroBatch
from gristmill.trainer.staging import BUFFERS, Buffer, CorruptedTokens, Staging, checksum
from gristmill.trainer.train import train

CPU = torch.device("cpu")
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")


def micro_batch(seed, windows=3, length=5, **others):
    rows = torch.randint(0, 1000, (windows, length + 1), generator=torch.Generator().manual_seed(seed))
    return MicroBatch(rows[:, :-1], rows[:, 1:], None, windows * length, torch.zeros(windows, dtype=torch.int64), **others)


def same(one, other):
    return one.tensors().keys() == other.tensors().keys() and all(
        torch.equal(tensor, other.tensors()[name]) for name, tensor in one.tensors().items()
    )


def test_the_checksum_is_the_sum_of_values_times_odd_numbers_of_their_places():
    batch = micro_batch(0)
    values = np.concatenate([tensor.numpy().ravel() for tensor in (batch.ids, batch.targets, batch.sources)])
    expected = sum((int(value) + 1) * (2 * place + 1) * 0x1E3779B97F4A7C15 for place, value in enumerate(values))
    assert int(checksum(batch)) % 2**64 == expected % 2**64


@given(st.integers(0, 2), st.integers(0, 4), st.integers(1, 2**40))
def test_another_token_anywhere_is_another_checksum(window, place, by):
    batch = micro_batch(1)
    ids = batch.ids.clone()
    ids[window, place] += by
    assert int(checksum(dataclasses.replace(batch, ids=ids))) != int(checksum(batch))


def test_tokens_that_change_places_and_windows_that_do_are_another_checksum():
    batch = micro_batch(2)
    ids = batch.ids.clone()
    ids[0, 0], ids[2, 3] = batch.ids[2, 3], batch.ids[0, 0]
    changed = [ids, batch.ids[[1, 0, 2]], batch.ids.roll(1, 1)]
    assert len({int(checksum(dataclasses.replace(batch, ids=one))) for one in [batch.ids, *changed]}) == 4


def test_a_buffer_holds_a_batch_in_memory_that_it_uses_again():
    buffer = Buffer(pinned=False)
    batches = [
        [micro_batch(3), micro_batch(4, windows=1)],
        [micro_batch(5, windows=2, documents=torch.ones(2, 5, dtype=torch.int32))],
        [micro_batch(6, windows=40)],
    ]
    places = []
    for parts in batches:
        laid = buffer.fill(parts)
        assert all(same(one, part) for one, part in zip(laid, parts, strict=True))
        assert [part.counted for part in laid] == [part.counted for part in parts]
        tensors = [tensor for part in laid for tensor in part.tensors().values()]
        spans = sorted((tensor.data_ptr(), tensor.data_ptr() + tensor.numel() * tensor.element_size()) for tensor in tensors)
        assert all(before[1] <= after[0] for before, after in pairwise(spans))
        assert all(tensor.is_contiguous() for tensor in tensors)
        places.append(tensors[0].data_ptr())
    assert places[0] == places[1]  # the second batch is smaller; the third had to have more memory


def test_what_is_taken_is_what_was_sent():
    staging = Staging(CPU, verify=True)
    sent = [staging.send(step, [micro_batch(step), micro_batch(-step)]) for step in range(1, 2 * BUFFERS)]
    for step, one in enumerate(sent, 1):
        assert all(
            same(part, expected)
            for part, expected in zip(staging.take(one), [micro_batch(step), micro_batch(-step)], strict=True)
        )


def test_tokens_that_changed_on_their_way_are_found():
    staging = Staging(CPU, verify=True)
    sent = staging.send(7, [micro_batch(1), micro_batch(2)])
    sent.micro_batches[1].ids[2, 4] += 1
    with pytest.raises(CorruptedTokens, match="step 7, micro-batch 2: the tokens on cpu have the checksum"):
        staging.take(sent)


def test_they_are_not_looked_for_unless_asked():
    staging = Staging(CPU)
    sent = staging.send(7, [micro_batch(1)])
    sent.micro_batches[0].ids[0, 0] += 1
    assert staging.take(sent) == sent.micro_batches


def test_a_training_that_compares_and_reads_ahead_is_the_same_training(corpus, tmp_path, monkeypatch):
    sets = [
        f"data={corpus}", "device=cpu", "threads=1", "seq_len=32", "windows=4", "model.layers=1", "model.width=32",
        "model.heads=2", "model.kv_heads=1", "steps=6",
    ]  # fmt: skip
    plain = train("tiny", sets, tmp_path / "plain")
    sets += ["verify_tokens=true", "read_ahead=true"]
    assert train("tiny", sets, tmp_path / "checked")["last_loss"] == plain["last_loss"]

    def damaged(self, draw, read=Batches._read):
        sent = read(self, draw)
        sent.micro_batches[0].ids[0, 0] += draw.step == 4
        return sent

    monkeypatch.setattr(Batches, "_read", damaged)
    with pytest.raises(CorruptedTokens, match="step 4"):
        train("tiny", sets, tmp_path / "damaged")


@needs_gpu
def test_batches_in_flight_are_not_written_over():
    device = torch.device("cuda")
    staging = Staging(device)
    busy, taken = torch.randn(4096, 4096, device=device), []
    for step in range(100):
        sent = staging.send(step, [micro_batch(step, windows=64, length=2048)])
        busy = busy @ busy / busy.norm()  # the device is behind, and buffers come round before it has got to them
        taken.append(staging.take(sent)[0].ids.clone())
    for step, ids in enumerate(taken):
        assert torch.equal(ids.to(CPU), micro_batch(step, windows=64, length=2048).ids)
