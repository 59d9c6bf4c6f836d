"""What we override, or use though it is not public, in nameko, kombu, py-amqp, eventlet, gunicorn and rq.

A failure after an upgrade is no bug yet. Compare what has changed in the library with our code, named next to it,
adapt that, run its tests on real servers, and only then write down the new fingerprint or signature.
"""

import hashlib
import inspect

import pytest
from amqp import Connection as AmqpConnection
from amqp.channel import Channel as AmqpChannel
from amqp.transport import SSLTransport, TCPTransport, _AbstractTransport
from eventlet.greenpool import GreenPool
from eventlet.hubs.hub import BaseHub
from gunicorn.http.wsgi import Response
from kombu import Connection
from kombu.mixins import ConsumerMixin
from kombu.transport.pyamqp import Channel
from nameko.containers import ServiceContainer
from nameko.extensions import DependencyProvider, Entrypoint, Extension, ProviderCollector, SharedExtension
from nameko.messaging import HeaderDecoder, QueueConsumer
from nameko.rpc import Rpc, RpcConsumer
from nameko.timer import Timer
from rq import SimpleWorker
from rq.job import Job
from supervisor.loggers import LogRecord
from supervisor.options import ServerOptions

from libs.idle_threads import Executor

CONSUMER = "libs/amqp/consumer.py"
CONTAINER = "libs/amqp/container.py"
CONNECTION = "libs/amqp/connection.py"
PUBLISHER = "libs/amqp/publisher.py"
ENTRYPOINT = "libs/rpc/entrypoint.py"
CLIENT = "libs/rpc/client.py"
HANDLERS = "libs/events/handlers.py"
ANTI_ENTROPY = "libs/events/anti_entropy.py"
TIMER = "libs/amqp/timer.py"

REPLACED = [
    (QueueConsumer, "connection", "e2edc20e42db", CONSUMER),
    (QueueConsumer, "get_consumers", "9566ed8719e2", CONSUMER),
    (QueueConsumer, "handle_message", "47cda24e5edc", CONSUMER),
    (QueueConsumer, "ack_message", "b8a1614182c1", CONSUMER),
    (QueueConsumer, "requeue_message", "42a6f7bb5b0e", CONSUMER),
    (QueueConsumer, "on_iteration", "35a4ce6af780", CONSUMER),
    (QueueConsumer, "_cancel_consumers_if_requested", "68c371e76a34", CONSUMER),
    (ConsumerMixin, "establish_connection", "81f1b607c2d2", CONSUMER),
    (ServiceContainer, "_run_worker", "7418dcb70469", CONTAINER),
    (GreenPool, "waitall", "0744da02a1fc", CONTAINER),
    (RpcConsumer, "setup", "5f423f9c5917", ENTRYPOINT),
    (RpcConsumer, "stop", "47ebb2dbc49f", ENTRYPOINT),
    (RpcConsumer, "handle_message", "f1df329ea2ae", ENTRYPOINT),
    (RpcConsumer, "handle_result", "25b95fd9dfce", ENTRYPOINT),
    (Rpc, "handle_message", "7cafedcdfc41", ENTRYPOINT),
    (Executor.__base__, "_run", "285543111336", "libs/idle_threads.py"),
    (BaseHub, "sleep_until", "615b89ec9a29", CONTAINER),
    (DependencyProvider, "bind", "9ca900db0b51", ANTI_ENTROPY),
    (Timer, "_run", "4ac8ee3a988d", TIMER),
    (ServerOptions, "make_logger", "e7619aff100c", "dev/supervisord.py"),
]
"""What we rewrote: the fingerprint of the original's source, and where ours is."""

SPAWN_WORKER = "(self, entrypoint, args, kwargs, context_data=None, handle_result=None)"
CALLED = [
    (
        ServiceContainer,
        "spawn_worker",
        "(self, entrypoint, args, kwargs, context_data=None, handle_result=None)",
        HANDLERS,
    ),
    (ServiceContainer, "spawn_managed_thread", "(self, fn, identifier=None)", CONSUMER),
    (ServiceContainer, "_inject_dependencies", "(self, worker_ctx)", CONTAINER),
    (ServiceContainer, "_worker_setup", "(self, worker_ctx)", CONTAINER),
    (ServiceContainer, "_worker_result", "(self, worker_ctx, result, exc_info)", CONTAINER),
    (ServiceContainer, "_worker_teardown", "(self, worker_ctx)", CONTAINER),
    (ProviderCollector, "register_provider", "(self, provider)", HANDLERS),
    (QueueConsumer, "unregister_provider", "(self, provider)", HANDLERS),
    (ConsumerMixin, "create_connection", "(self)", CONSUMER),
    (GreenPool, "running", "(self)", CONTAINER),
    (RpcConsumer, "get_provider_for_method", "(self, routing_key)", ENTRYPOINT),
    (RpcConsumer, "requeue_message", "(self, message)", ENTRYPOINT),
    (Rpc, "handle_result", "(self, message, worker_ctx, result, exc_info)", ENTRYPOINT),
    (HeaderDecoder, "unpack_message_headers", "(self, message)", ENTRYPOINT),
    (Entrypoint, "check_signature", "(self, args, kwargs)", ENTRYPOINT),
    (Entrypoint, "bind", "(self, container, method_name)", ANTI_ENTROPY),
    (Timer, "__init__", "(self, interval, eager=False, **kwargs)", TIMER),
    (Timer, "handle_timer_tick", "(self)", TIMER),
]
"""What we call, or are called by, with these arguments."""

