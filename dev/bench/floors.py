"""Aims that are missed, each with what was measured to be its floor and why; docs/performance.md shows those of a run.

A floor is what the parts alone that cannot be left out cost, measured on a machine of two cores. It belongs to a row
and to one of its figures, and is shown only while that misses its aim. After a change here: `make bench ROWS=pages`.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Floor:
    """The floor of a row's figure, in words, and why the aim is missed."""

    row: str
    figure: str
    floor: str
    why: str


FLOORS = [
    Floor(
        "reservation",
        "cpu_ms",
        "about 9: MongoDB 4 and its client 2.5 (three writes with majority and journal, three reads, two outboxes"
        " cleared), one call 1, events to four queues 1.2, HTTP with Flask's hooks 0.4",
        "each write is durable before it is answered, and each part has a database of its own; what is left above it is"
        " our own code, a quarter of it the gateway's",
    ),
    Floor("reservation", "per_second", "about 220: 9 CPU-ms each, on two cores", "see the CPU-ms"),
    Floor(
        "bought",
        "per_second",
        "about 31: 64 CPU-ms each, on two cores: a reservation 9, 14 more writes 18, 12 reads 11, four requests to"
        " Stripe with the stand-in's side of them 12, five calls 5, twelve events delivered 5, outboxes cleared 2, HTTP"
        " 1.5",
        "no step of a payment may be lost, so each is a write with majority and journal of its own, 1.3 CPU-ms with its"
        " client: seven of payments (opened; copied; PaymentIntent and attempt; authorized; copied; captured; copied),"
        " two more each of orders, tickets and expiration, and one of the limit on tries",
    ),
    Floor(
        "lag-ours",
        "p50_ms",
        "2.3 (`lag-nameko`, without an outbox), and before it a write that the majority has in its journal",
        "the event may not leave before its change is safe, so the two follow one another",
    ),
    Floor(
        "rest",
        "our_memory_mb",
        "about 460: what the Python processes have of their own just after their imports, each measured by itself",
        "each of the five services has 40 to 56 (nameko, eventlet and pymongo; zxcvbn's words in auth), each of the two"
        " workers of the gateway 40, the other six programs 14 to 41. Only a parent that forks all could share that",
    ),
]
