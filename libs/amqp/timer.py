"""Timers that keep running when the host's clock is set."""

import time
from typing import Any

from nameko.timer import Timer as NamekoTimer


class Timer(NamekoTimer):
    """Calls a method every `interval` seconds by the monotonic clock, or after the previous call if that took longer.

    Stock nameko's stops for as long as the clock is set back, and makes up for missed ticks, one right after another.
    """

    def _run(self) -> None:
        due = time.monotonic() + (0 if self.eager else self.interval)
        while not self.should_stop.wait(max(due - time.monotonic(), 0)):
            self.handle_timer_tick()
            self.worker_complete.wait()
            self.worker_complete.reset()
            due = max(due + self.interval, time.monotonic())


timer: Any = Timer.decorator
