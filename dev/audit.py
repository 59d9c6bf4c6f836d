"""Looks the locked packages up in PyPI's advisories: `make audit`. pip-audit's answer comes in as JSON.

pip-audit succeeds when it cannot look packages up, and calls them skipped. Here that is a failure, reported as a failed
look-up and not as an advisory.
"""

import json
import sys
from collections.abc import Mapping
from typing import Any

UNKNOWN = "NOT AUDITED: the advisories of {} of {} packages cannot be read. Is https://pypi.org reachable?"


def findings(answer: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each advisory, and one for what could not be looked up; empty when all is well."""
    packages = answer["dependencies"]
    skipped = [each for each in packages if "skip_reason" in each]
    known = [
        f"{each['name']} {each['version']} is affected by {advisory['id']}, fixed in {advisory['fix_versions']}"
        for each in packages
        for advisory in each.get("vulns", ())
    ]
    return known + ([UNKNOWN.format(len(skipped), len(packages))] if skipped else [])


def main() -> None:
    """Print the findings; exit with code 1 if there are any."""
    text = sys.stdin.read()
    if not text.strip():  # it printed why
        sys.exit("NOT AUDITED: pip-audit failed")
    answer = json.loads(text)
    if found := findings(answer):
        sys.exit("\n".join(found))
    print(f"no advisory affects the {len(answer['dependencies'])} locked packages")


if __name__ == "__main__":
    main()
