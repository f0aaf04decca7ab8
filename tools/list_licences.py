"""Write docs/licences.md: every package of the lock with its licence, and what follows for who redistributes.

    python tools/list_licences.py

Run it in the project's environment after `make lock`; the installed packages say their licences themselves.
"""

import importlib.metadata
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "src"))

from evensong.doctor import locked_versions  # noqa: E402

OUT = ROOT / "docs/licences.md"
PERMISSIVE = (
    "MIT",
    "BSD",
    "Apache",
    "ISC",
    "PSF",
    "Python Software Foundation",
    "Zope",
    "ZPL",
    "HPND",
    "0BSD",
    "Unlicense",
)
# What a wheel's own metadata does not say, or what its licence asks of whoever passes it on.
NOTES = {
    "asyncssh": "EPL-2.0 or GPL-2.0-or-later, at your choice; used by DVC for SSH remotes only",
    "av": "the package is BSD, but its wheels carry FFmpeg built with libx264 and libx265 (GPL-2.0-or-later) and LAME "
    "(LGPL): an image or installer that holds the wheel is a GPL work as a whole, with the duty to offer its sources",
    "dulwich": "Apache-2.0 or GPL-2.0-or-later, at your choice",
    "grandalf": "GPL-2.0 or EPL-1.0, at your choice; draws `dvc dag`",
    "pygit2": "GPL-2.0 with a linking exception: linking to it asks nothing of your code, changing it does",
    "soundfile": "the package is BSD; its wheels carry libsndfile, LAME and mpg123 (LGPL-2.1-or-later): keep them "
    "replaceable",
    "soxr": "LGPL-2.1-or-later: keep it replaceable, and offer its sources where you pass it on",
    "certifi": "MPL-2.0: changed files of it stay under MPL",
    "hypothesis": "MPL-2.0: changed files of it stay under MPL; for the tests only",
    "pathspec": "MPL-2.0: changed files of it stay under MPL",
    "shtab": "MPL-2.0: changed files of it stay under MPL",
    "tqdm": "MPL-2.0 and MIT: changed files of it stay under MPL",
}
NVIDIA = "NVIDIA's own licence: free to use and to pass on as a part of an application, not to change or to sell alone"
HEAD = """# Licences of the packages

evensong itself is under Apache-2.0. It installs the packages below from `requirements.lock` and passes none of them on;
who ships them, in a container image or an installer, has the duties of the first table.
`make licences` writes this page from what the installed packages say of themselves.

## Not permissive, or with something inside that is not

| package | what follows |
|---|---|
"""


def main() -> None:
    """Write the page."""
    versions = locked_versions((ROOT / "requirements.lock").read_text(encoding="utf-8"))
    licences = {name: licence_of(name) for name in sorted(versions)}
    doubtful = [name for name, text in licences.items() if name in NOTES or not is_permissive(text)]
    accelerator = [name for name in doubtful if name.startswith(("nvidia-", "cuda-"))]
    unknown = [name for name in doubtful if name not in NOTES and name not in accelerator]
    if unknown:
        sys.exit(f"not known to be permissive: {', '.join(unknown)}; read their licences and add a line to NOTES")
    rows = [f"| {name} | {NOTES[name]} |" for name in doubtful if name in NOTES]
    rows.append(f"| {', '.join(accelerator)} | {NVIDIA} |")
    table = [f"| {name} | {versions[name]} | {text} |" for name, text in licences.items()]
    text = HEAD + "\n".join(rows) + "\n\n## All\n\n| package | version | licence |\n|---|---|---|\n" + "\n".join(table)
    OUT.write_text(text + "\n", encoding="utf-8", newline="\n")


def licence_of(name: str) -> str:
    """The licence as the package's metadata give it: the expression, else its classifiers, else the first line."""
    metadata = importlib.metadata.metadata(name)
    classifiers = [
        line.split("::")[-1].strip() for line in metadata.get_all("Classifier") or [] if "License ::" in line
    ]
    first_line = (metadata.get("License") or "").strip().partition("\n")[0]
    known = [text for text in classifiers if text != "OSI Approved"]
    return metadata.get("License-Expression") or ", ".join(known) or first_line[:80] or "see its own files"


def is_permissive(text: str) -> bool:
    """Whether a licence asks for no more than its own text to be kept."""
    return any(name in text for name in PERMISSIVE) and "GPL" not in text


if __name__ == "__main__":
    main()
