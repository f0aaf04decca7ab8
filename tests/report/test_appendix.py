"""The copy of a page: everything of the page, and after it what stands outside DVC."""

from pathlib import Path

import pytest

from evensong.errors import DataError, IntegrityError
from evensong.report.appendix import write_with_appendix

LOCK = """schema: '2.0'
stages:
  night_scan:
    deps:
    - {path: data/night, md5: aa.dir}
    - {path: src/night_scan.py, md5: bb}
    outs:
    - {path: artifacts/night/scan, md5: cc.dir}
  voice_scan:
    outs:
    - {path: artifacts/voice/scan, md5: dd.dir}
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "artifacts/night").mkdir(parents=True)
    (tmp_path / "artifacts/night/report.html").write_text("<main><p>scores</p>\n</main>\n<footer></footer>")
    (tmp_path / "dvc.lock").write_text(LOCK)
    return tmp_path


def test_the_copy_has_the_page_and_the_appendix(root: Path) -> None:
    notes = write_with_appendix(root, "night", root / "copy.html")
    text = (root / "copy.html").read_text()
    head, _, tail = text.partition('<h2 id="appendix">')
    assert head == "<main><p>scores</p>\n"
    assert tail.endswith("</main>\n<footer></footer>")
    assert "data/night</code></th><td><code>aa.dir" in tail
    assert "artifacts/night/scan</code></th><td><code>cc.dir" in tail
    assert "voice" not in tail
    assert "src/" not in tail
    assert "torch" in tail
    assert "image/png" not in tail
    assert notes == ["commit none", "2 hashes of dvc.lock"]
    assert (root / "artifacts/night/report.html").read_text() == "<main><p>scores</p>\n</main>\n<footer></footer>"


def test_a_learning_curve_that_is_there_is_shown(root: Path) -> None:
    (root / "learning_curve.png").write_bytes(b"\x89PNG")
    assert len(write_with_appendix(root, "night", root / "copy.html")) == 3
    assert "data:image/png;base64,iVBORw==" in (root / "copy.html").read_text()


def test_texts_are_escaped(root: Path) -> None:
    (root / "dvc.lock").write_text(LOCK.replace("aa.dir", "'<img src=x>'"))
    write_with_appendix(root, "night", root / "copy.html")
    assert "<img src=x>" not in (root / "copy.html").read_text()


def test_what_is_missing_or_not_ours_is_refused(root: Path) -> None:
    with pytest.raises(DataError, match="make voice"):
        write_with_appendix(root, "voice", root / "copy.html")
    (root / "dvc.lock").write_text("stages: [1]")
    with pytest.raises(IntegrityError, match=r"dvc\.lock"):
        write_with_appendix(root, "night", root / "copy.html")
    (root / "artifacts/night/report.html").write_text("else")
    with pytest.raises(IntegrityError, match="night_report"):
        write_with_appendix(root, "night", root / "copy.html")
    assert not (root / "copy.html").exists()
