"""Small finished runs to make pages of: a night run by its stages with made-up predictions, and a voice run's files."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tests.night.conftest import write_clip, write_params

import night_augment
import night_cut
import night_evaluate
import night_index
import night_mels
import night_scan
from evensong.night.index import read_fold_table

HOSTILE = "<img src=x onerror=alert(1)>"
FORMULA = "=owl|*a*"
CLASSES = (FORMULA, HOSTILE, "rain & wind")


def write_night(**changes: Any) -> None:
    """A night run in the working folder, up to its evaluation; of three classes one is always taken for another."""
    for number, name in enumerate(CLASSES):
        for clip in range(8):
            write_clip(Path(f"data/night/{name}/s{number}{clip // 2}_take{clip % 2}.wav"), 10 * number + clip)
    write_params(night__evaluate__n_bootstrap=100, **changes)
    for stage in (night_cut, night_scan, night_augment, night_index, night_mels):
        stage.main()
    items, classes = read_fold_table(Path("artifacts/night/balanced_audio_index.db"))
    for name, seed in (("train", 1), ("arms/baseline", 2)):
        _write_predictions(Path("artifacts/night") / name, items[items["subset"] != "train"], classes, seed)
    night_evaluate.main()


def _write_predictions(folder: Path, items: pd.DataFrame, classes: list[str], seed: int) -> None:
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    chosen = np.where(items["label"] == classes.index(HOSTILE), classes.index(FORMULA), items["label"])
    odds = rng.uniform(0.1, 1, (len(items), len(classes))) + 2 * np.eye(len(classes))[chosen]
    table = items[["fold", "subset", "item_id", "group", "is_original", "label"]].astype({"is_original": int})
    probabilities = pd.DataFrame(odds / odds.sum(axis=1, keepdims=True), columns=[f"p{n}" for n in range(len(classes))])
    table = pd.concat([table.reset_index(drop=True), probabilities], axis=1)
    table.to_csv(folder / "predictions.csv", index=False, float_format="%.9g")
    n_val, n_test = ((items["subset"] == name).sum() for name in ("val", "test"))
    folds = f"fold,epochs,selected_epoch,n_train,n_val,n_test,n_folds\n0,3,2,9,{n_val},{n_test},1\n"
    (folder / "folds.csv").write_text(folds)
    history = [f"0,{epoch},0.1,{1 / epoch:.4g},0.5,0.5\n" for epoch in (1, 2, 3)]
    (folder / "history.csv").write_text(
        "fold,epoch,learning_rate,train_loss,val_loss,val_macro_f1\n" + "".join(history)
    )
    (folder / "classes.json").write_text(json.dumps({"classes": classes}))


def write_voice() -> None:
    """What git holds of a voice run, in the working folder: nothing else is there to be read."""
    write_params()
    metrics = {
        "test": {f"voice_{name}": 0.75 for name in ("auroc", "auroc_low", "auroc_high", "best_auroc", "baseline_auroc")}
        | {"voice_gain": 0.05, "voice_n": 40},
        "details": {"n_members": 2},
        "scan": {"used": 90},
        "subdbs": {f"subdb{n}": {"patient": {"auroc": {"value": 0.7, "low": 0.6, "high": None}}} for n in (3, 5)},
        "tables": {
            "folds": 3,
            "patients": {"surveyed": 45, "unlabelled": "<5", "no_image": 0, "not_in_split": "withheld"}
            | {"in_tables": 40, "positive_in_tables": 12},
            "recordings": {"listed": 95, "in_tables": 90, "quarantined": 5, "unlabelled": 0, "ignored": 0},
            "shortcut_balanced_accuracy": {"chance": 0.5, "notable_above": 0.7, "level": 0.8, "duration": None},
            "train": {"subdb3": {"patients_mean": 20.0, "positive_share_mean": "<5", "recordings_mean": 40.5}},
        },
    }
    metrics |= {"clinical": _clinical(), "confounders": _confounders()}
    for name, tree in metrics.items():
        path = Path(f"metrics/voice/{name}.json")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(tree))
    names = ("auroc", "auroc_pooled", "balanced_accuracy", "sensitivity", "specificity", "auprc", "brier")
    scores = [f"{of},#222222,{score},0.7,0.6,0.8,\n" for of in ("soft mean", "baseline") for score in names]
    curve = "one,one 0.7,#4c78a8,{0},{0}\none,one 0.7,#4c78a8,1,1\n"
    plots = {
        "ensemble/scores": "of,colour,score,value,low,high,reason\n" + "".join(scores),
        "ensemble/differences": "of,colour,reference,score,value,low,high\n"
        "soft mean minus baseline,#222222,baseline,auroc,0.05,-0.1,0.2\n",
        "ensemble/roc": "curve,label,colour,fpr,tpr\n" + curve.format(0),
        "ensemble/pr": "curve,label,colour,recall,precision\n" + curve.format(0.5),
        "ensemble/calibration": "curve,label,colour,predicted,observed\n" + curve.format(0.2),
        "voice_clinical/decision": "curve,label,colour,threshold,net_benefit\nsoft_mean,soft mean,#222222,0.02,0.2\n"
        "soft_mean,soft mean,#222222,0.5,0.1\nchance,treat none,#8a8a8a,0.02,0\n",
        "voice/training": "subdb,epoch,train_loss\n3,1,0.9\n3,2,0.4\n5,1,0.8\n5,2,0.5\n",
    }
    for name, text in plots.items():
        path = Path(f"plots/{name}.csv")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    answer = "# Did it help?\n\nForty patients,\ntwo members.\n\n| a |\n| --- |\n| 1 |\n\n- Networks at all: +0.05.\n"
    Path("plots/ensemble/answer.md").write_text(answer)


def _clinical() -> dict[str, Any]:
    """Of two methods, one with a cell that is withheld."""
    names = ("sensitivity", "specificity", "ppv", "npv", "lr_positive", "lr_negative")
    scores: dict[str, Any] = {name: {"value": 0.7, "low": 0.6, "high": 0.8} for name in names}
    scores |= {f"calibration_{name}": {"value": None, "low": None, "high": None, "reason": "r"} for name in _LINE}
    scores["at_specificity"] = {"0.9": {"sensitivity": {"value": 0.4, "low": 0.2, "high": 0.6}}}
    counts = {"true_positive": "withheld", "false_negative": "withheld", "false_positive": 11, "true_negative": 17}
    methods = {name: {**scores, "counts": counts} for name in ("soft_mean", "baseline", "subdb3")}
    return {"n": 40, "n_positive": 12, "prevalence": 0.3, "methods": methods}


_LINE = ("slope", "intercept")


def _confounders() -> dict[str, Any]:
    """Age explains it all; what a patient answered is a name that would be markup."""
    high, none = {"value": 0.9, "low": 0.8, "high": 0.95}, {"value": None, "low": None, "high": None, "reason": "r"}
    side = {"n": "withheld", "blank": "withheld", "mean": 61.5, "sd": 7.25, "median": 60.0}
    counts = {"blank": 0, HOSTILE: 20}
    return {
        "columns": ["age", "device"],
        "answer": ["Age alone: AUROC 0.900."],
        "voice": high,
        "voice_over_folds": high,
        "alone": {"age": high, "device": none, "all": high},
        "matched": {"age": {"voice": none, "n_pairs": None}, "device": {"voice": high, "n_pairs": 60}},
        "matched_over_folds": {"age": {"voice": {**high, "value": 0.45}, "n_pairs": 70}},
        "strata": {"device": {HOSTILE: {"voice": none, "n_pairs": None}}},
        "added": {"difference": {"value": -0.01, "low": -0.05, "high": 0.03}},
        "table_one": {
            "age": {"kind": "numbers", "classes": {"false": side, "true": {**side, "mean": None}}, "smd": None},
            "device": {
                "kind": "categories",
                "classes": {"false": {"counts": counts}, "true": {"counts": counts}},
                "smd": 0.1,
            },
        },
    }
