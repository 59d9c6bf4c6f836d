"""With the password of one user of the broker, nothing of another's can be changed, read, emptied or forged.

One table has the permissions to configure, write and read; each user then tries everything that it does not allow, with
everything that the set-up has declared, and all of it must be refused. The broker asks for the same right whichever way
something is done: so all ways are tried with one exchange or queue of each kind, and one way with the others.
"""

import re
from urllib.parse import urlsplit

import pytest
from amqp.exceptions import AccessRefused
from kombu import Connection

from dev.testing import new_vhost
from libs.contracts.events import CATALOGUE
from libs.contracts.parts import BROKER_USERS, MONITOR, PRINCIPALS, SERVICES
from ops.broker_setup import set_up

KEY, STOCK_KEY = "1f" * 16, "ffffffff-ffff-4fff-bfff-ffffffffffff"
NOBODY = set[str]()


def listening(source):
    """Return who listens to the events of `source`."""
    return {name for event in CATALOGUE.published_by(source) for name in (*event.listeners, *event.broadcast)}


MAY = {  # kinds of exchanges and queues, of the part that the pattern's group names: who may configure, write, read
    r"nameko-rpc": lambda _: (NOBODY, {*PRINCIPALS}, {*PRINCIPALS}),  # not with every key: see below
    r"(\w+)\.events": lambda part: ({part}, {part}, {part, *listening(part)}),
    r"(\w+)\.(?:home|parking|replies|wait\.\d+|[A-Z]\w+|[A-Z]\w+\.parked)": lambda part: ({part}, {part}, {part}),
    r"rpc-(\w+)": lambda part: ({part}, {part}, {part}),
    r"|amq\..*": lambda _: (NOBODY, NOBODY, NOBODY),  # the default exchange, which leads to every queue, and others
}
RIGHTS = ("configure", "write", "read")


def publish(channel, exchange, key):
    channel.basic_publish(channel.prepare_message(b"{}", content_encoding="utf-8"), exchange, key)
    channel.connection.drain_events(timeout=5)  # publishing is refused later


ON_EXCHANGES = {  # how each right is tried; `own` is an exchange and a queue of the user's own
    "configure": {
        "delete": lambda channel, name, own: channel.exchange_delete(name),
        "replace": lambda channel, name, own: channel.exchange_declare(name, "fanout", auto_delete=True),
    },
    "write": {
        "publish": lambda channel, name, own: publish(channel, name, "anything"),
        "lead its own exchange to": lambda channel, name, own: channel.exchange_bind(name, own, "anything"),
    },
    "read": {
        "bind a queue to": lambda channel, name, own: channel.queue_bind(own, name, "#"),
        "lead to its own exchange": lambda channel, name, own: channel.exchange_bind(own, name, "#"),
        "unbind a queue from": lambda channel, name, own: channel.queue_unbind(own, name, "#"),
    },
}
ON_QUEUES = {
    "configure": {
        "delete": lambda channel, name, own: channel.queue_delete(name),
        "replace": lambda channel, name, own: channel.queue_declare(name, exclusive=True),
    },
    "write": {
        "bind": lambda channel, name, own: channel.queue_bind(name, own, "anything"),
        "unbind": lambda channel, name, own: channel.queue_unbind(name, own, "anything"),
    },
    "read": {
        "get from": lambda channel, name, own: channel.basic_get(name),
        "consume": lambda channel, name, own: channel.basic_consume(name),
        "empty": lambda channel, name, own: channel.queue_purge(name),
    },
}


@pytest.fixture(scope="module")
def broker(servers):
    """The address of each user in a vhost that is set up, and the names of all exchanges and queues in it."""
    with new_vhost(servers) as url:
        vhost = urlsplit(url).path[1:]
        host = f"127.0.0.1:{servers.ports.amqp}"
        addresses = {name: f"amqp://{vhost}-{name}:of-its-own@{host}/{vhost}" for name in BROKER_USERS}
        next(set_up(servers.management_url, servers.secrets["RABBITMQ_PASSWORD"], addresses))
        exchanges, queues = (
            [each["name"] for each in servers.management("GET", f"/api/{kind}/{vhost}").json()]
            for kind in ("exchanges", "queues")
        )
        yield addresses, exchanges, queues
        for name in BROKER_USERS:
            servers.management("DELETE", f"/api/users/{vhost}-{name}")


def allowed(name):
    """Return the kind of the exchange or queue `name`, and by right who may do it; KeyError when the table lacks it."""
    for pattern, who in MAY.items():
        if found := re.fullmatch(pattern, name):
            return pattern, dict(zip(RIGHTS, who(found[found.re.groups]), strict=True))
    raise KeyError(name)


