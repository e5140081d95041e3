from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill.stages import byte_masks
from gristmill.stages.numba_cache import njit


@njit("uint64(uint8[::1], int64, int64, int64)")
def between(data, position, low, high):
    return byte_masks.between(byte_masks.address(data, position), data.size - position, low, high)


@njit("UniTuple(uint64, 2)(uint8[::1], int64)")
def letters_and_space(data, position):
    at, left = byte_masks.address(data, position), data.size - position
    return byte_masks.letters(at, left), byte_masks.ascii_space(at, left)


@njit("UniTuple(int64, 3)(uint64)")
def ones_lowest_highest(mask):
    return byte_masks.ones(mask), byte_masks.lowest(mask), byte_masks.highest(mask)


def masks_of(data: bytes, holds) -> list[int]:
    """The mask at each position, worked out byte by byte."""
    return [sum(1 << index for index, byte in enumerate(data[at : at + 64]) if holds(byte)) for at in range(len(data))]


@pytest.mark.parametrize("size", [1, 63, 64, 65, 200])
@pytest.mark.parametrize(("low", "high"), [(0, 0), (0x41, 0x5A), (0x80, 0xFF), (0x80, 0xBF), (0, 255)])
def test_a_bit_stands_for_each_byte_in_the_range_and_none_for_what_is_beyond_the_end(size, low, high):
    data = bytes((17 * index + 3) % 256 for index in range(size))
    array = np.frombuffer(data, np.uint8).copy()
    found = [int(between(array, at, low, high)) for at in range(size)]
    assert found == masks_of(data, lambda byte: low <= byte <= high)


def test_letters_and_white_space_are_those_of_ascii():
    data = bytes(range(256))
    array = np.frombuffer(data, np.uint8).copy()
    found = [tuple(map(int, letters_and_space(array, at))) for at in range(256)]
    ascii_letters = masks_of(data, lambda byte: byte < 0x80 and chr(byte).isalpha())
    spaces = masks_of(data, lambda byte: byte < 0x80 and chr(byte).isspace())
    assert found == list(zip(ascii_letters, spaces, strict=True))


@given(st.integers(0, 2**64 - 1))
def test_bits_are_counted_and_found(mask):
    lowest = (mask & -mask).bit_length() - 1 if mask else 64
    assert ones_lowest_highest(np.uint64(mask)) == (mask.bit_count(), lowest, mask.bit_length() - 1)


@pytest.mark.parametrize(("count", "mask"), [(0, 0), (1, 1), (3, 7), (63, 2**63 - 1), (64, 2**64 - 1), (1000, 2**64 - 1)])
def test_the_first_bits_are_as_many_as_asked_for(count, mask):
    assert int(byte_masks.first_bits(count)) == mask
