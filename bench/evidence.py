"""Baseline, network, embedding and both together on real clips and real patients: what each reaches and costs.

    python bench/evidence.py --clips DIR [--data DIR] [--out DIR] [--workers 1] [--epochs 40] [--voice-epochs 10]
        [--folds 5] [--subdbs 3 5 7] [--no-network] [--set KEY=VALUE ...]

The first DIR holds ESC's clips, a folder a class: presets/small_set.yaml on ESC's own folds, a fixed number of epochs
and no validation set. The second holds recordings/ and cohort/: the network is the mean of the sub-databases.
The embedding is the speech model of `bench/embeddings.py`, fetched with pip into a temporary folder. Everything runs
through the product's own stages, in DIR of --out, and a stage that has run there is not repeated.
"""

import argparse
import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from embeddings import speech_embedding
from night_copy import machine
from ruamel.yaml import YAML
from voice_folds import Arm, run, run_stage, setting, write_params

from evensong.schemas import Evaluate
from evensong.score.estimates import Units, binary_scores, make_bootstrap, multiclass_scores, score
from evensong.score.predictions import BASELINE, FUSED, Predictions, check_same_rows, read_predictions
from evensong.voice.patients import level_of, units_of

ROOT = Path(__file__).resolve().parent.parent
SETTINGS = Evaluate(seed=42, n_bootstrap=2000, confidence=0.95)
SPEECH = "speech"
NIGHT = ("cut", "scan", "augment", "index", "mels", BASELINE, f"embed {SPEECH}", f"head {SPEECH}", "train")
VOICE = ("scan", "mels", "splits", "tables", BASELINE, f"embed {SPEECH}", f"head {SPEECH}")
COSTS = {BASELINE: (BASELINE,), SPEECH: (f"embed {SPEECH}", f"head {SPEECH}")}  # the network's begin with train


def night_params(epochs: int) -> dict[str, Any]:
    """The preset for small sets, for ESC's names and clips of five seconds, and without a validation set."""
    preset = flat(YAML(typ="safe").load(ROOT / "presets/small_set.yaml"))
    return preset | {
        "night.scan.group_pattern": r"^\d-(\d+)-",
        "night.index.fold_pattern": r"^(\d)-",
        "night.index.n_folds": 3,
        "night.index.validation": "none",
        "night.mels.clip_seconds": 5,
        "night.mels.fmin_hz": 20,
        "train.select": "last",
        "train.epochs": epochs,
    }


def flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Values by dotted key."""
    found: dict[str, Any] = {}
    for name, value in tree.items():
        found |= flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return found


def run_stages(folder: Path, track: str, stages: tuple[str, ...]) -> dict[str, float]:
    """Run what has not run yet; CPU seconds by stage."""
    path = folder / "costs.json"
    costs: dict[str, float] = json.loads(path.read_text()) if path.exists() else {}
    for stage in stages:
        if stage not in costs:
            arm = Arm(stage)
            with arm.measured():
                run_stage(folder, *f"{track}_{stage}".split())
            costs[stage] = arm.cpu_s
            path.write_text(json.dumps(costs))
            print(f"{track} {stage}: {arm.cpu_s:.0f} CPU s", flush=True)
    return costs


def make_folder(folder: Path, data: Mapping[str, Path], changes: dict[str, Any], model: dict[str, Any]) -> None:
    """Data and parameters where the stages look for them."""
    if (folder / "params.yaml").exists():
        return
    for name, source in data.items():
        shutil.copytree(source, folder / name)
    track = next(iter(data)).split("/")[1]
    write_params(folder, changes | {f"{track}.embed.models": {SPEECH: model}})


def night_scores(folder: Path) -> pd.DataFrame:
    """Every arm on the test originals of all folds; sources are what the intervals draw."""
    found = read_arms(folder / "artifacts/night", [folder / "artifacts/night/train"])
    asked = with_fused({name: one.where(one.table["is_original"]).subset("test") for name, one in found.items()})
    units = {
        name: Units(one.labels, one.probabilities, one.probabilities.argmax(axis=1), one.table["group"].tolist())
        for name, one in asked.items()
    }
    return _table(units, multiclass_scores, ("accuracy", "macro_f1"))


def voice_scores(folder: Path, subdbs: list[int]) -> pd.DataFrame:
    """Every arm on the test patients of all folds."""
    members = [folder / f"artifacts/voice/train/subdb{k}" for k in subdbs]
    found = read_arms(folder / "artifacts/voice", members)
    levels = {name: level_of(one) for name, one in with_fused({n: a.by_group() for n, a in found.items()}).items()}
    units = {name: units_of(level.test, level.thresholds) for name, level in levels.items()}
    return _table(units, binary_scores, ("auroc", "balanced_accuracy"))


def read_arms(folder: Path, networks: list[Path]) -> dict[str, Predictions]:
    """The predictions of each arm; the network's are the mean over its members, where they are trained."""
    homes = {name: folder / "arms" / name for name in (BASELINE, SPEECH)}
    found = {name: _read(home) for name, home in homes.items()}
    members = [_read(network) for network in networks if network.exists()]
    for member in members[1:]:
        check_same_rows("one member", members[0], "another", member)
    if members:
        found["network"] = members[0].replaced(np.mean([one.probabilities for one in members], axis=0))
    return found


