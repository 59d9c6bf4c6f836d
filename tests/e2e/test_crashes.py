import threading

import pytest
import requests

from dev.testing import wait_for
from libs.contracts.parts import PARTS
from tests.e2e import invariants

PROGRAMS = (*PARTS, "scheduler", "worker")


def keep_paying(buyer, order_id, answers):
    """Pay, and retry while there is no answer, as a person would."""
    for _ in range(40):
        try:
            answer = buyer.pay(order_id)
        except requests.RequestException:
            continue
        answers.append(answer.status_code)
        if answer.status_code in (201, 402, 409):
            return


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_purchase_survives_kill_9_of(program, system, ana, bo):
    ticket_id, answers = ana.list_ticket(), []
    order_id = bo.reserve(ticket_id)
    faults = f"{system.stripe_url}/_control/faults"
    requests.post(faults, json={"kind": "slow", "path": "*/confirm", "seconds": 60}, timeout=5)
    paying = threading.Thread(target=keep_paying, args=(bo, order_id, answers))
    paying.start()
    victim = system.pid(program)
    wait_for(lambda: invariants.ledger(system, order_id), 10, "the purchase to be in flight")
    assert bo_is_unpaid(system, order_id)

    system.kill(program)
    requests.delete(faults, timeout=5)

    assert system.pid(program) != victim
    system.wait_ready(program)
    paying.join(60)
    wait_for(lambda: status_of(bo, order_id) in ("complete", "cancelled"), 60, "the order to end")
    invariants.check(system)


def bo_is_unpaid(system, order_id):
    return invariants.charged(invariants.ledger(system, order_id)) == ([], [], 0)


def status_of(buyer, order_id):
    try:
        return buyer.order(order_id).get("status")
    except requests.RequestException:
        return None
