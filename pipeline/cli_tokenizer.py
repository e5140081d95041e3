"""The commands `gristmill tokenizer ...`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from cyclopts import App, Parameter

from gristmill.pipeline.cli_shared import AsJson, Flag, print_table, show_json
from gristmill.pipeline.errors import UserError
from gristmill.tokenizers.model_settings import END_OF_TEXT, TokenizerModel

tokenizer_app = App(name="tokenizer", help="Train tokenizers on curated documents, and measure them.")


@tokenizer_app.command(name="train")
def tokenizer_train(
    documents: list[str] | None = None,
    /,
    *,
    output: str,
    settings: Annotated[TokenizerModel | None, Parameter(name="*")] = None,
    mixture: str | None = None,
    weights: tuple[str, ...] = (),
    sample_bytes: str = "100MB",
    seed: int = 0,
    eos: str = END_OF_TEXT,
    fewer: Annotated[bool, Flag] = False,
    as_json: AsJson = False,
) -> None:
    """Train a tokenizer on a hash sample of documents.

    Example: gristmill tokenizer train out/web --output tokenizer.json --vocab-size 16384 --split gpt4 --space-runs

    Args:
        documents: run folders, folders of documents, or files (Parquet, JSON lines, text); NAME=PATH gives one a name.
        output: the file to write, or a folder that gets a tokenizer.json.
        mixture: a mixture's file: learn from the documents it chooses, by its weights, in place of documents.
        weights: NAME=WEIGHT of named documents: their shares of the text to learn from.
        sample_bytes: most bytes of text to learn from, e.g. 100MB.
        seed: decides which documents are the sample.
        eos: the token that ends every document.
        fewer: take a smaller vocabulary where the documents offer no more tokens.
        as_json: print JSON.
    """
    from gristmill.tokenizers.training import train_from_documents

    settings = settings or TokenizerModel()
    most = _size("--sample-bytes", sample_bytes)
    if (mixture is None) == (not documents):
        raise UserError("name documents to learn from, or a --mixture; one of the two")
    try:
        if mixture is not None or weights:
            trained = _train_weighted(documents or [], mixture, weights, settings, eos, most, seed, output, fewer)
        else:
            paths = [_named(one)[1] for one in documents or []]
            trained = train_from_documents(
                paths, settings=settings, eos=eos, sample_bytes=most, seed=seed, output=output, fewer=fewer
            )
    except (ValueError, FileNotFoundError) as error:
        raise UserError(_with_flag(str(error))) from error
    if as_json:
        show_json(trained)
        return
    learned = f"{trained['vocab_size']:,} tokens from {trained['documents']:,} documents, {trained['bytes']:,} bytes"
    print(f"{trained['output']}: {learned}")
    print(f"sha256 {trained['sha256']}")
    if rows := trained.get("sources"):
        print_table([{name: _short(value) for name, value in row.items()} for row in rows])
    if settings.model in ("unigram", "wordpiece"):
        print(
            f"a {settings.model} tokenizer comes out differently each time it is trained: keep this file, its sha256 is its name"
        )


def _train_weighted(
    documents: Sequence[str],
    mixture: str | None,
    weights: Sequence[str],
    settings: TokenizerModel,
    eos: str,
    sample_bytes: int,
    seed: int,
    output: str,
    fewer: bool,
) -> dict[str, Any]:
    """Train on sources with weights, and say what each gave."""
    from gristmill.pipeline.tokenizer_sources import mixture_sources
    from gristmill.tokenizers.documents import batches_of, document_files
    from gristmill.tokenizers.training import WeightedDocuments, train_on_sources, write_tokenizer

    if mixture is not None:
        sources = mixture_sources(mixture)
    else:
        sources = []
        for name, (path, weight) in _of_weights(documents, weights).items():
            files = document_files(path)
            sources.append(WeightedDocuments(name, lambda files=files: batches_of(files), weight))  # type: ignore[misc]
    content, rows = train_on_sources(sources, settings, sample_bytes=sample_bytes, seed=seed, eos=eos)
    totals = {name: sum(row[name] for row in rows) for name in ("documents", "bytes", "documents_read")}
    return write_tokenizer(content, output, settings.vocab_size, fewer=fewer) | totals | {"sources": rows}


def _of_weights(documents: Sequence[str], weights: Sequence[str]) -> dict[str, tuple[str, float]]:
    paths = dict(_named(one) for one in documents)
    given: dict[str, float] = {}
    for one in weights:
        name, _, value = one.partition("=")
        try:
            given[name] = float(value)
        except ValueError:
            raise UserError(f"--weights {one}: should be NAME=WEIGHT, e.g. web=0.7") from None
    if set(paths) != set(given) or len(paths) < len(documents):
        raise UserError(
            f"--weights names {', '.join(given)}; the documents are {', '.join(paths)}: "
            "name each once, as NAME=PATH, and weigh each"
        )
    return {name: (paths[name], given[name]) for name in paths}


def _named(text: str) -> tuple[str, str]:
    """NAME=PATH, or a path under its own name."""
    name, equals, path = text.partition("=")
    return (name, path) if equals and "/" not in name else (text, text)


def _with_flag(message: str) -> str:
    return message.replace("or take what there is", "or take what there is with --fewer")


def _size(flag: str, text: str) -> int:
    from pydantic import ByteSize, TypeAdapter, ValidationError

    try:
        return int(TypeAdapter(ByteSize).validate_python(text))
    except ValidationError:
        raise UserError(f"{flag} {text}: should be a size such as 100MB, 64MiB or a number of bytes") from None


@tokenizer_app.command(name="measure")
def tokenizer_measure(
    tokenizers: list[str],
    /,
    *,
    on: tuple[str, ...],
    parameters: str | None = None,
    width: int | None = None,
    as_json: AsJson = False,
) -> None:
    """Measure tokenizers on documents: bytes per token, tokens per word, words kept whole, and whether the text comes back.

    Every document is encoded, decoded and compared.

    Example: gristmill tokenizer measure tokenizer.json gpt4.tiktoken --on out/web

    Args:
        tokenizers: files: a tokenizer.json, or ranks as tiktoken reads them; NAME=FILE gives one a name.
        on: run folders, folders of documents, or files.
        parameters: of a model without its vocabulary, e.g. 1.3B: also print the vocabulary that a scaling law suggests for it.
        width: of that model; guessed from the parameters unless given.
        as_json: print JSON.
    """
    from gristmill.tokenizers.documents import batches_of, document_files
    from gristmill.tokenizers.loading import load_tokenizer
    from gristmill.tokenizers.measuring import measure, suggested_vocabulary

    if not on:
        raise UserError("--on: name documents to measure on")
    named = [_named(one) for one in tokenizers]
    if len(dict(named)) < len(named):
        raise UserError("a tokenizer is named twice; give names, NAME=FILE")
    try:
        suggestion = suggested_vocabulary(_count(parameters), width) if parameters is not None else None
        files = [file for path in on for file in document_files(path)]
        rows = measure({name: load_tokenizer(path) for name, path in named}, batches_of(files))
    except (ValueError, FileNotFoundError) as error:
        raise UserError(str(error)) from error
    if as_json:
        show_json({"tokenizers": rows} | ({"suggested_vocabulary": suggestion} if suggestion else {}))
        return
    _print_measures(rows)
    if suggestion is not None:
        print(
            f"\nestimate for {suggestion['parameters']:,} parameters, width {suggestion['width']:,}: "
            f"a vocabulary of about {suggestion['vocab_size']:,} tokens (Tao et al. 2024; an extrapolation, not a measurement)"
        )


FIGURES = ("documents", "bytes_per_token", "tokens_per_word", "whole_words", "unknown", "byte_tokens", "lossless")


def _print_measures(rows: list[dict[str, Any]]) -> None:
    lines = []
    for row in rows:
        parts = [("all", row), *row["sources"].items()]
        # one language says nothing that the whole does not
        parts += [(f"[{name}]", one) for name, one in row["languages"].items() if len(row["languages"]) > 1]
        lines += [
            {"tokenizer": row["tokenizer"], "vocab": row["vocab_size"], "documents of": name}
            | {figure: one[figure] for figure in FIGURES}
            for name, one in parts
        ]
    print_table(lines)
    for row in rows:
        if row["lossy"]:
            print(f"{row['tokenizer']}: decoding does not give these documents back, for example: {', '.join(row['lossy'])}")


def _short(value: Any) -> Any:
    return round(value, 4) if isinstance(value, float) else value


def _count(text: str) -> float:
    units = {"K": 1e3, "M": 1e6, "B": 1e9, "T": 1e12}
    try:
        return float(text.rstrip("KMBT")) * units.get(text[-1:], 1)
    except ValueError:
        raise UserError(f"--parameters {text}: should be a number such as 1.3B or 125M") from None
