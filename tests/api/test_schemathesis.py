"""Requests made from the API's description, valid and invalid, sent to the gateway and the services in one process.

No response may be 5xx or of a status or body that is not described, and to an invalid request none may be 2xx.
The requests are the same on every run; HYPOTHESIS_PROFILE=money makes more.
"""

import os
import secrets

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from dev.fake_stripe import testing
from gateway.app import create_app
from gateway.openapi.description import describe
from gateway.tests.fakes import AUTH_PRIVATE, SETTINGS, FakeServices, never_revoked
from libs.tokens import Signer
from tests.contract.conftest import password_hash
from tests.contract.real_services import real_services

EXAMPLES, COSTLY_EXAMPLES = (40 if os.environ.get("HYPOTHESIS_PROFILE") == "money" else 15), 8
COSTLY = {"users.sign_up", "users.sign_in", "users.change_password"}  # a password is hashed each time
CHECKED = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
)


def description():
    """Return the gateway's description."""
    document = describe(create_app(FakeServices(), SETTINGS, never_revoked()))
    for methods in document["paths"].values():
        for operation in methods.values():
            del operation["security"]  # the test sends the session itself
    return document


DESCRIPTION = description()
DESCRIBED = {each["operationId"]: each for methods in DESCRIPTION["paths"].values() for each in methods.values()}


def can_be_invalid(described):
    """Whether a request can be invalid: it has a body, or a parameter besides those in the path."""
    return "requestBody" in described or any(each["in"] != "path" for each in described.get("parameters", []))


VALID = [(name, "positive") for name in DESCRIBED]
INVALID = [(name, "negative") for name, described in DESCRIBED.items() if can_be_invalid(described)]


@pytest.fixture(scope="module")
def services(servers):
    with testing.running() as stripe, real_services(servers, stripe.url) as services:
        yield services


@pytest.fixture(scope="module")
def app(services):
    """The gateway, on real services."""
    return create_app(services, SETTINGS, never_revoked())


@pytest.fixture(scope="module")
def operations(app):
    """Every operation by its id, as schemathesis knows it."""
    import schemathesis  # takes each process of the tests a third of a second, which one of them needs

    schema = schemathesis.openapi.from_dict(DESCRIPTION)
    schema.app = app
    found = [result.ok() for result in schema.get_all_operations()]  # type: ignore[union-attr]
    return {operation.definition.raw["operationId"]: operation for operation in found}


@pytest.fixture
def person(app, services):
    """Return a function that begins a session of somebody who signed up: ana, who sells, and bo, who buys."""

    def begin_session(name):
        user = services.services["auth"].store.add(f"{name}-{secrets.token_hex(4)}@example.org", password_hash(), "")
        claims = {"email": user["email"], "generation": user["generation"]}
        browser = app.test_client()
        with browser.session_transaction() as session:
            session["token"] = Signer(AUTH_PRIVATE).mint(user["id"], 3600, **claims)
        return browser

    return begin_session


@pytest.fixture
def known(ana, bo):
    """The ids of a ticket of Ana's, its event, herself, an order of Bo's and a session of Bo's that exist."""
    own, sold = (
        ana.post("/api/tickets", json={"title": "Hamlet", "price": 19.99, "category": "stage"}).json for _ in range(2)
    )
    (session,) = bo.get("/api/users/sessions").json
    order = bo.post("/api/orders", json={"ticketId": sold["id"]}).json
    return {
        "ticket_id": own["id"],
        "event_id": own["eventId"],
        "seller_id": ana.get("/api/users/currentuser").json["currentUser"]["id"],
        "order_id": order["id"],
        "session_id": session["id"],
    }


@pytest.mark.parametrize(("name", "mode"), VALID + INVALID)
def test_every_response_is_as_described(operations, ana, bo, known, name, mode):
    from schemathesis import GenerationMode
    from schemathesis.checks import CHECKS

    operation = operations[name]
    caller = ana if name.startswith("tickets") else bo

    @settings(
        max_examples=COSTLY_EXAMPLES if name in COSTLY else EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(GenerationMode(mode)))
    def send(case):
        if mode == "positive":
            case.path_parameters.update({name: known[name] for name in case.path_parameters})
        case.call_and_validate(session=caller, checks=CHECKS.get_by_names(list(CHECKED)))

    send()
