"""Embeddings beside the baseline on real clips, with few and with all of them: a real pretrained model, no network.

    python bench/embeddings.py --clips DIR [--workers 2] [--models FILE.yaml] [--curve FILE.csv]

DIR holds ESC's clips, a folder a class. The model is Google's speech embedding as openwakeword 0.4.0 carries it (two
ONNX files, joined into one here), fetched with pip into a temporary folder: no dependency, and never in git. FILE.yaml
names others instead, as night.embed.models does. Protocol: ESC's own folds, no validation set. Leaves with 1 if any
byte of an arm depends on the number of workers.
"""

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pandas as pd
from night_copy import Cost, machine, make_copy, make_parser, pin, run, set_params
from onnx import compose, helper
from ruamel.yaml import YAML

PACKAGE = "openwakeword==0.4.0"
N_SAMPLES = 12_640  # whose mel has the 76 frames that the embedding takes
STAGES = ("night_cut", "night_scan", "night_augment", "night_index", "night_mels", "night_baseline")
ARMS = Path("artifacts/night/arms")


def speech_embedding(folder: Path) -> dict[str, Any]:
    """Fetch the package unless it is there, join its graphs from 16-bit samples to a vector, and say how to feed it."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), PACKAGE]
    if not any(folder.glob("*.whl")):
        subprocess.run(command, check=True)
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
        parts = [
            onnx.load_model_from_string(wheel.read(f"openwakeword/resources/models/{name}.onnx"))
            for name in ("melspectrogram", "embedding_model")
        ]
    mel, embedding = (compose.add_prefix(part, prefix) for part, prefix in zip(parts, ("mel_", "net_"), strict=True))
    heard = mel.graph.output[0].name
    mel.graph.node.extend(  # (batch, 1, frames, bands) in dB -> as the package feeds it: x / 10 + 2, channels last
        [
            helper.make_node("Constant", [], ["tenth"], value_float=0.1),
            helper.make_node("Constant", [], ["two"], value_float=2.0),
            helper.make_node("Mul", [heard, "tenth"], ["scaled"]),
            helper.make_node("Add", ["scaled", "two"], ["shifted"]),
            helper.make_node("Transpose", ["shifted"], ["image"], perm=[0, 2, 3, 1]),
        ]
    )
    mel.graph.output[0].CopyFrom(helper.make_tensor_value_info("image", onnx.TensorProto.FLOAT, ["n", 76, 32, 1]))
    joined = compose.merge_models(mel, embedding, io_map=[("image", embedding.graph.input[0].name)])
    path = folder / "speech_embedding.onnx"
    path.write_bytes(joined.SerializeToString())
    return {
        "file": str(path),
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "sample_rate_hz": 16_000,
        "window_seconds": N_SAMPLES / 16_000,
        "hop_seconds": 0.4,
        "scaling": "fixed",
        "level": 32_768.0,
        "output": joined.graph.output[0].name,
        "pooling": "both",
        "copies": False,
        "upsample": False,
        "licence": "Apache-2.0 (Google's model); openwakeword says CC BY-NC-SA 4.0 of the models it carries",
        "source": f"PyPI, {PACKAGE}; tfhub.dev/google/speech_embedding/1",
        "training_data": ["spoken keywords in clips from YouTube (arXiv 2002.01322)"],
        "mel": None,
    }


def main() -> None:
    """Run the arms in a copy of the checkout, and print what they reach and cost."""
    parser = make_parser(__doc__)
    parser.add_argument("--models", type=Path, help="a YAML map by name, as night.embed.models")
    parser.add_argument("--curve", type=Path, help="where the learning curve is kept")
    arguments = parser.parse_args()
    cores = pin(arguments.workers)
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        folder = Path(name)
        models = YAML(typ="safe").load(arguments.models) if arguments.models else {"speech": speech_embedding(folder)}
        copy = make_copy(folder, arguments.clips.resolve(), arguments.workers)
        set_params(copy, protocol(arguments.clips) | {"night.embed.models": models})
        spent = {"baseline": [run([sys.executable, f"src/{stage}.py"], copy) for stage in STAGES][-1]}
        same = True
        for model in models:
            spent[model] = embed(copy, model)
            before = bytes_of(copy, model)
            set_params(copy, {"runtime.workers": 1})
            embed(copy, model)
            same &= bytes_of(copy, model) == before
            set_params(copy, {"runtime.workers": arguments.workers})
        curve = arguments.curve or folder / "curve.csv"
        command = ["-m", "evensong.cli", "learning-curve", "night", "--out", str(curve.resolve())]
        run([sys.executable, *command], copy, {"PYTHONPATH": "src"})
        print(machine(cores))
        for arm, cost in spent.items():
            print(describe(copy / ARMS / arm, cost))
        print(f"bytes of the arms with 1 and {arguments.workers} workers: {'equal' if same else 'DIFFERENT'}")
        print(pd.read_csv(curve).to_string(index=False))
    sys.exit(0 if same else 1)


def protocol(clips: Path) -> dict[str, Any]:
    """ESC's sources and folds, no copies in the pool, and mels of whole clips."""
    per_class = max(len(list(folder.iterdir())) for folder in clips.iterdir() if folder.is_dir())
    folds = {path.name[0] for path in clips.rglob("*-*")}
    return {
        "night.scan.group_pattern": r"^\d-(\d+)-",
        "night.augment.target_samples": per_class,
        "night.index.n_folds": len(folds),
        "night.index.fold_pattern": r"^(\d)-",
        "night.index.validation": "none",
        "night.mels.clip_seconds": 5,
        "night.mels.fmin_hz": 20,
        "night.mels.n_mels": 64,
        "night.mels.n_fft": 1024,
        "train.select": "last",
    }


def embed(copy: Path, model: str) -> Cost:
    """What both stages of an arm cost."""
    one, two = (run([sys.executable, f"src/night_{stage}.py", model], copy) for stage in ("embed", "head"))
    return Cost(one.wall_s + two.wall_s, one.cpu_s + two.cpu_s)


def bytes_of(copy: Path, model: str) -> dict[str, bytes]:
    """Every file of an arm, and of the vectors below it."""
    folders = [copy / "artifacts/night/embed" / model, copy / ARMS / model]
    return {str(path): path.read_bytes() for folder in folders for path in sorted(folder.iterdir())}


def describe(arm: Path, cost: Cost) -> str:
    """Accuracy of an arm by fold and over all test originals."""
    table = pd.read_csv(arm / "predictions.csv").query("subset == 'test' and is_original == 1")
    names = [name for name in table if name[0] == "p" and name[1:].isdigit()]
    is_right = np.argmax(table[names].to_numpy(), axis=1) == table["label"]
    folds = ", ".join(f"{100 * share:.1f}" for share in is_right.groupby(table["fold"]).mean())
    return (
        f"{arm.name:12} {100 * is_right.mean():.1f} % of {len(table)} test clips (folds: {folds}); "
        f"{cost.wall_s:.0f} s, CPU {cost.cpu_s:.0f} s"
    )


if __name__ == "__main__":
    main()
