from datetime import UTC, datetime, timedelta, timezone

import pytest

from libs.clock import iso, utc_now

MOSCOW = timezone(timedelta(hours=3))


def test_now_is_aware_and_as_exact_as_mongodb_keeps_it():
    now = utc_now()

    assert now.tzinfo is UTC
    assert now.microsecond % 1000 == 0


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (datetime(2026, 11, 22, 12, tzinfo=UTC), "2026-11-22T12:00:00.000Z"),
        (datetime(2026, 11, 22, 12, 0, 1, 234999, tzinfo=UTC), "2026-11-22T12:00:01.234Z"),
        (datetime(2026, 11, 22, 12, tzinfo=MOSCOW), "2026-11-22T09:00:00.000Z"),
    ],
)
def test_a_moment_is_written_in_utc_with_milliseconds(moment, text):
    assert iso(moment) == text


@pytest.mark.parametrize("value", [datetime(2026, 11, 22, 12), {1, 2}, b"bytes"])  # noqa: DTZ001 - it is naive on purpose
def test_nothing_else_has_a_form(value):
    with pytest.raises(TypeError):
        iso(value)
