"""On how many real documents Gristmill and datatrove judge differently, rule by rule, and why.

    python benchmarks/agreement.py --peers-python PYTHON --cache FOLDER [--pages FILE_OR_FOLDER ...] [--data ../shared/data/text]

datatrove runs with the interpreter that --peers-python names, so that it need not be installed beside Gristmill:

    python3 -m venv peers && peers/bin/pip install datatrove spacy tokenizers lxml_html_clean

Rules are those of Gopher (quality and repetition), FineWeb and C4 with datatrove's default bounds, each tried alone on every
document; of C4's line rules the texts that are left are compared. There are two comparisons:

- spaCy: datatrove parts words and sentences as it does by default, with spaCy; Gristmill with UAX #29 and its own sentences.
- same words: datatrove is given Gristmill's words and sentences, so what differs now is the rule itself.

A document that differs in the first and not in the second differs by the splitter alone. Which of spaCy's habits it was is found
by giving datatrove our words with one habit each (`agreement_reasons.py`): the first that brings the verdict about. The places
where the two split words differently are counted by what stands left and right of them. Last come datatrove's errors that can
tell the two apart, each as an example that is run.

--data is a folder of gzip-compressed JSON lines with `text`; --pages are documents (Parquet with `text`), such as those that
`gristmill stage extract CRAWL.warc.gz OUT` writes to OUT/documents. datatrove takes some 10 minutes for 64 MB with spaCy: its
verdicts are kept in --cache, by the texts and by its version.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import subprocess
import sys
import unicodedata
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from gristmill.stages.c4 import C4
from gristmill.stages.c4_lines import C4Lines
from gristmill.stages.documents import Batch
from gristmill.stages.features import TextFeatures
from gristmill.stages.fineweb import FineWeb
from gristmill.stages.gopher_quality import GopherQuality
from gristmill.stages.gopher_repetition import GopherRepetition

sys.path.insert(0, str(Path(__file__).resolve().parent))
from agreement_reasons import HABITS, with_habit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gristmill.stages.filter import Filter

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "text"
PEERS = Path(__file__).with_name("agreement_peers.py")
REASONS = Path(__file__).with_name("agreement_reasons.py")
BATCH = 500
SHOWN = 14
"""Classes of word boundaries that are printed."""

Verdicts = dict[str, list[Any]]
"""Rule -> for each document whether it fails, or the digest of what is left of it."""


def read_texts(data: Path, pages: list[Path]) -> dict[str, list[str]]:
    """The texts, by where they come from; empty ones are left out, since both sides drop them first."""
    texts: dict[str, list[str]] = {}
    for path in sorted(data.glob("*.jsonl.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            texts[path.name.removesuffix(".jsonl.gz")] = [json.loads(line)["text"] for line in lines]
    for place in pages:
        for path in sorted(place.rglob("*.parquet")) if place.is_dir() else [place]:
            texts.setdefault("pages", []).extend(pq.read_table(path, columns=["text"])["text"].to_pylist())
    return {name: [text for text in found if text] for name, found in texts.items()}


def batches(texts: list[str]) -> Iterator[Batch]:
    """The documents, some hundred at a time."""
    for start in range(0, len(texts), BATCH):
        yield Batch.of(pa.table({"text": pa.array(texts[start : start + BATCH], pa.large_string())}))


def digest(text: str) -> str:
    """As the peers' side does: of the lines that are not blank, stripped."""
    lines = [line.strip() for line in text.splitlines()]
    return hashlib.sha1("\n".join(filter(None, lines)).encode()).hexdigest()[:16]


_OFF: dict[str, Any] = {
    "flavour": "datatrove",
    "max_word_chars": None,
    "citations": False,
    "end_mark": False,
    "min_words": None,
    "javascript": False,
    "policy": False,
    "leave_page_marks": False,
}
_LINES = {
    "too_long_word": C4Lines(**_OFF | {"max_word_chars": 1000}),
    "citations": C4Lines(**_OFF | {"citations": True}),
    "no_end_mark": C4Lines(**_OFF | {"end_mark": True}),
    "too_few_words": C4Lines(**_OFF | {"min_words": 3}),
    "javascript": C4Lines(**_OFF | {"javascript": True}),
    "policy": C4Lines(**_OFF | {"policy": True}),
    "all": C4Lines(flavour="datatrove", min_words=3, leave_page_marks=False),
}


