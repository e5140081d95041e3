"""`policy: mask`, from repeats in documents to tokens that do not count in the loss."""

import gzip
import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from gristmill.pipeline import window_cut_tasks
from gristmill.pipeline.cli import exit_status
from gristmill.pipeline.recipe import recipe_from_resolved
from gristmill.pipeline.runs import run
from gristmill.stages.loss_mask import joined
from gristmill.tokenizers import inspection
from gristmill.tokenizers.encoding import Encoder
from gristmill.tokenizers.manifest import ShardError
from gristmill.tokenizers.mixture_plan import open_mixture
from gristmill.tokenizers.shards import doc_hash, open_shards
from gristmill.tokenizers.training import train_byte_bpe

REPEAT = "one two three four five six seven eight nine ten"
TEXTS = [
    f"Before it there is this. {REPEAT} And after it that.",
    f"{REPEAT}",
    "Nothing of this is said twice, so all of it is learned.",
    f"日本語 {REPEAT} é",
]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    path.write_text(train_byte_bpe([*TEXTS, REPEAT] * 4, 400))
    return str(path)


def recipe(folder: Path, texts: list[str], stages, **more):
    path = folder / "s.jsonl"
    path.write_text("".join(json.dumps({"id": f"s{at}", "text": text, "k": at}) + "\n" for at, text in enumerate(texts)))
    sources = {"s": {"read": {"format": "jsonl", "id": "column", "paths": [str(path)]}}}
    off = {"guardrails": {"enabled": False}, "output": {"edits": True}, "ledger": {"text": "all"}}
    return recipe_from_resolved({"name": "test", "sources": sources, "stages": stages} | off | more)


def rows(folder: Path, name: str) -> list[dict]:
    return [row for file in sorted((folder / name).rglob("*.parquet")) for row in pq.read_table(file).to_pylist()]


def masks(folder: Path, ids: list[str]) -> dict[str, list[bool]]:
    """Of each document which of its tokens are masked."""
    stream = open_shards(folder, verify=True).streams["s"]
    hashes = [row["doc_id"] for file in stream.files for row in pq.read_table(f"{file}.docs.parquet").to_pylist()]
    ends = [0, *stream.document_ends(0, len(stream) + 1).tolist()]
    found = {}
    for name in ids:
        at = hashes.index(doc_hash(name))
        found[name] = (~stream.counted(ends[at], ends[at + 1])).tolist()
    return found


def test_texts_stay_and_spans_go_into_meta_and_edits(tmp_path):
    result = run(
        recipe(tmp_path, TEXTS, [{"substring": {"min_length": 10, "policy": "mask"}}]),
        output=tmp_path / "out",
        workers=0,
        quiet=True,
    )
    found = rows(tmp_path / "out", "documents")
    assert [row["text"] for row in found] == TEXTS
    spans = [json.loads(row["meta"]).get("loss_mask", {}).get("spans") for row in found]
    begin = len("Before it there is this. ")
    assert spans == [[[begin, begin + len(REPEAT) + 1]], [[0, len(REPEAT)]], None, [[4, 4 + len(REPEAT) + 1]]]
    assert [json.loads(row["meta"])["k"] for row in found] == [0, 1, 2, 3]
    told = [
        (row["id"], row["start"], row["end"], row["text"], row["put"], row["detail"]) for row in rows(tmp_path / "out", "edits")
    ]
    assert told == [
        ("s0", begin, begin + len(REPEAT) + 1, REPEAT + " ", REPEAT + " ", "loss masked"),
        ("s1", 0, len(REPEAT), REPEAT, REPEAT, "loss masked"),
        ("s3", 4, 5 + len(REPEAT), REPEAT + " ", REPEAT + " ", "loss masked"),
    ]
    (counts,) = [row for row in result.funnel["rows"] if row["stage"] == "substring"]
    assert [counts[name] for name in ("in", "kept", "removed", "edited")] == [4, 4, 0, 3]
    assert counts["bytes_in"] == counts["bytes_kept"]


