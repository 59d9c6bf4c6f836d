"""Operators are people: each acts by a key of their own, and no action goes unrecorded."""

import inspect
import re
import time
from unittest.mock import patch

import pytest

from auth.operator_store import OperatorStore
from libs import context
from libs.clock import utc_now
from libs.errors import Unavailable
from libs.rpc import RemoteError, ServiceUnavailable
from libs.rpc.caller import Caller
from libs.tokens import Signer, Verifier, new_key
from ops.operators import add, remove
from ops.shell.story import timeline
from tests.in_process import services_in_process

TICKET = {"title": "Hamlet, row 3", "price_cents": 1999}


class Site:
    """The services, with operators who call them."""

    def __init__(self, client, signers):
        self.client, self.signers = client, signers
        self.operators = client.services["auth"].store.operators

    def call(self, method, token, **arguments):
        service, _, name = method.partition(".")
        with context.work(client="desk-7"):
            return self.client.call(service, name, arguments, token=token)

    def operate(self, method, signer=None, **arguments):
        return self.call(method, (signer or self.signers["operator"]).mint_call(method), **arguments)

    def reserved(self):
        """Return the id of an order."""
        token = self.signers["auth"].mint("ana", 60), self.signers["auth"].mint("bo", 60)
        ticket = self.call("tickets.create", token[0], **TICKET)
        return self.call("orders.create", token[1], ticket_id=ticket["id"])["id"]


@pytest.fixture(scope="module")
def site(servers):
    with services_in_process(servers) as (client, signers):
        yield Site(client, signers)


def refusal(call, *arguments, **named):
    with pytest.raises(RemoteError) as refused:
        call(*arguments, **named)
    return refused.value.name


def test_who_is_added_may_operate_at_once_and_who_is_removed_no_longer(site):
    private, public = new_key("operator:pim")
    pim = Signer(private)
    assert refusal(site.operate, "orders.versions", pim) == "Unauthenticated"

    site.operate("auth.add_operator", public_key=public)
    assert site.operate("orders.versions", pim) == site.operate("orders.versions")

    site.operate("auth.remove_operator", pim, name="pim")
    assert refusal(site.operate, "orders.versions", pim) == "Unauthenticated"
    assert [one["name"] for one in site.operate("auth.operators")] == ["olga"]


@pytest.mark.parametrize(("ahead", "why"), [(90, "in the future"), (-120, "expired")])
@pytest.mark.parametrize("method", ["orders.stuck", "auth.operators"])
def test_an_operator_whose_clock_is_wrong_reads_so(site, method, ahead, why):
    with patch("libs.tokens.time.time", return_value=time.time() + ahead):
        token = site.signers["operator"].mint_call(method)

    with pytest.raises(RemoteError, match=rf"Unauthenticated: .*{why}.* auth's clock says \d\d:\d\d:\d\d UTC"):
        site.call(method, token)


def test_no_operator_replaces_or_removes_the_key_of_another_but_an_administrator_does(site):
    (private, public), (_, stolen), (_, newest) = (new_key("operator:rex") for _ in range(3))
    site.operate("auth.add_operator", public_key=public)
    rex = Signer(private)

    assert refusal(site.operate, "auth.add_operator", public_key=stolen) == "Forbidden"
    assert refusal(site.operate, "auth.remove_operator", name="rex") == "Forbidden"
    assert site.operate("orders.versions", rex) == site.operate("orders.versions")

    add(site.operators, newest)
    assert refusal(site.operate, "orders.versions", rex) == "Unauthenticated"
    remove(site.operators, "rex")
    assert (
        refusal(site.operate, "auth.add_operator", public_key=stolen) == "Forbidden"
    )  # nor acts by a name with a past


def test_an_operator_changes_to_a_new_key_of_their_own(site):
    (private, public), (newer, newest) = (new_key("operator:sue") for _ in range(2))
    site.operate("auth.add_operator", public_key=public)

    changed = site.operate("auth.add_operator", Signer(private), public_key=newest)

    assert changed == {"name": "sue", "replaced": True}
    assert refusal(site.operate, "orders.versions", Signer(private)) == "Unauthenticated"
    assert site.operate("auth.remove_operator", Signer(newer), name="sue") is True


def test_an_operators_token_is_good_for_one_call_of_one_method(site):
    order_id, other = site.reserved(), site.reserved()
    token = site.signers["operator"].mint_call("orders.expire_now")

    site.call("orders.expire_now", token, order_id=order_id)

    assert refusal(site.call, "orders.snapshot", token, order_id=order_id) == "Unauthenticated"
    for ordered in (order_id, other):
        assert refusal(site.call, "orders.expire_now", token, order_id=ordered) == "Unauthenticated"


