"""The workers of payments and orders, one single step at a time; any of them may die between two steps."""

from collections.abc import Iterator
from functools import lru_cache

from payments.decisions import Step
from payments.domain import MAXIMUM_DECLINES
from tests.protocol.model import FAILED, REFUSED, Claim, Document, Intent, Limits, Snapshot, Worker, World
from tests.protocol.rules import PARTIAL, PRICE, Rules, answer, copy_status, has_work_left, refunded_cents

Move = tuple[str, int, World]

ENDED = ("succeeded", "canceled")
AUTHORIZED = "requires_capture"
UNKNOWN = Snapshot("unknown")
"""The answer that orders gets about a payment while payments or Stripe is unreachable."""
ROUNDS = 20
NEW = Document(copy=0, asked=False)
"""A payment that was just opened."""
EVERYTHING = ""
"""The key of a full refund among the partial ones."""
KEPT = 100_000
"""How many answers to the same question are kept."""
LIVE = ("created", "awaiting_payment", "complete")


def added(world: World, worker: Worker) -> World:
    """Return the world with one more worker; identical workers are interchangeable."""
    return world._replace(workers=tuple(sorted((*world.workers, worker), key=hash)))


def without(world: World, worker: Worker) -> World:
    """Return the world with one worker less."""
    position = world.workers.index(worker)
    return world._replace(workers=world.workers[:position] + world.workers[position + 1 :])


def payer(number: int, claim: Claim, rules: Rules) -> Worker | None:
    """Return a worker that has read the document to begin to pay, or None if that is refused."""
    document = claim.document
    if document is None or not document.asked:
        return Worker("open" if rules.open_before_asking else "ask", number)
    if not rules.look_before_paying:
        return Worker("create and confirm", number, document)
    if not rules.may_pay(document, copy_status(claim, document)):
        return None
    if document.intent is not None:
        return Worker("look", number, document, then="mark")
    if document.creating:
        return creator(Worker("", number, then="pay"), document)
    written = document._replace(version=document.version + 1, creating="fresh", work_left=True)
    return Worker("save", number, document, written=written, then="create")


def follower(number: int, version: int) -> Worker:
    """Return a worker that has stored this version of the order and settles, before it acknowledges the event.

    What is recorded as authorized it captures without reading it first (rule 2).
    """
    return Worker("read", number, then="capture", acks=version)


def charged(claim: Claim, number: int, limits: Limits) -> Iterator[tuple[str, Claim]]:
    """Yield the possible outcomes of a card that is tried on a PaymentIntent."""
    intent = claim.intents[number]
    if intent.status == "requires_payment_method":
        yield "the card is authorized", authorized(changed_intent(claim, number, intent._replace(status=AUTHORIZED)))
        if intent.declines < limits.declines:
            yield "the card is declined", changed_intent(claim, number, intent._replace(declines=intent.declines + 1))


def changed_order(claim: Claim, change: str, snapshot: Snapshot | None, rules: Rules, limits: Limits) -> Claim | None:
    """Return the claim with a new version of its order, or None when the change does nothing."""
    status, refunded, followed = rules.change_order(
        claim.status, claim.is_overdue, claim.refunded_cents, claim.followed, change, snapshot
    )
    if status is None:
        return claim._replace(followed=followed) if followed != claim.followed else None
    is_created = status == "created"
    return claim._replace(
        history=(*claim.history, status),
        refunded_cents=refunded,
        followed=followed,
        paid_in_time=claim.paid_in_time and is_created,
        unacked=limits.unacked,
    )


def with_order_changed(
    world: World, number: int, change: str, snapshot: Snapshot | None, rules: Rules, limits: Limits
) -> World | None:
    """Return the world with a new version of an order, or None when the change does nothing."""
    claim = world.claims[number]
    after = changed_order(claim, change, snapshot, rules, limits)
    if after is None:
        return None
    world = world.with_claim(number, after)
    has_third_decline = any(intent.declines >= MAXIMUM_DECLINES for intent in claim.intents)
    if claim.paid_in_time and after.status == "cancelled" and change != "cancel" and not has_third_decline:
        return world._replace(broken="an order paid in time was cancelled")
    return world


