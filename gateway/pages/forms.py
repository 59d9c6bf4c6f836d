"""Forms: the input, its errors, and the call that it leads to."""

from collections.abc import Callable
from typing import Any, TypeVar

from flask import request
from marshmallow import Schema, ValidationError

from gateway.errors import ERRORS, describe_all, list_problems, retry_headers
from gateway.saved_input import take_saved_input
from libs.rpc import RemoteError

Result = TypeVar("Result")


class Form:
    """A form on a page: `typed` is the input, kept on errors; `problems` maps a field, or "", to a message.

    Errors with the statuses `explained` are shown on the form, others on the error page.
    """

    explained: tuple[int, ...] = (400, 429)

    def __init__(self, schema: Schema, initial: dict[str, Any] | None = None) -> None:
        self._schema = schema
        self.typed: dict[str, Any] = (
            request.form.to_dict() if request.method == "POST" else take_saved_input() or initial or {}
        )
        self.problems: dict[str, str] = {}
        self.offers: dict[str, tuple[str, str]] = {}  # beside the problem of a field: what one may do, and where
        self.error = ""  # the name of the service's
        self.status = 200
        self.headers: dict[str, str] = {}

    def submit(self, action: Callable[[dict[str, Any]], Result]) -> Result | None:
        """Return what `action` returns for the validated input; None, with `problems` filled, when that is refused."""
        try:
            return action(self._schema.load(self.given()))
        except ValidationError as error:
            self._set_problems(400, list_problems(error))
        except RemoteError as error:
            status = ERRORS[error.name].status if error.name in ERRORS else 500
            if status not in self.explained:
                raise
            self.error = error.name
            self._set_problems(status, describe_all(error))
            self.headers = retry_headers(error)
        return None

    def given(self) -> dict[str, Any]:
        """Return the input without empty fields."""
        return {name: value for name, value in self.typed.items() if value != ""}

    def _set_problems(self, status: int, problems: list[dict[str, Any]]) -> None:
        self.status = status
        self.problems = {problem.get("field", ""): problem["message"] for problem in problems}


class WithCode(Form):
    """A form with a code: when those of the app cannot be checked (503), there is still a recovery code to enter."""

    explained = (400, 429, 503)
