"""A service container that gives each worker its correlation id and deadline, and logs each failure once."""

import gc
import heapq
import logging
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

from eventlet.greenpool import GreenPool
from eventlet.hubs import get_default_hub
from nameko.constants import DEFAULT_MAX_WORKERS
from nameko.containers import ServiceContainer, WorkerContext

from libs import context, internal_port, logs, metrics, tracing
from libs.alarms import FailureStreak
from libs.amqp.timer import Timer
from libs.errors import Unavailable, log_failure
from libs.security_events import note_refusal
from libs.settings import AMQP_FORM, amqp_url, check_common, parsed

log = logging.getLogger(__name__)
timers = FailureStreak("timer_stuck")
"""The failures of timers, by method: no caller waits for a timer, so they would go unnoticed."""

MOST_WAITING = 100
"""How many slow calls of a service may wait for a worker; more are refused."""

HandleResult = Callable[[WorkerContext, Any, Any], tuple[Any, Any]]


def _sleep_until(self: Any) -> float | None:
    """Return when the next timer is due; eventlet would wake up for each one that was cancelled, as time-outs are.

    So the five services wake up 28 times a second at rest instead of 42, at a quarter of a CPU-ms each.
    """
    while self.timers and self.timers[0][1].called:
        heapq.heappop(self.timers)
        self.timers_canceled -= 1
    due: float | None = self.timers[0][0] if self.timers else None
    return due


get_default_hub().Hub.sleep_until = _sleep_until


class DeadlineExceeded(Unavailable):
    """The call's deadline may have passed before a worker was free, so it was not begun."""


class Container(ServiceContainer):
    """Runs workers as nameko's own container does; a config.yml selects it with SERVICE_CONTAINER_CLS.

    An entrypoint may put into a worker's context data `correlation_id`, a function `span` that returns the context
    manager of its span (`libs.tracing`), and a function `left_seconds` that returns how long the work may take, called
    when a worker is free: if no time is left, the work is not begun. The log is nameko's own when config.yml has
    LOGGING.

    Slow entrypoints (`is_slow`: they wait for an external service) have workers of their own, so that the others always
    find one (bulkheads): for each kind of entrypoint, `max_slow_workers` of config.yml.
    """

    def __init__(self, service_cls: Any, config: dict[str, Any], *args: Any, **kwargs: Any) -> None:
        with logs.logging_exit():
            if "LOGGING" not in config:
                logs.set_up()
            check_common()
            tracing.set_up(service_cls.name)
            if config.get("AMQP_URI"):  # extensions that need it refuse to start without it, but try its form before
                config = {**config, "AMQP_URI": parsed("AMQP_URI", amqp_url, AMQP_FORM, config, service_cls.name)}
        super().__init__(service_cls, config, *args, **kwargs)
        self.max_slow_workers = int(config.get("max_slow_workers") or config.get("max_workers") or DEFAULT_MAX_WORKERS)
        self._worker_pool = _Workers(self.max_workers, self.max_slow_workers)
        self._worker_pool.show()

    @property
    def most_at_once(self) -> int:
        """How many calls or events are taken from a queue at once, with room for others to pass slow ones."""
        if not any(getattr(entrypoint, "is_slow", False) for entrypoint in self.entrypoints):
            return int(self.max_workers)
        return int(self.max_workers) + self.max_slow_workers + MOST_WAITING

    def has_free_worker(self, entrypoint: Any) -> bool:
        """Whether `spawn_worker` would begin to execute `entrypoint` without waiting for a worker."""
        return bool(self._worker_pool.pool_of(entrypoint).free() > 0)

    def waiting(self, entrypoint: Any) -> int:
        """Return how many wait for a worker that would execute `entrypoint`."""
        return int(self._worker_pool.pool_of(entrypoint).waiting())

    def start(self) -> None:
        """Start the service and the internal port of its process, ready while each extension's `check_ready` passes."""
        with logs.logging_exit():
            super().start()
        internal_port.serve(
            {each.checked: each.check_ready for each in self.extensions if hasattr(each, "check_ready")}
        )
        gc.freeze()  # else garbage collections would traverse all modules again, 30 ms each

    def _run_worker(self, worker_ctx: WorkerContext, handle_result: HandleResult | None) -> None:
        left = worker_ctx.data.pop("left_seconds", lambda: None)()
        deadline = None if left is None else time.monotonic() + left
        ident, span = worker_ctx.data.get("correlation_id"), worker_ctx.data.pop("span", nullcontext)
        with context.work(ident, deadline, worker_ctx.data.get("client")), span() as spanned:
            self._inject_dependencies(worker_ctx)
            self._worker_setup(worker_ctx)
            if left is not None and left <= 0:
                result, exc_info = None, (DeadlineExceeded, _expired(worker_ctx), None)
            else:
                result, exc_info = _run(worker_ctx)
            if exc_info:
                is_expected = isinstance(exc_info[1], worker_ctx.entrypoint.expected_exceptions)
                tracing.record_error(spanned, exc_info[1], is_fault=not is_expected)
            if handle_result is not None:
                result, exc_info = handle_result(worker_ctx, result, exc_info)
            self._worker_result(worker_ctx, result, exc_info)
            self._worker_teardown(worker_ctx)
            del worker_ctx.service  # its dependencies refer to the context: a cycle for the garbage collector


