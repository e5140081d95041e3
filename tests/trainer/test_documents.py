"""Documents in windows: who sees whom, where positions begin, which targets count."""

import json

import numpy as np
import pytest
import torch

from gristmill.tokenizers.shards import open_shards
from gristmill.trainer.config import ConfigError
from gristmill.trainer.loader import Loader, Plan
from gristmill.trainer.losses import IGNORED
from gristmill.trainer.micro_batch import make_micro_batches, with_documents
from gristmill.trainer.model import Decoder
from gristmill.trainer.objectives import Objective
from gristmill.trainer.settings import DocumentSettings, ModelSettings, ObjectiveSettings
from gristmill.trainer.train import train

LENGTH = 48


@pytest.fixture(scope="module")
def short(make_corpus, tmp_path_factory):
    """Shards of documents of one to forty words, two shards a source."""
    texts = {name: [f"{name} {' mill' * (n % 40)} {n}" for n in range(90)] for name in ("web", "books")}
    return open_shards(make_corpus(tmp_path_factory.mktemp("short"), texts))


def loader_of(shards, windows=8):
    return Loader(shards, Plan.of(shards, {"web": 1, "books": 1}, seq_len=LENGTH, windows=windows), 0)


def batch_of(shards, **told):
    """A batch of windows as the model gets it, and its documents."""
    loader = loader_of(shards)
    draw = loader.draw()
    objective = Objective(ObjectiveSettings(), shards.tokenizer.vocab_size, LENGTH)
    documents = loader.documents(draw, 8)
    [batch] = with_documents(make_micro_batches(loader.rows(draw, 8), draw, objective, 0), documents, DocumentSettings(**told))
    return batch, documents[0]


def test_a_streams_documents_end_after_each_end_of_text_token(short):
    for name, stream in short.streams.items():
        whole = stream.read(0, len(stream))
        ends = np.flatnonzero(whole == short.manifest.eos_id) + 1
        assert len(ends) == 90, name
        for start, stop in [
            (0, len(stream)),
            (0, 1),
            (5, 300),
            (int(ends[3]), int(ends[9])),
            (int(ends[44]) - 1, int(ends[46]) + 1),
        ]:
            assert stream.document_ends(start, stop).tolist() == [end for end in ends.tolist() if start < end < stop]


def test_a_new_document_begins_after_each_end_of_text_token_of_a_window(short):
    loader = loader_of(short)
    for _ in range(5):
        draw = loader.draw()
        for rows, documents in zip(loader.rows(draw, 4), loader.documents(draw, 4), strict=True):
            expected = (rows == short.manifest.eos_id).cumsum(axis=1)
            assert (documents[:, 0] == 0).all()
            assert np.array_equal(documents[:, 1:], expected[:, :-1])


@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_ranks_read_the_documents_of_their_windows(short, ranks):
    loader = loader_of(short)
    draw = loader.draw()
    [whole] = loader.documents(draw, 8)
    parts = [loader.documents(draw, 2, rank=rank, ranks=ranks) for rank in range(ranks)]
    assert np.array_equal(np.concatenate([part[a] for a in range(8 // (2 * ranks)) for part in parts]), whole)


@pytest.mark.parametrize("positions", ["rope", "learned", "alibi"])
def test_documents_in_a_window_cost_what_they_cost_each_alone(short, positions):
    batch, documents = batch_of(short, mask=True, positions="document", first_token="ignore")
    torch.manual_seed(0)
    shape = ModelSettings(layers=2, width=32, heads=2, kv_heads=2, positions=positions)
    model = Decoder(shape, short.tokenizer.vocab_size, LENGTH)
    with torch.no_grad():
        together = model(batch.ids, batch.targets, documents=batch.documents, positions=batch.positions).per_token
        pieces = 0
        for row, numbers in enumerate(documents[:, :-1]):
            for number in np.unique(numbers):
                place = torch.from_numpy(np.flatnonzero(numbers == number))
                ids, targets = batch.ids[row, place][None], batch.targets[row, place][None]
                torch.testing.assert_close(model(ids, targets).per_token[0], together[row, place])
                pieces += 1
    assert pieces > 2 * len(documents)


def test_the_first_token_of_a_document_counts_unless_it_is_told_not_to(short):
    kept, documents = batch_of(short, mask=True)
    dropped, _ = batch_of(short, first_token="ignore")
    begins = documents[:, 1:] != documents[:, :-1]
    assert kept.counted == kept.targets.numel() == 8 * LENGTH
    assert np.array_equal((dropped.targets == IGNORED).numpy(), begins)
    assert dropped.counted == 8 * LENGTH - begins.sum()
    assert (kept.positions, dropped.documents) == (None, None)


def test_a_training_is_told_of_documents_and_says_so_when_it_changes(short, tmp_path, capsys):
    sets = [
        f"data={short.folder}", "device=cpu", "threads=1", f"seq_len={LENGTH}", "windows=4", "model.layers=1", "model.width=32",
        "model.heads=2", "model.kv_heads=1", "documents.mask=true", "documents.positions=document",
    ]  # fmt: skip
    train("tiny", [*sets, "steps=2"], tmp_path / "masked")
    train("tiny", [*sets[:-2], "steps=2"], tmp_path / "plain")
    masked, plain = ([json.loads(line) for line in (tmp_path / n / "metrics.jsonl").open()] for n in ("masked", "plain"))
    assert masked[0]["order_hash"] == plain[0]["order_hash"]
    assert masked[0]["loss"] != plain[0]["loss"]
    train("tiny", [*sets, "documents.first_token=ignore", "steps=3"], tmp_path / "masked")
    assert "from here on, documents.first_token was keep, now ignore" in capsys.readouterr().err


def test_documents_are_not_told_to_an_objective_that_moves_tokens(short, tmp_path):
    with pytest.raises(ConfigError, match="fill_in_the_middle moves tokens, leave documents out"):
        train("tiny", [f"data={short.folder}", "documents.mask=true", "objective.name=fill_in_the_middle"], tmp_path)
