"""Lines, paragraphs and spans of sentences that a corpus repeats: runs held to a plain loop over the corpus."""

import gzip
import json
import os
import subprocess
import sys
from collections import Counter
from hashlib import md5
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gristmill.pipeline.errors import UserError
from gristmill.pipeline.funnel import summary
from gristmill.pipeline.published import PublishedRun
from gristmill.pipeline.recipe import Recipe, recipe_from_resolved
from gristmill.pipeline.runs import RunResult, run
from gristmill.stages.copies import UnitCopies, c4_url
from gristmill.stages.lines import Lines
from gristmill.stages.paragraphs import Paragraphs
from gristmill.stages.sentence_spans_dedup import SentenceSpans
from gristmill.stages.sentences import split_sentences_plainly
from gristmill.stages.unit_kernels import cut_spans_plainly, cut_units_plainly, units_plainly
from gristmill.stages.unit_normalisation import FORMS, form_plainly

Document = dict[str, str]
"""`text`, and perhaps `url` and `meta`."""


def plain_units(stage: UnitCopies, text: str) -> list[tuple[int, int]]:
    if isinstance(stage, SentenceSpans):
        places, position = [], 0
        for sentence in split_sentences_plainly(text):
            start = text.index(sentence, position)
            position = start + len(sentence)
            places.append((start, position))
        return [(one[0], other[1]) for one, other in zip(places, places[stage.sentences - 1 :], strict=False)]
    return units_plainly(text, isinstance(stage, Paragraphs) and stage.parted_by == "blank_line")


def plain(documents: list[Document], stage: UnitCopies) -> list[str | None]:
    """What stays of each document, None for those that go: a loop over the corpus in its memory."""
    chosen = stage.resolved

    def rank(at: int) -> tuple:
        if chosen.keep == "url_hash":
            url = documents[at]["url"]
            return (url is None, url and md5(c4_url(url).encode()).hexdigest(), at)
        if chosen.keep == "highest:meta.score":
            score = json.loads(documents[at]["meta"]).get("score")
            return (score is None, -(score or 0), at)
        return (at,)

    units = [
        [
            (number, form_plainly(document["text"][start:end], FORMS[chosen.compare]), start, end)
            for number, (start, end) in enumerate(plain_units(stage, document["text"]))
            if len(document["text"][start:end].strip()) >= chosen.min_characters
        ]
        for document in documents
    ]
    total = Counter(form for own in units for _, form, _, _ in own)
    seen: Counter[str] = Counter()
    left: list[str | None] = [document["text"] for document in documents]
    for at in sorted(range(len(documents)), key=rank):
        gone = []
        for unit in units[at]:
            seen[unit[1]] += 1
            many = total[unit[1]] > chosen.max_copies
            if many and (chosen.keep == "none" or seen[unit[1]] > chosen.max_copies):
                gone.append(unit)
        if gone:
            left[at] = plain_rest(stage, documents[at]["text"], gone)
    return left


def plain_rest(stage: UnitCopies, text: str, gone: list[tuple[int, str, int, int]]) -> str | None:
    chosen = stage.resolved
    if isinstance(stage, SentenceSpans):
        rest = cut_spans_plainly(text, [(start, end) for _, _, start, end in gone])
    else:
        blank = isinstance(stage, Paragraphs) and stage.parted_by == "blank_line"
        rest = cut_units_plainly(text, blank, {number for number, *_ in gone})
    words, sentences = len(rest.split()), len(split_sentences_plainly(rest))
    return None if words < max(1, chosen.min_words_left or 0) or sentences < (chosen.min_sentences_left or 0) else rest


def recipe(folder: Path, documents: list[Document], stages: list, **more) -> Recipe:
    path = folder / "s.jsonl"
    path.write_text("".join(json.dumps({"id": f"s{at:06}"} | document) + "\n" for at, document in enumerate(documents)))
    sources = {"s": {"read": {"format": "jsonl", "id": "column", "paths": [str(path)]}}}
    off = {"guardrails": {"enabled": False}, "output": {"edits": True}}
    return recipe_from_resolved({"name": "test", "sources": sources, "stages": stages} | off | more)


