"""Completes the software bill of materials: `make sbom`, which first lists requirements.txt in the CycloneDX format.

Adds the licence of each package, from its own metadata, and leaves out those that are not installed here, as on another
Python. Writes the licences as a table too.
"""

import json
import re
import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path
from typing import Any

LONGEST_NAME = 60
"""Characters: anything longer is the text of a licence and not its name."""


def licence(package: str) -> str:
    """Return the licence that an installed package states; raise ValueError when it states none."""
    about = metadata(package)
    stated = about["License-Expression"] or about["License"]
    if stated and stated != "UNKNOWN" and len(stated) <= LONGEST_NAME and "\n" not in stated:
        return re.sub(r"\s+", " ", stated)
    classifiers = (each for each in about.get_all("Classifier") or [] if each.startswith("License :: "))
    named = [each.rpartition(" :: ")[2] for each in classifiers]
    if not named:
        raise ValueError(f"{package} states no licence")
    return " or ".join(named)


def licences(packages: Mapping[str, str]) -> dict[str, str]:
    """Return the licences of those of `packages`, which are versions by name, that are installed.

    Raises ValueError when one has another version here or states no licence.
    """
    found = {}
    for package, version in packages.items():
        try:
            installed = metadata(package)["Version"]
        except PackageNotFoundError:
            continue
        if installed != version:
            raise ValueError(f"{package} {installed} is installed, but {version} is locked")
        found[package] = licence(package)
    return found


def complete(bill: Mapping[str, Any]) -> dict[str, Any]:
    """Return a CycloneDX document with licences, and without packages that are not installed."""
    components = {each["name"]: each for each in bill["components"]}
    known = licences({name: each["version"] for name, each in components.items()})
    completed = [components[name] | {"licenses": [{"license": {"name": text}}]} for name, text in known.items()]
    left_out = {each.get("bom-ref") for each in bill["components"]} - {each.get("bom-ref") for each in completed}
    dependencies = [each for each in bill.get("dependencies", []) if each["ref"] not in left_out]
    return {**bill, "components": completed, "dependencies": dependencies}


def table(bill: Mapping[str, Any]) -> str:
    """Return the packages of a completed document with their licences, as Markdown."""
    rows = [(each["name"], each["version"], each["licenses"][0]["license"]["name"]) for each in bill["components"]]
    return "\n".join(
        ["| package | version | licence |", "| --- | --- | --- |", *map("| {0[0]} | {0[1]} | {0[2]} |".format, rows)]
    )


def main(bill: Path, listed: Path) -> None:
    """Complete the document in `bill` and write its licences to `listed`."""
    completed = complete(json.loads(bill.read_text()))
    bill.write_text(json.dumps(completed, indent=2) + "\n")
    listed.write_text(table(completed) + "\n")
    print(f"{bill} and {listed} list {len(completed['components'])} packages")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
