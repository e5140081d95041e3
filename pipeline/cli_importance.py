"""The commands `gristmill importance ...`."""

from __future__ import annotations

from typing import Annotated

from cyclopts import App, Parameter

from gristmill.pipeline.cli_shared import AsJson, check_output_file, show_json
from gristmill.pipeline.errors import UserError

importance_app = App(name="importance", help="Estimate the weights by which the stage `importance` chooses documents.")


@importance_app.command(name="train")
def importance_train(
    *,
    target: tuple[str, ...],
    raw: tuple[str, ...],
    output: Annotated[str, Parameter(name=["--output", "-o"])],
    buckets: int = 10_000,
    as_json: AsJson = False,
) -> None:
    """Estimate how much likelier words and pairs of words are in a target than in the raw documents (DSIR).

    Example: gristmill importance train --target books.jsonl.gz --raw out/web --output books.weights.json

    Args:
        target: run folders, folders of documents, or files (Parquet, JSON lines, text) of the kind that is wanted.
        raw: likewise, the documents to choose from, or a sample of them.
        output: the file to write.
        buckets: how many the words and pairs are hashed into.
        as_json: print JSON.
    """
    from gristmill.pipeline.importance_training import train_on_documents

    for flag, given in (("--target", target), ("--raw", raw)):
        if not given:
            raise UserError(f"{flag}: name documents to learn from")
    check_output_file(output, "books.weights.json")
    if not 2 <= buckets <= 1 << 24:
        raise UserError(f"--buckets {buckets}: should be 2 to {1 << 24:,}")
    try:
        trained = train_on_documents(target, raw, output=output, buckets=buckets)
    except (ValueError, FileNotFoundError) as error:
        raise UserError(str(error)) from error
    if as_json:
        show_json(trained)
        return
    counted = " and ".join(f"{trained[name]['documents']:,} {name} documents" for name in ("target", "raw"))
    print(f"{output}: weights of {buckets:,} buckets from {counted}")
    print(f"sha256 {trained['sha256']}")
