"""Perplexity: of our own models and KenLM's, buckets by bounds given, published and found, and what is refused."""

import itertools
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gristmill.stages.documents import Batch
from gristmill.stages.features import TextFeatures
from gristmill.stages.ngram_model import FIRST_WORD, NgramModel
from gristmill.stages.ngram_tokens import form_map, form_of, lines_plainly, tokens_of
from gristmill.stages.ngram_training import train_model
from gristmill.stages.perplexity import Perplexity, bound_of
from gristmill.stages.perplexity_models import ccnet_form, perplexities
from gristmill.stages.stage import StageUnavailable
from gristmill.stages.text_kernels import hash_word

REFERENCE = ["the cat sat on the mat\nthe dog sat on the rug", "a cat and a dog sat by the door", "the cat saw the dog"]
TEXTS = ["the cat sat on the rug", "rug the on dog sat cat", "xylophone quark zebra", " \n"]


def trained(texts: list[str], order: int = 3) -> NgramModel:
    return train_model([tokens_of(TextFeatures(pa.array(texts, pa.large_string())), "uax29")], words="uax29", order=order)


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> str:
    path = str(tmp_path_factory.mktemp("model") / "en.lm")
    trained(REFERENCE).write(path)
    return path


def batch(texts: list[str], languages: list[str | None] | None = None, metas: list[str | None] | None = None) -> Batch:
    columns = {"text": texts, "language": pa.array(languages or [None] * len(texts), pa.string())}
    return Batch.of(pa.table(columns | {"meta": pa.array(metas or [None] * len(texts), pa.string())}))


def metas(stage: Perplexity, held: Batch) -> list[dict]:
    return [json.loads(one) if one else {} for one in stage.annotate(held).table["meta"].to_pylist()]


def arpa(model: NgramModel, words: list[str]) -> str:
    """A model as an ARPA file."""
    names = {0: "<unk>", 1: "<s>", 2: "</s>"}
    for word in words:
        number = int(
            model.numbers(np.array([hash_word(np.frombuffer(word.encode(), np.uint8).copy(), 0, len(word))], dtype=np.uint64))[0]
        )
        names[number] = word
    grams: list[list[tuple[int, ...]]] = [[(number,) for number in range(FIRST_WORD + len(model.vocabulary))]]
    for keys in model.keys:
        grams.append([(*grams[-1][int(key) >> 32], int(key) & 0xFFFFFFFF) for key in keys])
    lines = ["\\data\\", *(f"ngram {n}={len(held)}" for n, held in enumerate(grams, 1))]
    for n, held in enumerate(grams, 1):
        lines += ["", f"\\{n}-grams:"]
        for row, gram in enumerate(held):
            backoff = f"\t{model.log_backoffs[n - 1][row]:.8f}" if n < model.order else ""
            lines.append(f"{model.log_probabilities[n - 1][row]:.8f}\t{' '.join(names[one] for one in gram)}{backoff}")
    return "\n".join([*lines, "", "\\end\\", ""])


def test_kenlm_gives_texts_the_same_perplexity_as_the_kernel(model, tmp_path):
    pytest.importorskip("kenlm")
    own = trained(REFERENCE)
    words = sorted({token for text in REFERENCE for line in lines_plainly(text, "uax29") for token in line})
    path = tmp_path / "en.arpa"
    path.write_text(arpa(own, words))
    ours, theirs = (perplexities(pa.array(TEXTS), one) for one in (model, str(path)))
    np.testing.assert_allclose(ours, theirs, atol=0.11)
    assert np.isnan(ours[3])


def test_text_like_the_reference_surprises_less_than_its_words_shuffled_and_unknown_ones_most(model):
    like, shuffled, unknown, blank = perplexities(pa.array(TEXTS), model)
    assert like < shuffled < unknown
    assert np.isnan(blank)


def test_the_perplexity_by_hand(tmp_path):
    # one word, "a", twice: "<s> a </s>". Of order 1 with counts a 2, </s> 2: the discount for 2 is 1, so each has 1/4, and 1/2 is
    # spread over a, </s> and <unk>: p = 1/4 + 1/6 = 5/12, the same for both
    path = str(tmp_path / "a.lm")
    trained(["a", "a"], order=1).write(path)
    assert perplexities(pa.array(["a\na", "b"]), path).tolist() == [2.4, round((5 / 12 * 1 / 6) ** -0.5, 1)]


