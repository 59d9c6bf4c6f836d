"""The rq-scheduler process: `python -m expiration.scheduler`. Moves due jobs to the worker's queue every second."""

from expiration.schedule import Schedule
from libs import internal_port, logs
from libs.redis import connect
from libs.settings import REDIS_FORM, check_common, parsed


def main() -> None:
    """Run until the process is stopped."""
    check_common()
    schedule = Schedule(parsed("SCHEDULER_REDIS_URL", connect, REDIS_FORM))
    scheduler = schedule.scheduler
    loop = {"loop": scheduler.loop.check}
    internal_port.serve(ready=loop | {"redis": scheduler.check_registered}, alive=loop)
    scheduler.run()


if __name__ == "__main__":
    logs.run(main)