def carry_out(folder: Path, documents: list[Document], stages: list, name: str = "out", **more) -> RunResult:
    return run(recipe(folder, documents, stages, **more), output=folder / name, workers=0, quiet=True)


def rows(folder: Path, name: str) -> list[dict]:
    return [row for file in sorted((folder / name).rglob("*.parquet")) for row in pq.read_table(file).to_pylist()]


def kept(output: Path, number: int) -> list[str | None]:
    texts = {row["id"]: row["text"] for row in rows(output, "documents")}
    assert len(texts) + len(rows(output, "removed")) == number
    return [texts.get(f"s{at:06}") for at in range(number)]


def published(folder: Path) -> dict[str, bytes]:
    names = ("documents", "removed", "edits", "signals", "index")
    files = [file for name in names for file in sorted((folder / name).rglob("*.parquet"))]
    return {str(file.relative_to(folder)): file.read_bytes() for file in files} | {
        "funnel": (folder / "funnel.json").read_bytes()
    }


LINES = ["ab", "AB ", "12", "7 8", "“ab”", "é.", "", " ", "Ça va?", "Σ", "ΑΣ", "one two. It is.", "A man came. He sat. He went."]
SENTENCES = ["It rains.", "It snows!", "is it?", "It rains.\n", "\n\nYes.", "No"]
WORDS = st.one_of(
    st.lists(st.sampled_from(LINES), max_size=6).map("\n".join), st.lists(st.sampled_from(SENTENCES), max_size=8).map(" ".join)
)
URLS = st.sampled_from([None, *(f"http://www.example.com/{at}" for at in range(5))])
METAS = st.sampled_from(['{"score": 1}', '{"score": 2}', '{"score": 2.5}', "{}"])
CORPORA = st.lists(st.fixed_dictionaries({"text": WORDS, "url": URLS, "meta": METAS}), min_size=1, max_size=7)
STAGES = [
    *(Lines(flavour=flavour) for flavour in ("oscar", "c4", "mc4")),
    Lines(flavour="llama3", max_copies=2),
    Lines(keep="highest:meta.score", compare="loose"),
    Lines(keep="first", max_copies=2, min_characters=3),
    *(Paragraphs(flavour=flavour) for flavour in ("ccnet", "fast", "dolma")),
    Paragraphs(parted_by="blank_line", keep="first"),
    SentenceSpans(),
    SentenceSpans(flavour="datatrove", min_words_left=3, min_sentences_left=1),
    SentenceSpans(sentences=2, keep="none", min_sentences_left=0),
    Lines(memory="1MB"),
]


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: f"{stage.kind}-{stage.resolved.keep}-{stage.resolved.compare}")
@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(CORPORA, st.sampled_from([1, 60, 10**6]))
def test_what_is_cut_is_what_a_loop_over_the_corpus_cuts(tmp_path_factory, stage, documents, size):
    folder = tmp_path_factory.mktemp("run")
    carry_out(folder, documents, [stage], partition_bytes=size)
    assert kept(folder / "out", len(documents)) == plain(documents, stage)


def test_ccnet_removes_every_copy_also_within_one_document(tmp_path):
    carry_out(tmp_path, [{"text": "A\nB"}, {"text": "A\nC"}, {"text": "D\nD"}], [Paragraphs(flavour="ccnet")])
    assert kept(tmp_path / "out", 3) == ["B", "C", None]


def test_c4_keeps_a_line_on_the_page_whose_url_hashes_lowest_and_once(tmp_path):
    digests = [md5(f"example.com/{at}".encode()).hexdigest() for at in range(3)]
    best = digests.index(min(digests))
    text = "Same. line. HERE.\nx\n same. LINE. here. \ny"
    carry_out(tmp_path, [{"text": text, "url": f"https://www.example.com/{at}/"} for at in range(3)], [Lines(flavour="mc4")])
    assert kept(tmp_path / "out", 3) == ["Same. line. HERE.\nx\ny" if at == best else None for at in range(3)]


