import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gristmill.trainer import packing
from gristmill.trainer.packing import best_fit, cut_long, document_blocks, pack, told


class Lengths:
    """Documents of which only the lengths are known."""

    def __init__(self, lengths):
        self.ends = np.cumsum(lengths, dtype=np.int64)

    def __len__(self):
        return int(self.ends[-1]) if len(self.ends) else 0

    def document_ends(self, start, stop):
        return self.ends[(self.ends > start) & (self.ends < stop)]


lengths_of_documents = st.lists(st.integers(1, 40), min_size=1, max_size=200)


def best_fit_plainly(lengths, capacity):
    """Fill of each window: the longest piece first, into the fullest window that has room for it."""
    room = []
    for length in sorted(lengths, reverse=True):
        fitting = [r for r in room if r >= length]
        if fitting:
            room.remove(min(fitting))
            room.append(min(fitting) - length)
        else:
            room.append(capacity - length)
    return sorted(capacity - r for r in room)


def crop_plainly(lengths, capacity, buffer_size):
    """Windows of (document, tokens), by a scan of the whole buffer for each."""
    waiting, buffer, windows, window, room = list(enumerate(lengths)), [], [], [], capacity
    while True:
        while len(buffer) < buffer_size and waiting:
            buffer.append(waiting.pop(0))
        if not buffer:
            return windows
        fitting = [one for one in buffer if one[1] <= room]
        chosen = max(fitting, key=lambda one: one[1]) if fitting else min(buffer, key=lambda one: one[1])
        buffer.remove(chosen)
        window.append((chosen[0], min(chosen[1], room)))
        room -= window[-1][1]
        if not room:
            windows.append(window)
            window, room = [], capacity


@given(lengths_of_documents)
def test_best_fit_fills_windows_as_one_piece_after_the_other_would(lengths):
    windows = best_fit(np.array(lengths), 40)
    assert sorted(np.bincount(windows, weights=lengths).astype(int).tolist()) == best_fit_plainly(lengths, 40)


def test_best_fit_worked_out_by_hand():
    # 7; 6; 5 beside nothing; 4 beside the 6; 3 beside the 7; the first 2 beside the 5, the second beside both
    windows = best_fit(np.array([2, 3, 4, 5, 6, 7, 2]), 10).tolist()
    assert windows[5] == windows[1]
    assert windows[4] == windows[2]
    assert windows[3] == windows[0] == windows[6]
    assert len(set(windows)) == 3


@settings(deadline=None)
@given(lengths_of_documents, st.integers(2, 30))
def test_best_fit_has_each_token_once_and_predicts_all_but_those_that_begin(lengths, seq_len):
    packed = pack(Lengths(lengths), seq_len, "best_fit")
    seen, predicted = np.zeros(sum(lengths), dtype=int), np.zeros(sum(lengths), dtype=int)
    for window in range(packed.windows):
        pieces = range(packed.firsts[window], packed.firsts[window + 1])
        assert sum(packed.lengths[p] for p in pieces) <= seq_len + 1
        for number, p in enumerate(pieces):
            start, stop = packed.starts[p], packed.starts[p] + packed.lengths[p]
            # the token that a piece goes on with is the last target of the piece before
            seen[start + packed.goes_on[p] : stop] += 1
            predicted[start + (number == 0 or packed.goes_on[p]) : stop] += 1
    assert (seen == 1).all()
    begins = np.cumsum([0, *lengths[:-1]])
    assert set(np.flatnonzero(predicted != 1)) <= set(begins.tolist())
    assert predicted.max() == 1 or sum(lengths) == 1
    assert packed.counted.sum() == predicted.sum() == packed.targets
    assert packed.tokens == sum(lengths)
    assert packed.padding == packed.windows * (seq_len + 1) - sum(lengths) - packed.goes_on.sum()


