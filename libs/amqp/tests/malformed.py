"""Messages that kombu or py-amqp cannot read, though the broker takes and delivers them."""

from struct import pack
from typing import Any

import amqp
from kombu import Connection

FLAGS = {"reply_to": 0x0200, "correlation_id": 0x0400, "message_id": 0x0080}


def table(name, value):
    """Write a table with one entry."""
    entry = bytes([len(name)]) + name + value
    return pack(">I", len(entry)) + entry


def nested(depth):
    inside = table(b"a", b"V")
    for _ in range(depth):
        inside = table(b"a", b"F" + inside)
    return inside


MALFORMED: dict[str, dict[str, Any]] = {
    "a compression that does not decompress": {"headers": {"compression": "application/x-gzip"}},
    "a compression that nobody knows": {"headers": {"compression": "application/x-none"}},
    "a compression that is no name": {"headers": {"compression": [1]}},
    "a time after the year 9999": {"table": table(b"at", b"T" + b"\x7f" + b"\xff" * 7)},
    "tables in tables": {"table": nested(2000)},
    "an id that is no text": {"message_id": b"\xff\xfe"},
}


class RawProperties(amqp.Message):
    """A message whose properties are given as the bytes that they are on the wire."""

    def _serialize_properties(self):
        return self.raw


def publish_malformed(amqp_url, case, exchange, routing_key, body, **texts):
    """Publish a message with a flaw of MALFORMED, or none, and with properties of text; return its body."""
    flaw = MALFORMED.get(case, {})
    with Connection(amqp_url) as connection:
        channel = connection.channel()
        if "headers" in flaw:
            message = amqp.Message(body, application_headers=flaw["headers"], content_type="application/json", **texts)
        else:
            message = RawProperties(body)
            message.raw = properties({**texts, "message_id": flaw.get("message_id", "odd")}, flaw.get("table"))
        channel.confirm_select()
        channel.basic_publish_confirm(message, exchange, routing_key, mandatory=True)
    return body


def properties(texts, headers):
    """Write properties as section 4.2.6.1 of the specification says: the flags, then the values in their order."""
    flags = sum(FLAGS[name] for name in texts) | (0x2000 if headers else 0)
    values = [texts[name] for name in ("correlation_id", "reply_to", "message_id") if name in texts]
    written = [value if isinstance(value, bytes) else value.encode() for value in values]
    return pack(">H", flags) + (headers or b"") + b"".join(bytes([len(value)]) + value for value in written)
