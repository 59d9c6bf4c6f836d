"""The gateway with fake services in Chromium."""

import threading

import pytest
from werkzeug.serving import make_server


@pytest.fixture
def url(app):
    server = make_server("127.0.0.1", 0, app, threaded=True)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield f"http://127.0.0.1:{server.port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def visit(browser, url):
    """Return a function that opens a page of a user who has signed in with a test client."""
    contexts = []

    def visit(user, **options):
        context = browser.new_context(base_url=url, **options)
        contexts.append(context)
        name = "ticketing-session"
        context.add_cookies([{"name": name, "value": user.get_cookie(name).value, "url": url}])
        return context.new_page()

    yield visit
    for context in contexts:
        context.close()
