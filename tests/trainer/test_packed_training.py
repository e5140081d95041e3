"""Packing and a ramp of the batch, from the configuration to the loss."""

import json

import numpy as np
import pytest
import torch

from gristmill.tokenizers.shards import open_shards
from gristmill.trainer.config import ConfigError, read_config
from gristmill.trainer.loader import Loader, Plan
from gristmill.trainer.losses import IGNORED
from gristmill.trainer.micro_batch import make_micro_batches, with_documents
from gristmill.trainer.model import Decoder
from gristmill.trainer.objectives import Objective
from gristmill.trainer.settings import DocumentSettings, ModelSettings, ObjectiveSettings
from gristmill.trainer.train import train
from gristmill.trainer.which import which

LENGTH = 24


@pytest.fixture(scope="module")
def short(make_corpus, tmp_path_factory):
    """Shards of documents of one to forty words; many are longer than a window, many fit beside others."""
    texts = {name: [f"{name} {' mill' * (n % 40)} {n}" for n in range(120)] for name in ("web", "books")}
    return open_shards(make_corpus(tmp_path_factory.mktemp("short"), texts))


def sets_of(shards, *more):
    return [
        f"data={shards.folder}", "device=cpu", "threads=1", f"seq_len={LENGTH}", "windows=8", "model.layers=1", "model.width=32",
        "model.heads=2", "model.kv_heads=1", *more,
    ]  # fmt: skip


def batch_of(shards, plan, **told):
    loader = Loader(shards, plan, 0)
    draw = loader.draw()
    objective = Objective(ObjectiveSettings(), shards.tokenizer.vocab_size, LENGTH)
    size = len(draw.sources)
    parts = make_micro_batches(loader.rows(draw, size), draw, objective, 0, ignored=loader.ignored(draw, size))
    return draw, with_documents(parts, loader.documents(draw, size), DocumentSettings(**told))[0]


@pytest.mark.parametrize("positions", ["rope", "learned", "alibi"])
def test_documents_packed_by_best_fit_cost_what_each_piece_costs_alone(short, positions):
    plan = Plan.of(short, {"web": 1, "books": 1}, seq_len=LENGTH, windows=40, packing="best_fit")
    draw, batch = batch_of(short, plan, mask=True, positions="document", first_token="ignore")
    torch.manual_seed(0)
    shape = ModelSettings(layers=2, width=32, heads=2, kv_heads=2, positions=positions)
    model = Decoder(shape, short.tokenizer.vocab_size, LENGTH)
    alone = 0.0
    with torch.no_grad():
        together = model(batch.ids, batch.targets, documents=batch.documents, positions=batch.positions).per_token
        for row, (source, window) in enumerate(zip(draw.sources.tolist(), draw.windows.tolist(), strict=True)):
            costs = 0.0
            for start, stop in plan.packed[source].spans(window):
                if stop - start > 1:
                    tokens = short.streams[plan.sources[source]].read(start, stop).astype(np.int64)
                    ids = torch.from_numpy(tokens)[None]
                    costs += model(ids[:, :-1], ids[:, 1:]).per_token.sum()
            torch.testing.assert_close(together[row].sum(), torch.as_tensor(costs))
            alone += float(costs)
    assert (batch.targets == IGNORED).any()
    assert alone > 0


def test_targets_that_count_are_those_that_the_loader_charged_for(short):
    plan = Plan.of(short, {"web": 1, "books": 1}, seq_len=LENGTH, windows=40, packing="best_fit")
    loader = Loader(short, plan, 0)
    loader.draw()
    _, batch = batch_of(short, plan, mask=True)
    assert batch.counted == (batch.targets != IGNORED).sum() == loader.tokens < 40 * LENGTH


def test_best_fit_masks_documents_unless_it_is_told_not_to(short):
    masks = {
        packing: read_config("tiny", sets_of(short, f"packing={packing}")).documents.mask
        for packing in ("concat", "best_fit", "crop")
    }
    assert masks == {"concat": False, "best_fit": True, "crop": False}
    assert read_config("tiny", sets_of(short, "packing=best_fit", "documents.positions=document")).documents.mask
    assert not read_config("tiny", sets_of(short, "packing=best_fit", "documents.mask=false")).documents.mask


