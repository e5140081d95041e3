"""Training of a quality classifier: documents of two kinds in, a fastText file out, and beside it what the model is worth."""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b, sha256
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from gristmill.pipeline.classifier_settings import ClassifierTraining
from gristmill.pipeline.errors import UserError

if TYPE_CHECKING:
    import pyarrow as pa

KINDS = ("positive", "negative")
BLANK = " \t\n\r\v\f\0"
NORMALISATION = "none; words are what stands between ASCII white space or null bytes, in their case"
_HALF = 1 << 64


@dataclass(frozen=True)
class DocumentSet:
    """Documents of one kind."""

    texts: dict[int, str]
    """By a hash of the text of 128 bits, in the hash's order; as the model is to see them."""
    facts: dict[str, Any]
    """Paths, and how many documents were read, as JSON."""


def train_classifier(
    positive: Sequence[str], negative: Sequence[str], settings: ClassifierTraining, output: str
) -> dict[str, Any]:
    """Train a model on two sets of documents, measure it on those held out, write it and `<output>.json`.

    Args:
        positive: files, folders of documents or run folders; those of the good kind.
        negative: likewise, e.g. of a crawl.
        settings: how.
        output: the model file, replaced where there is one.

    Returns:
        What is written beside the model.

    Raises:
        UserError: a set is empty or too small, or a place holds no documents.
    """
    import numpy as np

    from gristmill.pipeline.classifier_doubts import doubts
    from gristmill.pipeline.classifier_measure import SHARES, measures
    from gristmill.pipeline.storage import Storage
    from gristmill.stages.fasttext_training import Hyperparameters, train
    from gristmill.stages.fasttext_writer import write_model

    folder, _, name = output.rpartition("/")
    if not name or Path(output).is_dir():
        raise UserError(f"--output {output}: is a folder; give the file of the model, e.g. {output.rstrip('/')}/quality.bin")
    sets = dict(zip(KINDS, (read_set(positive, KINDS[0], settings), read_set(negative, KINDS[1], settings)), strict=True))
    # what is known to be good is no example of the rest
    both = sets["positive"].texts.keys() & sets["negative"].texts.keys()
    documents = sorted(
        (hashed, kind, text)
        for kind, held in sets.items()
        for hashed, text in held.texts.items()
        if kind == "positive" or hashed not in both
    )
    learned = [one for one in documents if not is_held_out(one[0], settings.held_out)]
    asked = [one for one in documents if is_held_out(one[0], settings.held_out)]
    _check_sizes(learned, asked, settings)
    names = ("dimensions", "word_ngrams", "buckets", "epochs", "learning_rate", "min_count", "seed")
    try:
        model = train(
            [text for _, _, text in learned],
            [kind for _, kind, _ in learned],
            Hyperparameters(**{one: getattr(settings, one) for one in names}),
        )
    except ValueError as error:
        raise UserError(f"--min-count {settings.min_count}: {error}") from error
    held = BytesIO()
    write_model(model, held)
    content, n_words = held.getvalue(), len(model.words)
    del held, model
    scores = _scores(content, [text for _, _, text in asked])
    positives = np.array([kind == "positive" for _, kind, _ in asked])
    learned_from = {kind: sum(one[1] == kind for one in learned) for kind in KINDS}
    facts = {
        "model": name,
        "sha256": sha256(content).hexdigest(),
        "labels": list(KINDS),
        "normalisation": NORMALISATION,
        "settings": settings.model_dump(mode="json"),
        "sets": {kind: held.facts for kind, held in sets.items()},
        "in_both_sets": len(both),
        "learned_from": learned_from,
        "words": n_words,
        "held_out": measures(scores, positives),
        "doubts": doubts(scores, positives, learned_from, SHARES),
    }
    storage = Storage(folder or ".")
    storage.put(name, content)
    storage.put(f"{name}.json", json.dumps(facts, ensure_ascii=False, indent=1).encode("utf-8", "backslashreplace"))
    return facts


def read_set(paths: Sequence[str], kind: str, settings: ClassifierTraining) -> DocumentSet:
    """The documents with the lowest hashes of some places, each text once.

    Raises:
        UserError: there is nothing at a place, it holds no documents, or none is long enough.
    """
    from gristmill.tokenizers.documents import batches_of, document_files

    if not paths:
        raise UserError(f"--{kind}: names no documents; give files, folders of documents or run folders")
    try:
        files = [file for path in paths for file in document_files(path)]
        texts, read = _lowest((batch.column("text") for batch in batches_of(files)), settings)
    except (ValueError, FileNotFoundError) as error:
        raise UserError(f"--{kind}: {error}") from error
    if not texts:
        least = f" of {settings.min_characters:,} characters or more" if settings.min_characters > 1 else " with text"
        raise UserError(f"--{kind} {' '.join(paths)}: holds no document{least} among {read:,}; there is nothing to learn from")
    digest = sha256(b"".join(hashed.to_bytes(16, "big") for hashed in texts)).hexdigest()
    facts = {
        "paths": list(paths),
        "files": len(files),
        "documents_read": read,
        "documents": len(texts),
        "characters": sum(map(len, texts.values())),
        "sha256_of_hashes": digest,
    }
    return DocumentSet(texts, facts)


def _lowest(columns: Iterable[pa.Array], settings: ClassifierTraining) -> tuple[dict[int, str], int]:
    """The texts with the lowest hashes, in their order, and how many documents were read."""
    import pyarrow.compute as pc

    from gristmill.stages.fasttext_scores import ends_of

    key = b"classifier" + settings.seed.to_bytes(8, "little")
    held: dict[int, str] = {}
    highest: list[int] = []
    read = 0
    for column in columns:
        read += len(column)
        texts = column.filter(pc.greater_equal(pc.utf8_length(column), settings.min_characters))
        seen = ends_of(texts, settings.max_characters, settings.last_characters)
        for text, looked_at in zip(texts.to_pylist(), seen.to_pylist(), strict=True):
            if not looked_at.strip(BLANK):
                continue
            hashed = int.from_bytes(blake2b(text.encode(), digest_size=16, key=key).digest(), "big")
            if hashed in held or (len(held) == settings.documents and hashed > -highest[0]):
                continue
            held[hashed] = looked_at
            heapq.heappush(highest, -hashed)
            if len(held) > settings.documents:
                del held[-heapq.heappop(highest)]
    return dict(sorted(held.items())), read


def is_held_out(hashed: int, share: float) -> bool:
    """Whether a document is asked about and not learned from: by other bits of its hash than those that chose it."""
    return hashed % _HALF < share * _HALF


def _check_sizes(
    learned: Sequence[tuple[int, str, str]], asked: Sequence[tuple[int, str, str]], settings: ClassifierTraining
) -> None:
    for kind in KINDS:
        counts = [sum(one[1] == kind for one in part) for part in (learned, asked)]
        if not all(counts):
            raise UserError(
                f"--{kind}: {sum(counts)} documents are too few: {counts[0]} to learn from and {counts[1]} held out; "
                f"give more of them, or another --held-out than {settings.held_out:g}"
                + ("" if sum(counts) else f"; a text that both sets have counts as {KINDS[0]}")
            )


def _scores(model: bytes, texts: list[str]) -> Any:
    """What the library makes of the file, which is how the stage will ask it."""
    import pyarrow as pa

    from gristmill.stages.fasttext_scores import label_scores

    with TemporaryDirectory(prefix="gristmill-") as folder:
        path = Path(folder) / "model.bin"
        path.write_bytes(model)
        return label_scores(str(path), pa.chunked_array([pa.array(texts, pa.large_string())]), KINDS[0])
