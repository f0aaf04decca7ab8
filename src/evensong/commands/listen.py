"""evensong predict, review, export: what a trained model is for."""

from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

import click

from evensong.commands.frame import PATH, leaf
from evensong.errors import ParamsError
from evensong.run.machine import n_cores

NIGHT_MODEL = Path("artifacts/night/train")
INDEX = Path("artifacts/night/balanced_audio_index.db")
MELS = Path("artifacts/night/mels")
POOL, POOL_TABLE = Path("artifacts/night/pool"), Path("artifacts/night/pool.csv")
_ONLY = {  # options of predict by whose models they are for
    "night": (
        *("all_windows", "raven", "audacity", "birdnet", "hop_seconds", "min_score", "include", "exclude"),
        *("clock", "recorder_clock", "hours", "activity", "segments"),
    ),
    "voice": ("survey", "label", "prevalence"),
}
_Option = TypeVar("_Option", bound=Callable[..., Any])

_model = click.option(
    "--model",
    type=PATH,
    default=NIGHT_MODEL,
    metavar="MODEL",
    show_default=True,
    help="A training folder or one fold, or an embedding's arm; predict takes an exported .onnx, too.",
)


def _file(name: str, metavar: str, told: str) -> Callable[[_Option], _Option]:
    return click.option(name, type=PATH, metavar=metavar, help=told)


@leaf(
    "predict",
    "evensong predict nights/ --out detections.csv",
    "evensong predict nights/ --out d.csv --raven tables/ --min-score 0.7",
    "evensong predict nights/ --out d.csv --segments listen/ --clock Europe/Zurich",
    "evensong predict recordings/ --model artifacts/voice/train --survey survey.csv",
)
@click.argument("paths", nargs=-1, required=True, type=PATH, metavar="PATH...")
@_model
@_file(
    "--out",
    "FILE",
    ".csv, .parquet or .jsonl, one row a detection (default: standard output); beside it an account of every "
    "recording, and the scores, from which a run that was killed goes on.",
)
@click.option("--all-windows", is_flag=True, help="In that table one row a window, with all scores.")
@_file("--raven", "DIR", "A selection table a recording; FILE.txt: one in all.")
@_file("--audacity", "DIR", "One label track a recording.")
@_file("--birdnet", "FILE.csv", "Detections in BirdNET's columns.")
@click.option(
    "--hop-seconds", type=float, metavar="S", help="Distance of two windows (default: half a window, in whole frames)."
)
@click.option(
    "--min-score",
    type=float,
    metavar="P",
    help="Of a detection of any class (default: the thresholds of night_detect, or 0.5 without any).",
)
@_file("--thresholds", "FILE", "Of night_detect or voice_evaluate (default: those beside the model's folder).")
@click.option("--include", multiple=True, metavar="CLASS", help="Report these classes only.")
@click.option("--exclude", multiple=True, metavar="CLASS", help="Do not report this class.")
@click.option(
    "--clock",
    metavar="ZONE",
    help="Tell the moment of each detection, from the recording's metadata or name, as in Europe/Zurich or UTC+1.",
)
@click.option(
    "--recorder-clock", metavar="ZONE", help="What recorders were set to, where they do not say (default: --clock)."
)
@click.option("--hours", metavar="21:00-05:00", help="Only what begins in these hours by the clock.")
@_file("--activity", "DIR", "Counts by night and by hour, and their figure; needs --clock.")
@_file("--segments", "DIR", "Detections to listen to, and review.csv to fill in (evensong review).")
@click.option("--segments-per-class", type=int, default=20, metavar="N", show_default=True, help="At most.")
@click.option("--segments-per-file", type=int, default=5, metavar="N", show_default=True, help="At most, of a class.")
@click.option(
    "--segments-by",
    type=click.Choice(["random", "spread", "highest"]),
    default="random",
    show_default=True,
    help="Drawn, drawn evenly over the range of scores, or the likeliest, which say nothing of precision.",
)
@click.option("--segments-seed", type=int, default=42, metavar="N", show_default=True, help="Of the draws.")
@click.option(
    "--workers", type=int, default=n_cores, metavar="N", help="Processes, a recording each (default: one a core)."
)
@click.option(
    "--backend",
    type=click.Choice(["local", "ray"]),
    default="local",
    show_default=True,
    help="This machine's cores, or the Ray cluster at RAY_ADDRESS, or one of these cores.",
)
@_file("--survey", "FILE.csv", "Voice models: healthCode and diagnosis of these people, for tables of scores.")
@click.option("--label", metavar="COLUMN", help="Of the survey (default: voice.labels.column).")
@click.option("--prevalence", type=float, metavar="P", help="Voice models: also the scores at this share of class 1.")
def predict(**given: Any) -> None:
    """Score recordings of any length, window by window; with voice models, people.

    PATH is a recording or a folder of recordings. Windows of the model's clip_seconds cover every sample; the last one
    ends with the recording. Recordings that cannot be used are listed, the others are scored, and the exit code is
    then 3. With a voice model PATH is one folder, laid out as data/voice/recordings; --out has a row a person.
    """
    from evensong.listen.listeners import track_of

    track = track_of(given["model"])
    _refuse_others(track, given)
    if track == "voice":
        from evensong.listen.people import predict_people

        print(*predict_people(_people_request(given)), sep="\n")
    else:
        from evensong.listen.predict import predict

        predict(_request(given))


