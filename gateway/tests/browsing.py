"""The gateway with fake services in Chromium."""

import shutil
import threading

import pytest
from werkzeug.serving import make_server

CHROMIUM = shutil.which("chromium")
NEEDS_CHROMIUM = [pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium"), pytest.mark.integration]


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


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
