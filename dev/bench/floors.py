"""Aims that are missed, each with its measured floor and the reason; docs/performance.md shows those of a run.

A floor is the cost of the indispensable parts alone, measured on a machine of two cores. It belongs to a row and to one
of its figures, and is shown only while that misses its aim. After a change here: `make bench ROWS=pages`.
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
        "page-signed-in",
        "per_second",
        "about 3 400: 0.59 CPU-ms each, on two cores: the page's frame by Jinja 0.25, Flask with a signed session 0.16,"
        " gunicorn with gevent 0.14, the load generator 0.04",
        "the frame is another for each user. What is above it is ours: whose session it is and whether that was ended,"
        " language, headers, metrics; and the processes that share two cores wait for one another",
    ),
    *(
        Floor(
            row,
            "cpu_ms",
            "about 0.7: Flask with a signed session and JSON 0.16, gunicorn with gevent 0.14, and 0.4 for a question to"
            " orders that several requests share, with its read",
            "what is above it is the gateway's own: whose session it is and whether that was ended, the checks of what"
            " was sent, the sentence of the refusal, headers, metrics",
        )
        for row in ("refusal-reserved", "refusal-sold")
    ),
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
        "deadlines",
        "per_second",
        "about 150, and a tenth more on a quick day: 13 CPU-ms each, on two cores: a job of rq that does nothing 3.7"
        " (scheduler 0.5, worker 2.5 in 23"
        " round trips, Redis 0.7), three writes 3.9, two reads 1.8, a question to payments 1, five deliveries of events"
        " 2, outboxes cleared 0.5",
        "deadline, order and ticket are of three parts, each of which writes durably, and a worker takes one job after"
        " the other. The sweep of orders, every five seconds, takes many at once: from 130 a second to 330, by how"
        " soon it comes",
    ),
    Floor(
        "lag-ours",
        "p50_ms",
        "2.3 (`lag-nameko`, without an outbox), and before it a write that the majority has in its journal",
        "the event may not leave before its change is safe, so the two follow one another",
    ),
    Floor(
        "rpc-ours",
        "cpu_ms",
        "about 0.4: caller 0.11, service 0.10, RabbitMQ 0.17, with py-amqp alone in one thread each",
        "what is above it: a thread for each call and nameko's worker, with deadline, context and metrics",
    ),
    Floor(
        "relay",
        "per_second",
        "about 5 300: 0.37 CPU-ms each, on two cores: py-amqp with confirms, and pymongo, 0.13, RabbitMQ 0.14,"
        " MongoDB 0.10",
        "the relay takes 0.15 itself, but leases outboxes before it publishes and removes only what was confirmed, for"
        " which MongoDB takes 0.3; and the steps of a batch follow one another, so that a core waits",
    ),
    Floor(
        "rush-one",
        "p99_ms",
        "about 500, with refusals at 1.5 CPU-ms each: on two cores 2,000 of them, come within one second, take 1.5",
        "see the CPU-ms: each that is above 1.5 makes the last wait for a second more",
    ),
    Floor(
        "rush-ten",
        "p99_ms",
        "about 500, as of `rush-one`",
        "see the CPU-ms; and one of the gateway's two workers ends before the other, which is then alone for a tenth"
        " of the time or less. Whichever is delayed by other programs accepts fewer connections: accepting 1, 4 or 8 at"
        " a time instead of gevent's 100, or less often the more wait, made no difference",
    ),
    Floor(
        "rest",
        "our_memory_mb",
        "about 425: what the processes have of their own just after their imports, each measured by itself",
        "each of the five services has 36 to 49 (nameko, eventlet and pymongo; zxcvbn's words in auth), the gateway's"
        " master and two workers 82 together, the other five programs 15 to 35. Only a parent that forks all could"
        " share that",
    ),
    Floor(
        "rest",
        "our_idle_ms_a_second",
        "about 16, of 26 in the same minute: nine reads and writes a second 10, gunicorn's three processes 2.5,"
        " rq's scheduler and worker 2.3, what sets RabbitMQ up 1.3",
        "each relay looks every two seconds for what a crash left, other timers every five, comparisons of copies every"
        " ten. A process that was asleep takes 0.1 CPU-ms to wake up, and 1.1 for a read. What is above it: consumers,"
        " which look each second whether a heartbeat is due or they are to stop, and the calls of comparisons",
    ),
    Floor(
        "growth-timers",
        "times",
        "1: no timer reads more with a million finished orders (`tests/slow/test_growth.py`)",
        "runs differ by up to a third, and the caches of MongoDB are larger",
    ),
    Floor(
        "growth-events",
        "times",
        "1, from 2 000 tickets on: 5 077 keys of indexes are read where much is stored, and 3 076 where little is",
        "a page and its count look at 2,000 keys at most, and little is stored with no more than 1,000",
    ),
    Floor(
        "growth-misspelled",
        "times",
        "1: 216 keys of indexes and one document are read in both",
        "the indexes are deeper, the caches of MongoDB larger, and such short runs differ by a tenth",
    ),
    *(
        Floor(row, "times", "1: from memory, or one document by its id", "such short runs differ by a tenth")
        for row in ("growth-ticket", "growth-page", "growth-list")
    ),
    Floor(
        "growth-bought",
        "times",
        "1: no query reads more with a million finished orders (`tests/slow/test_growth.py`)",
        "what is above it is noise, or the larger caches of MongoDB",
    ),
]