def test_the_first_copy_is_learned_where_it_stays(tmp_path):
    stage = {"substring": {"min_length": 10, "policy": "mask", "keep": "first", "max_share": 0.95}}
    run(recipe(tmp_path, TEXTS, [stage]), output=tmp_path / "out", workers=0, quiet=True)
    masked = [row["id"] for row in rows(tmp_path / "out", "documents") if "loss_mask" in row["meta"]]
    assert masked == ["s3"]
    details = [(row["id"], row["detail"]) for row in rows(tmp_path / "out", "edits")]
    assert details == [("s1", "loss masked; also in s0"), ("s3", "loss masked; also in s0")]
    (lost,) = rows(tmp_path / "out", "removed")
    assert [lost[name] for name in ("id", "rule", "value", "threshold", "kept_id")] == ["s1", "repeated_text", 1.0, 0.95, "s0"]


@pytest.mark.parametrize("unit", ["words", "bytes", "tokenizer"])
def test_what_is_masked_is_what_would_be_cut(tmp_path, shared_data, tokenizer, unit):
    texts = [*real_texts(shared_data)[::2], "日本語の文章です。" * 30, "x日本語の文章です。" * 20]
    how = {"unit": unit, "min_characters": 0} | ({"tokenizer": tokenizer} if unit == "tokenizer" else {})
    spans = {}
    for policy in ("cut", "mask"):
        stages = [{"substring": how | {"policy": policy}}]
        run(recipe(tmp_path, texts, stages, partition_bytes=100_000), output=tmp_path / policy, workers=0, quiet=True)
        found: dict[str, list] = {}
        for row in rows(tmp_path / policy, "edits"):
            found.setdefault(row["id"], []).append((row["start"], row["end"]))
        spans[policy] = {name: joined(own) for name, own in found.items()}
    told = {row["id"]: json.loads(row["meta"]).get("loss_mask") for row in rows(tmp_path / "mask", "documents")}
    in_meta = {name: [tuple(span) for span in mask["spans"]] for name, mask in told.items() if mask}
    assert in_meta == spans["mask"] == spans["cut"]
    assert len(in_meta) > 10
    assert [row["text"] for row in rows(tmp_path / "mask", "documents")] == texts


def real_texts(shared_data: Path) -> list[str]:
    found = []
    for name, count in (("docs", 12), ("encyclopedic", 8), ("qa", 150)):
        with gzip.open(shared_data / "text" / f"{name}.jsonl.gz", "rt", encoding="utf-8") as file:
            found += [json.loads(line)["text"] for line, _ in zip(file, range(count), strict=False)]
    return found


def test_masked_words_are_masked_tokens(tmp_path, tokenizer):
    stages = [{"substring": {"min_length": 10, "policy": "mask"}}]
    more = {"tokenize": {"tokenizer": tokenizer}}
    run(recipe(tmp_path, TEXTS, stages, **more), output=tmp_path / "out", workers=0, quiet=True)
    encoder = Encoder(Path(tokenizer).read_text())
    found = masks(tmp_path / "out/shards", ["s0", "s1", "s2", "s3"])
    for at, text in enumerate(TEXTS):
        (ids,) = encoder.encode([text]).to_pylist()
        masked = found[f"s{at}"]
        assert len(masked) == len(ids)
        assert encoder.decode([one for one, gone in zip(ids, masked, strict=True) if gone]).strip() == (REPEAT if at != 2 else "")
        assert not masked[-1]  # that the text ends is learned
    assert inspection.verify(tmp_path / "out/shards")["documents"] == 4
    assert "shards/s/00000.mask" in (tmp_path / "out/run.json").read_text()


def test_tokens_that_repeat_are_masked_one_by_one(tmp_path, shared_data, tokenizer):
    texts = [text.encode("ascii", "ignore").decode() for text in real_texts(shared_data)[::3]]
    stages = [{"substring": {"unit": "tokenizer", "tokenizer": tokenizer, "policy": "mask"}}]
    run(recipe(tmp_path, texts, stages, tokenize={"tokenizer": tokenizer}), output=tmp_path / "out", workers=0, quiet=True)
    encoder = Encoder(Path(tokenizer).read_text())
    tokens = [ids[:-1] for ids in encoder.encode(texts).to_pylist()]
    windows: dict[tuple[int, ...], int] = {}
    for ids in tokens:
        for at in range(len(ids) - 49):
            window = tuple(ids[at : at + 50])
            windows[window] = windows.get(window, 0) + 1
    found = masks(tmp_path / "out/shards", [f"s{at}" for at in range(len(texts))])
    total = 0
    for number, ids in enumerate(tokens):
        expected = np.zeros(len(ids) + 1, dtype=bool)
        for at in range(len(ids) - 49):
            if windows[tuple(ids[at : at + 50])] > 1:
                expected[at : at + 50] = True
        assert found[f"s{number}"] == expected.tolist()
        total += int(expected.sum())
    assert total > 1000