def authorized(claim: Claim) -> Claim:
    """Return the claim after a card was authorized, perhaps in time."""
    in_time = claim.status == "created" and not claim.is_overdue and not claim.a_day_passed
    return claim._replace(paid_in_time=True) if in_time else claim


def outcome(world: World, number: int, rules: Rules, limits: Limits) -> tuple[World, Snapshot | None]:
    """Return the world after payments was asked about an overdue order, and the payment's snapshot that it answers.

    The snapshot is None when nothing is authorized, and UNKNOWN while Stripe is unreachable.
    """
    document = world.claims[number].document
    if document is None or document.intent is None:
        return world, None
    if document.status == "open":
        if not limits.money:
            return world, UNKNOWN
        others = world.workers
        world = settled(world._replace(workers=()), number, rules, limits)._replace(workers=others)
        document = world.claims[number].document
    assert document is not None
    return world, (None if document.status == "open" else world.claims[number].snapshot(*answer(document)))


def settled(world: World, number: int, rules: Rules, limits: Limits) -> World:
    """Run settle to its end, without other workers."""
    claim, broken = _settled(world.claims[number], rules, limits)
    return world.with_claim(number, claim)._replace(broken=world.broken or broken)


@lru_cache(KEPT)
def _settled(claim: Claim, rules: Rules, limits: Limits) -> tuple[Claim, str]:
    """Return the claim after that, and the forbidden thing that has happened."""
    world = World((claim,))
    for _ in range(ROUNDS):
        before = world
        world = added(world, Worker("look", 0, world.claims[0].document))
        while world.workers:
            outcomes = [after for _, _, after in steps(world, world.workers[0], rules, limits)]
            world = outcomes[-1]  # a refusal comes after the capture
        if world == before:
            break
    return world.claims[0], world.broken


def changed_intent(claim: Claim, number: int, intent: Intent) -> Claim:
    """Return the claim with one PaymentIntent changed."""
    return claim._replace(intents=(*claim.intents[:number], intent, *claim.intents[number + 1 :]))


def steps(world: World, worker: Worker, rules: Rules, limits: Limits) -> Iterator[Move]:
    """Yield the possible outcomes of a worker's next step."""
    rest = without(world, worker) if worker in world.workers else world
    for label, after in STEPS[worker.task](rest, worker, rules, limits):
        yield label, worker.claim, after


Outcomes = Iterator[tuple[str, World]]


def _read(world: World, worker: Worker, rules: Rules, limits: Limits) -> Outcomes:
    yield (
        "settle reads the document",
        added(world, worker._replace(task="look", read=world.claims[worker.claim].document)),
    )


def _open(world: World, worker: Worker, rules: Rules, limits: Limits) -> Outcomes:
    """Open the payment of an order that is not copied yet."""
    claim = world.claims[worker.claim]
    after = world.with_claim(worker.claim, claim._replace(document=claim.document or NEW))
    yield "it opens the payment", added(after, worker._replace(task="ask"))


def _ask(world: World, worker: Worker, rules: Rules, limits: Limits) -> Outcomes:
    version = len(world.claims[worker.claim].history)
    yield (
        f"it asks orders, and is told version {version}",
        added(world, worker._replace(task="copy", order_version=version)),
    )


def _copy(world: World, worker: Worker, rules: Rules, limits: Limits) -> Outcomes:
    """Store what orders answered, and begin to pay."""
    claim, version = world.claims[worker.claim], worker.order_version
    document = claim.document or NEW
    document = rules.copied(document, copy_status(claim, document), version, claim.history[version - 1])
    claim = claim._replace(document=document)
    paying = payer(worker.claim, claim, rules)
    after = world.with_claim(worker.claim, claim)
    yield "it stores that, and reads the document", added(after, paying) if paying else after


def _look(world: World, worker: Worker, rules: Rules, limits: Limits) -> Outcomes:
    """Read the PaymentIntent and decide; nothing happens yet."""
    claim, document = world.claims[worker.claim], worker.read
    assert document is not None
    if worker.acks and not has_work_left(document, copy_status(claim, document)):
        yield "it need not read the PaymentIntent", added(world, worker._replace(task="update_work_left"))
        return
    if worker.then == "capture":
        worker = worker._replace(then="")
        if rules.captures_unread and _is_to_be_captured(document, claim, rules):
            yield "it need not read the PaymentIntent to capture it", added(world, _capturer(worker, document))
            return
    intent = claim.intents[document.intent] if document.intent is not None else None
    step = rules.next_step(document, copy_status(claim, document), claim.is_overdue, intent)
    next_worker = _decided(step, worker, document, intent, copy_status(claim, document), rules)
    yield f"it reads the PaymentIntent and will {next_worker.task}", added(world, next_worker)


