"""A model asked after its training: the same answers as while it was trained."""

import json
import shutil

import pytest

from gristmill.pipeline.cli import exit_status
from gristmill.trainer.config import ConfigError
from gristmill.trainer.describe import export_run
from gristmill.trainer.evaluate import evaluate
from gristmill.trainer.settings import TaskSettings
from gristmill.trainer.train import train

ROWS = [
    {"id": "a", "question": "Near the old mill one", "choices": ["grinds grain", "waits for rain"], "answer": 0},
    {"id": "b", "question": "Near a market one", "choices": ["wakes early", "sells bread", "carries boats"], "answer": 1},
]


@pytest.fixture(scope="module")
def run(corpus, tmp_path_factory):
    folder = tmp_path_factory.mktemp("evaluate")
    (folder / "mills.jsonl").write_text("\n".join(map(json.dumps, ROWS)))
    shutil.copytree(corpus, folder / "shards")
    sets = [
        f"data={folder}/shards", "device=cpu", "threads=1", "seq_len=32", "windows=8", "model.layers=1", "model.width=32",
        "model.heads=2", "model.kv_heads=1", "steps=6", "average_decay=0.5", "checkpoint.every=3",
        f"evaluation={{data: {folder}/shards, tokens: 500, every: 3, tasks: [{{file: {folder}/mills.jsonl}}]}}",
    ]  # fmt: skip
    train("tiny", sets, folder / "run")
    return folder


def logged(run, step):
    rows = [json.loads(line) for line in (run / "run" / "metrics.jsonl").open()]
    return next({key: row[key] for key in ("held_out", "tasks")} for row in rows if row["step"] == step)


def measured(result):
    return {key: result[key] for key in ("held_out", "tasks") if key in result}


def test_a_run_asked_again_answers_as_it_did_in_training(run):
    assert measured(evaluate(run / "run", device="cpu")) == logged(run, 6)
    assert measured(evaluate(run / "run", step=3, device="cpu")) == logged(run, 3)
    assert measured(evaluate(run / "run" / "checkpoints" / "step-00000003", device="cpu")) == logged(run, 3)


def test_the_running_average_is_another_model(run):
    one, other = (evaluate(run / "run", average=average, device="cpu")["held_out"]["all"]["loss"] for average in (False, True))
    assert one != other


def test_an_exported_model_answers_as_the_run_does(run):
    pytest.importorskip("safetensors")
    export_run(run / "run", run / "hf")
    tasks = [TaskSettings(file=str(run / "mills.jsonl"))]
    found = evaluate(run / "hf", tasks=tasks, tokenizer=str(run / "shards" / "tokenizer.json"), device="cpu")
    assert found["tasks"]["mills"] == pytest.approx(logged(run, 6)["tasks"]["mills"], rel=1e-5)
    assert "held_out" not in found
    with pytest.raises(ConfigError, match="give the model's tokenizer: --tokenizer FILE"):
        evaluate(run / "hf", tasks=tasks)


def test_where_the_data_is_gone_its_tokenizer_does(run):
    tasks = [TaskSettings(file=str(run / "mills.jsonl"))]
    (run / "shards").rename(run / "elsewhere")
    try:
        with pytest.raises(ConfigError, match=r"no such folder.*give its tokenizer: --tokenizer FILE"):
            evaluate(run / "run", tasks=tasks)
        found = evaluate(run / "run", tasks=tasks, tokenizer=str(run / "elsewhere" / "tokenizer.json"), device="cpu")
    finally:
        (run / "elsewhere").rename(run / "shards")
    assert found["tasks"] == logged(run, 6)["tasks"]


def test_what_is_not_there_is_told(run, tmp_path, corpus):
    with pytest.raises(FileNotFoundError, match="no such folder; give the output folder of a training"):
        evaluate(tmp_path / "none")
    with pytest.raises(ConfigError, match="no checkpoint of step 4; there are 3, 6"):
        evaluate(run / "run", step=4)
    sets = [f"data={corpus}", "device=cpu", "threads=1", "seq_len=32", "windows=2", "model.layers=1", "steps=1"]
    train("tiny", sets, tmp_path / "plain")
    with pytest.raises(ConfigError, match="its training evaluated nothing; name questions"):
        evaluate(tmp_path / "plain")
    with pytest.raises(ConfigError, match="holds no running average; train with average_decay"):
        evaluate(tmp_path / "plain", average=True)


def test_the_command_prints_tables_or_json(run, capsys):
    assert exit_status(["train", "evaluate", str(run / "run"), "--task", str(run / "mills.jsonl"), "--items", "1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["tasks"]["mills"]["items"] == 1
    assert exit_status(["train", "evaluate", str(run / "run")]) == 0
    told = capsys.readouterr().out
    assert "accuracy_norm" in told
    assert "bits_per_byte" in told
    task = ["--task", str(run / "mills.jsonl")]
    assert exit_status(["train", "evaluate", str(run / "run"), *task, "--items", "0"]) == 2
    assert "--items: Input should be greater than 0" in capsys.readouterr().err
    assert exit_status(["train", "evaluate", str(run / "run"), *task, "--answer", "gold"]) == 2
    assert "mills.jsonl:1 has no field gold for the answer" in capsys.readouterr().err
    assert exit_status(["train", "evaluate", str(run / "run"), "--task", "none.jsonl"]) == 2
    assert "none.jsonl: no such file" in capsys.readouterr().err