class _Workers:
    """The pools of workers, in place of nameko's one; slow entrypoints of each class have one of their own."""

    def __init__(self, size: int, slow_size: int) -> None:
        self._pool, self._slow_size = GreenPool(size), slow_size
        self._slow: dict[type, GreenPool] = {}

    def pool_of(self, entrypoint: Any) -> GreenPool:
        """Return the pool that executes `entrypoint`."""
        if not getattr(entrypoint, "is_slow", False):
            return self._pool
        kind = type(entrypoint)
        if kind not in self._slow:
            self._slow[kind] = GreenPool(self._slow_size)
            _show(f"slow {kind.__name__}", self._slow[kind])
        return self._slow[kind]

    def spawn(self, run: Callable[..., None], worker_ctx: WorkerContext, *arguments: Any) -> Any:
        """Start a worker once one is free."""
        return self.pool_of(worker_ctx.entrypoint).spawn(run, worker_ctx, *arguments)

    def show(self) -> None:
        """Let the metrics show how busy the workers are: those of each pool, as it may be exhausted alone."""
        _show("quick", self._pool)

    def waitall(self) -> None:
        """Return once no worker is left; that of eventlet's pools may never return from one of size one."""
        while any(pool.running() for pool in (self._pool, *self._slow.values())):
            time.sleep(0.02)


def _show(name: str, pool: GreenPool) -> None:
    metrics.when_read(metrics.workers.labels(name), lambda: pool.size)
    metrics.when_read(metrics.workers_busy.labels(name), pool.running)


def _expired(worker_ctx: WorkerContext) -> DeadlineExceeded:
    name = _name(worker_ctx)
    log.warning("%s was not begun: its caller may have given up", name)
    metrics.rpc_calls_expired.labels(name).inc()
    return DeadlineExceeded("deadline exceeded")


def _name(worker_ctx: WorkerContext) -> str:
    return f"{worker_ctx.service_name}.{worker_ctx.entrypoint.method_name}"


def _run(worker_ctx: WorkerContext) -> tuple[Any, Any]:
    entrypoint = worker_ctx.entrypoint
    name = _name(worker_ctx)
    try:
        result = getattr(worker_ctx.service, entrypoint.method_name)(*worker_ctx.args, **worker_ctx.kwargs)
        if isinstance(entrypoint, Timer):
            timers.succeeded(name)
        return result, None
    except Exception as error:  # noqa: BLE001 - whatever it is, the entrypoint decides what becomes of it
        note_refusal(error, worker_ctx.service, name)
        if isinstance(error, entrypoint.expected_exceptions):
            log.debug("%s refused: %s: %s", name, type(error).__name__, error)  # the caller decides what becomes of it
        else:
            log_failure(log, error, "%s failed", name)
        if isinstance(entrypoint, Timer):
            timers.failed(f"{name} failed: {type(error).__name__}: {error}", name)
        return None, sys.exc_info()
