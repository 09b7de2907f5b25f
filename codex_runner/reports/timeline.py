"""The timeline of a run as SVG: one strip for each lane, all to the same scale.

Positions are percentages in presentation attributes, never styles: the page's policy allows only its own style. So the
strips grow and shrink with the screen.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from codex_runner.dataclass import dataclass
from codex_runner.reports.escaping import html_text
from codex_runner.reports.moments import Lane, Moment, Mood, of_lane
from codex_runner.text.durations import format_elapsed
from codex_runner.text.excerpts import one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_NARROW = 0.15  # percent of the strip; bars narrower than this, and closer to their neighbour, are merged
_TICK = 0.2  # percent: the width of narrow bars if there are too many for dots
_DOTS = 50  # in a lane
_DRAWN = (Mood.PLAIN, Mood.GOOD, Mood.WARN, Mood.BAD)  # drawn in this order: failures are on top
_HEIGHT = 24
_STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400)


@dataclass(frozen=True, slots=True)
class Scale:
    """The time that the strips show: `start` in seconds since the epoch, `seconds` long, never 0."""

    start: float
    seconds: float

    def percent(self, time: float) -> float:
        """Return the position of a time, from 0 to 100."""
        return min(100.0, max(0.0, (time - self.start) / self.seconds * 100))


def scale(every: Sequence[Moment], start: float, end: float) -> Scale:
    """Return the scale from the first beginning to the last end."""
    first = min([start, *(moment.start for moment in every)])
    last = max([end, *(moment.end for moment in every)])
    return Scale(first, max(last - first, 0.001))


def timeline(every: Sequence[Moment], to: Scale) -> str:
    """Return all lanes that have moments, and the axis below them. Bars link to `#m<number>` in the list."""
    numbered = list(enumerate(every))
    strips = []
    for lane in Lane:
        bars = [(number, moment) for number, moment in numbered if moment.lane is lane]
        if bars:
            strips.append(_strip(lane, bars, to))
    return "\n".join([*strips, _axis(to)])


def summary(every: Sequence[Moment]) -> str:
    """Return the timeline in words, for screen readers."""
    parts = []
    for lane in Lane:
        those = list(of_lane(every, lane))
        if those:
            total = format_elapsed(sum(moment.seconds for moment in those))
            parts.append(f"{lane}: {len(those)}, {total}")
    return "; ".join(parts)


def _strip(lane: Lane, bars: Sequence[tuple[int, Moment]], to: Scale) -> str:
    groups = [group for mood in _DRAWN for group in _groups(bars, mood, to)]
    shapes = "".join(_shape(group, to, dots=len(groups) <= _DOTS) for group in groups)
    label = html_text(str(lane))
    return (
        f'<div class="lane {lane.name.lower()}"><span class="label">{label}</span>'
        f'<svg width="100%" height="{_HEIGHT}" role="group" aria-label="{label}">'
        f"{_grid(to)}<g>{shapes}</g></svg></div>"
    )


def _groups(bars: Iterable[tuple[int, Moment]], mood: Mood, to: Scale) -> list[list[tuple[int, Moment]]]:
    """Group moments that are so narrow and so close that one shape must represent them all."""
    groups: list[list[tuple[int, Moment]]] = []
    end, narrow = 0.0, False
    for number, moment in bars:
        if moment.mood is not mood:
            continue
        left, right = to.percent(moment.start), to.percent(moment.end)
        alike = narrow and right - left < _NARROW and left - end < _NARROW
        if groups and alike:
            groups[-1].append((number, moment))
            end = max(end, right)
        else:
            groups.append([(number, moment)])
            end, narrow = right, right - left < _NARROW
    return groups


def _shape(group: Sequence[tuple[int, Moment]], to: Scale, *, dots: bool) -> str:
    first, last = group[0][1], max((moment for _, moment in group), key=lambda moment: moment.end)
    left, right = to.percent(first.start), to.percent(last.end)
    at = format_elapsed(first.start - to.start)
    if len(group) > 1:
        kind, until = html_text(one_line(first.kind, 60)), format_elapsed(last.end - to.start)
        title = f"{len(group):,} of {kind} (from {at} to {until})"
    else:
        took = f", {format_elapsed(first.seconds)}" if first.seconds > 0 else ""
        said = one_line(": ".join(part for part in (first.kind, first.title or first.text) if part), 160)
        title = html_text(f"{said} (at {at}{took}{', ' + one_line(first.note, 80) if first.note else ''})")
    number = next((number for number, moment in group if moment.listed), None)
    narrow = right - left < _NARROW
    if narrow and number is None:
        return ""
    if not (narrow and dots):
        width = max(right - left, _TICK)
        shape = f'<rect x="{left:.3f}%" y="4" width="{width:.3f}%" height="16" rx="2.5" class="{first.mood}"/>'
    else:
        left = min(max(left, 0.4), 99.6)
        shape = f'<circle cx="{left:.3f}%" cy="12" r="4" class="{first.mood}"/>'
    if number is None:
        return f"<g><title>{title}</title>{shape}</g>"
    return f'<a href="#m{number}" aria-label="{title}"><title>{title}</title>{shape}</a>'


def _ticks(to: Scale) -> list[float]:
    step = next((step for step in _STEPS if to.seconds / step <= 6), math.ceil(to.seconds / 6))
    return [step * n for n in range(int(to.seconds / step) + 1)]


def _grid(to: Scale) -> str:
    lines = (f'<line x1="{x:.2f}%" x2="{x:.2f}%" y1="0" y2="{_HEIGHT}"/>' for x in _places(to))
    return f'<g class="grid" aria-hidden="true">{"".join(lines)}</g>'


def _places(to: Scale) -> list[float]:
    return [to.percent(to.start + tick) for tick in _ticks(to)]


def _axis(to: Scale) -> str:
    texts = []
    for tick, place in zip(_ticks(to), _places(to), strict=True):
        anchor = "start" if place < 4 else "end" if place > 96 else "middle"
        label = "0" if tick == 0 else format_elapsed(tick)
        texts.append(f'<text x="{place:.2f}%" y="13" text-anchor="{anchor}">{label}</text>')
    return (
        '<div class="lane axis" aria-hidden="true"><span class="label"></span>'
        f'<svg width="100%" height="18">{"".join(texts)}</svg></div>'
    )
