"""Sequence classifiers of Hugging Face from a folder on this machine: their scores of texts, in batches of like length."""

from __future__ import annotations

import os
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from gristmill.stages.stage import StageUnavailable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


class Classifier(NamedTuple):
    """A model that is ready to be asked."""

    model: Any
    tokenizer: Any
    device: str
    labels: tuple[str, ...]
    """Names of its outputs; one for a regression."""
    longest: int
    """Most tokens that it reads."""


@cache
def load_classifier(folder: str, device: str) -> Classifier:
    """A model and its tokenizer from a folder, kept for the process; nothing is fetched, and no code of the folder is run.

    Args:
        folder: with config.json, the weights (safetensors) and the tokenizer.
        device: `cpu`, `cuda`, or `auto`: the first GPU where there is one.

    Raises:
        StageUnavailable: the library is missing, there is no such device, or the folder holds no such model.
    """
    try:
        import torch
        from transformers import AutoModelForSequenceClassification, AutoTokenizer
        from transformers.utils.logging import disable_progress_bar
    except ImportError as error:
        raise StageUnavailable(
            f"{folder}: a classifier needs transformers ({error}); pip install 'gristmill[transformers]'"
        ) from error
    quiet: Any = disable_progress_bar  # each worker would draw its own bar into the run's log
    quiet()
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise StageUnavailable(f"device {device}: this machine has no GPU that PyTorch can use; give cpu or auto")
    if not os.path.isfile(os.path.join(folder, "config.json")):
        raise StageUnavailable(
            f"{folder}: is no folder of a Hugging Face model; it should hold config.json, weights and a tokenizer"
        )
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        model, told = AutoModelForSequenceClassification.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, output_loading_info=True
        )
    except Exception as error:  # whatever the library raises, at times several lines of it
        told_first = str(error).strip().partition("\n")[0].rstrip(" :")
        raise StageUnavailable(f"{folder}: transformers cannot load it: {told_first}") from error
    if not set(tokenizer.get_vocab()) - set(tokenizer.all_special_tokens):
        # where its files are missing the library makes an empty one, to which all words are unknown
        raise StageUnavailable(
            f"{folder}: has no tokenizer, or one without words; put its files (tokenizer.json, ...) beside the model"
        )
    if missing := sorted(told["missing_keys"]):
        # weights that the file lacks would be drawn at random, and the scores with them
        raise StageUnavailable(f"{folder}: is no trained sequence classifier; it has no weights {', '.join(missing[:3])}")
    model = model.to(device).eval()
    names = model.config.id2label
    positions = getattr(model.config, "max_position_embeddings", None) or 512
    longest = min(int(tokenizer.model_max_length), int(positions))
    return Classifier(model, tokenizer, device, tuple(str(names[number]) for number in range(len(names))), longest)


def number_of(classifier: Classifier, folder: str, label: str | None) -> int | None:
    """The output that `label` names; None for the only one of a regression.

    Raises:
        StageUnavailable: the model has several outputs and none is named, or none of that name.
    """
    if label is None and len(classifier.labels) == 1:
        return None
    if label is None or label not in classifier.labels:
        its = ", ".join(classifier.labels[:10])
        raise StageUnavailable(
            f"{folder}: has {'no label ' + repr(label) if label else 'several labels'}; name one of {its} as positive"
        )
    return classifier.labels.index(label) if len(classifier.labels) > 1 else None


def scores_of(
    folder: str, texts: Sequence[str], *, label: str | None, device: str, max_tokens: int, batch_tokens: int
) -> NDArray[np.float64]:
    """What the model says of texts: the output of a regression as it is, or the probability of a label; rounded to 4 decimals.

    Texts are sorted by their number of tokens and asked about in batches of like length, so that little is padding.

    Args:
        folder: of the model.
        texts: cut after `max_tokens` tokens, or as many as the model reads.
        label: which output.
        device: as in `load_classifier`.
        max_tokens: of each text.
        batch_tokens: most tokens of a batch, padding included.

    Returns:
        float64 of shape (n_texts,); NaN for blank texts.
    """
    import torch

    held = load_classifier(folder, device)
    number = number_of(held, folder, label)
    scores = np.full(len(texts), np.nan)
    rows = [row for row, text in enumerate(texts) if text.strip()]
    if not rows:
        return scores
    most = min(max_tokens, held.longest)
    # a token is seldom longer than 20 characters: what is cut away need not be tokenized
    tokens = held.tokenizer([texts[row][: 20 * most] for row in rows], truncation=True, max_length=most)["input_ids"]
    order = sorted(range(len(rows)), key=lambda at: (len(tokens[at]), at))
    for at in _batches([len(tokens[place]) for place in order], batch_tokens):
        chosen = [order[place] for place in at]
        padded = held.tokenizer.pad({"input_ids": [tokens[place] for place in chosen]}, return_tensors="pt").to(held.device)
        with torch.inference_mode():
            logits = held.model(**padded).logits.float()
        found = logits[:, 0] if number is None else torch.softmax(logits, dim=-1)[:, number]
        scores[[rows[place] for place in chosen]] = found.cpu().numpy().astype(np.float64)
    return np.round(scores, 4)


def _batches(lengths: Sequence[int], batch_tokens: int) -> list[range]:
    """Ranges of places, the longest of each times its size at most `batch_tokens`; one place at least.

    Args:
        lengths: in ascending order.
        batch_tokens: most tokens.
    """
    found, start = [], 0
    for end in range(1, len(lengths) + 1):
        if end == len(lengths) or lengths[end] * (end + 1 - start) > batch_tokens:
            found.append(range(start, end))
            start = end
    return found
