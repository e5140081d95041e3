"""Scores of sequence classifiers, on small ones of the tests' own, with weights drawn at random."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from gristmill.stages.documents import Batch
from gristmill.stages.edu_score import EduScore
from gristmill.stages.stage import StageUnavailable
from gristmill.stages.transformer_classifier import _batches, load_classifier

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "study", "of", "trees", "win", "money", "now"]
TEXTS = ["a study of trees", "win money now", " \n", "a " * 400, "study"]


def build(folder: Path, labels: list[str]) -> str:
    config = transformers.BertConfig(
        vocab_size=len(WORDS), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        max_position_embeddings=64, num_labels=len(labels), id2label=dict(enumerate(labels)), initializer_range=1.0,
    )  # fmt: skip
    torch.manual_seed(1)
    folder.mkdir()
    transformers.BertForSequenceClassification(config).save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(WORDS))
    transformers.BertTokenizerFast(vocab=str(folder / "vocab.txt")).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def regression(tmp_path_factory) -> str:
    return build(tmp_path_factory.mktemp("models") / "edu", ["score"])


@pytest.fixture(scope="module")
def labelled(tmp_path_factory) -> str:
    return build(tmp_path_factory.mktemp("models") / "kinds", ["prose", "spam"])


def batch(texts: list[str]) -> Batch:
    return Batch.of(pa.table({"id": [f"d{row}" for row in range(len(texts))], "text": texts}))


def scores(texts: list[str], **given) -> np.ndarray:
    return EduScore(device="cpu", **given).score_of(batch(texts))


def logits(folder: str, text: str) -> np.ndarray:
    """One text by itself, without anything of ours."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder).eval()
    with torch.inference_mode():
        return model(**tokenizer(text, truncation=True, max_length=64, return_tensors="pt")).logits[0].numpy()


@pytest.mark.parametrize("batch_tokens", [1, 40, 8192])
def test_a_regression_gives_each_text_its_output_whatever_it_is_batched_with(regression, batch_tokens):
    found = scores(TEXTS, model=regression, batch_tokens=batch_tokens)
    assert np.isnan(found).tolist() == [False, False, True, False, False]
    known = [0, 1, 3, 4]
    np.testing.assert_allclose(found[known], [logits(regression, TEXTS[row])[0] for row in known], atol=2e-4)
    assert len(set(found[known])) == 4


def test_a_label_gives_its_probability(labelled):
    prose, spam = (scores(TEXTS, model=labelled, positive=one) for one in ("prose", "spam"))
    expected = np.exp(logits(labelled, TEXTS[0]))
    assert prose[0] == pytest.approx(expected[0] / expected.sum(), abs=2e-4)
    np.testing.assert_allclose((prose + spam)[[0, 1, 3, 4]], 1.0, atol=2e-4)


def test_only_the_first_tokens_count(regression):
    first, second = scores(["study " * 8 + "win", "study " * 8 + "money"], model=regression, max_tokens=6)
    assert first == second


def test_the_score_decides_and_stands_in_meta(regression):
    low, high = sorted(scores(TEXTS[:2], model=regression))
    held = batch(TEXTS[:3])
    stage = EduScore(model=regression, device="cpu", at_least=high)
    verdict = stage.judge(held)
    assert sorted(map(str, verdict.first_failed_rule)) == ["None", "None", "low_score"]
    told = [json.loads(one) if one else None for one in stage.annotate(held).table["meta"].to_pylist()]
    assert sorted(one["edu_score"] for one in told[:2]) == [low, high]
    assert told[2] is None
    judged = EduScore(model=regression, device="cpu", at_most=low).judge(held)
    assert sorted(map(str, judged.first_failed_rule)) == ["None", "None", "high_score"]


@pytest.mark.parametrize(
    ("lengths", "most", "expected"),
    [([], 4, []), ([5], 4, [[0]]), ([1, 1, 2, 2, 4, 9], 4, [[0, 1], [2, 3], [4], [5]]), ([2, 2, 2], 6, [[0, 1, 2]])],
)
def test_batches_hold_no_more_than_is_allowed(lengths, most, expected):
    assert [list(one) for one in _batches(lengths, most)] == expected


def test_what_is_no_classifier_stops_the_run(regression, labelled, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(StageUnavailable, match="is no folder of a Hugging Face model"):
        EduScore(model=str(tmp_path / "empty")).set_up()
    with pytest.raises(StageUnavailable, match="several labels; name one of prose, spam"):
        EduScore(model=labelled, device="cpu").set_up()
    with pytest.raises(StageUnavailable, match="no label 'ham'; name one of prose, spam"):
        EduScore(model=labelled, positive="ham", device="cpu").set_up()
    if not torch.cuda.is_available():
        with pytest.raises(StageUnavailable, match="no GPU"):
            EduScore(model=regression, device="cuda").set_up()


def test_a_model_without_a_trained_head_is_refused(regression, tmp_path):
    folder = tmp_path / "headless"
    build(folder, ["score"])
    transformers.BertModel.from_pretrained(str(folder)).save_pretrained(folder)
    with pytest.raises(StageUnavailable, match="is no trained sequence classifier; it has no weights classifier"):
        load_classifier(str(folder), "cpu")
