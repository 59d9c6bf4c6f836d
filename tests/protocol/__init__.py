"""An exhaustive search (a model check) of the protocol of reservations and payments.

What is searched: one ticket, its seller, and one to three orders on it. A state holds the orders, the documents of
payments, the PaymentIntents at Stripe, every snapshot that was ever published, the copies of the ticket in tickets and
orders, and what each worker in flight has read and is about to do. From each state every possible next thing happens: a
snapshot is delivered (again, late, out of order, or never), a worker takes its next single step (read the document,
read the PaymentIntent, call Stripe, write), a worker dies or loses Stripe's reply at any point, the buyer pays, is
declined or cancels, a deadline passes, the bank refuses a capture, a day passes, an operator refunds, the seller edits
or withdraws. Every state that is reached is checked (`invariants.violation`). From each one without workers in flight,
faults end and everything is brought to rest, which must leave no order open and all money right
(`invariants.violation_at_rest`). Where a day may be lost, Stripe also becomes unreachable for one from there: the
orders must end without it, and all money be right once it is back.

What decides in the search is the services' own code: `Order.apply_payment`, `expire`, `cancel`, `give_up` and
`check_ticket` of orders, `decide`, `record`, `has_work_left`, `check_payable`, `request_partial_refund` and
`count_refused_capture` of payments, `Ticket.apply_order`, `edit` and `withdraw` of tickets; and what an event does to a
payment is done by `PaymentStore.apply_order`, on a MongoDB in memory. The model adds what surrounds them: documents
saved by version, unique indexes, Stripe and its idempotency keys, at-least-once delivery.

Limits: times are abstract (a deadline has passed or not; a capture was refused never, just now or ten minutes ago; a
day has passed or not, and no worker survives it). Stripe and the databases are trusted. A buyer begins to pay once or
twice; a bank refuses a capture once or for good. Of Stripe's own failures (500) only those of creations and of partial
refunds are modelled: they may have done it all the same, also later, and may be replayed. Stripe may also refuse a
creation (400), even after it has created the PaymentIntent under the same key. Banks may send refunds back,
which operators may then ask for again; of that webhooks, or the audit, tell in the end. Disputes, refunds made at
Stripe and amounts that differ are not modelled. The exhaustive part has one order with three workers, and two orders
with one or two; three orders with everything at once are only sampled.

model.py is the state, rules.py the rules and their switches, moves.py what can happen, invariants.py what must hold,
search.py the search. docs/protocol.md explains how to read a trace.
"""
