"""The commands `gristmill perplexity ...`."""

from __future__ import annotations

from typing import Annotated, Literal

from cyclopts import App, Parameter

from gristmill.pipeline.cli_shared import AsJson, check_output_file, show_json
from gristmill.pipeline.errors import UserError

perplexity_app = App(name="perplexity", help="Train the n-gram models that the stage `perplexity` asks.")


@perplexity_app.command(name="train")
def perplexity_train(
    *,
    on: tuple[str, ...],
    output: Annotated[str, Parameter(name=["--output", "-o"])],
    order: int = 5,
    min_count: int = 1,
    words: Literal["uax29", "wordpunct", "whitespace", "segmented", "segmented_by_rules"] = "uax29",
    sample_bytes: str = "100MB",
    seed: int = 0,
    as_json: AsJson = False,
) -> None:
    """Train an n-gram model (modified Kneser-Ney) on documents of the kind that is wanted, in one language.

    Example: gristmill perplexity train --on out/encyclopedia --output en.lm

    Args:
        on: run folders, folders of documents, or files (Parquet, JSON lines, text).
        output: the file to write.
        order: most words of an n-gram.
        min_count: fewest occurrences of n-grams of three and more words; 2 makes the model some five times smaller.
        words: what a word is; `segmented` for scripts without spaces.
        sample_bytes: most bytes of text to learn from, e.g. 100MB; memory is some 50 times that.
        seed: decides which documents are the sample.
        as_json: print JSON.
    """
    from pydantic import ByteSize, TypeAdapter, ValidationError

    from gristmill.pipeline.perplexity_training import train_on_documents

    if not on:
        raise UserError("--on: name documents to learn from")
    check_output_file(output, "en.lm")
    try:
        most = int(TypeAdapter(ByteSize).validate_python(sample_bytes))
    except ValidationError:
        raise UserError(f"--sample-bytes {sample_bytes}: should be a size such as 100MB, 64MiB or a number of bytes") from None
    if min_count < 1:
        raise UserError(f"--min-count {min_count}: should be 1 or more")
    try:
        trained = train_on_documents(
            on, output=output, words=words, order=order, min_count=min_count, sample_bytes=most, seed=seed
        )
    except (ValueError, FileNotFoundError) as error:
        raise UserError(str(error)) from error
    if as_json:
        show_json(trained)
        return
    grams = " + ".join(f"{number:,}" for number in trained["ngrams"])
    print(f"{output}: {grams} n-grams of {trained['documents']:,} documents, {trained['text_bytes']:,} bytes")
    print(f"sha256 {trained['sha256']}")