def test_every_call_of_an_operator_is_recorded_with_its_arguments_and_outcome(site):
    order_id = site.reserved()
    site.operate("orders.expire_now", order_id=order_id)
    refusal(site.operate, "payments.refund", order_id=order_id, reason="called off")
    refusal(site.operate, "orders.get", order_id=order_id)

    actions = site.operate("auth.actions", order_id=order_id)

    assert [(each["method"], each["outcome"]) for each in actions] == [
        ("orders.get", "Forbidden"),
        ("payments.refund", "PaymentNotFound"),
        ("orders.expire_now", "success"),
    ]
    assert {each["who"] for each in actions} == {"olga"} and {each["source"] for each in actions} == {"desk-7"}
    assert actions[1]["arguments"] == {"order_id": order_id, "reason": "called off"}
    assert actions[1]["reason"] == "called off"


def test_what_an_operator_does_about_several_orders_is_in_the_history_of_each(site):
    order_ids = [site.reserved(), site.reserved()]

    site.operate("payments.settle_all", order_ids=order_ids)

    for order_id in order_ids:
        (action,) = site.operate("auth.actions", order_id=order_id)
        assert (action["method"], action["order_id"]) == ("payments.settle_all", order_ids)
        order = site.operate("orders.story", order_id=order_id)
        lines = timeline(order, None, None, {}, [action], utc_now())
        assert ("olga", "payments.settle_all()") in [(each["who"], each["what"]) for each in lines]


def test_nothing_is_done_that_cannot_be_recorded(site):
    order_id = site.reserved()

    with (
        patch.object(OperatorStore, "begin", side_effect=Unavailable("no primary")),
        pytest.raises(ServiceUnavailable, match="no primary"),
    ):
        site.operate("orders.expire_now", order_id=order_id)

    assert site.operate("orders.snapshot", order_id=order_id)["version"] == 1


def test_an_operator_who_asks_for_too_much_to_record_is_told_so_and_nothing_is_done(site):
    order_id = site.reserved()

    with pytest.raises(RemoteError, match="InvalidArguments: .*ask for less at once"):
        site.operate("orders.cancel_by_operator", order_id=order_id, reason="x" * 100_000)

    assert site.operate("orders.snapshot", order_id=order_id)["version"] == 1


def test_what_was_done_is_on_record_though_its_outcome_could_not_be_recorded(site, caplog):
    order_id = site.reserved()

    with patch.object(OperatorStore, "end", side_effect=Unavailable("no primary")):
        site.operate("orders.expire_now", order_id=order_id)

    (action,) = site.operate("auth.actions", order_id=order_id)
    assert (action["method"], action["who"], action["outcome"]) == ("orders.expire_now", "olga", "unknown")
    assert "the outcome of orders.expire_now by olga was not recorded" in caplog.text


def test_no_method_changes_a_record():
    """What operators did is only inserted and found: whoever runs auth's own code cannot change it."""
    code = inspect.getsource(OperatorStore)

    assert set(re.findall(r"self\._(?:actions|outcomes)\.(\w+)", code)) == {"insert_one", "find", "find_one"}


def test_what_an_administrator_does_at_the_database_is_recorded_too(site):
    name = add(site.operators, new_key("operator:quin")[1])
    remove(site.operators, name)

    recorded = [(each["method"], each["outcome"]) for each in site.operate("auth.actions", who="administrator")]
    assert recorded[:2] == [("ops.remove_operator", "success"), ("ops.add_operator", "success")]


def test_an_orders_history_shows_what_operators_did_about_it(site):
    order_id = site.reserved()
    site.operate("orders.move_deadline", order_id=order_id, expires_at="2035-01-01T00:00:00+00:00")
    refusal(site.operate, "payments.refund", order_id=order_id, reason="called off")

    order, actions = site.operate("orders.story", order_id=order_id), site.operate("auth.actions", order_id=order_id)
    lines = timeline(order, None, None, {}, actions, utc_now())

    assert [(line["who"], line["what"]) for line in lines] == [
        ("buyer bo", "reserved"),
        ("olga", "orders.move_deadline(expires_at='2035-01-01T00:00:00+00:00')"),
        ("orders", "changed"),
        ("olga", "payments.refund()"),
        ("deadline", "the time to pay ends"),
    ]
    assert (lines[3]["reason"], lines[3]["outcome"]) == ("called off", "PaymentNotFound")


def test_a_stolen_token_of_an_operator_is_worth_nothing_to_the_service_that_received_it(site):
    token = site.signers["operator"].mint_call("tickets.repair")
    tickets = site.signers["tickets"].mint_service("auth")

    site.call("tickets.repair", token)

    assert refusal(site.call, "payments.refund", token, order_id="o1", reason="x") == "Unauthenticated"
    with pytest.raises(RemoteError, match="NotOperator"):
        site.client.call(
            "auth", "authorize", {"token": token, "method": "payments.refund", "arguments": {}}, token=tickets
        )


def test_a_users_call_asks_auth_nothing_about_operators():
    private, public = new_key("auth:1")
    asked = []
    caller = Caller(
        Verifier(public),
        is_revoked=lambda session: False,
        token=Signer(private).mint("ana", 60),
        ask_auth=lambda *about: asked.append(about),
    )

    assert caller.user_id == "ana"
    caller.ended(None)
    assert asked == []