def forbidden(user, names, tried):
    """Yield names with what the user may not do to them, in one way for each right, and in all of each kind once.

    That shows enough only as long as RabbitMQ asks for one right of one name in each way, whatever the name
    (rabbitmq.com/docs/access-control): if some day it does not, try every way with every name.
    """
    known = set()
    for name in names:
        kind, may = allowed(name)
        for right, ways in tried.items():
            if user not in may[right]:
                yield from ((name, way) for way in list(ways.values())[: 1 if (kind, right) in known else None])
                known.add((kind, right))


def own_of(connection, user):
    """Declare an exchange, and a queue, of the user's own; return their name."""
    channel, own = connection.channel(), f"{user}.replies.{KEY}"  # all that an operator may declare
    channel.exchange_declare(own, "topic", auto_delete=True)
    channel.queue_declare(own, exclusive=True)
    return own


def is_refused(connection, attempt):
    with pytest.raises(AccessRefused):
        attempt(connection.channel())
    return True


@pytest.mark.parametrize("user", PRINCIPALS)
def test_nobody_can_change_read_or_empty_what_belongs_to_another(user, broker):
    addresses, exchanges, queues = broker
    attempts = [*forbidden(user, exchanges, ON_EXCHANGES), *forbidden(user, queues, ON_QUEUES)]

    with Connection(addresses[user]) as connection:
        own = own_of(connection, user)
        refused = sum(is_refused(connection, lambda channel: attempt(channel, name, own)) for name, attempt in attempts)  # noqa: B023

    assert refused == len(attempts) > 200


def others(user, names=PRINCIPALS):
    return [name for name in names if name != user]


@pytest.mark.parametrize("user", PRINCIPALS)
def test_nobody_can_read_requests_or_replies_to_another(user, broker):
    keys = ["#", "*.*", "*.replies.*", "*.replies.#", "#.list", f"{user}.#", f"{user}.*.*", KEY, STOCK_KEY]
    for other in others(user):
        keys += [f"{other}.#", f"{other}.*", f"{other}.list", f"{other}.replies.*", f"{other}.replies.{KEY}"]

    with Connection(broker[0][user]) as connection:
        own = own_of(connection, user)
        for key in keys:
            assert is_refused(connection, lambda channel: channel.queue_bind(own, "nameko-rpc", key))  # noqa: B023
            assert is_refused(connection, lambda channel: channel.exchange_bind(own, "nameko-rpc", key))  # noqa: B023


@pytest.mark.parametrize("name", ["operator.X", "operator.X.parked", "rpc.reply-x", "operatorXreplies", "x"])
def test_the_operators_user_declares_nothing_but_where_its_replies_come(name, broker):
    with Connection(broker[0]["operator"]) as connection:
        assert is_refused(connection, lambda channel: channel.exchange_declare(name, "topic"))
        assert is_refused(connection, lambda channel: channel.queue_declare(name, exclusive=True))


def test_keda_sees_how_long_queues_are_and_may_do_nothing_else(broker):
    """It had the users of three parts."""
    addresses, exchanges, queues = broker
    attempts = [(name, attempt) for name in exchanges for ways in ON_EXCHANGES.values() for attempt in ways.values()]
    attempts += [(name, attempt) for name in queues for ways in ON_QUEUES.values() for attempt in ways.values()]

    with Connection(addresses[MONITOR]) as connection:
        assert connection.default_channel.queue_declare("rpc-orders", passive=True).message_count == 0
        for name, attempt in attempts:
            assert is_refused(connection, lambda channel: attempt(channel, name, "rpc-orders"))  # noqa: B023


def hears_all(user, source):
    return all(user in event.broadcast for event in CATALOGUE.published_by(source))


@pytest.mark.parametrize("user", PRINCIPALS)
def test_nobody_hears_events_that_the_catalogue_does_not_let_it_hear(user, broker):
    heard = [event for event in CATALOGUE.values() if user in (*event.listeners, *event.broadcast)]
    names = {event.name for event in heard}
    keys = [(event.exchange, key) for event in heard for key in ("#", "*.*", "Other", *(set(CATALOGUE) - names))]
    keys += [(event.exchange, "*") for event in heard if not hears_all(user, event.source)]

    with Connection(broker[0][user]) as connection:
        own = own_of(connection, user)
        for exchange, key in keys:
            assert is_refused(connection, lambda channel: channel.queue_bind(own, exchange, key))  # noqa: B023


@pytest.mark.parametrize("user", others("", ("gateway", "operator")))
def test_who_answers_no_calls_can_forge_no_answer_to_another(user, broker):
    keys = [f"{other}.replies.{KEY}" for other in PRINCIPALS if other not in SERVICES]

    with Connection(broker[0][user]) as connection:
        for key in [*keys, "anything", "gateway.list", "a.b.c"]:
            assert is_refused(connection, lambda channel: publish(channel, "nameko-rpc", key))  # noqa: B023
