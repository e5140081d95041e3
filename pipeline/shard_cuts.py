"""Where the tokens of a source are cut into shards: between buckets of document hashes, once all tokens are counted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from gristmill.pipeline.exchange import Sent, range_count

TOKEN_BYTES_PER_TEXT_BYTE = 0.6
"""Guess at 2-byte tokens of 3.5 bytes each; it decides how fine the buckets are, never how large a shard becomes."""
BUCKETS_A_SHARD = 16
FINE_BUCKETS = 4096
"""Most buckets as fine as that: each partition writes a piece for each, and pieces of less than a document gain nothing."""


def bucket_count(text_bytes: float, token_bytes: int, shard_bytes: int) -> int:
    """Buckets for a source: a power of two, some sixteen a shard, fewer where there are hundreds of shards.

    Args:
        text_bytes: of its documents.
        token_bytes: 2 or 4.
        shard_bytes: most bytes of a shard.
    """
    size = int(text_bytes * TOKEN_BYTES_PER_TEXT_BYTE * token_bytes / 2)
    fine = range_count(size, max(1, shard_bytes // BUCKETS_A_SHARD))
    return max(min(fine, FINE_BUCKETS), range_count(size, max(1, shard_bytes // 2)))


def cut_shards(sizes: Sequence[int], most: int) -> list[range]:
    """Cut buckets into shards of about the same size, as few as hold no more than `most` each.

    Where buckets are small, a shard is then larger than half of `most`, unless there is only one. A bucket that is larger than
    `most` by itself is a shard of its own.

    Args:
        sizes: bytes of each bucket, in order.
        most: bytes of a shard.

    Returns:
        Buckets of each shard, in order, all buckets in one. No shard is empty; without bytes there is none.
    """
    if not any(sizes):
        return []
    fewest = len(_filled(sizes, most))
    # the smallest bound that needs no more shards makes them even
    low, high = min(most, -(-sum(sizes) // fewest)), most
    while low < high:
        middle = (low + high) // 2
        if len(_filled(sizes, middle)) <= fewest:
            high = middle
        else:
            low = middle + 1
    return _filled(sizes, high)


def _filled(sizes: Sequence[int], most: int) -> list[range]:
    """Shards filled one after another, each as far as `most` allows."""
    starts, held = [0], 0
    for bucket, size in enumerate(sizes):
        if size and held and held + size > most:
            starts.append(bucket)
            held = 0
        held += size
    return [range(begin, stop) for begin, stop in zip(starts, [*starts[1:], len(sizes)], strict=True)]


def joined(places: Mapping[int, Sequence[Sent]], buckets: Iterable[int]) -> list[Sent]:
    """Where the rows of neighbouring buckets lie: one stretch a file, since files have their buckets in order."""
    found: dict[str, Sent] = {}
    for bucket in buckets:
        for one in places.get(bucket, ()):
            known = found.get(one.file)
            found[one.file] = Sent(one.file, known.first, one.stop, known.rows + one.rows) if known else one
    return list(found.values())
