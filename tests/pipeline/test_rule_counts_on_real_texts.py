"""On real documents, what a run says of rules is what one gets by holding every rule against every document."""

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from gristmill.pipeline.published import PublishedRun
from gristmill.pipeline.recipe import recipe_from_resolved
from gristmill.pipeline.rule_counts import rule_counts
from gristmill.pipeline.runs import run
from gristmill.stages.documents import Batch
from gristmill.stages.gopher_quality import GopherQuality


def test_rules_alone_only_and_with_their_values_are_those_of_brute_force(shared_data, tmp_path):
    texts = []
    for name in ("docs", "qa", "code_python", "math_latex"):
        with gzip.open(shared_data / "text" / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
            texts += [json.loads(line)["text"][:4000] for line, _ in zip(lines, range(40), strict=False)]
    (tmp_path / "a.jsonl").write_text("\n".join(json.dumps({"id": str(row), "text": text}) for row, text in enumerate(texts)))
    read = {"format": "jsonl", "paths": [str(tmp_path / "a.jsonl")], "id": "column"}
    stages = [{"gopher_quality": {"flavour": "datatrove", "min_words": 600, "evaluate": "all"}}]
    recipe = recipe_from_resolved({"name": "real", "sources": {"a": {"read": read, "stages": stages}}})
    folder = Path(run(recipe, output=tmp_path / "run", workers=0, quiet=True).folder)

    verdict = GopherQuality(flavour="datatrove", min_words=600).judge(Batch.of(pa.table({"text": texts})))
    rules = [rule.name for rule in verdict.rules]
    failed = {
        str(row): [rule for rule, fails in zip(rules, column, strict=True) if fails]
        for row, column in enumerate(verdict.failed.T)
    }
    assert sum(len(names) > 1 for names in failed.values()) > 10

    counts = rule_counts(PublishedRun(folder))["gopher_quality", "a"]
    assert counts["alone"] == {rule: sum(rule in names for names in failed.values()) for rule in rules}
    assert counts["only"] == {rule: sum(names == [rule] for names in failed.values()) for rule in rules}

    removed = pa.concat_tables(pq.read_table(path) for path in sorted((folder / "removed").glob("*.parquet"))).to_pylist()
    assert {row["id"]: row["failed_rules"] for row in removed} == {row: names for row, names in failed.items() if names}
    signals = pa.concat_tables(pq.read_table(path) for path in sorted((folder / "signals").glob("*.parquet")))
    stored = dict(zip(signals["id"].to_pylist(), signals.to_pylist(), strict=True))
    for rule, values in zip(verdict.rules, verdict.values, strict=True):
        assert [stored[str(row)][f"gopher_quality.{rule.signal}"] for row in range(len(texts))] == values.tolist(), rule.name
