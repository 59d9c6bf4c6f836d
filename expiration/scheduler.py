"""The rq-scheduler process: `python -m expiration.scheduler`. Moves due jobs to the worker's queue every second."""

from expiration.schedule import Schedule
from libs import logs, metrics
from libs.redis import connect
from libs.settings import REDIS_FORM, check_common, parsed


def main() -> None:
    """Run until the process is stopped."""
    check_common()
    schedule = Schedule(parsed("SCHEDULER_REDIS_URL", connect, REDIS_FORM))
    metrics.serve()
    schedule.scheduler.run()


if __name__ == "__main__":
    logs.run(main)
