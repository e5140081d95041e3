"""Kernels of exact substrings, each held to a plain definition."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gristmill.stages import substring_kernels as kernels

UNITS = {1: np.uint8, 4: np.uint32, 8: np.uint64}


def padded(values: list[int], width: int) -> np.ndarray:
    return np.concatenate([np.array(values, UNITS[width]).view(np.uint8), np.zeros(kernels.PADDING, np.uint8)])


DOCUMENTS = st.lists(st.lists(st.integers(0, 3), max_size=60), max_size=5)


@settings(deadline=None)
@given(DOCUMENTS, st.integers(1, 6), st.integers(1, 9), st.sampled_from([1, 4, 8]))
def test_each_window_selects_the_rightmost_of_its_least_k_grams(documents, k, w, width):
    values = [value for document in documents for value in document]
    offsets = np.cumsum([0, *map(len, documents)]).astype(np.int64)
    hashes, runs, run_offsets = kernels.winnow(padded(values, width), width, offsets, k, w)
    for document, begin, first, last in zip(documents, offsets, run_offsets, run_offsets[1:], strict=False):
        found = [(int(h), int(start - begin), int(count)) for h, (start, count) in zip(hashes, runs, strict=True)][first:last]
        assert found == kernels.winnow_plainly(document, k, w)


@pytest.mark.parametrize("period", [1, 2, 7, 40_000])
@pytest.mark.parametrize(("k", "w"), [(38, 13), (7, 3000)])
def test_long_documents_are_winnowed_as_short_ones(period, k, w):
    values = (np.arange(50_000) % period * 2_654_435_761 % 251).tolist()
    hashes, runs, offsets = kernels.winnow(padded(values, 1), 1, np.array([0, len(values)]), k, w)
    assert offsets.tolist() == [0, len(runs)]
    assert runs[:, kernels.WINDOWS].sum() == len(values) - k - w + 2
    assert runs[0, kernels.FIRST] == 0
    # around the places where the kernel goes on to the next block, and the last windows
    for start in (0, (1 << 14) - 20, 2 * (1 << 14) - 20, len(values) - k - w - 40):
        expected = kernels.winnow_plainly(values[start : start + k + w + 40], k, w)
        for hashed, first, count in expected[1:-1]:
            (at,) = np.flatnonzero(runs[:, kernels.FIRST] == start + first)
            assert (int(hashes[at]), int(runs[at, kernels.WINDOWS])) == (hashed, count)


@settings(deadline=None)
@given(st.lists(st.integers(0, 3), min_size=9, max_size=60), st.integers(1, 9), st.sampled_from([1, 4, 8]))
def test_windows_are_hashed_as_murmur_hash_does(values, length, width):
    units = padded(values, width)
    runs = np.array([[0, 1], [2, len(values) - length - 1]]) if len(values) - length > 1 else np.array([[0, 1]])
    low, high, starts = kernels.window_hashes(units, width, runs, length)
    assert starts.tolist() == [0, *range(2, len(values) - length + 1)]
    expected = kernels.window_hashes_plainly(units[: len(values) * width].tobytes(), width, starts.tolist(), length)
    assert list(zip(low.tolist(), high.tolist(), strict=True)) == expected


@settings(deadline=None)
@given(st.lists(st.integers(1, 40), max_size=50), st.lists(st.integers(1, 80), max_size=50))
def test_a_set_of_hashes_has_what_was_put_into_it(keys, asked):
    table = kernels.hash_set(np.array(keys, np.uint64) << np.uint64(16))
    assert kernels.are_in(table, np.array(asked, np.uint64) << np.uint64(16)).tolist() == [one in keys for one in asked]


def test_words_are_hashed_by_their_bytes_alone():
    data = np.frombuffer("same same other sam€ a-very-long-word a-very-long-word".encode(), np.uint8).copy()
    starts = np.array([0, 5, 10, 16, 23, 40])
    ends = np.array([4, 9, 15, 22, 39, 56])
    hashes = kernels.hash_words(data, starts, ends).tolist()
    assert hashes[0] == hashes[1]
    assert hashes[4] == hashes[5]
    assert len(set(hashes)) == 4


SPANS = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)).map(sorted), max_size=4).map(sorted)


@settings(deadline=None)
@given(st.lists(st.tuples(st.text("aé日🙂", min_size=12, max_size=15), SPANS), max_size=4))
def test_what_is_cut_out_is_what_slicing_leaves(documents):
    texts = [text.encode() for text, _ in documents]
    offsets = np.cumsum([0, *map(len, texts)]).astype(np.int64)
    spans = [(row, *(len(text[:at].encode()) for at in span)) for row, (text, held) in enumerate(documents) for span in held]
    columns = [np.array([span[at] for span in spans], np.int64) for at in range(3)]
    data, new, cuts, sizes = kernels.cut_spans(np.frombuffer(b"".join(texts), np.uint8).copy(), offsets, *columns)
    for row, (text, held) in enumerate(documents):
        gone = [any(start <= at < end for start, end in held) for at in range(len(text))]
        left = "".join(character for character, is_gone in zip(text, gone, strict=True) if not is_gone)
        assert data[new[row] : new[row + 1]].tobytes().decode() == left
        assert sizes[row].tolist() == ([len(text), sum(gone)] if any(gone) else [0, 0])
        covered = [at for start, end in cuts[cuts[:, 0] == row][:, 1:3] for at in range(start, end)]
        assert covered == [at for at, is_gone in enumerate(gone) if is_gone]
