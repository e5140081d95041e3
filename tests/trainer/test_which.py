"""Which documents a step read, found again from the plan."""

import json

import pyarrow.parquet as pq
import pytest

from gristmill.tokenizers.shards import doc_hash, open_shards
from gristmill.trainer.config import ConfigError
from gristmill.trainer.loader import Loader, Plan
from gristmill.trainer.run_folder import RUN_FILE
from gristmill.trainer.train import train
from gristmill.trainer.which import which

LENGTH, WINDOWS, STEPS = 32, 4, 12


@pytest.fixture(scope="module")
def shards(make_corpus, tmp_path_factory):
    texts = {name: [f"{name} {' mill' * (n % 40)} {n}" for n in range(90)] for name in ("web", "books")}
    return open_shards(make_corpus(tmp_path_factory.mktemp("short"), texts))


@pytest.fixture(scope="module")
def run(shards, tmp_path_factory):
    output = tmp_path_factory.mktemp("run") / "run"
    sets = [
        f"data={shards.folder}", "device=cpu", "threads=1", f"seq_len={LENGTH}", f"windows={WINDOWS}", "model.layers=1",
        "model.width=32", "model.heads=2", "model.kv_heads=1", f"steps={STEPS}", "mixture={web: 3, books: 1}",
    ]  # fmt: skip
    train("tiny", sets, output)
    return output


def text_of(shards, row):
    """The tokens of a row's document, read from its shard alone."""
    stream = shards.streams[row["source"]]
    shard = [str(file) for file in stream.files].index(row["shard"])
    ends = stream.ends[shard].tolist()
    begin, end = ([0, *ends][row["row"]], ends[row["row"]])
    assert end - begin == row["document_tokens"]
    return stream.pieces[shard][begin + row["first_token"] : begin + row["first_token"] + row["tokens"]].tolist()


def test_the_documents_of_every_step_are_the_tokens_it_read(run, shards):
    loader = Loader(shards, Plan.of(shards, {"web": 3, "books": 1}, seq_len=LENGTH, windows=WINDOWS), 0)
    for step in range(1, STEPS + 1):
        draw = loader.draw()
        [rows] = loader.rows(draw, WINDOWS)
        found = which(run, step)
        assert (found["order_hash"], found["in_log"]) == (draw.order_hash, True)
        read = [[], [], [], []]
        for row in found["documents"]:
            read[row["window_of_batch"]] += text_of(shards, row)
        assert read == rows[:, :-1].tolist()


def test_documents_are_told_by_the_hash_of_their_ids(run, shards):
    for row in which(run, 3)["documents"]:
        kept = pq.read_table(f"{row['shard']}.docs.parquet")["doc_id"][row["row"]].as_py().hex()
        assert row["doc_hash"] == kept
        assert kept in {doc_hash(f"{row['source']}#{n}").hex() for n in range(90)}


@pytest.mark.parametrize("ranks", [2, 4])
def test_the_shares_of_the_ranks_are_the_batch(run, ranks):
    parts = [which(run, 5, rank=rank, ranks=ranks)["documents"] for rank in range(ranks)]
    whole = which(run, 5)["documents"]
    assert sorted((r["window_of_batch"], r["row"]) for part in parts for r in part) == [
        (r["window_of_batch"], r["row"]) for r in whole
    ]
    assert len({r["window_of_batch"] for r in parts[0]}) == WINDOWS // ranks


def test_a_log_that_tells_another_order_is_not_believed(run, tmp_path):
    rows = [json.loads(line) for line in (run / "metrics.jsonl").open()]
    (tmp_path / RUN_FILE).write_bytes((run / RUN_FILE).read_bytes())
    rows[4]["order_hash"] = "0" * 64
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows[:6]))
    assert [which(tmp_path, step)["in_log"] for step in (4, 5, 7, 9)] == [True, False, None, None]
    assert which(tmp_path, 9)["order_hash"] is None


def test_steps_ranks_runs_and_data_that_are_not_there(run, shards, tmp_path):
    with pytest.raises(ConfigError, match="has no step 13; the run has 12, from 1"):
        which(run, 13)
    with pytest.raises(ConfigError, match="4 windows has no share 3 of 3"):
        which(run, 1, rank=3, ranks=3)
    with pytest.raises(FileNotFoundError, match=r"holds no train\.json"):
        which(tmp_path, 1)
    told = json.loads((run / RUN_FILE).read_text())
    (tmp_path / RUN_FILE).write_text(json.dumps(told | {"plan_hash": "0" * 64}))
    with pytest.raises(ConfigError, match="the plan's hash differs"):
        which(tmp_path, 1)
