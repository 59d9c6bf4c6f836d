"""The smallest web application that calls a service: with our client, and with stock nameko's proxies at their best."""

import os
import threading
from collections.abc import Callable

from flask import Flask
from nameko.standalone.rpc import ClusterRpcProxy

from libs.rpc import Client


def ours() -> Flask:
    """Return the application on our client, one for the process."""
    client = Client(os.environ["BENCH_AMQP_URL"], "gateway")
    return _application(lambda: str(client.call("orders", "echo", {"value": "x"})))


def stock() -> Flask:
    """Return the application on nameko's standalone proxies, one kept open by each thread."""
    local = threading.local()

    def echo() -> str:
        if not hasattr(local, "proxy"):
            local.proxy = ClusterRpcProxy({"AMQP_URI": os.environ["BENCH_AMQP_URL"]}, timeout=10).start()
        return str(local.proxy.orders.echo("x"))

    return _application(echo)


def _application(echo: Callable[[], str]) -> Flask:
    app = Flask(__name__)
    app.get("/")(echo)
    return app
