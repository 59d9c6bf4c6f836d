"""The banner on the site, in MongoDB."""

from contextlib import suppress
from typing import Any

from pymongo.errors import DuplicateKeyError

from libs.contracts.events import AnnouncementChanged
from libs.events import Aggregates, VersionConflict

SITE = "site"
"""The id of the one banner there is."""


class AnnouncementStore:
    """The document {_id: "site", version, texts: {language: text}}; there is none before the first banner."""

    def __init__(self, aggregates: Aggregates) -> None:
        self._aggregates = aggregates

    def read(self) -> dict[str, Any]:
        """Return {"version", "texts"}."""
        found = self._aggregates.find(SITE) or {}
        return {"version": found.get("version", 0), "texts": found.get("texts", {})}

    def replace(self, texts: dict[str, str]) -> dict[str, Any]:
        """Replace the texts, and return what `read` does; raise VersionConflict when somebody else just did."""
        version = self.read()["version"] + 1
        changed = {"id": SITE, "version": version, "texts": texts}
        if version > 1:
            self._aggregates.save(changed, AnnouncementChanged, changed)
            return {"version": version, "texts": texts}
        with suppress(DuplicateKeyError):
            self._aggregates.add(changed, AnnouncementChanged, changed)
            return {"version": version, "texts": texts}
        raise VersionConflict("somebody else has just announced something")