@given(lengths_of_documents)
def test_only_documents_longer_than_a_window_are_cut(lengths):
    starts = np.cumsum(lengths) - lengths
    places, pieces, goes_on = cut_long(starts, np.array(lengths), 10)
    whole = {(int(start), length) for start, length in zip(starts, lengths, strict=True) if length <= 10}
    assert whole <= set(zip(places.tolist(), pieces.tolist(), strict=True))
    assert goes_on.sum() == sum(-(-(length - 1) // 9) - 1 for length in lengths if length > 10)


def test_a_long_document_is_cut_where_its_windows_would_meet():
    # windows of 5 tokens predict 4: 11 tokens are 0-4, 4-8, 8-10
    assert [part.tolist() for part in cut_long(np.array([100]), np.array([11]), 5)] == [
        [100, 104, 108], [5, 5, 3], [False, True, True],
    ]  # fmt: skip


@settings(deadline=None)
@given(lengths_of_documents, st.integers(1, 30), st.integers(1, 8))
def test_crop_is_a_scan_of_the_buffer(lengths, seq_len, buffer_size):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packing, "CROP_BUFFER", buffer_size)
        packed = pack(Lengths(lengths), seq_len, "crop")
    begins = (np.cumsum(lengths) - lengths).tolist()
    expected = crop_plainly(lengths, seq_len + 1, buffer_size)
    assert [packed.spans(window) for window in range(packed.windows)] == [
        [(begins[document], begins[document] + tokens) for document, tokens in window] for window in expected
    ]
    assert (packed.padding, packed.targets) == (0, packed.windows * seq_len)
    assert not packed.goes_on.any()


def test_crop_worked_out_by_hand():
    # 6 of 10 places by the longest that fits, then the 4; the 7, then the 2, and 1 of what is left, the 5; a last one is not full
    packed = pack(Lengths([6, 4, 2]), 9, "crop")
    assert [packed.spans(window) for window in range(packed.windows)] == [[(0, 6), (6, 10)]]
    assert told("web", "crop", packed, 12) == (
        "web: crop puts 2 documents into 1 windows: 0.00% of their places are padding, 16.67% of 12 tokens are lost, "
        "0 cuts inside documents"
    )


def test_what_best_fit_pads_and_cuts_is_told():
    # 25 tokens at 9 predicted: 0-9, 9-18, 18-24; with the 3 beside the 7: 2 windows full, 10 of 10 in the third
    packed = pack(Lengths([25, 2]), 9, "best_fit")
    assert told("web", "best_fit", packed, 27) == (
        "web: best_fit puts 2 documents into 3 windows: 3.33% of their places are padding, 0.00% of 27 tokens are lost, "
        "2 cuts inside documents"
    )


@pytest.mark.parametrize("kind", ["best_fit", "crop"])
def test_how_the_ends_are_looked_up_changes_no_window(kind, monkeypatch):
    documents = Lengths(np.random.default_rng(0).integers(1, 30, 300))
    whole = pack(documents, 16, kind)
    monkeypatch.setattr(packing, "READ_TOKENS", 7)
    monkeypatch.setattr(packing, "CROPPED_TOGETHER", 3)
    assert pack(documents, 16, kind).hash == whole.hash


def test_blocks_have_their_number_of_documents_each_and_all_together(monkeypatch):
    monkeypatch.setattr(packing, "BLOCK_DOCUMENTS", 4)
    monkeypatch.setattr(packing, "READ_TOKENS", 9)
    lengths = np.random.default_rng(1).integers(1, 12, 30)
    blocks = list(document_blocks(Lengths(lengths)))
    assert [len(starts) for starts, _ in blocks] == [4] * 7 + [2]
    assert np.concatenate([size for _, size in blocks]).tolist() == lengths.tolist()
    assert np.concatenate([starts for starts, _ in blocks]).tolist() == (np.cumsum(lengths) - lengths).tolist()


def test_a_source_without_documents_has_no_windows():
    for kind in ("best_fit", "crop"):
        packed = pack(Lengths([]), 8, kind)
        assert (packed.windows, packed.targets, packed.padding, packed.tokens) == (0, 0, 0, 0)


def test_the_hash_tells_windows_apart():
    hashes = {pack(Lengths(lengths), seq_len, "best_fit").hash for lengths in ([5, 3], [3, 5]) for seq_len in (8, 9)}
    assert len(hashes) == 4


def test_best_fit_of_lognormal_documents_pads_little_and_crop_loses_more_than_a_quarter():
    lengths = np.maximum(2, np.random.default_rng(2).lognormal(np.log(1005) - 0.5, 1, 20_000)).astype(int)
    fitted, cropped = (pack(Lengths(lengths), 2047, kind) for kind in ("best_fit", "crop"))
    assert fitted.padding / (fitted.windows * 2048) < 0.01
    assert 0.25 < 1 - cropped.tokens / lengths.sum() < 0.4
