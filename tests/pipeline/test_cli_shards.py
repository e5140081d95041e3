"""`gristmill shards`, `gristmill export` and `gristmill stage tokenize`, as they are typed."""

import json
import shutil

import pytest

from gristmill.pipeline.cli import exit_status

TEXTS = [f"the mill number {number} grinds" for number in range(40)]


def said(capsys, *arguments):
    status = exit_status([str(one) for one in arguments])
    return status, *capsys.readouterr()


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenized")
    rows = [json.dumps({"id": f"d{i}", "text": text}) for i, text in enumerate(TEXTS)]
    (folder / "in.jsonl").write_text("\n".join(rows) + "\n")
    flags = ["--train.vocab-size", "270", "--held-out", "0.3", "--id-column", "id", "--workers", "0"]
    assert exit_status(["stage", "tokenize", str(folder / "in.jsonl"), str(folder / "run"), *flags]) == 0
    return folder / "run"


def test_the_tokenize_step_is_a_command_of_its_own(run, capsys):
    assert sorted(path.name for path in run.iterdir() if path.name in ("shards", "held_out")) == ["held_out", "shards"]
    found = [json.loads(said(capsys, "shards", "verify", run / name, "--json")[1]) for name in ("shards", "held_out")]
    assert sum(one["documents"] for one in found) == len(TEXTS)
    assert all(one["documents"] for one in found)


def test_held_out_documents_stay_so_when_the_corpus_grows(run, tmp_path, capsys):
    rows = [json.dumps({"id": f"d{i}", "text": f"text {i}"}) for i in range(90)]
    (tmp_path / "in.jsonl").write_text("\n".join(rows) + "\n")
    flags = ["--tokenizer", run / "shards/tokenizer.json", "--held-out", "0.3", "--id-column", "id", "--workers", "0"]
    assert said(capsys, "stage", "tokenize", tmp_path / "in.jsonl", tmp_path / "run", *flags)[0] == 0
    for i in range(len(TEXTS)):
        found = [
            said(capsys, "shards", "find", one / "held_out", "--doc-id", f"d{i}", "--json")[1] for one in (run, tmp_path / "run")
        ]
        assert bool(json.loads(found[0])) == bool(json.loads(found[1]))


def test_sources_of_a_run_keep_their_names(run, tmp_path, capsys):
    for source in ("web", "books"):
        recipe = tmp_path / f"{source}.jsonl"
        recipe.write_text("".join(json.dumps({"id": f"{source}{i}", "text": f"{source} {i}"}) + "\n" for i in range(5)))
    (tmp_path / "two.yaml").write_text(
        "name: two\nsources:\n"
        + "".join(f"  {s}: {{read: {{format: jsonl, paths: [{tmp_path}/{s}.jsonl], id: column}}}}\n" for s in ("web", "books"))
    )
    assert said(capsys, "run", tmp_path / "two.yaml", "--output", tmp_path / "run", "--workers", "0")[0] == 0
    flags = ["--tokenizer", run / "shards/tokenizer.json", "--workers", "0"]
    assert said(capsys, "stage", "tokenize", tmp_path / "run", tmp_path / "tokens", *flags)[0] == 0
    found = json.loads((tmp_path / "tokens/shards/manifest.json").read_text())["sources"]
    assert [(source["name"], source["docs"]) for source in found] == [("books", 5), ("web", 5)]
    assert json.loads(said(capsys, "shards", "find", tmp_path / "tokens/shards", "--doc-id", "web3", "--json")[1])


def test_documents_are_found_and_shown(run, capsys):
    status, text, _ = said(capsys, "shards", "find", run / "shards", "--doc-id", "d0", "--json")
    places = json.loads(text) or json.loads(said(capsys, "shards", "find", run / "held_out", "--doc-id", "d0", "--json")[1])
    folder = run / ("shards" if json.loads(text) else "held_out")
    status, text, _ = said(capsys, "shards", "show", folder, "--document", places[0]["document"], "--json")
    assert (status, json.loads(text)["text"]) == (0, TEXTS[0] + "<|endoftext|>")
    status, text, _ = said(capsys, "shards", "show", folder, "--document", places[0]["document"])
    assert status == 0
    assert "".join(text.split("tokens\n\n")[1].split()).count("endoftext") == 1
    assert said(capsys, "shards", "show", run / "shards", "--window", 0, "--seq-len", 8)[0] == 0
    status, text, _ = said(capsys, "shards", "stats", run / "shards")
    assert (status, "input" in text) == (0, True)


