import logging
import re

import pytest

from libs import logs
from libs.context import work

LINE = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"


@pytest.fixture(autouse=True)
def root(monkeypatch):
    """The root logger, as it was before once the test ends."""
    root, level = logging.getLogger(), logging.getLogger().level
    monkeypatch.setattr(root, "handlers", [])
    yield root
    root.setLevel(level)


def test_a_line_has_its_time_level_source_and_correlation_id(capsys):
    logs.set_up()

    with work("request-7"):
        logging.getLogger("orders").info("reserved %s", "t1")
    logging.getLogger("orders").info("idle")

    first, second = capsys.readouterr().err.splitlines()
    assert re.fullmatch(rf"{LINE} INFO orders \[request-7\] reserved t1", first)
    assert re.fullmatch(rf"{LINE} INFO orders \[-\] idle", second)


@pytest.mark.parametrize(("setting", "level"), [("", "INFO"), ("WARNING", "WARNING"), ("debug", "DEBUG")])
def test_the_environment_sets_the_level(monkeypatch, root, setting, level):
    monkeypatch.setenv("LOG_LEVEL", setting)

    logs.set_up()

    assert logging.getLevelName(root.level) == level
