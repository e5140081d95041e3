"""Give every signal, filter and editor texts that are as odd as can be, and look at what they make of them.

    python tools/fuzz_signals.py [--inputs 100000] [--seed 0] [--batch 50]

Half of the inputs are valid UTF-8 made of what is hard: white space and line ends of all sorts, marks that combine, text from
right to left, emoji of several code points, runs, brackets, markup, addresses and numbers, scripts without spaces, capitals
that grow, NUL. The other half are bytes that need not be UTF-8: overlong forms, surrogates, bytes above F4, characters cut
short at the end of a text, and valid texts with bytes flipped, taken out or put in. They come from a seed, so that a run can be
repeated.

For valid texts: every signal is finite and, for short texts, what its plain definition says; every filter has a verdict with
finite values; every editor leaves valid text, a reason for each text that it empties, and cuts within the text that say what
stood there; what editors of lines leave and what they cut make up the text again, but for white space. For other bytes: a batch
of them is refused, and signals of the bare bytes are those of the text with U+FFFD in place of what is broken.

With NUMBA_BOUNDSCHECK=1 (and another XDG_CACHE_HOME, since compiled kernels are kept) every kernel checks its indices too.
Exit status 1 and the input in hexadecimal at the first failure.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Callable, Iterator
from functools import cache

import numpy as np
import pyarrow as pa

from gristmill.stages.corpus_stage import CorpusStage
from gristmill.stages.documents import Batch
from gristmill.stages.editor import Editor
from gristmill.stages.features import TextFeatures
from gristmill.stages.filter import Filter
from gristmill.stages.registry import STAGES, stage_class
from gristmill.stages.signals import MODULES, compute, plain_definition
from gristmill.stages.stage import Stage

LINE_EDITORS = ("c4_lines", "line_corrections", "repeated_lines")
"""Editors that take out lines and parts of lines and write nothing new but line ends."""

SHORT_BYTES = 300
"""Up to here a text is held against the plain definitions, some of which take the square of its length."""

_OWN_PROCESS = ("extract", "language")
"""Stages that need more than a text: pages and a process of their own, or a model."""

PIECES = [
    *(" ", "\n", "\n\n", "\r\n", "\r", "\t", "\v", "\f"),
    *("\x1c", "\x1d", "\x1e", "\x1f", "\x85", "\xa0", "\u2028", "\u2029", "\u3000"),
    *("\u200b", "\u200c", "\u200d", "\u2060", "\ufeff", "\xad"),
    *("\0", "\x01", "\x7f", "\x9f", "\ufffd", "\ufffe", "\U0010ffff"),
    *("the", "The", "TO", "be", "and of", "with", "a", "I", "12", "3.14"),
    *("1,234", "٣٤", "½", "x²", "Ⅷ", "é", "e\u0301", "İ", "ſ", "ẞ", "K"),
    *("שלום", "مرحبا", "\u202eabc\u202c", "نص\u0640", "हिन्दी", "ไทยภาษา", "ភាសាខ្មែរ"),
    *("ພາສາລາວ", "မြန်မာ", "བོད་སྐད་", "日本語テキスト", "中文", "한국어", "𠀀𠀁"),
    *("👩‍👩‍👧", "🇩🇪🇫", "👍🏽", "☺️", "\u0300" * 9, "a" + "\u0323\u0301" * 5, "\u0f3a", "ﷺ", "ﬁ", "ǆ", "ΑΣ", "a\u03a3"),
    *("...", ". . .", "…", "•", "- ", "* ", "●", "#", "##", "{"),
    *("}", "[1]", "[edit]", "[citation needed]", "(", ")", '"', "'", "’", "“x”"),
    *(".", "!", "?", "。", "؟", "।", "Mr."),
    *("e.g.", "No. 5", "U.S.", "J. R.", "lorem ipsum", "JavaScript", "privacy policy", "uses cookies"),
    *("3 likes", "12K followers", "Sign-in", "items in cart"),
    *("Read more...", "HELLO", "ABcd", "http://a.b/c?d=e#f", "www.x.org"),
    *("jane@x.org", "8.8.8.8", "192.168.0.1", "2001:db8::1"),
    *("(206) 555-0100", "+49 30 123456", "BE71 0961 2345 6769", "4111 1111 1111 1111"),
    *("<p>", "</p>", "<!--", "-->", "<script>", "&amp;"),
    *("&#0;", "<?xml version='1.0'?>", '{"a": [1]}', "def f():", "// auto-generated", "é", "â€™"),
]  # fmt: skip
"""What valid texts are made of."""

BROKEN = [
    *(b"\x80", b"\xbf", b"\xc0\x80", b"\xc1\xbf", b"\xc3", b"\xe2\x82"),
    *(b"\xe2", b"\xf0\x9f\x98", b"\xf0\x9f", b"\xf0", b"\xff", b"\xfe"),
    *(b"\xed\xa0\x80", b"\xed\xbf\xbf", b"\xed\xa0\xbd\xed\xb8\x80"),
    *(b"\xe0\x80\x80", b"\xe0\x9f\xbf", b"\xf0\x80\x80\x80", b"\xf0\x8f\xbf\xbf"),
    *(b"\xf4\x90\x80\x80", b"\xf5\x80\x80\x80", b"\xf7\xbf\xbf\xbf"),
    *(b"\xf8\x88\x80\x80\x80", b"\xfc\x84\x80\x80\x80\x80", b"\xe2\x28\xa1"),
]  # fmt: skip
"""What is not UTF-8: lone and missing continuations, overlong forms, surrogates, code points beyond the last, odd bytes."""


def odd_text(chance: random.Random) -> str:
    """Valid text: pieces in any order, runs of one, lines that repeat, any code points."""
    kind = chance.randrange(8)
    if kind == 0:
        return chance.choice(["", "", chance.choice(PIECES), chr(chance.choice([0, 9, 10, 0x20, 0xD7FF, 0xE000, 0x10FFFF]))])
    if kind == 1:
        points = (chance.randrange(0x110000) for _ in range(chance.randrange(40)))
        return "".join(chr(point) for point in points if not 0xD800 <= point < 0xE000)
    if kind == 2:
        return chance.choice(PIECES) * chance.randrange(1, 400)
    pieces = [chance.choice(PIECES) for _ in range(chance.randrange(1, chance.choice([4, 12, 60]) + 1))]
    if kind == 3:
        return "".join(pieces)
    if kind == 4:
        lines = [" ".join(chance.choices(PIECES, k=chance.randrange(1, 9))) for _ in range(3)]
        return chance.choice(["\n", "\n\n", "\r\n", "\u2028"]).join(chance.choices(lines, k=chance.randrange(1, 20)))
    return " ".join(pieces)


def odd_bytes(chance: random.Random) -> bytes:
    """Bytes that are UTF-8 only by accident."""
    data = odd_text(chance).encode()
    kind = chance.randrange(4)
    if kind == 0:
        return data + chance.choice(BROKEN)
    if kind == 1:
        return data[: chance.randrange(len(data) + 1)]
    if kind == 2:
        return bytes(chance.randbytes(chance.randrange(60)))
    out = bytearray(data)
    for _ in range(chance.randrange(1, 6)):
        at = chance.randrange(len(out) + 1)
        if chance.random() < 0.5:
            out[at:at] = chance.choice(BROKEN)
        elif at < len(out):
            out[at] = chance.randrange(256)
    return bytes(out)


def column(rows: list[bytes]) -> pa.Array:
    """A large_string array over these bytes, UTF-8 or not, in a buffer without a byte to spare."""
    offsets = np.cumsum([0, *map(len, rows)], dtype=np.int64)
    return pa.Array.from_buffers(pa.large_string(), len(rows), [None, pa.py_buffer(offsets), pa.py_buffer(b"".join(rows))])


@cache
def stages() -> dict[str, Filter | Editor]:
    """Every filter and editor of texts, in each of its flavours, with all its rules that need no file."""
    made: dict[str, Filter | Editor] = {}
    for name in STAGES:
        found = stage_class(name)
        if name in _OWN_PROCESS or not issubclass(found, Filter | Editor) or issubclass(found, CorpusStage):
            continue
        if needs_file(found):
            continue
        flavour = found.model_fields.get("flavour")
        for choice in getattr(flavour.annotation, "__args__", (None,)) if flavour else (None,):
            made[f"{name} {choice}" if choice else name] = found.model_validate({} if choice is None else {"flavour": choice})
    return made


def needs_file(stage: type[Stage]) -> bool:
    """Whether a stage can do nothing without a file that is named to it, a model say."""
    return any(field.is_required() for field in stage.model_fields.values())


def check_signals(features: TextFeatures) -> dict[str, list[float]]:
    """All signals of the texts, each of them finite."""
    values = {name: compute(name, features, {}) for name in MODULES}
    for name, found in values.items():
        assert found.dtype == np.float64, f"{name} is {found.dtype}"
        assert len(found) == len(features), f"{name} has {len(found)} values for {len(features)} texts"
        assert np.isfinite(found).all(), f"{name} is {found[~np.isfinite(found)][0]}"
    return {name: found.tolist() for name, found in values.items()}


def check_twins(texts: list[str], values: dict[str, list[float]]) -> None:
    """Short texts have the values that the plain definitions give."""
    for row, text in enumerate(texts):
        if len(text.encode()) > SHORT_BYTES:
            continue
        for name, found in values.items():
            plain = plain_definition(name)(text)
            assert found[row] == plain, f"{name} of {text!r} is {found[row]}, by its definition {plain}"


def check_filter(name: str, judge: Filter, batch: Batch) -> None:
    """A verdict on each document, from finite values; NaN where a filter's own signal has nothing to measure (no URL, say)."""
    verdict = judge.judge(batch)
    assert verdict.failed.shape == (len(verdict.rules), len(batch)), name
    for rule, values in zip(verdict.rules, verdict.values, strict=True):
        assert len(values) == len(batch), (name, rule.name)
        assert type(judge).measure is not Filter.measure or np.isfinite(values).all(), f"{name} {rule.name}: {values}"
        assert not np.isinf(values).any(), f"{name} {rule.name}: {values}"


