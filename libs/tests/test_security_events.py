import re
from pathlib import Path

import pytest

from libs import context
from libs.security_events import EVENTS, recorded, security_event


def fields(caplog):
    (record,) = caplog.records
    names = ("event", "outcome", "who", "from", "what", "reason")
    return record.levelname, {name: getattr(record, name) for name in names if hasattr(record, name)}


def test_a_security_event_says_who_from_where_what_and_with_which_outcome(caplog):
    caplog.set_level("INFO")

    with context.work(client="192.0.2.7"):
        security_event("operator_action", who="olga", what="payments.refund o1", reason="called off")

    about = {"who": "olga", "from": "192.0.2.7", "what": "payments.refund o1", "reason": "called off"}
    assert fields(caplog) == ("INFO", {"event": "operator_action", "outcome": "success", **about})


def test_what_failed_is_logged_as_a_warning_with_the_error_and_whom_the_block_found(caplog):
    def fail():
        with recorded("sign_in") as attempt:
            attempt.who = "u1"
            raise TimeoutError

    with pytest.raises(TimeoutError):
        fail()

    failed = {"event": "sign_in", "outcome": "TimeoutError", "who": "u1", "from": "unknown"}
    assert fields(caplog) == ("WARNING", failed)


def test_a_misspelt_event_is_noticed_at_once():
    with pytest.raises(KeyError):
        security_event("sign-in")


@pytest.mark.parametrize("address", [None, 7, "x" * 129])
def test_an_address_that_cannot_be_one_is_not_taken_over_from_a_caller(address):
    with context.work(client=address):
        assert context.client() == ""


def test_the_table_in_the_documentation_is_the_one_of_the_code():
    page = Path(__file__).parents[2].joinpath("docs/operations.md").read_text()
    section = page.partition("## Security events")[2].partition("\n## ")[0]

    assert dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", section, re.M)) == EVENTS
