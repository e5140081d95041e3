"""The commands `gristmill embeddings ...`."""

from __future__ import annotations

from typing import Annotated

from cyclopts import App, Parameter

from gristmill.pipeline.cli_shared import AsJson, show_json
from gristmill.pipeline.embeddings_settings import EmbeddingsTraining

embeddings_app = App(name="embeddings", help="Train word vectors, by which texts are compared without a transformer.")


@embeddings_app.command(name="train")
def embeddings_train(
    *,
    input: Annotated[tuple[str, ...], Parameter(negative="")],
    output: Annotated[str, Parameter(name=["--output", "-o"])],
    settings: Annotated[EmbeddingsTraining | None, Parameter(name="*")] = None,
    as_json: AsJson = False,
) -> None:
    """Train word vectors as fastText does, on one thread; the same documents and settings give the same file.

    Example: gristmill embeddings train --input out/web --output vectors.bin

    They serve as `model` of the stages semantic and decontaminate (method: embedding), and fastText reads them.

    Args:
        input: documents to learn from: run folders, folders of documents, or files (Parquet, JSON lines, text).
        output: the file to write, NAME.bin; what it was made of goes beside it, as NAME.bin.json.
        as_json: print JSON.
    """
    from gristmill.pipeline.embeddings_training import train_embeddings

    facts = train_embeddings(input, settings or EmbeddingsTraining(), output)
    if as_json:
        show_json(facts)
        return
    print(
        f"{output}: {facts['words']:,} words of {facts['documents']:,} documents, {facts['text_bytes']:,} bytes, "
        f"{facts['tokens']:,} tokens\nsha256 {facts['sha256']}"
    )
    print(f"\nin a recipe: semantic: {{model: {output}}}")
    print(f"or: decontaminate: {{method: embedding, model: {output}, benchmarks: [...]}}")
