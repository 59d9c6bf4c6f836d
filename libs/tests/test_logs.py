import json
import logging
import re
import subprocess
import sys

import pytest

from libs import logs
from libs.context import work
from libs.settings import AMQP_FORM

LINE = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
FORGED = "2026-11-26T00:00:00.000Z ERROR libs.alarms [-] ALARM wrong_amount: 1"
PLANTS = [f"{end}{FORGED}" for end in ("\n", "\r", "\r\n", "\v", "\f", "\x1c", "\x85", "\u2028", "\u2029")]
PLANTS += ["\x1b[31m", "\x9b2J", "\x00", "\x7f", "\udc80", "\u202e", "\ufeff"]
BOTH = pytest.mark.parametrize("log_format", ["text", "json"])


@pytest.fixture(autouse=True)
def root(monkeypatch):
    """The root logger, as it was before once the test ends."""
    root, level = logging.getLogger(), logging.getLogger().level
    monkeypatch.setattr(root, "handlers", [])
    monkeypatch.setattr(sys, "excepthook", sys.__excepthook__)
    yield root
    root.setLevel(level)
    logging.captureWarnings(False)


def failed(text):
    try:
        raise ValueError(text)
    except ValueError:
        return sys.exc_info()


def test_a_line_has_its_time_level_source_and_correlation_id(capsys):
    logs.set_up()

    with work("request-7"):
        logging.getLogger("orders").info("reserved %s", "t1", extra={"buyer": "b 1"})
    logging.getLogger("orders").info("idle")

    first, second = capsys.readouterr().err.splitlines()
    assert re.fullmatch(rf'{LINE} INFO orders \[request-7\] reserved t1 buyer="b 1"', first)
    assert re.fullmatch(rf"{LINE} INFO orders \[-\] idle", second)


def test_a_line_for_programs_is_one_json_object_with_the_same_fields(monkeypatch, capsys):
    monkeypatch.setenv("LOG_FORMAT", "json")
    logs.set_up()

    with work("request-7"):
        logging.getLogger("orders").error("reserved %s", "t1", extra={"buyer": "b1"}, exc_info=failed("too late"))

    line = json.loads(capsys.readouterr().err)
    assert re.fullmatch(LINE, line.pop("time"))
    assert line.pop("exception").endswith("ValueError: too late")
    fields = {"level": "ERROR", "logger": "orders", "correlation_id": "request-7", "message": "reserved t1"}
    assert line == fields | {"buyer": "b1"}


@BOTH
@pytest.mark.parametrize("planted", PLANTS, ids=ascii)
def test_nothing_that_comes_from_outside_begins_a_line_or_moves_the_cursor(monkeypatch, capsys, log_format, planted):
    monkeypatch.setenv("LOG_FORMAT", log_format)
    logs.set_up()

    with work(f"id{planted}"):
        logging.getLogger("orders").warning("by %s", planted, extra={"path": planted}, exc_info=failed(planted))

    written = capsys.readouterr().err.removesuffix("\n")
    first, *others = re.split("[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]", written)
    assert written.replace("\n", "").isprintable()
    assert json.loads(first)["path"] == planted if log_format == "json" else re.match(f"{LINE} WARNING orders", first)
    assert [line for line in others if not line.startswith("    ")] == []
    assert log_format == "text" or not others


@BOTH
def test_no_password_of_an_address_is_logged(monkeypatch, capsys, log_format):
    monkeypatch.setenv("LOG_FORMAT", log_format)
    logs.set_up()
    addresses = ("amqp://orders:never@mq:5672/", "redis://:never@redis/", "mongodb://o:n%2Fever@a,b/orders?x=y")

    for address in addresses:
        logging.getLogger("orders").error("lost %s", address, exc_info=failed(address), extra={"url": address})

    written = capsys.readouterr().err
    assert "ever" not in written and "amqp://orders:***@mq:5672/" in written


def test_form_that_an_address_is_to_have_is_logged_as_it_is(capsys):
    logs.set_up()

    logging.getLogger("orders").error(AMQP_FORM)

    assert "amqp://USER:PASSWORD@HOST:PORT/VHOST" in capsys.readouterr().err


@BOTH
@pytest.mark.parametrize(
    ("ending", "message"),
    [("sys.exit('AMQP_URL\\n is not set')", "AMQP_URL"), ("1 / 0", "uncaught"), ("warnings.warn('old')", "old")],
    ids=["refused", "uncaught", "warning"],
)
def test_what_ends_a_program_is_a_line_like_every_other(log_format, ending, message):
    program = f"import sys, warnings\nfrom libs import logs\ndef main():\n    {ending}\nlogs.run(main)"

    done = subprocess.run(
        [sys.executable, "-c", program], env={"LOG_FORMAT": log_format}, capture_output=True, text=True, timeout=30
    )

    first, *others = done.stderr.splitlines()
    assert message in (json.loads(first)["message"] if log_format == "json" else first)
    assert re.match(LINE, first) or log_format == "json"
    assert all(line.startswith("    ") for line in others)
    assert done.returncode == (0 if message == "old" else 1)


def test_a_program_that_a_server_ends_says_why_in_a_line_with_the_setting_that_has_its_address():
    """A wrong password ended it with some seventy lines of traceback."""
    program = """
from redis import AuthenticationError
from libs import logs
def main():
    raise AuthenticationError("invalid username-password pair")
logs.run(main)"""

    done = subprocess.run(
        [sys.executable, "-c", program], env={"WORKER_REDIS_URL": "…"}, capture_output=True, text=True, timeout=30
    )

    assert re.fullmatch(
        LINE + r" CRITICAL libs\.logs \[-\] AuthenticationError: invalid .* pair \(WORKER_REDIS_URL\)\n", done.stderr
    )


@pytest.mark.parametrize(("setting", "level"), [("", "INFO"), ("WARNING", "WARNING"), ("debug", "DEBUG")])
def test_the_environment_sets_the_level(monkeypatch, root, setting, level):
    monkeypatch.setenv("LOG_LEVEL", setting)

    logs.set_up()

    assert logging.getLevelName(root.level) == level
