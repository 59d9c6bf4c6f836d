"""Modules that are hidden while a library is imported."""

import sys

import pytest

from libs.hidden import hidden


@pytest.mark.parametrize("name", ["json", "no_such_module"])
def test_a_hidden_module_cannot_be_imported_until_the_end_of_the_block(name):
    before = sys.modules.get(name)

    with hidden(name), pytest.raises(ImportError):
        __import__(name)

    assert sys.modules.get(name) is before and (name in sys.modules) == (name == "json")
