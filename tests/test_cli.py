"""The command line: options reach their module, and a failure its exit code."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

from evensong import cli
from evensong.commands.listen import INDEX, MELS, POOL, POOL_TABLE
from evensong.doctor import Finding
from evensong.errors import DataError, IntegrityError, ParamsError, ResourceError
from evensong.importing.bring import Brought, Wish
from evensong.listen.segments import Sample
from evensong.look import Seen
from evensong.verify import Examined

SRC = Path(__file__).parents[1] / "src"


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch):
    """Run a command line in this process, without the signal handling of a stage."""
    monkeypatch.setattr(cli, "run_stage", lambda command: command())
    return cli.main


def paths_of(group: click.Group, before: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Every command as the words that call it."""
    own = [before] if before else []
    for name, command in group.commands.items():
        own += paths_of(command, (*before, name)) if isinstance(command, click.Group) else [(*before, name)]
    return own


def words(line: str) -> list[str]:
    return line.split()


def calls(monkeypatch: pytest.MonkeyPatch, target: str, answer: object = None) -> list[tuple]:
    seen: list[tuple] = []

    def record(*arguments: object) -> object:
        seen.append(arguments)
        return answer

    monkeypatch.setattr(target, record)
    return seen


def test_predict_options(run, monkeypatch) -> None:
    seen = calls(monkeypatch, "evensong.listen.predict.predict")
    options = "--model m --out o.csv --raven r --hop-seconds 1.5 --min-score 0.7 --workers 3 --all-windows"
    more = "--clock Europe/Zurich --recorder-clock UTC+1 --hours 21:00-05:00 --activity a --include owl --exclude rain"
    run(words(f"predict a.wav nights {options} {more} --audacity l --birdnet b.csv --thresholds t.json"))
    ((request,),) = seen
    assert request.named == (Path("a.wav"), Path("nights"))
    assert (request.model, request.out, request.raven) == (Path("m"), Path("o.csv"), Path("r"))
    assert (request.hop_seconds, request.min_score, request.workers) == (1.5, 0.7, 3)
    assert (request.clock.zone.key, request.clock.recorder.utcoffset(None).seconds) == ("Europe/Zurich", 3_600)
    assert (request.hours.first.hour, request.hours.last.hour) == (21, 5)
    assert (request.include, request.exclude, request.all_windows) == (("owl",), ("rain",), True)
    outs = request.activity, request.audacity, request.birdnet, request.thresholds
    assert outs == (Path("a"), Path("l"), Path("b.csv"), Path("t.json"))


def test_segments_and_review_options(run, monkeypatch, capsys) -> None:
    seen = calls(monkeypatch, "evensong.listen.predict.predict")
    options = "--segments s --segments-per-class 7 --segments-per-file 2 --segments-by spread --segments-seed 3"
    run(words(f"predict a.wav {options}"))
    ((request,),) = seen
    assert request.segments == Sample(Path("s"), 7, 2, "spread", 3)
    monkeypatch.setattr("evensong.listen.review.review", lambda path, **options: [str(path), str(options)])
    run(words("review s/review.csv --annotator me --confidence 0.9"))
    assert capsys.readouterr().out == "s/review.csv\n{'annotator': 'me', 'confidence': 0.9}\n"


def test_predict_defaults(run, monkeypatch) -> None:
    seen = calls(monkeypatch, "evensong.listen.predict.predict")
    run(["predict", "a.wav"])
    ((request,),) = seen
    assert request.model == Path("artifacts/night/train")
    assert (request.out, request.raven, request.hop_seconds, request.min_score) == (None, None, None, None)
    assert request.workers >= 1


def test_learning_curve_options(run, monkeypatch, capsys) -> None:
    seen: list[tuple] = []
    monkeypatch.setattr("evensong.report.learning_curve.learning_curve", lambda *a, **k: seen.append((a, k)))
    monkeypatch.setattr("evensong.report.learning_curve.describe_curve", lambda _: "the table")
    run(words("learning-curve night --draws 3 --out curves/a.csv"))
    ((arguments, named),) = seen
    assert arguments == (Path(), Path("curves/a.csv"))
    assert named["draws"] == 3
    assert capsys.readouterr().out == "the table\n"
    for wrong in ("--draws 0", "--out a.png"):
        with pytest.raises(ParamsError, match="--draws is 1 or more"):
            run(words(f"learning-curve night {wrong}"))


