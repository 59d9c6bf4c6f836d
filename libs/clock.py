"""Time in all parts: aware datetimes in UTC and whole milliseconds, the precision of MongoDB."""

from datetime import UTC, datetime


def utc_now() -> datetime:
    """Return the present moment, aware, UTC, cut to milliseconds."""
    now = datetime.now(UTC)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)


def iso(moment: object) -> str:
    """Return an aware datetime as ISO 8601 in UTC, such as `2026-11-22T12:00:00.000Z`.

    Raises TypeError for anything else, so that it can be the `default` of json.dumps.
    """
    if not isinstance(moment, datetime) or moment.tzinfo is None:
        raise TypeError(f"{type(moment).__name__} is not an aware datetime and has no form in JSON")
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
