"""A mixture as a picture: a bar a source, as long as its share, with its tokens and epochs."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from gristmill.pipeline import display
from gristmill.pipeline.errors import UserError
from gristmill.tokenizers.mixture_plan import MixturePlan

if TYPE_CHECKING:
    from collections.abc import Sequence

_WIDTH, _MARGIN, _LINE, _LABEL, _NUMBERS = 900, 20, 24, 190, 210
_BAR = _WIDTH - 2 * _MARGIN - _LABEL - _NUMBERS
_STYLE = """
.gm-mix{font-family:system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif;font-size:12.5px}
.gm-mix text{fill:#1f2430}.gm-mix .f{fill:#667085}.gm-mix .h{font-size:16px;font-weight:700}
.gm-mix .b{fill:#2a9d8f}.gm-mix .o{fill:#e4572e}
@media (prefers-color-scheme:dark){.gm-mix text{fill:#e6e9ef}.gm-mix .f{fill:#98a2b3}
.gm-mix .b{fill:#35b5a5}.gm-mix .o{fill:#f0714d}}
"""


def short(number: float) -> str:
    """A number of tokens or bytes with three figures: 12.3B."""
    for power, letter in ((12, "T"), (9, "B"), (6, "M"), (3, "K")):
        if number >= 10**power:
            value = number / 10**power
            return f"{value:.{max(0, 2 - int(math.log10(value)))}f}{letter}"
    return f"{number:,.0f}"


def write_picture(plan: MixturePlan, file: str) -> None:
    """Draw a plan into a file: `.svg`, or `.png` where Matplotlib is installed.

    Raises:
        UserError: another ending, or no Matplotlib.
    """
    path = Path(file)
    if path.suffix not in (".svg", ".png"):
        raise UserError(f"--plot {file}: should end in .svg or .png")
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".svg":
        path.write_text(svg(plan), encoding="utf-8")
    else:
        _write_png(plan, path)


def _title(plan: MixturePlan) -> str:
    return f"{plan.mixture}: {short(plan.tokens)} tokens"


def _rows(plan: MixturePlan) -> Sequence[tuple[str, float, str, bool]]:
    """Name, share, what is written beside the bar, and whether it is read more often than helps much; largest first."""
    return [
        (
            display.one_line(source.source, 28),
            source.weight,
            f"{source.weight:.2%}  {short(source.tokens)}  {source.epochs:.2f} epochs",
            source.epochs > 4 * (1 + 1e-6),
        )
        for source in sorted(plan.sources, key=lambda source: (-source.tokens, source.source))
    ]


def svg(plan: MixturePlan) -> str:
    """An SVG document of fixed width; bars of sources read more than four times are red."""
    rows = _rows(plan)
    longest = max(share for _, share, _, _ in rows) or 1.0
    height = 2 * _MARGIN + 30 + _LINE * len(rows)
    parts = [f'<text class="h" x="{_MARGIN}" y="{_MARGIN + 12}">{escape(_title(plan))}</text>']
    for number, (name, share, numbers, often) in enumerate(rows):
        top = _MARGIN + 30 + _LINE * number
        left, width = _MARGIN + _LABEL, max(1.0, share / longest * _BAR) if share else 0.0
        parts += [
            f'<text x="{left - 10}" y="{top + 14}" text-anchor="end">{escape(name)}</text>',
            f'<rect class="{"o" if often else "b"}" x="{left}" y="{top + 2}" width="{width:.1f}" height="{_LINE - 7}" rx="2"/>',
            f'<text class="f" x="{left + width + 8:.1f}" y="{top + 14}">{escape(numbers)}</text>',
        ]
    size = f'viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}"'
    body = "\n".join(parts)
    return f'<svg xmlns="http://www.w3.org/2000/svg" class="gm-mix" role="img" {size}>\n<style>{_STYLE}</style>\n{body}\n</svg>\n'


def _write_png(plan: MixturePlan, path: Path) -> None:
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ModuleNotFoundError:
        raise UserError(f"--plot {path}: PNG needs Matplotlib: pip install 'gristmill[plots]'; or write a .svg") from None
    rows = _rows(plan)[::-1]
    figure = Figure(figsize=(9, 1 + 0.28 * len(rows)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    bars = axes.barh(range(len(rows)), [row[1] for row in rows], color=["#e4572e" if row[3] else "#2a9d8f" for row in rows])
    axes.bar_label(bars, labels=[row[2] for row in rows], padding=4, fontsize=8, color="#667085")
    axes.set_yticks(range(len(rows)), [row[0] for row in rows], fontsize=8)
    axes.set_xlim(0, 1.4 * max(row[1] for row in rows))
    axes.set_xticks([])
    axes.spines[:].set_visible(False)
    axes.set_title(_title(plan), loc="left", fontsize=11, fontweight="bold")
    figure.savefig(path, dpi=150, metadata={"Software": None})
