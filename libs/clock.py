"""Time as the parts write it: aware UTC, in whole milliseconds, because that is what MongoDB keeps."""

from datetime import UTC, datetime


def utc_now() -> datetime:
    """Return the present moment, aware, UTC, cut to milliseconds."""
    now = datetime.now(UTC)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)