LINES = [
    (QueueConsumer, "__init__", "self._consumers = {}", CONSUMER),
    (QueueConsumer, "__init__", "self._pending_remove_providers = {}", CONSUMER),
    (QueueConsumer, "unregister_provider", "self._pending_remove_providers[provider] = removed_event", CONSUMER),
    (ProviderCollector, "__init__", "self._providers = set()", CONSUMER),
    (ConsumerMixin, "run", "while not self.should_stop:", CONSUMER),
    (ConsumerMixin, "consume", "self.on_iteration()", CONSUMER),
    (ServiceContainer, "__init__", "self._worker_pool = GreenPool(size=self.max_workers)", CONTAINER),
    (ServiceContainer, "__init__", "self._worker_threads = {}", CONSUMER),
    (ServiceContainer, "__init__", "self.entrypoints = SpawningSet()", ANTI_ENTROPY),
    (ServiceContainer, "__init__", "bound = dependency.bind(self.interface, attr_name)", ANTI_ENTROPY),
    (ServiceContainer, "stop", "self._worker_pool.waitall()", CONTAINER),
    (Extension, "bind", "instance = cls(*args, **kwargs)", ANTI_ENTROPY),
    (SharedExtension, "bind", "shared = container.shared_extensions.get(self.sharing_key)", HANDLERS),
    (RpcConsumer, "__init__", "self.queue = None", ENTRYPOINT),
    (QueueConsumer, "__init__", "self._consumers_ready = Event()", ENTRYPOINT),
    (_AbstractTransport, "__init__", "self.sock = None", CONNECTION),
    (TCPTransport, "_read", "result, self._read_buffer = rbuf[:n], rbuf[n:]", CONNECTION),
    (SSLTransport, "_read", "s = recv(n - len(rbuf))  # see note above", CONNECTION),
    (Response, "send_headers", 'util.write(self.sock, util.to_bytestring(header_str, "latin-1"))', "gateway/worker.py"),
    (Response, "write", "if self.sent >= self.response_length:", "gateway/worker.py"),
    (AmqpChannel, "__init__", "self.auto_decode = auto_decode", "libs/amqp/raw_messages.py"),
    (AmqpChannel, "_on_close", "self._do_revive()", CLIENT),
    (Job, "fetch", "job.refresh()", "expiration/schedule.py"),
    (SimpleWorker, "request_stop", "self._shutdown_requested_date = now()", "expiration/worker.py"),
    (Job, "_remove_from_registries", "status = self._fetch_status()", "expiration/schedule.py"),
    (LogRecord, "asdict", "self.dictrepr = {'message':msg,", "dev/supervisord.py"),
]
"""Attributes that we read or set, by the line of the original that makes or uses them."""

PARAMETERS = [
    (Channel, "prepare_message", {"body", "content_type", "content_encoding", "headers", "properties"}, PUBLISHER),
    (AmqpConnection, "__init__", {"on_blocked", "on_unblocked"}, CLIENT),
    (Channel, "basic_publish", {"msg", "exchange", "routing_key", "mandatory", "timeout"}, PUBLISHER),
    (Connection, "collect", {"socket_timeout"}, PUBLISHER),
]
"""Public, but with parameters that other transports have not."""


def original(owner, name):
    """Return a function of a library's class; that of a property is its getter."""
    found = inspect.getattr_static(owner, name, None)
    assert found is not None, f"{owner.__name__}.{name} is gone"
    return found.fget if isinstance(found, property) else found


def again(owner, name, ours):
    return f"{owner.__name__}.{name} has changed: read it again, and adapt {ours}"


@pytest.mark.parametrize(("owner", "name", "fingerprint", "ours"), REPLACED)
def test_what_we_wrote_anew_is_as_it_was_then(owner, name, fingerprint, ours):
    source = inspect.getsource(original(owner, name))

    assert hashlib.sha256(source.encode()).hexdigest()[:12] == fingerprint, again(owner, name, ours)


@pytest.mark.parametrize(("owner", "name", "signature", "ours"), CALLED)
def test_what_we_call_takes_what_we_give(owner, name, signature, ours):
    assert str(inspect.signature(original(owner, name))) == signature, again(owner, name, ours)


@pytest.mark.parametrize(("owner", "name", "line", "ours"), LINES)
def test_an_attribute_that_we_use_means_what_it_did(owner, name, line, ours):
    assert line in inspect.getsource(original(owner, name)), again(owner, name, ours)


@pytest.mark.parametrize(("owner", "name", "parameters", "ours"), PARAMETERS)
def test_a_parameter_that_we_give_is_still_taken(owner, name, parameters, ours):
    assert parameters <= set(inspect.signature(original(owner, name)).parameters), again(owner, name, ours)
