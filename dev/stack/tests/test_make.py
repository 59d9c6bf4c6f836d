"""What make does with its variables, and dev/stack/make-venv with a Python that only notes what it is to make."""

import os
import shutil
import subprocess
import sys

import pytest

from dev.testing import ROOT

PYTHON = """#!/bin/sh
case "$*" in
    "-m venv --clear .venv") echo >>made; sleep 0.2; mkdir -p .venv/bin; cp "$0" .venv/bin/python;;
esac
"""
UNSUPPORTED = """#!/bin/sh
case "$*" in *version_info*) exit 1;; esac
"""


@pytest.fixture
def clone(tmp_path):
    """A clone of the project, as far as the script reads it."""
    for name in ("dev/stack/make-venv", "requirements-build.txt", "requirements-dev.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    write_program(tmp_path / "bin/python3.11", PYTHON)
    return tmp_path


def write_program(path, text):
    path.parent.mkdir(parents=True)
    path.write_text(text)
    path.chmod(0o755)


def make_venv(clone):
    environ = {**os.environ, "PATH": f"{clone / 'bin'}:{os.environ['PATH']}"}
    return subprocess.Popen([clone / "dev/stack/make-venv"], env=environ, stdout=subprocess.DEVNULL)


def test_two_targets_at_once_make_one_environment(clone):
    both = [make_venv(clone), make_venv(clone)]

    assert [each.wait(20) for each in both] == [0, 0]
    assert (clone / "made").read_text() == "\n"


def test_an_environment_of_a_python_that_is_not_supported_is_made_again(clone):
    assert make_venv(clone).wait(20) == 0
    (clone / ".venv/bin/python").write_text(UNSUPPORTED)

    assert make_venv(clone).wait(20) == 0

    assert (clone / ".venv/bin/python").read_text() == PYTHON


@pytest.mark.parametrize("target", ["operator", "shell", "env", "backup", "restore", "demo", "screenshots"])
@pytest.mark.parametrize("containers", [[], ["CONTAINERS=1"]])
def test_a_value_with_a_space_stays_one_word(target, containers):
    names = ("NAME", "FILE", "BACKUPS", "BACKUP", "URL", "FOLDER")
    command = ["make", "--dry-run", target, *containers, *(f"{name}=a b" for name in names)]

    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)

    assert "a b" in done.stdout and "a b" not in done.stdout.replace('"a b"', "")


@pytest.mark.lengthy
def test_a_test_run_without_the_servers_that_it_is_to_use_says_so_in_a_line():
    command = [sys.executable, "-m", "pytest", "-n", "2", "dev/stack/tests/test_cluster.py"]
    environ = {**os.environ, "TICKETING_TEST_SERVERS": "/typo"}

    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False)

    assert done.stderr.strip() == "ERROR: TICKETING_TEST_SERVERS: no stack runs in /typo"
