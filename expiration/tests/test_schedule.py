"""The jobs in Redis: made from the record, made again when Redis loses them, and gone when the order ends."""

import logging
import os
import signal
import sys
import time
from datetime import UTC, datetime, timedelta

import pytest
from kombu import Connection
from redis import Redis, RedisError
from redis.client import Pipeline
from redis.exceptions import OutOfMemoryError
from rq.serializers import JSONSerializer

from dev.testing import commands_on, queue_length, wait_for
from expiration import jobs
from expiration.schedule import FAILURE_SECONDS, QUEUE, JsonJob, Schedule, job_id
from expiration.service import ExpirationService
from expiration.store import DeadlineStore
from expiration.worker import LoopingWorker
from libs.clock import utc_now
from libs.contracts.events import CATALOGUE
from libs.errors import is_unavailable
from libs.events import Batch
from libs.redis import ONCE, connect
from libs.schema import migrate

UNREACHABLE = "redis://127.0.0.1:1/0"
SOON = timedelta(seconds=20)


@pytest.fixture
def schedule(redis_url):
    return Schedule(connect(redis_url))


@pytest.fixture
def service(mongo, schedule):
    """The service, with its real database and Redis, called as its handlers and timers are."""
    service = ExpirationService()
    service.store, service.schedule = DeadlineStore(mongo), schedule
    migrate(mongo, DeadlineStore.schema)
    return service


def an_order(number=1, status="created", version=1, expires_in=SOON):
    return {"id": f"o{number}", "status": status, "version": version, "expires_at": utc_now() + expires_in}


def a_worker(schedule):
    connection = schedule.scheduler.connection
    return LoopingWorker([QUEUE], connection=connection, job_class=JsonJob, serializer=JSONSerializer)


def create(service, *orders):
    service.on_orders_created(Batch(orders, [f"reserved {order['id']}" for order in orders]))


def scheduled(schedule):
    return {
        ident.decode() for ident in schedule.scheduler.connection.zrange(schedule.scheduler.scheduled_jobs_key, 0, -1)
    }


def test_no_job_is_due_before_its_deadline(schedule):
    deadline = datetime(2030, 1, 1, 12, 0, 0, 1000, UTC)

    schedule.put("o1", deadline)
    schedule.put("o2", deadline.replace(microsecond=0))

    due = dict(schedule.scheduler.get_jobs(with_times=True))
    assert {job.id: moment.second for job, moment in due.items()} == {job_id("o1"): 1, job_id("o2"): 0}


def test_an_open_deadline_has_one_job_however_often_its_event_comes(service, schedule):
    order = an_order()

    create(service, order)
    create(service, order)

    assert scheduled(schedule) == {job_id("o1")}
    assert schedule.missing(["o1"]) == []


@pytest.mark.parametrize("status", ["awaiting_payment", "complete", "cancelled"])
def test_the_job_of_an_order_that_ended_is_removed(service, schedule, status):
    create(service, an_order())

    service.on_order_changed(an_order(status=status, version=2))

    assert schedule.scheduler.connection.keys("*expire-*") == []
    assert scheduled(schedule) == set()


def test_an_order_costs_one_write_and_one_round_trip_to_redis_until_its_end_and_one_each_at_it(
    service, mongo, schedule
):
    pool, trips = schedule.scheduler.connection.connection_pool, []
    pool.get_connection = counted(pool.get_connection, trips)

    with commands_on(mongo) as begun:
        create(service, an_order())
    with commands_on(mongo) as ended:
        service.on_order_changed(an_order(status="awaiting_payment", version=2))
    with commands_on(mongo) as completed:
        service.on_order_changed(an_order(status="complete", version=3))

    assert [len(commands) for commands in (begun, ended, completed)] == [1, 1, 1]
    assert len(trips) == 2
    assert service.store.find("o1").order_version == 3


def counted(call, calls):
    def counting(*args, **kwargs):
        calls.append(args)
        return call(*args, **kwargs)

    return counting


@pytest.mark.parametrize(
    "lose",
    [
        lambda connection: connection.flushdb(),
        lambda connection: connection.delete("rq:scheduler:scheduled_jobs"),
        lambda connection: connection.delete(f"rq:job:{job_id('o1')}"),
    ],
)
def test_jobs_that_redis_lost_are_scheduled_again_from_the_record(service, schedule, lose):
    create(service, an_order())
    create(service, an_order(2, expires_in=-SOON))
    lose(schedule.scheduler.connection)

    service.restore()

    assert scheduled(schedule) == {job_id("o1"), job_id("o2")}
    assert schedule.missing(["o1", "o2"]) == []