def _decided(
    step: Step, worker: Worker, document: Document, intent: Intent | None, status: str, rules: Rules
) -> Worker:
    if step is Step.FIND_OR_CREATE:
        return creator(worker, document)
    if intent is None or step is Step.WAIT:
        return worker._replace(task="update_work_left", then="")
    if step is Step.CANCEL and not rules.final_when_cancelled and status == "awaiting_payment":
        given_up = document._replace(version=document.version + 1, status="cancelled", work_left=False)
        return worker._replace(task="save", written=given_up, event=answer(given_up), then="")
    if step is Step.REFUND_PARTIALLY:
        refund = rules.next_partial_refund(document, status, intent)
        asking = worker._replace(task="refund_partially", intent=document.intent, then="")
        return asking._replace(refund=refund.id, key_no=refund.key_no)
    if step is Step.ABANDON_PARTIAL_REFUND:
        return worker._replace(task="save", written=rules.abandoned(document, status, intent), event=None, then="")
    if step is Step.CAPTURE:
        return _capturer(worker, document)
    if step in (Step.CANCEL, Step.REFUND):
        key_no = document.key_no if step is Step.REFUND else 0
        return worker._replace(task=step.name.lower(), read=None, intent=document.intent, then="", key_no=key_no)
    written, event = rules.recorded(document, status, intent)
    then = worker.then if written.status == "open" else ""
    if written.version == document.version:
        return _marking(worker, document) if then else worker._replace(task="update_work_left", then="")
    return worker._replace(task="save", written=written, event=event, then=then)


def _is_to_be_captured(document: Document, claim: Claim, rules: Rules) -> bool:
    """Whether a payment is to be captured if it is still authorized at Stripe, as it was recorded."""
    if document.status != "authorized":
        return False
    status = copy_status(claim, document)
    return rules.next_step(document, status, claim.is_overdue, Intent(AUTHORIZED)) is Step.CAPTURE


def _capturer(worker: Worker, document: Document) -> Worker:
    return worker._replace(task="capture", read=document, intent=document.intent, then="")


def _marking(worker: Worker, document: Document) -> Worker:
    """Mark that a card is about to be charged: one more saved change, with nothing in it that decides anything."""
    written = document._replace(version=document.version + 1, work_left=True)
    return worker._replace(task="save", read=document, written=written, event=None, then="confirm")


def creator(worker: Worker, document: Document) -> Worker:
    """Return a worker that creates the PaymentIntent, after searching for one unless its first key is surely replayed.

    `then` is "pay" if the buyer's card is charged next.
    """
    searches = document.key_no > 0 or document.creating == "old"
    return Worker("search" if searches else "create", worker.claim, document, then=worker.then, acks=worker.acks)


def _save(world: World, worker: Worker, rules: Rules, limits: Limits) -> Outcomes:
    claim, read, written = world.claims[worker.claim], worker.read, worker.written
    document = claim.document
    assert document is not None and read is not None and written is not None
    if rules.compare_and_set and (document.version, document.copy) != (read.version, read.copy):
        lost = loser(worker, rules)
        yield "its write is refused: the document has changed", added(world, lost) if lost else world
        return
    stored = written._replace(copy=document.copy)
    published = claim.published | {claim.snapshot(*worker.event)} if worker.event else claim.published
    after = world.with_claim(worker.claim, claim._replace(document=stored, published=published))
    if stored.version <= document.version:
        after = after._replace(broken=f"a stored version went from {document.version} to {stored.version}")
    yield f"it writes: {stored.status}" + (" and publishes" if worker.event else ""), _continue(after, worker, stored)


