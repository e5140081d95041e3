"""The tasks that make clusters of pairs: forests in memory where they fit, else rounds of stars that only exchange rows.

Stars: Kiveris et al. 2014, Connected Components in MapReduce and Beyond (large-star and small-star, alternating). Documents are
ordered by (rank, address), so the first of a component, which all others come to point at, is the one that stays.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from gristmill.pipeline.dedup_tasks import EDGES, PAIRS, PIECE_ROWS, pair_files
from gristmill.pipeline.exchange import ExchangeFiles, Sent, key_ranges, merged
from gristmill.pipeline.steps import Manifest
from gristmill.pipeline.storage import Storage
from gristmill.pipeline.tables import StreamWriter, read_batches

NEIGHBOURS = ["key", "node", "other_rank", "other"]
"""Order of neighbours on their way: those of one document stand together, the first of them in front."""


def components(pairs: pa.Table) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Connected components of pairs.

    Returns:
        Addresses of all documents in pairs (ascending uint64), the component of each (int64), their ranks (int64).
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    a, b = pairs["a"].to_numpy(), pairs["b"].to_numpy()
    nodes, place = np.unique(np.concatenate([a, b]), return_inverse=True)
    rank = np.zeros(len(nodes), dtype=np.int64)
    rank[place] = np.concatenate([pairs["a_rank"].to_numpy(), pairs["b_rank"].to_numpy()])
    graph = coo_matrix((np.ones(len(a), dtype=np.int8), (place[: len(a)], place[len(a) :])), shape=(len(nodes), len(nodes)))
    _, labels = connected_components(graph, directed=False)
    return nodes, labels.astype(np.int64), rank


def stars(pairs: pa.Table) -> pa.Table:
    """The same components with as few pairs as can be: each document with the first of its component (`a`), which stays.

    Args:
        pairs: columns of `EDGES`.

    Returns:
        Columns of `EDGES`; similarities of the pairs that were among those given.
    """
    if pairs.num_rows == 0:
        return EDGES.empty_table()
    nodes, labels, rank = components(pairs)
    order = np.lexsort([nodes, rank, labels])
    heads = np.ones(len(order), dtype=bool)
    heads[1:] = labels[order][1:] != labels[order][:-1]
    keeper = order[heads][np.cumsum(heads) - 1]
    members = ~heads
    keeper, member = keeper[members], order[members]
    columns = [nodes[keeper], nodes[member], rank[keeper], rank[member], _similarities(pairs, nodes, keeper, member)]
    return pa.table(columns, schema=EDGES)


def _similarities(pairs: pa.Table, nodes: np.ndarray, a: np.ndarray, b: np.ndarray) -> pa.Array:
    """Similarity of pairs of nodes as one of `pairs` tells it, null where none does; so that few are measured twice."""

    def named(one: np.ndarray, other: np.ndarray) -> np.ndarray:
        pair: np.ndarray = np.minimum(one, other) * len(nodes) + np.maximum(one, other)
        return pair

    told = pairs.filter(pairs["similarity"].is_valid())
    known = named(*(np.searchsorted(nodes, told[name].to_numpy()) for name in ("a", "b")))
    known, first = np.unique(known, return_index=True)
    if not len(known):
        return pa.nulls(len(a), pa.float64())
    wanted = named(a, b)
    at = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
    return pa.array(told["similarity"].to_numpy()[first][at], mask=known[at] != wanted)


def _edges(table: pa.Table) -> pa.Table:
    """Pairs as `EDGES`, whether they have been measured or not."""
    if "similarity" not in table.column_names:
        table = table.append_column("similarity", pa.nulls(table.num_rows, pa.float64()))
    return table.select(EDGES.names)


def forest(work: Storage, prefix: str, *, files: list[str]) -> Manifest:
    """Merge files of pairs into one with the same components and one pair a document."""
    held = EDGES.empty_table()
    most = PIECE_ROWS
    for name in files:
        for table in read_batches(work, name):
            held = pa.concat_tables([held, _edges(table)])
            if held.num_rows > most:
                held = stars(held)
                # what is left may fill it again: merge as often as it doubles, not at each batch
                most = max(PIECE_ROWS, 2 * held.num_rows)
    writer = StreamWriter(work, f"{prefix}.forest.arrow", EDGES)
    writer.write(stars(held))
    entry = writer.close()
    return {"files": [entry], "edges": [entry]}


def decide(work: Storage, prefix: str, *, file: str, width: int) -> Manifest:
    """Send the pairs of the last forest, now decisions, to the packs of the documents that stay."""
    found = pair_files(work, prefix, width)
    for table in read_batches(work, file):
        found.add(table.select(EDGES.names))
    return found.close()


def _mixed(addresses: np.ndarray) -> np.ndarray:
    """Addresses spread over all key ranges (SplitMix64's finaliser), uint64."""
    with np.errstate(over="ignore"):
        mixed = (addresses ^ (addresses >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        spread: np.ndarray = mixed ^ (mixed >> np.uint64(31))
    return spread


def _neighbours(node: np.ndarray, node_rank: np.ndarray, other: np.ndarray, other_rank: np.ndarray) -> pa.Table:
    columns = {"key": _mixed(node), "node": node, "node_rank": node_rank, "other": other, "other_rank": other_rank}
    return pa.table(columns)


def _neighbour_files(work: Storage, prefix: str, ranges: int, width: int) -> ExchangeFiles:
    destination = lambda rows: key_ranges(rows["key"].to_numpy(), ranges)  # noqa: E731
    return ExchangeFiles(work, f"{prefix}.stars", NEIGHBOURS, destination, width=width)


def spread(work: Storage, prefix: str, *, files: list[str], ranges: int, width: int) -> Manifest:
    """Send each pair to the later of its documents, for the first small stars."""
    found = _neighbour_files(work, prefix, ranges, width)
    for name in files:
        for table in read_batches(work, name):
            a, b, a_rank, b_rank = (table[column].to_numpy() for column in PAIRS.names)
            later = (a_rank < b_rank) | ((a_rank == b_rank) & (a < b))
            found.add(
                _neighbours(
                    np.where(later, b, a), np.where(later, b_rank, a_rank), np.where(later, a, b), np.where(later, a_rank, b_rank)
                )
            )
    return found.close()


class _Groups:
    """Neighbours of a key range, each once, with the first neighbour of their document; state: one document."""

    def __init__(self) -> None:
        self._node: Any = None
        self._first: tuple[Any, Any] = (np.uint64(0), 0)
        self._last: Any = None

    def stream(self, work: Storage, sent: list[Sent]) -> Iterator[tuple[pa.Table, np.ndarray, np.ndarray, np.ndarray]]:
        """Pieces; for each row the address (uint64) and rank (int64) of the first neighbour, and whether a document begins."""
        for table in merged(work, sent, NEIGHBOURS):
            node, other, rank = (table[name].to_numpy() for name in ("node", "other", "other_rank"))
            starts = np.ones(len(node), dtype=bool)
            starts[1:] = node[1:] != node[:-1]
            starts[0] = self._node is None or node[0] != self._node
            new = starts.copy()
            new[1:] |= other[1:] != other[:-1]
            new[0] |= other[0] != self._last
            head = np.maximum.accumulate(np.where(starts, np.arange(len(node)), -1))
            first = np.where(head < 0, self._first[0], other[head])
            first_rank = np.where(head < 0, self._first[1], rank[head])
            self._node, self._first, self._last = node[-1], (first[-1], int(first_rank[-1])), other[-1]
            yield table.filter(pa.array(new)), first[new], first_rank[new], starts[new]


def small_stars(work: Storage, prefix: str, *, sent: list[Sent], ranges: int, width: int) -> Manifest:
    """Let the earlier neighbours of each document, and itself, point at the first of them; both ends hear of it.

    `sum` is a hash of the set of pairs that came: when it is the same as a round before, they are stars.
    """
    found = _neighbour_files(work, prefix, ranges, width)
    total = 0
    for table, first, first_rank, starts in _Groups().stream(work, sent):
        node, node_rank, other, other_rank = (table[name].to_numpy() for name in table.column_names[1:])
        with np.errstate(over="ignore"):
            total = (total + int(_mixed(_mixed(node) + other).sum(dtype=np.uint64))) % 2**64
        mine = starts
        theirs = other != first
        child = np.concatenate([node[mine], other[theirs]])
        child_rank = np.concatenate([node_rank[mine], other_rank[theirs]])
        root = np.concatenate([first[mine], first[theirs]])
        root_rank = np.concatenate([first_rank[mine], first_rank[theirs]])
        found.add(_neighbours(child, child_rank, root, root_rank))
        found.add(_neighbours(root, root_rank, child, child_rank))
    return found.close() | {"sum": total}


def large_stars(work: Storage, prefix: str, *, sent: list[Sent], ranges: int, width: int) -> Manifest:
    """Let the later neighbours of each document point at the first of its neighbours and itself."""
    found = _neighbour_files(work, prefix, ranges, width)
    for table, first, first_rank, _ in _Groups().stream(work, sent):
        node, node_rank, other, other_rank = (table[name].to_numpy() for name in table.column_names[1:])
        itself = (node_rank < first_rank) | ((node_rank == first_rank) & (node < first))
        root, root_rank = np.where(itself, node, first), np.where(itself, node_rank, first_rank)
        later = (node_rank < other_rank) | ((node_rank == other_rank) & (node < other))
        found.add(_neighbours(other[later], other_rank[later], root[later], root_rank[later]))
    return found.close()


def decide_stars(work: Storage, prefix: str, *, sent: list[Sent], width: int) -> Manifest:
    """Send the pairs of a key range, which are stars now, to the packs of the documents that stay."""
    found = pair_files(work, prefix, width)
    for table, first, first_rank, starts in _Groups().stream(work, sent):
        node, node_rank = table["node"].to_numpy(), table["node_rank"].to_numpy()
        found.add(pa.table([first[starts], node[starts], first_rank[starts], node_rank[starts]], schema=PAIRS))
    return found.close()
