"""Where packages and images come from: only packages locked by their hash are installed, and they can be listed."""

import re

import pytest

from dev import audit, pin_images, release, sbom
from dev.testing import ROOT

LOCKED = ("dev", "build", "audit", "bench", "env", "operator")
LOCKS = ("requirements.txt", *(f"requirements-{name}.txt" for name in LOCKED))
BUILT = {"crontab"}
"""The packages of which there is no wheel; rq-scheduler needs it."""
INSTALLERS = ("docker/Dockerfile", "dev/stack/make-venv")
DIGEST, OTHER_DIGEST = "sha256:" + "a" * 64, "sha256:" + "b" * 64


def locked(path):
    """Return the versions and the numbers of hashes of a lock file's packages, by their names."""
    entries = re.findall(
        r"^([\w.-]+)(?:\[.*?\])?==(\S+)((?:.*\\\n)(?: +--hash=.*\n)+)", (ROOT / path).read_text(), re.M
    )
    return {name: (version, rest.count("--hash=sha256:")) for name, version, rest in entries}


@pytest.mark.parametrize("path", LOCKS)
def test_every_package_is_locked_by_its_hashes(path):
    named = re.findall(r"^([\w.-]+)(?:\[.*?\])?==", (ROOT / path).read_text(), re.M)

    assert named and set(locked(path)) == set(named)


def test_what_is_built_from_source_is_built_by_locked_tools():
    tools = locked("requirements-build.txt")

    assert tools.items() <= locked("requirements.txt").items() & locked("requirements-dev.txt").items()
    assert "setuptools" in tools


@pytest.mark.parametrize("path", INSTALLERS)
def test_nothing_else_is_built_from_source(path):
    text = (ROOT / path).read_text()

    assert set(re.findall(r"--no-binary (\S+)", text)) == BUILT
    assert "--only-binary :all:" in text and "--no-build-isolation" in text
    assert text.index("-r requirements-build.txt") < text.index("--no-build-isolation")


def test_every_package_of_production_states_its_licence():
    versions = {name: version for name, (version, _) in locked("requirements.txt").items()}
    found = sbom.licences(versions)

    assert len(found) > 40 and all(found.values())
    assert found["flask"] == "BSD-3-Clause" and "LGPL" in found["crontab"]


def test_bill_of_materials_has_the_licences_of_what_is_installed_and_nothing_else():
    flask = {"name": "flask", "version": locked("requirements.txt")["flask"][0], "purl": "pkg:pypi/flask"}
    bill = sbom.complete({"components": [flask, {"name": "never-heard-of", "version": "1"}]})

    assert bill["components"] == [flask | {"licenses": [{"license": {"name": "BSD-3-Clause"}}]}]
    assert sbom.table(bill).endswith(f"| flask | {flask['version']} | BSD-3-Clause |")


def test_package_of_another_version_than_the_locked_one_is_not_listed():
    with pytest.raises(ValueError, match="flask .* is installed, but 0.1 is locked"):
        sbom.licences({"flask": "0.1"})


FLASK = {"name": "flask", "version": "3.1.3"}
ADVISORY = {"id": "PYSEC-2026-1", "fix_versions": ["3.1.4"]}


def test_audit_names_an_affected_package_and_what_mends_it():
    found = audit.findings(
        {"dependencies": [FLASK | {"vulns": [ADVISORY]}, {"name": "rq", "version": "3", "vulns": []}]}
    )

    assert found == ["flask 3.1.3 is affected by PYSEC-2026-1, fixed in ['3.1.4']"]


def test_audit_that_could_not_look_packages_up_does_not_pass_and_says_so():
    (said,) = audit.findings({"dependencies": [FLASK | {"skip_reason": "not found"}, FLASK | {"vulns": []}]})

    assert said.startswith("NOT AUDITED: the advisories of 1 of 2 packages cannot be read.")


def test_audit_without_findings_passes():
    assert audit.findings({"dependencies": [FLASK | {"vulns": []}]}) == []


def test_every_file_with_an_image_that_is_not_ours_is_pinned():
    foreign = re.compile(r"^\s*image: (?!ticketing)\S", re.M)
    found = [path for path in sorted((ROOT / "deploy").rglob("*.yaml")) if foreign.search(path.read_text())]

    assert {path.relative_to(ROOT) for path in found} < set(pin_images.FILES)


@pytest.mark.parametrize("path", sorted((ROOT / ".github/workflows").glob("*.yml")), ids=lambda path: path.name)
def test_actions_can_be_pinned_to_commits_and_pinned_again(path):
    once = pin_images.pin_actions(path.read_text(), lambda action, tag: "a" * 40)
    twice = pin_images.pin_actions(once, lambda action, tag: "b" * 40)

    used = re.findall(r"uses: (.*)$", twice, re.M)
    assert used and all(re.fullmatch(r"[\w./-]+@b{40}  # v\d[\d.]*", action) for action in used)
    assert unpinned(once) == unpinned(twice) == unpinned(path.read_text())


def unpinned(workflow):
    """Return a workflow's text with the tags of its actions alone, whether they are pinned to commits or not."""
    return pin_images.ACTION.sub(lambda found: f"{found[1]}{found[2]}@{found[4] or found[3]}", workflow)


def test_release_has_the_notes_of_its_version_and_no_other_version_is_released(capsys):
    assert release.notes("0.2.0", "# Changelog\n\n## [0.2.0] - 2026\n\nText.\n\n## 0.1.0\n\nOld.\n") == "Text."
    release.check(release.version())
    with pytest.raises(SystemExit, match="the tag says 9.9.9"):
        release.check("9.9.9")
    with pytest.raises(SystemExit, match="has no section for 0.2"):
        release.notes("0.2", "## [0.2.0]\n\nText.\n")


@pytest.mark.parametrize("path", pin_images.FILES, ids=str)
def test_images_can_be_pinned_to_digests_and_pinned_again(path):
    text = (ROOT / path).read_text()
    once = pin_images.pin(text, lambda image: DIGEST)
    again = pin_images.pin(once, lambda image: OTHER_DIGEST)

    images = re.findall(r"^(?:\s*image: |FROM )(?!dependencies|system)(\S+)", again, re.M)
    others = [image for image in images if not re.match("ticketing(-operator)?(:|$)", image)]
    assert images and all(image.endswith(f"@{OTHER_DIGEST}") for image in others)
    assert pin_images.IMAGE.sub(r"\1\2", again) == pin_images.IMAGE.sub(r"\1\2", text)
