"""The funnel as a picture: a bar a stage, what it kept and, by rule, what it removed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import escape as _escape

from gristmill.pipeline import display
from gristmill.pipeline.funnel import by_stage, most_first

_WIDTH = 960
_MARGIN = 24
_BAR = 24
_LEGEND_LINE = 20
_CHARACTER = 6.9
"""Width of an average character of the legend (12.5 px sans-serif), to break its lines without measuring."""

_COLOURS = 6
"""Rules of a stage with a colour of their own; the rest share the last."""

_STYLE = """
.gm-funnel{--gm-ink:#1f2430;--gm-faint:#667085;--gm-kept:#2a9d8f;--gm-ground:#ffffff;
--gm-0:#e4572e;--gm-1:#f3a712;--gm-2:#a8557a;--gm-3:#5b6ee1;--gm-4:#c98b5e;--gm-5:#98a2b3;
font-family:system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif;font-size:12.5px}
@media (prefers-color-scheme:dark){.gm-funnel{--gm-ink:#e6e9ef;--gm-faint:#98a2b3;--gm-kept:#35b5a5;--gm-ground:#161a22;
--gm-0:#f0714d;--gm-1:#f5b83d;--gm-2:#c77a9d;--gm-3:#8290f0;--gm-4:#d6a27c;--gm-5:#667085}}
.gm-funnel text{fill:var(--gm-ink)}.gm-funnel .f{fill:var(--gm-faint)}.gm-funnel .s{font-size:15px;font-weight:600}
.gm-funnel .h{font-size:17px;font-weight:700}.gm-funnel .n{font-variant-numeric:tabular-nums}.gm-funnel .g{fill:var(--gm-ground)}
.gm-funnel .k{fill:var(--gm-kept)}.gm-funnel .c{fill:var(--gm-kept);opacity:.13}
""" + "".join(f".gm-funnel .r{number}{{fill:var(--gm-{number})}}" for number in range(_COLOURS))


@dataclass(frozen=True)
class _Segment:
    """Part of a bar: what one rule removed."""

    rule: str
    removed: int
    colour: int


def funnel_svg(rows: list[dict[str, Any]]) -> str:
    """Draw the rows of a funnel.

    Sources that go through the same stages are drawn as one funnel, others each as one of its own.

    Args:
        rows: rows of `funnel.json`.

    Returns:
        An SVG document of fixed width that follows the reader's light or dark setting; also good inside an HTML page.
    """
    parts: list[str] = []
    top = float(_MARGIN)
    for title, panel in _panels(rows):
        drawn, top = _draw_panel(title, panel, top)
        parts += drawn
    height = round(top + 2)
    size = f'viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="gm-funnel" {size} '
        f'role="img" aria-label="Documents kept and removed by each stage"><style>{_STYLE}</style>'
        f'<rect class="g" width="{_WIDTH}" height="{height}" rx="10"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def _panels(rows: list[dict[str, Any]]) -> list[tuple[str | None, list[dict[str, Any]]]]:
    """What is drawn as one funnel, each with its title: stages with the keys of `by_stage`."""
    sources: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        sources.setdefault(row["source"], []).append(row)
    if len({tuple(row["stage"] for row in own) for own in sources.values()}) <= 1:
        return [(None, by_stage(rows))]
    return [(source, by_stage(own)) for source, own in sources.items()]


def _draw_panel(title: str | None, stages: list[dict[str, Any]], top: float) -> tuple[list[str], float]:
    parts: list[str] = []
    if title is not None:
        parts.append(f'<text class="h" x="{_MARGIN}" y="{top + 12:.1f}">{_text(title)}</text>')
        top += 34
    read = stages[0]["in"] if stages else 0
    scale = (_WIDTH - 2 * _MARGIN) / read if read else 0.0
    for number, stage in enumerate(stages):
        bar_top = top + 24
        segments = _segments(stage["rules"])
        legend, below = _legend(segments, bar_top + _BAR + 18)
        bottom = below + (20 if segments else -2)
        if number + 1 < len(stages):
            # what is kept flows down into the next stage's bar
            parts.append(_box("c", _MARGIN, bar_top + _BAR, stage["kept"] * scale, bottom + 24 - bar_top - _BAR))
        parts.append(_head(stage, top + 15))
        parts += _bar(stage, segments, scale, bar_top)
        parts += legend
        top = bottom
    return parts, top + 16


def _head(stage: dict[str, Any], y: float) -> str:
    share = f"{display.percent(stage['kept'], stage['in'])} kept"
    of_read = "" if stage["in"] == stage["read"] else f" · {display.percent(stage['kept'], stage['read'])} of read"
    numbers = f"{display.count(stage['kept'])} of {display.count(stage['in'])}"
    return (
        f'<text class="s" x="{_MARGIN}" y="{y:.1f}">{_text(stage["stage"])}</text>'
        f'<text class="n" x="{_WIDTH - _MARGIN}" y="{y:.1f}" text-anchor="end">{numbers}'
        f'<tspan class="f"> · {share}{of_read}</tspan></text>'
    )


def _bar(stage: dict[str, Any], segments: list[_Segment], scale: float, y: float) -> list[str]:
    kept = f"{stage['stage']}: {display.count(stage['kept'])} kept"
    parts = [_box("k", _MARGIN, y, stage["kept"] * scale, _BAR, kept)]
    done = stage["kept"]
    for segment in segments:
        parts.append(_box(f"r{segment.colour}", _MARGIN + done * scale, y, segment.removed * scale, _BAR, _told(segment)))
        done += segment.removed
    return parts


def _box(style: str, x: float, y: float, width: float, height: float, title: str | None = None) -> str:
    inside = "" if title is None else f"<title>{_text(title)}</title>"
    return f'<rect class="{style}" x="{x:.2f}" y="{y:.1f}" width="{width:.2f}" height="{height:.1f}">{inside}</rect>'


def _segments(rules: dict[str, int]) -> list[_Segment]:
    """The rules that removed something, largest first; those beyond the colours as one."""
    ranked = [(rule, removed) for rule, removed in most_first(rules) if removed]
    if len(ranked) <= _COLOURS:
        return [_Segment(rule, removed, colour) for colour, (rule, removed) in enumerate(ranked)]
    named = [_Segment(rule, removed, colour) for colour, (rule, removed) in enumerate(ranked[: _COLOURS - 1])]
    rest = ranked[_COLOURS - 1 :]
    return [*named, _Segment(f"{len(rest)} other rules", sum(removed for _, removed in rest), _COLOURS - 1)]


def _legend(segments: list[_Segment], y: float) -> tuple[list[str], float]:
    """The rules in their colours, broken into lines, and where the last line stands."""
    parts: list[str] = []
    x = float(_MARGIN)
    for segment in segments:
        width = 16 + _CHARACTER * (len(segment.rule) + 1 + len(display.count(segment.removed))) + 18
        if x > _MARGIN and x + width > _WIDTH - _MARGIN:
            x, y = float(_MARGIN), y + _LEGEND_LINE
        removed = f'<tspan class="f n">{display.count(segment.removed)}</tspan>'
        parts.append(
            f'<rect class="r{segment.colour}" x="{x:.1f}" y="{y - 9:.1f}" width="10" height="10" rx="2"/>'
            f'<text x="{x + 15:.1f}" y="{y:.1f}">{_text(segment.rule)} {removed}</text>'
        )
        x += width
    return parts, y


def _told(segment: _Segment) -> str:
    return f"{segment.rule}: {display.count(segment.removed)} removed"


def _text(text: str) -> str:
    return _escape(display.visible(text), {'"': "&quot;"})
