"""Everything named in the documents exists: links, paths, modules, make targets; decisions stay short."""

import re
from fnmatch import fnmatch

import pytest

from dev.testing import ROOT
from libs.contracts.parts import PARTS

NOT_OURS = {".git", ".venv", ".stack", "__pycache__", ".pytest_cache", ".mypy_cache", ".ruff_cache", ".hypothesis"}


def known(folder=ROOT):
    """Return every file and folder of this repository, by its path from the root."""
    found = [path for path in folder.iterdir() if path.name not in NOT_OURS]
    return [*found, *(inner for path in found if path.is_dir() for inner in known(path))]


KNOWN = {path.relative_to(ROOT).as_posix() for path in known()}
DOCUMENTS = sorted(ROOT / path for path in KNOWN if path.endswith(".md"))
DECISIONS = sorted(ROOT.glob("docs/adr/[0-9]*.md"))
MOST_LINES = 44
MADE_LATER = (".stack/*", ".venv/*", ".env", "*/secrets.env", "docker-compose.override.yml")
"""What commands make, or a user writes."""
SUFFIXES = "py|md|yml|yaml|toml|txt|in|html|js|css|json|cfg|ini|sh"

every_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))


def quoted(text):
    """Return what stands in backticks, outside code blocks."""
    return re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S))


def paths(text):
    """Return what is quoted and looks like a path of this repository: it has a slash inside, or a file's suffix."""
    for name in quoted(text):
        has_folder = re.fullmatch(r"[\w.<>*-]+(/[\w.<>*-]+)*/?", name) and "/" in name
        if (has_folder or re.fullmatch(rf"[\w.-]+\.({SUFFIXES})", name)) and not any(
            fnmatch(name, pattern) for pattern in MADE_LATER
        ):
            yield name


def exists(path):
    """Return whether a file or folder is there; `<part>` and `*` stand for any name, a name alone for any folder."""
    pattern = re.sub(r"<\w+>", "*", path.rstrip("/"))
    return any(fnmatch(each, pattern) or ("/" not in path and fnmatch(each, f"*/{pattern}")) for each in KNOWN)


def module_exists(name):
    path = name.replace(".", "/")
    return f"{path}.py" in KNOWN or f"{path}/__main__.py" in KNOWN


@every_document
def test_no_command_has_a_password_among_its_arguments(document):
    shown = re.findall(r"--(?:uri|password|pass)[= ][\"']?\$\S*", document.read_text())

    assert shown == []  # everybody on the machine can read them


@every_document
def test_every_relative_link_leads_somewhere(document):
    targets = re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", document.read_text())

    assert [target for target in targets if not (document.parent / target).exists()] == []


def anchors(document):
    """Return the anchors of a document's headings, as GitHub makes them."""
    text = re.sub(r"^```.*?^```", "", document.read_text(), flags=re.M | re.S)
    headings = (re.sub(r"\[(.*?)\]\(.*?\)", r"\1", each) for each in re.findall(r"^#+ (.*)$", text, re.M))
    return {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings}


@every_document
def test_every_link_to_a_heading_leads_to_one(document):
    links = re.findall(r"\]\(([^)#:\s]*)#([^)\s]+)\)", document.read_text())
    targets = [(document.parent / path if path else document, anchor) for path, anchor in links]

    assert [anchor for target, anchor in targets if target.suffix == ".md" and anchor not in anchors(target)] == []


@every_document
def test_every_test_that_is_named_exists(document):
    named = re.findall(r"`([\w/]+\.py)::(\w+)`", document.read_text())

    assert [(path, name) for path, name in named if f"def {name}(" not in (ROOT / path).read_text()] == []


@every_document
def test_every_path_that_is_named_exists(document):
    assert [path for path in paths(document.read_text()) if not exists(path)] == []


@every_document
def test_every_module_that_is_run_exists(document):
    modules = re.findall(r"python -m ((?:dev|ops|libs|expiration)(?:\.\w+)*)", document.read_text())

    assert [name for name in modules if not module_exists(name)] == []


@every_document
def test_every_make_target_that_is_named_exists(document):
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    named = re.findall(r"(?:`|^    )make ([a-z-]+)", document.read_text(), re.M)

    assert set(named) <= targets


@pytest.mark.parametrize("decision", DECISIONS, ids=lambda path: path.stem)
def test_a_decision_is_short_complete_and_listed(decision):
    text = decision.read_text()

    assert len(text.splitlines()) <= MOST_LINES
    assert re.search(r"^Date: \d{4}-\d\d-\d\d · Status: \w+", text, re.M)
    assert {"Context", "Decision", "Consequences"} <= set(re.findall(r"^## (.*)$", text, re.M))
    assert f"({decision.name})" in (decision.parent / "README.md").read_text()


def test_decisions_are_numbered_without_gaps():
    assert [int(decision.name[:4]) for decision in DECISIONS] == list(range(1, len(DECISIONS) + 1))


@pytest.mark.parametrize("part", PARTS)
def test_every_part_has_a_row_in_the_architecture(part):
    assert f"\n| {part} | " in (ROOT / "docs/architecture.md").read_text()


def test_version_is_the_same_everywhere():
    version = re.search(r'^version = "(.*)"$', (ROOT / "pyproject.toml").read_text(), re.M)[1]
    images = set(re.findall(r"image: ticketing:(\S+)", (ROOT / "docker-compose.yml").read_text()))
    newest = re.search(r"^## \[(\d+\.\d+\.\d+)\]", (ROOT / "CHANGELOG.md").read_text(), re.M)

    assert (images, newest and newest[1]) == ({version}, version)
