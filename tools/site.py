"""Lay out what the site is made of: the pages of docs/, those at the root, what they link to, and the library's rooms.

    python tools/site.py OUT

The pages keep links that work in the repository; in OUT they are those of the site, where README is the front page.
"""

import re
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
WORKER = ROOT / "tools/iframe-worker.js"
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
LINK = re.compile(r"(?<=\]\()(?!https://|#)([^)\s#]+)")


def main(arguments: list[str]) -> int:
    """Write the pages anew into the folder given; returns the exit code."""
    if len(arguments) != 1:
        print(__doc__, file=sys.stderr)
        return 2
    out = Path(arguments[0])
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    for page in (*PAGES, *sorted((ROOT / "docs").glob("*.md"))):
        (out / address(page)).write_text(site_page(page), encoding="utf-8")
    for target in linked_files():
        path = out / address(target)
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(target, path)
    shutil.copyfile(WORKER, out / WORKER.name)
    for room in rooms():
        (out / f"library-{room}.md").write_text(library_page(room), encoding="utf-8")
    return 0


def address(path: Path) -> str:
    """Where a file of the repository lies on the site."""
    name = path.relative_to(ROOT).as_posix()
    return "index.md" if name == "README.md" else name.removeprefix("docs/")


def site_page(page: Path) -> str:
    """A page with the links of the site."""
    text = page.read_text(encoding="utf-8")
    return LINK.sub(lambda link: address((page.parent / link[1]).resolve()), text)


def linked_files() -> set[Path]:
    """Files that pages link to and that are no pages, such as figures."""
    pages = (*PAGES, *sorted((ROOT / "docs").glob("*.md")))
    found = {(page.parent / link).resolve() for page in pages for link in LINK.findall(page.read_text("utf-8"))}
    return {target for target in found if target.is_file() and target.suffix != ".md"}


def rooms() -> list[str]:
    """The packages of the library."""
    return sorted(path.parent.name for path in (ROOT / "src/evensong").glob("*/__init__.py"))


def library_page(room: str) -> str:
    """A page for mkdocstrings: the modules of one room."""
    modules = sorted(path.stem for path in (ROOT / "src/evensong" / room).glob("*.py") if path.stem != "__init__")
    return f"# evensong.{room}\n\n" + "".join(f"::: evensong.{room}.{name}\n\n" for name in modules)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
