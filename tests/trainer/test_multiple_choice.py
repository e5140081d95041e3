"""Scores of choices: by a model of which every probability is known, token by token, and by `transformers`."""

import json
import math
from contextlib import nullcontext

import pytest
import torch

from gristmill.tokenizers.training import train_byte_bpe
from gristmill.trainer import hf_format
from gristmill.trainer.config import ConfigError
from gristmill.trainer.evaluation import encoder
from gristmill.trainer.losses import Losses, plain_next_token_loss
from gristmill.trainer.model import Decoder
from gristmill.trainer.multiple_choice import Task
from gristmill.trainer.settings import DocumentSettings, ModelSettings, TaskSettings
from gristmill.trainer.train import train

CPU = torch.device("cpu")
# 256 bytes and the end of text: every token is a byte
BYTES = encoder(train_byte_bpe(["x"], 257), 0)


class Table(torch.nn.Module):
    """A model whose next token depends on the last one only, by a table of logits."""

    def __init__(self, likely):
        """Tokens that follow each other `likely` have weight 3, all others 1."""
        super().__init__()
        self.logits = torch.zeros(257, 257)
        for first, second in likely:
            self.logits[byte(first), byte(second)] = math.log(3)

    def forward(self, ids, targets, *, documents=None, positions=None):
        one = torch.tensor(1)
        each = plain_next_token_loss(self.logits[ids].flatten(0, 1), torch.eye(257), targets.flatten(), one, 0.0, None)[1]
        return Losses(one, one, one, None, None, one, each.view_as(targets))


def byte(letter):
    return BYTES.encode([letter])[0].as_py()[0]


def task(tmp_path, rows, *, length=32, told=None, documents=None, using=BYTES, **settings):
    path = tmp_path / "t.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    return Task(TaskSettings(file=str(path), **settings), using, length, documents, (told if told is not None else []).append)


def item(question, choices, answer=0):
    return {"question": question, "choices": choices, "answer": answer}


@pytest.mark.parametrize("at_once", [1, 32, 64, 1000])
def test_scores_are_sums_of_the_log_likelihoods_of_the_choice(tmp_path, at_once):
    # rows of the table with one likely pair sum to 259, others to 257
    rare, plain, likely = -math.log(259), -math.log(257), math.log(3 / 259)
    of = task(tmp_path, [item("q", ["ab", "a", "bab"]), item("", ["b", "bb"])])
    assert of.scores(Table(["ab", " b"]), CPU, nullcontext, at_once) == [
        # the space is the first token of a choice, here after q
        [pytest.approx(score) for score in (plain + rare + likely, plain + rare, plain + likely + plain + likely)],
        # after an end-of-text token
        [pytest.approx(score) for score in (plain + likely, plain + likely + plain)],
    ]


def test_accuracies_are_by_the_sum_by_byte_and_by_token(tmp_path):
    told = task(
        tmp_path,
        [
            # sums: -5.6-5.6 (a) against -5.6-4.5-4.5-4.5 (bcd): a by the sum, bcd by the byte and the token
            item("q", ["a", "bcd"], 1),
            item("q", ["a", "bcd"], 0),
            item("q", ["xx", "b", "yyy"], 1),
        ],
    ).measure(Table([" b", "bc", "cd"]), CPU, nullcontext, 100)
    assert told["accuracy"] == pytest.approx(2 / 3)
    assert told["accuracy_norm"] == pytest.approx(1 / 3)
    # tokens count the space: a -5.6, bcd -4.7, b -5.0, xx -5.6 a token
    assert told["accuracy_token"] == pytest.approx(2 / 3)
    assert told["chance"] == pytest.approx((1 / 2 + 1 / 2 + 1 / 3) / 3)
    plain, likely = math.log(257), -math.log(3 / 259)
    right = (plain + 3 * likely) + (plain + math.log(259)) + (plain + likely)
    assert told["answer_bits_per_byte"] == pytest.approx(right / math.log(2) / 5)
    assert (told["items"], told["cut"], told["left_out"]) == (3, 0, 0)


def test_long_prompts_lose_their_beginning_and_items_with_longer_choices_are_left_out(tmp_path):
    told = []
    rows = [item("abcdefgh", ["x", "y"]), item("q", ["x" * 9, "y"]), item("abcdef", ["x", "y"])]
    of = task(tmp_path, rows, length=8, told=told)
    assert told == ["t: of 3 items, 1 lose the beginning of their prompt and 1 are left out: an input has 8 tokens"]
    kept = {(request.item, request.choice): bytes(BYTES.decode(request.tokens), "utf-8") for request in of.requests}
    # 9 tokens: 8 inputs and the last target
    assert kept[0, 0] == b"bcdefgh x"
    assert kept[1, 0] == b"<|endoftext|>abcdef x"
    result = of.measure(Table([]), CPU, nullcontext, 100)
    assert (result["items"], result["cut"], result["left_out"]) == (2, 1, 1)
    with pytest.raises(ConfigError, match="all 3 items have choices longer than an input of 1 tokens"):
        task(tmp_path, rows, length=1)


