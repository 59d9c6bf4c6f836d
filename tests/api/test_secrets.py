"""The logs of the whole system: lines of one form, and no password, key, token or card."""

import re

import pytest

from gateway.cache.marks import MARK
from tests.e2e.people import Person

PASSWORD = "a password that no log may hold"


@pytest.fixture
def used(system, ana):
    """Use the system with known secrets, with success and with errors; return the secrets."""
    bo = Person(system.gateway_url, "bo").sign_up()
    wrong = {"email": bo.email, "password": PASSWORD}
    assert bo.post("/api/users/signin", wrong).status_code == 400
    order_id = bo.reserve(ana.list_ticket())
    bo.pay(order_id, "tok_chargeDeclined")
    form = bo.post(f"/api/orders/{order_id}/payment-intent").json()
    challenged = bo.pay(order_id, "tok_threeDSecure2Required").json()["errors"][0]
    assert form["clientSecret"] == challenged["clientSecret"]
    return_path = f"/orders/{order_id}/return?payment_intent_client_secret={form['clientSecret']}"
    assert bo.get(return_path).status_code == 200
    assert bo.pay(order_id).status_code == 201
    cookies = [cookie.value for cookie in bo.http.cookies if cookie.name != MARK]  # which says 1 to everybody
    return [PASSWORD, "correct horse battery", *cookies, "tok_visa", form["clientSecret"]]


def test_no_log_holds_a_secret(system, used):
    secrets = [*used, *(secret for name, secret in system.secrets.items() if name != "TOKEN_PUBLIC_KEYS")]
    logs = {path.name: path.read_text(errors="replace") for path in (system.folder / "logs").glob("*.log")}

    assert len(logs) >= 10
    found = [(name, secret[:12]) for name, log in logs.items() for secret in secrets if secret in log]

    assert found == []


LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z [A-Z]+ \S+ \[\S+\] |    ")
"""The beginning of a line, or of one of a traceback."""


def test_every_line_of_every_program_has_its_time_and_place_for_a_correlation_id(system, used):
    programs = [name for name in system.programs if name not in ("rabbitmq", "epmd", "redis", "mongo")]

    assert len(programs) >= 10
    logs = {name: system.logs(name).splitlines() for name in programs}
    logs["supervisord"] = (system.folder / "logs" / "supervisord.log").read_text().splitlines()
    assert logs["supervisord"]
    assert [(name, line) for name, lines in logs.items() for line in lines if not LINE.match(line)] == []