def test_the_same_bytes_come_out_however_the_corpus_is_cut_and_with_two_workers(tmp_path, shared_data, tokenizer):
    texts = real_texts(shared_data)[::3]
    found = []
    for size, workers, chunk in ((20_000, 0, 1000), (10**7, 0, 1 << 21), (150_000, 2, 1 << 21)):
        stages = [{"substring": {"unit": "bytes", "policy": "mask"}}]
        more = {"tokenize": {"tokenizer": tokenizer, "held_out": 0.2, "shard_bytes": 60_000}, "partition_bytes": size}
        before, window_cut_tasks.CHUNK_WINDOWS = window_cut_tasks.CHUNK_WINDOWS, chunk
        try:
            run(recipe(tmp_path, texts, stages, **more), output=tmp_path / f"{size}", workers=workers, quiet=True)
        finally:
            window_cut_tasks.CHUNK_WINDOWS = before
        names = ("documents", "edits", "shards", "held_out")
        files = [file for name in names for file in sorted((tmp_path / f"{size}" / name).rglob("*")) if file.is_file()]
        # the manifest's hash of the recipe holds the size of partitions
        contents = {
            str(file.relative_to(tmp_path / f"{size}")): file.read_bytes() for file in files if file.name != "manifest.json"
        }
        found.append(contents)
    assert found[0] == found[1] == found[2]
    for folder in ("shards", "held_out"):
        assert any(name.startswith(folder) and name.endswith(".mask") for name in found[0])


def test_without_repeats_shards_are_those_of_a_run_without_the_stage(tmp_path, tokenizer):
    more = {"tokenize": {"tokenizer": tokenizer}}
    texts = [TEXTS[2], "And this is another one that says other things."]
    for name, stages in (("plain", []), ("masked", [{"substring": {"policy": "mask"}}])):
        run(recipe(tmp_path, texts, stages, **more), output=tmp_path / name, workers=0, quiet=True)
    plain, masked = (
        {file.relative_to(folder): file.read_bytes() for file in (folder / "shards").rglob("*") if file.is_file()}
        for folder in (tmp_path / "plain", tmp_path / "masked")
    )
    manifests = [json.loads(held.pop(Path("shards/manifest.json"))) for held in (plain, masked)]
    assert plain == masked
    assert manifests[0] | {"recipe_hash": None} == manifests[1] | {"recipe_hash": None}


def test_masks_go_along_into_a_run_of_the_published_documents(tmp_path, tokenizer):
    stages = [{"substring": {"min_length": 10, "policy": "mask"}}]
    run(recipe(tmp_path, TEXTS, stages, tokenize={"tokenizer": tokenizer}), output=tmp_path / "first", workers=0, quiet=True)
    assert (
        exit_status(
            ["stage", "tokenize", str(tmp_path / "first"), str(tmp_path / "again"), "--tokenizer", tokenizer, "--workers", "0"]
        )
        == 0
    )
    for suffix in (".bin", ".mask"):
        name = f"shards/s/00000{suffix}"
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


def test_a_text_that_was_changed_after_it_was_masked_is_not_tokenized(tmp_path, tokenizer, capsys):
    stages = [{"substring": {"min_length": 10, "policy": "mask"}}]
    run(recipe(tmp_path, TEXTS, stages), output=tmp_path / "first", workers=0, quiet=True)
    file = next((tmp_path / "first/documents").rglob("*.parquet"))
    changed = [row | {"text": row["text"].replace("Before", "After")} for row in pq.read_table(file).to_pylist()]
    (tmp_path / "changed.jsonl").write_text("".join(json.dumps(row, default=str) + "\n" for row in changed))
    flags = ["--tokenizer", tokenizer, "--id-column", "id", "--workers", "0"]
    assert exit_status(["stage", "tokenize", str(tmp_path / "changed.jsonl"), str(tmp_path / "again"), *flags]) == 2
    assert "document s0: its text was changed after its loss was masked" in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "again/shards").exists()


