"""Raw messages: whatever a message contains, it reaches the queue's consumer undecoded, which decides what to do.

What this changes, with the code that makes it necessary:
- kombu decompresses a body by its header `compression` before any handler sees it (`kombu/message.py`), and
  acknowledges what does not decompress; our messages are never compressed, so one that is counts as unreadable;
- py-amqp turns a body into text by its property `content_encoding`, so that the parked bytes would not be those
  received (`amqp/abstract_channel.py`);
- properties that py-amqp cannot read (no UTF-8, a time after the year 9999, tables in tables a thousand deep) raise
  while it reads from the connection, which would end the process, and after each redelivery the next one.
"""

from struct import unpack_from
from typing import Any

import kombu
from amqp import serialization
from amqp.spec import Basic
from kombu.transport import pyamqp

UNREADABLE = "x-unreadable"
"""The header whose value is the bytes of properties that cannot be read."""

HEADERS = "application_headers"
SIZES = {"delivery_mode": 1, "priority": 1, "timestamp": 8}
PROPERTIES = (
    *("content_type", "content_encoding", HEADERS, "delivery_mode", "priority", "correlation_id", "reply_to"),
    *("expiration", "message_id", "timestamp", "type", "user_id", "app_id", "cluster_id"),
)
"""In the order of their flags, from the highest bit on (section 1.8.3 of the specification of AMQP 0-9-1)."""

_read_strictly = serialization.PROPERTY_CLASSES[Basic.CLASS_ID]


class RawMessage(pyamqp.Message):
    """A message whose body is the bytes that were received."""

    def __init__(self, message: Any, **options: Any) -> None:
        headers = message.properties.pop(HEADERS, None) or {}
        super().__init__(message, **options)  # type: ignore[no-untyped-call]
        self.headers = self.properties[HEADERS] = headers


class Connection(kombu.Connection):
    """A connection whose consumers get raw messages."""

    def channel(self) -> Any:
        """Open a channel."""
        channel = super().channel()  # type: ignore[no-untyped-call]
        channel.Message = RawMessage
        channel.auto_decode = False
        return channel


def require_readable(message: Any) -> None:
    """Raise ValueError when the properties of a message could not be read, or its body is compressed."""
    if UNREADABLE in message.headers:
        raise ValueError("its properties cannot be read")
    if "compression" in message.headers:
        raise ValueError("it is compressed")


def _read(buffer: bytes, offset: int) -> tuple[dict[str, Any], int]:
    """Read the properties of a message; if they are unreadable, keep their bytes and whatever text there is."""
    try:
        properties, end = _read_strictly(buffer, offset)
    except Exception:  # noqa: BLE001 - whatever it is, the message must come to be parked or answered
        return {**_texts(buffer, offset), HEADERS: {UNREADABLE: bytes(buffer[offset:])}}, len(buffer)
    return properties, end


def _texts(buffer: bytes, offset: int) -> dict[str, Any]:
    (flags,) = unpack_from(">H", buffer, offset)
    offset, texts = offset + 2, {}
    for place, name in enumerate(PROPERTIES):
        if not flags & (0x8000 >> place):
            continue
        if name == HEADERS:
            offset += 4 + unpack_from(">I", buffer, offset)[0]
        elif name in SIZES:
            offset += SIZES[name]
        else:
            end = offset + 1 + buffer[offset]
            texts[name] = bytes(buffer[offset + 1 : end]).decode(errors="ignore")
            offset = end
    return texts


serialization.PROPERTY_CLASSES[Basic.CLASS_ID] = _read
