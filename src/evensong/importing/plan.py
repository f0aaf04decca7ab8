"""What an import would do: which file goes where, what stays behind and why."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

Layout = Literal["classes", "esc", "field", "cohort"]
FOLDERS: dict[str, Path] = {
    "classes": Path("data/night"),
    "esc": Path("data/night"),
    "field": Path("data/field"),
    "cohort": Path("data/voice"),
}


@dataclass(frozen=True)
class Plan:
    """What a source holds.

    Attributes:
        files: path below the source, by path below the folder of data/ that it is to have there.
        recordings: those of the files that are recordings, by the class or label each belongs to; "" where none.
        labels: rows of annotation tables by their label.
        left: what is not taken, with a reason.
        notes: lines for the user.
        folds: the fold a table names, by target path; empty where none does.
        settings: dotted parameters that go with this layout.
    """

    layout: Layout
    source: Path
    files: dict[str, str]
    recordings: dict[str, str]
    labels: Counter[str] = field(default_factory=Counter)
    left: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    folds: dict[str, str] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def is_private(self) -> bool:
        """Whether names hold patients' ids: then they are counted, and never shown."""
        return self.layout == "cohort"
