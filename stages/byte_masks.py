"""Compiled kernels that look at 64 bytes at a time: a 64-bit mask says where the bytes of a sort stand.

Bit i of a mask stands for the byte `at + i`. LLVM makes vector instructions of what follows, whatever the processor's
are; a mask of one range of bytes then takes a few instructions for 64 bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.extending import intrinsic

from gristmill.stages.numba_cache import njit

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]

NONE, ONE, ALL = np.uint64(0), np.uint64(1), np.uint64(0xFFFFFFFFFFFFFFFF)
"""Masks."""

_BYTE, _INDEX, _BITS = ir.IntType(8), ir.IntType(32), ir.IntType(64)
_BLOCK = ir.VectorType(_BYTE, 64)


@intrinsic
def _address(_typing: Any, data: Any, position: Any) -> Any:

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        return builder.ptrtoint(builder.gep(array.data, [arguments[1]]), _BITS)

    return types.int64(data, types.int64), generate


@intrinsic
def _byte(_typing: Any, address: Any) -> Any:

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.zext(builder.load(builder.inttoptr(arguments[0], _BYTE.as_pointer())), _BITS)

    return types.int64(types.int64), generate


@intrinsic
def _between_whole(_typing: Any, address: Any, low: Any, high: Any) -> Any:

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        def everywhere(value: Any) -> Any:
            nothing, zeros = ir.Constant(_BLOCK, ir.Undefined), ir.Constant(ir.VectorType(_INDEX, 64), None)
            return builder.shuffle_vector(builder.insert_element(nothing, builder.trunc(value, _BYTE), _INDEX(0)), nothing, zeros)

        loaded = builder.load(builder.inttoptr(arguments[0], _BLOCK.as_pointer()), align=1)
        span = everywhere(builder.sub(arguments[2], arguments[1]))
        found = builder.icmp_unsigned("<=", builder.sub(loaded, everywhere(arguments[1])), span)
        return builder.bitcast(found, _BITS)

    return types.uint64(types.int64, types.int64, types.int64), generate


@intrinsic
def _ones(_typing: Any, mask: Any) -> Any:

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return types.int64(types.uint64), generate


@intrinsic
def _lowest(_typing: Any, mask: Any) -> Any:

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 0))

    return types.int64(types.uint64), generate


@intrinsic
def _highest(_typing: Any, mask: Any) -> Any:

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.sub(_BITS(63), builder.ctlz(arguments[0], ir.Constant(ir.IntType(1), 0)))

    return types.int64(types.uint64), generate


_byte_at = cast("Callable[[int], int]", _byte)
_whole = cast("Callable[[int, int, int], np.uint64]", _between_whole)
address = cast("Callable[[Bytes, int], int]", _address)
"""Where a byte of `data` lies in memory. Numbers, unlike arrays, are handed to other kernels at no cost."""
ones = cast("Callable[[np.uint64], int]", _ones)
"""How many bits of a mask are set."""
lowest = cast("Callable[[np.uint64], int]", _lowest)
"""Which bit is the first that is set; 64 for none."""
highest = cast("Callable[[np.uint64], int]", _highest)
"""Which bit is the last that is set; -1 for none."""


@njit("uint64(int64, int64, int64, int64)")
def _between_at_end(at: int, left: int, low: int, high: int) -> np.uint64:
    """What `between` gives where fewer than 64 bytes are left."""
    found = NONE
    for index in range(left):
        found |= np.uint64(low <= _byte_at(at + index) <= high) << np.uint64(index)
    return found


@njit("uint64(int64, int64, int64, int64)", inline=True)
def between(at: int, left: int, low: int, high: int) -> np.uint64:
    """Where the bytes `low` to `high` are among the 64 bytes from the address `at` on, of which `left` may be read."""
    if left >= 64:
        return _whole(at, low, high)
    return _between_at_end(at, left, low, high)


@njit("uint64(int64)", inline=True)
def first_bits(count: int) -> np.uint64:
    """The mask of the first `count` bits, all for 64 and more."""
    return ALL if count >= 64 else (ONE << np.uint64(count)) - ONE


@njit("uint64(int64, int64)", inline=True)
def letters(at: int, left: int) -> np.uint64:
    """Where ASCII letters are."""
    return between(at, left, 0x41, 0x5A) | between(at, left, 0x61, 0x7A)


@njit("uint64(int64, int64)", inline=True)
def ascii_space(at: int, left: int) -> np.uint64:
    """Where ASCII characters are that are `str.isspace`."""
    return between(at, left, 9, 13) | between(at, left, 28, 32)


@njit("int64(uint8[::1], int64, int64)")
def next_beyond_ascii(data: Bytes, begin: int, end: int) -> int:
    """Where the first byte of no ASCII character is in [begin, end); `end` where there is none."""
    for position in range(begin, end, 64):
        found = between(address(data, position), data.size - position, 0x80, 0xFF) & first_bits(end - position)
        if found:
            return position + lowest(found)
    return end
