"""What is known of a run adds up over passes and deduplications."""

from gristmill.pipeline.parts import Pack, Part, Removals, Rows
from gristmill.pipeline.state import RunState


def counts(into: int, removed: int, rules: dict | None = None) -> dict:
    sizes = {"bytes_in": 10 * into, "bytes_kept": 10 * (into - removed), "words_in": into, "words_kept": into - removed}
    return {"in": into, "kept": into - removed, "removed": removed, "edited": 0, "rules": rules or {}, **sizes}


def manifest(number: int, removed: int, stage: str = "short") -> dict:
    kept = 10 - removed
    return {
        "counts": {"read": counts(10, 0), stage: counts(10, removed, {"rule": removed})},
        "documents": [{"file": f"documents{number}", "rows": kept, "bytes": 10 * kept, "words": kept}],
        "ledger": {"file": f"ledger{number}", "stages": {stage: [0, removed]}},
        "signals": [{"file": f"signals{number}", "version": 0, "rows": 10, "columns": [f"{stage}.x"]}],
        "edits": None,
        "reports": None,
        "other_records": {"request": 2, "warcinfo": 1},
        "gaps": 1,
    }


def test_passes_add_up_and_their_rows_stay_in_order():
    state = RunState(labels=["read", "short"], versions={"a": 1})
    parts = [part for number in (1, 2) for part in state.take_pass(f"key{number}", "a", manifest(number, 3))]
    assert [(part.file, part.key, part.rows, part.kept, part.bytes) for part in parts] == [
        ("documents1", "key1.0", 7, 7, 70),
        ("documents2", "key2.0", 7, 7, 70),
    ]
    assert state.by_stage(state.ledger) == {"short": [Rows("ledger1", 0, 3), Rows("ledger2", 0, 3)]}
    assert state.signals == {("a", 0): [Rows("signals1", None, 10), Rows("signals2", None, 10)]}
    assert (state.other_totals(), state.gaps) == ({"request": 4, "warcinfo": 2}, 2)
    assert [(row["stage"], row["in"], row["kept"], row["rules"]) for row in state.funnel()["rows"]] == [
        ("read", 20, 20, {}),
        ("short", 20, 14, {"rule": 6}),
    ]


def test_ledger_rows_of_a_stage_stand_in_the_order_of_the_sources_whichever_came_first():
    state = RunState(labels=["read", "short"], versions={"a": 1, "b": 1})
    for number, source in ((1, "b"), (2, "a"), (3, "b")):
        state.take_pass(f"key{number}", source, manifest(number, 3))
    assert [one.file for one in state.by_stage(state.ledger)["short"]] == ["ledger2", "ledger1", "ledger3"]


def test_the_funnel_stands_in_the_order_of_stages_then_sources():
    state = RunState(labels=["read", "short", "exact"], versions={"a": 1, "b": 1})
    for stage, source in (("exact", "b"), ("short", "b"), ("read", "b"), ("read", "a"), ("exact", "a")):
        state.count(stage, source, counts(1, 0))
    keys = [(row["stage"], row["source"]) for row in state.funnel()["rows"]]
    assert keys == [("read", "a"), ("read", "b"), ("short", "b"), ("exact", "a"), ("exact", "b")]


def test_a_deduplication_takes_documents_out_of_parts_and_counts_them_by_source():
    state = RunState(labels=["read", "exact"], versions={"a": 0, "b": 0})
    first, second, third = (Part(source, file, file, 5, 5, 50, 5) for source, file in (("a", "f"), ("b", "g"), ("b", "h")))
    removed = {
        "rule": "duplicate",
        "by_part": {"1": {"rows": 2, "bytes": 20, "words": 2}},
        "removals": {"file": "gone"},
        "ledger": {"file": "ledger", "stages": {"exact": [0, 2]}},
    }
    left = state.take_removals("exact", [Pack(0, (first, second)), Pack(1, (third,))], {0: removed})
    assert left == [[first], [Part("b", "g", "g", 5, 3, 30, 3, (Removals("gone", 1),))], [third]]
    assert state.counts["exact", "a"] == counts(5, 0)
    assert state.counts["exact", "b"] == counts(10, 2, {"duplicate": 2})
    assert state.by_stage(state.ledger) == {"exact": [Rows("ledger", 0, 2)]}
