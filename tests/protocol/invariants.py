"""The invariants: of every state, and of those where faults have ended and everything has come to rest."""

from functools import lru_cache
from itertools import product

from payments.domain import MAXIMUM_DECLINES
from tests.protocol import moves, workers
from tests.protocol.model import Claim, Document, Intent, Limits, Listing, Snapshot, World
from tests.protocol.rules import Rules, answer, copy_status, listing_followed, reason_of, refunded_cents

LIVE = ("created", "awaiting_payment", "complete")
ROUNDS = 20
UNLIMITED = 1000


def violation(world: World) -> str:
    """Return what is wrong in a state, or ""."""
    if world.broken:
        return world.broken
    if sum(claim.status in LIVE for claim in world.claims) > 1:
        return "I1: two orders hold the ticket"
    return next((wrong for claim in world.claims if (wrong := _wrong(claim))), "")


def _wrong(claim: Claim) -> str:
    captures = sum(each.captures for each in claim.intents)
    refunds = sum(each.refunds - each.refunds_returned for each in claim.intents)
    if captures > 1 or refunds > 1:
        return "I3: charged or refunded twice"
    if any(map(_is_partially_refunded_twice, claim.intents)):
        return "I3: a partial refund was made twice"
    if claim.status == "complete" and captures - refunds != 1 and not _is_refund_requested(claim):
        return "I2: the order is complete and its money is not here"
    if claim.extensions > 1:
        return "an order was extended twice"
    return _published_wrongly(claim) or _wrongly_cancelled(claim)


def _is_partially_refunded_twice(intent: Intent) -> bool:
    requests = list(map(reason_of, intent.kept_refunds))
    return len(requests) > len(set(requests))


def _is_refund_requested(claim: Claim) -> bool:
    """Whether an operator asked for a refund, which changes nothing about the order but the mark on it."""
    return claim.document is not None and (claim.document.refund_asked or claim.document.asked_before)


def _published_wrongly(claim: Claim) -> str:
    document = claim.document
    stored = claim.intents[document.intent].status if document and document.intent is not None else ""
    if any(each.final for each in claim.published) and stored != "canceled":
        return "a final failure was published while the PaymentIntent was not canceled"
    if any(each.status == "captured" for each in claim.published) and stored != "succeeded":
        return "a capture was published that did not happen"
    return ""


def _wrongly_cancelled(claim: Claim) -> str:
    """An order that was paid in time ends cancelled only if its bank refused, its third card, or Stripe for a day."""
    refused = claim.document is not None and claim.document.refusals > 0
    declined = any(intent.declines >= MAXIMUM_DECLINES for intent in claim.intents)
    if claim.history[-2:] == ("awaiting_payment", "cancelled") and not (refused or declined or claim.a_day_passed):
        return "an order paid in time was cancelled"
    return ""


def violation_at_rest(world: World, rules: Rules, limits: Limits) -> str:
    """Return what stays wrong when faults end, with no worker in flight, or "".

    First without time passing: what was paid must be settled at once. Then all deadlines pass, and all must have ended.
    All that twice: every event is delivered, or every one is lost for good. (Without a reconciler events alone heal.)
    """
    for lost in (False, True) if rules.reconcile and rules.events_lost else (False,):
        for refusals, refused in product(_either(limits.refusals), _either(limits.refused_creations)):
            resting = limits._replace(refusals=refusals, refused_creations=refused)
            if wrong := _wrong_at_rest(world, rules, resting, lost):
                return f"{wrong}, its events lost" if lost else wrong
    return _unended_without_stripe(world, rules, limits) if limits.days else ""


def _either(limit: int) -> set[int]:
    """Return how often something may be refused once faults end: never, or for good if it may be refused at all."""
    return {0, UNLIMITED if limit else 0}


def _wrong_at_rest(world: World, rules: Rules, limits: Limits, lost: bool) -> str:
    rested = drained(world, rules, limits, lost)
    if wrong := violation(rested) or _waiting(rested):
        return f"{wrong}, at rest"
    return _wrong_after_deadlines(rested, rules, limits, lost)


@lru_cache(workers.KEPT)
def _wrong_after_deadlines(rested: World, rules: Rules, limits: Limits, lost: bool) -> str:
    late = drained(_much_later(rested), rules, limits, lost)
    if wrong := violation(late) or _unended(late):
        return f"{wrong}, at rest after all deadlines"
    return ""


def _unended_without_stripe(world: World, rules: Rules, limits: Limits) -> str:
    """Return what stays wrong when Stripe is down for more than a day: no payment is settled, and yet orders end."""
    late = _much_later(world)
    for number, claim in enumerate(late.claims):
        late = late.with_claim(number, moves.a_day_later(claim))
    late = drained(late, rules, limits._replace(money=False), lost=False)
    if any(claim.status not in ("complete", "cancelled") for claim in late.claims):
        return "an order never ends while Stripe is unreachable"
    return violation_at_rest(late, rules, limits._replace(days=False))  # Stripe is back


def drained(world: World, rules: Rules, limits: Limits, lost: bool) -> World:
    """Return the world after all that the system does by itself, without time passing.

    `lost`: no event is delivered any more, so that each part follows the others only by comparing and asking.
    """
    for _ in range(ROUNDS):
        before = world
        for number in range(len(world.claims)):
            if limits.money:
                world = _payments_caught_up(world, number, rules, limits, lost)
                world = _audited(world, number, rules) if rules.audit else world
            world = _followed(world, number, rules, limits, lost)
        world = _listing_updated(world, rules, lost)
        if world == before:
            return world
    return world._replace(broken="it never comes to rest")


