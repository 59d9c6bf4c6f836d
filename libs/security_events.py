"""Security events, for operators and auditors: who did what, from where, with what outcome; one line of the log each.

`security_event` logs one that has happened, `recorded` one whose outcome a block decides. An error whose class has the
attribute `security_event`, the name of an event, is logged by whichever service refuses a call with it.
Nothing secret may be in an argument: people are named by their ids, and what they typed is not logged.
"""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from libs import context

EVENTS: Mapping[str, str] = {
    "sign_up": "an account was created, or not",
    "sign_in": "somebody signed in, or failed to",
    "sign_out": "somebody ended one or all of their sessions",
    "password_change": "somebody changed their password, or failed to",
    "confirmation": "somebody confirmed their identity before changing how they sign in, or failed to",
    "second_factor": "a second factor was set up, used or removed, or that failed",
    "access_denied": "a request was refused because of its caller or its origin",
    "throttled": "attempts came too quickly, or there were too many",
    "key_rotation": "keys that sign or encrypt were replaced",
    "operator_action": "an operator did something, or was refused",
}
SUCCESS = "success"
UNKNOWN = "unknown"

log = logging.getLogger("security")


@dataclass
class Attempt:
    """What is known of an event while its outcome is not: `who`, a user's id or a name, and `what` it is about."""

    who: str = ""
    what: str = ""


def security_event(event: str, outcome: str = SUCCESS, *, who: str = "", what: str = "", reason: str = "") -> None:
    """Log an event of EVENTS; `outcome` is SUCCESS or the name of an error. Raises KeyError for any other event.

    Its origin is the client of the current work (`libs.context.client`).
    """
    EVENTS[event]  # misspelt, no alert would ever find it
    about = {"event": event, "outcome": outcome, "who": who or UNKNOWN, "from": context.client() or UNKNOWN}
    about |= {name: value for name, value in (("what", what), ("reason", reason)) if value}
    log.log(logging.INFO if outcome == SUCCESS else logging.WARNING, "%s: %s", event, outcome, extra=about)


@contextmanager
def recorded(event: str, *, who: str = "", what: str = "") -> Iterator[Attempt]:
    """Run the block, and log the event with its outcome: SUCCESS, or the name of the error that it raised.

    Yields the attempt, to which the block adds what only it learns.
    """
    attempt, outcome = Attempt(who, what), "interrupted"
    try:
        yield attempt
        outcome = SUCCESS
    except Exception as error:
        outcome = type(error).__name__
        raise
    finally:
        security_event(event, outcome, who=attempt.who, what=attempt.what)


def note_refusal(error: Exception, service: Any, method: str) -> None:
    """Log the security event of an error that a service's method raised, if its class names one."""
    if event := getattr(error, "security_event", None):
        who = getattr(getattr(service, "caller", None), "who", "")
        security_event(event, type(error).__name__, who=who, what=method)
