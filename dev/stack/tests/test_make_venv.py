"""dev/stack/make-venv, with a Python that only notes what it is to make."""

import os
import shutil
import subprocess

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
