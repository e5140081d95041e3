"""How fast documents become tokens, beside the bare `tokenizers` library with the same batches, on one thread.

    python benchmarks/tokenization.py [DOCUMENTS ...] [--tokenizer tokenizer.json] [--megabytes 16] [--rounds 3]

Rows: the library (`encode_batch_fast` and the ids of each document as a Python list), the encoder (an Arrow array of ids, the
end-of-text token behind each document), the tokenize step of a run in one process (documents of the run's partitions encoded,
exchanged in the order of their hashes, written as shards with sha256), and the whole command `gristmill stage tokenize` around it
(JSON lines parsed, documents and words counted, documents published beside their shards, the report). Seconds are of the
processor, not of the clock. On a busy machine even those of one and the same loop differ by a third from minute to minute, so
speeds are not compared across rows: of each row it is measured which part of its time passes inside the library's call, and that
part is compared with the bare library's own. The median of the rounds counts. Without documents, those are the sources of this
Python's standard library.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"


class Clock:
    """Seconds of the processor, those inside the library's call apart."""

    def __init__(self) -> None:
        self.inside = 0.0
        self.rows: dict[str, tuple[float, float]] = {}

    @contextmanager
    def row(self, name: str) -> Iterator[None]:
        """Measure a row: its seconds, and the part of them inside the library."""
        inside, started = self.inside, time.process_time()
        yield
        self.rows[name] = (time.process_time() - started, self.inside - inside)


CLOCK = Clock()


class Timed:
    """A tokenizer whose calls of the library are measured."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer

    def encode_batch_fast(self, *arguments: Any, **more: Any) -> Any:
        """The library's call."""
        started = time.process_time()
        try:
            return self._tokenizer.encode_batch_fast(*arguments, **more)
        finally:
            CLOCK.inside += time.process_time() - started

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tokenizer, name)


def measure_the_inside() -> None:
    """Let encoders measure their calls of the library, and runs their tokenize step."""
    from gristmill.pipeline.tokens import Tokenization
    from gristmill.tokenizers.encoding import Encoder

    make, run = Encoder.__init__, Tokenization.run

    def made(self: Encoder, *arguments: Any, **more: Any) -> None:
        make(self, *arguments, **more)
        self._tokenizer = Timed(self._tokenizer)  # type: ignore[assignment]

    def timed(self: Tokenization, recipe_hash: str) -> Any:
        with CLOCK.row("tokenize step"):
            return run(self, recipe_hash)

    Encoder.__init__, Tokenization.run = made, timed  # type: ignore[method-assign]


def texts_of(paths: list[str], most_bytes: int) -> list[str]:
    """Texts of the documents, up to a number of bytes."""
    from gristmill.tokenizers.documents import batches_of, document_files

    if not paths:
        found = (file.read_text(errors="replace") for file in sorted(Path(sysconfig.get_path("stdlib")).rglob("*.py")))
    else:
        batches = batches_of([file for path in paths for file in document_files(path)])
        found = (text for batch in batches for text in batch["text"].to_pylist())
    texts, size = [], 0
    for text in found:
        if text and size < most_bytes:
            texts.append(text)
            size += len(text.encode())
    return texts


def library(texts: list[str], tokenizer_json: str) -> int:
    """Tokens that the bare library finds."""
    from gristmill.tokenizers.encoding import _small_batches
    from tokenizers import Tokenizer

    bare = Tokenizer.from_str(tokenizer_json)
    bare.encode_special_tokens = True
    tokenizer = Timed(bare)
    tokens = 0
    for batch in _small_batches(texts):
        for encoding in tokenizer.encode_batch_fast(batch, add_special_tokens=False):
            tokens += len(encoding.ids)
    return tokens


def encoder(texts: list[str], tokenizer_json: str) -> int:
    """Tokens that the encoder gives, without the ends of documents."""
    import pyarrow as pa

    from gristmill.tokenizers.encoding import Encoder

    lists = Encoder(tokenizer_json).encode(pa.array(texts, pa.large_string()))
    return len(lists.flatten()) - len(texts)


def command(texts: list[str], tokenizer_json: str) -> int:
    """Tokens that the command writes, without the ends of documents."""
    from gristmill.pipeline.recipe import Tokenize
    from gristmill.pipeline.tokenize_run import run_tokenize
    from gristmill.tokenizers.shards import open_shards

    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "tokenizer.json").write_text(tokenizer_json)
        run_tokenize(
            Tokenize(tokenizer=f"{folder}/tokenizer.json"), str(INPUT["documents"]), f"{folder}/run", workers=0, quiet=True
        )
        return open_shards(f"{folder}/run/shards").manifest.tokens - len(texts)


INPUT: dict[str, Path] = {}
ROWS: dict[str, Callable[[list[str], str], int]] = {"tokenizers library": library, "encoder": encoder, "whole command": command}


def main() -> None:
    """Measure, and print a table."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("documents", nargs="*")
    arguments.add_argument("--tokenizer")
    arguments.add_argument("--megabytes", type=float, default=16)
    arguments.add_argument("--rounds", type=int, default=3)
    given = arguments.parse_args()
    from gristmill.tokenizers.loading import load_tokenizer
    from gristmill.tokenizers.training import train_byte_bpe

    texts = texts_of(given.documents, int(given.megabytes * 10**6))
    size = sum(len(text.encode()) for text in texts)
    content = load_tokenizer(given.tokenizer) if given.tokenizer else train_byte_bpe(texts[::4], 16_384)
    measure_the_inside()
    rounds: list[dict[str, tuple[float, float]]] = []
    found: dict[str, int] = {}
    with tempfile.TemporaryDirectory() as folder:
        INPUT["documents"] = Path(folder, "documents.jsonl")
        INPUT["documents"].write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
        for _ in range(given.rounds):
            for name, measured in ROWS.items():
                with CLOCK.row(name):
                    found[name] = measured(texts, content)
            rounds.append(dict(CLOCK.rows))
    if len(set(found.values())) > 1:
        sys.exit(f"the rows do not find the same tokens: {found}")
    print(f"{len(texts):,} documents, {size / 1e6:.1f} MB, {found['encoder']:,} tokens\n")
    print(f"{'':<20} {'MB/s':>8} {'tokens/s':>12} {'of the library':>15}")
    bare = median(inside / seconds for seconds, inside in (one["tokenizers library"] for one in rounds))
    for name in ("tokenizers library", "encoder", "tokenize step", "whole command"):
        seconds = min(one[name][0] for one in rounds)
        share = median(one[name][1] / one[name][0] for one in rounds) / bare
        print(f"{name:<20} {size / seconds / 1e6:>8.2f} {found['encoder'] / seconds:>12,.0f} {share:>15.1%}")


if __name__ == "__main__":
    main()
