"""The possible next steps. Each function yields (what happens, to which order, the world after it)."""

from collections.abc import Iterator
from typing import NamedTuple

from tests.protocol import workers
from tests.protocol.model import Claim, Document, Limits, PartialRefund, Snapshot, Worker, World
from tests.protocol.rules import COLLEAGUE, OPERATORS, Rules, copy_status, listing_changed, listing_followed, reason_of

Move = tuple[str, int, World]

LIVE = ("created", "awaiting_payment", "complete")
UNENDED = ("created", "awaiting_payment")


class Others(NamedTuple):
    """The properties of the workers in flight on which other steps depend."""

    are_few: bool  # one more may begin
    expire: bool  # one of them lets an order expire
    busy_with: frozenset[int]  # whose orders a day may not pass for


def moves(world: World, others: Others, rules: Rules, limits: Limits) -> Iterator[Move]:
    """Yield everything that can happen next in a world without workers, except what those in flight do."""
    for number, claim in enumerate(world.claims):
        yield from _orders(world, number, claim, others, rules, limits)
        if limits.money:
            yield from _payments(world, number, claim, others, rules, limits)
        yield from _buyer(world, number, claim, others, rules, limits)
        yield from _time(world, number, claim, others, limits)
    yield from _reserving(world, others, rules, limits)
    if limits.seller:
        yield from _listing(world, rules)


def delivered(claim: Claim, version: int, rules: Rules) -> tuple[Claim, bool]:
    """Return the claim after payments followed a version of the order, and whether that has to settle."""
    document = claim.document
    copied = copy_status(claim, document) if document else ""
    after, settles = rules.delivered(document, copied, version, claim.history[version - 1])
    settles = settles and after is not None and after.asked
    return claim if after == document else claim._replace(document=after), settles


def _orders(world: World, number: int, claim: Claim, others: Others, rules: Rules, limits: Limits) -> Iterator[Move]:
    asked: list[tuple[str, Snapshot | None]] = []
    if limits.cancelling:
        asked.append(("cancel", None))
    if claim.a_day_passed:
        asked += [("give up", None), ("expire unasked", None)]
    asked += [("follow", snapshot) for snapshot in claim.published]
    for change, snapshot in asked:
        if after := workers.with_order_changed(world, number, change, snapshot, rules, limits):
            label = f"orders follows the payment that is {snapshot.status}" if snapshot else f"orders: {change}"
            yield f"{label}: {after.claims[number].status}", number, after
    if not others.expire:
        yield from _expiry(world, number, rules, limits)
    if limits.extending and others.are_few and rules.may_extend(claim.status, claim.is_overdue, claim.extensions > 0):
        worker = Worker("extend", number, order_version=len(claim.history))
        after = world._replace(broken="an order was extended after its deadline") if claim.is_overdue else world
        yield "orders reads an order whose buyer extends it", number, workers.added(after, worker)


def _expiry(world: World, number: int, rules: Rules, limits: Limits) -> Iterator[Move]:
    """Let orders ask payments about an overdue order, and let it expire in another step if nothing was paid."""
    if not (asked := _asked(world, number, rules, limits)):
        return
    after, outcome = asked
    if outcome is None:
        worker = Worker("expire", number, order_version=len(world.claims[number].history))
        yield "orders asks payments about an overdue order: unpaid", number, workers.added(after, worker)
    elif followed := workers.with_order_changed(after, number, "follow", outcome, rules, limits):
        yield f"orders asks payments about an overdue order: {outcome.status}", number, followed


def expired(world: World, number: int, rules: Rules, limits: Limits) -> World:
    """Return the world after orders asked payments about an overdue order and did what follows, if anything."""
    if not (asked := _asked(world, number, rules, limits)):
        return world
    after, outcome = asked
    change = "follow" if outcome else "expire"
    return workers.with_order_changed(after, number, change, outcome, rules, limits) or world


def _asked(world: World, number: int, rules: Rules, limits: Limits) -> tuple[World, Snapshot | None] | None:
    """Return the world after orders asked payments about an overdue order, and the answer; None if it is not overdue.

    See `workers.outcome`.
    """
    claim = world.claims[number]
    if claim.status != "created" or not claim.is_overdue:
        return None
    return workers.outcome(world, number, rules, limits) if rules.ask_before_expiry else (world, None)


def _payments(world: World, number: int, claim: Claim, others: Others, rules: Rules, limits: Limits) -> Iterator[Move]:
    for version, status in enumerate(claim.history, 1):
        after, settles = delivered(claim, version, rules)
        label = f"payments receives version {version} ({status})"
        if not limits.unacked:
            if after is not claim:
                yield label, number, world.with_claim(number, after)
        elif not settles:
            acked = after._replace(unacked=after.unacked and version != len(claim.history))
            for outcome, kept in (("acknowledges it", acked), ("dies before it acknowledges it", after)):
                if kept != claim:
                    yield f"{label} and {outcome}", number, world.with_claim(number, kept)
        elif others.are_few:
            yield label, number, workers.added(world.with_claim(number, after), workers.follower(number, version))
    if others.are_few and claim.document and claim.document.asked and not limits.unacked:
        settling = Worker("look", number, claim.document)
        yield "settle reads the document", number, workers.added(world, settling)


def _buyer(world: World, number: int, claim: Claim, others: Others, rules: Rules, limits: Limits) -> Iterator[Move]:
    document = claim.document
    if not limits.buying or not limits.money:
        return
    if claim.payable and others.are_few and (worker := workers.payer(number, claim, rules)):
        began = world.with_claim(number, claim._replace(payable=claim.payable - 1))
        yield "the buyer pays; payments reads the document", number, workers.added(began, worker)
    if document is None or not document.asked:
        return
    if document.intent is not None:
        for label, charged in workers.charged(claim, document.intent, limits):
            yield f"in the browser: {label}", number, world.with_claim(number, charged)
    yield from _refunds(world, number, claim, document, rules, limits)


