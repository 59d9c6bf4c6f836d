"""The system lives on with a backup of MongoDB alone, and with new RabbitMQ and Redis: nothing else is the truth."""

import shutil
from contextlib import contextmanager
from functools import partial

import pytest

from conftest import SETTINGS
from dev.stack import Stack, backups, free_ports
from dev.stack.programs import no_programs
from dev.testing import repeating, stack_folder
from tests.e2e import invariants
from tests.e2e.people import Operator, Person, Sessions

pytestmark = pytest.mark.integration


@contextmanager
def people(system):
    """Yield a function that begins somebody's session, and an operator."""
    sessions, operator = Sessions(system), Operator(system)
    yield lambda name: sessions.begin(Person(system.gateway_url, name)), operator
    operator.client.close()


def buy(seller, buyer):
    assert buyer.pay(buyer.reserve(seller.list_ticket())).status_code == 201


def test_site_goes_on_from_a_backup_that_was_made_while_people_bought(tmp_path):
    with stack_folder() as folder:
        ports = free_ports()
        with Stack(folder, ports, environ=SETTINGS) as system, people(system) as (person, operator):
            ana, bo = person("ana"), person("bo")
            sold, held, paid_later = (bo.reserve(ana.list_ticket()) for _ in range(3))
            assert bo.pay(sold).status_code == 201
            with repeating([partial(buy, person("cy"), person("di"))]):
                path = backups.make(system, tmp_path)
            assert bo.pay(paid_later).status_code == 201
            later = bo.reserve(ana.list_ticket())
        with pytest.raises(backups.Failed, match="REPLACE=1"):
            backups.restore(Stack(folder, ports, no_programs, SETTINGS), path, replace=False)

        backups.restore(Stack(folder, ports, no_programs, SETTINGS), path, replace=True)

        with Stack(folder, ports, environ=SETTINGS) as system, people(system) as (person, operator):
            assert bo.order(sold)["status"] == "complete" and bo.get(f"/api/orders/{later}").status_code == 404
            assert bo.pay(paid_later).status_code == 201  # Stripe knows that it was
            operator.let_expire(held)
            bo.wait_for_order(held, "cancelled", 30)
            assert person("ed").pay(person("ed").reserve(ana.list_ticket())).status_code in (201, 403)
            invariants.check(system)


def test_site_goes_on_with_rabbitmq_and_redis_that_have_lost_everything():
    with (
        stack_folder() as folder,
        Stack(folder, free_ports(), environ=SETTINGS) as system,
        people(system) as (person, operator),
    ):
        ana, bo = person("ana"), person("bo")
        held, paid = (bo.reserve(ana.list_ticket()) for _ in range(2))
        system.stop_program("tickets", "expiration")  # so that events wait in queues
        assert bo.pay(paid).status_code == 201
        system.stop_program("rabbitmq", "redis")
        for each in backups.IN_TRANSIT:
            shutil.rmtree(folder / each)
        for name in ("redis", "rabbitmq", "tickets", "expiration"):
            system.start_program(name)
        for name in system.programs:
            system.wait_ready(name)

        operator.let_expire(held)
        bo.wait_for_order(held, "cancelled", 30)
        assert bo.pay(bo.reserve(ana.list_ticket())).status_code == 201
        invariants.check(system, 120)
