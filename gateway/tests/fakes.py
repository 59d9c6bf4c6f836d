"""The services in memory, with the interface of `libs.rpc.Client`."""

import copy
import difflib
import hashlib
import secrets
from datetime import UTC, datetime, timedelta

from gateway.tests.fake_factors import FakeFactors
from libs.clock import iso
from libs.contracts import limits
from libs.contracts.currencies import currency_of
from libs.contracts.parts import SERVICES
from libs.contracts.time_zones import time_zones
from libs.revocations import Revocations
from libs.rpc import RemoteError, ServiceUnavailable
from libs.tokens import InvalidToken, Signer, Verifier, new_key

AUTH_PRIVATE, AUTH_PUBLIC = new_key("auth:1")
GATEWAY_PRIVATE, GATEWAY_PUBLIC = new_key("gateway:1")
PUBLIC_KEYS = f"{AUTH_PUBLIC},{GATEWAY_PUBLIC}"
SETTINGS = {
    "GATEWAY_SECRET_KEY": "k" * 48,
    "GATEWAY_AMQP_URL": "amqp://nobody@127.0.0.1:1//",
    "GATEWAY_SIGNING_KEY": GATEWAY_PRIVATE,
    "TOKEN_PUBLIC_KEYS": PUBLIC_KEYS,
    "STRIPE_PUBLISHABLE_KEY": "pk_test_ticketing",
    "STRIPE_API_BASE": "http://127.0.0.1:12111",
}
MAXIMUM_DECLINES = 3
MAXIMUM_UNPAID = 10
DECLINES = {
    "tok_chargeDeclined": ("generic_decline", "Your card was declined."),
    "tok_chargeDeclinedInsufficientFunds": ("insufficient_funds", "Your card has insufficient funds."),
    "tok_chargeDeclinedExpiredCard": ("expired_card", "Your card has expired."),
}


PUBLIC = {"tickets.get", "tickets.list", "tickets.highlights", "tickets.site_map", "tickets.site_map_pages"}
PUBLIC |= {"tickets.event", "tickets.sellers", "tickets.site_map_events", "tickets.site_map_event_pages"}
ADDED = ("seat", "city", "time_zone")
JOINED = "2026-01"
FOR_GATEWAY = {
    "auth.profiles",
    *("auth.sign_up", "auth.sign_in", "auth.sign_in_with_code", "auth.sign_in_with_passkey", "auth.request_passkey"),
    *("auth.is_revoked", "auth.is_effective", "auth.note_sessions", "auth.note_keys", "payments.receive_webhook"),
    "orders.refusals",
}


def error(field, message):
    return {"field": field, "message": message}


def password_errors(field, password):
    """Return the errors of a new password; only "password" is too common here."""
    if not isinstance(password, str) or not limits.MINIMUM_PASSWORD <= len(password) <= limits.MAXIMUM_PASSWORD:
        return [error(field, "Choose a password of 8 to 64 characters.")]
    return [error(field, "This password is too common.")] if password == "password" else []


def checked_details(
    currency, title, price_cents, category="other", venue=None, starts_at=None, kept_start=None, **added
):
    """Return a ticket's details as tickets keeps them, or raise what it raises; of its rules for text only the main."""
    starts = utc(starts_at)
    valid = {
        "title": is_line(title, limits.MAXIMUM_TITLE) and title.strip(),
        "price_cents": type(price_cents) is int and currency_of(currency).is_price(price_cents),
        "category": category in limits.CATEGORIES,
        "venue": venue is None or is_line(venue, limits.MAXIMUM_VENUE),
        "starts_at": starts_at is None or (starts and (starts > iso(datetime.now(UTC)) or starts == kept_start)),
    }
    seat, city, time_zone = (added.get(name) for name in ADDED)
    valid["city"] = city is None or is_line(city, limits.MAXIMUM_CITY)
    valid["time_zone"] = time_zone is None or time_zone in time_zones()
    valid["seat"] = seat is None or isinstance(seat, dict)
    parts = {part: seat.get(part) for part in limits.SEAT_PARTS} if isinstance(seat, dict) else {}
    valid |= {f"seat.{part}": text is None or is_line(text, limits.MAXIMUM_SEAT) for part, text in parts.items()}
    said = {"title": "Enter the title of the event.", "starts_at": "Enter a start that is not in the past."}
    priced_in = currency_of(currency)
    lowest, highest = (priced_in.major(bound) for bound in (priced_in.minimum, priced_in.maximum))
    said["price_cents"] = f"Enter a price from {lowest:,} to {highest:,}, with at most two decimals."
    errors = [
        error(field, said.get(field, f"Not a valid {field}.")) for field, is_valid in valid.items() if not is_valid
    ]
    if errors:
        raise RemoteError("InvalidTicket", errors[0]["message"], {"errors": errors})
    details = {"title": title.strip(), "price_cents": price_cents, "category": category, "venue": venue or None}
    seat = None if seat is None else {part: text or None for part, text in parts.items()}
    return {**details, "starts_at": starts, "seat": seat, "city": city or None, "time_zone": starts and time_zone}


