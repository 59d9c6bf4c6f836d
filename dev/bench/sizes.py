"""The sizes of measurements: enough for meaningful figures, or with BENCH_QUICK=1 enough to test the benchmarks."""

import os

IS_QUICK = os.environ.get("BENCH_QUICK") == "1"


def _of(full: int, quick: int) -> int:
    return quick if IS_QUICK else full


WARM_UP_SECONDS = 0.2 if IS_QUICK else 1.0
READ_SECONDS = 0.5 if IS_QUICK else 1.5
REST_SECONDS = 2.0 if IS_QUICK else 6.0
IDLE_SECONDS = 2.0 if IS_QUICK else 30.0
"""For rows that measure a system at rest: each of its timers has run by then, the rarest, which declare the topology
again, once (BROKER_VERIFY_SECONDS)."""
PATIENCE_SECONDS = _of(1, 0)
"""How long, for each of its rows, a suite may wait for a quiet machine and measure again what others disturbed: less
than a minute in all."""
REGISTERED = _of(48, 8)
SIGN_INS = _of(96, 16)
RESERVATIONS = _of(800, 40)
FORMS = _of(400, 20)
REFUSALS = _of(1200, 200)
PURCHASES = _of(100, 100)
PAYMENTS = _of(20, 5)
DEADLINES = _of(1000, 30)
CALLS = _of(2000, 200)
EVENTS = _of(2000, 200)
LAG_SECONDS = _of(4, 1)
COMPARISONS = _of(60, 5)
RUSH = _of(2000, 200)
SALE = _of(40, 5)
GROWTH_SECONDS = 0.3 if IS_QUICK else 1.5
GROWTH_ORDERS = _of(120, 20)
TICKETS = _of(100_000, 2000)
FINISHED = int(os.environ.get("BENCH_FINISHED_ORDERS", _of(200_000, 3000)))
CHANGES = _of(400, 100)
KILLS = _of(20, 2)
