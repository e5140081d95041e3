"""The commands `gristmill mixture ...`, and training on what they plan."""

import json

import pytest

from gristmill.pipeline import cli

TEXT = """\
name: mine
tokens: 4K
sources:
  web: {shards: HERE, only: [web], weight: 0.5, max_epochs: 100, where: quality > 0.15}
  books: {shards: HERE, only: [books], weight: 0.5, max_epochs: 100}
phases:
  - {name: main}
  - {name: anneal, tokens: 1K, shares: {books: 1}}
"""


def run(capsys, *arguments):
    status = cli.exit_status([str(argument) for argument in arguments])
    shown = capsys.readouterr()
    return status, shown.out, shown.err


def test_the_shipped_ones_are_listed_and_shown(capsys):
    status, out, _ = run(capsys, "mixture", "list", "--json")
    assert (status, "pile" in {row["mixture"] for row in json.loads(out)}) == (0, True)
    assert run(capsys, "mixture", "show", "gpt3")[1].startswith("# GPT-3's mix of five sources over 300B tokens")
    assert json.loads(run(capsys, "mixture", "show", "gpt3", "--json")[1])["sources"]["books1"]["weight"] == 8


def test_a_published_table_is_printed_again(capsys):
    status, out, err = run(capsys, "mixture", "plan", "pile", "--sizes", "published")
    row = next(line.split() for line in out.splitlines() if line.startswith("books3"))
    assert (status, row[3], row[5], " ".join(row[6:8])) == (0, "12.07%", "1.50", "151.44 GiB")
    assert "are estimated, at 3.409 bytes a token" in err


def test_a_shipped_mixture_without_folders_says_what_it_needs(capsys):
    status, _, err = run(capsys, "mixture", "plan", "palm")
    assert status == 2
    assert err.endswith("no documents or shards are named; name them, or give --sizes published\n")


def test_check_plan_and_diff(write, shards, tmp_path, capsys):
    path = write(TEXT, HERE=shards)
    assert run(capsys, "mixture", "check", path)[:2] == (
        0,
        f"{path}: no mistakes\n  web: token shards in {shards}\n  books: token shards in {shards}\n",
    )
    status, out, _ = run(capsys, "mixture", "plan", path, "--output", tmp_path / "p.json", "--json")
    assert (status, json.loads(out)["tokens"]) == (0, 4000)
    assert run(capsys, "mixture", "set", path, "tokens=5K")[0] == 0
    status, out, _ = run(capsys, "mixture", "diff", tmp_path / "p.json", path)
    assert (status, out.splitlines()[0]) == (0, "4,000 tokens before, 5,000 after")


def test_all_folders_that_are_not_there_are_told_at_once(write, capsys):
    path = write(TEXT, HERE="nowhere")
    status, _, err = run(capsys, "mixture", "check", path)
    assert (status, [line.split(": ")[1] for line in err.splitlines()]) == (2, ["sources.web.shards", "sources.books.shards"])


def train(capsys, plan, tmp_path, *sets):
    return run(
        capsys,
        *("train", "tiny", "--set", f"data={plan}", "steps=4", "schedule.steps=4", "windows=4", "seq_len=16", "device=cpu"),
        *("model.layers=1", "model.width=16", "threads=1", *sets, "--output", tmp_path / "model", "--json"),
    )


def test_a_plan_is_trained_on_and_other_content_is_refused_by_name(write, shards_of, tmp_path, capsys):
    pytest.importorskip("torch")
    web = [(f"web-{n}", 30, "en", n / 10) for n in range(10)]
    folder = shards_of(tmp_path / "shards", {"web": web, "books": [("book", 400, "en", None)]})
    path = write(TEXT, HERE=folder)
    plan = tmp_path / "p.json"
    assert run(capsys, "mixture", "plan", path, "--output", plan)[0] == 0
    status, out, err = train(capsys, plan, tmp_path)
    assert (status, json.loads(out)["tokens"]) == (0, 256)
    assert "4 steps end before anneal; the whole plan has 62" in err
    assert "is a plan and gives the shares itself" in train(capsys, plan, tmp_path, "mixture={web: 1}")[2]
    assert "plans 4,000 tokens, 63 steps of 64 read 4,032; set steps=62 or less" in train(capsys, plan, tmp_path, "steps=63")[2]
    assert "is a mixture; plan it" in train(capsys, path, tmp_path)[2]
    shards_of(tmp_path / "shards", {"web": [*web[1:], ("web-x", 31, "en", 1.0)], "books": [("book", 400, "en", None)]})
    status, _, err = train(capsys, plan, tmp_path)
    assert (status, err.splitlines()[0]) == (2, f"{plan}: was planned on other content; plan again")
    assert f"source web: {folder}/web/0000" in err
    assert "holds other tokens (sha256 " in err
    assert "books" not in err


def test_a_plan_of_documents_without_shards_is_not_trained_on(write, run_of, tmp_path, capsys):
    pytest.importorskip("torch")
    documents = run_of(tmp_path / "run", {"web": [("a", 70, "en", None)]}, with_shards=False)
    path = write("name: a\ntokens: 20\nsources: {web: {documents: HERE, weight: 1}}\n", HERE=documents)
    run(capsys, "mixture", "plan", path, "--output", tmp_path / "p.json")
    status, _, err = train(capsys, tmp_path / "p.json", tmp_path)
    assert (status, "web has no token shards, so the plan is only an estimate" in err) == (2, True)