def test_a_choice_that_grows_together_with_the_prompt_is_scored_from_where_they_differ(tmp_path):
    # two spaces are one token, and nothing cuts the text before tokens are made
    content = json.loads(train_byte_bpe(["x"], 257))
    content["pre_tokenizer"] = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    content["model"]["merges"] = [["Ġ", "Ġ"]]
    content["model"]["vocab"]["ĠĠ"] = 257
    grown = encoder(json.dumps(content), 0)
    assert len(grown.encode(["q  a"])[0]) == 4
    of = task(tmp_path, [item("q ", ["a", "b"])], using=grown)
    assert [(len(request.tokens), request.scored) for request in of.requests] == [(4, 2), (4, 2)]


@pytest.fixture(scope="module")
def words():
    texts = [f"near the old mill one grinds grain on day {n}, and the river carries boats" for n in range(40)]
    return encoder(train_byte_bpe(texts, 300), 0)


QUESTIONS = [
    item("near the old mill", ["one grinds grain", "the river", "boats", "a much longer choice of many words"], 1),
    item("on day 7", ["grain", "é", "boats and grain"]),
    item("", ["the river carries boats", "mill"], 1),
]


def decoder(using, **shape):
    torch.manual_seed(0)
    settings = ModelSettings(layers=2, width=32, heads=2, kv_heads=1, init_std=0.3, **shape)
    return Decoder(settings, using.vocab_size, 48)


def test_scores_are_those_of_transformers(tmp_path, words):
    transformers = pytest.importorskip("transformers")
    model = decoder(words)
    hf_format.export(model, tmp_path / "hf")
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "hf").eval()
    found = task(tmp_path, QUESTIONS, using=words, length=48).scores(model, CPU, nullcontext, 96)
    for row, scores in zip(QUESTIONS, found, strict=True):
        for choice, score in zip(row["choices"], scores, strict=True):
            # by hand, one sequence at a time, without padding
            prompt = [words.eos_id, *words.encode([row["question"]])[0].as_py()[:-1]]
            whole = [words.eos_id, *words.encode([f"{row['question']} {choice}"])[0].as_py()[:-1]]
            assert whole[: len(prompt)] == prompt
            with torch.no_grad():
                logs = theirs(torch.tensor([whole])).logits[0].log_softmax(-1)
            wanted = sum(logs[place - 1, whole[place]].item() for place in range(len(prompt), len(whole)))
            assert score == pytest.approx(wanted, rel=1e-4)


def test_a_model_that_sees_one_document_does_not_see_the_end_of_another_before_an_item(tmp_path, words):
    model = decoder(words)
    found = task(tmp_path, QUESTIONS, using=words, length=48, documents=DocumentSettings(mask=True, positions="document"))
    scores = found.scores(model, CPU, nullcontext, 96)
    for row, of in zip(QUESTIONS[:2], scores, strict=False):
        for choice, score in zip(row["choices"], of, strict=True):
            prompt = words.encode([row["question"]])[0].as_py()[:-1]
            whole = words.encode([f"{row['question']} {choice}"])[0].as_py()[:-1]
            with torch.no_grad():
                logs = model(torch.tensor([whole]))[0].log_softmax(-1)
            wanted = sum(logs[place - 1, whole[place]].item() for place in range(len(prompt), len(whole)))
            assert score == pytest.approx(wanted, rel=1e-4)


def test_training_asks_them_and_learns_the_same(corpus, tmp_path):
    rows = [
        item("Near the old mill one", ["grinds grain", "waits for rain"]),
        item("Near a market one", ["wakes early", "sells bread"], 1),
    ]
    (tmp_path / "mills.jsonl").write_text("\n".join(map(json.dumps, rows)))
    sets = [
        f"data={corpus}", "device=cpu", "threads=1", "seq_len=64", "windows=8", "model.layers=1", "model.width=64",
        "model.heads=2", "model.kv_heads=1", "steps=40", "schedule.steps=40", "optimizer.learning_rate=0.01",
    ]  # fmt: skip
    train("tiny", [*sets, f"evaluation.tasks=[{{file: {tmp_path}/mills.jsonl}}]", "evaluation.every=30"], tmp_path / "with")
    train("tiny", sets, tmp_path / "without")
    rows, others = ([json.loads(line) for line in (tmp_path / n / "metrics.jsonl").open()] for n in ("with", "without"))
    assert [row["loss"] for row in rows] == [row["loss"] for row in others]
    assert [row["step"] for row in rows if "tasks" in row] == [30, 40]
    assert all("held_out" not in row for row in rows)
    assert rows[-1]["tasks"]["mills"]["items"] == 2
    # which deed follows from which place is all there is to learn
    assert rows[-1]["tasks"]["mills"]["accuracy"] == 1.0