def our_verdicts(texts: list[str]) -> Verdicts:
    """What Gristmill says, rule by rule, with the bounds and the flavour of datatrove."""
    found: Verdicts = {}

    def put(kind: str, judge: Filter, batch: Batch) -> None:
        verdict = judge.judge(batch)
        for rule, failed in zip(verdict.rules, verdict.failed, strict=True):
            found.setdefault(f"{kind}.{rule.name}", []).extend(failed.tolist())

    for batch in batches(texts):
        put("gopher_quality", GopherQuality(flavour="datatrove"), batch)
        put("gopher_repetition", GopherRepetition(flavour="datatrove"), batch)
        put("fineweb", FineWeb(flavour="datatrove"), batch)
        for name, editor in _LINES.items():
            left = editor.edit(batch).table["text"].to_pylist()
            found.setdefault(f"c4_lines.{name}", []).extend(map(digest, left))
        # lines with lorem ipsum or a brace stay for the page rules, as in the published code; sentences are of what passes all
        marked = C4Lines(flavour="datatrove", min_words=3).edit(batch).table
        put("c4", C4(max_page_chars=None, min_sentences=None), Batch(marked))
        passed = _LINES["all"].edit(batch).table
        put("c4", C4(max_page_chars=None, max_lorem_ipsum=None, max_curly_brackets=None, min_sentences=5), Batch(passed))
    hashes, ellipses = (found.pop(f"gopher_quality.too_many_{name}") for name in ("hashes", "ellipses"))
    found["gopher_quality.too_many_hashes_or_ellipses"] = [a or b for a, b in zip(hashes, ellipses, strict=True)]
    return found


def our_words(features: TextFeatures) -> Iterator[list[str]]:
    """The words of each text."""
    words = features.words("uax29")
    data = features.data.tobytes()
    for document in range(len(words.offsets) - 1):
        first, last = words.offsets[document], words.offsets[document + 1]
        spans = zip(words.starts[first:last].tolist(), words.ends[first:last].tolist(), strict=True)
        yield [data[start:end].decode() for start, end in spans]


def sentence_counts(texts: list[str]) -> list[dict[str, int]]:
    """For each text, how many sentences each line has that C4's rules could ask about: with citation marks or without."""
    cut = C4Lines(**_OFF | {"citations": True})
    lines: list[list[str]] = []
    for text in texts:
        stripped = [line.strip() for line in text.splitlines()]
        lines.append([line for line in stripped if line])
    flat = [line for of_text in lines for line in of_text]
    without = cut.edit(Batch.of(pa.table({"text": pa.array(flat, pa.large_string())}))).table["text"].to_pylist() if flat else []
    # theirs may leave white space where a citation mark stood at the end; both spellings are asked for
    known = list(dict.fromkeys([*flat, *without]))
    counts = np.diff(TextFeatures(pa.array(known, pa.large_string())).sentences.offsets).tolist()
    by_line = dict(zip(known, counts, strict=True))
    without_marks = dict(zip(flat, without, strict=True))
    return [{line: by_line[line] for raw in of_text for line in (raw, without_marks[raw])} for of_text in lines]


def write_input(texts: list[str], path: Path, habit: str | None = None) -> None:
    """What the peers read; with a habit of spaCy's in our words, if one is named."""
    unfinished = path.with_suffix(".unfinished")
    with unfinished.open("w", encoding="utf-8") as out:
        for batch in batches(texts):
            part = batch.table["text"].to_pylist()
            for text, words, sentences in zip(part, our_words(batch.features), sentence_counts(part), strict=True):
                words = with_habit(text, words, habit) if habit else words
                out.write(json.dumps({"text": text, "words": words, "sentences": sentences}) + "\n")
    unfinished.rename(path)


def ask(python: str, *arguments: str) -> str:
    """Run the peers' side and return what it prints."""
    try:
        done = subprocess.run([python, str(PEERS), *arguments], stdout=subprocess.PIPE, text=True, check=False)
    except OSError as error:
        sys.exit(f"--peers-python {python}: {error.strerror}; give the path of a Python interpreter")
    if done.returncode:
        sys.exit(f"--peers-python {python} ended with status {done.returncode}; is datatrove installed there? See --help")
    return done.stdout


