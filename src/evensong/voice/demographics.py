"""Demographics_Survey.csv -> one label a patient: 0, 1, or none where the diagnosis is blank."""

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from evensong.intake.csv_tables import Problems, read_table
from evensong.voice.disclosure import positions, told, told_split
from evensong.voice.names import Located, id_problem

HEALTH_CODE = "healthCode"
DIAGNOSIS = "professional-diagnosis"

_LABELS = {
    **dict.fromkeys(("false", "0", "0.0", "no", "f", "n"), 0),
    **dict.fromkeys(("true", "1", "1.0", "yes", "t", "y"), 1),
    "": None,
}


@dataclass(frozen=True)
class Demographics:
    """Every patient of the survey.

    Args:
        labels: healthCode to 0, 1, or None where every row's diagnosis is blank.
        located: where each healthCode stands first.
        n_rows: rows of the file.
        n_collapsed: rows that only repeat a patient.
        n_other_columns: columns that were not read.
    """

    labels: dict[str, int | None]
    located: Located
    n_rows: int
    n_collapsed: int
    n_other_columns: int

    @property
    def accounts(self) -> dict[str, int]:
        """Rows of the file, those that only repeat a patient, and columns that were not read."""
        return {
            "rows": self.n_rows,
            "repeated_rows": self.n_collapsed,
            "other_columns": self.n_other_columns,
        }

    def describe(self) -> str:
        """One line about the survey; no number of patients under five."""
        n_labelled = len(self.labelled)
        _, n_positive = told_split(n_labelled, sum(self.labelled.values()))
        return (
            f"survey: {told(len(self.labels))} patients, {told(n_labelled)} with a diagnosis, {n_positive} positive; "
            f"rows that repeat a patient: {self.n_collapsed}; columns that are not read: {self.n_other_columns}"
        )

    @property
    def labelled(self) -> dict[str, int]:
        """Only the patients with a diagnosis."""
        return {patient: label for patient, label in self.labels.items() if label is not None}


def read_demographics(path: Path) -> Demographics:
    """Read and check the survey; ids stay as written, a diagnosis may be spelled in any usual way.

    A repeated patient counts once; a blank beside a diagnosis gives way to it.

    Raises:
        DataError: anything `csv_tables.read_table` refuses, an unusable healthCode, an unknown diagnosis, or one
            patient with both diagnoses. Names lines, never ids.
    """
    table = read_table(path, (HEALTH_CODE, DIAGNOSIS))
    problems = Problems(path)
    lines_by_label: dict[str, dict[int | None, list[int]]] = defaultdict(lambda: defaultdict(list))
    for line, patient, text in zip(table.lines, table.values[HEALTH_CODE], table.values[DIAGNOSIS], strict=True):
        problem = id_problem(patient)
        if problem:
            problems.add(line, problem)
        elif text.strip().casefold() not in _LABELS:
            problems.add(
                line,
                f"{DIAGNOSIS} is none of true/false, yes/no, t/f, y/n and 1/0; "
                "leave the cell blank where there is no diagnosis",
            )
        else:
            lines_by_label[patient][_LABELS[text.strip().casefold()]].append(line)
    labels = {patient: _one_label(found, problems) for patient, found in lines_by_label.items()}
    problems.refuse()
    first = {patient: min(map(min, found.values())) for patient, found in lines_by_label.items()}
    n_rows = len(table.lines)
    return Demographics(labels, Located(str(path), "line", first), n_rows, n_rows - len(labels), table.n_other_columns)


def _one_label(found: dict[int | None, list[int]], problems: Problems) -> int | None:
    """The patient's only diagnosis; a problem on the first of its lines when there are two."""
    labels = sorted(label for label in found if label is not None)
    if len(labels) > 1:
        lines = sorted(found[0] + found[1])
        problems.add(lines[0], f"the patient of lines {positions(lines)} has both diagnoses; keep the right one")
    return labels[0] if labels else None
