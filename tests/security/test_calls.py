"""Who may call which method of which service: every method, with every kind of token.

The services are called inside this process, and some methods over the wire too.
"""

import ast
import secrets
from contextlib import closing
from pathlib import Path

import pytest

from dev.stack.operators import own_key
from dev.testing import syntax_nodes
from gateway.errors import ERRORS
from libs.contracts.events import CATALOGUE
from libs.contracts.parts import FOLLOWERS, PARTS, PRINCIPALS, SERVICES
from libs.rpc import Client, RemoteError
from libs.tokens import Signer
from ops.shell.methods import METHODS as COMPLETED
from tests.in_process import services_in_process

ISSUERS = set(PRINCIPALS) - {"auth"}
EVERYBODY = {"nobody", "user", *ISSUERS}
USERS = {"user"}
SERVICES_BESIDE_AUTH = set(SERVICES) - {"auth"}
INSIDE = {"NotOperator"}
"""Errors that only services see of each other."""

OF_LISTENERS = (
    *("parked_events", "show_parked", "replay_parked", "discard_parked", "discarded_events", "stuck_events"),
    *("queues", "copies", "messages"),
)

ALLOWED = {
    "auth.sign_up": EVERYBODY,
    "auth.sign_in": EVERYBODY,
    "auth.sign_in_with_code": EVERYBODY,
    "auth.sign_in_with_passkey": EVERYBODY,
    "auth.request_passkey": EVERYBODY,
    "auth.choose_name": USERS,
    "auth.profiles": {"gateway"},
    "auth.confirm": USERS,
    "auth.account_security": USERS,
    "auth.new_authenticator": USERS,
    "auth.turn_on_authenticator": USERS,
    "auth.turn_off_authenticator": USERS,
    "auth.renew_recovery_codes": USERS,
    "auth.new_passkey": USERS,
    "auth.add_passkey": USERS,
    "auth.remove_passkey": USERS,
    "auth.remove_second_factor": {"operator"},
    "auth.sign_out": USERS,
    "auth.sign_out_everywhere": USERS,
    "auth.change_password": USERS,
    "auth.current_user": USERS,
    "auth.list_sessions": USERS,
    "auth.end_session": USERS,
    "auth.note_sessions": {"gateway"},
    "auth.note_keys": {"gateway"},
    "auth.find_user": {"operator"},
    "auth.lock": {"operator"},
    "auth.set_announcement": {"operator"},
    "auth.announcement": {"gateway", "operator"},
    "auth.unlock": {"operator"},
    "auth.end_sessions": {"operator"},
    "auth.is_revoked": set(FOLLOWERS),
    "auth.revocations": set(FOLLOWERS),
    "auth.is_effective": {"gateway"},
    "auth.authorize": SERVICES_BESIDE_AUTH,
    "auth.end_action": SERVICES_BESIDE_AUTH,
    "auth.add_operator": {"operator"},
    "auth.remove_operator": set(),  # an operator may, but themself alone: test_operators.py
    "auth.operators": {"operator"},
    "auth.actions": {"operator"},
    "auth.note_action": {"operator"},
    "tickets.create": USERS,
    "tickets.update": USERS,
    "tickets.withdraw": USERS,
    "tickets.list_mine": USERS,
    "tickets.sales": USERS,
    "tickets.get": EVERYBODY,
    "tickets.list": EVERYBODY,
    "tickets.highlights": EVERYBODY,
    "tickets.event": EVERYBODY,
    "tickets.sellers": EVERYBODY,
    "tickets.site_map": EVERYBODY,
    "tickets.site_map_events": EVERYBODY,
    "tickets.site_map_event_pages": EVERYBODY,
    "tickets.site_map_pages": EVERYBODY,
    "tickets.versions": {"orders", "operator"},
    "tickets.changes": {"orders", "operator"},
    "tickets.snapshots": {"orders", "operator"},
    "tickets.repair": {"operator"},
    "tickets.find": {"operator"},
    "tickets.withdraw_by_operator": {"operator"},
    "tickets.watermark": {"gateway"},
    "orders.create": USERS,
    "orders.refusals": {"gateway"},
    "orders.get": USERS,
    "orders.held": USERS,
    "orders.list": USERS,
    "orders.extend": USERS,
    "orders.cancel": USERS,
    "orders.snapshot": {"payments", "expiration", "tickets", "operator"},
    "orders.versions": {"tickets", "payments", "expiration", "operator"},
    "orders.changes": {"tickets", "payments", "expiration", "operator"},
    "orders.snapshots": {"payments", "expiration", "tickets", "operator"},
    "orders.repair": {"operator"},
    "orders.move_deadline": {"operator"},
    "orders.cancel_by_operator": {"operator"},
    "orders.story": {"operator"},
    "orders.find": {"operator"},
    "orders.stuck": {"operator"},
    "orders.expire_now": {"operator"},
    "payments.pay": USERS,
    "payments.create_intent": USERS,
    "payments.refresh": USERS,
    "payments.announce": USERS,
    "payments.get": USERS,
    "payments.settle": {"orders", "operator"},
    "payments.settle_all": {"orders", "operator"},
    "payments.versions": {"orders", "operator"},
    "payments.changes": {"orders", "operator"},
    "payments.snapshots": {"orders", "operator"},
    "payments.refund": {"operator"},
    "payments.stuck": {"operator"},
    "payments.story": {"operator"},
    "payments.find": {"operator"},
    "payments.audit": {"operator"},
    "payments.repair": {"operator"},
    "payments.receive_webhook": {"gateway"},
    "expiration.repair": {"operator"},
    "expiration.jobs": {"operator"},
    "expiration.deadline": {"operator"},
    **{f"{listener}.{method}": {"operator"} for listener in CATALOGUE.listeners() for method in OF_LISTENERS},
    **{f"{service}.outboxes": {"operator"} for service in SERVICES},
}
UNKNOWN = "0" * 24
ARGUMENTS = {
    "ticket_id": UNKNOWN,
    "event_id": UNKNOWN,
    "order_id": UNKNOWN,
    "session_id": UNKNOWN,
    "ids": [UNKNOWN],
    "order_ids": [UNKNOWN],
    "email": "nobody",
    "password": "wrong",
    "current": "wrong",
    "new": "another long one",
    "title": "Hamlet",
    "price_cents": 100,
    "expires_at": "2030-01-01T00:00:00Z",
    "token": "tok_visa",
    "reason": "requested_by_customer",
    "method": "tickets.repair",
    "arguments": {},
    "action": UNKNOWN,
    "outcome": "success",
    "public_key": "operator:eve=",
    "payload": "{}",
    "signature": "t=1,v1=0",
    "process": "p1",
    "fingerprints": [],
    "sessions": 0,
    "users": 0,
    "pending": "",
    "code": "000000",
    "ceremony": "",
    "answer": "{}",
    "setup": "",
    "name": "Phone",
    "passkey_id": UNKNOWN,
    "used": [],
    "asked": [[UNKNOWN, UNKNOWN, None]],
    "user": UNKNOWN,
    "kind": "sessions",
    "number": 0,
    "soonest": 4,
    "newest": 8,
    "queue": "orders.X",
    "seller_id": UNKNOWN,
    "texts": {},
    "what": "restart orders",
    "stripe_id": "pi_x",
}