def test_export_options(run, monkeypatch, capsys) -> None:
    onnx = calls(monkeypatch, "evensong.listen.onnx.export_onnx", 2e-7)
    mels = calls(monkeypatch, "evensong.listen.folders.export_mels", 12)
    run(words("export onnx --model m --out night.onnx"))
    run(words("export mels --out tree --fold 2"))
    pool = calls(monkeypatch, "evensong.listen.folders.export_pool", 3)
    run(words("export pool owl owl/hoot.wav --out sounds"))
    assert pool == [(POOL_TABLE, POOL, ("owl", "owl/hoot.wav"), Path("sounds"))]
    assert onnx == [(Path("m"), Path("night.onnx"))]
    assert mels == [(INDEX, MELS, Path("tree"), 2)]
    assert capsys.readouterr().out.splitlines() == [
        "night.onnx, at most 2e-07 from torch; night.json says what goes in",
        "12 mels in tree",
        "3 sounds in sounds",
    ]


def test_results_of_one_track_or_both(run, monkeypatch, capsys) -> None:
    seen = calls(monkeypatch, "evensong.report.headline.headline", "the table")
    run(["results"])
    run(["results", "voice"])
    assert seen == [(Path(), ("night", "voice")), (Path(), ["voice"])]
    assert capsys.readouterr().out == "the table\nthe table\n"


def test_doctor_and_verify_look_at_the_working_folder(run, monkeypatch, capsys) -> None:
    doctor = calls(monkeypatch, "evensong.doctor.doctor")
    verify = calls(monkeypatch, "evensong.verify.verify", "all well")
    run(["doctor"])
    run(["verify"])
    preflight = calls(monkeypatch, "evensong.preflight.check_data", "all read")
    run(["doctor", "--data"])
    assert preflight == [(Path(),)]
    assert doctor == verify == [(Path(),)]
    assert capsys.readouterr().out == "all well\nall read\n"


@pytest.mark.parametrize(
    "line",
    [
        "",
        "predict",
        "export",
        "export onnx",
        "export mels",
        "export pool owl",
        "predict a.wav --min-score high",
        "review",
        "predict a.wav --segments-by size",
        "sing",
    ],
)
def test_a_wrong_command_line_is_code_2(line: str, capsys) -> None:
    with pytest.raises(SystemExit) as left:
        cli.main(words(line))
    assert left.value.code == ParamsError.exit_code == 2
    assert "Usage: evensong" in capsys.readouterr().err


@pytest.mark.parametrize("path", sorted(paths_of(cli.evensong)), ids=" ".join)
def test_help_fits_80_columns_and_its_examples_parse(path: tuple[str, ...], capsys) -> None:
    with pytest.raises(SystemExit) as left:
        cli.parse([*path, "--help"])
    assert left.value.code == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert not any(line.endswith("...") and line.startswith("  ") for line in lines), "a short help that is cut off"
    examples = lines[lines.index("Examples:") + 1 :] if "Examples:" in lines else []
    for example in examples:
        typed = shlex.split(example.replace("<(", "").removesuffix(")"))
        after = typed[typed.index("evensong") + 1 :]
        cli.parse([word for n, word in enumerate(after) if not {"<", "|"} & {*after[: n + 1]}])


def test_completion_knows_commands_and_options(run, capsys, monkeypatch) -> None:
    run(["completion", "bash"])
    assert "_EVENSONG_COMPLETE=bash_complete" in capsys.readouterr().out
    for typed, wanted in (
        ("evensong ver", "plain,verify"),
        ("evensong predict --segments-p", "plain,--segments-per-file"),
    ):
        monkeypatch.setenv("_EVENSONG_COMPLETE", "bash_complete")
        monkeypatch.setenv("COMP_WORDS", typed)
        monkeypatch.setenv("COMP_CWORD", str(len(typed.split()) - 1))
        with pytest.raises(SystemExit):
            cli.main([])
        assert wanted in capsys.readouterr().out.splitlines()


