import json
import os
import re
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from dev.stack.operators import own_key
from dev.stack.programs import environment
from dev.testing import queue_length, wait_for
from libs.amqp import Outgoing, Publisher
from libs.contracts.events import CATALOGUE
from libs.events import topology

ROOT = Path(__file__).parents[2]
MAKEFILE = (ROOT / "Makefile").read_text()


def shell(system, script, name="olga"):
    """Run `script` in an operator's nameko shell by the very command of `make shell`; return what it printed."""
    (command,) = re.findall(r"exec \$\(PYTHON\) (-m ops.shell)$", MAKEFILE, re.M)
    settings = {**os.environ, **environment("operator", system), "OPERATOR_SIGNING_KEY": own_key(system, name)}
    settings.pop("PYTHONPATH", None)
    done = subprocess.run(
        [sys.executable, *command.split(), "plain"],
        input=script,
        env=settings,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_an_operator_looks_at_an_order_moves_its_deadline_and_sees_nothing_parked(system, ana, bo):
    order_id = bo.reserve(ana.list_ticket())

    printed = shell(
        system,
        f'print(orders.snapshot(order_id="{order_id}")["status"])\n'
        f'print(expire_now("{order_id}", yes=True)["version"])\n'
        "print(parked())\n"
        'print(n.rpc.tickets.list(limit=1)["next"] != "")\n',
    )

    assert printed.replace(">>>", "").split()[-4:] == ["created", "2", "[]", "True"]
    bo.wait_for_order(order_id, "cancelled")


def test_an_operator_looks_at_parked_events_replays_one_and_discards_another(system, ana):
    ticket_id = ana.list_ticket()
    queue = "orders.TicketUpdated"
    snapshot = json.dumps(operators_ticket(system, ticket_id)).encode()
    parked = [Outgoing("", f"{queue}.parked", snapshot, {"x-reason": "Bug: mended"}, "mended")]
    with closing(Publisher(system.amqp_url, CATALOGUE.declare)) as publisher:
        assert publisher.publish([*parked, Outgoing("tickets.events", "TicketUpdated", b"{broken", {}, "broken")]) == {}
    wait_for(lambda: queue_length(system.amqp_url, topology.parked_name(queue)) == 2)

    printed = shell(
        system,
        'print([(group["queue"], group["exception"], group["count"]) for group in parked()])\n'
        f'print([(event["event_id"], event["reason"][:10]) for event in show("{queue}")])\n'
        f'print(replay("{queue}", "mended", yes=True), discard("{queue}", "broken", reason="a test", yes=True))\n'
        'print(parked(), repair("orders", yes=True), [each["event_id"] for each in discarded()])\n'
        'done = [each for each in auth.actions(who="olga") if "_parked" in each["method"]]\n'
        'print([(each["method"], each["outcome"]) for each in done])\n',
    )

    lines = printed.replace(">>> ", "").strip().splitlines()[-5:]
    assert lines[0] == f"[('{queue}', 'Bug', 1), ('{queue}', 'Unreadable', 1)]"
    assert lines[1] == "[('mended', 'Bug: mende'), ('broken', 'Unreadable')]"
    assert lines[2] == '{"replayed": 1, "left": 0} {"discarded": 1, "left": 0}'
    assert lines[3] == """[] {"orders": 0} ['broken']"""
    methods = ("discard_parked", "replay_parked", "show_parked")
    assert lines[4] == str([(f"orders.{method}", "success") for method in methods])


def test_an_operator_refunds_an_order_by_name(system, ana, bo):
    order_id = bo.reserve(ana.list_ticket())
    assert bo.pay(order_id).json()["status"] == "complete"

    printed = shell(
        system,
        f'asked = refund("{order_id}", "called off", yes=True)["refund"]\n'
        f'print(asked["by"], refund("{order_id}", "again", yes=True)["refund"] == asked)\n'
        f'print([(line["who"], line["reason"]) for line in story("{order_id}") if "reason" in line])\n',
    )

    lines = printed.replace(">>> ", "").strip().splitlines()[-2:]
    assert lines == ["olga True", "[('olga', 'called off'), ('olga', 'again')]"]
    assert system.secrets["OPERATOR_RABBITMQ_PASSWORD"] not in printed
    wait_for(lambda: bo.order(order_id)["refundedAt"], 20, "the buyer to see the refund")


def operators_ticket(system, ticket_id):
    printed = shell(system, f'import json; print(json.dumps(tickets.get(ticket_id="{ticket_id}")))')
    return json.loads(printed.replace(">>> ", "").strip().splitlines()[-1])
