"""`gristmill mixture tokenize`: shards of documents that have none, which plans then find."""

import json

import pytest

from gristmill.pipeline.cli import exit_status
from gristmill.tokenizers.mixture_plan import open_mixture, read_plan
from gristmill.tokenizers.training import train_byte_bpe


def said(capsys, *arguments):
    status = exit_status([str(one) for one in arguments])
    return status, *capsys.readouterr()


@pytest.fixture
def mixture(write, run_of, tmp_path):
    """A run without shards, and JSON lines."""
    web = [(f"web-{n}", 10 + n, "en", None) for n in range(10)]
    run_of(tmp_path / "run", {"web": web, "books": [("book-0", 99, "en", None)]}, with_shards=False)
    (tmp_path / "notes.jsonl").write_text("".join(json.dumps({"id": f"n{n}", "text": "x" * 20}) + "\n" for n in range(6)))
    (tmp_path / "tok.json").write_text(train_byte_bpe(["abab"], 257))
    return write(
        "name: a\ntokens: 50\ntokenizer: tok.json\nsources:\n"
        "  web: {documents: run, only: [web], weight: 0.5, where: words.count >= 4}\n"
        "  notes: {documents: notes.jsonl, weight: 0.5}\n"
    )


def test_sources_get_shards_that_the_plan_binds_to(mixture, tmp_path, capsys):
    status, text, error = said(capsys, "mixture", "tokenize", mixture, "--output", tmp_path / "out", "--workers", 0, "--json")
    # a token a letter, and the end of each text
    assert status == 0, error
    assert [(row["source"], row["documents"], row["tokens"]) for row in json.loads(text)] == [
        ("web", 10, sum(11 + n for n in range(10))),
        ("notes", 6, 6 * 21),
    ]
    assert said(capsys, "mixture", "set", mixture, f"shards={tmp_path / 'out'}")[0] == 0
    assert said(capsys, "mixture", "plan", mixture, "--output", tmp_path / "plan.json")[0] == 0
    plan = read_plan(tmp_path / "plan.json")
    assert [(s.source, s.counted, s.documents, s.available_tokens) for s in plan.sources] == [
        ("web", "exact", 6, sum(11 + n for n in range(4, 10))),
        ("notes", "exact", 6, 126),
    ]
    opened = open_mixture(tmp_path / "plan.json")
    assert sorted(opened.streams) == ["notes", "web"]
    # again: what is there is reused, and nothing changes
    before = {path: path.read_bytes() for path in (tmp_path / "out").glob("*/shards/**/*.*")}
    assert said(capsys, "mixture", "tokenize", mixture, "--workers", 0)[0] == 0
    assert {path: path.read_bytes() for path in (tmp_path / "out").glob("*/shards/**/*.*")} == before


def test_what_is_missing_is_told(mixture, tmp_path, capsys):
    status, _, error = said(capsys, "mixture", "tokenize", mixture)
    assert (status, "shards: is missing; name a folder for the token shards" in error) == (2, True)
    status, _, error = said(capsys, "mixture", "tokenize", mixture, "--set", "tokenizer=null", "--output", tmp_path / "o")
    assert (status, "is missing; name a tokenizer.json" in error) == (2, True)
    flags = ("--set", "sources.notes.only=[a]", "--output", tmp_path / "o", "--workers", 0)
    status, _, error = said(capsys, "mixture", "tokenize", mixture, *flags)
    assert (status, "chooses sources of a run; " in error) == (2, True)
    assert not (tmp_path / "o").exists()
