"""Which removed documents keep their text."""

import pyarrow as pa
import pytest

from gristmill.pipeline.ledger import LedgerText, lowest_rows, removal_rows, thin_texts
from gristmill.stages.documents import DOCUMENTS
from gristmill.tokenizers.sampling import keyed_hashes


def ledger(ids: list[str], rules: list[str]) -> pa.Table:
    rows = [
        dict.fromkeys(DOCUMENTS.names) | {"id": one, "text": f"text of {one}", "source": "s", "file": "f", "position": row}
        for row, one in enumerate(ids)
    ]
    nothing = [None] * len(ids)
    documents = pa.Table.from_pylist(rows, schema=DOCUMENTS)
    return removal_rows(documents, "stage", rules=rules, values=nothing, thresholds=nothing, details=nothing)


def with_text(table: pa.Table) -> list[str]:
    return [row["id"] for row in table.to_pylist() if row["text"] is not None]


IDS = [f"d{number}" for number in range(20)]
BY_HASH = sorted(IDS, key=lambda one: int(keyed_hashes([one], 7)[0]))


def test_the_lowest_hashes_of_each_rule_keep_their_text():
    rules = ["odd" if number % 2 else "even" for number in range(20)]
    kept = with_text(thin_texts(ledger(IDS, rules), LedgerText("sample", 3, 7)))
    expected = {one for rule in ("odd", "even") for one in [one for one in BY_HASH if rules[IDS.index(one)] == rule][:3]}
    assert set(kept) == expected


@pytest.mark.parametrize("size", [1, 3, 20])
def test_thinning_pieces_first_keeps_the_same_texts(size):
    keep = LedgerText("sample", 4, 7)
    pieces = [
        thin_texts(ledger(IDS[start : start + size], ["r"] * len(IDS[start : start + size])), keep)
        for start in range(0, 20, size)
    ]
    assert sorted(with_text(thin_texts(pa.concat_tables(pieces), keep))) == sorted(BY_HASH[:4])


@pytest.mark.parametrize(("mode", "per_rule", "texts"), [("all", 1, 20), ("none", 100, 0), ("sample", 0, 0), ("sample", 100, 20)])
def test_all_and_none_are_what_they_say(mode, per_rule, texts):
    assert len(with_text(thin_texts(ledger(IDS, ["r"] * 20), LedgerText(mode, per_rule, 7)))) == texts


def test_another_seed_draws_other_documents():
    assert lowest_rows(IDS, ["r"] * 20, 5, 1).tolist() != lowest_rows(IDS, ["r"] * 20, 5, 2).tolist()
