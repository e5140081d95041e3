"""The commands `gristmill shards ...`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from cyclopts import App

from gristmill.pipeline.cli_shared import AsJson, print_table, show_json
from gristmill.pipeline.errors import UserError

shards_app = App(name="shards", help="Look into folders of token shards.")


@contextmanager
def told() -> Iterator[None]:
    """What is wrong with shards is the user's to mend."""
    from gristmill.tokenizers.manifest import ShardError

    try:
        yield
    except (ShardError, FileNotFoundError) as error:
        raise UserError(str(error)) from error


@shards_app.command(name="verify")
def shards_verify(folder: str, /, *, as_json: AsJson = False) -> None:
    """Read all of the shards, and check them against the manifest's sha256 and against each other.

    Example: gristmill shards verify out/web/shards

    Args:
        folder: of token shards.
        as_json: print JSON.
    """
    from gristmill.tokenizers import inspection

    with told():
        found = inspection.verify(folder)
    if as_json:
        show_json(found)
    else:
        held = f"{found['documents']:,} documents, {found['tokens']:,} tokens in {found['shards']:,} shards"
        print(f"{folder}: whole: {held}\ncontent {found['content_hash']}")


@shards_app.command(name="stats")
def shards_stats(folder: str, /, *, as_json: AsJson = False) -> None:
    """Show what shards hold: documents, tokens and bytes of each source, and how long its documents are.

    Example: gristmill shards stats out/web/shards

    Args:
        folder: of token shards.
        as_json: print JSON.
    """
    from gristmill.tokenizers import inspection

    with told():
        found = inspection.stats(folder)
    if as_json:
        show_json(found)
        return
    print(f"{found['documents']:,} documents, {found['tokens']:,} tokens, {found['dtype']}, vocabulary {found['vocab_size']:,}")
    print(f"tokenizer {found['tokenizer']}\ncontent   {found['content_hash']}")
    print_table(found["sources"])


@shards_app.command(name="show")
def shards_show(
    folder: str,
    /,
    *,
    document: int | None = None,
    window: int | None = None,
    source: str | None = None,
    seq_len: int = 2048,
    as_json: AsJson = False,
) -> None:
    """Show a document or a window of the shards: token ids beside the text that they stand for.

    Example: gristmill shards show out/web/shards --document 0

    Args:
        folder: of token shards.
        document: number of a document, from 0; in the source given, or over all.
        window: number of a window as the trainer reads them, from 0.
        source: whose document or window.
        seq_len: tokens that a window predicts.
        as_json: print JSON.
    """
    from gristmill.tokenizers import inspection

    if (document is None) == (window is None):
        raise UserError("give --document N or --window N, one of the two")
    with told():
        if document is not None:
            found = inspection.show_document(folder, document, source)
        else:
            found = inspection.show_window(folder, window or 0, seq_len, source)
    if as_json:
        show_json(found)
    else:
        _print_tokens(found)


def _print_tokens(found: dict[str, Any]) -> None:
    told = ((key, value) for key, value in found.items() if key not in ("ids", "pieces", "text") and value is not None)
    print("  ".join(f"{key} {value}" for key, value in told))
    print(f"{len(found['ids']):,} tokens\n")
    for ids, pieces in _lines(found["ids"], found["pieces"]):
        print(f"{ids:<44}  {pieces}")


def _lines(ids: list[int], pieces: list[str], width: int = 44) -> Iterator[tuple[str, str]]:
    """Ids and pieces side by side, as many a line as fit; a piece's line break is shown as a sign."""
    shown_ids: list[str] = []
    shown: list[str] = []
    for number, piece in zip(ids, pieces, strict=True):
        if shown_ids and len(" ".join([*shown_ids, str(number)])) > width:
            yield " ".join(shown_ids), "|".join(shown)
            shown_ids, shown = [], []
        shown_ids.append(str(number))
        shown.append(piece.replace("\r", "␍").replace("\n", "⏎").replace("\t", "⇥"))
    if shown_ids:
        yield " ".join(shown_ids), "|".join(shown)


@shards_app.command(name="find")
def shards_find(folder: str, /, *, doc_id: str, as_json: AsJson = False) -> None:
    """Find a document in shards by its id.

    Example: gristmill shards find out/web/shards --doc-id web/page.jsonl#3

    Args:
        folder: of token shards.
        doc_id: its id in the pipeline, or its 32 hexadecimal digits in the shards.
        as_json: print JSON: a list, empty when it is not there.
    """
    from gristmill.tokenizers import inspection

    with told():
        found = inspection.find_document(folder, doc_id)
    if as_json:
        show_json(found)
    elif not found:
        raise UserError(f"{folder}: holds no document {doc_id}; `gristmill why RUN {doc_id}` says what became of it")
    else:
        print_table(found)