def methods():
    """Return each method that can be called, with the names of its parameters that have no default."""
    root = Path(__file__).parents[2]
    for service in SERVICES:
        files = [*root.joinpath(service).glob("*.py")]
        files.append(root / "libs" / "diagnostics.py")
        if service in CATALOGUE.listeners():
            files.append(root / "libs" / "parked_events.py")
        for node in (node for path in sorted(files) for node in syntax_nodes(path)):
            if isinstance(node, ast.FunctionDef) and any("rpc" in ast.unparse(d) for d in node.decorator_list):
                names = [argument.arg for argument in node.args.args[1:]]
                yield f"{service}.{node.name}", names[: len(names) - len(node.args.defaults)]


METHODS = dict(methods())


OVER_THE_WIRE = (
    "auth.is_revoked",
    "tickets.versions",
    "orders.create",
    "payments.settle",
    "expiration.repair",
    "tickets.replay_parked",
)


@pytest.fixture(scope="module")
def in_process(servers):
    with services_in_process(servers) as (client, signers):
        yield client, signers


@pytest.fixture(scope="module")
def client(in_process):
    return in_process[0]


@pytest.fixture(scope="module")
def signers(in_process):
    return in_process[1]


@pytest.fixture(scope="module")
def ana_id(client, signers):
    return sign_up(client, signers)["user"]["id"]


@pytest.fixture
def tokens(client, signers, ana_id, method):
    """A valid token of each kind for a call of `method`; the user's is of a new session."""
    generation = client.services["auth"].store.find(ana_id)["generation"]
    return tokens_of_each_kind(signers, signers["auth"].mint(ana_id, 60, generation=generation), method)


@pytest.fixture(scope="module")
def wire(system):
    """A client of the running system, and all signers."""
    signers = {name: Signer(system.secrets[f"{name.upper()}_SIGNING_KEY"]) for name in PARTS}
    with closing(Client(system.amqp_url, "gateway", timeout=10)) as client:
        yield client, signers | {"operator": Signer(own_key(system, "olga"))}


