"""The gateway can translate every message of services to users."""

import ast
import re
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path

import pytest
from marshmallow import ValidationError

from auth.domain import InvalidPassword, check_password
from auth.strength import weakness
from dev.testing import syntax_nodes
from gateway.errors import API_FIELDS, ERRORS, list_problems
from gateway.fields import PricedSchema
from gateway.languages import LANGUAGES, catalogue
from gateway.pages.ticket_form import LABELS
from gateway.schemas import (
    AuthenticatorBody,
    CodeBody,
    MineQuery,
    NameBody,
    PasskeyBody,
    PasswordBody,
    SignInBody,
    SignUpBody,
    TicketBody,
    TicketQuery,
)
from gateway.sentences import BETWEEN_SENTENCES, _find, _translated
from libs.contracts import texts
from libs.contracts.currencies import currency_of
from libs.contracts.events import OrderedTicket
from libs.contracts.limits import SEAT_PARTS
from libs.contracts.parts import SERVICES
from orders import domain
from payments import declines
from tickets.domain import InvalidTicket, checked_details

OURS = Path(__file__).parents[2]
FOLDERS = (*SERVICES, "libs/contracts")
SAYING = {"InvalidValue", "_error", *(name for name, spec in ERRORS.items() if not spec.message)}
"""Which calls have a message that users read: the errors that the gateway shows in the service's own words."""
FORMS = (SignUpBody, SignInBody, CodeBody, PasswordBody, NameBody, PasskeyBody, AuthenticatorBody, TicketBody)
FORMS += (TicketQuery, MineQuery)
"""What pages read from forms, and from the addresses of lists."""
PARTS = (
    *("The 7 7.", "You have 7. Pay for one or cancel one before you reserve another."),
    "You reserved 7 within an hour and did not pay. 7",
    "Your bank wants you to confirm this payment.",
    "7 asked for this refund at 7 UTC: 7. There is no second one.",
    "Stripe may still make this refund, which was abandoned. Ask again after 7 UTC.",
)
"""Messages that are put together, which the test asks for; the last three are not shown to users."""


def source_messages():
    """Yield the messages in the sources of the services, with 7 for each value."""
    for path in chain.from_iterable((OURS / folder).glob("*.py") for folder in FOLDERS):
        for node in syntax_nodes(path):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in SAYING:
                yield from filter(None, map(_text, node.args))
            if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "").lower().endswith("message"):
                yield from filter(None, [_text(node.value)])


def _text(node):
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(str(each.value) if isinstance(each, ast.Constant) else "7" for each in node.values)
    return None


def unknown(message, language):
    """Return those sentences of a message that have no translation."""
    said = catalogue(language)
    if _find(message, said, language):
        return []
    return [each for each in BETWEEN_SENTENCES.split(message) if not _find(each, said, language)]


@pytest.mark.parametrize("language", [each for each in LANGUAGES if each != "en"])
def test_each_message_of_a_service_has_a_translation(language):
    declined = [declines.decline_message(code, left) for code in (*declines.MESSAGES, None) for left in (0, 1)]
    lines = [_refusal(line) for line in ("a\tb", "\u202ea", "\u200b", "x" * 99, "a" + "\u0301" * 9, "\ud800", 7)]
    held = [_too_many(number, status) for number in (1, 2) for status in ("created", "cancelled")]
    found = {message for message in source_messages() if message not in PARTS}

    assert {
        message: missing for message in (*found, *declined, *lines, *held) if (missing := unknown(message, language))
    } == {}
    assert len(found) > 25


@pytest.mark.parametrize("language", [each for each in LANGUAGES if each != "en"])
@pytest.mark.parametrize("form", FORMS)
def test_what_a_form_says_of_wrong_input_has_a_translation(form, language):
    schema = form(currency=currency_of("usd")) if issubclass(form, PricedSchema) else form()
    said = set()
    for value in (None, "", "\ud800", "x" * 3000, "-1", "2020-02-30T99:00", [], {}):
        try:
            schema.load(
                {field.data_key or name: value for name, field in schema.load_fields.items() if name != "version"}
            )
        except ValidationError as problem:
            said |= {problem["message"] for problem in list_problems(problem)}

    assert [message for message in said if unknown(message, language)] == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_is_wrong_with_a_ticket_is_said_of_its_fields_as_the_page_calls_them(language):
    entered = OrderedTicket().fields.keys() - {"id", "currency", "price_cents"}
    long = dict.fromkeys(entered, "x" * 300) | {"seat": dict.fromkeys(SEAT_PARTS, "x" * 300)}
    with pytest.raises(InvalidTicket) as refused:
        checked_details(currency_of("usd"), datetime.now(UTC), price_cents=1999, **long)
    errors = [each for each in refused.value.details["errors"] if "must have at most" in each["message"]]
    said = {each["field"].removeprefix("seat."): _translated(each["message"], language).lower() for each in errors}
    labels = {name: LABELS._english[API_FIELDS.get(name, name)] for name in said}
    called = {name: catalogue(language).gettext(label).lower() for name, label in labels.items()}

    assert {"title", "venue", "city", *SEAT_PARTS} <= said.keys()
    assert {name: message for name, message in said.items() if called[name] not in message} == {}


@pytest.mark.parametrize("password", ["password1", "qwertyuiop", "abcabcabc", "1987-05-12", "ticketing", "anaexample"])
def test_german_reads_no_english_when_a_password_is_refused(password):
    with pytest.raises(InvalidPassword) as refused:
        check_password("password", password, "ana.example@example.org", weakness)
    message = refused.value.details["errors"][0]["message"]
    reason = re.fullmatch(r"Choose another password: (.+)\. A few unrelated words make a good one\.", message)

    assert _translated(message, "de") == (
        f"Wählen Sie ein anderes Passwort: {catalogue('de').gettext(reason[1])}."
        " Gut sind mehrere Wörter ohne Zusammenhang."
    )


def _too_many(number, status):
    now = datetime.now(UTC)
    holds = [{"status": status, "created_at": now, "expires_at": now}] * number
    with pytest.raises(domain.TooManyReservations) as refused:
        domain.free_slots(holds, number, number, now)
    return str(refused.value)


def _refusal(line):
    with pytest.raises(texts.InvalidValue) as refused:
        texts.checked_line("title", line, 50)
    return str(refused.value)
