"""The updates that the memory gets from the gateway's messages, and when it asks; by a clock that the tests move."""

import json
import threading
from types import SimpleNamespace

import pytest

from gateway.cache.ended_holds import EndedHolds
from gateway.cache.follower import SILENT_SECONDS, Follower, Silent
from gateway.cache.memory import Memory
from libs.events.topology import WATERMARK
from libs.rpc import ServiceUnavailable

FOREVER = float("inf")


class Gateway:
    """A process that keeps the ticket t1 in version 3; tickets notes what it is asked."""

    def __init__(self):
        self.now, self.asked, self.is_away = 1000.0, [], False
        self.memory = Memory(lambda: self.now, lambda: self.now)
        self.ended_holds = EndedHolds()
        self.follower = Follower(
            "amqp://nobody@127.0.0.1:1//", self.memory, self.called, self.ended_holds, lambda: self.now
        )
        self.follower._on_bound()
        self.memory.fetch("t1", lambda _: ({}, 3, FOREVER), 5)
        self.now += 10

    def called(self, process, number):
        if self.is_away:
            raise ServiceUnavailable("tickets")
        self.asked.append({process: number})

    def hear(self, key, body, **headers):
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.follower.on_message(SimpleNamespace(body=raw, headers=headers, delivery_info={"routing_key": key}))

    def answer(self, asks, *waiting):
        self.hear(WATERMARK, {"asks": asks, "waiting": waiting})

    @property
    def serves(self):
        return self.memory.find("t1") is not None


@pytest.fixture
def gateway():
    return Gateway()


def test_an_answer_counts_from_its_question(gateway):
    gateway.follower.ask()
    gateway.now += 0.7

    gateway.answer(gateway.asked[0])

    assert gateway.serves
    gateway.now += 0.3
    assert not gateway.serves


def test_the_answer_to_a_later_question_counts_and_that_to_the_earlier_one_no_longer(gateway):
    for _ in range(2):
        gateway.follower.ask()
        gateway.now += 0.4
    gateway.answer(gateway.asked[1])
    gateway.now += 0.5

    gateway.answer(gateway.asked[0])

    assert gateway.serves
    gateway.now += 0.1
    assert not gateway.serves


def test_answers_to_other_processes_prove_nothing(gateway):
    gateway.follower.ask()

    gateway.answer({"another": 1})

    assert not gateway.serves


def test_an_answer_to_a_question_before_this_queue_was_bound_proves_nothing(gateway):
    gateway.follower.ask()
    gateway.follower._on_bound()
    gateway.memory.fetch("t1", lambda _: ({}, 3, FOREVER), 5)
    gateway.now += 0.5

    gateway.answer(gateway.asked[0])

    assert not gateway.serves


@pytest.mark.parametrize(
    ("key", "body"),
    [
        ("TicketUpdated", {"id": "t1", "version": 4}),
        (WATERMARK, {"asks": {"another": 1}, "waiting": [["t2", 9], ["t1", 4]]}),
    ],
)
def test_a_ticket_is_dropped_by_its_event_and_by_any_watermark_that_names_it(gateway, key, body):
    gateway.follower.ask()
    gateway.answer(gateway.asked[0], ["t1", 3])
    assert gateway.serves

    gateway.hear(key, body)

    assert not gateway.serves


@pytest.mark.parametrize(("status", "is_ending"), [("sold", True), ("on_sale", True), ("reserved", False)])
def test_who_waits_for_the_end_of_a_reservation_is_woken_by_the_tickets_event(gateway, status, is_ending):
    gateway.hear("TicketReservationChanged", {"id": "t1", "version": 4, "status": status})

    known = gateway.ended_holds.wait("t1", 0, 0)

    assert (known > 0) is is_ending
    assert gateway.ended_holds.wait("t1", known, 0) == known


@pytest.mark.parametrize("body", [b"", b"{}"])
def test_what_says_nothing_is_ignored(gateway, body):
    gateway.follower.ask()
    gateway.answer(gateway.asked[0], ["t1", 3])

    gateway.hear("check", body)

    assert gateway.serves


@pytest.mark.parametrize(("body", "headers"), [(b"\xff", {}), (b"{}", {"compression": "gzip"})])
def test_what_cannot_be_read_begins_everything_anew(gateway, body, headers):
    with pytest.raises(ValueError, match="."):
        gateway.hear("TicketUpdated", body, **headers)


def test_a_queue_to_which_no_answer_comes_is_given_up(gateway):
    gateway.follower.ask()
    gateway.now += SILENT_SECONDS
    gateway.follower._check()
    gateway.follower.ask()
    gateway.now += 0.1

    with pytest.raises(Silent):
        gateway.follower._check()


def test_a_queue_is_not_to_blame_while_tickets_takes_no_questions(gateway):
    gateway.is_away = True
    with pytest.raises(ServiceUnavailable):
        gateway.follower.ask()
    gateway.now += 60

    gateway.follower._check()


def test_a_request_that_is_cut_off_while_it_waits_for_an_ending_leaves_nothing_behind(monkeypatch):
    class CutOff(threading.Event):
        def wait(self, timeout=None):
            raise SystemExit

    ended_holds = EndedHolds()
    monkeypatch.setattr(threading, "Event", CutOff)

    with pytest.raises(SystemExit):
        ended_holds.wait("t1", 0, 5)

    assert ended_holds._waiting == {}
