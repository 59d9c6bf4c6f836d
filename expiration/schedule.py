"""One job in Redis, through rq-scheduler, for each open deadline; its id is made from the order's.

Jobs are JSON, and name one function: with rq's defaults anybody who can write to Redis can run code here.
"""

import logging
import math
import time
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from redis import Redis
from rq import Queue
from rq.exceptions import InvalidJobOperation, NoSuchJobError
from rq.job import Job, JobStatus
from rq.serializers import JSONSerializer
from rq_scheduler import Scheduler

from libs import tracing
from libs.context import correlation_id
from libs.errors import Unavailable, ignoring_unavailable, is_unavailable
from libs.internal_port import Loop

log = logging.getLogger(__name__)
logging.getLogger("rq_scheduler").setLevel(logging.WARNING)  # it logs its shutdown at each try

QUEUE = "expiration"
FUNCTION = "expiration.jobs.complete"
FIELDS = frozenset(
    b"data origin description meta status timeout result_ttl failure_ttl"
    b" created_at enqueued_at started_at ended_at last_heartbeat worker_name".split()
)
"""The fields of our jobs. Others make rq call functions (as callbacks) and addresses, and repeat jobs."""
POLL_SECONDS = 1
LONGEST_TURN_SECONDS = 30
QUIET_SECONDS = 60
FAILURE_SECONDS = 3600
"""How long rq keeps the record of a failed job, instead of a year: the service makes the job again at once."""


class JsonJob(Job):
    """A job whose data are JSON, and which can only call our function."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs["serializer"] = JSONSerializer
        super().__init__(*args, **kwargs)

    def refresh(self) -> None:
        """Read the job. An unreadable one is removed: it would crash scheduler and worker again and again.

        The service schedules it again. Raises NoSuchJobError.
        """
        try:
            super().refresh()  # type: ignore[no-untyped-call]
        except NoSuchJobError:
            raise
        except Exception as error:
            if is_unavailable(error):
                raise
            log.exception("%s cannot be read, and is removed", self.id)
            self.connection.delete(self.key)
            raise NoSuchJobError(self.id) from error

    def restore(self, raw_data: Mapping[bytes, bytes]) -> None:
        """Restore a job from its data in Redis; raise ValueError if it is none of ours.

        rq would call the function that it names, and rq-scheduler a class that its `meta` names.
        """
        super().restore({field: raw_data[field] for field in FIELDS & raw_data.keys()})
        has_texts = all(isinstance(each, str | None) for each in self.args) and not self.kwargs
        if self.func_name != FUNCTION or not has_texts or not self.meta.keys() <= {tracing.HEADER}:
            raise ValueError("not one of our jobs")

    def _fetch_status(self) -> JobStatus:
        """Read the status. A job that was removed while it ran, as its order ended, is tidied up as if it were there.

        rq would record a failure.
        """
        try:
            return super()._fetch_status()
        except InvalidJobOperation:
            return JobStatus.STARTED


class LoopingScheduler(Scheduler):
    """rq-scheduler's scheduler with a `loop` for health checks, which turns every second."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.loop = Loop(LONGEST_TURN_SECONDS)

    def run(self, burst: bool = False) -> None:
        """Move due jobs every second until the process is stopped.

        While Redis is unreachable, try again every second; log that once a minute at most.
        """
        said_at = float("-inf")
        while True:
            try:
                super().run(burst)
            except Exception as error:
                if not is_unavailable(error):
                    raise
                if time.monotonic() - said_at >= QUIET_SECONDS:
                    log.warning("Redis is unreachable, and tried every %s s: %s", POLL_SECONDS, error)
                    said_at = time.monotonic()
                time.sleep(POLL_SECONDS)
            else:
                return

    def register_birth(self) -> None:
        """Leave that to the heartbeat: stock refuses to start while this scheduler is still registered in Redis."""

    def register_death(self) -> None:
        """Unregister if Redis is reachable; the process can be stopped without it."""
        with ignoring_unavailable():
            super().register_death()

    def remove_lock(self) -> None:
        """Remove the lock, or leave it to lapse within eleven seconds."""
        with ignoring_unavailable():
            super().remove_lock()

    def heartbeat(self) -> None:
        """Note that the loop turns, and register in Redis, which may have lost the registration meanwhile."""
        self.loop.turned()
        with self.connection.pipeline() as pipeline:  # in one, so that no key is left that never lapses
            pipeline.hsetnx(self.key, "birth", time.time())  # rq-scheduler does it once, and then only prolongs it
            pipeline.expire(self.key, POLL_SECONDS + 10)
            pipeline.execute()

    def check_registered(self) -> None:
        """Raise Unavailable if this scheduler is not registered in Redis."""
        if not self.connection.exists(self.key):
            raise Unavailable("this scheduler is not registered")


