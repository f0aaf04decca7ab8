"""evensong: what comes after training (results, predict, export), and the state of an installation (doctor, verify)."""

from evensong.run.stage import run_stage  # first: it sets the thread counts

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from evensong.errors import ParamsError
from evensong.report.headline import TRACKS, headline

NIGHT_MODEL = Path("artifacts/night/train")
INDEX = Path("artifacts/night/balanced_audio_index.db")
MELS = Path("artifacts/night/mels")


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run one subcommand and leave with its exit code."""
    options = _parser().parse_args(arguments)
    run_stage(lambda: options.run(options))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="evensong", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="command")
    results = commands.add_parser("results", help="the headline scores of the last run, and where to look next")
    results.add_argument("track", nargs="?", choices=TRACKS, help="one track only (default: both)")
    results.set_defaults(run=_results)
    seeds = commands.add_parser(
        "seeds",
        help="run a track with other seeds, and say how far its scores move",
        description="Queue experiments that differ by their seeds alone, run them, and print the spread of the "
        "headline scores. Without --runs, print that of the runs that are there.",
    )
    seeds.add_argument("track", choices=TRACKS)
    seeds.add_argument("--runs", type=int, default=0, metavar="N", help="run the seeds 1 to N that have not run yet")
    seeds.set_defaults(run=_seeds)
    curve = commands.add_parser(
        "learning-curve",
        help="macro-F1 against training clips a class",
        description="Fit the baseline and every embedding on 4, 8, 16, ... training clips a class, drawn source after "
        "source, and ask them about the test clips. The network is left out: it would be trained hundreds of times.",
    )
    curve.add_argument("track", choices=["night"])
    curve.add_argument(
        "--draws", type=int, default=20, metavar="N", help="of the training clips (default: %(default)s)"
    )
    curve.add_argument(
        "--out", type=Path, default=Path("learning_curve.csv"), metavar="FILE.csv", help="and FILE.png (%(default)s)"
    )
    curve.set_defaults(run=_learning_curve)
    _add_predict(commands)
    _add_review(commands)
    exports = commands.add_parser("export", help="write a model or its mels for other programs").add_subparsers(
        required=True, metavar="what"
    )
    _add_export_onnx(exports)
    _add_export_mels(exports)
    preset = commands.add_parser("preset", help="set params.yaml up for an animal or the size of a set (presets/)")
    preset.add_argument("name", nargs="?", help="of a preset; several may follow each other (default: list them)")
    preset.set_defaults(run=_preset)
    doctor = commands.add_parser("doctor", help="what this machine, environment and repository bring to a run")
    doctor.add_argument("--data", action="store_true", help="only whether DVC can read data/; exit code 3 if not")
    doctor.set_defaults(run=_doctor)
    verify = commands.add_parser("verify", help="hash every output and cached object anew; exit code 4 if one differs")
    verify.set_defaults(run=_verify)
    forget = commands.add_parser(
        "forget",
        help="remove every local trace of a patient who withdraws",
        description="Remove a patient's recordings, survey rows, everything made of them, and their copies in DVC's "
        "cache and notes; say what must be made anew and what lies elsewhere; prove that nothing here holds the id. "
        "The id is never printed.",
    )
    forget.add_argument("id", help="the healthCode; - reads it from standard input, so that no shell remembers it")
    forget.set_defaults(run=_forget)
    return parser


def _add_predict(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser(
        "predict",
        help="score recordings of any length, window by window",
        description="Score recordings of any length, window by window. Windows of the model's clip_seconds cover every "
        "sample; the last one ends with the recording. Recordings that cannot be used are listed, the others are "
        "scored, and the exit code is then 3.",
    )
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="recordings, and folders of recordings")
    _add_model(parser, "a training folder, one fold, or an exported .onnx")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help=".csv, .parquet or .jsonl, one row a detection (default: standard output); beside it an account of every "
        "recording, and the scores, from which a run that was killed goes on",
    )
    parser.add_argument("--all-windows", action="store_true", help="in that table one row a window, with all scores")
    parser.add_argument("--raven", type=Path, metavar="DIR", help="a selection table a recording; FILE.txt: one in all")
    parser.add_argument("--audacity", type=Path, metavar="DIR", help="one label track a recording")
    parser.add_argument("--birdnet", type=Path, metavar="FILE.csv", help="detections in BirdNET's columns")
    parser.add_argument(
        "--hop-seconds", type=float, metavar="S", help="distance of two windows (default: half a window)"
    )
    parser.add_argument(
        "--min-score",
        type=float,
        metavar="P",
        help="of a detection of any class (default: the thresholds of night_detect, or 0.5 without any)",
    )
    parser.add_argument(
        "--thresholds", type=Path, metavar="FILE", help="of night_detect (default: detect/ beside the model's folder)"
    )
    parser.add_argument("--include", action="append", default=[], metavar="CLASS", help="report these classes only")
    parser.add_argument("--exclude", action="append", default=[], metavar="CLASS", help="do not report this class")
    parser.add_argument(
        "--clock",
        metavar="ZONE",
        help="tell the moment of each detection, from the recording's metadata or name, as in Europe/Zurich or UTC+1",
    )
    parser.add_argument(
        "--recorder-clock", metavar="ZONE", help="what recorders were set to, where they do not say (default: --clock)"
    )
    parser.add_argument("--hours", metavar="21:00-05:00", help="only what begins in these hours by the clock")
    parser.add_argument(
        "--activity", type=Path, metavar="DIR", help="counts by night and by hour, and their figure; needs --clock"
    )
    parser.add_argument(
        "--segments",
        type=Path,
        metavar="DIR",
        help="detections to listen to, and review.csv to fill in (evensong review)",
    )
    parser.add_argument(
        "--segments-per-class", type=int, default=20, metavar="N", help="at most (default: %(default)s)"
    )
    parser.add_argument(
        "--segments-per-file", type=int, default=5, metavar="N", help="at most, of a class (default: %(default)s)"
    )
    parser.add_argument(
        "--segments-by",
        choices=("random", "spread", "highest"),
        default="random",
        help="drawn, drawn evenly over the range of scores, or the likeliest, which say nothing of precision "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--segments-seed", type=int, default=42, metavar="N", help="of the draws (default: %(default)s)"
    )
    parser.add_argument("--workers", type=int, metavar="N", help="processes, a recording each (default: one a core)")
    parser.set_defaults(run=_predict)


def _add_review(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser(
        "review",
        help="a filled-in review.csv: annotations, and precision by class and threshold",
        description="Read what a person filled in under verdict (right or wrong) and other_label. Write beside it "
        "annotations.csv, for data/field, and precision.csv.",
    )
    parser.add_argument("file", type=Path, metavar="review.csv", help="as predict --segments has written it")
    parser.add_argument("--annotator", default="", metavar="NAME", help="who has listened")
    parser.add_argument(
        "--confidence", type=float, default=0.95, metavar="P", help="of intervals (default: %(default)s)"
    )
    parser.set_defaults(run=_review)


def _add_export_onnx(exports: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = exports.add_parser("onnx", help="all folds as one ONNX file, checked against torch")
    _add_model(parser)
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.onnx", help="and FILE.json beside it")
    parser.set_defaults(run=_export_onnx)


def _add_export_mels(exports: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = exports.add_parser("mels", help="the packed mels as split/class/clip.npy")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="a new folder")
    parser.add_argument("--fold", type=int, metavar="K", help="whose split, where the index has several folds")
    parser.set_defaults(run=_export_mels)


def _add_model(parser: argparse.ArgumentParser, what: str = "a training folder or one fold") -> None:
    parser.add_argument("--model", type=Path, default=NIGHT_MODEL, metavar="MODEL", help=f"{what} (%(default)s)")


# Each command imports what it needs when it runs: --help and doctor need no torch.


def _results(options: argparse.Namespace) -> None:
    print(headline(Path(), [options.track] if options.track else TRACKS))


def _seeds(options: argparse.Namespace) -> None:
    from evensong.report.seeds import describe_seeds, run_seeds

    run_seeds(Path(), options.track, range(1, options.runs + 1))
    print(describe_seeds(Path(), options.track))


def _learning_curve(options: argparse.Namespace) -> None:
    from evensong.report.learning_curve import describe_curve, learning_curve
    from evensong.run.machine import n_cores

    if options.draws < 1 or options.out.suffix != ".csv":
        raise ParamsError("--draws is 1 or more, and the name of --out ends in .csv")
    print(describe_curve(learning_curve(Path(), options.out, draws=options.draws, workers=n_cores())))


def _predict(options: argparse.Namespace) -> None:
    from evensong.listen.clock import Clock, hours_of, zone_of
    from evensong.listen.predict import Request, predict
    from evensong.listen.segments import Sample
    from evensong.run.machine import n_cores

    recorder = options.recorder_clock or options.clock
    clock = options.clock and Clock(zone_of(options.clock, "--clock"), zone_of(recorder, "--recorder-clock"))
    predict(
        Request(
            named=options.paths,
            model=options.model,
            out=options.out,
            raven=options.raven,
            hop_seconds=options.hop_seconds,
            min_score=options.min_score,
            workers=n_cores() if options.workers is None else options.workers,
            thresholds=options.thresholds,
            include=options.include,
            exclude=options.exclude,
            all_windows=options.all_windows,
            audacity=options.audacity,
            birdnet=options.birdnet,
            clock=clock,
            hours=options.hours and hours_of(options.hours),
            activity=options.activity,
            segments=options.segments
            and Sample(
                options.segments,
                options.segments_per_class,
                options.segments_per_file,
                options.segments_by,
                options.segments_seed,
            ),
        )
    )


def _review(options: argparse.Namespace) -> None:
    from evensong.listen.review import review

    print(*review(options.file, annotator=options.annotator, confidence=options.confidence), sep="\n")


def _export_onnx(options: argparse.Namespace) -> None:
    from evensong.listen.onnx import export_onnx

    difference = export_onnx(options.model, options.out)
    print(f"{options.out}, at most {difference:.2g} from torch; {options.out.with_suffix('.json')} says what goes in")


def _export_mels(options: argparse.Namespace) -> None:
    from evensong.listen.mel_tree import export_mels

    n_files = export_mels(INDEX, MELS, options.out, options.fold)
    print(f"{n_files} mels in {options.out}")


def _preset(options: argparse.Namespace) -> None:
    from evensong.preset import apply_preset, describe_presets

    lines = apply_preset(Path(), options.name) if options.name else describe_presets(Path())
    print(*(lines or ["nothing to change"]), sep="\n")


def _doctor(options: argparse.Namespace) -> None:
    if options.data:
        from evensong.preflight import check_data

        print(check_data(Path()))
    else:
        from evensong.doctor import doctor

        doctor(Path())


def _verify(_options: argparse.Namespace) -> None:
    from evensong.verify import verify

    print(verify(Path()))


def _forget(options: argparse.Namespace) -> None:
    from evensong.forget import forget

    identifier = sys.stdin.readline().rstrip("\n") if options.id == "-" else options.id
    print(*forget(Path(), identifier).lines(), sep="\n")


if __name__ == "__main__":
    main()
