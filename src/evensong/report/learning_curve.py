"""Index, mels and embeddings of a night run -> macro-F1 against training clips a class, as a table and a figure.

Test clips are the same throughout. Training originals are drawn source after source, so that few clips come of few
sources, as they do in the field; a larger number holds the smaller one of its draw.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from evensong.keys import keyed_hash
from evensong.learn.baseline import statistics_of
from evensong.learn.heads import fit_head
from evensong.learn.fold_table import check_fold_table
from evensong.learn.vectors import embedded_items, read_facts, read_vectors
from evensong.night.index import read_array_names, read_fold_table, read_pool_sha256
from evensong.night.mel_settings import read_mel_settings
from evensong.run.parallel import map_tasks
from evensong.run.text import write_csv
from evensong.score import palette, scores
from evensong.score.predictions import BASELINE

_INDEX = Path("artifacts/night/balanced_audio_index.db")
_MELS = Path("artifacts/night/mels")
_EMBED = Path("artifacts/night/embed")
_FEWEST = 4
_CENTRAL = (0.05, 0.95)  # of the draws


@dataclass(frozen=True)
class _Task:
    """One draw of one arm, without ids: originals and their features, row by row."""

    arm: str
    draw: int
    items: pd.DataFrame
    features: NDArray[np.float32]
    sizes: tuple[int, ...]


def learning_curve(root: Path, out: Path, *, draws: int, workers: int) -> pd.DataFrame:
    """Score the baseline and every embedding with few training clips; writes ``out`` and a PNG of the same name.

    Args:
        root: folder of the repository.
        out: the table to write.
        draws: of the training clips, for each number of them.
        workers: processes; no result depends on it.

    Returns:
        One row an arm and number: arm, at_most (clips a class), clips (mean over classes, folds and draws), draws,
        macro_f1 (mean over the draws), and low to high, in which 90 % of them lie.

    Raises:
        EvensongError: an output of the run is missing or damaged, or a classifier did not settle.
    """
    table, classes = read_fold_table(root / _INDEX)
    check_fold_table(table, len(classes), table["row"].nunique())
    arms = _arms(root, table, workers)
    trained = arms[BASELINE][0].query("subset == 'train'").groupby(["fold", "label"]).size()
    sizes = sizes_up_to(int(trained.max()))
    tasks = [  # all there are is no draw: once is enough
        _Task(arm, draw, *found, sizes[: -1 if draw else None]) for arm, found in arms.items() for draw in range(draws)
    ]
    rows = [row for rows in map_tasks(_score, tasks, workers=workers, label="draws", unit="draw") for row in rows]
    curve = _summary(pd.DataFrame(rows))
    out.parent.mkdir(parents=True, exist_ok=True)
    write_csv(out, curve, "%.4f")
    _draw(out.with_suffix(".png"), curve)
    return curve


def sizes_up_to(most: int) -> tuple[int, ...]:
    """4, 8, 16, ... and the most there are."""
    return (*(_FEWEST << k for k in range(most.bit_length()) if _FEWEST << k < most), most)


def drawn(items: pd.DataFrame, at_most: int, draw: int) -> pd.DataFrame:
    """At most so many items of every class, a whole source before the next begins, in an order of the draw's own."""
    keys = {group: keyed_hash("learning curve", draw, group) for group in items["group"].unique()}
    order = items.assign(key=items["group"].map(keys)).sort_values(["key", "item_id"], kind="stable")
    return order.groupby("label").head(at_most)


def _arms(root: Path, table: pd.DataFrame, workers: int) -> dict[str, tuple[pd.DataFrame, NDArray[np.float32]]]:
    """The originals of the fold table and their features, by arm."""
    names, pool = read_array_names(root / _INDEX), read_pool_sha256(root / _INDEX)
    read_mel_settings(root / _MELS, pool)
    arms = {BASELINE: (table, statistics_of([root / _MELS / f"{name}.npy" for name in names], workers))}
    for folder in sorted((root / _EMBED).glob("*/")):
        items = embedded_items(table, copies=read_facts(folder, pool)["copies"])
        arms[folder.name] = (items, read_vectors([folder / f"{name}.npy" for name in names], items["row"].nunique()))
    return {arm: (items[items["is_original"]], features) for arm, (items, features) in arms.items()}


def _score(task: _Task) -> list[dict[str, object]]:
    """Macro-F1 over the test originals of all folds, for every number of training clips."""
    n_classes = int(task.items["label"].max()) + 1
    rows: list[dict[str, object]] = []
    for at_most in task.sizes:
        table, n_trained = np.zeros((n_classes, n_classes)), []
        for fold, here in task.items.groupby("fold"):
            train, test = drawn(here[here["subset"] == "train"], at_most, task.draw), here[here["subset"] == "test"]
            labels, where = train["label"].to_numpy(np.int64), f"fold {fold}, {at_most} clips a class"
            head = fit_head("logistic", task.features[train["row"]], labels, where)
            found = head.probabilities(task.features[test["row"]])
            table += scores.confusion(test["label"].to_numpy(np.int64), found.argmax(axis=1), n_classes)
            n_trained.append(len(train) / n_classes)
        score = float(scores.macro_f1_from(table))
        rows.append({"arm": task.arm, "at_most": at_most, "clips": np.mean(n_trained), "macro_f1": score})
    return rows


def _summary(found: pd.DataFrame) -> pd.DataFrame:
    by_size = found.groupby(["arm", "at_most"], sort=False)
    low, high = (by_size["macro_f1"].quantile(share) for share in _CENTRAL)
    means = by_size[["clips", "macro_f1"]].mean()
    return means.assign(draws=by_size.size(), low=low, high=high).reset_index()


def _draw(path: Path, curve: pd.DataFrame) -> None:
    """Lines of means, and bands in which 90 % of the draws lie; the same bytes for the same numbers."""
    with palette.figure(path, (7, 4.8)) as figure:
        axes = figure.subplots()
        for arm, rows in curve.groupby("arm", sort=False):
            axes.plot(rows["clips"], rows["macro_f1"], "o-", color=palette.arm(str(arm)), label=arm)
            axes.fill_between(rows["clips"], rows["low"], rows["high"], color=palette.arm(str(arm)), alpha=0.2, lw=0)
        axes.set_xscale("log", base=2)
        ticks = sorted(set(curve["clips"].round(6)))
        axes.set_xticks(ticks, [f"{tick:.3g}" for tick in ticks])
        axes.set_xlabel("training originals a class, mean over classes and folds")
        axes.set_ylabel("macro-F1 of the test originals")
        axes.set_title("How many clips? Means and 90 % of the draws of training clips", fontsize="medium")
        axes.grid(color=palette.GREY, alpha=0.25)
        axes.legend(frameon=False, loc="lower right")


def describe_curve(curve: pd.DataFrame) -> str:
    """The table for a terminal."""
    lines = [f"{'':24}{'clips a class':>14}{'macro-F1':>10}{'90 % of draws':>20}"]
    for row in curve.to_dict("records"):
        between = f"{row['low']:.3f} to {row['high']:.3f}"
        lines.append(f"{row['arm']:24}{row['clips']:>14.3g}{row['macro_f1']:>10.3f}{between:>20}")
    return "\n".join(lines)