def test_forms_of_words():
    assert "".join(map(form_of, "Äé3٣”…\x07가ﬁ")) == 'ae00".가ﬁ'
    assert ccnet_form("  Él d\u0301it “2024”…\t—\x00 ok ") == 'el dit "0000"... -  ok'
    table = form_map()
    points = [*range(0x600), *range(0x900, 0xA00), *range(0x1E00, 0x2100), 0x4E00, 0xAC00, 0xFF11, 0x1F600, 0x2F800, 0xE0100]
    assert [table[point] for point in points] == [ord(form_of(chr(point)) or "\0") or -1 for point in points]


@settings(deadline=None)
@given(st.text(st.characters(codec="utf-8"), max_size=40))
def test_tokens_are_those_of_the_plain_definition(text):
    text = text.replace("\r", "")  # UAX 29 joins it to a line feed
    found = tokens_of(TextFeatures(pa.array([text, text], pa.large_string())), "uax29")
    lines = list(lines_plainly(text, "uax29"))
    expected = [hash_word(np.frombuffer(one.encode(), np.uint8).copy(), 0, len(one.encode())) for line in lines for one in line]
    assert found.hashes.tolist() == [int(one) for one in expected] * 2
    assert found.begins.tolist() == [int(at == 0) for line in lines for at in range(len(line))] * 2
    assert found.offsets.tolist() == [0, len(expected), 2 * len(expected)]


def test_buckets_by_bounds_stand_in_meta_and_decide(model):
    held = batch(TEXTS, metas=['{"a": 1}', None, None, None])
    values = perplexities(pa.array(TEXTS), model)
    stage = Perplexity(model=model, buckets=(values[1], values[2]), keep="middle")
    verdict = stage.judge(held)
    # at its bound a document is in the worse bucket
    assert verdict.signals["perplexity_bucket"].tolist()[:3] == [0, 1, 2]
    assert verdict.first_failed_rule == [None, None, "worse_bucket", None]
    assert stage.details(held, verdict.rules[0], np.array([2])) == [f"perplexity {values[2]:.1f}"]
    first, second, third, blank = metas(stage, held)
    assert first == {"a": 1, "bucket": "head", "perplexity": values[0]}
    assert (second["bucket"], third["bucket"], blank) == ("middle", "tail", {"bucket": "all"})


def test_bounds_of_the_perplexity_itself_are_kept(model):
    values = perplexities(pa.array(TEXTS), model)
    judged = Perplexity(model=model, max_perplexity=values[1], min_perplexity=values[1]).judge(batch(TEXTS))
    assert judged.first_failed_rule == ["low_perplexity", None, "high_perplexity", None]


def test_the_published_bounds_are_of_each_language(model):
    stage = Perplexity(model=model, buckets="ccnet")
    held = batch(["the"] * 6, ["en", "eng_Latn", "fr", "zh", "pl", None])
    held.given["perplexity"] = np.array([339.9, 340.0, 330.0, 1949.9, 5.0, 5.0])
    assert [one["bucket"] for one in metas(stage, held)] == ["head", "middle", "tail", "middle", "all", "all"]


def test_documents_in_a_language_without_a_model_have_no_perplexity(model):
    held = batch([TEXTS[0]] * 3, ["en", "de", None])
    stage = Perplexity(model={"en": model}, max_perplexity=1)
    assert np.isnan(stage.perplexity_of(held)).tolist() == [False, True, True]
    assert stage.judge(held).kept.tolist() == [False, True, True]


@given(st.lists(st.integers(10, 10**7), min_size=1, max_size=40), st.lists(st.integers(1, 39), max_size=3), st.booleans())
def test_thirds_of_the_corpus_are_the_same_however_it_is_cut(tenths, cuts, by_language):
    values = np.array(tenths) / 10
    languages = [("en", "de")[row % 2] for row in range(len(values))]
    stage = Perplexity(model="none", buckets="corpus", by="language" if by_language else "corpus")

    def surveyed(rows: slice) -> dict[str, np.ndarray]:
        held = batch(["the"] * len(values[rows]), languages[rows])
        object.__setattr__(stage, "_measured", lambda table: values[rows])
        return stage.survey(held).totals

    places = sorted({0, len(values), *(cut for cut in cuts if cut < len(values))})
    totals: dict[str, np.ndarray] = {}
    for start, end in itertools.pairwise(places):
        for name, counts in surveyed(slice(start, end)).items():
            longer = max(len(counts), len(totals.get(name, ())))
            totals[name] = sum(np.pad(one, (0, longer - len(one))) for one in (counts, totals.get(name, np.zeros(0, np.int64))))
    whole = surveyed(slice(None))
    assert {name: counts.tolist() for name, counts in totals.items()} == {name: one.tolist() for name, one in whole.items()}
    settled = stage.settled(totals)
    held = batch(["the"] * len(values), languages)
    held.given["perplexity"] = values
    buckets = settled.buckets_of(held)
    for language in ("en", "de") if by_language else (None,):
        rows = [row for row, one in enumerate(languages) if language in (None, one)]
        if rows:
            assert (buckets[rows] == 0).sum() >= len(rows) / 3 - 1e-9
            assert (buckets[rows] <= 1).sum() >= len(rows) * 2 / 3 - 1e-9
            assert values[rows][buckets[rows] == 0].max() <= min(values[rows][buckets[rows] > 0], default=np.inf)


