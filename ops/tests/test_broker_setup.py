"""The set-up of the broker, and what it does when somebody deletes something."""

import time
from contextlib import closing, contextmanager
from secrets import token_hex
from urllib.parse import quote, urlsplit

import pytest
from amqp.exceptions import PreconditionFailed
from kombu import Connection

from dev.testing import new_vhost, proxy, queue_length
from libs.amqp import Outgoing, Publisher
from libs.contracts.events import CATALOGUE
from libs.contracts.parts import BROKER_USERS, SERVICES
from libs.events import topology
from ops import broker_setup
from ops.broker_setup import OVERLAP_SECONDS, OtherQueueType, as_administrator, declare, keep_set_up, set_up
from ops.broker_users import grant


@contextmanager
def vhost_of_its_own(servers):
    """Yield what the set-up of a new vhost needs to know, and the administrator's address of that."""
    with new_vhost(servers) as url:
        host, vhost = f"127.0.0.1:{servers.ports.amqp}", urlsplit(url).path
        users = {part: f"{vhost[1:]}-{part}" for part in BROKER_USERS}
        addresses = {part: f"amqp://{user}:secret-of-its-own@{host}{vhost}" for part, user in users.items()}
        yield (servers.management_url, servers.secrets["RABBITMQ_PASSWORD"], addresses), url
        for user in users.values():
            servers.management("DELETE", f"/api/users/{user}")


@pytest.fixture(scope="module")
def broker(servers):
    """A vhost for all tests: each sets it up, and counts on nothing that others left there."""
    with vhost_of_its_own(servers) as broker:
        yield broker


@pytest.fixture
def own_broker(servers):
    """A vhost for one test that sets it up in another way, or deletes it."""
    with vhost_of_its_own(servers) as broker:
        yield broker


def names(servers, kind, url):
    """Return the names of the exchanges or queues in a vhost."""
    found = servers.management("GET", f"/api/{kind}{urlsplit(url).path}").json()
    return {each["name"] for each in found if each["name"] and not each["name"].startswith("amq.")}


def bindings(servers, url):
    found = servers.management("GET", f"/api/bindings{urlsplit(url).path}").json()
    return {(each["source"], each["destination"], each["routing_key"]) for each in found if each["source"]}


def test_an_event_waits_for_a_listener_that_has_never_run(broker):
    settings, url = broker
    next(set_up(*settings))
    queues = [f"{listener}.OrderCreated" for listener in CATALOGUE["OrderCreated"].listeners]
    with Connection(url) as connection:
        for queue in queues:
            connection.channel().queue_purge(queue)

    with closing(Publisher(settings[2]["orders"])) as publisher:
        assert publisher.publish([Outgoing("orders.events", "OrderCreated", b"{}")]) == {}

    assert {queue_length(settings[2]["operator"], queue) for queue in queues} == {1}


def test_no_event_is_ever_dropped_by_a_quorum_queue_however_often_it_was_delivered(own_broker, servers, monkeypatch):
    """By default RabbitMQ 4 drops what it has delivered 20 times."""
    monkeypatch.setenv("QUEUE_TYPE", "quorum")
    settings, url = own_broker
    next(set_up(*settings))

    queues = servers.management("GET", f"/api/queues{urlsplit(url).path}").json()

    events = [each for each in queues if not each["name"].startswith("rpc-")]
    assert {each["arguments"]["x-queue-type"] for each in queues} == {"quorum"}
    assert [each["name"] for each in events if not keeps_everything(each["arguments"])] == []
    assert len(events) > 2 * len(CATALOGUE.queue_names())


def keeps_everything(arguments):
    is_dead_lettered = {"x-dead-letter-exchange", "x-dead-letter-strategy"} <= arguments.keys()
    return is_dead_lettered or arguments.get("x-delivery-limit") == topology.UNLIMITED


