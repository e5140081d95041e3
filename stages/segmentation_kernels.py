"""Compiled kernels that find runs of scripts without spaces, part them by rules on syllables, and mark words in a copy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gristmill.stages import unspaced_scripts as scripts
from gristmill.stages.numba_cache import njit
from gristmill.stages.text_kernels import code_point_at, int64, load8

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]
    Positions = NDArray[np.int64]

_GROUP, _ROLE, _JOINING = scripts.GROUP_MASK, scripts.ROLE_MASK, scripts.JOINING
_LETTER, _MARK, _FOLLOWING, _LEADING = scripts.LETTER, scripts.MARK, scripts.FOLLOWING, scripts.LEADING
_STACKER, _KILLER, _LOW_TONE = scripts.STACKER, scripts.KILLER, scripts.LOW_TONE
_THAI, _KHMER = scripts.THAI, scripts.KHMER
# First bytes of code points from U+0800 on, but for U+2000 to U+2FFF (dashes, quotation marks): no run begins with another
_MAY_BEGIN = np.array([byte >= 0xE0 and byte != 0xE2 for byte in range(256)])
_HIGHS, _LOWS, _E2S = np.uint64(0x8080808080808080), np.uint64(0x7F7F7F7F7F7F7F7F), np.uint64(0xE2E2E2E2E2E2E2E2)


@njit("boolean(uint8[::1], int64, int64)")
def may_have_run(data: Bytes, begin: int, end: int) -> bool:
    """Whether a byte is there that a run may begin with; no way out of the loop, so that it compiles to vector code."""
    found = np.uint64(0)
    position = begin
    while position + 8 <= end:
        word = load8(data, position)
        others = word ^ _E2S
        # the highest bit of a byte: it and the next two are set in the byte, and it is not E2
        found |= word & (word << np.uint64(1)) & (word << np.uint64(2)) & (((others & _LOWS) + _LOWS) | others)
        position += 8
    for rest in range(position, end):
        if _MAY_BEGIN[data[rest]]:
            return True
    return bool(found & _HIGHS)


@njit("int64(uint8[::1], int64, int64, uint8[::1])")
def next_run(data: Bytes, position: int, end: int, table: Bytes) -> int:
    """Where the first run in [position, end) begins; `end` where there is none."""
    while position < end:
        if position + 8 <= end and not load8(data, position) & _HIGHS:
            position += 8
            continue
        if not _MAY_BEGIN[data[position]]:
            position += 1
            continue
        point, size = code_point_at(data, position)
        group = int64(table[point]) & _GROUP
        if group and group != _JOINING:
            return position
        position += size
    return end


@njit("int64(uint8[::1], int64, int64, uint8[::1])")
def run_end(data: Bytes, begin: int, end: int, table: Bytes) -> int:
    """Where the run ends that begins at `begin`: before the first character of another group that joins nothing."""
    point, size = code_point_at(data, begin)
    group = int64(table[point]) & _GROUP
    position = begin + size
    while position < end:
        point, size = code_point_at(data, position)
        here = int64(table[point]) & _GROUP
        if here != group and here != _JOINING:
            break
        position += size
    return position


@njit("boolean(uint8[::1], int64, int64, uint8[::1])")
def parts(data: Bytes, begin: int, position: int, table: Bytes) -> bool:
    """Whether a boundary may stand at `position` of a run that begins at `begin`: not before marks, nor after a stacker."""
    point, _ = code_point_at(data, position)
    if int64(table[point]) & _GROUP == _JOINING:
        return False
    last = position - 1
    while last > begin and data[last] & 0xC0 == 0x80:
        last -= 1
    point, _ = code_point_at(data, last)
    return int64(table[point]) & _ROLE != _STACKER


@njit("int64(uint8[::1], int64, int64, int64, uint8[::1], int64[::1], int64[::1])")
def find_runs(data: Bytes, begin: int, end: int, longest: int, table: Bytes, starts: Positions, ends: Positions) -> int:
    """Runs in [begin, end), those beyond `longest` bytes in pieces; only counted where `starts` has no room.

    Args:
        data, begin, end: see `text_kernels`.
        longest: bytes; a piece is at most one character and its marks longer, since it ends where a letter begins that no
            stacker holds to the one before.
        table: of `unspaced_scripts.script_table`.
        starts, ends: byte positions of the runs, written.
    """
    runs = 0
    position = next_run(data, begin, end, table)
    while position < end:
        stop = run_end(data, position, end, table)
        while position < stop:
            piece = min(position + longest, stop)
            while piece < stop and data[piece] & 0xC0 == 0x80:
                piece += 1
            while piece < stop and not parts(data, position, piece, table):
                piece += code_point_at(data, piece)[1]
            if runs < starts.size:
                starts[runs], ends[runs] = position, piece
            runs += 1
            position = piece
        position = next_run(data, stop, end, table)
    return runs


@njit("int64(uint8[::1], int64, int64, int64, uint8[::1])")
def _role_at(data: Bytes, position: int, end: int, group: int, table: Bytes) -> int:
    """Role of the character at `position`; that of a letter at the end of the run."""
    if position >= end:
        return _LETTER
    point, _ = code_point_at(data, position)
    entry = int64(table[point])
    here = entry & _GROUP
    return entry & _ROLE if here in (group, _JOINING) else _LETTER


@njit("int64(uint8[::1], int64, int64, uint8[::1], int64[::1])")
def part_syllables(data: Bytes, begin: int, end: int, table: Bytes, boundaries: Positions) -> int:
    """Boundaries inside a run, by the rules that `segmentation.syllables_plainly` states; only counted without room.

    Args:
        data, table: as in `find_runs`.
        begin, end: a whole run.
        boundaries: byte positions, written.

    Returns:
        How many.
    """
    point, size = code_point_at(data, begin)
    group = int64(table[point]) & _GROUP
    previous = int64(table[point]) & _ROLE
    ends_open = _THAI <= group <= _KHMER  # scripts whose letters at the end of a syllable look like others
    bare = previous == _LETTER
    closed = False
    count = 0
    position = begin + size
    while position < end:
        point, size = code_point_at(data, position)
        role = int64(table[point]) & _ROLE
        ahead = _role_at(data, position + size, end, group, table)
        joined = True
        if role == _LETTER:
            killed = ahead == _KILLER
            if ahead == _LOW_TONE:
                killed = _role_at(data, position + size + 3, end, group, table) == _KILLER
            held = previous in (_LEADING, _STACKER)
            final = ends_open and not closed and not held and ahead in (_LETTER, _LEADING)
            joined = killed or final or held or (ends_open and bare)
            closed |= killed or final
            bare = not joined
        elif role == _LEADING:
            joined = previous in (_LEADING, _STACKER)
            bare = False
        else:
            bare = False
        if not joined:
            closed = False
            if count < boundaries.size:
                boundaries[count] = position
            count += 1
        previous = role
        position += size
    return count


@njit("int64[::1](uint8[::1], int64[::1], uint8[::1])")
def syllable_boundaries(data: Bytes, offsets: Positions, table: Bytes) -> Positions:
    """Where words are to be marked in all documents: between syllables, and at both ends of runs.

    Returns:
        Byte positions in `data`, ascending; not at the ends of documents.
    """
    found = np.empty(0, dtype=np.int64)
    nowhere = np.empty(0, dtype=np.int64)
    for filling in range(2):
        count = 0
        for document in range(offsets.size - 1):
            begin, end = offsets[document], offsets[document + 1]
            if not may_have_run(data, begin, end):
                continue
            position = next_run(data, begin, end, table)
            last = int64(-1)
            while position < end:
                stop = run_end(data, position, end, table)
                if position > begin and position != last:
                    if filling:
                        found[count] = position
                    count += 1
                count += part_syllables(data, position, stop, table, found[count:] if filling else nowhere)
                if stop < end:
                    if filling:
                        found[count] = stop
                    count += 1
                last = stop
                position = next_run(data, stop, end, table)
        if count == 0:
            break
        if not filling:
            found = np.empty(count, dtype=np.int64)
    return found


@njit("UniTuple(int64[::1], 2)(uint8[::1], int64[::1], int64, uint8[::1])")
def all_runs(data: Bytes, offsets: Positions, longest: int, table: Bytes) -> tuple[Positions, Positions]:
    """Starts and ends of the runs of all documents; see `find_runs`."""
    starts = np.empty(0, dtype=np.int64)
    ends = np.empty(0, dtype=np.int64)
    for filling in range(2):
        count = 0
        for document in range(offsets.size - 1):
            if not may_have_run(data, offsets[document], offsets[document + 1]):
                continue
            room = starts[count:] if filling else starts
            count += find_runs(data, offsets[document], offsets[document + 1], longest, table, room, ends[count:])
        if count == 0:
            break
        if not filling:
            starts, ends = np.empty(count, dtype=np.int64), np.empty(count, dtype=np.int64)
    return starts, ends


@njit("int64[::1](uint8[::1], int64[::1], int64[::1], int64[::1], int64[::1], int64[::1], uint8[::1])")
def checked_boundaries(
    data: Bytes, offsets: Positions, starts: Positions, ends: Positions, runs: Positions, within: Positions, table: Bytes
) -> Positions:
    """Boundaries of a dictionary inside runs, those left out that part a cluster, and the ends of the runs.

    Args:
        data, offsets, table: as in `syllable_boundaries`.
        starts, ends: the runs.
        runs, within: of each boundary, ascending: the number of its run, and how many bytes after the run's start it stands.

    Returns:
        As `syllable_boundaries`.
    """
    found = np.empty(within.size + 2 * starts.size, dtype=np.int64)
    count = 0
    index = 0
    document = 0
    for run in range(starts.size):
        begin, end = starts[run], ends[run]
        while offsets[document + 1] <= begin:
            document += 1
        if begin > offsets[document] and (count == 0 or found[count - 1] != begin):
            found[count] = begin
            count += 1
        while index < runs.size and runs[index] == run:
            position = begin + within[index]
            if begin < position < end and parts(data, begin, position, table):
                found[count] = position
                count += 1
            index += 1
        if end < offsets[document + 1]:
            found[count] = end
            count += 1
    return found[:count].copy()


@njit("void(uint8[::1], int64[::1], int64[::1], uint8[::1])")
def join_runs(data: Bytes, starts: Positions, ends: Positions, joined: Bytes) -> None:
    """Copy runs to `joined`, each with a newline after it."""
    at = 0
    for run in range(starts.size):
        size = ends[run] - starts[run]
        joined[at : at + size] = data[starts[run] : ends[run]]
        joined[at + size] = 10
        at += size + 1


@njit("UniTuple(int64[::1], 2)(uint8[::1], int64[::1], int64[::1])")
def runs_of_boundaries(joined: Bytes, sizes: Positions, points: Positions) -> tuple[Positions, Positions]:
    """Tell where boundaries stand that are counted in code points of `join_runs`.

    Args:
        joined: of `join_runs`.
        sizes: bytes of each run.
        points: code points before each boundary, ascending.

    Returns:
        As `runs` and `within` of `checked_boundaries`.
    """
    runs = np.empty(points.size, dtype=np.int64)
    within = np.empty(points.size, dtype=np.int64)
    position = point = run = run_begin = 0
    for index in range(points.size):
        while point < points[index]:
            position += 1
            while position < joined.size and joined[position] & 0xC0 == 0x80:
                position += 1
            point += 1
        while run < sizes.size - 1 and position > run_begin + sizes[run]:
            run_begin += sizes[run] + 1
            run += 1
        runs[index] = run
        within[index] = position - run_begin
    return runs, within


@njit("boolean(uint8[::1], int64)", inline=True)
def is_mark(data: Bytes, position: int) -> bool:
    """Whether a zero width space begins there."""
    if position + 2 >= data.size:
        return False
    return bool(data[position] == 0xE2 and data[position + 1] == 0x80 and data[position + 2] == 0x8B)


@njit("Tuple((uint8[::1], int64[::1]))(uint8[::1], int64[::1], int64[::1])")
def mark_words(data: Bytes, offsets: Positions, boundaries: Positions) -> tuple[Bytes, Positions]:
    """Put a zero width space at each boundary, but where the text has one already.

    Args:
        data, offsets: the texts.
        boundaries: byte positions, ascending, none at the end of a document.

    Returns:
        The texts, and where each document begins in them.
    """
    marked = np.empty(offsets[offsets.size - 1] - offsets[0] + 3 * boundaries.size, dtype=np.uint8)
    moved = np.empty(offsets.size, dtype=np.int64)
    document = 0
    at = 0
    position = offsets[0]
    for index in range(boundaries.size + 1):
        stop = boundaries[index] if index < boundaries.size else offsets[offsets.size - 1]
        while document < offsets.size and offsets[document] <= stop:
            moved[document] = at + offsets[document] - position
            document += 1
        marked[at : at + stop - position] = data[position:stop]
        at += stop - position
        position = stop
        if index < boundaries.size and not (is_mark(data, stop) or (stop >= 3 and is_mark(data, stop - 3))):
            marked[at], marked[at + 1], marked[at + 2] = 0xE2, 0x80, 0x8B
            at += 3
    return marked[:at], moved


@njit("void(uint8[::1], uint8[::1], int64, int64[::1], int64[::1])")
def unmark_words(marked: Bytes, data: Bytes, begin: int, starts: Positions, ends: Positions) -> None:
    """Turn positions in the marked text into those in the text itself, in place.

    Args:
        marked: of `mark_words`.
        data, begin: the text, and where its first document begins.
        starts, ends: of words in `marked`, ascending; no word has a mark that was put in.
    """
    position = begin
    at = 0
    for word in range(starts.size):
        while at < starts[word]:
            if is_mark(marked, at) and not is_mark(data, position):  # no mark stands next to one of the text
                at += 3
            else:
                at += 1
                position += 1
        size = ends[word] - starts[word]
        starts[word] = position
        ends[word] = position + size
        at += size
        position += size