@pytest.mark.parametrize(
    "damage",
    [
        lambda connection, key: connection.hset(key, "data", b"\xff"),
        lambda connection, key: connection.hset(key, "data", "[1]"),
        lambda connection, key: connection.hset(key, "created_at", "noon"),
        lambda connection, key: (connection.delete(key), connection.set(key, "a job")),
    ],
)
def test_a_job_that_cannot_be_read_holds_up_no_other_and_is_made_again(service, schedule, damage):
    for number in (1, 2):
        create(service, an_order(number, expires_in=-SOON))
    connection = schedule.scheduler.connection
    damage(connection, f"rq:job:{job_id('o1')}")

    schedule.scheduler.enqueue_jobs()

    assert connection.lrange(f"rq:queue:{QUEUE}", 0, -1) == [job_id("o2").encode()]
    service.restore()
    assert scheduled(schedule) == {job_id("o1")}
    damage(connection, f"rq:job:{job_id('o2')}")
    queue = schedule.scheduler._queue
    assert queue.dequeue_any([queue], None, connection, JsonJob, JSONSerializer) is None


INTRUSIONS = {
    "a function": {"data": '["intruder.run", null, ["o1", null], {}]'},
    "an operator of MongoDB's": {"data": '["expiration.jobs.complete", null, [{"$gt": ""}, null], {}]'},
    "an operator by name": {"data": '["expiration.jobs.complete", null, [], {"order_id": {"$gt": ""}}]'},
    "a callback": {"success_callback_name": "intruder.run"},
    "a callback of failures": {"failure_callback_name": "intruder.run", "data": '["nothing", null, [], {}]'},
    "a callback of an abandoned job": {"failure_callback_name": "intruder.run", "status": "started"},
    "a class of queues": {"meta": '{"queue_class_name": "intruder.run"}'},
    "an hourly job": {"meta": '{"interval": 3600}'},
    "an address to call": {"webhooks": '[{"url": "http://127.0.0.1:1/", "job_status": "finished"}]'},
    "another turn": {"repeats_left": 3},
}


