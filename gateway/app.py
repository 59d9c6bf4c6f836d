"""The Flask application factory."""

import os
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any

from flask import Flask
from flask.templating import Environment

from gateway import (
    announcement,
    api,
    compression,
    errors,
    health,
    languages,
    metrics,
    pages,
    reservations,
    scripts,
    security,
    sessions,
    static_files,
    traces,
)
from gateway.bodies import LIMIT_BYTES, JsonAnswers
from gateway.cache import marks, public
from gateway.correlation import Correlation
from gateway.key_report import KeyReport
from gateway.services import RpcClient, Services
from gateway.session_uses import SessionUses
from gateway.settings import Settings
from libs import tracing
from libs.revocation_listener import RevocationListener
from libs.revocations import Revocations, followed_by
from libs.rpc import Client


class Templates(Environment):
    """Flask's templates, with their globals in one dict: each rendering copies them all, slowly from a ChainMap.

    All globals are there before the first template is loaded.
    """

    def make_globals(self, d: MutableMapping[str, Any] | None) -> MutableMapping[str, Any]:
        """Return the globals of a template, with those that are its own."""
        return {**self.globals, **(d or {})}


class Gateway(Flask):
    """Flask, without checking in each request whether a function is a coroutine: none is."""

    jinja_environment = Templates

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function."""
        return func


def create_app(
    client: RpcClient | None = None,
    settings: Mapping[str, Any] | None = None,
    revocations: Revocations | None = None,
) -> Flask:
    """Return the gateway.

    Without a `client` it connects to the broker on first use. `settings` replaces the environment. With `revocations`
    nothing listens to the broker: the caller keeps them current.
    """
    read = Settings.read(os.environ if settings is None else settings)
    app = Gateway(__name__, static_folder=None)
    app.json = JsonAnswers(app)
    app.config.update(
        MAX_CONTENT_LENGTH=LIMIT_BYTES,
        TRUSTED_HOSTS=list(read.trusted_hosts) or None,
        CURRENCY=read.currency,
        TIME_ZONE=read.time_zone,
        PUBLIC_URL=read.public_url.rstrip("/"),
    )
    services = Services(lambda: client or Client(read.amqp_url, "gateway"), read.signer)
    app.extensions["services"] = services
    metrics.register(app)
    if tracing.set_up("gateway"):
        traces.register(app)
    uses = SessionUses(lambda used: services.call_as_gateway("auth.note_sessions", used=used))
    sessions.register(app, read, revocations or _listen(app, read, services), uses)
    marks.register(app, tls=read.tls)
    memory = public.register(app)
    reservations.register(app, lambda: app.extensions["services"])
    banner = announcement.register(app, memory.forget)
    compression.register(app)
    static_files.register(app)
    languages.register(app)
    scripts.register(app)
    keys = [read.secret_key, *read.older_secret_keys]
    key_report = KeyReport(
        keys, lambda fingerprints: services.call_as_gateway("auth.note_keys", fingerprints=fingerprints)
    )
    if revocations is None:
        app.before_request(uses.start)
        app.before_request(key_report.start)
        public.follow(app, read.amqp_url, services, memory)
        announced = announcement.AnnouncementListener(
            read.amqp_url, banner, lambda: services.call_as_gateway("auth.announcement")
        )
        app.before_request(announced.start)
    security.register(app, read)
    errors.register(app)
    app.register_blueprint(health.bp)
    api.register(app)
    pages.register(app, read)
    app.wsgi_app = Correlation(app.wsgi_app)  # type: ignore[method-assign]
    if read.trusted_hosts:
        app.wsgi_app = health.ByAnyName(app.wsgi_app, read.trusted_hosts[0])  # type: ignore[method-assign]
    return app


def _listen(app: Flask, settings: Settings, services: Services) -> Revocations:
    """Return revocations that background threads keep current, from the first request on."""
    revocations = followed_by(
        lambda method, arguments, timeout: services.call_as_gateway(f"auth.{method}", timeout, **arguments)
    )
    listener = app.extensions["revocation_listener"] = RevocationListener("gateway", settings.amqp_url, revocations)
    app.before_request(listener.start)
    return revocations
