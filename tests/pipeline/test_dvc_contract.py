"""dvc.yaml and the code say the same: scripts, code dependencies, params, outputs."""

import ast
from typing import Any

import pytest
from tests.pipeline.contract import DVC_YAML, PARAMS, ROOT, SRC, STAGES, loaded_sections, outputs
from tools.sync_deps import LIGHT_STAGES, import_closure


def test_stages_and_scripts_match() -> None:
    assert set(STAGES) == {path.stem for path in SRC.glob("*.py")}


@pytest.mark.parametrize("name", STAGES)
def test_command_runs_the_script_of_the_same_name(name: str) -> None:
    assert STAGES[name]["cmd"].split()[:2] == ["python", f"src/{name}.py"]


@pytest.mark.parametrize("name", sorted(set(STAGES) - LIGHT_STAGES))
def test_code_deps_equal_the_import_closure(name: str) -> None:
    listed = {dep for dep in STAGES[name]["deps"] if dep.endswith(".py")}
    assert listed == import_closure(SRC / f"{name}.py")


@pytest.mark.parametrize("name", STAGES)
def test_params_are_the_sections_the_script_loads(name: str) -> None:
    assert set(STAGES[name].get("params", [])) == loaded_sections(SRC / f"{name}.py") - {"", "runtime"}


@pytest.mark.parametrize("name", STAGES)
def test_params_keys_exist(name: str) -> None:
    for key in STAGES[name].get("params", []):
        value: Any = PARAMS
        for part in key.split("."):
            value = value[part] if "$" not in part else value.get(part)


def test_scripts_are_short() -> None:
    for path in SRC.glob("*.py"):
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 60, path.name


def test_outputs_lie_where_they_belong() -> None:
    for stage in STAGES.values():
        for path, options in outputs(stage):
            assert path.split("/")[0] in ("artifacts", "metrics", "plots")
            in_git = path.startswith(("metrics/", "plots/"))
            assert options == ({"cache": False} if in_git else {})


def test_every_stage_comes_after_the_params_check() -> None:
    makers = {path: name for name, stage in STAGES.items() for path, _ in outputs(stage)}
    for name in set(STAGES) - {"check_params"}:
        waiting, seen = [name], set()
        while waiting:
            current = waiting.pop()
            seen.add(current)
            paths = [dep for dep in STAGES[current]["deps"] if dep.startswith(("artifacts/", "metrics/", "plots/"))]
            waiting += {
                maker
                for dep in paths
                for out, maker in makers.items()
                if (dep + "/").startswith(out + "/") or (out + "/").startswith(dep + "/")
            } - seen
        assert "check_params" in seen, name


def test_metrics_are_the_files_of_headlines_and_stages_write_them() -> None:
    written = {path for stage in STAGES.values() for path, _ in outputs(stage) if path.startswith("metrics/")}
    assert DVC_YAML["metrics"] == [
        "metrics/night/test.json",
        "metrics/night/detection.json",
        "metrics/voice/test.json",
    ]
    assert set(DVC_YAML["metrics"]) < written


def test_package_files_hold_a_docstring_only() -> None:
    for path in SRC.rglob("__init__.py"):
        body = ast.parse(path.read_text(encoding="utf-8")).body
        assert len(body) == 1
        assert isinstance(body[0], ast.Expr)


def test_lock_file_names_no_address() -> None:
    assert "://" not in (ROOT / "requirements.lock").read_text(encoding="utf-8")
