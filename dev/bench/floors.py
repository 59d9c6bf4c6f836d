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
        "rpc-ours",
        "cpu_ms",
        "0.84: RabbitMQ 0.30, and 0.54 of kombu, py-amqp and eventlet in the two processes",
        "a call is two messages, each published and delivered; 85 % of what our two processes use is in the client"
        " libraries of the stack",
    ),
]
