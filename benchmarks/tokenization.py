"""How fast documents become tokens, beside the bare `tokenizers` library with the same batches, on one thread.

    python benchmarks/tokenization.py [DOCUMENTS ...] [--tokenizer tokenizer.json] [--megabytes 16] [--rounds 3]

Rows: the library (`encode_batch_fast` and the ids of each document as a Python list), the encoder (an Arrow array of ids, the
end-of-text token behind each document), and the tokenize step of a run in one process (documents read, encoded, exchanged in the
order of their hashes, written as shards with sha256). Seconds are of the processor, not of the clock: other work on the machine
changes them little. The rows are measured in turns, the best round of each counts. Without documents, those are the sources of
this Python's standard library.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"


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

    tokenizer = Tokenizer.from_str(tokenizer_json)
    tokenizer.encode_special_tokens = True
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


def step(texts: list[str], tokenizer_json: str) -> int:
    """Tokens that the tokenize step writes, without the ends of documents."""
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
ROWS: dict[str, Callable[[list[str], str], int]] = {"tokenizers library": library, "encoder": encoder, "tokenize step": step}


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
    best = dict.fromkeys(ROWS, float("inf"))
    found: dict[str, int] = {}
    with tempfile.TemporaryDirectory() as folder:
        INPUT["documents"] = Path(folder, "documents.jsonl")
        INPUT["documents"].write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
        for _ in range(given.rounds):
            for name, measured in ROWS.items():
                started = time.process_time()
                found[name] = measured(texts, content)
                best[name] = min(best[name], time.process_time() - started)
    if len(set(found.values())) > 1:
        sys.exit(f"the rows do not find the same tokens: {found}")
    print(f"{len(texts):,} documents, {size / 1e6:.1f} MB, {found['encoder']:,} tokens\n")
    print(f"{'':<20} {'MB/s':>8} {'tokens/s':>12} {'of the library':>15}")
    for name, seconds in best.items():
        share = best["tokenizers library"] / seconds
        print(f"{name:<20} {size / seconds / 1e6:>8.2f} {found[name] / seconds:>12,.0f} {share:>15.1%}")


if __name__ == "__main__":
    main()
