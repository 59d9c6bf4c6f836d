"""The operators, and the append-only audit log of their actions."""

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any

from pymongo import ASCENDING, DESCENDING, IndexModel
from pymongo.database import Database
from pymongo.errors import DuplicateKeyError
from pymongo.read_concern import ReadConcern

from libs import context
from libs.clock import utc_now
from libs.contracts.texts import is_storable
from libs.rpc.arguments import InvalidArguments
from libs.security_events import security_event
from libs.tokens import Claims

Document = dict[str, Any]

LONGEST_ARGUMENTS = 100_000
"""Characters of the JSON of an action's arguments: enough for a thousand ids of events."""
LONGEST_COPY = 1000
"""Characters of a reason or an order's id as kept a second time, beside the arguments."""
LONGEST_OUTCOME = 200
MOST_ORDERS = 100
"""For how many orders at most an action is shown in the history; no method takes more."""


class OperatorStore:
    """Operators are {_id: name, public_key, added_at, added_by}; a name is one person's. One who was removed has
    the key None.

    The audit log is in two collections, to which documents are only added: actions {_id, at, who, method, arguments,
    order_id, reason, source, correlation_id}, written before an action begins, and outcomes {_id: the action's, at,
    outcome}. An action about several orders has a list of ids in `order_id`, and is found by each of them. One without
    an outcome may or may not have been carried out: its service died, or lost auth.
    """

    indexes: Mapping[str, list[IndexModel]] = {
        "operator_actions": [
            IndexModel([("at", DESCENDING)]),
            IndexModel([("who", ASCENDING), ("at", DESCENDING)]),
            IndexModel([("order_id", ASCENDING), ("at", DESCENDING)], sparse=True),
        ]
    }

    def __init__(self, db: Database[Document]) -> None:
        self._keys = db.operators
        # a former primary would answer with stale data
        self._newest_keys = db.operators.with_options(read_concern=ReadConcern("linearizable"))
        self._actions = db.operator_actions
        self._outcomes = db.operator_outcomes

    def add(self, name: str, public_key: str, added_by: str) -> bool:
        """Let the holder of a private key act as `name`; return whether another key was replaced."""
        fields = {"public_key": public_key, "added_at": utc_now(), "added_by": added_by}
        before = self._keys.find_one_and_update({"_id": name}, {"$set": fields}, upsert=True)
        replaced = before is not None and before["public_key"] not in (None, public_key)
        if replaced:
            security_event("key_rotation", who=added_by, what=f"operator:{name}")
        return replaced

    def introduce(self, name: str, public_key: str, added_by: str) -> bool:
        """Let a new operator act as `name`; return False, and change nothing, when the name is or was another's."""
        known = self.public_key(name)
        if known is not None or self._actions.find_one({"who": name}):
            return known == public_key
        try:
            self._keys.insert_one({"_id": name, "public_key": public_key, "added_at": utc_now(), "added_by": added_by})
        except DuplicateKeyError:
            return self.public_key(name) == public_key
        return True

    def remove(self, name: str) -> bool:
        """Refuse `name` from now on; return whether there was such an operator. What they did stays recorded."""
        removed = self._keys.update_one({"_id": name, "public_key": {"$ne": None}}, {"$set": {"public_key": None}})
        return removed.modified_count > 0

    def all(self) -> list[Document]:
        """Return [{"name", "public_key", "added_at", "added_by"}]."""
        found = self._keys.find({"public_key": {"$ne": None}}, sort=[("_id", ASCENDING)])
        return [{"name": one.pop("_id"), **one} for one in found]

    def public_key(self, name: str) -> str | None:
        """Return the public key of an operator, or None."""
        found = self._newest_keys.find_one({"_id": name})
        return found["public_key"] if found else None

    def begin(self, operator: Claims, method: str, arguments: Document) -> bool:
        """Record that an operator is about to do something; return False if their token was used for anything else.

        The same call may be delivered twice until it has ended, if a service died during it. After that, repeating it
        would be an action without a record. Raises InvalidArguments for arguments too long to record.
        """
        action = {
            "_id": operator.session_id,
            "who": operator.subject,
            "method": method,
            **_storable_arguments(method, arguments),
        }
        recorded = {"at": utc_now(), "source": context.client(), "correlation_id": context.correlation_id()}
        try:
            self._actions.insert_one(action | recorded)
        except DuplicateKeyError:
            has_ended = self._outcomes.find_one({"_id": operator.session_id}) is not None
            return not has_ended and self._actions.find_one(action) is not None
        return True

    def end(self, action: str, service: str, outcome: str) -> None:
        """Record with what outcome an action of a service ended; the first one stays."""
        if is_storable(action) and self._actions.find_one({"_id": action, "method": re.compile(rf"^{service}\.")}):
            with suppress(DuplicateKeyError):
                self._outcomes.insert_one({"_id": action, "at": utc_now(), "outcome": outcome[:LONGEST_OUTCOME]})

    def history(self, where: Document, before: datetime | None, limit: int) -> list[Document]:
        """Return the newest actions that match, newest first, each with its outcome; "unknown" without one.

        All actions of the same millisecond as the last one are among them, so that `before` skips none.
        """
        if before is not None:
            where = {**where, "at": {"$lt": before}}
        found = list(self._actions.find(where, sort=[("at", DESCENDING)], limit=limit))
        if len(found) == limit:
            shown = [one["_id"] for one in found]
            found += self._actions.find({**where, "at": found[-1]["at"], "_id": {"$nin": shown}})
        ended = {one["_id"]: one for one in self._outcomes.find({"_id": {"$in": [one["_id"] for one in found]}})}
        return [_action_view(one, ended.get(one["_id"], {})) for one in found]


def _storable_arguments(method: str, arguments: Document) -> Document:
    """Return an action's arguments as they are kept: as JSON, for not everything in them can be stored.

    With them are the reason and the orders that it was about; reading the audit log is about none. The arguments are
    not cut: calls that differ have records that differ.
    """
    kept: Document = {"arguments": json.dumps(arguments, sort_keys=True)}
    if len(kept["arguments"]) > LONGEST_ARGUMENTS:
        raise InvalidArguments(f"The arguments have more than {LONGEST_ARGUMENTS} characters: ask for less at once.")
    if isinstance(several := arguments.get("order_ids"), list):
        texts = (each for each in several[:MOST_ORDERS] if isinstance(each, str) and is_storable(each))
        kept["order_id"] = [each[:LONGEST_COPY] for each in texts]
    for name in ("reason",) if method.startswith("auth.") else ("order_id", "reason"):
        value = arguments.get(name)
        if isinstance(value, str) and is_storable(value):
            kept[name] = value[:LONGEST_COPY]
    return kept


def _action_view(action: Document, ended: Document) -> Document:
    with suppress(ValueError):  # earlier versions cut it after 10,000 characters
        action["arguments"] = json.loads(action["arguments"])
    return {"id": action.pop("_id"), **action, "outcome": ended.get("outcome", "unknown"), "ended_at": ended.get("at")}
