"""Figures as inline SVG: numbers in, markup out that scales, follows the page's theme and can be read aloud."""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
from markupsafe import Markup, escape

from evensong.score import palette

_WIDTH, _EDGE = 400, 6  # of the drawing, in its own units; the page scales it
_ROW, _AXIS = 38, 20  # heights of a row with its text above it, and of the axis below
_LETTER = 7.3  # width of most letters
_BOX, _WIDE, _GAP, _LINE = 44, 190, 22, 20  # of `flow`: a box's height and width, and heights between them
_PLOT = (40, 10, 388, 210)  # left, top, right, bottom of the field of `lines`


class Row(NamedTuple):
    """A point with its interval, of `intervals`; None where there is none."""

    label: str
    value: float | None
    low: float | None = None
    high: float | None = None
    colour: str = palette.BLACK
    digits: int = 3
    signed: bool = False


class Curve(NamedTuple):
    """A line of `lines`: x and y of its points."""

    label: str
    points: Sequence[tuple[float, float]]
    colour: str = palette.BLACK
    dots: bool = False
    dashed: bool = False


class Step(NamedTuple):
    """A box of `flow`: how many there are, and who leaves on the way to the next."""

    label: str
    n: int | str
    leaving: Sequence[tuple[str, int | str]] = ()


DIAGONAL = Curve("perfect", [(0, 0), (1, 1)], palette.GREY, dashed=True)


def number(value: float | None, digits: int = 3, *, signed: bool = False) -> str:
    """A number as people read it, with a true minus; ``undefined`` for None."""
    if value is None or value != value:
        return "undefined"
    return f"{value:{'+' if signed else ''}.{digits}f}".replace("-", "−")


def span(low: float | None, high: float | None, digits: int = 3, *, signed: bool = False) -> str:
    """An interval as people read it; empty where there is none."""
    if low is None or high is None or low != low or high != high:
        return ""
    return f"{number(low, digits, signed=signed)} to {number(high, digits, signed=signed)}"


def intervals(
    rows: Sequence[Row], about: str, reach: tuple[float, float] = (0, 1), marks: Iterable[tuple[float, str]] = ()
) -> Markup:
    """Points with whiskers, one below the other; the label and the numbers stand above each.

    Args:
        about: what the figure shows, for who does not see it; the rows' numbers are added.
        reach: ends of the axis.
        marks: up to two values that are marked in every row, with what they are, such as ``(0.5, "chance")``.
    """
    at = _scale(reach, (_EDGE, _WIDTH - _EDGE))
    marks = list(marks)
    parts, said = [], []
    for place, row in enumerate(rows):
        top, y, ink = _ROW * place, _ROW * place + 27, _ink(row.colour)
        interval = span(row.low, row.high, row.digits, signed=row.signed)
        shown = number(row.value, row.digits, signed=row.signed) + (f"  ({interval})" if interval else "")
        parts += [*_words(top, row.label, shown), _line("rail", at(reach[0]), y, at(reach[1]), y)]
        parts += [_line(f"mark{kind}", at(x), y - 6, at(x), y + 6) for kind, (x, _) in enumerate(marks)]
        if interval and row.low is not None and row.high is not None:
            parts.append(_line("whisker", at(row.low), y, at(row.high), y, ink))
        if row.value is not None and row.value == row.value:
            parts.append(Markup('<circle cx="{}" cy="{}" r="5" fill="{}"/>').format(at(row.value), y, ink))
        said.append(f"{row.label} {shown}")
    bottom = _ROW * len(rows)
    parts += [_text(at(x), bottom + 14, _tick(x), _anchor(at(x)), "value") for x in ticks(*reach)]
    legend = _legend((f"{name} {number(x, 2)}", f"var(--mark{kind})") for kind, (x, name) in enumerate(marks))
    return _svg(bottom + _AXIS, f"{about}: {'; '.join(said)}", parts) + legend


