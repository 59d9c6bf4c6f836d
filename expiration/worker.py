"""The rq worker process: `python -m expiration.worker`. Runs due jobs in this process, which keeps its connections."""

import logging
import time
from contextlib import suppress
from functools import partial
from typing import Any

from redis import Redis
from rq import SimpleWorker
from rq.exceptions import StopRequested
from rq.serializers import JSONSerializer

from expiration.jobs import relaying
from expiration.schedule import QUEUE, JsonJob
from libs import internal_port, logs, tracing
from libs.contracts.events import ExpirationComplete
from libs.database import check_readable
from libs.errors import Unavailable, ignoring_unavailable, is_unavailable
from libs.internal_port import CHECK_SECONDS, Loop
from libs.redis import connect
from libs.settings import AMQP_FORM, REDIS_FORM, amqp_url, check_common, parsed, required

log = logging.getLogger(__name__)

TTL_SECONDS = 20
"""The worker's heartbeat comes every five seconds: rq subtracts fifteen from this."""
LONGEST_TURN_SECONDS = 90
RECONNECT_SECONDS = 5.0
"""How long it waits at most before it tries a lost Redis again; rq waits for up to a minute."""


class LoopingWorker(SimpleWorker):
    """rq's worker without forks, with a `loop` for health checks."""

    max_connection_wait_time = RECONNECT_SECONDS

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.loop = Loop(LONGEST_TURN_SECONDS)
        super().__init__(*args, **kwargs)

    def run(self) -> None:
        """Work until the process is stopped; rq ends as soon as Redis refuses a write, as when it is out of memory."""
        with suppress(StopRequested):
            while not self._shutdown_requested_date:
                self.loop.turned()
                try:
                    self.work(logging_level="WARNING")
                except Exception as error:
                    if not is_unavailable(error):
                        raise
                    log.warning("Redis takes no jobs, next try in %s s: %s", RECONNECT_SECONDS, error)
                if not self._shutdown_requested_date:
                    time.sleep(RECONNECT_SECONDS)

    def register_birth(self) -> None:
        """Register, even again: stock refuses to start while this worker is still registered in Redis."""
        self.connection.delete(self.key)
        super().register_birth()  # type: ignore[no-untyped-call]

    def register_death(self) -> None:
        """Unregister if Redis accepts writes; otherwise the registration lapses."""
        with ignoring_unavailable():
            super().register_death()  # type: ignore[no-untyped-call]

    def heartbeat(self, *args: Any, **kwargs: Any) -> None:
        """Note that the loop turns, and refresh the registration in Redis."""
        self.loop.turned()
        super().heartbeat(*args, **kwargs)

    def check_registered(self, redis: Redis) -> None:
        """Raise Unavailable if this worker is not registered in Redis."""
        if not redis.exists(self.key):
            raise Unavailable("this worker is not registered")


def main() -> None:
    """Run until the process is stopped; refuses to start without its settings."""
    check_common()
    tracing.set_up("worker")
    required("EXPIRATION_MONGO_URL")
    parsed("EXPIRATION_AMQP_URL", amqp_url, AMQP_FORM)
    worker = LoopingWorker(
        [QUEUE],
        connection=parsed("WORKER_REDIS_URL", connect, REDIS_FORM),
        job_class=JsonJob,
        serializer=JSONSerializer,
        worker_ttl=TTL_SECONDS,
    )
    redis = parsed("WORKER_REDIS_URL", partial(connect, seconds=CHECK_SECONDS), REDIS_FORM)
    with relaying() as relay:
        loop = {"loop": worker.loop.check}
        needed = {
            "redis": lambda: worker.check_registered(redis),
            "database": lambda: check_readable(relay.aggregates[0].collection),
            "broker": lambda: relay.publisher.check(ExpirationComplete.exchange),
        }
        internal_port.serve(ready=loop | needed, alive=loop)
        worker.run()


if __name__ == "__main__":
    logs.run(main)