def _continue(world: World, worker: Worker, stored: Document) -> World:
    if worker.then == "mark":
        return added(world, _marking(worker, stored))
    if worker.then == "create":
        return added(world, creator(worker._replace(then="pay"), stored))
    if worker.then == "pay":
        return added(world, Worker("look", worker.claim, stored, then="mark"))
    if worker.then == "confirm":
        return added(world, Worker("confirm", worker.claim, stored, stored.intent))
    if worker.then == "settle" and worker.acks:
        return added(world, Worker("read", worker.claim, acks=worker.acks))
    return _acked(world, worker)


def _acked(world: World, worker: Worker) -> World:
    claim = world.claims[worker.claim]
    if worker.acks == len(claim.history):
        return world.with_claim(worker.claim, claim._replace(unacked=False))
    return world


def _update_work_left(world: World, worker: Worker, rules: Rules, limits: Limits) -> Outcomes:
    claim, read = world.claims[worker.claim], worker.read
    document = claim.document
    assert document is not None and read is not None
    if not rules.compare_and_set or (document.version, document.copy) == (read.version, read.copy):
        stored = document._replace(work_left=has_work_left(read, copy_status(claim, read)))
        world = _acked(world.with_claim(worker.claim, claim._replace(document=stored)), worker)
    yield "it finds nothing to do", world


def loser(worker: Worker, rules: Rules) -> Worker | None:
    """Return what is left to do for a worker that could not save: cancel the PaymentIntent that it created, perhaps."""
    if worker.intent is None or not rules.losers_cancel:
        return None
    return Worker("compare" if rules.losers_compare else "cancel", worker.claim, intent=worker.intent)


def _compare(world: World, worker: Worker, rules: Rules, limits: Limits) -> Outcomes:
    document = world.claims[worker.claim].document
    assert document is not None
    if document.intent in (None, worker.intent):
        yield "the order has no other PaymentIntent", world
    else:
        yield "the order has another PaymentIntent", added(world, worker._replace(task="cancel"))


def _search(world: World, worker: Worker, rules: Rules, limits: Limits) -> Outcomes:
    found = range(len(world.claims[worker.claim].intents))
    for number in found:
        yield "it finds a PaymentIntent", added(world, _creation(worker, number, worker.then))
    if not found:
        yield "it finds no PaymentIntent", added(world, worker._replace(task="create"))


def _create(world: World, worker: Worker, rules: Rules, limits: Limits) -> Outcomes:
    claim, read = world.claims[worker.claim], worker.read
    assert read is not None
    replayed = dict(claim.replies).get(read.key_no)
    if read.key_no in claim.late:
        yield "its key is in use", world
        return
    if replayed is None:
        made, number = created(claim, read.key_no, Intent())
        then = "confirm" if worker.then == "pay" else ""
        yield "Stripe creates a PaymentIntent", _with(world, made, _creation(worker, number, then))
        if read.key_no < limits.failures:
            yield from _failures(world, worker, limits)
    elif replayed == FAILED:
        yield "Stripe replays its failure", added(world, _renewal(worker))
    elif replayed == REFUSED:
        yield "Stripe replays its refusal", added(world, _refusal(world, worker, rules))
    else:
        yield "Stripe replays the PaymentIntent", added(world, _creation(worker, replayed, worker.then))
    if read.key_no < limits.refused_creations:
        yield from _refusals(world, worker, replayed is None, rules)


def _refusals(world: World, worker: Worker, is_new: bool, rules: Rules) -> Outcomes:
    """Yield the possible outcomes of a creation that Stripe refuses, perhaps before it looks for the key."""
    claim, read, recorder = world.claims[worker.claim], worker.read, _refusal(world, worker, rules)
    assert read is not None
    if is_new:
        kept = _replying(claim, read.key_no, REFUSED)
        yield "Stripe refuses to create a PaymentIntent, and keeps that", _with(world, kept, recorder)
    yield "Stripe refuses to create a PaymentIntent", added(world, recorder)


def _failures(world: World, worker: Worker, limits: Limits) -> Outcomes:
    """Yield the possible outcomes of a creation that Stripe answers with a failure, which it may or may not replay."""
    claim, read = world.claims[worker.claim], worker.read
    assert read is not None
    kept = _replying(claim, read.key_no, FAILED)
    made = _replying(claim._replace(intents=(*claim.intents, Intent())), read.key_no, FAILED)
    for label, after in (("", claim), (" and keeps it", kept), (" though it has created a PaymentIntent", made)):
        yield f"Stripe answers with a failure{label}", _with(world, after, _renewal(worker))
    if limits.late:
        late = claim._replace(late=claim.late | {read.key_no})
        yield "Stripe answers with a failure, and goes on with it", _with(world, late, _renewal(worker))
        yield "Stripe takes too long to create a PaymentIntent", world.with_claim(worker.claim, late)