def stacks(rows: Sequence[tuple[str, Sequence[int]]], parts_named: Sequence[str], about: str) -> Markup:
    """Bars of counts in parts, one below the other, with a legend; the longest fills the width."""
    longest = max((sum(counts) for _, counts in rows), default=0) or 1
    at = _scale((0, longest), (_EDGE, _WIDTH - _EDGE))
    parts, said = [], []
    for place, (label, counts) in enumerate(rows):
        top, start = _ROW * place, 0
        shown = " + ".join(map(str, counts))
        parts += _words(top, label, shown)
        for part, count in enumerate(counts):
            box = Markup('<rect class="part{}" x="{}" y="{}" width="{}" height="9"/>')
            parts.append(box.format(part, at(start), top + 21, _round(at(start + count) - at(start))))
            start += count
        said.append(f"{label} {shown}")
    legend = _legend((name, f"var(--part{part})") for part, name in enumerate(parts_named))
    return _svg(_ROW * len(rows), f"{about} ({', '.join(parts_named)}): {'; '.join(said)}", parts) + legend


def lines(
    curves: Sequence[Curve],
    about: str,
    labels: tuple[str, str],
    x_reach: tuple[float, float] = (0, 1),
    y_reach: tuple[float, float] = (0, 1),
) -> Markup:
    """Curves in one field with axes, and a legend of the curves' labels, each once.

    Args:
        about: what the figure shows, for who does not see it.
        labels: of the x and the y axis.
    """
    left, top, right, bottom = _PLOT
    x_at, y_at = _scale(x_reach, (left, right)), _scale(y_reach, (bottom, top))
    parts = []
    for tick in ticks(*y_reach):
        parts += [
            _line("rail", left, y_at(tick), right, y_at(tick)),
            _text(left - 6, y_at(tick) + 4, _tick(tick), "end", "value"),
        ]
    for tick in ticks(*x_reach):
        parts.append(_text(x_at(tick), bottom + 17, _tick(tick), "middle", "value"))
    for curve in curves:
        points = [(x_at(x), y_at(y)) for x, y in curve.points if x == x and y == y]
        path = " ".join(f"{x},{y}" for x, y in points)
        kind = "curve dashed" if curve.dashed else "curve"
        parts.append(Markup('<polyline class="{}" points="{}" stroke="{}"/>').format(kind, path, _ink(curve.colour)))
        if curve.dots:
            dot = Markup('<circle cx="{}" cy="{}" r="3.5" fill="{}"/>')
            parts += [dot.format(x, y, _ink(curve.colour)) for x, y in points]
    parts.append(_text((left + right) / 2, bottom + 35, labels[0], "middle", "value"))
    named = dict.fromkeys((curve.label, _ink(curve.colour)) for curve in curves)
    said = f"{about}: {labels[1]} over {labels[0]}; {', '.join(label for label, _ in named)}"
    y_name = Markup('<p class="axis">{}</p>').format(labels[1])
    return y_name + _svg(bottom + 40, said, parts) + _legend(named)