def _payments_caught_up(world: World, number: int, rules: Rules, limits: Limits, lost: bool) -> World:
    claim = world.claims[number]
    newest, document = len(claim.history), claim.document
    is_older = document is not None and document.copy < newest
    redelivered = claim.unacked if limits.unacked else is_older
    if (is_older and "payments" in rules.comparing) if lost else redelivered:
        claim, settles = moves.delivered(claim, newest, rules)
        world = world.with_claim(number, claim._replace(unacked=False))
        world = workers.settled(world, number, rules, limits) if settles else world
    claim = world.claims[number]
    awaited = claim.status == "awaiting_payment"
    document = claim.document
    if not rules.reconcile or document is None or not document.asked:
        return world
    is_visited = document.work_left or awaited or _is_reported(claim, document)
    return workers.settled(world, number, rules, limits) if is_visited else world


def _is_reported(claim: Claim, document: Document) -> bool:
    """Whether a webhook, or at last the audit, brings up a refund that was made or came back unseen."""
    return document.intent is not None and refunded_cents(claim.intents[document.intent]) != document.refunded_cents


def _audited(world: World, number: int, rules: Rules) -> World:
    """Return the world after the audit has ended every orphan."""
    claim = world.claims[number]
    document = claim.document if claim.document and claim.document.asked else None
    for other, intent in enumerate(claim.intents):
        if (
            document
            and intent.status not in workers.ENDED
            and rules.ends_intent(document, copy_status(claim, document), other)
        ):
            claim = workers.changed_intent(claim, other, intent._replace(status="canceled"))
    return world.with_claim(number, claim)


def _followed(world: World, number: int, rules: Rules, limits: Limits, lost: bool) -> World:
    claim = world.claims[number]
    snapshots = _compared(claim, rules) if lost else sorted(claim.published)
    asked: list[tuple[str, Snapshot | None]] = [("follow", snapshot) for snapshot in snapshots]
    if claim.a_day_passed and not limits.money:
        asked += [("give up", None), ("expire unasked", None)]
    for change, snapshot in asked:
        world = workers.with_order_changed(world, number, change, snapshot, rules, limits) or world
    return moves.expired(world, number, rules, limits)


def _compared(claim: Claim, rules: Rules) -> list[Snapshot]:
    """Return the payment's newest snapshot if orders gets it without its event."""
    asks = "orders" in rules.comparing or claim.status == "awaiting_payment"
    return [claim.snapshot(*answer(claim.document))] if claim.document and asks else []


def _listing_updated(world: World, rules: Rules, lost: bool) -> World:
    listing = world.listing
    if lost and "tickets" not in rules.comparing:
        return world
    for number, claim in enumerate(world.claims):
        newest = len(claim.history)
        if (number, newest) not in listing.delivered:
            delivered = listing.delivered if rules.newest_reservation_wins else listing.delivered | {(number, newest)}
            listing = listing_followed(listing, number + 1, newest, claim.status, not rules.newest_reservation_wins)
            listing = listing._replace(delivered=delivered)
    return world._replace(listing=listing, copy=_ticket_copied(listing, world.copy, lost))


def _ticket_copied(listing: Listing, copy: int, lost: bool) -> int:
    """Return the version of the ticket that orders has after its newest event, or after it compared the revisions."""
    revision = listing.snapshots[-1][3]
    if copy >= revision:
        return copy
    return len(listing.snapshots) if lost else revision


def _promised_wrongly(claim: Claim) -> str:
    """Return what is wrong with the partial refunds that operators asked for, at the end."""
    states = [refund.state for refund in claim.document.partial_refunds] if claim.document else []
    if "requested" in states:
        return "a partial refund that an operator asked for was neither made nor abandoned"
    is_explained = _is_refund_requested(claim) or any(intent.has_returned for intent in claim.intents)
    if "abandoned" in states and not is_explained:
        return "a partial refund was promised of which less was left"
    return ""


def _much_later(world: World) -> World:
    for number, claim in enumerate(world.claims):
        world = world.with_claim(number, moves.minutes_later(claim)._replace(is_overdue=True))
    return world


def _waiting(world: World) -> str:
    for claim in world.claims:
        held = any(intent.status == "requires_capture" for intent in claim.intents)
        if held or claim.status == "awaiting_payment":
            return "a card is charged for an order that makes no progress"
        if any(intent.declines >= MAXIMUM_DECLINES and intent.status not in workers.ENDED for intent in claim.intents):
            return "a third decline did not end the payment"
    return ""


def _unended(world: World) -> str:
    for claim in world.claims:
        has_returned = any(intent.has_returned for intent in claim.intents)
        kept = sum(intent.captures - intent.is_refunded for intent in claim.intents)
        if claim.status not in ("complete", "cancelled"):
            return f"an order stays {claim.status}"
        if claim.refunded_cents != sum(map(refunded_cents, claim.intents)):
            return "an order does not say what was refunded"
        if not has_returned and kept != (claim.status == "complete" and not _is_refund_requested(claim)):
            return f"I2: the order is {claim.status} and {kept} charges were kept"
        if wrong := _promised_wrongly(claim):
            return wrong
        if any(intent.status not in workers.ENDED for intent in claim.intents):
            return "an order has ended, and its PaymentIntent can still be paid"
        if claim.document and claim.document.asked and claim.document.copy != len(claim.history):
            return "I6: payments has another version of the order"
    if world.listing.snapshots[world.copy - 1][:2] != world.listing.snapshots[-1][:2]:
        return "I6: orders has another state of the ticket"
    shown, live = world.listing.snapshots[-1][2], [claim for claim in world.claims if claim.status in LIVE]
    if world.claims and (shown == "sold") != bool(live) or shown == "reserved":
        return f"the ticket is shown as {shown}"
    return ""
