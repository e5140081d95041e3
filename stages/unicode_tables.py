"""What Unicode says about each code point, as arrays that compiled kernels can index."""

from __future__ import annotations

import unicodedata
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CODE_POINTS = 0x110000
"""How many code points there are."""

LETTER = 1
"""Flag: `str.isalpha`."""
WHITESPACE = 2
"""Flag: `str.isspace`, what `str.split` splits on."""
WORD = 4
r"""Flag: `\w` of the module `re`, that is `str.isalnum` or the underscore."""
ALPHANUMERIC = 8
"""Flag: `str.isalnum`."""
PUNCTUATION = 16
"""Flag: general category P*."""
DECIMAL_DIGIT = 32
"""Flag: `str.isdecimal`."""


class UnicodeTables(NamedTuple):
    """One entry a code point; shape (0x110000,) each."""

    flags: NDArray[np.uint8]
    """The flags above, added up."""
    lower: NDArray[np.int32]
    """The lower-case code point; the code point itself where there is none or where lower case is several code points."""


@cache
def categories() -> NDArray[np.bytes_]:
    """The general category of each code point, two letters; shape (0x110000,), not to be written to."""
    import numpy as np

    # a thousand at a time, as bytes: a list of all takes 60 MB more
    blocks = ("".join(map(unicodedata.category, map(chr, range(at, at + 1024)))) for at in range(0, CODE_POINTS, 1024))
    return np.concatenate([np.frombuffer(block.encode(), "S2") for block in blocks])


@cache
def tables() -> UnicodeTables:
    """Build the tables from the interpreter's own Unicode data (0.2 s, once a process).

    Returns:
        The same arrays at every call; not to be written to (yet not read-only, which kernels would take for another type).
    """
    import numpy as np

    code_points = np.arange(CODE_POINTS, dtype=np.uint32)
    one_character = code_points.view("U1")
    flags = np.zeros(CODE_POINTS, dtype=np.uint8)
    alphanumeric = np.char.isalnum(one_character)
    flags[np.char.isalpha(one_character)] |= LETTER
    flags[np.char.isspace(one_character)] |= WHITESPACE
    flags[alphanumeric] |= ALPHANUMERIC | WORD
    flags[ord("_")] |= WORD
    flags[np.char.isdecimal(one_character)] |= DECIMAL_DIGIT
    flags[categories().astype("S1") == b"P"] |= PUNCTUATION

    lower = code_points.astype(np.int32)
    everything = code_points.tobytes().decode("utf-32-le", "surrogatepass")
    # U+0130 is the one code point whose lower case is two; lowered on its own, the capital sigma becomes the plain small one
    parts = [everything[:0x130], everything[0x131:0x3A3], everything[0x3A3], everything[0x3A4:]]
    lowered = "".join(part.lower() for part in parts)
    lower[code_points != 0x130] = np.frombuffer(lowered.encode("utf-32-le", "surrogatepass"), np.int32)
    return UnicodeTables(flags, lower)
