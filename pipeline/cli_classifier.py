"""The commands `gristmill classifier ...`."""

from __future__ import annotations

import sys
from typing import Annotated, Any

from cyclopts import App, Parameter

from gristmill.pipeline.classifier_settings import KEEPING, ClassifierTraining
from gristmill.pipeline.cli_shared import AsJson, print_table, show_json

classifier_app = App(name="classifier", help="Train classifiers that tell good documents from the rest.")

Sets = Annotated[tuple[str, ...], Parameter(negative="")]


@classifier_app.command(name="train")
def classifier_train(
    *,
    positive: Sets,
    negative: Sets,
    output: str,
    settings: Annotated[ClassifierTraining | None, Parameter(name="*")] = None,
    as_json: AsJson = False,
) -> None:
    """Train a fastText model on documents of two kinds, and say what it is worth on those it has not learned from.

    Example: gristmill classifier train --positive books.jsonl.gz --negative out/web --output quality.bin

    The model serves the stage quality_classifier. The same documents and settings give the same file.

    Args:
        positive: documents of the good kind: run folders, folders of documents, or files (Parquet, JSON lines, text).
        negative: documents of the other kind, e.g. of a crawl.
        output: the file to write; the tables go beside it, as OUTPUT.json.
        as_json: print JSON.
    """
    from gristmill.pipeline.classifier import train_classifier

    settings = settings or ClassifierTraining()
    facts = train_classifier(positive, negative, settings, output)
    print(*facts["doubts"], sep="\n", end="\n" if facts["doubts"] else "", file=sys.stderr)
    if as_json:
        show_json(facts)
        return
    show_facts(facts, output)
    keep = KEEPING.get(settings.recipe or "", "top: 0.1")
    ends = "".join(f", {name}: {value}" for name in ("max_characters", "last_characters") if (value := facts["settings"][name]))
    print(f"\nin a recipe: quality_classifier: {{model: {output}, {keep}{ends}}}")


def show_facts(facts: dict[str, Any], output: str) -> None:
    """Print what a classifier learned from and its tables."""
    held = facts["held_out"]
    print(f"{output}: {facts['words']:,} words; sha256 {facts['sha256']}")
    rows = [
        {"documents": kind, "read": facts["sets"][kind]["documents_read"], "taken": facts["sets"][kind]["documents"]}
        | {"learned from": facts["learned_from"][kind], "held out": held[kind]}
        for kind in facts["labels"]
    ]
    print_table(rows)
    half = held["at_0.5"]
    precision = "none stays" if half["precision"] is None else f"precision {half['precision']:.4f}"
    print(f"\nheld out: AUC {held['auc']:.4f}; from a score of 0.5 on: {precision}, recall {half['recall']:.4f}")
    print("\nto keep a share of the negative documents, as of a crawl:")
    print_table(
        [
            {
                "share": f"{row['keep']:.0%}",
                "least score": f"{row['least_score']:.6f}",
                "positive kept": f"{row['recall']:.4f}",
                "negative kept": f"{row['negative_kept']:.4f}",
            }
            for row in held["thresholds"]
        ]
    )
    print("\nreliability:")
    print_table(
        [
            {
                "score from": f"{row['from']:.1f}",
                "documents": row["documents"],
                "mean score": _shown(row["mean_score"]),
                "positive": _shown(row["positive_share"]),
            }
            for row in held["reliability"]
        ]
    )
    print("\nscores:")
    print_table([{"from": f"{row['from']:.2f}", **{kind: row[kind] for kind in facts["labels"]}} for row in held["histogram"]])


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