def test_json_is_one_document_and_the_exit_code_is_kept(run, monkeypatch, capsys) -> None:
    monkeypatch.setattr("evensong.report.headline.scores_of", lambda root, tracks: {one: [] for one in tracks})
    run(words("results voice --json"))
    assert json.loads(capsys.readouterr().out) == {"voice": []}
    monkeypatch.setattr("evensong.doctor.diagnose", lambda root: [Finding("ok", "a"), Finding("bad", "b")])
    with pytest.raises(ResourceError, match="1 check failed"):
        run(words("doctor --json"))
    assert json.loads(capsys.readouterr().out)[1] == {"level": "bad", "what": "b"}
    monkeypatch.setattr("evensong.verify.examine", lambda root: Examined(1, 2, 3, ["a: differs"], []))
    with pytest.raises(IntegrityError, match="a: differs"):
        run(words("verify --json"))
    assert json.loads(capsys.readouterr().out)["faults"] == ["a: differs"]


def test_import_and_scan_options(run, monkeypatch, capsys) -> None:
    seen: list[Wish] = []
    monkeypatch.setattr(
        "evensong.importing.bring.bring", lambda root, wish: seen.append(wish) or Brought([], {"a": 1}, "no")
    )
    with pytest.raises(DataError, match="no"):
        run(words("import mine --as esc --into data/night --group-pattern (a) --set-params --dry-run --json"))
    assert seen == [Wish(Path("mine"), "esc", Path("data/night"), "(a)", is_dry=True, sets_params=True)]
    assert json.loads(capsys.readouterr().out) == {"a": 1}
    monkeypatch.setattr("evensong.look.look_at", lambda part: Seen([part], {"n": 1}, DataError("bad")))
    with pytest.raises(DataError, match="bad"):
        run(words("scan field --json"))
    assert json.loads(capsys.readouterr().out) == {"field": {"n": 1}}


def test_new_and_report_options(run, monkeypatch, capsys) -> None:
    made = calls(monkeypatch, "evensong.project.new_project", ["made"])
    run(words("new mine --track night --preset owl --preset small_set"))
    assert made == [(Path("mine"), "night", ("owl", "small_set"))]
    written = calls(monkeypatch, "evensong.report.appendix.write_with_appendix", ["commit x"])
    with pytest.raises(ParamsError, match=r"--out night\.wav: a page; the name must end in \.html"):
        run(words("report voice --out night.wav"))
    assert not written
    run(["report", "voice"])
    assert written == [(Path(), "voice", Path("voice_report.html"))]
    assert capsys.readouterr().out.splitlines()[1:] == [
        "artifacts/voice/report.html: the page of the run",
        "voice_report.html: the same, with commit x",
    ]


def test_forget_does_not_repeat_an_id(capsys) -> None:
    ids = ["00000000-0000-4000-8000-000000000001", "00000000-0000-4000-8000-000000000002"]
    with pytest.raises(ParamsError, match="2 ids") as refused:
        cli.parse(["forget", *ids])()
    assert not any(one in str(refused.value) for one in ids)


def test_help_loads_no_numerical_library() -> None:
    code = "import sys\ntry:\n    main(['--help'])\nexcept SystemExit:\n    print({'torch', 'numpy'} & {*sys.modules})"
    done = subprocess.run(
        [sys.executable, "-c", f"from evensong.cli import main\n{code}"],
        env={**os.environ, "PYTHONPATH": str(SRC)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "predict" in done.stdout
    assert done.stdout.endswith("set()\n")


def test_a_failure_leaves_with_its_code_and_one_line(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "evensong.cli", "export", "mels", "--out", "."],
        env={**os.environ, "PYTHONPATH": str(SRC)}, cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr == "ERROR: --out .: is there already; choose a new folder\n"


def test_nothing_imports_listen_but_the_command_line_and_detection() -> None:
    """No other stage's result can depend on it."""
    paths = [path.relative_to(SRC) for path in SRC.rglob("*.py")]
    others = [
        path for path in paths if "listen" not in path.parts and path.name not in ("listen.py", "night_detect.py")
    ]
    assert len(others) > 30
    assert [path for path in others if "evensong.listen" in (SRC / path).read_text(encoding="utf-8")] == []
