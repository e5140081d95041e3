"""Tokens that the shards mask are read and never learned."""

from types import SimpleNamespace

import fsspec
import numpy as np
import pyarrow as pa
import pytest
import torch

from gristmill.tokenizers.mixture_plan import SelectedStream
from gristmill.tokenizers.shards import doc_hashes, open_shards, write_manifest, write_shard
from gristmill.tokenizers.training import train_byte_bpe
from gristmill.trainer.loader import Draw, Loader, Plan
from gristmill.trainer.losses import IGNORED
from gristmill.trainer.micro_batch import make_micro_batches, with_documents
from gristmill.trainer.model import Decoder
from gristmill.trainer.objectives import Objective
from gristmill.trainer.settings import DocumentSettings, ModelSettings, ObjectiveSettings
from gristmill.trainer.train import train

LENGTH = 16
OTHER_THAN_CAUSAL = ["prefix", "span_corruption", "ul2", "fill_in_the_middle"]


LOCAL = fsspec.filesystem("file")


def write(folder, masked=True):
    """Two sources of 60 documents of up to 40 tokens; of every third document of web a run of tokens is masked."""
    entries = {}
    for seed, name in enumerate(("books", "web")):
        draw = np.random.default_rng(seed)
        tokens = [[*draw.integers(1, 300, 1 + int(draw.integers(40))).tolist(), 0] for _ in range(60)]
        runs = [[0, (len(one) - 1) // 2 + 1] if masked and seed and at % 3 == 0 else None for at, one in enumerate(tokens)]
        table = pa.table(
            {
                "doc_id": doc_hashes(f"{name}{at}" for at in range(60)),
                "tokens": pa.array(tokens, pa.large_list(pa.uint16())),
                "n_bytes": [len(one) for one in tokens],
                "masked": pa.array(runs, pa.large_list(pa.int32())),
            }
        ).sort_by("doc_id")
        parts = [table.slice(0, 25), table.slice(25)]
        entries[name] = [write_shard(LOCAL, f"{folder}/{name}/{at:05d}", [part], dtype="uint16") for at, part in enumerate(parts)]
    tokenizer = train_byte_bpe(["abc"], 300)
    write_manifest(LOCAL, str(folder), entries, tokenizer_json=tokenizer, eos_id=0, vocab_size=300, dtype="uint16")
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write(tmp_path_factory.mktemp("masked"))


@pytest.fixture(scope="module")
def shards(folder):
    return open_shards(folder)


def loader_of(shards, **more):
    return Loader(shards, Plan.of(shards, {"web": 3, "books": 1}, seq_len=LENGTH, windows=8, **more), 0)


def batch_of(shards, told=None):
    """A batch as the model gets it, with its rows and which of their tokens are masked."""
    loader = loader_of(shards)
    draw = loader.draw()
    rows, masked = loader.rows(draw, 8), loader.masked(draw, 8)
    objective = Objective(ObjectiveSettings(), 300, LENGTH)
    batches = make_micro_batches(rows, draw, objective, 0, ignored=loader.ignored(draw, 8), masked=masked)
    if told is not None:
        batches = with_documents(batches, loader.documents(draw, 8), told)
    return batches[0], rows[0], masked[0]


def test_the_masked_tokens_of_a_window_are_those_that_its_stream_tells(shards):
    loader = loader_of(shards)
    seen = 0
    for _ in range(10):
        draw = loader.draw()
        parts = [loader.masked(draw, 2, rank=rank, ranks=2) for rank in (0, 1)]
        found = np.concatenate([parts[rank][number] for number in (0, 1) for rank in (0, 1)])
        for row, source, window in zip(found, draw.sources.tolist(), draw.windows.tolist(), strict=True):
            stream = shards.streams[loader.plan.sources[source]]
            assert row.tolist() == (~stream.counted(window * LENGTH, window * LENGTH + LENGTH + 1)).tolist()
        seen += int(found.sum())
    assert seen > 50


def test_packed_windows_mask_the_same_tokens_of_their_documents(shards):
    wanted = {"web": {}, "books": {}}
    for name, stream in shards.streams.items():
        for token, counts in enumerate(stream.counted(0, len(stream)).tolist()):
            wanted[name][token] = not counts
    loader = loader_of(shards, packing="best_fit")
    for _ in range(5):
        draw = loader.draw()
        [found] = loader.masked(draw, 8)
        for row, source, window in zip(found, draw.sources.tolist(), draw.windows.tolist(), strict=True):
            name = loader.plan.sources[source]
            tokens = [token for start, stop in loader.spans(source, window) for token in range(start, stop)]
            expected = [wanted[name][token] for token in tokens][: LENGTH + 1]
            assert row.tolist() == expected + [False] * (LENGTH + 1 - len(expected))


def test_chosen_documents_keep_their_masks(shards):
    stream = shards.streams["web"]
    ends = [0, *stream.document_ends(0, len(stream) + 1).tolist()]
    spans = np.array([[ends[at], ends[at + 1]] for at in range(0, 60, 2)], dtype=np.int64)

    chosen = SimpleNamespace(folder=shards.folder, content="chosen", streams={"web": SelectedStream(stream, spans)})
    loader = Loader(chosen, Plan.of(chosen, {"web": 1}, seq_len=LENGTH, windows=8), 0)
    draw = loader.draw()
    [found] = loader.masked(draw, 8)
    whole = np.concatenate([~stream.counted(start, stop) for start, stop in spans.tolist()])
    for row, window in zip(found, draw.windows.tolist(), strict=True):
        assert row.tolist() == whole[window * LENGTH : window * LENGTH + LENGTH + 1].tolist()


def test_the_loss_and_its_gradients_are_those_of_the_other_tokens(shards):
    batch, rows, masked = batch_of(shards)
    torch.manual_seed(0)
    model = Decoder(ModelSettings(layers=1, width=32, heads=2, kv_heads=1), 300, LENGTH)
    losses = model(batch.ids, batch.targets)
    losses.total.backward()
    gradients = [parameter.grad.clone() for parameter in model.parameters()]
    model.zero_grad()
    chances = torch.log_softmax(model(batch.ids), -1)
    counted = [(row, at) for row in range(8) for at in range(1, LENGTH + 1) if not masked[row, at]]
    by_hand = -torch.stack([chances[row, at - 1, rows[row, at]] for row, at in counted]).mean()
    by_hand.backward()
    assert 0 < len(counted) < 8 * LENGTH
    assert batch.counted == len(counted) == int(losses.tokens)
    assert losses.total.item() == pytest.approx(by_hand.item(), abs=1e-5)
    for gradient, parameter in zip(gradients, model.parameters(), strict=True):
        assert torch.allclose(gradient, parameter.grad, atol=1e-6)
    assert torch.equal(batch.ids, torch.from_numpy(rows[:, :-1]))  # masked tokens are read


def test_first_tokens_that_do_not_count_do_not_count_twice(shards):
    batch, rows, masked = batch_of(shards, DocumentSettings(mask=True, first_token="ignore"))
    after_the_end = rows[:, :-1] == 0
    assert torch.equal(batch.targets == IGNORED, torch.from_numpy(masked[:, 1:] | after_the_end))
    assert batch.counted == int((~(masked[:, 1:] | after_the_end)).sum())


DRAW = Draw(3, np.zeros(2, dtype=np.int32), np.array([5, 6]), "")
ROWS = np.arange(1, 2 * (LENGTH + 1) + 1, dtype=np.int64).reshape(2, LENGTH + 1)  # each token is its own place


@pytest.mark.parametrize("name", ["causal", *OTHER_THAN_CAUSAL])
def test_wherever_an_objective_puts_a_masked_token_it_is_no_target(name):
    objective = Objective(ObjectiveSettings(name=name), 100, LENGTH)
    masked = np.zeros_like(ROWS, dtype=bool)
    masked[0, 3:9] = masked[1, 0] = masked[1, -2:] = True
    [plain] = make_micro_batches([ROWS], DRAW, objective, 9)
    [batch] = make_micro_batches([ROWS], DRAW, objective, 9, masked=[masked])
    assert torch.equal(batch.ids, plain.ids)
    gone = torch.isin(plain.targets, torch.from_numpy(ROWS[masked]))
    assert gone.any()
    assert torch.equal(batch.targets, plain.targets.masked_fill(gone, IGNORED))
    assert batch.counted == int((batch.targets != IGNORED).sum())


def test_shards_without_masks_are_read_as_before(tmp_path):
    loader = loader_of(open_shards(write(tmp_path, masked=False)))
    assert loader.masked(loader.draw(), 4) == [None, None]


def test_training_on_masked_shards_goes_on_exactly(folder, tmp_path):
    sets = [
        f"data={folder}", "device=cpu", "threads=1", "seq_len=16", "windows=8", "model.layers=1", "model.width=32",
        "model.heads=2", "model.kv_heads=1", "schedule.steps=6", "max_epochs=40",
    ]  # fmt: skip
    whole = train("tiny", [*sets, "steps=6", "micro_windows=4"], tmp_path / "whole")
    train("tiny", [*sets, "steps=2", "micro_windows=2"], tmp_path / "parts")
    parts = train("tiny", [*sets, "steps=6", "micro_windows=4"], tmp_path / "parts")
    assert whole["last_loss"] == pytest.approx(parts["last_loss"], abs=1e-5)