def event_id(ticket):
    """Return the id of a ticket's event, in its form."""
    told_apart_by = f"{ticket['title']}\n{ticket['venue']}\n{ticket['starts_at']}".casefold()
    return f"event-{hashlib.sha256(told_apart_by.encode()).hexdigest()[:16]}"


def cheapest_of(tickets):
    """Return the totals of a list for an event with these tickets."""
    cheapest = min(tickets, key=lambda t: (status_now(t) != "on_sale", t["price_cents"]))
    return {"tickets": len(tickets), "price_cents": cheapest["price_cents"], "currency": cheapest["currency"]}


def by_events(tickets):
    """Return the first ticket of each event, with the event's totals."""
    events = {}
    for ticket in tickets:
        events.setdefault(ticket["event_id"], []).append(ticket)
    return [each[0] | {"event": cheapest_of(each)} for each in events.values()]


def almost(q, tickets):
    """Return, for the words of a search that no title has, those most like them; nothing unless each has one."""
    known = {word for ticket in tickets for word in ticket["title"].lower().split()}
    near = {word: difflib.get_close_matches(word, known, 1, 0.8) for word in q.lower().split() if word not in known}
    return {word: found[0] for word, found in near.items()} if all(near.values()) else {}


def without_message(payment):
    return {name: value for name, value in payment.items() if name != "decline_message"}


def is_line(text, maximum):
    return isinstance(text, str) and len(text.strip()) <= maximum and text.isprintable()


def has_started(ticket):
    return bool(ticket["starts_at"]) and ticket["starts_at"] <= iso(datetime.now(UTC))


def status_now(ticket):
    return "started" if ticket["status"] == "on_sale" and has_started(ticket) else ticket["status"]


def utc(text):
    """Return a time with an offset in UTC, or None."""
    try:
        return iso(datetime.fromisoformat(text))
    except (TypeError, ValueError, OverflowError):
        return None


def never_revoked():
    """Return the revocations of a gateway in which no session is ended."""
    return Revocations(None, lambda claims: False)