def test_whatever_somebody_deleted_is_there_again_at_the_next_verification(broker, servers):
    settings, url = broker
    set_ups = set_up(*settings)
    next(set_ups)
    queues, exchanges, bound = names(servers, "queues", url), names(servers, "exchanges", url), bindings(servers, url)
    with Connection(url) as connection:
        for exchange in exchanges:
            connection.channel().exchange_delete(exchange)
        for queue in queues:
            connection.channel().queue_delete(queue)

    next(set_ups)

    assert {f"rpc-{service}" for service in SERVICES} | set(CATALOGUE.queue_names()) <= queues
    assert {"nameko-rpc", topology.home_name("orders"), topology.wait_name("orders", 30)} <= exchanges
    assert names(servers, "queues", url) == queues
    assert names(servers, "exchanges", url) == exchanges
    assert bindings(servers, url) == bound


def test_what_a_part_replaced_keeps_nothing_else_from_being_declared_again(broker, servers, caplog):
    settings, url = broker
    next(set_up(*settings))
    with replaced_by_its_part(settings[2]["tickets"], "tickets.events"), Connection(url) as connection:
        connection.channel().queue_unbind("payments.OrderUpdated", "orders.events", "OrderUpdated")

        with pytest.raises(PreconditionFailed, match=r"tickets\.events"):
            declare(connection)

    assert ("orders.events", "payments.OrderUpdated", "OrderUpdated") in bindings(servers, url)


def test_a_queue_of_another_type_is_named_and_keeps_no_other_from_being_declared_again(own_broker):
    settings, url = own_broker
    next(set_up(*settings))
    with Connection(url) as connection:
        channel = connection.channel()
        for queue in ("orders.TicketCreated", "payments.OrderUpdated"):
            channel.queue_delete(queue)
        channel.queue_declare(
            "orders.TicketCreated", durable=True, auto_delete=False, arguments={"x-queue-type": "quorum"}
        )

        with pytest.raises(OtherQueueType, match=r"QUEUE_TYPE .*'orders\.TicketCreated'"):
            declare(connection)

        assert connection.channel().queue_declare("payments.OrderUpdated", passive=True).queue


@contextmanager
def replaced_by_its_part(url, exchange):
    """Let an exchange be of another kind while the block runs; afterwards there is none, until it is set up again."""
    with Connection(url) as connection:
        connection.channel().exchange_delete(exchange)
        try:
            connection.channel().exchange_declare(exchange, "fanout", auto_delete=False)
            yield
        finally:
            connection.channel().exchange_delete(exchange)


def test_a_queue_of_an_earlier_version_is_deleted_once_nobody_reads_it_but_not_what_is_parked(broker, servers):
    settings, url = broker
    set_ups, retired = set_up(*settings), "payments.OrderCreated"
    parked = topology.parked_name(retired)
    with Connection(url) as before, Connection(url) as connection:
        topology.declare_consumed(connection.channel(), "payments", [CATALOGUE["OrderCreated"]])
        publisher = connection.Producer()
        for queue in (retired, parked):
            publisher.publish({}, routing_key=queue)
        before.channel().basic_consume(retired, callback=lambda message: None)

        next(set_ups)
        assert {retired, parked} <= names(servers, "queues", url)

        before.close()
        next(set_ups)
        assert {retired, parked} & names(servers, "queues", url) == {parked}

        connection.channel().queue_purge(parked)
        next(set_ups)
        assert not {retired, parked} & names(servers, "queues", url)


def permissions(servers, kind, url):
    """Return what a part's user may do, as RabbitMQ shows it."""
    user, vhost = urlsplit(url).username, urlsplit(url).path[1:]
    return servers.management("GET", f"/api/{kind}/{vhost}/{user}").json()