def test_an_export_is_written(run, tmp_path, capsys):
    status, text, _ = said(capsys, "export", run / "shards", tmp_path / "out", "--to", "megatron")
    assert status == 0
    assert text.endswith("as megatron\n")
    assert (tmp_path / "out/input/00000.idx").is_file()


def test_mistakes_end_with_status_2(run, tmp_path, capsys):
    for arguments, message in [
        (["shards", "verify", run], "has no manifest.json"),
        (["shards", "show", run / "shards"], "give --document N or --window N"),
        (["shards", "show", run / "shards", "--document", "999"], "has no document 999"),
        (["shards", "find", run / "shards", "--doc-id", "none"], "holds no document none"),
        (["export", run / "shards", tmp_path / "x", "--to", "mds", "--seq-len", "0"], "seq_len is 0"),
        (["export", run / "shards", tmp_path / "x", "--to", "tape"], "tape"),
        (["stage", "tokenize", run / "absent", tmp_path / "x"], "does not exist"),
        (["stage", "tokenize", run.parent / "in.jsonl", tmp_path / "x", "--tokenizer", run / "no.json"], "No such file"),
    ]:
        status, _, error = said(capsys, *arguments)
        assert (status, message in error, "Traceback" in error) == (2, True, False), error
    assert not (tmp_path / "x/shards").exists()


def test_a_changed_shard_is_named(run, tmp_path, capsys):
    export = tmp_path / "copy"
    shutil.copytree(run / "shards", export)
    path = export / "input/00000.bin"
    raw = bytearray(path.read_bytes())
    raw[-1] ^= 1
    path.write_bytes(bytes(raw))
    status, _, error = said(capsys, "shards", "verify", export)
    assert (status, error) == (2, f"{path}: its sha256 is not the manifest's; write the shards again\n")


def test_a_pinned_tokenizer_of_another_hash_is_refused(run, tmp_path, capsys):
    flags = ["--tokenizer", run / "shards/tokenizer.json", "--sha256", "0" * 64, "--workers", "0"]
    status, _, error = said(capsys, "stage", "tokenize", run.parent / "in.jsonl", tmp_path / "x", *flags)
    assert (status, "its sha256 is" in error and "the recipe says 0000" in error) == (2, True)


def test_a_source_is_cut_into_even_shards_by_the_tokens_it_has(run, tmp_path, capsys):
    rows = [json.dumps({"id": f"d{i}", "text": "x" * 20}) for i in range(2000)]
    (tmp_path / "in.jsonl").write_text("\n".join(rows) + "\n")
    flags = ["--tokenizer", run / "shards/tokenizer.json", "--id-column", "id", "--workers", "0", "--shard-bytes", "20KB"]
    status, _, error = said(capsys, "stage", "tokenize", tmp_path / "in.jsonl", tmp_path / "run", *flags, "--held-out", "0.1")
    assert status == 0, error
    for folder, least, most in (("shards", 4, 8), ("held_out", 1, 1)):
        source = json.loads((tmp_path / "run" / folder / "manifest.json").read_text())["sources"][0]
        sizes = [2 * shard["tokens"] for shard in source["shards"]]
        assert least <= len(sizes) <= most
        assert len(sizes) == max(1, -(-sum(sizes) // 20_000)) or max(sizes) > 20_000 * 0.8
        assert max(sizes) <= 20_000
        assert len(sizes) == 1 or min(sizes) > 8_000
    assert said(capsys, "shards", "verify", tmp_path / "run/shards")[0] == 0
