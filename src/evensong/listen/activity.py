"""Detections with their moments -> counts by night and by hour, beside the time that was recorded, and a figure."""

import textwrap
from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator

from evensong.listen.clock import Clock, Hours
from evensong.listen.found import Found
from evensong.listen.outputs import HOURS, NIGHTS
from evensong.run.text import write_csv
from evensong.score.palette import figure

_HALF_DAY = timedelta(hours=12)
_FROM_NOON = [*range(12, 24), *range(12)]
_MOST_PANELS = 20
_NOTE = "white: nothing was recorded in that hour"


def write_activity(
    folder: Path, found: Sequence[Found], classes: Sequence[str], clock: Clock, hours: Hours | None
) -> None:
    """Write nights.csv, hours.csv and activity.png; recordings without a known moment are in none of them.

    Args:
        classes: those that are reported, in label order; each has a column n_<class>.
        hours: of the day that are listened to; None for all.
    """
    table = hour_table(found, classes, clock, hours)
    folder.mkdir(parents=True, exist_ok=True)
    nights = table.drop(columns="hour").groupby("night", as_index=False).sum()
    write_csv(folder / HOURS, table.round({"recorded_h": 4}), for_people=True)
    write_csv(folder / NIGHTS, nights.round({"recorded_h": 4}), for_people=True)
    _draw(folder / "activity.png", table, classes, f"{len(nights)} nights, {clock.zone}; {_NOTE}")


def hour_table(found: Sequence[Found], classes: Sequence[str], clock: Clock, hours: Hours | None) -> pd.DataFrame:
    """One row an hour of the clock in which anything was recorded: night, hour, recorded_h, n_<class>; in time order.

    A night is the date of its evening, from noon to noon. A detection counts where it begins.
    """
    recorded: dict[tuple[date, int], float] = defaultdict(float)
    counts: dict[tuple[date, int], Counter[str]] = defaultdict(Counter)
    for one in (one for one in found if one.start):
        start = one.start.moment  # type: ignore[union-attr]
        for moment, seconds in clock.minutes(start, one.seconds, hours):
            recorded[_cell(moment)] += seconds / 3600
        for event in one.events:
            counts[_cell(clock.at(start, event.begin_s))][event.class_name] += 1
    cells = sorted({*recorded, *counts}, key=lambda cell: (cell[0], _FROM_NOON.index(cell[1])))
    rows = [
        [str(night), hour, recorded[night, hour], *(counts[night, hour][name] for name in classes)]
        for night, hour in cells
    ]
    return pd.DataFrame(rows, columns=["night", "hour", "recorded_h", *(f"n_{name}" for name in classes)])


def _cell(moment: datetime) -> tuple[date, int]:
    return (moment.replace(tzinfo=None) - _HALF_DAY).date(), moment.hour


def _draw(path: Path, table: pd.DataFrame, classes: Sequence[str], note: str) -> None:
    """A panel a class, recorded hours over nights; the classes with most detections, if there are many."""
    n_found = {name: int(table[f"n_{name}"].sum()) for name in classes}
    shown = sorted(classes, key=lambda name: -n_found[name])[:_MOST_PANELS]
    nights = [str(day.date()) for day in pd.date_range(min(table["night"]), max(table["night"]))] if len(table) else []
    places = [_FROM_NOON.index(hour) for hour in table["hour"]] or [0, 23]
    rows = _FROM_NOON[min(places) : max(places) + 1]
    width = max(5.0, 2 + 0.12 * len(nights))
    with figure(path, (width, 1.2 + 1.9 * len(shown)), dpi=100) as drawing:
        drawing.supxlabel(textwrap.fill(note, round(14 * width)), fontsize="small")
        for place, name in enumerate(shown, start=1):
            axes = drawing.add_subplot(len(shown), 1, place)
            axes.set_title(f"{name}: {n_found[name]}", fontsize="medium")
            grid = table.pivot(index="hour", columns="night", values=f"n_{name}").reindex(index=rows, columns=nights)
            if nights:
                image = axes.imshow(
                    grid.to_numpy(float), aspect="auto", vmin=0, vmax=max(1, n_found[name] and grid.max().max())
                )
                whole = MaxNLocator(5, integer=True, min_n_ticks=1)
                drawing.colorbar(image, ax=axes, label="detections", ticks=whole)
            step = 1 + len(rows) // 8
            # an hour's own tick is where it begins
            axes.set_yticks(np.arange(0, len(rows), step) - 0.5, [f"{hour:02d}:00" for hour in rows[::step]])
            ticks = range(0, len(nights), max(1, len(nights) // 6))
            axes.set_xticks(ticks, [nights[tick] for tick in ticks], fontsize="small")