class FakeServices(FakeFactors):
    """Users, tickets, orders and payments in dictionaries; `unavailable` names services and methods without answers."""

    def __init__(self):
        self.users, self.tickets, self.orders, self.payments = {}, {}, {}, {}
        self.sessions = {}
        self.listed, self.keys, self.revoked, self.unavailable, self.calls = {}, {}, set(), set(), []
        self.completes_at_once = True  # whether a payment completes its order immediately
        self.currency = "usd"
        self.stripe_is_down, self.is_asked_too_often, self.paid_in_browser = False, False, set()
        self.signer, self.verifiers = Signer(AUTH_PRIVATE), {name: Verifier(PUBLIC_KEYS, name) for name in SERVICES}

    def call(self, service, method, arguments=None, *, token=None, timeout=None):
        self.calls.append((f"{service}.{method}", arguments))
        if {service, f"{service}.{method}"} & self.unavailable:
            raise ServiceUnavailable(service)
        caller = self._caller(f"{service}.{method}", token)
        return copy.deepcopy(getattr(self, f"{service}_{method}")(caller, **(arguments or {})))

    query = call

    def ping(self, service, timeout):
        if {service, "broker"} & self.unavailable:
            raise ServiceUnavailable(service)

    def _caller(self, method, token):
        """Return the caller's claims; raise what the services raise when the call is not allowed."""
        if method in PUBLIC:
            return None
        try:
            caller = self.verifiers[method.partition(".")[0]].verify(token)
        except InvalidToken as problem:
            raise RemoteError("Unauthenticated") from problem
        if caller.is_user == (method in FOR_GATEWAY):
            raise RemoteError("Forbidden")
        return caller

    # auth

    def auth_sign_up(self, caller, email, password, address):
        valid = isinstance(email, str) and "@" in email and email.isprintable() and len(email) <= limits.MAXIMUM_EMAIL
        errors = [] if valid else [error("email", "Enter an email address, like ana@example.com.")]
        errors += password_errors("password", password)
        if errors:
            raise RemoteError("InvalidPassword" if valid else "InvalidEmail", errors[0]["message"], {"errors": errors})
        if email.lower() in self.users:
            raise RemoteError("EmailInUse")
        user = {"id": secrets.token_hex(12), "email": email.lower(), "password": password, "generation": 0}
        self.users[email.lower()] = user
        return self.auth_sign_in(caller, email, password, address)

    def auth_sign_in(self, caller, email, password, address, code=None):
        assert address
        if password == "again and again":
            raise RemoteError("TooManyAttempts", "", {"retry_after": 30})
        user = self.users.get(email.lower())
        if user is None or user["password"] != password:
            raise RemoteError("WrongCredentials")
        self._require_code(user, code)
        if user.get("locked"):
            raise RemoteError("UserLocked")
        return self._session(user)

    def _session(self, user):
        token = self.signer.mint(user["id"], 43200, email=user["email"], generation=user["generation"])
        return {"user": {"id": user["id"], "email": user["email"]}, "token": token}

    def auth_change_password(self, caller, current, new, code=None):
        user = self.users[caller.email]
        is_text = isinstance(current, str) and current != ""
        errors = [] if is_text else [error("current", "Enter your current password.")]
        common = password_errors("new", new) if new == "password" else []
        errors += [] if common else password_errors("new", new)
        if not errors:
            self._require_all(user, current, code)
        if not errors and user["password"] != current:
            raise RemoteError("WrongPassword")
        if errors := errors or common:
            raise RemoteError("InvalidPassword", errors[0]["message"], {"errors": errors})
        if "secret" in user:
            self._use_code(user, code)
        revocation = self.auth_sign_out_everywhere(caller)
        user["password"] = new
        self._note(user, "password_changed")
        return {**self._session(user), "revocation": revocation}

    def auth_sign_out_everywhere(self, caller):
        self.users[caller.email]["generation"] += 1
        return {"kind": "users", "number": 1}

    def auth_sign_out(self, caller):
        self.revoked.add(caller.session_id)
        return {"kind": "sessions", "number": 1}

    def auth_choose_name(self, caller, name):
        if name is not None and (not is_line(name, limits.MAXIMUM_NAME) or "@" in name):
            raise RemoteError("InvalidName", "", {"errors": [error("name", "Not a valid name.")]})
        self.users[caller.email]["name"] = name or None
        return {"name": name or None}

    def auth_profiles(self, caller, ids):
        found = [user for user in self.users.values() if user["id"] in ids]
        return [{"id": user["id"], "name": user.get("name"), "member_since": JOINED} for user in found]

    def auth_note_keys(self, caller, fingerprints):
        pass

    def auth_note_sessions(self, caller, used):
        for each in used:
            times = {name: iso(datetime.fromtimestamp(each[name], UTC)) for name in ("expires_at", "used_at")}
            known = self.sessions.setdefault(each["id"], {})
            known |= {name: each[name] for name in ("id", "user_id", "generation", "device", "address")} | times
            known.setdefault("started_at", iso(datetime.fromtimestamp(each["issued_at"], UTC)))

    def auth_list_sessions(self, caller):
        own = [each for each in self.sessions.values() if each["user_id"] == caller.subject]
        live = [each for each in own if not self.auth_is_revoked(None, each["id"], each["user_id"], each["generation"])]
        hidden = {"user_id", "generation"}
        return [{name: value for name, value in each.items() if name not in hidden} for each in reversed(live)]

    def auth_end_session(self, caller, session_id):
        if session_id not in {each["id"] for each in self.auth_list_sessions(caller)}:
            raise RemoteError("SessionNotFound")
        self.revoked.add(session_id)
        return {"kind": "sessions", "number": 1}

    def auth_is_effective(self, caller, kind, number):
        return True

    def revocations(self):
        """Return the revocations of a gateway that asks auth about each session."""

        def ask_about(claims):
            if "auth" in self.unavailable:
                raise ServiceUnavailable("auth")
            return self.auth_is_revoked(None, claims.session_id, claims.subject, claims.generation)

        return Revocations(None, ask_about)

    def auth_is_revoked(self, caller, session_id, user_id="", generation=0):
        older = any(user["id"] == user_id and generation < user["generation"] for user in self.users.values())
        return session_id in self.revoked or older

    # tickets

    def tickets_create(self, caller, idempotency_key=None, **details):
        made, listed_as = self.listed.get((caller.subject, idempotency_key), (None, {"starts_at": None}))
        details = checked_details(self.currency, **details, kept_start=listed_as["starts_at"])
        if made and listed_as != details:
            raise RemoteError("KeyReused")
        if made:
            return made
        now = iso(datetime.now(UTC))
        ticket = {"id": secrets.token_hex(12), "version": 1, "seller_id": caller.subject, "currency": self.currency}
        ticket |= details
        ticket |= {"withdrawn": False, "status": "on_sale", "price_version": 1, "revision": 1, "reserved_until": None}
        ticket |= {"created_at": now, "updated_at": now, "event_id": event_id(ticket)}
        if idempotency_key:
            self.listed[caller.subject, idempotency_key] = ticket, details
        return self.tickets.setdefault(ticket["id"], ticket)

    def tickets_get(self, _, ticket_id):
        if ticket_id not in self.tickets:
            raise RemoteError("TicketNotFound")
        return self.tickets[ticket_id]

    def _own_free(self, caller, ticket_id):
        ticket = self.tickets_get(caller, ticket_id)
        if ticket["seller_id"] != caller.subject:
            raise RemoteError("NotOwner")
        if ticket["status"] in ("reserved", "sold"):
            raise RemoteError("TicketReserved" if ticket["status"] == "reserved" else "TicketSold")
        return ticket

    def tickets_update(self, caller, ticket_id, version=None, **details):
        kept_start = self.tickets.get(ticket_id, {}).get("starts_at")
        kept = {name: self.tickets.get(ticket_id, {}).get(name) for name in ADDED}
        details = checked_details(self.currency, **kept | details, kept_start=kept_start) | {"currency": self.currency}
        ticket = self._own_free(caller, ticket_id)
        if ticket["withdrawn"]:
            raise RemoteError("TicketWithdrawn")
        if ticket | details == ticket:
            return ticket
        self._check_seen(ticket, version)
        ticket.update(details, version=ticket["version"] + 1, revision=ticket["version"] + 1)
        ticket["event_id"] = event_id(ticket)
        return ticket

    def tickets_withdraw(self, caller, ticket_id, version=None):
        ticket = self._own_free(caller, ticket_id)
        if not ticket["withdrawn"]:
            self._check_seen(ticket, version)
            revision = ticket["version"] + 1
            ticket.update(withdrawn=True, status="withdrawn", version=revision, revision=revision)
        return ticket

    def _check_seen(self, ticket, version):
        if version is not None and not ticket["revision"] <= version <= ticket["version"]:
            raise RemoteError("TicketChanged", "", {"version": ticket["version"]})

    def tickets_list(
        self,
        _,
        status="on_sale",
        q="",
        category=None,
        limit=50,
        after=None,
        sort="newest",
        by_event=False,
        count=False,
        **bounds,
    ):
        statuses = ("on_sale", "reserved") if status == "unsold" else (status,)
        found = [t for t in reversed(self.tickets.values()) if status == "all" or status_now(t) in statuses]
        found = [t for t in found if bounds.get("place", "").lower() in f"{t['venue']} {t['city']}".lower()]
        if "starts_from" in bounds or "starts_before" in bounds:
            begin, end = (
                iso(datetime.fromisoformat(bounds[n])) if n in bounds else None
                for n in ("starts_from", "starts_before")
            )
            found = [t for t in found if t["starts_at"] and (begin or "") <= t["starts_at"] < (end or "9")]
        found = [t for t in found if q.lower() in t["title"].lower() and category in (None, t["category"])]
        low, high = bounds.get("min_price_cents", 0), bounds.get("max_price_cents", 10**9)
        found = [t for t in found if low <= t["price_cents"] <= high]
        if sort == "soonest":
            found.sort(key=lambda t: t["starts_at"] or "9")
        elif sort != "newest":
            found.sort(key=lambda t: t["price_cents"], reverse=sort == "price_desc")
        counted = {"count": {"tickets": len(found), "is_all": True}} if count else {}
        page = self._page("tickets", by_events(found) if by_event else found, limit, after)
        if not found and (meant := almost(q, self.tickets.values())):
            same = {"status": status, "sort": sort, "by_event": by_event, "count": count, **bounds}
            corrected = " ".join(meant.get(word, word) for word in q.lower().split())
            return self.tickets_list(None, q=corrected, category=category, limit=limit, **same) | {"corrections": meant}
        return {**page, "corrections": {}, **counted}

    def tickets_event(self, _, event_id, limit=50, after=None):
        found = [t for t in self.tickets.values() if t["event_id"] == event_id]
        if not found:
            raise RemoteError("EventNotFound")
        statuses = [status_now(t) for t in found]
        on_sale = sorted((t for t in found if status_now(t) == "on_sale"), key=lambda t: t["price_cents"])
        counts = {status: statuses.count(status) for status in {*statuses}}
        page = self._page("tickets", on_sale, limit, after)
        return {"event": [*page["tickets"], *found][0], "counts": counts, **page}

    def tickets_sellers(self, _, ids):
        listed = [(t["seller_id"], t["status"]) for t in self.tickets.values()]
        return [{"id": ident, "sold": listed.count((ident, "sold"))} for ident in ids if ident in dict(listed)]

    def tickets_site_map_events(self, _, after=None):
        return sorted({t["event_id"] for t in self.tickets.values() if status_now(t) == "on_sale"})

    def tickets_site_map_event_pages(self, _):
        return []

    def tickets_highlights(self, caller, soonest, newest):
        coming = [t for t in self.tickets.values() if t["starts_at"] and status_now(t) == "on_sale"]
        coming.sort(key=lambda t: t["starts_at"])
        newest = self.tickets_list(caller, limit=newest, by_event=True)
        return {"soonest": by_events(coming)[:soonest], "tickets": newest["tickets"]}

    def tickets_site_map(self, _, after=None):
        return [[t["id"], t["updated_at"]] for t in self.tickets.values() if status_now(t) == "on_sale"]

    def tickets_site_map_pages(self, _):
        return []

    def tickets_list_mine(self, caller, status="all", limit=50, after=None):
        own = [t for t in reversed(self.tickets.values()) if t["seller_id"] == caller.subject]
        own = [{"refunded_cents": 0, **t} for t in own if status in ("all", status_now(t))]
        return self._page("tickets", own, limit, after)

    def tickets_sales(self, caller):
        sold = [t for t in self.tickets.values() if t["seller_id"] == caller.subject and t["status"] == "sold"]
        sums = [{"currency": "usd", "tickets": len(sold), "owed_cents": sum(t["price_cents"] for t in sold)}]
        return sums if sold else []

    def _page(self, name, found, limit, after):
        if after is not None and not after.isdigit():
            raise RemoteError("InvalidCursor")
        start = int(after or 0)
        following = str(start + limit) if len(found) > start + limit else None
        return {name: found[start : start + limit], "next": following}

    # orders

    def orders_create(self, caller, ticket_id, version=None, idempotency_key=None):
        if made := self.keys.get((caller.subject, idempotency_key)):
            if made["ticket"]["id"] != ticket_id:
                raise RemoteError("KeyReused")
            return made
        ticket = self.tickets_get(caller, ticket_id)
        if held := self.orders_held(caller, ticket_id):
            raise RemoteError("AlreadyHeld", "", {"order_id": held["id"]})
        if ticket["seller_id"] == caller.subject:
            raise RemoteError("OwnTicket")
        if ticket["status"] != "on_sale":
            raise RemoteError(f"Ticket{ticket['status'].capitalize()}")
        if has_started(ticket):
            raise RemoteError("TicketStarted")
        if version and version < ticket["revision"]:
            details = {name: ticket[name] for name in ("price_cents", "currency", "version")}
            raise RemoteError("PriceChanged", "", details)
        unpaid = [o for o in self.orders.values() if (o["buyer_id"], o["status"]) == (caller.subject, "created")]
        if len(unpaid) >= MAXIMUM_UNPAID:
            raise RemoteError("TooManyReservations", "You have 10 unpaid reservations.", {"retry_after": 900})
        return self._reserve(caller, ticket, idempotency_key)

    def orders_refusals(self, caller, asked):
        return [
            None if (buyer_id, key) in self.keys else self._refusal(ticket_id, buyer_id)
            for ticket_id, buyer_id, key in asked
        ]

    def _refusal(self, ticket_id, buyer_id):
        live = (o for o in self.orders.values() if o["ticket"]["id"] == ticket_id and o["status"] != "cancelled")
        for order in live:
            if order["buyer_id"] == buyer_id:
                return ["AlreadyHeld", "You have this ticket already.", {"order_id": order["id"]}]
            if order["seller_id"] == buyer_id:
                return ["OwnTicket", "You cannot buy your own ticket.", {}]
            return ["TicketSold" if order["status"] == "complete" else "TicketReserved", "", {}]
        return None

    def orders_held(self, caller, ticket_id):
        live = (o for o in self.orders.values() if o["ticket"]["id"] == ticket_id and o["status"] != "cancelled")
        return next((order for order in live if order["buyer_id"] == caller.subject), None)

    def _reserve(self, caller, ticket, key):
        now = datetime.now(UTC)
        copied = ("id", "title", "price_cents", "currency", "category", "venue", "starts_at", *ADDED)
        order = {"id": secrets.token_hex(12), "version": 1, "status": "created", "cancel_reason": None}
        order |= {"buyer_id": caller.subject, "seller_id": ticket["seller_id"], "reservation_no": 1}
        order |= {"expires_at": iso(now + timedelta(minutes=15)), "price_cents": ticket["price_cents"]}
        order |= {"currency": "usd", "ticket": {name: ticket[name] for name in copied}, "refunded_at": None}
        order |= {"refunded_cents": 0, "is_extendable": True}
        order |= {"created_at": iso(now), "updated_at": iso(now)}
        ticket.update(status="reserved", reserved_until=order["expires_at"])
        if key:
            self.keys[caller.subject, key] = order
        return self.orders.setdefault(order["id"], order)

    def orders_get(self, caller, order_id):
        if order_id not in self.orders:
            raise RemoteError("OrderNotFound")
        if self.orders[order_id]["buyer_id"] != caller.subject:
            raise RemoteError("NotOwner")
        return self.orders[order_id]

    def orders_list(self, caller, limit=50, after=None, cancelled=None):
        own = [o for o in reversed(self.orders.values()) if o["buyer_id"] == caller.subject]
        own = [o for o in own if cancelled in (None, o["status"] == "cancelled")]
        return self._page("orders", own, limit, after)

    def orders_extend(self, caller, order_id):
        order = self.orders_get(caller, order_id)
        if order["status"] != "created":
            raise RemoteError("NoDeadline")
        left = datetime.fromisoformat(order["expires_at"]) - datetime.now(UTC)
        if left <= timedelta():
            raise RemoteError("DeadlinePassed")
        if not order["is_extendable"]:
            return order
        if left > timedelta(seconds=limits.EXTENDED_WITHIN_SECONDS):
            raise RemoteError("TooEarlyToExtend")
        later = datetime.fromisoformat(order["expires_at"]) + timedelta(seconds=limits.EXTENSION_SECONDS)
        order.update(expires_at=iso(later), is_extendable=False, version=order["version"] + 1)
        self._change_ticket(order, reserved_until=order["expires_at"])
        return order

    def _change_ticket(self, order, **changes):
        ticket = self.tickets[order["ticket"]["id"]]
        ticket.update(changes, version=ticket["version"] + 1)

    def orders_cancel(self, caller, order_id):
        order = self.orders_get(caller, order_id)
        if order["status"] in ("complete", "awaiting_payment"):
            raise RemoteError("OrderComplete" if order["status"] == "complete" else "OrderBeingPaid")
        return self.end(order, "buyer")

    def end(self, order, reason):
        """Cancel an order and put its ticket on sale again."""
        order.update(status="cancelled", cancel_reason=reason, is_extendable=False)
        self._change_ticket(order, status="on_sale", reserved_until=None)
        return order

    # payments

    def payments_create_intent(self, caller, order_id):
        self._payable(caller, order_id)
        return {"client_secret": "pi_1_secret_1", "publishable_key": SETTINGS["STRIPE_PUBLISHABLE_KEY"]}

    def payments_announce(self, caller, order_id):
        _, payment = self._payable(caller, order_id)
        if payment["is_confirming"]:
            raise RemoteError("PaymentInProgress")
        payment["is_confirming"] = True
        return without_message(payment) | {"attempt": 1}

    def payments_refresh(self, caller, order_id, answered=None):
        payment = self.payments_get(caller, order_id)
        if self.is_asked_too_often:
            raise RemoteError("TooManyAttempts", "", {"retry_after": 30})
        if payment["is_confirming"] and payment["status"] == "open" and answered is None and not self.paid_in_browser:
            return payment
        if self.stripe_is_down:
            return payment | {"is_confirming": payment["status"] == "open"}
        if order_id in self.paid_in_browser:
            self._take(self.orders[order_id], payment)
        payment["is_confirming"] = False
        return payment

    def _payable(self, caller, order_id):
        order = self.orders_get(caller, order_id)
        if order["status"] == "cancelled":
            raise RemoteError("OrderCancelled")
        return order, self.payments.setdefault(order_id, self._new_payment(order))

    def payments_pay(self, caller, order_id, token):
        order, payment = self._payable(caller, order_id)
        if self.stripe_is_down:
            raise RemoteError("StripeUnavailable")
        if token in DECLINES:
            self._decline(order, payment, *DECLINES[token])
        if token == "tok_threeDSecure2Required":
            raise RemoteError("AuthenticationRequired", "", {"client_secret": "pi_1_secret_1"})
        return without_message(self._take(order, payment))

    def _take(self, order, payment):
        payment.update(
            status="captured" if self.completes_at_once else "authorized", stripe_id="pi_1", card_last4="4242"
        )
        payment.update(card_brand="visa", decline_message="", captured_at="2026-11-22T10:30:00.000Z")
        order["status"] = "complete" if self.completes_at_once else "awaiting_payment"
        order["is_extendable"] = False
        self._change_ticket(order, status="sold" if self.completes_at_once else "reserved")
        return payment

    def _new_payment(self, order):
        now = iso(datetime.now(UTC))
        payment = {
            "id": order["id"],
            "order_id": order["id"],
            "ticket_id": order["ticket"]["id"],
            "stripe_id": None,
            "status": "open",
            "version": 1,
        }
        payment |= {"amount_cents": order["price_cents"], "currency": "usd", "declines": 0, "decline_code": None}
        payment |= {"decline_message": "", "remaining": MAXIMUM_DECLINES}
        payment |= {"is_confirming": False, "is_challenged": False}
        payment |= {"refunded_cents": 0, "refunding_cents": 0, "has_refund_failed": False}
        payment |= {"has_full_refund_failed": False}
        payment |= {"final": False, "refunded_at": None, "captured_at": None, "dispute": None}
        return payment | {"card_brand": None, "card_last4": None, "created_at": now, "updated_at": now}

    def _decline(self, order, payment, code, message):
        payment.update(declines=payment["declines"] + 1, decline_code=code, decline_message=message)
        payment["remaining"] = MAXIMUM_DECLINES - payment["declines"]
        if payment["remaining"] == 0:
            self.end(order, "payment_failed")
        raise RemoteError("PaymentDeclined", message, {"decline_code": code, "remaining": payment["remaining"]})

    def payments_get(self, caller, order_id):
        if order_id not in self.payments:
            raise RemoteError("PaymentNotFound")
        self.orders_get(caller, order_id)
        return self.payments[order_id]

    def payments_receive_webhook(self, caller, payload, signature):
        if signature != "good":
            raise RemoteError("InvalidSignature")