def test_masks_go_along_into_a_mixture_that_is_bound_to_them(tmp_path, tokenizer, capsys):
    stages = [{"substring": {"min_length": 10, "policy": "mask"}}]
    run(recipe(tmp_path, TEXTS, stages, tokenize={"tokenizer": tokenizer}), output=tmp_path / "run", workers=0, quiet=True)
    file, plan = tmp_path / "mixture.yaml", tmp_path / "plan.json"
    file.write_text("name: a\ntokens: 60\nsources:\n  s: {documents: run, weight: 1, where: meta.k >= 1}\n")
    assert exit_status(["mixture", "plan", str(file), "--output", str(plan)]) == 0, capsys.readouterr().err
    stream = open_mixture(plan, verify=True).streams["s"]
    of_documents = masks(tmp_path / "run/shards", ["s1", "s2", "s3"])
    expected = [gone for name in sorted(of_documents, key=doc_hash) for gone in of_documents[name]]
    assert (~stream.counted(0, len(stream))).tolist() == expected
    assert any(expected)
    # the same tokens, of which others are masked
    run(recipe(tmp_path, TEXTS, [], tokenize={"tokenizer": tokenizer}), output=tmp_path / "plain", workers=0, quiet=True)
    shutil.rmtree(tmp_path / "run/shards")
    shutil.copytree(tmp_path / "plain/shards", tmp_path / "run/shards")
    with pytest.raises(ShardError, match="s/00000: masks other tokens"):
        open_mixture(plan)


@pytest.mark.parametrize(
    ("own", "across", "where"),
    [
        ([{"substring": {"policy": "mask"}}, "lines"], [], "sources.s.stages[1]"),
        ([{"substring": {"policy": "mask"}}], ["lines"], "stages[0]"),
        ([], [{"substring": {"policy": "mask"}}, "exact", "normalise"], "stages[2]"),
        ([], [{"substring": {"policy": "mask"}}, {"substring": {"name": "cut"}}], "stages[1]"),
    ],
)
def test_a_recipe_that_changes_texts_after_they_were_masked_is_refused(tmp_path, capsys, own, across, where):
    path = tmp_path / "recipe.yaml"
    sources = {"s": {"read": {"format": "jsonl", "paths": ["s.jsonl"]}, "stages": own}}
    path.write_text(json.dumps({"name": "test", "sources": sources, "stages": across}))
    assert exit_status(["recipe", "check", str(path)]) == 2
    told = " ".join(capsys.readouterr().err.split())
    assert f"{where}: " in told
    assert "changes texts of which substring has masked characters; put it before substring" in told


def test_what_leaves_texts_alone_may_follow_and_editors_come_before(tmp_path):
    mask = {"policy": "mask"}
    stages = ["lines", {"substring": mask}, {"substring": mask | {"name": "bytes", "unit": "bytes"}}, "exact", "gopher_quality"]
    drop = {"substring": {"name": "drop", "policy": "drop", "max_share": 0.5}}
    assert len(recipe(tmp_path, TEXTS, [*stages, drop]).stages) == 6


def test_masks_of_two_stages_add_up(tmp_path):
    texts = [f"xx 0123456789abcdefghij {REPEAT}", f"{REPEAT} yy0123456789abcdefghij"]
    stages = [
        {"substring": {"min_length": 10, "policy": "mask"}},
        {"substring": {"name": "bytes", "unit": "bytes", "min_length": 20, "policy": "mask"}},
    ]
    run(recipe(tmp_path, texts, stages), output=tmp_path / "out", workers=0, quiet=True)
    spans = [json.loads(row["meta"])["loss_mask"]["spans"] for row in rows(tmp_path / "out", "documents")]
    words = len(REPEAT)
    assert spans == [[[3, 23], [24, 24 + words]], [[0, words + 1], [words + 3, words + 23]]]