def _with(world: World, claim: Claim, worker: Worker) -> World:
    return added(world.with_claim(worker.claim, claim), worker)


def _creation(worker: Worker, number: int, then: str) -> Worker:
    """Return the worker that saves which PaymentIntent the order has."""
    assert worker.read is not None
    written = worker.read._replace(version=worker.read.version + 1, intent=number, creating="", work_left=True)
    return worker._replace(task="save", intent=number, written=written, then=then or "settle")


def _renewal(worker: Worker) -> Worker:
    """Return the worker that saves that another key is used from now on."""
    assert worker.read is not None
    written = worker.read._replace(version=worker.read.version + 1, key_no=worker.read.key_no + 1)
    return worker._replace(task="save", written=written, then="")


def _refusal(world: World, worker: Worker, rules: Rules) -> Worker:
    """Return the worker that saves that Stripe refused to create a PaymentIntent."""
    assert worker.read is not None
    written = rules.creation_refused(worker.read, copy_status(world.claims[worker.claim], worker.read))
    return worker._replace(task="save", written=written, then="")


def created(claim: Claim, key_no: int, intent: Intent) -> tuple[Claim, int]:
    """Return the claim after its PaymentIntent was created, and which it is."""
    number = len(claim.intents)
    claim = claim._replace(intents=(*claim.intents, intent), late=claim.late - {key_no})
    return _replying(claim, key_no, number), number


def _replying(claim: Claim, key_no: int, reply: int) -> Claim:
    return claim._replace(replies=tuple(sorted({**dict(claim.replies), key_no: reply}.items())))


def _create_and_confirm(world: World, worker: Worker, rules: Rules, limits: Limits) -> Outcomes:
    claim, read = world.claims[worker.claim], worker.read
    assert read is not None
    claim = authorized(claim)
    number = dict(claim.replies).get(0)
    if number is None:
        claim, number = created(claim, 0, Intent(AUTHORIZED))
    written = read._replace(version=read.version + 1, intent=number, work_left=True)
    found = Worker("save", worker.claim, read, number, written)
    yield "Stripe creates a PaymentIntent and authorizes it", added(world.with_claim(worker.claim, claim), found)


def _confirm(world: World, worker: Worker, rules: Rules, limits: Limits) -> Outcomes:
    claim = world.claims[worker.claim]
    assert worker.intent is not None
    for label, after in charged(claim, worker.intent, limits):
        charged_world, intent = world.with_claim(worker.claim, after), after.intents[worker.intent]
        if intent.status == AUTHORIZED and worker.read is not None and rules.own_replies:
            charged_world = added(charged_world, replied(charged_world, worker, intent, rules))
        yield label, charged_world


def replied(world: World, worker: Worker, intent: Intent, rules: Rules) -> Worker:
    """Return a worker that takes Stripe's reply to its own request for the PaymentIntent as it is now, and decides."""
    claim, read = world.claims[worker.claim], worker.read
    assert read is not None
    status, shown = copy_status(claim, read), Intent(intent.status)  # a reply counts no declines
    step = rules.next_step(read, status, claim.is_overdue, shown)
    return _decided(step, worker._replace(intent=None), read, shown, status, rules)


def _cancel(world: World, worker: Worker, rules: Rules, limits: Limits) -> Outcomes:
    claim = world.claims[worker.claim]
    assert worker.intent is not None
    intent = claim.intents[worker.intent]
    if intent.status not in ENDED:
        claim = changed_intent(claim, worker.intent, intent._replace(status="canceled"))
    yield "Stripe cancels the PaymentIntent", _settle_again(world.with_claim(worker.claim, claim), worker)