def test_llama3_leaves_six_copies_and_removes_all_of_seven(tmp_path):
    documents = [{"text": f"six{at}\n" + ("six\n" if at < 6 else "") + "seven"} for at in range(7)]
    carry_out(tmp_path, documents, [Lines(flavour="llama3")])
    assert kept(tmp_path / "out", 7) == [f"six{at}\nsix" if at < 6 else f"six{at}" for at in range(7)]


def test_a_document_that_falls_names_the_one_with_the_first_copy(tmp_path):
    carry_out(tmp_path, [{"text": "other\nline"}, {"text": "line"}], ["lines"])
    (lost,) = rows(tmp_path / "out", "removed")
    found = {name: lost[name] for name in ("id", "stage", "rule", "value", "threshold", "kept_id", "detail")}
    assert found == {
        "id": "s000001",
        "stage": "lines",
        "rule": "nothing_left",
        "value": 0.0,
        "threshold": 1.0,
        "kept_id": "s000000",
        "detail": "lines cut: 1",
    }


@pytest.mark.parametrize("stage", [Lines(), Paragraphs(flavour="ccnet"), SentenceSpans(), Lines(memory=65536)])
def test_empty_corpora_equal_documents_and_single_words_are_no_special_cases(tmp_path, stage):
    cases = {
        "none": [],
        "one": ["A word. Two words. Three words."],
        "same": ["It is. So be it. Amen to that."] * 30,
        "words": ["a", "b", "a"],
    }
    for name, texts in cases.items():
        folder = tmp_path / name
        folder.mkdir()
        documents = [{"text": text, "url": f"http://{at}.example"} for at, text in enumerate(texts)]
        carry_out(folder, documents, [stage], partition_bytes=80)
        assert kept(folder / "out", len(texts)) == plain(documents, stage)


def real(shared_data: Path, name: str, number: int) -> list[Document]:
    with gzip.open(shared_data / "text" / f"{name}.jsonl.gz", "rt", encoding="utf-8") as file:
        records = [json.loads(line) for line in file][:number]
    return [{"text": record["text"], "url": f"https://{name}.example/{at}"} for at, record in enumerate(records)]


REAL = [Lines(), Paragraphs(flavour="ccnet"), SentenceSpans(), Lines(memory="4MB")]


@pytest.mark.parametrize("stage", REAL, ids=lambda stage: stage.kind)
def test_real_texts_are_cut_as_by_the_loop_with_the_same_bytes_for_any_partitions(tmp_path, shared_data, stage):
    documents = real(shared_data, "qa", 80) + real(shared_data, "encyclopedic", 30)
    for size in (40_000, 10**8):
        carry_out(tmp_path, documents, [stage], str(size), partition_bytes=size)
    assert published(tmp_path / "40000") == published(tmp_path / "100000000")
    left = kept(tmp_path / "40000", len(documents))
    assert left == plain(documents, stage)
    assert left != [document["text"] for document in documents]


def test_the_false_positives_of_a_small_filter_are_as_many_as_it_says(tmp_path):
    # different lines only: each cut is a false positive
    documents = [{"text": "\n".join(f"line {at} of {number}" for at in range(400))} for number in range(50)]
    result = carry_out(tmp_path, documents, [Lines(memory=2**14)])
    facts = result.funnel["filters"]["lines"]
    cut = 20_000 - sum(row["text"].count("\n") + 1 for row in rows(tmp_path / "out", "documents"))
    assert facts["units"] == 20_000 - cut
    assert (facts["filters"], facts["bytes"]) == (16, 2**14)
    assert 0.6 * facts["expected_false_positives"] < cut < 1.4 * facts["expected_false_positives"]
    assert facts["measured_false_positive_rate"] == pytest.approx(facts["false_positive_rate"], rel=0.2)
    told = summary(PublishedRun(str(tmp_path / "out")))
    assert "lines: 16.4 kB of Bloom filters saw" in told
    assert json.loads((tmp_path / "out" / "funnel.json").read_text())["filters"]["lines"] == facts


