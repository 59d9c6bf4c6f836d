"""The RPC methods about public profiles, a mixin of AuthService: a user's chosen name, and when they joined."""

from typing import Any

from auth.domain import check_name
from libs.contracts.errors import DomainError
from libs.events import VersionConflict
from libs.rpc import arguments
from libs.rpc.arguments import InvalidArguments
from libs.rpc.caller import Forbidden, Unauthenticated
from libs.rpc.entrypoint import rpc

EXPECTED = (DomainError, InvalidArguments, Unauthenticated, Forbidden, VersionConflict)
MOST_PROFILES = 100


class Profiles:
    """AuthService's methods about a user's public data, never the email; uses AuthService's dependencies."""

    store: Any
    caller: Any
    _signed_in_user: Any

    @rpc(expected_exceptions=EXPECTED)
    def choose_name(self, name: Any) -> dict[str, Any]:
        """Store the name by which buyers know the caller, None for none; return {"name"}. Raises InvalidName."""
        chosen = check_name(name)
        self.store.keep_name(self._signed_in_user()["id"], chosen)
        return {"name": chosen}

    @rpc(expected_exceptions=EXPECTED)
    def profiles(self, ids: Any) -> list[dict[str, Any]]:
        """Return [{"id", "name", "member_since"}] of those users (a list of at most 100 ids) that exist.

        `member_since` is a month, YYYY-MM: the exact time of a sign-up is private.
        """
        self.caller.require("gateway")
        found: list[dict[str, Any]] = self.store.profiles(arguments.texts("ids", ids, MOST_PROFILES))
        return found