def test_the_version_before_may_go_on_for_ten_minutes_with_the_rights_that_it_had(broker, servers, monkeypatch):
    settings, _ = broker
    url = settings[2]["orders"]
    next(set_up(*settings))
    new = permissions(servers, "permissions", url)
    calls = permissions(servers, "topic-permissions", url)
    user, vhost = urlsplit(url).username, urlsplit(url).path[1:]
    before = {"configure": "^(nameko-rpc)$", "write": ".*", "read": "^(all)$"}
    servers.management("PUT", f"/api/permissions/{vhost}/{user}", json=before)
    topic = {"exchange": "nameko-rpc", "write": ".*", "read": "^(old)$"}
    servers.management("PUT", f"/api/topic-permissions/{vhost}/{user}", json=topic)

    set_ups = [set_up(*settings) for _ in range(2)]  # as it is started again, nothing grows
    for each in set_ups:
        next(each)
    widened = permissions(servers, "permissions", url)
    assert {right: widened[right] for right in before} == {right: f"{before[right]}|{new[right]}" for right in before}
    assert {".*|" + rules["write"] for rules in calls if rules["exchange"] == "nameko-rpc"} <= {
        rules["write"] for rules in permissions(servers, "topic-permissions", url)
    }

    monkeypatch.setattr(time, "monotonic", lambda now=time.monotonic: now() + OVERLAP_SECONDS)
    next(set_ups[1])
    assert permissions(servers, "permissions", url) == new
    assert permissions(servers, "topic-permissions", url) == calls


def test_users_and_queues_of_a_broker_that_lost_its_data_are_made_again(own_broker, servers, monkeypatch):
    monkeypatch.setattr(broker_setup, "PAUSE_SECONDS", 0)
    settings, url = own_broker
    set_ups = keep_set_up(*settings)
    next(set_ups)
    user, vhost = urlsplit(settings[2]["orders"]).username, urlsplit(url).path
    servers.management("DELETE", f"/api/users/{user}")
    servers.management("DELETE", f"/api/vhosts{vhost}")  # and with it the connection
    servers.management("PUT", f"/api/vhosts{vhost}")

    next(set_ups)

    with Connection(settings[2]["orders"]) as connection:
        assert connection.channel().queue_declare("orders.TicketCreated", passive=True)


@pytest.mark.parametrize("vhost", ["new", "new/queues"])
def test_a_virtual_host_that_addresses_name_for_the_first_time_is_created(servers, vhost):
    path = quote(f"{vhost}-{token_hex(6)}", safe="")
    addresses = {part: servers.amqp_url_for(part).replace("%2F", path) for part in BROKER_USERS}

    next(set_up(servers.management_url, servers.secrets["RABBITMQ_PASSWORD"], addresses))

    with Connection(addresses["orders"]) as connection:
        assert connection.channel().queue_declare("orders.TicketCreated", passive=True)
    servers.management("DELETE", f"/api/vhosts/{path}")


def test_no_proxy_reads_the_password_of_rabbitmqs_administrator(servers, monkeypatch):
    with proxy() as (url, asked):
        monkeypatch.setenv("http_proxy", url)
        grant(servers.management_url, servers.secrets["RABBITMQ_PASSWORD"], "orders", servers.amqp_url_for("orders"))

    assert asked == []


def test_a_broker_that_cannot_be_set_up_for_a_minute_ends_the_program_with_the_reason(servers, monkeypatch):
    monkeypatch.setattr(broker_setup, "TRYING_SECONDS", 0)

    with pytest.raises(
        SystemExit, match="RabbitMQ cannot be set up: HTTP Error 401: RABBITMQ_PASSWORD, .* Login failed"
    ):
        next(keep_set_up(servers.management_url, "wrong", {"orders": servers.amqp_url_for("orders")}))


def test_queues_of_another_type_end_the_program_with_a_line_that_names_the_setting(own_broker, monkeypatch, caplog):
    settings, _ = own_broker
    next(set_up(*settings))
    monkeypatch.setenv("QUEUE_TYPE", "quorum")

    with pytest.raises(SystemExit, match="^RabbitMQ has queues of another QUEUE_TYPE"):
        next(keep_set_up(*settings))

    assert caplog.messages == []


def test_administrator_connects_to_the_brokers_that_the_parts_connect_to():
    address = "amqps://orders:a%2Fb@one:5671/tickets;amqps://two:5671/tickets"

    assert as_administrator(address, "p@/ss") == (
        "amqps://ticketing:p%40%2Fss@one:5671/tickets;amqps://ticketing:p%40%2Fss@two:5671/tickets"
    )
