import pytest

from libs import cursors

FIELDS = {"price_cents": int, "_id": str}


def test_a_cursor_is_decoded_to_the_position_it_was_encoded_from():
    position = {"price_cents": 1999, "_id": "abc"}

    assert cursors.decode(cursors.encode(position), FIELDS) == position


def test_without_a_cursor_there_is_no_position():
    assert cursors.decode(None, FIELDS) is None


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "!",
        "e30",
        7,
        {"$gt": ""},
        cursors.encode({"_id": "abc"}),
        cursors.encode({"price_cents": {"$gt": 0}, "_id": "x"}),
        cursors.encode({"price_cents": True, "_id": "x"}),
        cursors.encode({"price_cents": 2**63, "_id": "x"}),
        cursors.encode({"price_cents": 1, "_id": "\ud800"}),
    ],
)
def test_anything_else_is_refused(cursor):
    with pytest.raises(cursors.InvalidCursor):
        cursors.decode(cursor, FIELDS)
