"""Who may call which method of which service: every method, with every kind of token."""

import ast
from pathlib import Path

import pytest

from gateway.errors import ERRORS
from libs.contracts.parts import PRINCIPALS, SERVICES
from libs.rpc import Client, RemoteError
from libs.tokens import Signer

ISSUERS = set(PRINCIPALS) - {"auth"}
EVERYBODY = {"nobody", "user", *ISSUERS}
USERS = {"user"}

ALLOWED = {
    "auth.sign_up": EVERYBODY,
    "auth.sign_in": EVERYBODY,
    "auth.sign_out": USERS,
    "auth.sign_out_everywhere": USERS,
    "auth.change_password": USERS,
    "auth.current_user": USERS,
    "auth.is_revoked": {"gateway"},
    "auth.revoked_sessions": {"gateway"},
    "auth.ended_users": {"gateway"},
    "tickets.create": USERS,
    "tickets.update": USERS,
    "tickets.withdraw": USERS,
    "tickets.list_mine": USERS,
    "tickets.sales": USERS,
    "tickets.get": EVERYBODY,
    "tickets.list": EVERYBODY,
    "tickets.versions": {"orders", "operator"},
    "tickets.snapshots": {"orders", "operator"},
    "tickets.repair": {"operator"},
    "orders.create": USERS,
    "orders.get": USERS,
    "orders.list": USERS,
    "orders.cancel": USERS,
    "orders.snapshot": {"payments", "expiration", "tickets", "operator"},
    "orders.versions": {"tickets", "payments", "expiration", "operator"},
    "orders.snapshots": {"payments", "expiration", "tickets", "operator"},
    "orders.repair": {"operator"},
    "orders.move_deadline": {"operator"},
    "payments.pay": USERS,
    "payments.create_intent": USERS,
    "payments.refresh": USERS,
    "payments.announce": USERS,
    "payments.get": USERS,
    "payments.settle": {"orders", "operator"},
    "payments.refund": {"operator"},
    "payments.audit": {"operator"},
    "payments.repair": {"operator"},
    "payments.receive_webhook": {"gateway"},
    "expiration.repair": {"operator"},
}
UNKNOWN = "0" * 24
ARGUMENTS = {
    "ticket_id": UNKNOWN,
    "order_id": UNKNOWN,
    "session_id": UNKNOWN,
    "ids": [UNKNOWN],
    "email": "nobody",
    "password": "wrong",
    "current": "wrong",
    "new": "another long one",
    "title": "Hamlet",
    "price_cents": 100,
    "expires_at": "2030-01-01T00:00:00Z",
    "token": "tok_visa",
    "reason": "requested_by_customer",
    "by": "Olga",
    "payload": "{}",
    "signature": "t=1,v1=0",
}


def methods():
    """Return each method that can be called, with the names of its parameters that have no default."""
    for service in SERVICES:
        tree = ast.parse(Path(__file__).parents[2].joinpath(service, "service.py").read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef) and any("rpc" in ast.unparse(d) for d in node.decorator_list):
                names = [argument.arg for argument in node.args.args[1:]]
                yield f"{service}.{node.name}", names[: len(names) - len(node.args.defaults)]


METHODS = dict(methods())


@pytest.fixture(scope="module")
def client(system):
    client = Client(system.amqp_url, timeout=10)
    yield client
    client.close()


@pytest.fixture(scope="module")
def signers(system):
    return {name: Signer(system.secrets[f"{name.upper()}_SIGNING_KEY"]) for name in {"auth", *ISSUERS}}


@pytest.fixture
def tokens(client, signers, person):
    """A valid token of each kind."""
    user = person("ana")
    signed_in = client.call("auth", "sign_in", {"email": user.email, "password": "correct horse battery"})
    return {name: signers[name].mint_service() for name in ISSUERS} | {"nobody": None, "user": signed_in["token"]}


def answer(client, method, bearer, **changes):
    """Return "done" or the error's name."""
    service, _, name = method.partition(".")
    arguments = {parameter: ARGUMENTS[parameter] for parameter in METHODS[method]} | changes
    try:
        client.call(service, name, arguments, token=bearer)
    except RemoteError as error:
        return error.name
    return "done"


def test_every_method_is_in_the_table():
    assert METHODS.keys() == ALLOWED.keys()


@pytest.mark.parametrize("method", ALLOWED)
def test_only_who_may_call_it_is_let_in(method, client, tokens):
    answers = {name: answer(client, method, token) for name, token in tokens.items()}

    let_in = {name for name, said in answers.items() if said not in ("Unauthenticated", "Forbidden")}
    assert let_in == ALLOWED[method], answers
    assert answers["nobody"] != "Forbidden"
    assert set(answers.values()) <= {"done", *ERRORS}


@pytest.mark.parametrize("method", [method for method, allowed in ALLOWED.items() if allowed != EVERYBODY])
def test_no_forged_token_is_let_in(method, client, signers, tokens):
    stolen = Signer(signers["orders"].key_name + "=" + "A" * 43 + "=")
    impostor = signers["tickets"]
    impostor.issuer, own = "auth", impostor.issuer
    try:
        forged = [stolen.mint_service(), impostor.mint("ana", 60), signers["auth"].mint("ana", -60), "a.b.c", ""]
    finally:
        impostor.issuer = own

    assert {answer(client, method, token) for token in forged} == {"Unauthenticated"}


OPERATORS = ({"$ne": None}, {"$gt": ""}, ["x"], {"$where": "1"})


@pytest.mark.parametrize("method", [method for method, allowed in ALLOWED.items() if "user" in allowed])
def test_an_operator_is_never_a_value(method, client, tokens):
    for parameter in METHODS[method]:
        for value in OPERATORS:
            said = answer(client, method, tokens["user"], **{parameter: value})
            assert said != "done" and said in ERRORS, (parameter, value, said)
