"""`gristmill stage minhash IN --calibrate`: how well the stage finds near-duplicates among the user's own documents."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from gristmill.pipeline.cli_shared import AsJson, show_json
from gristmill.pipeline.errors import UserError

Calibrate = Annotated[bool, Parameter(negative="", show_default=False)]

ARGUMENTS = """
    calibrate: write nothing, but print how many planted copies of known similarity meet, measured against expected, and how
        similar the pairs of a sample are that meet. OUTPUT is left out then.
    documents: documents of the sample to calibrate with, drawn from the first ten times as many.
    as_json: print the calibration as JSON."""
"""What the flags of `calibrating` do."""


def calibrating(run: Callable[..., None]) -> Callable[..., None]:
    """The command of the stage `minhash`: `run`, or with `--calibrate` a calibration."""

    def command(
        input: str,
        output: str | None = None,
        /,
        *,
        settings: Any = None,
        format: Literal["warc", "wet", "jsonl", "parquet", "text"] | None = None,
        text_column: str | None = None,
        id_column: str | None = None,
        workers: int | None = None,
        scheduler: str | None = None,
        calibrate: Calibrate = False,
        documents: int = 1000,
        as_json: AsJson = False,
    ) -> None:
        if calibrate and output is not None:
            raise UserError(f"--calibrate writes nothing, so there is no place for {output}; leave one of the two out")
        if calibrate:
            _calibrate(input, settings, {"format": format, "text_column": text_column}, documents, as_json)
        elif output is None:
            raise UserError("the folder to write is missing: gristmill stage minhash INPUT OUTPUT, or --calibrate instead of it")
        else:
            given = {"format": format, "text_column": text_column, "id_column": id_column}
            run(input, output, settings=settings, **given, workers=workers, scheduler=scheduler)

    return command


def _calibrate(input: str, settings: Any, read: dict[str, Any], documents: int, as_json: bool) -> None:
    from gristmill.pipeline.calibrate import calibrate, print_calibration, sample_texts
    from gristmill.stages.minhash import MinHash

    if documents < 10:
        raise UserError(f"--documents {documents}: a calibration needs 10 or more")
    stage = settings if settings is not None else MinHash()
    texts = sample_texts(input, {key: value for key, value in read.items() if value is not None}, documents)
    found = calibrate(stage, texts)
    if as_json:
        show_json(found)
    else:
        print_calibration(found, stage)
