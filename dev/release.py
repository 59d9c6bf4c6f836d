"""Checks of the repository before a release: `python -m dev.release check v0.3.0`, and `notes v0.3.0`.

Needs nothing but Python, for it runs before anything is installed.
"""

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
IMAGE = re.compile(
    r"ticketing(?:-operator)?:(\d[\w.]*)|name: ticketing(?:-operator)?, (?:newName: \S+ )?newTag: (\S+?)}"
)
NAMES_THE_IMAGE = ("docker-compose.yml", "deploy/kubernetes")


def main() -> None:
    """Run the command line; end with a message and code 1 when the tag is not a version that can be released."""
    what, tag = sys.argv[1:]
    if what == "notes":
        print(notes(tag.removeprefix("v"), (ROOT / "CHANGELOG.md").read_text()))
    else:
        check(tag.removeprefix("v"))


def version() -> str:
    """Return the version of the project."""
    return str(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"])


def check(tagged: str) -> None:
    """Exit with a message when the project has another version, or a file deploys another image."""
    if tagged != version():
        sys.exit(f"the tag says {tagged} and pyproject.toml {version()}")
    for file, image in images():
        if image != tagged:
            sys.exit(f"{file.relative_to(ROOT)} names the image of {image}, not of {tagged}")
    notes(tagged, (ROOT / "CHANGELOG.md").read_text())


def images() -> list[tuple[Path, str]]:
    """Return each file that names a version of our image, with that version, once for each time."""
    files = [found for name in NAMES_THE_IMAGE for found in _files(ROOT / name)]
    return [(file, match[1] or match[2]) for file in files for match in IMAGE.finditer(file.read_text())]


def _files(path: Path) -> list[Path]:
    return [path] if path.is_file() else sorted(path.rglob("*.yaml"))


def notes(tagged: str, changelog: str) -> str:
    """Return a changelog's section of a version; exit with a message when there is none."""
    sections = re.split(r"^## +", changelog, flags=re.M)[1:]
    for section in sections:
        title, _, text = section.partition("\n")
        if re.match(rf"\[?{re.escape(tagged)}(?![\w.])", title) and text.strip():
            return text.strip()
    sys.exit(f"CHANGELOG.md has no section for {tagged}")


if __name__ == "__main__":
    main()