def test_the_bound_of_a_share_is_the_upper_edge_of_its_bin():
    counts = np.zeros(2 * 8192 + 1, dtype=np.int64)
    counts[[0, 8192, 2 * 8192]] = 1
    assert bound_of(counts, 1 / 3) == pytest.approx(10 ** (1 / 8192))
    assert bound_of(counts, 2 / 3) == pytest.approx(10 ** (1 + 1 / 8192))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"keep": "head"}, "set buckets"),
        ({"buckets": (500, 300)}, "give the lower one first"),
        ({"shares": (0.6, 0.3)}, "give the lower one first"),
        ({"model": {"en": "x"}, "sentencepiece": "y"}, "go together"),
        ({"model": {"en": "x"}, "buckets": {"de": (1, 2)}}, "buckets.de: there is no model of this language; model has en"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Perplexity(**{"model": "m"} | settings)


def test_files_that_are_no_models_stop_the_run(model, tmp_path):
    (tmp_path / "text.lm").write_text("the cat sat")
    whole = Path(model).read_bytes()
    (tmp_path / "cut.lm").write_bytes(whole[: len(whole) // 2])
    for name in ("text.lm", "cut.lm", "none.lm"):
        with pytest.raises(StageUnavailable, match=name):
            Perplexity(model=str(tmp_path / name)).set_up()
    with pytest.raises(StageUnavailable, match="leave it out"):
        Perplexity(model=model, sentencepiece="pieces.model").set_up()


def test_a_broken_arpa_file_stops_the_run(tmp_path):
    pytest.importorskip("kenlm")
    (tmp_path / "broken.arpa").write_text("\\data\\\nngram 1=7\n")
    with pytest.raises(StageUnavailable, match=r"broken.arpa: KenLM cannot read it"):
        Perplexity(model=str(tmp_path / "broken.arpa")).set_up()


def test_pieces_of_sentencepiece_are_what_kenlm_is_asked_about(tmp_path):
    pytest.importorskip("kenlm")
    sentencepiece = pytest.importorskip("sentencepiece")
    (tmp_path / "reference.txt").write_text("\n".join(REFERENCE))
    sentencepiece.SentencePieceTrainer.train(
        input=str(tmp_path / "reference.txt"), model_prefix=str(tmp_path / "en.sp"), vocab_size=22, minloglevel=2
    )
    # it knows no piece, so each counts 2, and each end of a line 1
    arpa = "\\data\\\nngram 1=3\nngram 2=1\n\n\\1-grams:\n-2\t<unk>\n-99\t<s>\n-1\t</s>\n\n\\2-grams:\n-1\t<s> </s>\n\n\\end\\\n"
    (tmp_path / "en.arpa").write_text(arpa)
    pieces, model = str(tmp_path / "en.sp.model"), str(tmp_path / "en.arpa")
    lines = ["The cat", "sat 7 times"]
    cut = [len(sentencepiece.SentencePieceProcessor(model_file=pieces).encode(ccnet_form(line))) for line in lines]
    stage = Perplexity(model={"en": model}, sentencepiece={"en": pieces})
    stage.set_up()
    found = stage.perplexity_of(batch(["\n\n".join(lines), " "], ["en", "en"]))
    assert found[0] == pytest.approx(10 ** ((2 * sum(cut) + 2) / (sum(cut) + 2)), abs=0.06)
    assert np.isnan(found[1])
    (tmp_path / "none.model").write_text("the cat")
    with pytest.raises(StageUnavailable, match="is no model of SentencePiece"):
        Perplexity(model=model, sentencepiece=str(tmp_path / "none.model")).set_up()