def test_a_line_that_every_document_has_is_one_key_and_no_trouble(tmp_path):
    documents = [{"text": "the same line\n" * 50 + str(at)} for at in range(300)]
    for stage, first in ((Lines(), "the same line\n0"), (Lines(keep="none"), "0"), (Lines(memory="1MB"), "the same line\n0")):
        name = f"{stage.resolved.keep}{stage.memory}"
        carry_out(tmp_path, documents, [stage], name, partition_bytes=20_000)
        assert kept(tmp_path / name, 300) == [first, *(str(at) for at in range(1, 300))]


# a user's own stage whose workers die once in each of its steps: `copies` goes to the tasks that resolve
MORTAL = '''
import multiprocessing
import os
from pathlib import Path

from gristmill.stages.corpus_editor import Copies
from gristmill.stages.lines import Lines


def die_once(step):
    if multiprocessing.parent_process() is None:
        return  # no worker, but what started them
    try:
        Path(os.environ["MORTAL"], step).touch(exist_ok=False)
    except FileExistsError:
        return
    os._exit(3)


def revived(stay, tolerated):
    die_once("resolve")
    return MortalCopies(stay, tolerated)  # the scheduler reads and writes it once more


class MortalCopies(Copies):
    def __reduce__(self):
        return revived, (self.stay, self.tolerated)


class MortalLines(Lines):
    """Lines that kill."""

    def copies(self):
        return MortalCopies(1, 1)

    def emit(self, batch):
        die_once("emit")
        return super().emit(batch)

    def cut(self, batch, units):
        die_once("cut")
        return super().cut(batch, units)
'''


def test_any_number_of_workers_and_workers_that_die_in_each_step_give_the_same_bytes(tmp_path):
    documents = [{"text": "\n".join(f"line {at * number % 31}" for at in range(40)) + f"\nown {number}"} for number in range(120)]
    carry_out(tmp_path, documents, [Lines()], "expected", partition_bytes=5000)
    expected = published(tmp_path / "expected")
    (tmp_path / "mortal.py").write_text(MORTAL)
    (tmp_path / "died").mkdir()
    environment = os.environ | {"PYTHONPATH": str(tmp_path), "MORTAL": str(tmp_path / "died")}
    command = Path(sys.executable).parent / "gristmill"
    for workers, stage in ((4, "lines"), (2, "mortal:MortalLines")):
        data = {
            "name": "test",
            "sources": {"s": {"read": {"format": "jsonl", "id": "column", "paths": [str(tmp_path / "s.jsonl")]}}},
            "stages": [stage],
            "guardrails": {"enabled": False},
            "output": {"edits": True},
            "partition_bytes": 5000,
        }
        (tmp_path / "recipe.yaml").write_text(json.dumps(data))
        output = tmp_path / f"by-{workers}"
        arguments = [command, "run", tmp_path / "recipe.yaml", "--output", output, "--workers", str(workers)]
        done = subprocess.run(arguments, env=environment, capture_output=True, text=True, timeout=200, check=False)
        assert done.returncode == 0, done.stderr
        assert published(output) == expected
    assert {path.name for path in (tmp_path / "died").iterdir()} == {"emit", "resolve", "cut"}


def test_a_wrong_setting_in_a_recipe_is_told_and_nothing_is_written(tmp_path):
    with pytest.raises(UserError, match="memory: a Bloom filter knows only whether"):
        recipe(tmp_path, [], [{"lines": {"memory": "1GB", "keep": "none"}}])
    assert not (tmp_path / "out").exists()