def their_verdicts(
    python: str, how: str, cache: Path, texts: list[str], habit: str | None = None
) -> tuple[Verdicts, dict[int, list[int]]]:
    """What datatrove says, and where its words begin in some of the documents."""
    hashed = hashlib.sha256(f"{ask(python, 'version')}\0{PEERS.read_text()}\0{REASONS.read_text() if habit else ''}".encode())
    for text in texts:
        hashed.update(text.encode() + b"\0")
    key = hashed.hexdigest()[:16] + (f"-{habit.replace(' ', '-')}" if habit else "")
    path = cache / f"{key}-{how}.jsonl"
    if not path.is_file():
        source = cache / f"{key}-input.jsonl"
        if not source.is_file():
            write_input(texts, source, habit)
        ask(python, "judge", how, str(source), str(path))
    found: Verdicts = {}
    boundaries = {}
    with path.open() as lines:
        for number, line in enumerate(lines):
            row = json.loads(line)
            if (starts := row.pop("boundaries", None)) is not None:
                boundaries[number] = starts
            for rule, verdict in row.items():
                found.setdefault(rule, []).append(verdict)
    return found, boundaries


def kind_of(character: str) -> str:
    """Rough kind of a character beside a word boundary."""
    if character.isspace() or not character:
        return "space"
    if character.isalpha() or unicodedata.category(character).startswith("M"):
        return "letter"
    if character.isdigit():
        return "digit"
    return character if character in "-'’./_@" else "mark"


def boundary_classes(texts: list[str], theirs: dict[int, list[int]]) -> tuple[Counter[tuple[str, str, str]], dict[Any, str], int]:
    """Word beginnings of only one side, by what stands left and right, with an example of each; and how many both have."""
    counts: Counter[tuple[str, str, str]] = Counter()
    examples: dict[Any, str] = {}
    shared = 0
    for number, begun in theirs.items():
        text = texts[number]
        words = next(our_words(TextFeatures(pa.array([text], pa.large_string()))))
        ours, at = set(), 0
        for word in words:
            at = text.index(word, at)
            ours.add(at)
            at += len(word)
        shared += len(ours & set(begun))
        for side, only in (("UAX #29", ours - set(begun)), ("spaCy", set(begun) - ours)):
            for at in only:
                key = (side, kind_of(text[at - 1 : at]), kind_of(text[at]))
                counts[key] += 1
                around = [*text[max(at - 8, 0) : at].split()[-1:], "|", *text[at : at + 8].split()[:1]]
                examples.setdefault(key, "".join(around))
    return counts, examples, shared


def show(ours: Verdicts, spacy: Verdicts, same: Verdicts) -> None:
    """Print a row a rule."""
    head = f"{'rule':44}{'theirs':>8}{'ours':>8}{'only theirs':>13}{'only ours':>11}{'differ':>9}{'same words':>12}"
    print(head)
    for rule, mine in ours.items():
        given = [a != b for a, b in zip(mine, same[rule], strict=True)]
        if rule.startswith("c4_lines."):
            print(f"{rule:44}{'':40}{'':9}{sum(given):12,}")
            continue
        theirs = spacy[rule]
        only_theirs = sum(b is not False and not a for a, b in zip(mine, theirs, strict=True))
        only_ours = sum(b is False and a for a, b in zip(mine, theirs, strict=True))
        dropped = sum(verdict is not False for verdict in theirs)
        share = (only_theirs + only_ours) / len(mine)
        print(f"{rule:44}{dropped:8,}{sum(mine):8,}{only_theirs:13,}{only_ours:11,}{share:9.2%}{sum(given):12,}")


def show_wholes(ours: Verdicts, spacy: Verdicts, same: Verdicts) -> None:
    """Print a row a filter: whether any of its rules fails."""
    print(
        f"\n{'filter, all rules':44}{'theirs':>8}{'ours':>8}{'only theirs':>13}{'only ours':>11}{'differ':>9}{'same words':>12}"
    )
    for kind in ("gopher_quality", "gopher_repetition", "fineweb", "c4"):
        rules = [rule for rule in ours if rule.startswith(f"{kind}.")]

        def dropped(verdicts: Verdicts, rules: list[str] = rules) -> np.ndarray[Any, Any]:
            return np.asarray([[verdict is not False for verdict in verdicts[rule]] for rule in rules], bool).max(axis=0)

        mine, theirs, given = dropped(ours), dropped(spacy), dropped(same)
        only_theirs, only_ours = int((theirs & ~mine).sum()), int((mine & ~theirs).sum())
        share = (only_theirs + only_ours) / len(mine)
        counts = f"{theirs.sum():8,}{mine.sum():8,}{only_theirs:13,}{only_ours:11,}{share:9.2%}{(given != mine).sum():12,}"
        print(f"{kind:44}{counts}")