class Schedule:
    """The scheduled jobs."""

    def __init__(self, connection: Redis) -> None:
        queue = Queue(QUEUE, connection=connection, job_class=JsonJob, serializer=JSONSerializer)
        self.scheduler = LoopingScheduler(queue=queue, connection=connection, interval=POLL_SECONDS, job_class=JsonJob)

    def put(self, order_id: str, expires_at: datetime) -> None:
        """Schedule the job of an order's deadline, replacing any earlier one; one round trip."""
        self.put_all([(order_id, expires_at, correlation_id(), tracing.traceparent())])

    def put_all(self, deadlines: Iterable[tuple[str, datetime, str | None, str | None]]) -> None:
        """Schedule jobs as `put` does, each with a correlation id and a traceparent.

        One round trip for all.
        """
        pipeline = self.scheduler.connection.pipeline(transaction=False)
        for order_id, expires_at, ident, traceparent in deadlines:
            job = self.scheduler._create_job(  # what rq-scheduler's `enqueue_at` does by one round trip after another
                FUNCTION,
                args=(order_id, ident),
                id=job_id(order_id),
                result_ttl=0,
                commit=False,
                meta={tracing.HEADER: traceparent} if traceparent else None,
            )
            job.failure_ttl = FAILURE_SECONDS
            job.save(pipeline)
            # whole seconds, as in rq-scheduler, rounded up: a job that came early would do nothing
            pipeline.zadd(Scheduler.scheduled_jobs_key, {job.id: math.ceil(expires_at.timestamp())})
        pipeline.execute()

    def remove(self, order_id: str) -> None:
        """Remove the job of an order's deadline, if there is one; one round trip, or two if it is queued."""
        ident = job_id(order_id)
        pipeline = self.scheduler.connection.pipeline(transaction=False)
        pipeline.zrem(Scheduler.scheduled_jobs_key, ident)
        pipeline.delete(JsonJob.key_for(ident))
        was_scheduled, had_data = pipeline.execute()
        if had_data and not was_scheduled:
            self.scheduler._queue.remove(ident)

    def counts(self) -> tuple[int, int]:
        """Return how many jobs are scheduled, and how many are on their way to the worker; one round trip."""
        pipeline = self.scheduler.connection.pipeline(transaction=False)
        pipeline.zcard(Scheduler.scheduled_jobs_key)
        pipeline.llen(Queue.redis_queue_namespace_prefix + QUEUE)
        scheduled, queued = pipeline.execute()
        return int(scheduled), int(queued)

    def missing(self, order_ids: list[str]) -> list[str]:
        """Return the orders whose job is neither scheduled nor queued for the worker; one round trip for all.

        rq records in a job's data that it is queued; the queue may be too long to be read. A job without its data
        counts as missing: the scheduler would drop it when it is due.
        """
        pipeline = self.scheduler.connection.pipeline(transaction=False)
        pipeline.exists(Queue.redis_queue_namespace_prefix + QUEUE)
        for ident in map(job_id, order_ids):
            pipeline.zscore(Scheduler.scheduled_jobs_key, ident)
            pipeline.hget(JsonJob.key_for(ident), "status")
        is_queue, *found = pipeline.execute()
        queued = JobStatus.QUEUED.encode() if is_queue else None
        places = zip(order_ids, found[::2], found[1::2], strict=True)
        return [
            order_id for order_id, score, status in places if status is None or (score is None and status != queued)
        ]


def job_id(order_id: str) -> str:
    """Return the id of the job of an order's deadline."""
    return f"expire-{order_id}"
