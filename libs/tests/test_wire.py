"""JSON on the wire is the same as that of the standard library, in less time."""

import json
from datetime import UTC, datetime
from enum import StrEnum
from math import inf, nan

import pytest

from libs import wire
from libs.clock import iso
from libs.rpc import arguments

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


class Colour(StrEnum):
    RED = "red"


@pytest.mark.parametrize(
    "value",
    [
        None,
        {"title": "Hamlet, row 3", "price": 19.99, "sold": [True, None], "no": -3, "pair": (1, 2)},
        "é \u2028 \U0001f3ad \x00",
        "half of a character: \ud83c",
        2**64,
        -(2**63) - 1,
        {1: "a", None: "b", False: "c"},
        {"at": [NOON]},
        Colour.RED,
        [[[1e22, 5e-324, -0.0]]],
    ],
    ids=str,
)
def test_a_value_is_written_as_the_standard_library_writes_it(value):
    assert json.loads(wire.encode(value, iso)) == json.loads(json.dumps(value, default=iso))


@pytest.mark.parametrize("value", [nan, inf, -inf, {"a": [None, (1, {"b": nan})]}], ids=str)
def test_what_is_no_number_is_refused_instead_of_being_sent_as_null(value):
    with pytest.raises(ValueError, match="not JSON"):
        wire.encode(value)


@pytest.mark.parametrize("value", [{1, 2}, NOON, b"bytes", datetime], ids=str)
def test_what_has_no_form_in_json_is_refused(value):
    with pytest.raises(TypeError, match="not JSON serializable"):
        wire.encode({"value": value})


def test_what_contains_itself_is_refused():
    circle = []
    circle.append(circle)

    with pytest.raises(ValueError, match="Circular"):
        wire.encode(circle)


@pytest.mark.parametrize(
    "body", [b'{"a": [1, 2.5, null, "x"]}', b'"\\ud83c"', b"[NaN]", b"18446744073709551615", b"\xef\xbb\xbf{}"]
)
def test_json_is_read_as_the_standard_library_reads_it(body):
    assert repr(wire.decode(body)) == repr(json.loads(body))


def test_a_number_beyond_64_bits_is_refused_as_a_whole_number():
    with pytest.raises(arguments.InvalidArguments, match="must be a whole number from 1 to 9"):
        arguments.integer("version", wire.decode(wire.encode(2**64)), 1, 9)


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b'{"a": 1} b', b"'a'"])
def test_what_is_no_json_is_refused(body):
    with pytest.raises(ValueError, match="Expecting|Extra|decode"):
        wire.decode(body)


def test_too_deep_nesting_is_refused():
    with pytest.raises(RecursionError):
        wire.decode(b"[" * 100_000)
