from contextlib import closing

import pytest

from dev.testing import wait_for
from gateway.announcement import Announcement, AnnouncementListener
from gateway.tests.test_public_reads import hits, remembering
from libs.amqp import Outgoing, Publisher
from libs.contracts.events import CATALOGUE
from libs.rpc import ServiceUnavailable

SLOW = "Payments are slow today."


@pytest.fixture
def banner(app):
    app.extensions["announcement"]._version = 0
    yield app.extensions["announcement"]
    app.extensions["announcement"].__init__(app.extensions["public_reads"].memory.forget)


@pytest.fixture
def guest(app, services):
    memory = remembering(app, services)
    yield app.test_client()
    memory.stop_listening()


def test_a_banner_is_on_every_page_at_once_also_on_those_that_are_kept(guest, ana, ticket, banner):
    path = f"/tickets/{ticket['id']}"
    pages = ["/", "/tickets", path, "/signin", "/about/help", "/no-such-page"]
    for page in pages:
        guest.get(page)

    banner.update({"version": 1, "texts": {"en": SLOW}})

    assert [page for page in pages if SLOW not in guest.get(page).text] == []
    assert SLOW in ana.get("/account").text

    banner.update({"version": 2, "texts": {}})
    assert [page for page in pages if SLOW in guest.get(page).text] == []


def test_pages_with_a_banner_come_from_memory_as_without(guest, ticket, banner):
    banner.update({"version": 1, "texts": {"en": SLOW}})
    shown, before = guest.get(f"/tickets/{ticket['id']}"), hits()

    again = guest.get(f"/tickets/{ticket['id']}")

    assert hits() == before + 1 and again.data == shown.data and SLOW in again.text


def test_what_operators_write_is_text(client, banner):
    banner.update({"version": 1, "texts": {"en": "<script>alert(1)</script>"}})

    assert "&lt;script&gt;alert(1)" in client.get("/signin").text


def test_an_older_banner_never_comes_back_and_the_visitors_language_is_chosen():
    banner = Announcement()
    banner.update({"version": 2, "texts": {"de": "Heute langsam."}})
    banner.update({"version": 1, "texts": {"en": "Old."}})

    assert banner.current() == ("de", "Heute langsam.")  # there is none in English
    banner.update({"version": 3, "texts": {"de": "Heute langsam.", "en": SLOW}})
    assert banner.current() == ("en", SLOW)


def test_each_process_reads_the_banner_when_it_begins_and_hears_of_changes(amqp_url):
    banner = Announcement()
    listener = AnnouncementListener(amqp_url, banner, lambda: {"version": 1, "texts": {"en": "Of before."}})
    with closing(Publisher(amqp_url, CATALOGUE.declare)) as publisher:
        publisher.publish([Outgoing("auth.events", "Nothing", b"{}", {}, mandatory=False)])  # which declares all
        listener.start()
        wait_for(lambda: banner.current() == ("en", "Of before."))

        body = b'{"id": "site", "version": 2, "texts": {"en": "Now."}}'
        publisher.publish([Outgoing("auth.events", "AnnouncementChanged", body, {}, mandatory=False)])
        wait_for(lambda: banner.current() == ("en", "Now."), 2)
    listener.stop()


def test_the_listener_keeps_listening_while_auth_cannot_be_asked(amqp_url):
    banner, asked = Announcement(), []

    def read():
        asked.append(1)
        raise ServiceUnavailable("auth.announcement was not sent")

    listener = AnnouncementListener(amqp_url, banner, read)
    with closing(Publisher(amqp_url, CATALOGUE.declare)) as publisher:
        publisher.publish([Outgoing("auth.events", "Nothing", b"{}", {}, mandatory=False)])  # which declares all
        listener.start()
        wait_for(lambda: asked)

        body = b'{"id": "site", "version": 2, "texts": {"en": "Now."}}'
        publisher.publish([Outgoing("auth.events", "AnnouncementChanged", body, {}, mandatory=False)])

        wait_for(lambda: banner.current() == ("en", "Now."))
    listener.stop()
    assert len(asked) == 1
