"""What the Bloom filters of a stage were like, for the funnel: how many units they saw, how many were taken for copies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any


def filter_facts(filters: Sequence[Mapping[str, int]], ranges: int) -> dict[str, float]:
    """What Bloom filters are like, together.

    Args:
        filters: `bits`, `hashes`, `units`, `bits_set` and `before` (units of earlier runs, about) of each that this run put units
            into; those of all have equally many bits.
        ranges: how many filters there are, with those that held none.

    Returns:
        `filters` and their `bytes` in all; `units` that they hold; `false_positive_rate`, the probability that a new unit
        would be taken for a copy at the end (the mean over the filters), and `worst_false_positive_rate`, that of the fullest;
        `measured_false_positive_rate`, the same mean from the bits that are set; `expected_false_positives`, the number of units
        that were cut though they were new, which is the sum of the rates on the way. Empty where no filter held a unit.
    """
    from gristmill.stages.bloom import expected_false_positives, false_positive_rate

    if not filters:
        return {}
    held = [one["before"] + one["units"] for one in filters]
    rates = [false_positive_rate(one["bits"], one["hashes"], units) for one, units in zip(filters, held, strict=True)]
    measured = [(one["bits_set"] / one["bits"]) ** one["hashes"] for one in filters]
    return {
        "filters": ranges,
        "bytes": ranges * filters[0]["bits"] // 8,
        "units": sum(held),
        "false_positive_rate": sum(rates) / ranges,
        "worst_false_positive_rate": max(rates),
        "measured_false_positive_rate": sum(measured) / ranges,
        "expected_false_positives": sum(
            expected_false_positives(one["bits"], one["hashes"], units)
            - expected_false_positives(one["bits"], one["hashes"], one["before"])
            for one, units in zip(filters, held, strict=True)
        ),
    }


def told_filters(filters: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """A line for each stage that used Bloom filters, by its label."""
    from gristmill.pipeline import display

    for label, facts in filters.items():
        rate, measured, worst = (facts[f"{which}false_positive_rate"] for which in ("", "measured_", "worst_"))
        yield (
            f"{label}: {display.byte_size(facts['bytes'])} of Bloom filters saw {display.count(facts['units'])} different units; "
            f"false-positive rate at the end {rate:.2g} (measured {measured:.2g}, worst filter {worst:.2g}); "
            f"about {facts['expected_false_positives']:.2g} units were cut though they were new"
        )
