"""A stand-in for Stripe on this machine: its API as far as card payments use it, with controls to make it misbehave.

Start it with `python -m dev.fake_stripe` (settings: see `__main__`), or inside a test with
`dev.fake_stripe.testing.running()`. The real `stripe` library talks to it; the page's script is served at `/v3/`.
It takes test keys only: any `sk_test_…` or `pk_test_…`.

The modules: `routes`, `app`, `api` (a request's way), `access`, `parameters` (what Stripe refuses), `idempotency`,
`locks`, `errors`; Stripe's objects in `intents`, `intent_shape`, `attempts` (to pay one), `charges`, `refunds`,
`payment_methods`, `disputes`, `events`, `search`; `cards` (test cards), `amounts`; `state` (the database);
`webhooks` (delivery), `faults`, `control`, `ledger`; `browser` (Stripe.js and the 3-D Secure page).

Controls, JSON over HTTP, from this machine only:

| call | effect |
| --- | --- |
| GET /_control/ledger[?order_id=…] | each PaymentIntent: order_id, amount, status, charges (captured, refunded) |
| GET /_control/requests | the requests to the API since the last reset, each as "POST /v1/refunds" |
| POST /_control/reset | delete everything and reset the controls |
| POST /_control/clock {"advance": seconds} | move the clock by which idempotency keys age (they live 24 hours) |
| POST /_control/locks {"wait": seconds} | how long a write waits for another on the same PaymentIntent (2), then 429 |
| POST /_control/search {"lag": seconds} | let search find PaymentIntents only this long after their creation (0) |
| POST /_control/authenticate {"payment_intent", "outcome": "complete"|"fail"} | answer the 3-D Secure challenge |
| POST /_control/refunds {"payment_intent" or "charge", "amount"?, "reason"?} | refund as from Stripe's dashboard |
| POST /_control/refunds {"begin": "pending"|"succeeded"} | the first status of refunds from now on |
| POST /_control/refunds {"refund", "status": "succeeded"|"failed", "failure_reason"?} | finish a refund |
| POST /_control/disputes {"payment_intent" or "charge", "reason"?, "amount"?, "inquiry"?} | open a dispute or inquiry |
| POST /_control/disputes {"dispute", "status": …} | change its status: under_review, won, lost, warning_closed … |
| POST /_control/webhooks {"action", "match"?, "count"?, …} | see `webhooks`: drop, duplicate, delay, reorder, fail |
| GET /_control/webhooks | the rules in force and the pending deliveries |
| DELETE /_control/webhooks | back to plain delivery; held-back events are sent |
| POST /_control/faults {"kind", "path"?, "method"?, "count"?, …} | see `faults`: slow, error, lost_reply |
| GET, DELETE /_control/faults | show the faults in force; clear them |
"""