@pytest.mark.parametrize(
    "more",
    [
        ("packing=best_fit",),
        ("packing=crop", "micro_windows=2"),
        ("batch_ramp=[{tokens: 300, windows: 2}, {tokens: 300, windows: 4}]", "micro_windows=2"),
        (
            "packing=best_fit",
            "batch_ramp=[{tokens: 500, windows: 4}]",
            "schedule.clock=tokens",
            "schedule.warmup_steps=0",
            "schedule.tokens=2000",
        ),
    ],
)
def test_a_training_learns_and_goes_on_exactly_and_its_documents_are_found(short, tmp_path, more):
    sets = sets_of(short, "schedule.steps=null", "optimizer.learning_rate=0.01", *more)
    if "schedule.clock=tokens" not in more:
        sets.append("schedule.steps=14")
    whole = train("tiny", [*sets, "steps=14"], tmp_path / "whole")
    train("tiny", [*sets, "steps=5"], tmp_path / "parts")
    parts = train("tiny", [*sets, "steps=14"], tmp_path / "parts")
    assert whole["last_loss"] == parts["last_loss"] < whole["first_loss"]
    rows = [json.loads(line) for line in (tmp_path / "parts" / "metrics.jsonl").open()]
    for step in (1, 4, 8, 14):
        found = which(tmp_path / "parts", step)
        assert found["in_log"] is True
        assert {row["source"] for row in found["documents"]} <= set(rows[step - 1]["source_loss"])
    sizes = [1 + max(row["window_of_batch"] for row in which(tmp_path / "parts", step)["documents"]) for step in (1, 8, 14)]
    if "ramp" in more[0]:
        # 300 tokens are 7 batches of 2 windows of 24, then 4 batches of 4
        assert sizes == [2, 4, 8]
        assert [row["tokens"] for row in rows[-4:]] == [(14 + 16 + 8 * n) * LENGTH for n in range(4)]


def test_which_shows_whole_documents_where_they_fit(short, tmp_path):
    train("tiny", sets_of(short, "packing=best_fit", "steps=3"), tmp_path / "run")
    documents = which(tmp_path / "run", 2)["documents"]
    for row in documents:
        if row["document_tokens"] <= LENGTH + 1:
            assert (row["first_token"], row["tokens"]) == (0, row["document_tokens"])
    assert any(row["document_tokens"] > LENGTH + 1 for row in documents)


def test_the_learning_rate_by_tokens_ends_with_the_steps_of_a_ramp(short, tmp_path):
    sets = sets_of(short, "batch_ramp=[{tokens: 150, windows: 2}]", "steps=8", "schedule.clock=tokens", "schedule.warmup_steps=0")
    train("tiny", [*sets, "schedule.name=linear", "schedule.least=0", "optimizer.learning_rate=0.01"], tmp_path / "run")
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").open()]
    # 4 batches of 2 windows and 4 of 8: 40 windows; the rate falls with the tokens read before a step
    shares = [row["learning_rate"] / 0.01 for row in rows]
    read = np.array([0, 2, 4, 6, 8, 16, 24, 32]) / 40
    assert np.diff(shares) == pytest.approx(-np.diff(read), abs=1e-6)


def test_what_packing_did_is_told(short, tmp_path, capsys):
    train("tiny", sets_of(short, "packing=crop", "steps=1"), tmp_path / "run")
    told = capsys.readouterr().err.splitlines()
    assert [line.split(":")[0] for line in told[:2]] == ["books", "web"]
    assert "crop puts 1" in told[0]
    assert "% of " in told[0]


@pytest.mark.parametrize(
    ("sets", "told"),
    [
        (["packing=best_fit", "objective.name=prefix", "documents.mask=false"], "packing best_fit is for the causal objective"),
        (["batch_ramp=[{tokens: 100, windows: 3}]", "micro_windows=2"], "micro_windows 2 must divide windows 3"),
        (["batch_ramp=[{windows: 3}]"], "batch_ramp.0.tokens: is missing"),
        (["packing=best"], "packing: is 'best'"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(short, sets, told):
    with pytest.raises(ConfigError, match=told):
        read_config("tiny", sets_of(short, *sets))
