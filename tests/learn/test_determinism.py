"""What the README promises of a training's bytes: on one CPU for any workers, over CPUs where that is asked for."""

import hashlib
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from evensong.errors import ParamsError
from evensong.learn import device
from evensong.learn.device import pin_instruction_set

ROOT = Path(__file__).parents[2]
IS_X86 = platform.machine() in ("x86_64", "AMD64")

TRAIN = """
import sys
from pathlib import Path
from evensong.run.stage import run_stage
from evensong.learn.cv import run_folds
from evensong.learn.device import pin_instruction_set
from tests.learn.synthetic import track_settings, train_settings, training
pin_instruction_set(sys.argv[1])
job = training(Path(), track=track_settings(model=sys.argv[3]), train=train_settings(epochs=1))
run_folds(job, Path("out"), int(sys.argv[2])).prune()
"""
# What a CPU without AVX-512 would make NumPy, OpenBLAS and the C library do; the pinned libraries are told separately.
NO_AVX512 = {
    "NPY_DISABLE_CPU_FEATURES": "AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL AVX512_ICL",
    "OPENBLAS_CORETYPE": "Haswell",
    "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX512F,-AVX512VL,-AVX512BW,-AVX512DQ",
}


def trained(folder: Path, instruction_set: str, workers: int = 1, **environment: str) -> str:
    """One hash over everything that a training in a fresh process wrote."""
    folder.mkdir()
    variables = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}", "PYTHONWARNINGS": "ignore", **environment}
    command = [sys.executable, "-c", TRAIN, instruction_set, str(workers), "test_efficientnet"]
    done = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    files = sorted(path for path in (folder / "out").rglob("*") if path.is_file())
    assert len(files) > 20
    digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in files]
    return hashlib.sha256("".join(digests).encode()).hexdigest()


@pytest.mark.slow
@pytest.mark.skipif(not IS_X86, reason="the instruction set is x86-64's")
def test_one_hash_with_and_without_avx512_for_any_workers_in_fresh_processes(tmp_path: Path) -> None:
    surroundings = {"PYTHONHASHSEED": "7", "TZ": "Asia/Kathmandu", "LC_ALL": "C"}
    here = trained(tmp_path / "here", "portable")
    assert here == trained(tmp_path / "elsewhere", "portable", 3, **surroundings, **NO_AVX512)


@pytest.mark.skipif(not IS_X86, reason="the instruction set is x86-64's")
def test_cpu_without_avx2_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", dict(os.environ))
    monkeypatch.setattr(torch.cpu, "_is_avx2_supported", lambda: False)
    with pytest.raises(ParamsError, match="portable needs a CPU with AVX2"):
        pin_instruction_set("portable")


@pytest.mark.skipif(not IS_X86, reason="the instruction set is x86-64's")
def test_pinning_too_late_is_an_error_and_no_silent_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", dict(os.environ))
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    with pytest.raises(RuntimeError, match="before the instruction set was pinned"):
        pin_instruction_set("portable")


@pytest.mark.parametrize(("name", "machine"), [("native", platform.machine()), ("portable", "aarch64")])
def test_nothing_is_pinned_where_it_is_not_asked_for_or_cannot_be(
    name: str, machine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    surroundings: dict[str, str] = {}
    monkeypatch.setattr(os, "environ", surroundings)
    monkeypatch.setattr(device.platform, "machine", lambda: machine)
    pin_instruction_set(name)  # type: ignore[arg-type]
    assert not surroundings
