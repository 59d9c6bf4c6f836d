"""The cost of traces: three whole systems, measured in turn, of which two export spans to a collector."""

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from dev.bench import sizes
from dev.bench.load import Stream, asking
from dev.bench.rows import Measured, Row, Suite
from dev.bench.system import Site, bidding
from dev.bench.system import opened as one_site
from dev.collector import Collector

SHARES = {"untraced": None, "one_in_ten": "0.1", "all": "1"}
"""Which share of requests each system traces; the default is one in ten."""


class Systems:
    """The systems by their names, and the order in which they are measured next."""

    def __init__(self, sites: dict[str, Site]) -> None:
        self.sites = sites
        self.order = deque(sites)


def reserving(systems: Systems) -> Measured:
    """Reserve as many tickets in each system; return the cost, and its ratio to the cost without traces."""
    used = {name: _reserving(systems.sites[name]) for name in systems.order}
    systems.order.rotate()
    cpu = {name: measured.figures["cpu_ms"] for name, measured in used.items()}
    times = {f"{name}_times": cpu[name] / cpu["untraced"] for name in ("one_in_ten", "all")}
    return Measured({**{f"{name}_cpu_ms": spent for name, spent in cpu.items()}, **times}, used["all"].programs)


def _reserving(site: Site) -> Measured:
    wanted = [buyer.reserve(ticket_id) for buyer, ticket_id in bidding(site, sizes.RESERVATIONS)]
    return site.measure(Stream(asking(each, 201) for each in wanted))


@contextmanager
def opened(rows: Sequence[Row]) -> Iterator[Systems]:
    """Run the systems, and a collector."""
    with Collector() as collector, ExitStack() as stack:
        sites = {}
        for name, share in SHARES.items():
            traced = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_TRACES_SAMPLER_ARG": share} if share else {}
            sites[name] = stack.enter_context(one_site(rows, **traced))
        for site in sites.values():
            _reserving(site)  # the first time
            site.rest()
        yield Systems(sites)
        assert collector.spans, "nothing was traced"


SUITE = Suite(
    "Traces",
    "Three whole systems, measured in turn: one without a collector, one that traces one request in ten, as is the"
    ' default, and one that traces all. "times" is how many times the CPU-ms of the first.',
    [
        Row(
            "tracing",
            "reservation, with every listener",
            reserving,
            {"one_in_ten_times": 1.05},
            named_only=True,
        )
    ],
    opened,
)