def _refunds(
    world: World, number: int, claim: Claim, document: Document, rules: Rules, limits: Limits
) -> Iterator[Move]:
    for name in OPERATORS if limits.operator else ():
        after = rules.refund_asked(document, copy_status(claim, document), name)
        if after != document:
            yield f"{name} asks for a refund", number, world.with_claim(number, claim._replace(document=after))
    for ident, label in _requests(document, limits):
        after = rules.partial_refund_requested(document, copy_status(claim, document), ident)
        if after != document:
            yield f"an operator asks {label}", number, world.with_claim(number, claim._replace(document=after))
    for label, finished in workers.finished_late(claim):
        yield label, number, world.with_claim(number, finished)
    for label, returned in workers.returned(claim, limits):
        yield label, number, world.with_claim(number, returned)


def _requests(document: Document, limits: Limits) -> Iterator[tuple[str, str]]:
    """Yield the ids of requests for a partial refund that operators may make, and what each is for."""
    requests = {reason_of(refund.id) for refund in document.partial_refunds}
    if len(requests) < limits.partial_refunds:
        yield str(len(requests)), "for a partial refund"
    if len(document.partial_refunds) - len(requests) < limits.repeats:
        for ident in sorted(requests):
            yield ident, f"for partial refund {ident} again"
    for refund in document.partial_refunds:
        if refund.state in ("requested", "created"):
            yield COLLEAGUE + reason_of(refund.id), f"for partial refund {refund.id} as a colleague did"


def _time(world: World, number: int, claim: Claim, others: Others, limits: Limits) -> Iterator[Move]:
    if not claim.is_overdue and claim.status in UNENDED:
        yield "the deadline passes", number, world.with_claim(number, claim._replace(is_overdue=True))
    document = claim.document
    if document and document.refusals and not document.refused_long_ago:
        after = claim._replace(document=document._replace(refused_long_ago=True))
        yield "ten minutes pass", number, world.with_claim(number, after)
    if number not in others.busy_with and (after := minutes_later(claim)) != claim:
        yield "ten minutes pass", number, world.with_claim(number, after)
    if limits.days and not claim.a_day_passed and number not in others.busy_with:
        yield "a day passes", number, world.with_claim(number, a_day_later(claim))


def minutes_later(claim: Claim) -> Claim:
    """Return the claim when nothing is under way at Stripe any more."""
    document = claim.document
    if document and document.partial_refunds:
        document = document._replace(partial_refunds=tuple(map(_minutes_later, document.partial_refunds)))
    intents = tuple(intent._replace(late=frozenset()) for intent in claim.intents)
    return claim._replace(document=document, intents=intents, late=frozenset())


def _minutes_later(refund: PartialRefund) -> PartialRefund:
    return refund._replace(failed=refund.failed and "old", abandoned=refund.abandoned and "old")


def a_day_later(claim: Claim) -> Claim:
    """Return the claim when Stripe has forgotten the idempotency keys, and its search is up to date."""
    claim = minutes_later(claim)
    document = claim.document
    if document and document.creating:
        document = document._replace(creating="old")
    intents = tuple(intent._replace(is_old=True, refund_replies=frozenset()) for intent in claim.intents)
    return claim._replace(a_day_passed=True, document=document, intents=intents, replies=(), paid_in_time=False)


def _reserving(world: World, others: Others, rules: Rules, limits: Limits) -> Iterator[Move]:
    if len(world.claims) >= limits.orders or (world.claims and world.claims[-1].status in LIVE):
        return
    for seen in range(1, len(world.listing.snapshots) + 1):
        after = world
        if rules.is_behind(world.copy, seen):
            after = world._replace(copy=len(world.listing.snapshots))
        if reserved := _reserved(after, seen, rules):
            worker = Worker("insert", len(world.claims))
            if not limits.racing:
                yield from workers.steps(reserved, worker, rules, limits)
            elif others.are_few:
                yield f"a buyer who saw version {seen} finds the ticket free", -1, workers.added(reserved, worker)


def _reserved(world: World, seen: int, rules: Rules) -> World | None:
    """Return the world after orders let a buyer who saw version `seen` reserve, by its copy; None if it refuses."""
    copied = world.listing.snapshots[world.copy - 1]
    if not rules.may_reserve(copied, world.copy, seen):
        return None
    if copied[0]:
        return world._replace(broken="a ticket was reserved that orders knew to be withdrawn")
    if copied[1] != world.listing.snapshots[seen - 1][1]:
        return world._replace(broken="a ticket was reserved at another price than the buyer saw")
    return world


def _listing(world: World, rules: Rules) -> Iterator[Move]:
    listing = world.listing
    for number, claim in enumerate(world.claims):
        for version, status in enumerate(claim.history, 1):
            after = listing_followed(listing, number + 1, version, status, not rules.newest_reservation_wins)
            if not rules.newest_reservation_wins:
                after = after._replace(delivered=after.delivered | {(number, version)})
            if after != listing:
                label = f"tickets receives version {version} ({status})"
                yield label, number, world._replace(listing=after)
    for version in {snapshot[3] for snapshot in listing.snapshots if snapshot[3] > world.copy}:
        yield f"orders receives version {version} of the ticket", -1, world._replace(copy=version)
    for change in ("edit", "withdraw") if world.changes else ():
        after = listing_changed(listing, change, rules.revise)
        if after != listing:
            yield f"the seller: {change}", -1, world._replace(listing=after, changes=world.changes - 1)