def sign_up(client, signers):
    ana = {"email": f"ana-{secrets.token_hex(6)}@example.org", "password": "correct horse battery"}
    return client.call("auth", "sign_up", ana, token=signers["gateway"].mint_service("auth"))


def tokens_of_each_kind(signers, user, method):
    tokens = {name: signers[name].mint_service(method.partition(".")[0]) for name in ISSUERS}
    return tokens | {"operator": signers["operator"].mint_call(method), "nobody": None, "user": user}


@pytest.mark.parametrize("method", [method for method, allowed in ALLOWED.items() if allowed == USERS])
def test_who_has_signed_out_can_no_longer_call_anything_with_a_token_that_was_kept(method, client, tokens):
    client.call("auth", "sign_out", token=tokens["user"])

    again = "done" if method == "auth.sign_out" else "Unauthenticated"  # which may be repeated
    assert answer(client, method, tokens["user"]) == again


def forged_tokens(signers, method):
    service = method.partition(".")[0]
    elsewhere = next(each for each in SERVICES if each != service)
    stolen = Signer(signers["orders"].key_name + "=" + "A" * 43 + "=")
    impostor, received = signers["tickets"], [signers[name].mint_service(elsewhere) for name in ISSUERS]
    impostor.issuer, issuer = "auth", impostor.issuer
    try:
        own = [stolen.mint_service(service), impostor.mint("ana", 60), signers["auth"].mint("ana", -60), "a.b.c", ""]
        return [*own, *received, *forged_operators(signers, method)]
    finally:
        impostor.issuer = issuer


def forged_operators(signers, method):
    """Return tokens of an operator's with another key, of one whom nobody knows, for another call, and for none."""
    others = (Signer(f"operator:{name}={'A' * 43}=") for name in ("olga", "eve"))
    olga = signers["operator"]
    return [*(each.mint_call(method) for each in others), olga.mint_call("tickets.other"), olga.mint("olga", 60)]


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
    assert set(METHODS) == set(ALLOWED), "say in ALLOWED, above, who may call each method"


def test_the_shell_completes_what_operators_may_call():
    completed = {f"{service}.{name}" for service, names in COMPLETED.items() for name in names}
    operated = {method for method, allowed in ALLOWED.items() if "operator" in allowed}

    listed = "METHODS of ops/shell/methods.py lists what operators may call"
    assert {method for method in operated if ALLOWED[method] != EVERYBODY} <= completed, listed
    assert completed <= operated | {"auth.remove_operator"}, f"{listed}; `repair` of each listener, too"


@pytest.mark.parametrize("method", ALLOWED)
def test_only_who_may_call_it_is_let_in(method, client, tokens):
    check_who_is_let_in(method, client, tokens)


@pytest.mark.parametrize("method", OVER_THE_WIRE)
def test_over_the_wire_only_who_may_call_it_is_let_in(method, wire):
    client, signers = wire
    check_who_is_let_in(method, client, tokens_of_each_kind(signers, sign_up(client, signers)["token"], method))


def check_who_is_let_in(method, client, tokens):
    answers = {name: answer(client, method, token) for name, token in tokens.items()}

    let_in = {name for name, outcome in answers.items() if outcome not in ("Unauthenticated", "Forbidden")}
    assert let_in == ALLOWED[method], answers
    assert answers["nobody"] != "Forbidden"
    assert set(answers.values()) <= {"done", *ERRORS, *INSIDE}


@pytest.mark.parametrize("method", [method for method, allowed in ALLOWED.items() if allowed != EVERYBODY])
def test_no_forged_token_is_let_in(method, client, signers):
    assert {answer(client, method, token) for token in forged_tokens(signers, method)} == {"Unauthenticated"}


@pytest.mark.parametrize("method", OVER_THE_WIRE)
def test_over_the_wire_no_forged_token_is_let_in(method, wire):
    client, signers = wire

    assert {answer(client, method, token) for token in forged_tokens(signers, method)} == {"Unauthenticated"}


OPERATORS = ({"$ne": None}, {"$gt": ""}, ["x"], {"$where": "1"})


@pytest.mark.parametrize("method", [method for method, allowed in ALLOWED.items() if "user" in allowed])
def test_an_operator_is_never_a_value(method, client, tokens):
    for parameter in METHODS[method]:
        for value in [[each] for each in OPERATORS] if parameter == "ids" else OPERATORS:
            outcome = answer(client, method, tokens["user"], **{parameter: value})
            assert outcome != "done" and outcome in ERRORS, (parameter, value, outcome)
