"""`gristmill tokenizer train` and `measure`, as they are typed."""

import json

import pytest

from gristmill.pipeline.cli import exit_status
from tokenizers import Tokenizer

TEXTS = {
    "web": ["the mill grinds grain while the water turns the wheel"] * 30,
    "code": ["def grind(grain):\n        return 12345 + grain"] * 30,
}


@pytest.fixture
def documents(tmp_path):
    for name, texts in TEXTS.items():
        rows = [json.dumps({"id": f"{name}{i}", "text": text}) for i, text in enumerate(texts)]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(rows) + "\n")
    return tmp_path


def said(capsys, *arguments):
    status = exit_status([str(one) for one in arguments])
    return status, *capsys.readouterr()


def test_a_tokenizer_is_trained_with_the_settings_given_and_measured(documents, capsys):
    out = documents / "t.json"
    flags = ("--split", "gpt4", "--digits", "single", "--space-runs", "--special-tokens", "<a>", "<b>", "--vocab-size", "300")
    status, text, _ = said(capsys, "tokenizer", "train", documents, "--output", out, *flags)
    assert status == 0
    assert text.startswith(f"{out}: 300 tokens from 60 documents, 2,970 bytes\nsha256 ")
    tokenizer = Tokenizer.from_file(str(out))
    assert [tokenizer.token_to_id(token) for token in ("<|endoftext|>", "<a>", "<b>", " " * 24)] == [0, 1, 2, 277]
    status, text, _ = said(capsys, "tokenizer", "measure", f"mine={out}", "--on", documents, "--parameters", "3B", "--json")
    found = json.loads(text)
    assert (status, found["tokenizers"][0]["tokenizer"], found["tokenizers"][0]["lossless"]) == (0, "mine", 1.0)
    assert sorted(found["tokenizers"][0]["sources"]) == ["code", "web"]
    assert found["suggested_vocabulary"]["vocab_size"] == 41_833
    status, text, _ = said(capsys, "tokenizer", "measure", out, "--on", documents / "web.jsonl", "--parameters", "3B")
    assert (status, "estimate for 3,000,000,000 parameters" in text) == (0, True)


def test_weights_decide_what_is_learned_from(documents, capsys):
    named = [f"{name}={documents / name}.jsonl" for name in TEXTS]
    arguments = ["tokenizer", "train", *named, "--output", documents / "t.json", "--vocab-size", "262", "--sample-bytes", "1000"]
    status, text, _ = said(capsys, *arguments, "--weights", "web=1", "code=3", "--json")
    rows = json.loads(text)["sources"]
    # documents of 46 and 53 bytes: 16 of them in 750 bytes, 4 in 250
    assert (status, [(row["source"], row["bytes"]) for row in rows]) == (0, [("code", 16 * 46), ("web", 4 * 53)])


def test_a_mixture_gives_sources_and_weights(documents, capsys):
    (documents / "mix.yaml").write_text(
        "name: mix\ntokens: 1000\nsources:\n"
        "  web: {documents: web.jsonl, weight: 1}\n  code: {documents: code.jsonl, weight: 3}\n"
    )
    arguments = [
        "tokenizer",
        "train",
        "--output",
        documents / "t.json",
        "--vocab-size",
        "262",
        "--sample-bytes",
        "1000",
        "--json",
    ]
    status, text, error = said(capsys, *arguments, "--mixture", documents / "mix.yaml")
    assert (status, error) == (0, "")
    assert [(row["source"], row["weight"], row["bytes"]) for row in json.loads(text)["sources"]] == [
        ("code", 0.75, 736),
        ("web", 0.25, 212),
    ]


def test_a_mixture_chooses_documents_for_the_tokenizer(documents, capsys):
    rows = [{"id": f"d{n}", "text": "z" * (n + 1), "language": "en" if n % 2 else "de"} for n in range(20)]
    (documents / "both.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (documents / "mix.yaml").write_text(
        "name: mix\ntokens: 100\nsources:\n"
        "  web: {documents: web.jsonl, weight: 1}\n"
        "  both: {documents: both.jsonl, weight: 1, where: id != 'd19',"
        " quality_buckets: {column: language, equals: {en: 2, de: 1}}}\n"
    )
    arguments = ["tokenizer", "train", "--output", documents / "t.json", "--vocab-size", "262", "--fewer", "--json"]
    status, text, _ = said(capsys, *arguments, "--mixture", documents / "mix.yaml")
    found = {row["source"]: (row["documents"], round(row["weight"], 6)) for row in json.loads(text)["sources"]}
    english, german = sum(n + 1 for n in range(1, 19, 2)), sum(n + 1 for n in range(0, 20, 2))
    share = 2 * english / (2 * english + german)
    assert status == 0
    assert found == {"both:de": (10, round((1 - share) / 2, 6)), "both:en": (9, round(share / 2, 6)), "web": (30, 0.5)}


def test_weights_that_follow_sizes_are_those_of_the_plan(documents, capsys):
    (documents / "mix.yaml").write_text(
        "name: mix\ntokens: 100\nweights: proportional\nsources:\n"
        "  web: {documents: web.jsonl}\n  code: {documents: code.jsonl}\n"
    )
    arguments = ["tokenizer", "train", "--output", documents / "t.json", "--vocab-size", "262", "--fewer", "--json"]
    status, text, _ = said(capsys, *arguments, "--mixture", documents / "mix.yaml")
    # 53 and 46 bytes a document; whole tokens of 100
    assert (status, [(row["source"], row["weight"]) for row in json.loads(text)["sources"]]) == (
        0,
        [("code", 0.46), ("web", 0.54)],
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["web.jsonl", "--vocab-size", "5000"],
            "tokens: give more text, ask for fewer tokens, or take what there is with --fewer",
        ),
        (["web.jsonl", "--split", "galactica", "--model", "unigram"], "split galactica needs model bpe, the model is unigram"),
        (["web.jsonl", "--sample-bytes", "much"], "--sample-bytes much: should be a size such as 100MB"),
        (["absent"], "nothing is there"),
        ([], "name documents to learn from, or a --mixture; one of the two"),
        (["a=web.jsonl", "--weights", "a=x"], "--weights a=x: should be NAME=WEIGHT"),
        (["a=web.jsonl", "--weights", "b=1"], "--weights names b; the documents are a"),
        (["--mixture", "absent.yaml"], "absent.yaml: there is no such file"),
    ],
)
def test_mistakes_are_told_and_nothing_is_written(arguments, message, documents, capsys, monkeypatch):
    monkeypatch.chdir(documents)
    status, _, error = said(capsys, "tokenizer", "train", *arguments, "--output", "t.json")
    assert status == 2
    assert message in error
    assert not (documents / "t.json").exists()


def test_a_file_that_is_no_tokenizer_is_told(documents, capsys):
    status, _, error = said(capsys, "tokenizer", "measure", documents / "web.jsonl", "--on", documents)
    assert (status, "web.jsonl" in error and "not the contents of a tokenizer.json" in error) == (2, True)
    assert said(capsys, "tokenizer", "measure", documents / "x", "--on", documents)[0] == 2
    assert said(capsys, "tokenizer", "measure", "a", "--on", documents, "--parameters", "big")[0] == 2