def _read(folder: Path) -> Predictions:
    classes = json.loads((folder / "classes.json").read_text(encoding="utf-8"))["classes"]
    return read_predictions(folder / "predictions.csv", len(classes))


def with_fused(arms: Mapping[str, Predictions]) -> dict[str, Predictions]:
    """The arms, which predict the same rows, and the mean of the network's and the embedding's probabilities."""
    for name, one in arms.items():
        check_same_rows(BASELINE, arms[BASELINE], name, one)
    if "network" not in arms:
        return dict(arms)
    network, other = arms["network"], arms[SPEECH]
    return {**arms, SPEECH + FUSED: network.replaced((network.probabilities + other.probabilities) / 2)}


def _table(units: Mapping[str, Units], score_set: Any, names: tuple[str, ...]) -> pd.DataFrame:
    """Scores with intervals, and the paired differences of the first from the baseline and the network."""
    bootstrap = make_bootstrap(units[BASELINE], SETTINGS, "evidence")
    scored = {arm: score(one, score_set, bootstrap) for arm, one in units.items()}
    rows = []
    for arm, one in scored.items():
        row = {"arm": arm} | {name: one.estimate(name).text() for name in names}
        others = [other for other in (BASELINE, "network") if other in scored]
        minus = {
            f"{names[0]} minus {other}": one.minus(scored[other], names[0]).text("+") if arm != other else ""
            for other in others
        }
        rows.append(row | minus)
    return pd.DataFrame(rows)


def with_costs(found: pd.DataFrame, costs: Mapping[str, float]) -> str:
    """The table with CPU seconds; both together cost what both cost."""
    spent = {arm: sum(costs[stage] for stage in stages) for arm, stages in COSTS.items()}
    spent["network"] = sum(value for stage, value in costs.items() if stage.startswith("train"))
    spent[SPEECH + FUSED] = spent["network"] + spent[SPEECH]
    return found.assign(cpu_s=found["arm"].map(spent).round()).to_string(index=False)


def run_night(arguments: argparse.Namespace, out: Path, model: dict[str, Any]) -> None:
    """The night track, and its learning curve."""
    folder, changes = out / "night", night_params(arguments.epochs) | {"runtime.workers": arguments.workers}
    (folder / "data/field").mkdir(parents=True, exist_ok=True)
    data = {f"data/night/{one.name}": one for one in arguments.clips.resolve().iterdir() if one.is_dir()}
    make_folder(folder, data, changes, model)
    costs = run_stages(folder, "night", NIGHT[:-1] if arguments.no_network else NIGHT)
    print(with_costs(night_scores(folder), costs))
    curve = folder / "curve.csv"
    if not curve.exists():
        run(["-m", "evensong.cli", "learning-curve", "night", "--out", str(curve.resolve())], folder)
    print(pd.read_csv(curve).to_string(index=False))


def run_voice(arguments: argparse.Namespace, out: Path, model: dict[str, Any]) -> None:
    """The voice track."""
    changes = {
        "voice.subdbs": arguments.subdbs,
        "voice.splits.n_folds": arguments.folds,
        "train.epochs": arguments.voice_epochs,
        "runtime.workers": arguments.workers,
    }
    data = {f"data/voice/{name}": arguments.data.resolve() / name for name in ("recordings", "cohort")}
    make_folder(out / "voice", data, changes | dict(arguments.set), model | {"upsample": True})
    members = [] if arguments.no_network else [f"train {k}" for k in arguments.subdbs]
    costs = run_stages(out / "voice", "voice", (*VOICE, *members))
    print(with_costs(voice_scores(out / "voice", arguments.subdbs), costs))


def main() -> None:
    """Run the bench."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=Path)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--voice-epochs", type=int, default=10)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--subdbs", type=int, nargs="+", default=[3, 5, 7])
    parser.add_argument("--no-network", action="store_true", help="the other arms only")
    parser.add_argument("--set", type=setting, nargs="+", default=[], metavar="KEY=VALUE")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        out = arguments.out or Path(name)
        out.mkdir(parents=True, exist_ok=True)
        model = speech_embedding(out)
        print(machine(range(arguments.workers)))
        if arguments.clips:
            run_night(arguments, out, model)
        if arguments.data:
            run_voice(arguments, out, model)


if __name__ == "__main__":
    main()
