"""Held-out loss and bits per byte by source, against the model asked token by token."""

import json
import math
from contextlib import nullcontext

import pytest
import torch

from gristmill.tokenizers.shards import open_shards
from gristmill.trainer import checkpoint
from gristmill.trainer.config import ConfigError
from gristmill.trainer.evaluation import Evaluation
from gristmill.trainer.model import Decoder
from gristmill.trainer.settings import DocumentSettings, EvaluationSettings, ModelSettings
from gristmill.trainer.train import train

LENGTH = 24
TEXTS = {"web": [f"held {' mill' * (3 * n % 13)} é {n}" for n in range(9)], "books": ["one short text", "and another one"]}
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def held_out(make_corpus, tmp_path_factory):
    return make_corpus(tmp_path_factory.mktemp("held_out"), TEXTS)


@pytest.fixture(scope="module")
def model(held_out):
    torch.manual_seed(0)
    shape = ModelSettings(layers=1, width=32, heads=2, kv_heads=2, init_std=0.2)
    return Decoder(shape, open_shards(held_out).tokenizer.vocab_size, LENGTH)


def evaluation(folder, documents=None, **how):
    settings = EvaluationSettings(data=str(folder), **how)
    return Evaluation(settings, open_shards(folder).tokenizer, LENGTH, documents)


def nats(model, context, token):
    with torch.no_grad():
        return -model(torch.tensor([context]))[0, -1].log_softmax(-1)[token].item()


def by_hand(model, stream, eos):
    """Nats of all tokens, each asked alone: before it the rest of its window, windows end to end from an end-of-text token on."""
    tokens = [eos, *stream.read(0, len(stream)).tolist()]
    return sum(nats(model, tokens[n // LENGTH * LENGTH : n + 1], tokens[n + 1]) for n in range(len(tokens) - 1))


@pytest.mark.parametrize("micro", [1, 3, 50])
def test_every_held_out_token_is_predicted_once_and_bytes_are_those_of_the_texts(held_out, model, micro):
    shards = open_shards(held_out)
    found = evaluation(held_out, micro_windows=micro).measure(model, CPU, nullcontext)
    total = 0.0
    for name, texts in TEXTS.items():
        stream = shards.streams[name]
        wanted = by_hand(model, stream, shards.manifest.eos_id)
        total += wanted
        assert found[name]["loss"] == pytest.approx(wanted / len(stream), rel=1e-5)
        size = sum(len(text.encode()) for text in texts)
        assert found[name]["bits_per_byte"] == pytest.approx(wanted / math.log(2) / size, rel=1e-5)
    tokens = sum(map(len, shards.streams.values()))
    assert found["all"]["loss"] == pytest.approx(total / tokens, rel=1e-5)


@pytest.mark.parametrize("micro", [4])
def test_a_model_that_sees_one_document_is_asked_so(held_out, model, micro):
    shards = open_shards(held_out)
    told = DocumentSettings(mask=True, positions="document")
    found = evaluation(held_out, told, micro_windows=micro).measure(model, CPU, nullcontext)
    for name, stream in shards.streams.items():
        tokens = [shards.manifest.eos_id, *stream.read(0, len(stream)).tolist()]
        begins = [0, *(n for n in range(1, len(tokens)) if tokens[n - 1] == shards.manifest.eos_id)]
        wanted = 0.0
        for n in range(len(tokens) - 1):
            first = max(n // LENGTH * LENGTH, *(begin for begin in begins if begin <= n), 0)
            wanted += nats(model, tokens[first : n + 1], tokens[n + 1])
        assert found[name]["loss"] == pytest.approx(wanted / len(stream), rel=1e-5)


@pytest.mark.parametrize("most", [1, 40, 90, 150, 10_000])
def test_the_first_whole_documents_that_fit_are_taken(held_out, most):
    shards = open_shards(held_out)
    stream = shards.streams["web"]
    source = evaluation(held_out, tokens=most).sources["web"]
    ends = [0, *stream.document_ends(0, len(stream) + 1).tolist()]
    # at least one document, and no more than fit
    assert source.tokens == max(ends[1], *(end for end in ends if end <= most))
    tokens = stream.read(0, source.tokens).tolist()
    from tokenizers import Tokenizer

    text = Tokenizer.from_file(str(held_out / "tokenizer.json")).decode(tokens, skip_special_tokens=True)
    assert source.bytes == len(text.encode())


def test_training_reports_held_out_and_per_source_loss_and_learns_the_same(corpus, make_corpus, tmp_path):
    sets = [
        f"data={corpus}", "device=cpu", "threads=1", "seq_len=32", "windows=8", "model.layers=1", "model.width=32",
        "model.heads=2", "model.kv_heads=1", "steps=5",
    ]  # fmt: skip
    train("tiny", [*sets, f"evaluation.data={corpus}", "evaluation.every=2", "evaluation.tokens=500"], tmp_path / "with")
    train("tiny", sets, tmp_path / "without")
    rows, others = ([json.loads(line) for line in (tmp_path / n / "metrics.jsonl").open()] for n in ("with", "without"))
    assert [row["loss"] for row in rows] == [row["loss"] for row in others]
    assert [row["step"] for row in rows if "held_out" in row] == [2, 4, 5]
    assert set(rows[-1]["held_out"]) == {"web", "books", "all"}
    assert rows[-1]["held_out"]["all"]["loss"] < rows[1]["held_out"]["all"]["loss"]
    for row in rows:
        # 8 windows by tokens: the mean over the batch is that of the sources by their windows
        low, high = sorted(row["source_loss"].values())
        assert low <= row["loss"] <= high
    first, second = (checkpoint.load(checkpoint.checkpoints(tmp_path / n)[-1][1])["model"] for n in ("with", "without"))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_the_loss_of_a_single_source_is_the_loss(corpus, tmp_path):
    sets = [
        "device=cpu",
        "threads=1",
        "seq_len=32",
        "windows=8",
        "micro_windows=2",
        "model.layers=1",
        "steps=2",
        "mixture={web: 1}",
    ]
    train("tiny", [f"data={corpus}", *sets], tmp_path)
    for line in (tmp_path / "metrics.jsonl").open():
        row = json.loads(line)
        assert row["source_loss"] == {"web": pytest.approx(row["loss"], rel=1e-6)}


def test_shards_of_another_tokenizer_and_empty_ones_are_refused(corpus, held_out, make_corpus, tmp_path):
    sets = [f"data={corpus}", "device=cpu", "steps=1", "seq_len=32"]
    other = make_corpus(tmp_path / "other", {"web": ["quite other words, quite another tokenizer"] * 3})
    with pytest.raises(ConfigError, match=r"its tokenizer is .*, the training data's is .*give shards that the same"):
        train("tiny", [*sets, f"evaluation.data={other}"], tmp_path / "run")
    manifest = held_out / "manifest.json"
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "manifest.json").write_text(json.dumps(json.loads(manifest.read_text()) | {"sources": []}))
    with pytest.raises(ConfigError, match="holds no document"):
        evaluation(tmp_path / "empty")
    assert not (tmp_path / "run").exists()
