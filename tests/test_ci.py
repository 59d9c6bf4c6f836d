"""The workflows of GitHub and the pre-commit hooks: valid, and running the same checks as this repository."""

import re

import pytest
import yaml

from dev import pin_images
from dev.testing import ROOT

WORKFLOWS = sorted(ROOT.glob(".github/workflows/*.yml"))
VERSION, COMMIT = r"v\d+(\.\d+){0,2}", r"[0-9a-f]{40}"
FILES = [*ROOT.glob(".github/**/*.yml"), ROOT / ".pre-commit-config.yaml"]


def steps(job):
    return [step.get(key, "") for step in job["steps"] for key in ("run", "uses")]


def used(text):
    """Return the actions that a workflow uses."""
    return [step["uses"] for job in yaml.safe_load(text)["jobs"].values() for step in job["steps"] if "uses" in step]


def all_jobs():
    return [job for path in WORKFLOWS for job in yaml.safe_load(path.read_text())["jobs"].values()]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_file_is_valid_yaml_and_not_empty(path):
    assert yaml.safe_load(path.read_text())


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflow_runs_the_same_checks_as_developers(path):
    jobs = yaml.safe_load(path.read_text())["jobs"].values()

    assert any(".ci/run" in steps(job) for job in jobs) or path.name == "deploy.yml"  # of what a release has tested
    assert all(job["runs-on"] and job["timeout-minutes"] for job in jobs)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_actions_are_pinned_to_a_version_and_by_make_pin_to_a_commit(path):
    text = path.read_text()
    pinned = pin_images.pin_actions(text, lambda action, tag: "0123456789" * 4)

    for action in (*used(text), *used(pinned)):
        assert re.fullmatch(rf"[\w-]+/[\w-]+@({VERSION}|{COMMIT})", action)


def test_every_python_that_the_project_allows_is_tested():
    (low, high) = re.search(r'requires-python = ">=3\.(\d+),<3\.(\d+)"', (ROOT / "pyproject.toml").read_text()).groups()
    tested = [python for job in all_jobs() for python in job.get("strategy", {}).get("matrix", {}).get("python", [])]

    assert tested == [f"3.{minor}" for minor in range(int(low), int(high))]


def test_image_is_built():
    assert any("docker build -f docker/Dockerfile" in step for job in all_jobs() for step in steps(job))


def test_every_image_that_is_built_is_scanned():
    done = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())["jobs"]["image"]["steps"]
    built = [step["run"] for step in done if step.get("run", "").startswith("docker build ")]
    scanned = [step["with"] for step in done if "trivy" in step.get("uses", "")]

    assert [re.search(r" -t (\S+) ", command)[1] for command in built] == [each["image-ref"] for each in scanned]
    assert {each["exit-code"] for each in scanned} == {"1"}


def test_every_image_is_scanned_before_it_is_released():
    job = yaml.safe_load((ROOT / ".github/workflows/release.yml").read_text())["jobs"]["image"]
    done = [(step["uses"].partition("@")[0], step["with"]) for step in job["steps"] if "with" in step]
    built, scanned, pushed = (settings for action, settings in done if re.search("build-push|trivy", action))

    assert scanned["image-ref"] == built["tags"] and built["load"] and scanned["exit-code"] == "1"
    assert pushed["push"] and all(pushed[name] == built[name] for name in ("file", "target"))
    assert {each["suffix"] for each in job["strategy"]["matrix"]["include"]} == {"", "-operator"}


def test_hooks_call_the_locked_tools():
    (repository,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]

    assert repository["repo"] == "local"
    assert all(hook["entry"].startswith(".venv/bin/") for hook in repository["hooks"])


def test_two_processes_run_all_tests_of_the_whole_system(request):
    if not hasattr(request.config, "workerinput"):
        pytest.skip("one process runs all tests")
    whole = [item for item in request.session.items if item.get_closest_marker("e2e")]

    groups = {item.nodeid.rpartition("@")[2] for item in whole}  # by which pytest-xdist goes
    assert groups <= {"system of e2e", "system of others"}