def _refund(world: World, worker: Worker, rules: Rules, limits: Limits) -> Outcomes:
    claim = world.claims[worker.claim]
    assert worker.intent is not None
    intent = claim.intents[worker.intent]
    replies = intent.refund_replies | {(EVERYTHING, worker.key_no, True)}
    if intent.status == "succeeded" and not intent.is_refunded and replies != intent.refund_replies:
        intent = intent._replace(refunds=intent.refunds + 1, refund_replies=replies)
        claim = changed_intent(claim, worker.intent, intent)
    yield "Stripe refunds", _settle_again(world.with_claim(worker.claim, claim), worker)


def _refund_partially(world: World, worker: Worker, rules: Rules, limits: Limits) -> Outcomes:
    """Let Stripe make a partial refund, unless the key was used."""
    claim, key = world.claims[worker.claim], (worker.refund, worker.key_no)
    assert worker.intent is not None
    intent = claim.intents[worker.intent]
    kept = intent.refund_replies if rules.refunds_have_keys else frozenset()
    replies = {(refund, key_no): made for refund, key_no, made in kept}
    if key in intent.late and rules.refunds_have_keys:
        yield f"the key of partial refund {worker.refund} is in use", _settle_again(world, worker)
    elif key in replies and not replies[key]:
        postponer = _postponer(world, worker, rules)
        yield f"Stripe replays its failure for partial refund {worker.refund}", added(world, postponer)
    elif key in replies:
        yield f"Stripe replays partial refund {worker.refund}", _settle_again(world, worker)
    else:
        if worker.key_no < limits.failures:
            yield from _partial_refund_failures(world, worker, rules)
        made = world.with_claim(worker.claim, changed_intent(claim, worker.intent, _with_partial_refund(intent, key)))
        yield f"Stripe makes partial refund {worker.refund}", _settle_again(made, worker)


def _partial_refund_failures(world: World, worker: Worker, rules: Rules) -> Outcomes:
    """Yield the possible outcomes of a partial refund that Stripe answers with a failure, or not at all."""
    claim, key = world.claims[worker.claim], (worker.refund, worker.key_no)
    assert worker.intent is not None
    intent = claim.intents[worker.intent]
    kept = intent._replace(refund_replies=intent.refund_replies | {(*key, False)})
    late = intent._replace(late=intent.late | {key})
    postponer = _postponer(world, worker, rules)
    for label, after in (
        ("", intent),
        (", and keeps it", kept),
        (", though it has made it", _with_partial_refund(intent, key, is_told=False)),
        (", and goes on with it", late),
    ):
        answered = _with(world, changed_intent(claim, worker.intent, after), postponer)
        yield f"Stripe answers partial refund {worker.refund} with a failure{label}", answered
    unanswered = world.with_claim(worker.claim, changed_intent(claim, worker.intent, late))
    yield f"Stripe takes too long over partial refund {worker.refund}", unanswered


def _with_partial_refund(intent: Intent, key: tuple[str, int], is_told: bool = True) -> Intent:
    """Return the PaymentIntent after a partial refund, unless less is left: Stripe refuses that by itself."""
    left = PRICE - refunded_cents(intent)
    intent = intent._replace(late=intent.late - {key}, refund_replies=intent.refund_replies | {(*key, is_told)})
    if intent.status != "succeeded" or left < PARTIAL:
        return intent
    return intent._replace(partial_refunds=(*intent.partial_refunds, key[0]))


def finished_late(claim: Claim) -> Iterator[tuple[str, Claim]]:
    """Yield the possible outcomes of creations, and partial refunds, that are still under way at Stripe."""
    for key_no in claim.late:
        yield "Stripe has created a PaymentIntent late", created(claim, key_no, Intent())[0]
    for number, intent in enumerate(claim.intents):
        for key in intent.late:
            refunded = changed_intent(claim, number, _with_partial_refund(intent, key))
            yield f"Stripe has made partial refund {key[0]} late", refunded


def returned(claim: Claim, limits: Limits) -> Iterator[tuple[str, Claim]]:
    """Yield the possible outcomes of refunds that the cardholder's bank sends back."""
    for number, intent in enumerate(claim.intents):
        if len(intent.returned) + intent.refunds_returned >= limits.returned:
            continue
        for refund in intent.kept_refunds:
            changed = changed_intent(claim, number, intent._replace(returned=intent.returned | {refund}))
            yield f"the bank sends partial refund {refund} back", changed
        if intent.is_refunded:
            after = intent._replace(refunds_returned=intent.refunds_returned + 1)
            yield "the bank sends the refund back", changed_intent(claim, number, after)


