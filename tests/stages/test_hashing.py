"""Hashes for compiled kernels."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gristmill.stages.hashing import hash128, hash128_plainly, mix32, mix32_plainly, mix64, mix64_plainly


def hash128_of(data: bytes, seed: int = 0) -> tuple[int, int]:
    # what follows the bytes must not matter
    padded = np.frombuffer(bytearray(data + b"\xa5" * 16), np.uint8)
    low, high = hash128(padded, len(data), np.uint64(seed))
    return int(low), int(high)


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("", 0, 0),
        ("hello", 0xCBD8A7B341BD9B02, 0x5B1E906A48AE1D19),
        ("hello, world", 0x342FAC623A5EBC8E, 0x4CDCBC079642414D),
        ("19 Jan 2038 at 3:14:07 AM", 0xB89E5988B737AFFC, 0x664FC2950231B2CB),
        ("The quick brown fox jumps over the lazy dog.", 0xCD99481F9EE902C9, 0x695DA1A38987B6E7),
    ],
)
def test_the_128_bit_hash_is_murmurhash3(text, low, high):
    assert hash128_of(text.encode()) == (low, high)
    assert hash128_plainly(text.encode()) == (low, high)


@settings(deadline=None)
@given(st.binary(max_size=70), st.integers(0, 2**32 - 1))
def test_the_128_bit_hash_equals_its_plain_twin(data, seed):
    assert hash128_of(data, seed) == hash128_plainly(data, seed)


@settings(deadline=None)
@given(st.integers(0, 2**64 - 1))
def test_the_finalizers_equal_their_plain_twins(value):
    assert int(mix64(np.uint64(value))) == mix64_plainly(value)
    assert int(mix32(np.uint32(value % 2**32))) == mix32_plainly(value % 2**32)


def test_the_finalizers_are_murmurhash3s():
    # values of the published C functions
    assert [mix32_plainly(value) for value in (0, 1, 0xFFFFFFFF)] == [0, 0x514E28B7, 0x81F16F39]
    assert mix64_plainly(0) == 0
    assert mix64_plainly(1) == 0xB456BCFC34C2CB2C
