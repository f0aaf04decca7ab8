"""The scans on real recordings, where some lie beside the checkout: ESC-10 clips and heart sounds.

EVENSONG_REAL_DATA names another folder that holds esc10/audio_data and heart/recordings.
"""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.pipeline.real import REAL, ROOT

pytestmark = [
    pytest.mark.real,
    pytest.mark.slow,
    pytest.mark.skipif(not REAL.is_dir(), reason="no real recordings beside the checkout"),
]


def scan(stage: str, folder: Path, group_pattern: str = "null") -> dict[str, int]:
    """Run one scan script in a folder and return its counts."""
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    text, n_changed = re.subn(r"group_pattern: .*", lambda _: f"group_pattern: {group_pattern}", text)
    assert n_changed == 1
    (folder / "params.yaml").write_text(text, encoding="utf-8")
    subprocess.run([sys.executable, ROOT / "src" / f"{stage}.py"], cwd=folder, check=True)
    track = stage.split("_")[0]
    found = json.loads((folder / "metrics" / track / "scan.json").read_text(encoding="utf-8"))
    return found.get("scan", found)


def test_every_esc10_clip_is_used_and_every_source_found(tmp_path: Path) -> None:
    clips = REAL / "esc10" / "audio_data"
    shutil.copytree(clips, tmp_path / "data" / "night")
    names = [path.name for path in clips.rglob("*.ogg")]
    found = scan("night_scan", tmp_path, group_pattern=r"^\d-(\d+)-")
    assert found["used"] == found["listed"] == len(names)
    assert found["sources"] == len({name.split("-")[1] for name in names})


def test_every_heart_recording_is_used(tmp_path: Path) -> None:
    recordings = REAL / "heart" / "recordings"
    shutil.copytree(recordings, tmp_path / "data" / "voice" / "recordings")
    found = scan("voice_scan", tmp_path)
    names = [path.name for path in recordings.iterdir()]
    assert found["used"] == found["listed"] == len(names)
    assert found["patients"] == len({name.split("_")[0] for name in names})
