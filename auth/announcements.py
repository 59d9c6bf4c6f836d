"""The RPC methods about the banner on the site, a mixin of AuthService: operators write it, the gateway shows it."""

import re
from typing import Any

from libs.contracts.errors import DomainError
from libs.contracts.limits import MAXIMUM_ANNOUNCEMENT
from libs.contracts.texts import InvalidValue, checked_line
from libs.events import VersionConflict
from libs.rpc.arguments import InvalidArguments
from libs.rpc.caller import Forbidden, Unauthenticated
from libs.rpc.entrypoint import rpc

EXPECTED = (DomainError, InvalidArguments, Unauthenticated, Forbidden, VersionConflict)
LANGUAGE = re.compile("[a-z]{2}")


class Announcements:
    """AuthService's methods about the banner; uses AuthService's dependencies.

    Import the module, not this class: `libs.service` takes every class with entrypoints in a module for a service.
    """

    store: Any
    caller: Any

    @rpc(expected_exceptions=EXPECTED)
    def set_announcement(self, texts: Any) -> dict[str, Any]:
        """Show a banner on every page: its texts by their languages, {"en": …, "de": …}; {} removes it. For operators.

        Each is a line of at most 300 characters. Returns what `announcement` does; raises InvalidArguments.
        """
        self.caller.require("operator")
        announced: dict[str, Any] = self.store.announcement.replace(_checked(texts))
        return announced

    @rpc(expected_exceptions=EXPECTED)
    def announcement(self) -> dict[str, Any]:
        """Return {"version", "texts"} of the banner; no text if there is none. For the gateway and operators."""
        self.caller.require("gateway", "operator")
        found: dict[str, Any] = self.store.announcement.read()
        return found


def _checked(texts: object) -> dict[str, str]:
    """Return the texts as they are kept and shown."""
    if not isinstance(texts, dict) or not all(isinstance(each, str) and LANGUAGE.fullmatch(each) for each in texts):
        raise InvalidArguments('texts must be texts by their languages, such as {"en": "Sales begin at noon."}.')
    try:
        checked = {each: checked_line("announcement", text, MAXIMUM_ANNOUNCEMENT) for each, text in texts.items()}
    except InvalidValue as error:
        raise InvalidArguments(str(error)) from error
    if not all(checked.values()):
        raise InvalidArguments("texts must have words in them; none at all remove the announcement.")
    return checked
