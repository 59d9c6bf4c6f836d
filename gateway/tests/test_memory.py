"""A process's cache of the public reads, and how long it keeps them, by a clock that the tests move."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from greenlet import GreenletExit
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from dev.testing import wait_for
from gateway.cache.memory import JOIN_SECONDS, MOST_FORMS, TRUST_SECONDS, YOUNG_SECONDS, Memory
from libs.rpc import RemoteError, ServiceUnavailable

FOREVER = float("inf")
LIST = (("limit", 20),)
OLD = YOUNG_SECONDS + 0.01


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def memory(clock):
    """The memory of a process that listens, and has heard of everything until now."""
    memory = Memory(clock, clock)
    memory.start_listening()
    memory.trust(clock.now)
    return memory


def fetch(memory, key="t1", version=1, until=FOREVER):
    """Read a ticket, or a list, and return the version or the text that is served."""
    value = {"version": version} if isinstance(key, str) else {"tickets": [version]}
    return memory.fetch(key, lambda _: (value, value.get("version"), until), 5).value


def is_kept(memory, key="t1"):
    return memory.find(key) is not None


@pytest.mark.parametrize("key", ["t1", LIST])
def test_what_was_read_is_served_while_all_changes_are_heard_of(memory, clock, key):
    fetch(memory, key)

    for _ in range(10):
        clock.now += 0.5
        memory.trust(clock.now)
        assert is_kept(memory, key)


@pytest.mark.parametrize("key", ["t1", LIST])
def test_nothing_is_served_once_the_newest_watermark_is_a_second_old_but_again_with_the_next(memory, clock, key):
    fetch(memory, key)

    clock.now += TRUST_SECONDS

    assert not is_kept(memory, key)
    memory.trust(clock.now - 0.9)
    assert is_kept(memory, key)


def test_a_watermark_counts_from_when_it_was_asked_for_however_late_it_arrives(memory, clock):
    fetch(memory)
    clock.now += 10

    memory.trust(clock.now - TRUST_SECONDS)

    assert not is_kept(memory)


def test_an_earlier_watermark_after_a_later_one_changes_nothing(memory, clock):
    fetch(memory)
    clock.now += 0.5
    memory.trust(clock.now)

    memory.trust(clock.now - 5)

    clock.now += 0.9
    assert is_kept(memory)


def test_a_newer_version_drops_the_ticket_at_once_and_an_older_one_does_not(memory):
    fetch(memory, version=3)

    memory.change("t1", 3)
    memory.change("t1", 2)
    assert is_kept(memory)

    memory.change("t1", 4)
    assert not is_kept(memory)


def test_a_change_of_any_ticket_ends_lists_but_for_the_youngest(memory, clock):
    fetch(memory, LIST)

    memory.change("t9", 1)

    assert is_kept(memory, LIST)
    clock.now += OLD
    memory.trust(clock.now)
    assert not is_kept(memory, LIST)


def test_a_change_of_another_ticket_leaves_a_ticket(memory, clock):
    fetch(memory)
    clock.now += OLD

    memory.change("t9", 1)

    assert is_kept(memory)


def test_a_ticket_that_was_read_before_a_change_that_is_heard_of_first_is_read_again(memory):
    versions = iter([4, 4, 5])

    def read(_timeout):
        memory.change("t1", 5)
        return {}, next(versions), FOREVER

    assert memory.fetch("t1", read, 5).version == 5
    assert memory.find("t1").version == 5


def test_a_list_that_was_read_while_something_changed_is_kept_for_a_moment_only(memory, clock):
    def read(_timeout):
        memory.change("t1", 5)
        return {"tickets": []}, None, FOREVER

    memory.fetch(LIST, read, 5)

    assert is_kept(memory, LIST)
    clock.now += OLD
    memory.trust(clock.now)
    assert not is_kept(memory, LIST)


@pytest.mark.parametrize("key", ["t1", LIST])
def test_what_changes_by_itself_is_served_until_then(memory, clock, key):
    fetch(memory, key, until=clock.now + 0.1)
    assert is_kept(memory, key)

    clock.now += 0.1

    assert not is_kept(memory, key)


def test_a_process_that_hears_nothing_keeps_nothing(clock):
    memory = Memory(clock, clock)

    fetch(memory)

    assert not is_kept(memory)


def test_a_new_queue_begins_with_an_empty_memory_and_ignores_what_was_read_before(memory):
    fetch(memory)

    def read(_timeout):
        memory.start_listening()
        memory.trust(1000.0)
        return {}, 1, FOREVER

    memory.fetch("t2", read, 5)

    assert not is_kept(memory) and not is_kept(memory, "t2")


def test_an_error_is_not_kept(memory):
    def fail(_timeout):
        raise RemoteError("TicketNotFound")

    for _ in range(2):
        with pytest.raises(RemoteError):
            memory.fetch("t1", fail, 5)
    assert fetch(memory) == {"version": 1}


def test_the_longest_unused_makes_room_first(clock):
    memory = Memory(clock, clock, most_entries=2)
    memory.start_listening()
    for key in ("t1", "t2"):
        fetch(memory, key)
    assert is_kept(memory, "t1")

    fetch(memory, "t3")

    assert [is_kept(memory, key) for key in ("t1", "t2", "t3")] == [True, False, True]


def test_the_forms_of_an_entry_count_and_are_few(clock):
    memory = Memory(clock, clock, most_bytes=20_000)
    memory.start_listening()
    for key in ("t1", "t2", "t3"):
        fetch(memory, key)
        for number in range(100):
            memory.keep(memory.find(key), f"form {number}", "x", 100)

    assert [is_kept(memory, key) for key in ("t1", "t2", "t3")] == [False, True, True]
    assert len(memory.find("t3").forms) == MOST_FORMS


class Slow:
    """A service whose answers wait until they are released; it fails as often as it is told."""

    def __init__(self, *failures):
        self.calls, self.failures, self.released = [], list(failures), threading.Event()

    def __call__(self, timeout):
        self.calls.append(timeout)
        assert self.released.wait(10)
        if self.failures:
            raise self.failures.pop()
        return {}, 1, FOREVER


def at_once(memory, slow, number=8):
    """Let so many requests for one ticket come at the same time; return what each got."""

    def request():
        try:
            return memory.fetch("t1", slow, 5).version
        except (RemoteError, ServiceUnavailable) as error:
            return type(error)

    with ThreadPoolExecutor(number) as pool:
        results = [pool.submit(request) for _ in range(number)]
        wait_for(lambda: slow.calls)
        wait_for(lambda: pool._work_queue.empty())
        slow.released.set()
        return [result.result() for result in results]


def test_of_many_requests_at_once_one_asks_the_service(memory):
    slow = Slow()

    assert at_once(memory, slow) == [1] * 8
    assert len(slow.calls) == 1


def test_what_the_service_refuses_is_refused_to_all_who_wait(memory):
    slow = Slow(RemoteError("TicketNotFound"))

    answers = at_once(memory, slow)

    assert answers.count(RemoteError) + answers.count(1) == 8
    assert RemoteError in answers


def test_when_the_service_does_not_answer_one_another_tries(memory):
    slow = Slow(ServiceUnavailable("lost"))

    assert sorted(map(str, at_once(memory, slow))) == [*"1" * 7, str(ServiceUnavailable)]
    assert 2 <= len(slow.calls) <= 3


def test_when_the_request_that_reads_is_cut_off_another_tries(memory):
    slow = Slow(GreenletExit())
    with ThreadPoolExecutor(2) as pool:
        cut_off = pool.submit(memory.fetch, "t1", slow, 5)
        wait_for(lambda: slow.calls)
        waiting = pool.submit(memory.fetch, "t1", slow, 5)
        slow.released.set()

        assert isinstance(cut_off.exception(), GreenletExit)
        assert waiting.result().version == 1


def test_a_ticket_that_stays_older_than_was_heard_of_is_served_and_not_kept(memory):
    reads = []

    def read(_timeout):
        reads.append(1)
        memory.change("t1", 5)
        return {}, 4, FOREVER

    assert memory.fetch("t1", read, 5).version == 4
    assert 1 < len(reads) < 10 and not is_kept(memory)


def test_nobody_waits_for_a_reading_that_began_long_ago(memory, clock):
    slow = Slow()
    with ThreadPoolExecutor(1) as pool:
        stuck = pool.submit(memory.fetch, "t1", slow, 5)
        wait_for(lambda: slow.calls)
        clock.now += JOIN_SECONDS + 0.01

        assert fetch(memory, version=2) == {"version": 2}

        slow.released.set()
        assert stuck.result().version == 1
    assert memory.find("t1").version == 2


def test_only_use_asks_for_watermarks(memory, clock):
    clock.now += 60
    fetch(memory)
    assert not memory.used.is_set()

    clock.now += 0.5
    fetch(memory, "t2")

    assert memory.used.is_set() and memory.is_in_use
    clock.now += 5
    assert not memory.is_in_use


class Marketplace(RuleBasedStateMachine):
    """Two tickets and their list, changes whose events are late or lost, and watermarks that come when they like.

    `committed` says when each version was committed. Lost events are named by each later watermark, as waiting.
    """

    @initialize()
    def begin(self):
        self.clock = Clock()
        self.memory = Memory(self.clock, self.clock)
        self.committed = {"t1": [self.clock.now], "t2": [self.clock.now]}
        self.on_the_way, self.asked = [], None
        self.memory.start_listening()

    def version(self, ticket):
        return len(self.committed[ticket])

    def stored(self):
        return {ticket: self.version(ticket) for ticket in self.committed}

    @rule(seconds=st.sampled_from([0.05, 0.2, 0.4, 0.9, 1.1]))
    def wait(self, seconds):
        self.clock.now += seconds

    @rule(ticket=st.sampled_from(["t1", "t2"]))
    def change(self, ticket):
        self.committed[ticket].append(self.clock.now)
        self.on_the_way.append((ticket, self.version(ticket)))

    @rule()
    def hear_the_first_event(self):
        if self.on_the_way:
            self.memory.change(*self.on_the_way.pop(0))

    @rule()
    def ask(self):
        self.asked = self.clock.now, list(self.on_the_way)

    @rule()
    def hear_the_watermark(self):
        if self.asked:
            moment, waiting = self.asked
            for change in waiting:
                self.memory.change(*change)
            self.memory.trust(moment)
            self.asked = None

    @rule()
    def ask_and_hear(self):
        self.ask()
        self.hear_the_watermark()

    @rule(key=st.sampled_from(["t1", "t2", LIST]))
    def read(self, key):
        stored = self.stored()
        value = {"tickets": [1, 2], **stored} if key == LIST else stored
        self.memory.fetch(key, lambda _: (value, None if key == LIST else stored[key], FOREVER), 5)

    @invariant()
    def nothing_served_is_older_than_a_second(self):
        for key in ("t1", "t2", LIST) if hasattr(self, "memory") else ():
            if entry := self.memory.find(key):
                for ticket in self.committed if isinstance(key, tuple) else [key]:
                    newer = self.committed[ticket][entry.value[ticket] :]
                    assert all(self.clock.now - moment < TRUST_SECONDS for moment in newer), (key, ticket)


TestMarketplace = pytest.mark.lengthy(Marketplace.TestCase)
TestMarketplace.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