def _postponer(world: World, worker: Worker, rules: Rules) -> Worker:
    """Return the worker that saves that Stripe failed to make a partial refund."""
    assert worker.read is not None
    status = copy_status(world.claims[worker.claim], worker.read)
    written = rules.partial_refund_postponed(worker.read, status, worker.refund)
    return Worker("save", worker.claim, worker.read, written=written, acks=worker.acks)


def _capture(world: World, worker: Worker, rules: Rules, limits: Limits) -> Outcomes:
    claim, read = world.claims[worker.claim], worker.read
    assert worker.intent is not None and read is not None
    intent = claim.intents[worker.intent]
    if intent.status == "requires_capture":
        taken = changed_intent(claim, worker.intent, intent._replace(status="succeeded", captures=intent.captures + 1))
        after = world.with_claim(worker.claim, taken)
        if rules.own_replies:
            yield "Stripe captures", added(after, replied(after, worker, Intent("succeeded"), rules))
        else:
            yield "Stripe captures", _captured(after, worker, read, rules)
        if read.refusals < limits.refusals:
            refused = rules.refused(read, copy_status(claim, read))
            counted = Worker("save", worker.claim, read, written=refused, acks=worker.acks)
            yield "the bank refuses the capture", added(world, counted)
    else:
        yield "Stripe has nothing to capture", _captured(world, worker, read, rules)


def _captured(world: World, worker: Worker, read: Document, rules: Rules) -> World:
    if not rules.replies_decide:
        return _settle_again(world, worker)
    written, event = rules.recorded(read, copy_status(world.claims[worker.claim], read), Intent("succeeded"))
    return added(world, Worker("save", worker.claim, read, written=written, event=event, acks=worker.acks))


def _settle_again(world: World, worker: Worker) -> World:
    """Settle reads again; if nothing waits for its end, that is equivalent to a settle that begins later."""
    return added(world, Worker("read", worker.claim, acks=worker.acks)) if worker.acks else world


def _insert(world: World, worker: Worker, rules: Rules, limits: Limits) -> Outcomes:
    taken = len(world.claims) > worker.claim or any(claim.status in LIVE for claim in world.claims)
    if (taken and rules.one_winner) or len(world.claims) >= limits.orders:
        yield "the index refuses a second order", world
    else:
        claim = Claim(payable=limits.payments, unacked=limits.unacked)
        yield "orders creates an order", world._replace(claims=(*world.claims, claim))


def _expire(world: World, worker: Worker, rules: Rules, limits: Limits) -> Outcomes:
    claim = world.claims[worker.claim]
    ended = claim.status in ("cancelled", "complete")
    if rules.compare_on_expiry and len(claim.history) != worker.order_version or ended:
        yield "its expiry is refused: the order has changed", world
    elif rules.compare_on_expiry:
        yield "the order expires", with_order_changed(world, worker.claim, "expire", None, rules, limits) or world
    else:
        after = claim._replace(history=(*claim.history, "cancelled"), paid_in_time=False)
        yield "the order expires", world.with_claim(worker.claim, after)


def _extend(world: World, worker: Worker, rules: Rules, limits: Limits) -> Outcomes:
    """Store an extended deadline, if the order is still as it was read."""
    claim = world.claims[worker.claim]
    if rules.compare_on_extension and len(claim.history) != worker.order_version:
        yield "its extension is refused: the order has changed", world
        return
    read = claim.history[worker.order_version - 1]
    after = claim._replace(
        history=(*claim.history, read), is_overdue=False, extensions=claim.extensions + 1, unacked=limits.unacked
    )
    yield "the deadline is extended", world.with_claim(worker.claim, after)


STEPS = {
    "open": _open, "ask": _ask, "copy": _copy,
    "read": _read, "look": _look, "save": _save, "update_work_left": _update_work_left,
    "search": _search, "create": _create, "compare": _compare,
    "confirm": _confirm, "create and confirm": _create_and_confirm, "cancel": _cancel, "refund": _refund,
    "refund_partially": _refund_partially,
    "capture": _capture, "insert": _insert, "expire": _expire, "extend": _extend,
}  # fmt: skip