def check_editor(name: str, editor: Editor, batch: Batch) -> None:
    """Valid texts, reasons for empty ones, and cuts that say where and what."""
    before = batch.table["text"].to_pylist()
    edited = editor.edit(batch)
    edited.table["text"].validate(full=True)
    after = edited.table["text"].to_pylist()
    assert len(after) == len(before), name
    lost = [loss.row for loss in edited.losses]
    assert lost == sorted(set(lost)), (name, lost)
    for row, text in enumerate(after):
        assert text or row in lost, f"{name} empties {before[row]!r} without a reason"
    if edited.cuts is None:
        return
    cuts: dict[int, list[tuple[int, int]]] = {}
    for cut in edited.cuts.to_pylist():
        row, start, end = cut["row"], cut["start"], cut["end"]
        assert 0 <= row < len(before), (name, cut)
        assert 0 <= start < end <= len(before[row]), f"{name} cuts {start} to {end} of {before[row]!r}"
        assert cut["text"] in (None, before[row][start:end]), (name, cut, before[row])
        assert not cuts.get(row) or cuts[row][-1][1] <= start, f"{name}: cuts of {before[row]!r} overlap"
        cuts.setdefault(row, []).append((start, end))
    if name.split()[0] in LINE_EDITORS:
        for row, text in enumerate(before):
            at, kept = 0, []
            for start, end in cuts.get(row, []):
                kept.append(text[at:start])
                at = end
            rest = "".join("".join([*kept, text[at:]]).split())
            assert rest == "".join(after[row].split()) or row in lost, f"{name}: what is left of {text!r} is {after[row]!r}"