def flow(steps: Sequence[Step], ends: Sequence[tuple[str, int | str]], about: str) -> Markup:
    """Boxes from top to bottom with what leaves beside the arrows, and at the foot what the last one divides into.

    Args:
        ends: name and count of each part, two at most in a row.
    """
    parts: list[Markup] = []
    said, top = [], 0.0
    for step in steps:
        parts += _box(_EDGE, top, step.label, step.n)
        said.append(f"{step.label} {step.n}")
        bottom = top + _BOX + max(_GAP, _LINE * (len(step.leaving) + 1))
        parts += _arrow(_EDGE + _WIDE / 2, top + _BOX, bottom)
        for place, (label, count) in enumerate(step.leaving, 1):
            y = top + _BOX + _LINE * place
            parts += [
                _line("rail", _EDGE + _WIDE / 2, y, 128, y),
                _text(134, y + 4, label),
                _text(_WIDTH - _EDGE, y + 4, str(count), "end", "value"),
            ]
            said.append(f"left {label} {count}")
        top = bottom
    for place, (label, count) in enumerate(ends):
        parts += _box(_EDGE + (_WIDE + 8) * (place % 2), top + (_BOX + 8) * (place // 2), label, count)
        said.append(f"{label} {count}")
    rows = (len(ends) + 1) // 2
    return _svg(top + rows * (_BOX + 8), f"{about}: {'; '.join(said)}", parts)


def _box(left: float, top: float, label: str, count: int | str) -> list[Markup]:
    box = Markup('<rect class="box" x="{}" y="{}" width="{}" height="{}" rx="5"/>').format(left, top, _WIDE, _BOX)
    return [box, _text(left + 10, top + 17, label), _text(left + 10, top + 35, str(count), "start", "value")]


def _arrow(x: float, top: float, bottom: float) -> list[Markup]:
    head = Markup('<path class="head" d="M{} {}l-4 -7h8z"/>').format(x, bottom)
    return [_line("rail", x, top, x, bottom - 6), head]


def ticks(low: float, high: float) -> list[float]:
    """Three to six round numbers from low to high."""
    rough = (high - low) / 4 or 1.0
    size = 10.0 ** np.floor(np.log10(rough))
    step = float(min((one for one in (size, 2 * size, 2.5 * size, 5 * size, 10 * size) if one >= rough), default=rough))
    first, last = int(np.ceil(low / step - 1e-9)), int(np.floor(high / step + 1e-9))
    return [round(place * step, 9) for place in range(first, last + 1)]


def _scale(reach: tuple[float, float], to: tuple[float, float]) -> Callable[[float], float]:
    """A value's place in the drawing, never outside of the axis."""
    factor = (to[1] - to[0]) / ((reach[1] - reach[0]) or 1.0)
    return lambda value: _round(min(max(to), max(min(to), to[0] + (value - reach[0]) * factor)))


def _round(place: float) -> float:
    return round(float(place), 1)


def _ink(colour: str) -> str:
    """Black is the ink of the theme, so that it shows on a dark page too."""
    return "currentColor" if colour == palette.BLACK else colour


def _tick(value: float) -> str:
    return f"{value:g}".replace("-", "−")


def _words(top: float, label: str, shown: str) -> list[Markup]:
    """Label and numbers of a row; a label without room is cut, and shown whole by a pointer that rests on it."""
    room = int((_WIDTH - 3 * _EDGE) / _LETTER - len(shown))
    cut = label if len(label) <= room else f"{label[: room - 1]}…"
    name = Markup('<text x="{}" y="{}"><title>{}</title>{}</text>').format(_EDGE, top + 14, label, cut)
    return [name, _text(_WIDTH - _EDGE, top + 14, shown, "end", "value")]


def _anchor(x: float) -> str:
    return "start" if x < 2 * _EDGE else "end" if x > _WIDTH - 2 * _EDGE else "middle"


def _text(x: float, y: float, text: str, anchor: str = "start", kind: str = "") -> Markup:
    return Markup('<text class="{}" x="{}" y="{}" text-anchor="{}">{}</text>').format(kind, x, y, anchor, text)


def _line(kind: str, x1: float, y1: float, x2: float, y2: float, ink: str = "currentColor") -> Markup:
    form = Markup('<line class="{}" x1="{}" y1="{}" x2="{}" y2="{}" stroke="{}"/>')
    return form.format(kind, x1, y1, x2, y2, ink)


def _legend(named: Iterable[tuple[str, str]]) -> Markup:
    items = [Markup('<li><i style="background:{}"></i>{}</li>').format(ink, name) for name, ink in named]
    return Markup('<ul class="legend" aria-hidden="true">{}</ul>').format(Markup("").join(items))


def _svg(height: float, said: str, parts: Sequence[Markup]) -> Markup:
    form = Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>')
    return form.format(_WIDTH, _round(height), escape(said), Markup("").join(parts))
