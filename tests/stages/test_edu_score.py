"""Scores of sequence classifiers, on small ones of the tests' own, with weights drawn at random."""

import gzip
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


@pytest.fixture(scope="module")
def shared_texts(shared_data) -> list[str]:
    """Questions and answers; most words are unknown to the models here, lengths differ."""
    with gzip.open(shared_data / "text" / "qa.jsonl.gz", "rt", encoding="utf-8") as lines:
        return [json.loads(line)["text"] for line, _ in zip(lines, range(30), strict=False)]


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


def train(folder: str, texts: list[str], targets: list[float]) -> None:
    """Some steps of regression, so that scores are those of a model that has learned something."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder).train()
    held = tokenizer(texts, padding=True, return_tensors="pt")
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    torch.manual_seed(2)
    for _ in range(60):
        loss = torch.nn.functional.mse_loss(model(**held).logits[:, 0], torch.tensor(targets))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.eval().save_pretrained(folder)


def test_a_trained_model_has_the_scores_of_the_librarys_own_pipeline(tmp_path, shared_texts):
    folder = build(tmp_path / "edu", ["score"])
    train(folder, ["a study of trees", "study of a study", "win money now", "now win now money"], [4.0, 4.5, 0.5, 0.0])
    texts = ["a study of trees", "win money now", "trees of money", *shared_texts]
    ask = transformers.pipeline("text-classification", model=folder, device="cpu", function_to_apply="none")
    expected = [one["score"] for one in ask(texts, truncation=True, max_length=64)]
    found = scores(texts, model=folder)
    np.testing.assert_allclose(found, expected, atol=2e-4)
    assert found[0] > 3 > 1.5 > found[1]
    verdict = EduScore(model=folder, device="cpu", at_least=2.5).judge(batch(texts[:2]))
    assert verdict.kept.tolist() == [True, False]


def test_labels_have_the_probabilities_of_the_librarys_own_pipeline(labelled, shared_texts):
    ask = transformers.pipeline("text-classification", model=labelled, device="cpu", top_k=None)
    found = {label: scores(shared_texts, model=labelled, positive=label) for label in ("prose", "spam")}
    for row, told in enumerate(ask(shared_texts, truncation=True, max_length=64)):
        assert {one["label"]: one["score"] for one in told} == pytest.approx(
            {label: column[row] for label, column in found.items()}, abs=2e-4
        )


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


def test_a_folder_without_a_tokenizer_is_refused(tmp_path):
    folder = build(tmp_path / "wordless", ["score"])
    for file in ("vocab.txt", "tokenizer.json", "tokenizer_config.json"):
        (tmp_path / "wordless" / file).unlink(missing_ok=True)
    with pytest.raises(StageUnavailable, match="has no tokenizer, or one without words"):
        load_classifier(folder, "cpu")


def test_a_damaged_folder_is_told_in_one_line(tmp_path):
    folder = tmp_path / "damaged"
    build(folder, ["score"])
    (folder / "config.json").write_text("{}")
    with pytest.raises(StageUnavailable, match="transformers cannot load it: ") as raised:
        load_classifier(str(folder), "cpu")
    assert "\n" not in str(raised.value)
