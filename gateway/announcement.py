"""The banner that operators show on every page: each process keeps the newest, and renders its cached pages again."""

import json
import logging
from collections.abc import Callable
from typing import Any

from flask import Flask

from gateway.languages import ENGLISH, language
from libs.amqp.broadcasts import BroadcastListener
from libs.amqp.raw_messages import require_readable
from libs.errors import ignoring_unavailable
from libs.threads import BackgroundThreads

EXCHANGE, ROUTING_KEY = "auth.events", "AnnouncementChanged"

log = logging.getLogger(__name__)


class Announcement:
    """This process's copy of the banner. `changed` is called after each change, once pages show it."""

    def __init__(self, changed: Callable[[], object] = lambda: None) -> None:
        self._changed = changed
        self._version = 0
        self._texts: dict[str, str] = {}

    def update(self, announced: dict[str, Any]) -> None:
        """Show this one, {"version", "texts"}, if it is newer."""
        if announced["version"] > self._version:
            self._version, self._texts = announced["version"], dict(announced["texts"])
            self._changed()

    def current(self) -> tuple[str, str] | None:
        """Return the text for the visitor and its language; None without a banner."""
        if not self._texts:
            return None
        found = next((each for each in (language(), ENGLISH) if each in self._texts), next(iter(self._texts)))
        return found, self._texts[found]


class AnnouncementListener:
    """Keeps the banner current: receives each change, and reads it again whenever one may have been missed.

    `read()` calls `auth.announcement`.
    """

    def __init__(self, amqp_url: str, announcement: Announcement, read: Callable[[], dict[str, Any]]) -> None:
        self._announcement = announcement
        self._read = read
        listener = BroadcastListener(
            f"gateway.{ROUTING_KEY}", amqp_url, EXCHANGE, ROUTING_KEY, self.on_message, on_declared=self._read_again
        )
        self._threads = BackgroundThreads("announcement", listener.run)

    def start(self) -> None:
        """Start once per process; call it from a request, so that it runs after gunicorn's fork."""
        self._threads.start()

    def stop(self) -> None:
        """Stop, within some seconds."""
        self._threads.stopping.set()

    def _read_again(self) -> None:
        with ignoring_unavailable():  # it is read again when the queue is declared the next time
            self._announcement.update(self._read())

    def on_message(self, message: Any) -> None:
        """Show what was announced. Raises if it cannot be read: then the listener starts over."""
        require_readable(message)
        self._announcement.update(json.loads(message.body))


def register(app: Flask, changed: Callable[[], object]) -> Announcement:
    """Let the pages of `app` show a banner; `changed` evicts cached pages."""
    announcement = app.extensions["announcement"] = Announcement(changed)
    app.add_template_global(announcement.current, "announcement")
    return announcement
