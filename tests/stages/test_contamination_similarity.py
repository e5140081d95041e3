"""Rephrased items: passages of documents, how near they come to items, and the method `embedding` of decontamination."""

import json
import sys

import numpy as np
import pyarrow as pa
import pytest

from gristmill.stages.contamination_similarity import best, passages_of, similarities
from gristmill.stages.decontaminate import Decontaminate
from gristmill.stages.documents import Batch
from gristmill.stages.editor import Editor
from gristmill.stages.filter import Filter
from gristmill.stages.stage import StageUnavailable

MEANINGS = {"mill": 0, "grinder": 0, "rye": 1, "corn": 1, "sacks": 2, "bags": 2, "hours": 3, "river": 4, "boat": 5}
ITEM = "mill rye sacks hours"
REPHRASED = "grinder corn bags hours"
OTHER = "boat on the river river boat"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A model whose words with one meaning have one direction; unknown words have none."""
    pytest.importorskip("sentence_transformers", reason="needs the extra semantic")
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace

    from tokenizers import Tokenizer

    tokenizer = Tokenizer(WordLevel({"[UNK]": 0} | {word: at for at, word in enumerate(MEANINGS, 1)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    weights = np.zeros((len(MEANINGS) + 1, 6), dtype=np.float32)
    weights[range(1, len(MEANINGS) + 1), list(MEANINGS.values())] = 1
    folder = tmp_path_factory.mktemp("model")
    SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_weights=weights)], device="cpu").save(str(folder))
    return str(folder)


@pytest.fixture
def stage(tmp_path, model):
    path = tmp_path / "mill.jsonl"
    items = [{"id": "mill/0", "text": ITEM}, {"id": "mill/1", "text": "boat"}, {"id": "mill/2", "text": "hours hours hours"}]
    path.write_text("\n".join(json.dumps(item) for item in items))

    def made(**given):
        return Decontaminate(benchmarks=(str(path),), method="embedding", model=model, **({"shortest": 3} | given))

    return made


def settled(one: Decontaminate, *texts: str) -> tuple[Filter | Editor, Batch, dict[str, np.ndarray]]:
    ids = [str(at) for at in range(len(texts))]
    batch = Batch.of(pa.table({"id": ids, "text": pa.array(texts, pa.large_string()), "source": ["web"] * len(texts)}))
    survey = one.survey(batch)
    batch.given = survey.signals
    return one.settled(survey.totals), batch, survey.totals


def told(text: str, length: int, shortest: int) -> list[str]:
    data = np.frombuffer(bytearray(b"##" + text.encode() + b"##"), dtype=np.uint8)
    spans = passages_of(data, 2, len(data) - 2, length, shortest)
    return [data[start:end].tobytes().decode() for start, end in spans]


@pytest.mark.parametrize(
    ("text", "passages"),
    [
        ("a b c\nd e f.\n", ["a b c", "d e f."]),
        # with a blank line, lines are no paragraphs
        ("a b\nc d\n\n é f g!", ["a b\nc d", "é f g!"]),
        # short ones go with the next, the last one stays by itself
        ("title\na b c\nend", ["title\na b c", "end"]),
        # nine words, more than twice four: windows of four, two on; the last one ends where the paragraph does
        ("a b c d e f g h i.", ["a b c d", "c d e f", "e f g h", "f g h i."]),
        ("a b c d e f g h", ["a b c d e f g h"]),
        ("麦を粉にする水車小屋", ["麦を粉に", "粉にする", "する水車", "水車小屋"]),
        (" \n\n ", []),
        ("", []),
    ],
)
def test_passages_are_paragraphs_and_windows_of_long_ones(text, passages):
    assert told(text, 4, 2) == passages


def test_similarities_are_cosines_from_0_to_1_and_do_not_hang_on_what_else_is_compared():
    generator = np.random.default_rng(0)
    vectors = generator.normal(size=(70, 33)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    found = similarities(vectors[:50], vectors[50:])
    plainly = [
        [min(max(round(sum(map(float.__mul__, one, other)), 6), 0), 1) for other in vectors[50:].tolist()]
        for one in vectors[:50].tolist()
    ]
    assert found == pytest.approx(np.array(plainly), abs=2e-6)
    assert found.min() == 0
    assert found[3:5, 7:9].tolist() == similarities(vectors[3:5], vectors[57:59]).tolist()


def test_of_equally_similar_passages_the_first_is_told():
    rows = np.array([[1, 0, 0.9, 40, 50], [0, 2, 0.9, 30, 33], [0, 2, 0.9, 10, 13], [0, 1, 0.8, 1, 2], [0, 2, 0.7, 0, 3]])
    assert best(rows).tolist() == [[0, 1, 0.8, 1, 2], [0, 2, 0.9, 10, 13], [1, 0, 0.9, 40, 50]]


def test_a_rephrased_item_is_found_in_its_document_and_told(stage):
    one, batch, _ = settled(stage(), f"{OTHER}\n{REPHRASED}.\n{OTHER}", OTHER, "grinder corn river")
    verdict = one.judge(batch)
    assert verdict.kept.tolist() == [False, True, True]
    # the third: mill and rye of four, and a river: 2 / (2 * sqrt(3))
    assert verdict.signals["contamination"].tolist() == [1.0, 0.0, 0.57735]
    start = len(OTHER) + 1
    (detail,) = one.details(batch, verdict.rules[0], np.array([0]))
    assert detail == f"mill mill/0: similarity 1.000 to its question, characters {start}-{start + 24}: {REPHRASED}."


@pytest.mark.parametrize(("bound", "kept"), [(0.86, False), (0.87, True), (None, False)])
def test_a_passage_counts_from_the_given_similarity_on(stage, bound, kept):
    # three of four meanings: 3 / (2 * sqrt(3)) = 0.866025; the default is 0.85
    one, batch, _ = settled(stage(similarity_at_least=bound), "grinder corn bags")
    assert one.judge(batch).kept.tolist() == [kept]


def test_the_outcome_does_not_hang_on_the_survey_s_signals(stage):
    one, batch, _ = settled(stage(), REPHRASED, "grinder corn bags", OTHER)
    before = one.judge(batch).signals["contamination"].tolist()
    batch.given = {}
    assert one.judge(batch).signals["contamination"].tolist() == before


def test_cut_takes_every_passage_that_means_an_item(stage):
    one, batch, _ = settled(stage(action="cut"), f"{OTHER}\n{REPHRASED}\n{OTHER}\n{ITEM}", OTHER, REPHRASED)
    found = one.edit(batch)
    assert found.table["text"].to_pylist() == [f"{OTHER}\n\n{OTHER}\n", OTHER, ""]
    assert [(loss.row, loss.rule, loss.value) for loss in found.losses] == [(2, "nothing_left", 1.0)]


def test_items_are_told_found_clean_or_not_looked_for(stage):
    one = stage()
    _, _, totals = settled(one, REPHRASED, "grinder corn bags", OTHER)
    _, _, left = settled(one, "grinder corn bags", OTHER)
    found = one.findings(totals, left)
    # 0.866025 lies in the step from 0.86 on
    assert found["items"] == [
        {"benchmark": "mill", "id": "mill/0", "share": 1.0, "left": 0.86, "found": True, "sources": {"web": 1.0}}
    ]
    assert (found["method"], found["share"]) == ("embedding", 0.85)
    assert found["clean"] == {"mill": ["mill/2"]}
    assert found["not_looked_for"] == {"mill": ["mill/1"]}


def test_totals_of_parts_add_up_to_those_of_the_whole(stage):
    one, texts = stage(), [REPHRASED, "grinder corn bags", OTHER, ITEM, "hours hours"]
    _, _, whole = settled(one, *texts)
    parts = [settled(one, *some)[2] for some in (texts[:1], texts[1:])]
    assert all((whole[name] == parts[0][name] + parts[1][name]).all() for name in whole)
    assert whole["runs:web"].sum() == 4


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"method": "embedding"}, "no model with method: embedding; give the folder of a sentence-transformers model"),
        ({"model": "m"}, "model: m with method: weighted"),
        ({"similarity_at_least": 0.9}, "similarity_at_least: 0.9 with method: weighted"),
        ({"method": "embedding", "model": "m", "share": 0.5}, "give similarity_at_least"),
        ({"method": "embedding", "model": "m", "similarity_at_least": 0.4}, "greater than or equal to 0.5"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(given, message):
    with pytest.raises(ValueError, match=message):
        Decontaminate(benchmarks=("x.jsonl",), **given)


def test_a_folder_that_is_missing_or_a_missing_library_is_told(monkeypatch, tmp_path):
    items = tmp_path / "mill.jsonl"
    items.write_text(json.dumps({"text": "one two three four five six seven eight"}))
    folder = tmp_path / "none"
    one = Decontaminate(benchmarks=(str(items),), method="embedding", model=str(folder))
    with pytest.raises(StageUnavailable, match=r"decontaminate: .*none is no folder"):
        one.set_up()
    folder.mkdir()
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(StageUnavailable, match=r"pip install 'gristmill\[semantic\]'"):
        one.set_up()


def test_word_vectors_have_a_bound_of_their_own(tmp_path):
    (tmp_path / "a.vec").write_text("1 1\nmill 1\n")
    path = tmp_path / "mill.jsonl"
    path.write_text(json.dumps({"id": "mill/0", "text": ITEM}))

    def made(model, **given):
        return Decontaminate(benchmarks=(str(path),), method="embedding", model=model, **given)

    assert [made(one).way.share for one in (str(tmp_path / "a.vec"), "fasttext:a", "folder")] == [0.95, 0.95, 0.85]
    assert made("a.bin", similarity_at_least=0.7).way.share == 0.7
    assert made("a.bin").library_names()[-2:] == ("numpy", "numba")
    assert made("folder").library_names()[-2:] == ("sentence-transformers", "torch")
