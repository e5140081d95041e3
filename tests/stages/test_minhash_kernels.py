"""MinHash signatures and the keys of their bands."""

import gzip
import json

import numpy as np
import pyarrow as pa
import pytest
from datasketch import MinHash as Datasketch
from hypothesis import given, settings
from hypothesis import strategies as st

from gristmill.stages.character_shingles import character_shingle_hash_plainly, character_shingles_plainly
from gristmill.stages.features import TextFeatures
from gristmill.stages.minhash_kernels import band_keys, band_plainly, permutations, signature_plainly, signatures
from gristmill.stages.shingles import BASE, shingle_hash_plainly, shingles_plainly

TEXTS = ["to be or not to be that is the question", "", "four words are few", "whether 'tis nobler in the mind to suffer " * 9]


def features(texts):
    return TextFeatures(pa.array(texts, pa.large_string()))


def short_hashes(text, n=5):
    """The low 32 bits of each shingle's hash, which a signature is made of."""
    return [shingle_hash_plainly(shingle) % 2**32 for shingle in shingles_plainly(text, n)]


def short_character_hashes(text, n):
    return [character_shingle_hash_plainly(shingle, int(BASE)) % 2**32 for shingle in character_shingles_plainly(text, n)]


def datasketch_signature(hashes, count, seed):
    sketch = Datasketch(num_perm=count, seed=seed, scheme="affine32", hashfunc=int)
    sketch.update_batch(hashes)
    return sketch.hashvalues.tolist()


@pytest.mark.parametrize(("count", "seed"), [(112, 1), (9000, 7), (1, 2**32 - 1)])
def test_permutations_are_those_of_datasketch(count, seed):
    theirs = Datasketch(num_perm=count, seed=seed, scheme="affine32").permutations
    assert np.array_equal(np.array(permutations(count, seed)), theirs)


@pytest.mark.parametrize(("count", "seed"), [(112, 1), (130, 5), (9000, 1), (3, 0)])
def test_signatures_are_those_of_datasketch_for_the_same_shingle_hashes(count, seed):
    found, signed = signatures(features(TEXTS), 5, count, seed)
    assert signed.tolist() == [True, False, False, True]
    for text, signature in zip(TEXTS, found.tolist(), strict=True):
        hashes = short_hashes(text)
        assert signature == (datasketch_signature(hashes, count, seed) if hashes else [2**32 - 1] * count)


def test_signatures_are_those_of_datasketch_on_real_text(shared_data):
    for path in sorted((shared_data / "text").glob("*.jsonl.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            texts = [json.loads(line)["text"][:20_000] for _, line in zip(range(4), lines, strict=False)]
        found, signed = signatures(features(texts), 5, 112, 1)
        for place in np.flatnonzero(signed):
            assert found[place].tolist() == datasketch_signature(short_hashes(texts[place]), 112, 1)


def test_signatures_of_characters_are_those_of_datasketch_for_the_same_shingle_hashes(shared_data):
    with gzip.open(shared_data / "lang" / "langid_eval.jsonl.gz", "rt", encoding="utf-8") as lines:
        texts = [json.loads(line)["text"] for _, line in zip(range(60), lines, strict=False)]
    texts += ["日本語には空白がありません。単語の間に。", "Ⱥ" * 30, "", "short"]
    found, signed = signatures(features(texts), 8, 112, 1, True)
    assert signed.tolist() == [bool(short_character_hashes(text, 8)) for text in texts]
    for place in np.flatnonzero(signed):
        assert found[place].tolist() == datasketch_signature(short_character_hashes(texts[place], 8), 112, 1)


words = st.lists(st.sampled_from(["a", "Bb", "ccc", "éé", "漢", "longer_than_eight"]), max_size=30).map(" ".join)


@settings(deadline=None)
@given(st.lists(st.one_of(words, st.text(max_size=30)), min_size=1, max_size=4), st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_signatures_equal_their_plain_twin(texts, n, seed):
    found, _ = signatures(features(texts), n, 17, seed)
    assert found.tolist() == [signature_plainly(short_hashes(text, n), 17, seed) for text in texts]


@pytest.mark.parametrize(("bands", "rows"), [(14, 8), (3, 1), (1, 7)])
def test_bands_equal_their_plain_twin(bands, rows):
    keys, checks, places = band_keys(features(TEXTS), 5, bands, rows, 1)
    expected = []
    for place, text in enumerate(TEXTS):
        if hashes := short_hashes(text):
            signature = signature_plainly(hashes, bands * rows, 1)
            expected += [(*band_plainly(signature[band * rows : (band + 1) * rows], band), place) for band in range(bands)]
    assert list(zip(keys.tolist(), checks.tolist(), places.tolist(), strict=True)) == expected


def test_equal_values_in_different_bands_do_not_meet():
    assert band_plainly([1, 2, 3], 0) != band_plainly([1, 2, 3], 1)
    assert band_plainly([1, 2, 3], 0) != band_plainly([1, 3, 2], 0)
