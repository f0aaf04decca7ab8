"""evensong report: a copy of a track's page with what stands outside DVC: versions, commit, hashes, learning curve.

The page itself holds no version and no clock, so that equal runs are equal to the byte; a copy to hand on may.
"""

import base64
import importlib.metadata
import platform
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from markupsafe import Markup
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from evensong.errors import DataError, IntegrityError

_PACKAGES = ("torch", "timm", "numpy", "scipy", "scikit-learn", "librosa", "audiomentations", "soundfile", "av", "dvc")
_END = "</main>"
_CURVE = Path("learning_curve.png")


def page_of(track: str) -> Path:
    """Where the track's last stage writes its page."""
    return Path("artifacts") / track / "report.html"


def write_with_appendix(root: Path, track: str, out: Path) -> list[str]:
    """Write the copy.

    Args:
        root: folder of the repository.
        track: night or voice.
        out: the file to write.

    Returns:
        What it has that the page has not.

    Raises:
        DataError: the track has no page yet.
        IntegrityError: page or dvc.lock is not as it was written.
    """
    path = root / page_of(track)
    try:
        page = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such page; make {track} writes it") from error
    if page.count(_END) != 1:
        raise IntegrityError(f"{path}: not as {track}_report writes it; dvc repro brings it back")
    commit = _commit(root)
    hashes = list(_hashes(root / "dvc.lock", track))
    curve = root / _CURVE if track == "night" else None
    parts = [
        Markup('<h2 id="appendix">Outside the pipeline</h2>'),
        Markup("<p>As this copy was made, by <code>evensong report</code>. Commit: <code>{}</code>.</p>").format(
            commit
        ),
        _table("Installed where this copy was made", "package", "version", _versions()),
        _table("MD5 of what the run read and wrote, by dvc.lock", "path", "digest", hashes),
    ]
    notes = [f"commit {commit}", f"{len(hashes)} hashes of dvc.lock"]
    if curve and curve.is_file():
        parts.append(_figure(curve))
        notes.append(f"{_CURVE}, as `evensong learning-curve night` left it")
    out.write_text(page.replace(_END, "\n".join([*parts, _END])), encoding="utf-8", newline="\n")
    return notes


def _versions() -> Iterator[tuple[str, str]]:
    yield "Python", sys.version.split()[0]
    yield "machine", f"{platform.system()} {platform.machine()}"
    for name in _PACKAGES:
        try:
            yield name, importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            yield name, "not installed"


def _commit(root: Path) -> str:
    def said(*words: str) -> str | None:
        done = subprocess.run(["git", *words], cwd=root, capture_output=True, text=True)
        return done.stdout.strip() if done.returncode == 0 else None

    commit = said("rev-parse", "HEAD")
    if commit is None:
        return "none"
    return f"{commit}, and files changed since" if said("status", "--porcelain") else commit


def _hashes(path: Path, track: str) -> Iterator[tuple[str, str]]:
    """Path and digest of the track's data and outputs, as DVC recorded them."""
    try:
        stages = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))["stages"]
        own = [stage for name, stage in sorted(stages.items()) if name.startswith(f"{track}_")]
        deps = {one["path"]: one["md5"] for stage in own for one in stage.get("deps", [])}
        outs = {one["path"]: one["md5"] for stage in own for one in stage.get("outs", [])}
    except (OSError, ValueError, YAMLError, KeyError, TypeError, AttributeError) as error:
        raise IntegrityError(
            f"{path}: not as DVC writes it ({type(error).__name__}); dvc repro brings it back"
        ) from error
    yield from sorted((name, md5) for name, md5 in deps.items() if name.startswith("data/"))
    yield from sorted(outs.items())


def _table(title: str, first: str, second: str, rows: Iterable[tuple[str, str]]) -> Markup:
    cells = Markup("").join(
        Markup('<tr><th scope="row"><code>{}</code></th><td><code>{}</code></td></tr>').format(*row) for row in rows
    )
    return Markup(
        '<h3>{}</h3><div class="wide" tabindex="0" role="group" aria-label="Table"><table><thead><tr>'
        '<th scope="col">{}</th><th scope="col">{}</th></tr></thead><tbody>{}</tbody></table></div>'
    ).format(title, first, second, cells)


def _figure(path: Path) -> Markup:
    data = base64.b64encode(path.read_bytes()).decode()
    told = "Macro-F1 of the baseline and every embedding against training clips a class"
    return Markup(
        "<h3>Learning curve</h3><p>Of the last <code>evensong learning-curve night</code>.</p>"
        '<img style="max-width:100%" alt="{}" src="data:image/png;base64,{}">'
    ).format(told, data)