def show_reasons(ours: Verdicts, spacy: Verdicts, texts: list[str], python: str, cache: Path) -> None:
    """Print for each rule on words which of spaCy's habits changes the verdict, of the documents that differ."""
    rules = [rule for rule in spacy if not rule.startswith("c4.")]
    differ = {rule: [row for row, (a, b) in enumerate(zip(ours[rule], spacy[rule], strict=True)) if a != b] for rule in rules}
    rows = sorted({row for found in differ.values() for row in found})
    place = {row: index for index, row in enumerate(rows)}
    by_habit = {
        habit: their_verdicts(python, "ours", cache, [texts[row] for row in rows], habit)[0] if rows else {} for habit in HABITS
    }
    print(f"\n{'differ for the words; the reason is':44}" + "".join(f"{habit:>15}" for habit in HABITS) + f"{'other':>15}")
    for rule, found in differ.items():
        counts = Counter(
            next((habit for habit in HABITS if by_habit[habit][rule][place[row]] == spacy[rule][row]), "other") for row in found
        )
        if found:
            print(f"{rule:44}" + "".join(f"{counts[habit]:15,}" for habit in (*HABITS, "other")))


def show_same_words(ours: Verdicts, same: Verdicts, texts: list[str]) -> None:
    """Print the documents that differ with the same words, some of each rule."""
    for rule, mine in ours.items():
        rows = [row for row, (a, b) in enumerate(zip(mine, same[rule], strict=True)) if a != b]
        if rows:
            print(f"\n{rule}, same words: {len(rows)} documents differ")
        for row in rows[:5]:
            begin = f"document {row}, {len(texts[row]):,} characters, {texts[row][:60]!r}"
            print(f"  {begin}: ours {mine[row]}, theirs {same[rule][row]}")


def main() -> None:
    """Judge, compare and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA, help="folder of *.jsonl.gz with text")
    parser.add_argument("--pages", type=Path, nargs="*", default=[], help="Parquet files of documents, or folders of them")
    parser.add_argument("--peers-python", required=True, help="interpreter that has datatrove and spaCy")
    parser.add_argument("--cache", type=Path, required=True, help="folder where datatrove's verdicts are kept")
    arguments = parser.parse_args()
    by_place = read_texts(arguments.data, arguments.pages)
    if not by_place:
        parser.error(f"{arguments.data}: no *.jsonl.gz there")
    texts = [text for found in by_place.values() for text in found]
    arguments.cache.mkdir(parents=True, exist_ok=True)
    version = ask(arguments.peers_python, "version").strip()
    size = sum(len(text.encode()) for text in texts) / 1e6
    print(f"{len(texts):,} documents, {size:.1f} MB: " + ", ".join(f"{name} {len(found):,}" for name, found in by_place.items()))
    print(f"datatrove {version.split()[0]} with spaCy {version.split()[1]}\n", flush=True)
    python, cache = arguments.peers_python, arguments.cache
    same, _ = their_verdicts(python, "ours", cache, texts)
    spacy, boundaries = their_verdicts(python, "spacy", cache, texts)
    ours = our_verdicts(texts)
    show(ours, spacy, same)
    show_wholes(ours, spacy, same)
    show_reasons(ours, spacy, texts, python, cache)
    show_same_words(ours, same, texts)
    counts, examples, shared = boundary_classes(texts, boundaries)
    print(f"\nWord beginnings in {len(boundaries)} documents: {shared:,} of both sides; of one side only:")
    for key_, count in counts.most_common(SHOWN):
        side, left, right = key_
        print(f"  {count:8,} {side:8} between {left} and {right}, as in {examples[key_]}")
    print("\nErrors of datatrove, each run just now:")
    for line in ask(python, "errors").splitlines():
        error = json.loads(line)
        print(f"  {error['reason']}\n    {error['example']}: {error['theirs']}; right would be {error['right']}")


if __name__ == "__main__":
    main()
