"""How large the clusters of a deduplication are: many pairs are copies, one cluster of thousands is boilerplate or a mistake."""

from __future__ import annotations

from typing import Any, NamedTuple

from gristmill.pipeline import display


class SizeClass(NamedTuple):
    """Clusters of about one size."""

    least: int
    """Fewest documents of such a cluster."""
    most: int
    """Most documents of such a cluster."""
    clusters: int
    documents: int
    """Documents in them, kept ones included."""

    @property
    def sizes(self) -> str:
        """The sizes in words."""
        if self.least == self.most:
            return display.count(self.least)
        return f"{display.count(self.least)} to {display.count(self.most)}"


def size_classes(clusters: dict[str, int]) -> list[SizeClass]:
    """Clusters by size: 2, 3 to 4, 5 to 8, ..., each class up to twice the one before.

    Args:
        clusters: documents of a cluster (JSON has them as text) -> how many clusters there are of so many.

    Returns:
        The classes from the smallest that has clusters to the largest, those without any between them too.
    """
    found = {int(size): number for size, number in clusters.items() if number}
    if not found:
        return []
    classes = []
    for exponent in range((min(found) - 1).bit_length(), (max(found) - 1).bit_length() + 1):
        least, most = (1 << exponent - 1) + 1, 1 << exponent
        inside = {size: number for size, number in found.items() if least <= size <= most}
        documents = sum(size * number for size, number in inside.items())
        classes.append(SizeClass(least, most, sum(inside.values()), documents))
    return classes


def largest(clusters: dict[str, int]) -> int:
    """Documents of the largest cluster; 0 where there is none."""
    return max((int(size) for size, number in clusters.items() if number), default=0)


def told_clusters(clusters: dict[str, dict[str, int]]) -> list[str]:
    """A line for each deduplication: its clusters, the documents in them, and the largest.

    Args:
        clusters: `clusters` of funnel.json: stage -> {size: clusters}.
    """
    lines = []
    for stage, sizes in clusters.items():
        classes = size_classes(sizes)
        number = sum(one.clusters for one in classes)
        documents = sum(one.documents for one in classes)
        shown = ", ".join(f"{display.count(one.clusters)} of {one.sizes}" for one in classes if one.clusters)
        lines.append(
            f"clusters of {display.visible(stage)}: {display.count(number)} of {display.count(documents)} documents, "
            f"the largest of {display.count(largest(sizes))} ({shown})"
        )
    return lines


def report_clusters(clusters: dict[str, dict[str, int]]) -> list[dict[str, Any]]:
    """What the report shows of each deduplication: `stage`, `clusters`, `documents`, `largest`, `classes` as `SizeClass`, and
    `most`, the clusters of the class that has the most."""
    shown = []
    for stage, sizes in clusters.items():
        classes = size_classes(sizes)
        if classes:
            shown.append(
                {
                    "stage": stage,
                    "clusters": sum(one.clusters for one in classes),
                    "documents": sum(one.documents for one in classes),
                    "largest": largest(sizes),
                    "classes": classes,
                    "most": max(one.clusters for one in classes),
                }
            )
    return shown