def _refuse_others(track: str, given: Mapping[str, Any]) -> None:
    """Refuse options that mean nothing for this model, whose answer might be mistaken for theirs."""
    other = "voice" if track == "night" else "night"
    wrong = [name for name in _ONLY[other] if given[name] not in (None, False, ())]
    if wrong:
        named = ", ".join(f"--{name.replace('_', '-')}" for name in wrong)
        raise ParamsError(f"{named}: for {other} models, and --model {given['model']} is none")


def _people_request(given: Mapping[str, Any]) -> Any:
    from evensong.listen.people import DEFAULT_OUT, PeopleRequest

    if len(given["paths"]) != 1:
        raise ParamsError("a voice model scores one cohort: name the one folder that holds its recordings")
    return _asked(PeopleRequest, given, recordings=given["paths"][0], out=given["out"] or DEFAULT_OUT)


def _request(given: Mapping[str, Any]) -> Any:
    from evensong.listen.clock import Clock, hours_of, zone_of
    from evensong.listen.predict import Request
    from evensong.listen.segments import Sample

    zone, recorder = given["clock"], given["recorder_clock"] or given["clock"]
    sample = [given[f"segments_{name}"] for name in ("per_class", "per_file", "by", "seed")]
    return _asked(
        Request,
        given,
        named=given["paths"],
        clock=zone and Clock(zone_of(zone, "--clock"), zone_of(recorder, "--recorder-clock")),
        hours=given["hours"] and hours_of(given["hours"]),
        segments=given["segments"] and Sample(given["segments"], *sample),
    )


def _asked(kind: type[Any], given: Mapping[str, Any], **own: Any) -> Any:
    """A request whose fields are the options of their names, but for its own."""
    return kind(**{one.name: given[one.name] for one in fields(kind) if one.name not in own}, **own)


@leaf("review", "evensong review listen/review.csv --annotator 'A. Listener'")
@click.argument("file", type=PATH, metavar="REVIEW.csv")
@click.option("--annotator", default="", metavar="NAME", help="Who has listened.")
@click.option("--confidence", type=float, default=0.95, metavar="P", show_default=True, help="Of intervals.")
def review(file: Path, annotator: str, confidence: float) -> None:
    """Turn a filled-in review.csv into annotations and precision.

    REVIEW.csv is as predict --segments has written it, with what a person filled in under verdict (right or wrong) and
    other_label. Write beside it annotations.csv, for data/field, and precision.csv, by class and threshold.
    """
    from evensong.listen.review import review

    print(*review(file, annotator=annotator, confidence=confidence), sep="\n")


@click.group("export")
def export() -> None:
    """Write a model, its mels or its sounds for other programs."""


@leaf(
    "onnx",
    "evensong export onnx --out night.onnx",
    "evensong export onnx --model artifacts/night/arms/perch --out perch.onnx",
)
@_model
@click.option("--out", type=PATH, required=True, metavar="FILE.onnx", help="And FILE.json beside it.")
@click.option("--joined", is_flag=True, help="Of an arm: with its embedding, whose licence the file is then under.")
def onnx(model: Path, out: Path, joined: bool) -> None:
    """Write all folds as one ONNX file, checked against the model.

    Of an embedding's arm the file holds the heads, and takes the embedding's vectors.
    """
    from evensong.listen.listeners import is_arm

    if is_arm(model):
        from evensong.listen.arm_onnx import export_arm

        difference, of = export_arm(model, out, joined=joined), "the arm"
    elif joined:
        raise ParamsError(f"--joined: {model} is no arm of an embedding; a network is exported whole without it")
    else:
        from evensong.listen.onnx import export_onnx

        difference, of = export_onnx(model, out), "torch"
    print(f"{out}, at most {difference:.2g} from {of}; {out.with_suffix('.json')} says what goes in")


@leaf("mels", "evensong export mels --out tree", "evensong export mels --out tree --fold 2")
@click.option("--out", type=PATH, required=True, metavar="DIR", help="A new folder.")
@click.option("--fold", type=int, metavar="K", help="Whose split, where the index has several folds.")
def mels(out: Path, fold: int | None) -> None:
    """Write the packed mels as split/class/clip.npy."""
    from evensong.listen.folders import export_mels

    n_files = export_mels(INDEX, MELS, out, fold)
    print(f"{n_files} mels in {out}")


@leaf(
    "pool",
    "evensong export pool owl/hoot_original.wav --out listen",
    "evensong export pool owl --out owls",
    "evensong export pool --out every-sound",
)
@click.argument("names", nargs=-1, metavar="[CLASS|FILE]...")
@click.option("--out", type=PATH, required=True, metavar="DIR", help="A new folder.")
def pool(names: tuple[str, ...], out: Path) -> None:
    """Write sounds of the pool as WAV files, to listen to.

    CLASS and FILE are names as in artifacts/night/pool.csv; without any, all are written. Every file is checked against
    its digest there. A pool of more than night.augment.pack_above files is one tar a class, and needs this command, or
    tar, to be heard.
    """
    from evensong.listen.folders import export_pool

    print(f"{export_pool(POOL_TABLE, POOL, names, out)} sounds in {out}")


export.add_command(onnx)
export.add_command(mels)
export.add_command(pool)

COMMANDS = (predict, review, export)