@pytest.fixture
def done_by_intruder(tmp_path, monkeypatch):
    """Return a function that lists what an intruder had done: their module imported, an address called."""
    called = []
    (tmp_path / "intruder.py").write_text("def run(*_, **__):\n    pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("rq.webhook.urlopen", lambda request, **_: called.append(request.full_url))
    yield lambda: called + [name for name in sys.modules if name == "intruder"]
    sys.modules.pop("intruder", None)


@pytest.mark.parametrize("intrusion", INTRUSIONS)
@pytest.mark.parametrize("queued", [False, True], ids=["scheduled", "queued"])
def test_whoever_writes_to_redis_has_nothing_done_but_that_deadlines_fire(
    service, schedule, monkeypatch, done_by_intruder, intrusion, queued
):
    """One job, written with a stolen password, ran any program as the worker, which has all its passwords."""
    ran = []
    monkeypatch.setattr(jobs, "complete", lambda *arguments, **named: ran.append((*arguments, *named.values())))
    connection, worker = schedule.scheduler.connection, a_worker(schedule)
    worker._install_signal_handlers = lambda: None  # this process has its own
    create(service, an_order(expires_in=-SOON))
    if queued:
        schedule.scheduler.enqueue_jobs()
    connection.hset(f"rq:job:{job_id('o1')}", mapping=INTRUSIONS[intrusion])
    connection.zadd("rq:wip:expiration", {f"{job_id('o1')}:1": 1})

    schedule.scheduler.enqueue_jobs()
    worker.work(burst=True, logging_level="CRITICAL")

    assert done_by_intruder() == []
    assert ran in ([], [("o1", "reserved o1")])
    assert schedule.counts() == (0, 0)


def test_jobs_of_ended_and_of_distant_deadlines_are_not_scheduled_again(service, schedule):
    create(service, an_order())
    service.on_order_changed(an_order(status="cancelled", version=2))
    create(service, an_order(2, expires_in=timedelta(minutes=15)))
    schedule.scheduler.connection.flushdb()

    service.restore()

    assert scheduled(schedule) == set()


def test_a_job_that_waits_for_the_worker_is_not_missing(service, schedule):
    create(service, an_order(expires_in=-SOON))

    schedule.scheduler.enqueue_jobs()

    assert schedule.scheduler.connection.lrange(f"rq:queue:{QUEUE}", 0, -1) == [job_id("o1").encode()]
    assert schedule.missing(["o1", "o2"]) == ["o2"]


def test_the_service_is_not_held_up_by_reading_a_long_queue_while_the_worker_is_down(schedule, monkeypatch):
    """It read all of it every five seconds: two seconds in which it did nothing else if 200,000 jobs waited."""
    execute, commands = Pipeline.execute, []

    def noting(pipeline, *arguments):
        commands.extend(command[0] for command, _ in pipeline.command_stack)
        return execute(pipeline, *arguments)

    monkeypatch.setattr(Pipeline, "execute", noting)
    schedule.missing(["o1"])

    assert commands == ["EXISTS", "ZSCORE", "HGET"]


def test_a_job_that_was_queued_is_made_again_if_redis_loses_the_queue(service, schedule):
    create(service, an_order(expires_in=-SOON))
    schedule.scheduler.enqueue_jobs()
    schedule.scheduler.connection.delete(f"rq:queue:{QUEUE}")

    service.restore()

    assert scheduled(schedule) == {job_id("o1")}


def test_jobs_of_orders_that_ended_do_not_pile_up_while_the_worker_is_down(service, schedule):
    for number in (1, 2):
        create(service, an_order(number, expires_in=-SOON))
    schedule.scheduler.enqueue_jobs()

    service.on_order_changed(an_order(1, status="cancelled", version=2))

    assert schedule.counts() == (0, 1)
    assert schedule.missing(["o2"]) == []


def test_an_order_that_ends_while_its_job_runs_leaves_nothing_of_it_and_is_no_error(
    service, schedule, monkeypatch, caplog
):
    create(service, an_order(expires_in=-SOON))
    schedule.scheduler.enqueue_jobs()
    monkeypatch.setattr(jobs, "complete", lambda *_: service.on_order_changed(an_order(status="cancelled", version=2)))
    connection, worker = schedule.scheduler.connection, a_worker(schedule)
    worker._install_signal_handlers = lambda: None  # this process has its own

    worker.work(burst=True, logging_level="WARNING")

    assert service.store.find("o1").state == "ended"
    assert connection.keys("*expire-*") == connection.keys("rq:failed:*") == connection.keys("rq:wip:*") == []
    assert not [each for each in caplog.records if each.levelno >= logging.WARNING]


def test_jobs_that_fail_during_an_outage_leave_nothing_in_redis_for_longer_than_an_hour(service, schedule, monkeypatch):
    create(service, an_order(expires_in=-SOON))
    schedule.scheduler.enqueue_jobs()
    monkeypatch.setattr(jobs, "complete", lambda *_: 1 / 0)
    connection, worker = schedule.scheduler.connection, a_worker(schedule)
    worker._install_signal_handlers = lambda: None  # this process has its own

    worker.work(burst=True, logging_level="CRITICAL")
    service.on_order_changed(an_order(status="cancelled", version=2))

    ((_, until),) = connection.zrange("rq:failed:expiration", 0, -1, withscores=True)
    assert until <= time.time() + FAILURE_SECONDS
    assert [key for key in connection.keys("*expire-*") if not 0 < connection.ttl(key) <= FAILURE_SECONDS] == []


def test_of_no_orders_no_job_is_missing(schedule):
    assert schedule.missing([]) == []


def test_many_orders_cost_one_write_and_one_round_trip_and_each_job_follows_from_its_own_request(
    service, mongo, schedule
):
    pool, trips = schedule.scheduler.connection.connection_pool, []
    create(service, an_order(2))
    service.on_order_changed(an_order(2, status="cancelled", version=2))
    pool.get_connection = counted(pool.get_connection, trips)

    with commands_on(mongo) as commands:
        create(service, an_order(1), an_order(3))

    assert (len(commands), len(trips)) == (1, 1)
    create(service, an_order(1), an_order(2), an_order(4))  # two come again
    jobs = {job.id: job.args[1] for job in schedule.scheduler.get_jobs()}
    assert {ident: jobs[job_id(ident)] for ident in ("o3", "o4")} == {"o3": "reserved o3", "o4": "reserved o4"}
    assert scheduled(schedule) == {job_id(ident) for ident in ("o1", "o3", "o4")}


@pytest.fixture
def signals():
    """Leave this process its own handlers of signals."""
    kinds = (signal.SIGINT, signal.SIGTERM)
    before = [signal.getsignal(kind) for kind in kinds]
    yield
    for kind, handler in zip(kinds, before, strict=True):
        signal.signal(kind, handler)


@pytest.mark.usefixtures("signals")
def test_a_scheduler_outlives_an_outage_of_redis_logs_it_once_and_can_be_stopped_during_one(monkeypatch, caplog):
    """It ended with a traceback, which let its supervisor wait longer and longer before it started it again.

    Later it logged a line every second.
    """
    connection, tries = connect(UNREACHABLE), []
    connection.set_retry(ONCE)

    def sleep(seconds):
        tries.append(seconds)
        if len(tries) == 3:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr("time.sleep", sleep)
    with pytest.raises(SystemExit):
        Schedule(connection).scheduler.run()

    assert len(tries) == 3
    assert caplog.text.count("Redis is unreachable") == 1


def test_a_scheduler_that_redis_refuses_to_register_does_not_log_every_second_that_it_ends(caplog):
    caplog.set_level(logging.INFO)
    connection = connect(UNREACHABLE)
    connection.set_retry(ONCE)

    Schedule(connection).scheduler.register_death()

    assert not caplog.records


@pytest.mark.usefixtures("signals")
def test_a_worker_outlives_a_redis_that_refuses_writes(service, schedule, monkeypatch):
    """It ended, and was started again and again."""
    create(service, an_order(expires_in=-SOON))
    schedule.scheduler.enqueue_jobs()
    monkeypatch.setattr(jobs, "complete", lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    worker = a_worker(schedule)
    pauses, heartbeat, execute = [], worker.heartbeat, Pipeline.execute

    def fill(**_):
        monkeypatch.setattr(worker, "heartbeat", heartbeat)
        monkeypatch.setattr(Pipeline, "execute", lambda *_, **__: fail(OutOfMemoryError("OOM")))
        fail(OutOfMemoryError("OOM"))

    def sleep(seconds):
        pauses.append(seconds)
        if len(pauses) == 3:
            monkeypatch.setattr(Pipeline, "execute", execute)

    monkeypatch.setattr(worker, "heartbeat", fill)
    monkeypatch.setattr("time.sleep", sleep)

    worker.run()

    assert len(pauses) == 3
    assert schedule.counts() == (0, 0)


def test_a_scheduler_that_is_killed_never_leaves_a_registration_that_does_not_lapse(schedule):
    """The key got its time in a second round trip: had the scheduler died before it, the key would have stayed."""
    scheduler, trips = schedule.scheduler, []
    pool = scheduler.connection.connection_pool
    pool.get_connection = counted(pool.get_connection, trips)

    scheduler.heartbeat()

    assert len(trips) == 1
    assert 0 < scheduler.connection.ttl(scheduler.key) <= 11


def test_a_scheduler_goes_on_when_redis_is_back(schedule, monkeypatch):
    scheduler, failures = schedule.scheduler, [ConnectionError("Redis is unreachable")]
    heartbeat = scheduler.heartbeat
    monkeypatch.setattr(scheduler, "heartbeat", lambda: fail(failures.pop()) if failures else heartbeat())
    monkeypatch.setattr(scheduler, "_install_signal_handlers", lambda: None)
    schedule.put("o1", utc_now() - timedelta(minutes=1))

    scheduler.run(burst=True)

    assert schedule.counts() == (0, 1)
    assert not schedule.scheduler.connection.exists(scheduler.scheduler_lock_key)


def fail(error):
    raise error


def test_while_redis_is_unreachable_the_record_is_kept_and_the_event_is_retried(service, schedule):
    service.schedule = Schedule(Redis.from_url(UNREACHABLE))
    with pytest.raises(RedisError) as outage:
        create(service, an_order())
    assert is_unavailable(outage.value)

    service.schedule = schedule
    create(service, an_order())

    assert service.store.find("o1").state == "open"
    assert scheduled(schedule) == {job_id("o1")}


@pytest.fixture
def complete(monkeypatch, mongo_url, amqp_url):
    """The job itself, with the connections that it keeps in the worker."""
    monkeypatch.setenv("EXPIRATION_MONGO_URL", mongo_url)
    monkeypatch.setenv("EXPIRATION_AMQP_URL", amqp_url)
    with Connection(amqp_url) as connection:
        CATALOGUE.declare(connection.default_channel)  # as the set-up of the broker does
    with jobs.relaying():
        yield jobs.complete


def test_a_deadline_fires_once_and_not_before_its_time(service, complete, amqp_url):
    create(service, an_order(1, expires_in=-SOON))
    create(service, an_order(2))

    fired = [complete("o1"), complete("o1"), complete("o2"), complete("unknown")]

    assert fired == [True, False, False, False]
    wait_for(lambda: queue_length(amqp_url, "orders.ExpirationComplete") == 1)
