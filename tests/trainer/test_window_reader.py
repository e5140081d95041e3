"""Windows read many at a time are what their streams give one by one."""

import mmap
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest

from gristmill.tokenizers.manifest import SourceEntry
from gristmill.tokenizers.mixture_plan import SelectedStream
from gristmill.tokenizers.shards import TokenStream, open_shards
from gristmill.trainer.plan import Plan
from gristmill.trainer.window_reader import PADDING, WindowReader

LENGTH = 24


@pytest.fixture(scope="module")
def shards(make_corpus, tmp_path_factory):
    texts = {
        name: [f"{name} {' mill' * (n * n % 31)} {n}" for n in range(count)] for name, count in {"web": 90, "books": 40}.items()
    }
    return open_shards(make_corpus(tmp_path_factory.mktemp("short"), texts, shards=3))


class Chosen:
    """The same sources, of which every other document is chosen."""

    def __init__(self, shards):
        self.folder, self.tokenizer, self.content = shards.folder, shards.tokenizer, "chosen"
        self.streams = {name: self._some(stream) for name, stream in shards.streams.items()}

    def _some(self, stream):
        bounds = np.array([0, *stream.document_ends(0, len(stream) + 1)])
        return SelectedStream(stream, np.stack([bounds[:-1:2], bounds[1::2]], axis=1))


@pytest.fixture(scope="module", params=["whole", "chosen"])
def sources(request, shards):
    return shards if request.param == "whole" else Chosen(shards)


def all_windows(plan):
    sources = np.repeat(np.arange(len(plan.sources), dtype=np.int32), plan.available)
    windows = np.concatenate([np.arange(count) for count in plan.available])
    order = np.random.default_rng(0).permutation(len(windows))
    return sources[order], windows[order]


def reader_of(sources, packing):
    plan = Plan.of(sources, {"web": 1, "books": 1}, seq_len=LENGTH, windows=4, packing=packing)
    return plan, WindowReader([sources.streams[name] for name in plan.sources], plan)


def number_of_document(stream):
    """Which document each token belongs to."""
    bounds = np.array([0, *stream.document_ends(0, len(stream) + 1)])
    return np.repeat(np.arange(len(bounds) - 1), np.diff(bounds))


@pytest.mark.parametrize("packing", ["concat", "best_fit", "crop"])
def test_rows_and_documents_are_those_of_the_pieces_one_after_the_other(sources, packing):
    plan, reader = reader_of(sources, packing)
    picked = all_windows(plan)
    rows, documents = reader.rows(*picked), reader.documents(*picked)
    assert rows.shape == documents.shape == (len(picked[0]), LENGTH + 1)
    for row, numbers, source, window in zip(rows, documents, *(part.tolist() for part in picked), strict=True):
        stream = sources.streams[plan.sources[source]]
        of = number_of_document(stream)
        spans = reader.spans(source, window)
        if packing == "concat":
            spans = [(spans[0][0], spans[0][1] + 1)]
        tokens = [token for start, stop in spans for token in stream.read(start, stop).tolist()]
        assert row.tolist() == tokens + [PADDING] * (LENGTH + 1 - len(tokens))
        names = [(number, of[token]) for number, (start, stop) in enumerate(spans) for token in range(start, stop)]
        names += ["padding"] * (LENGTH + 1 - len(tokens))
        changes = [before != after for before, after in pairwise(names)]
        assert numbers.tolist() == np.cumsum([0, *changes]).tolist()


def test_each_token_of_a_source_is_in_best_fit_windows_once_an_epoch(sources):
    plan, reader = reader_of(sources, "best_fit")
    rows, ignored = (read(*all_windows(plan)) for read in (reader.rows, reader.ignored))
    of_source = all_windows(plan)[0]
    for number, name in enumerate(plan.sources):
        stream = sources.streams[name]
        tokens = np.bincount(stream.read(0, len(stream)), minlength=1000)
        first_tokens = np.bincount(stream.read(0, len(stream))[np.flatnonzero(np.diff(number_of_document(stream), prepend=-1))])
        mine, targets = rows[of_source == number], rows[of_source == number][:, 1:][~ignored[of_source == number]]
        # a target is a token of the source, each at most once, and only first tokens of documents may be none
        missing = tokens - np.bincount(targets, minlength=1000)
        assert (missing >= 0).all()
        assert (missing[: len(first_tokens)] <= first_tokens).all()
        assert missing.sum() <= len(mine)
        assert len(targets) == plan.targets[number]


def test_targets_that_do_not_count_are_padding_and_first_tokens_of_what_goes_on(sources):
    plan, reader = reader_of(sources, "best_fit")
    picked = all_windows(plan)
    ignored = reader.ignored(*picked)
    found = 0
    for row, source, window in zip(ignored, *(part.tolist() for part in picked), strict=True):
        packed = plan.packed[source]
        expected, at = np.zeros(LENGTH + 1, dtype=bool), 0
        for piece in range(packed.firsts[window], packed.firsts[window + 1]):
            expected[at] = packed.goes_on[piece]
            at += packed.lengths[piece]
        expected[at:] = True
        assert row.tolist() == expected[1:].tolist()
        assert LENGTH - row.sum() == packed.counted[window]
        found += row.sum()
    assert found > 0


@pytest.mark.parametrize("packing", ["concat", "crop"])
def test_all_targets_of_full_windows_count(sources, packing):
    plan, reader = reader_of(sources, packing)
    assert reader.ignored(*all_windows(plan)) is None


@pytest.mark.parametrize("packing", ["concat", "best_fit", "crop"])
def test_pages_are_asked_for_where_shards_are_mapped_files(shards, packing, monkeypatch):
    plan, reader = reader_of(shards, packing)
    asked = []

    class Told(mmap.mmap):
        def madvise(self, option, start, length):
            asked.append((option, start, length))
            assert start % mmap.PAGESIZE == 0
            return super().madvise(option, start, length)

    for source in reader._sources:
        for shard in source.shards:
            with open(shard.base.filename, "rb") as file:
                monkeypatch.setattr(shard.base, "_mmap", Told(file.fileno(), 0, access=mmap.ACCESS_READ))
    reader.will_need(*all_windows(plan))
    assert {option for option, _, _ in asked} == {mmap.MADV_WILLNEED}
    assert len(asked) >= sum(plan.available)
    assert all(length > 0 for _, _, length in asked)


def test_tokens_beyond_the_reach_of_32_bits_are_read_where_they_are(tmp_path):
    far, length = 2**32, 1024
    with (tmp_path / "far.bin").open("wb") as file:
        file.truncate(2 * (far + 3000))  # takes no room: nothing is written but the three tokens below
        file.seek(2 * (far - 1))
        file.write(np.array([7, 8, 9], dtype="<u2").tobytes())
    tokens = np.memmap(tmp_path / "far.bin", dtype="<u2", mode="r")
    ends = np.array([far, far + 5, far + 3000], dtype=np.uint64)
    stream = TokenStream(SourceEntry.model_construct(name="web"), [tokens], tokens.dtype, [ends])
    shards = SimpleNamespace(folder=tmp_path, content="0", streams={"web": stream})
    plan = Plan.of(shards, {"web": 1.0}, seq_len=length, windows=1)
    assert plan.available == (2**22 + 2,)  # of 1,024 tokens, and one token after them
    reader, source, window = WindowReader([stream], plan), np.zeros(1, dtype=np.int32), np.array([2**22])
    assert reader.rows(source, window)[0, :3].tolist() == [8, 9, 0]
    assert reader.documents(source, window)[0, :7].tolist() == [0, 0, 0, 0, 0, 1, 1]
