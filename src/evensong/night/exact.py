"""An integer program for small joint assignments: better than the search, or the proof that nothing is."""

import numpy as np

from evensong.night.partition import Problem, part_counts

# Together they keep the program to seconds; a node costs more the more of the table is filled.
_MAX_BINARIES = 160
_MAX_ENTRIES = 2_000
_MAX_NODES = 500
_TOLERANCE = 1e-7


def prove(problem: Problem, parts: np.ndarray) -> tuple[np.ndarray, bool]:
    """Improve an assignment of groups that span classes, or prove that its file shares cannot be improved.

    Args:
        problem: groups and wanted shares.
        parts: (n_groups,) assignment that the search found.

    Returns:
        The assignment to use, and whether it is proved best; large problems come back as they were.
    """
    n_groups, n_classes = problem.files.shape
    n_parts = len(problem.shares)
    n_entries = n_parts * int((problem.files > 0).sum())
    if n_groups * n_parts > _MAX_BINARIES or n_entries > _MAX_ENTRIES:
        return parts, False
    found, is_proved = _solve(problem, n_groups, n_classes, n_parts)
    if found is None:
        return parts, False
    better = _gap(problem, found) < _gap(problem, parts) - _TOLERANCE
    return (found if better else parts), is_proved


def _gap(problem: Problem, parts: np.ndarray) -> float:
    counts = part_counts(problem.files, parts, len(problem.shares))
    present = part_counts((problem.files > 0).astype(np.int64), parts, len(problem.shares))
    gap = np.abs(counts / problem.files.sum(axis=0) - problem.shares[:, None]).sum()
    return float(gap) + 1e3 * int((present == 0).sum())


def _solve(problem: Problem, n_groups: int, n_classes: int, n_parts: int) -> tuple[np.ndarray | None, bool]:
    """Variables: n_groups x n_parts choices, then n_parts x n_classes distances from the wanted shares."""
    from scipy.optimize import Bounds, LinearConstraint, milp

    n_choices, n_gaps = n_groups * n_parts, n_parts * n_classes
    one_part = np.hstack([np.kron(np.eye(n_groups), np.ones((1, n_parts))), np.zeros((n_groups, n_gaps))])
    relative = problem.files / problem.files.sum(axis=0)
    # Row (part, class): the share of the class that the chosen groups bring into the part.
    reached = np.einsum("gc,pq->pcgq", relative, np.eye(n_parts)).reshape(n_gaps, n_choices)
    present = np.einsum("gc,pq->pcgq", problem.files > 0, np.eye(n_parts)).reshape(n_gaps, n_choices)
    wanted = np.repeat(problem.shares, n_classes)
    distance = np.eye(n_gaps)
    result = milp(
        np.concatenate([np.zeros(n_choices), np.ones(n_gaps)]),
        integrality=np.concatenate([np.ones(n_choices), np.zeros(n_gaps)]),
        bounds=Bounds(0, np.concatenate([np.ones(n_choices), np.full(n_gaps, np.inf)])),
        constraints=[
            LinearConstraint(one_part, 1, 1),
            LinearConstraint(np.hstack([reached, -distance]), -np.inf, wanted),
            LinearConstraint(np.hstack([reached, distance]), wanted, np.inf),
            LinearConstraint(np.hstack([present, np.zeros((n_gaps, n_gaps))]), 1, np.inf),
        ],
        # A limit on nodes and not on time: the same answer on a slower machine.
        options={"node_limit": _MAX_NODES, "mip_rel_gap": 0},
    )
    if result.x is None:
        return None, False
    choices = result.x[:n_choices].reshape(n_groups, n_parts)
    return np.asarray(choices.argmax(axis=1), np.int64), result.status == 0