def check_texts(texts: list[str]) -> None:
    """All that holds for valid texts."""
    batch = Batch.of(pa.table({"text": pa.array(texts, pa.large_string())}))
    check_twins(texts, check_signals(batch.features))
    for name, stage in stages().items():
        if isinstance(stage, Filter):
            check_filter(name, stage, batch)
        else:
            check_editor(name, stage, batch)


def is_utf8(row: bytes) -> bool:
    """Whether the bytes are text."""
    try:
        row.decode()
    except UnicodeDecodeError:
        return False
    return True


def check_bytes(rows: list[bytes]) -> None:
    """All that holds for bytes that need not be text."""
    broken = column(rows)
    if not all(map(is_utf8, rows)):
        try:
            Batch.of(pa.table({"text": broken}))
        except ValueError:
            pass
        else:
            raise AssertionError("a batch takes bytes that are no UTF-8")
    values = check_signals(TextFeatures(broken))
    text = column([row.decode("utf-8", "replace").encode() for row in rows])
    assert values == check_signals(TextFeatures(text)), "signals are not those of the text with U+FFFD for broken bytes"


def smallest(check: Callable[[list[bytes]], None], rows: list[bytes]) -> tuple[list[bytes], str]:
    """The row that fails by itself, or all of them, and how."""
    for tried in [*([row] for row in rows), rows]:
        try:
            check(tried)
        except Exception as error:  # whatever it is, it is the finding
            return tried, f"{type(error).__name__}: {error}"
    return rows, "fails no more when tried again"


def failures(inputs: int, seed: int, size: int) -> Iterator[tuple[list[bytes], str]]:
    """Run, and yield the inputs that fail, with what went wrong."""
    chance = random.Random(seed)

    def texts(rows: list[bytes]) -> None:
        check_texts([row.decode() for row in rows])

    done, begun, told = 0, time.perf_counter(), 0.0
    while done < inputs:
        valid = [odd_text(chance).encode() for _ in range(size)]
        other = [odd_bytes(chance) for _ in range(size)]
        for check, rows in ((texts, valid), (check_bytes, other)):
            try:
                check(rows)
            except Exception:  # whatever it is, it is looked at text by text
                yield smallest(check, rows)
        done += 2 * size
        if time.perf_counter() - told > 20:
            told = time.perf_counter()
            print(f"{done:,} of {inputs:,} inputs, {told - begun:.0f} s", file=sys.stderr, flush=True)


def main() -> None:
    """Run and tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--batch", type=int, default=50, help="inputs that are given together")
    arguments = parser.parse_args()
    for rows, message in failures(arguments.inputs, arguments.seed, arguments.batch):
        print(message)
        sys.exit("\n".join(row.hex() for row in rows))
    print(
        f"{arguments.inputs:,} inputs of seed {arguments.seed}: {len(MODULES)} signals and {len(stages())} stages, nothing found"
    )


if __name__ == "__main__":
    main()
