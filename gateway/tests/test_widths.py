"""Whatever is typed, no page is wider than a phone."""

from gateway.tests.browsing import url, visit  # noqa: F401 - fixtures

PHONE = {"width": 360, "height": 700}
WORD = "W" * 200


def overflow(page):
    """Return by how many pixels the page is wider than the window."""
    return page.evaluate("document.documentElement.scrollWidth - innerWidth")


def test_longest_word_is_broken_on_every_page_that_shows_it(ana, bo, services, visit):  # noqa: F811
    page = ana.submit("/sell", title=WORD, venue=WORD, price="19.99", category="other").headers["Location"]
    order = bo.submit(page, f"{page}/buy").headers["Location"]
    wide = {}

    for user, paths in ((ana, [page, "/selling"]), (bo, ["/tickets?status=all", page, order, "/my/tickets"])):
        shown = visit(user, viewport=PHONE)
        for path in paths:
            shown.goto(path)
            assert WORD in shown.content()
            wide[path] = overflow(shown)

    assert wide == dict.fromkeys(wide, 0)


def test_longest_word_of_another_tab_is_broken_in_the_error(ana, ticket, services, visit):  # noqa: F811
    shown = visit(ana, viewport=PHONE)
    shown.goto(f"/tickets/{ticket['id']}/edit")
    services.tickets[ticket["id"]].update(title=WORD, version=2, revision=2)

    shown.get_by_role("button", name="Save changes").click()
    shown.get_by_text("There is a problem").wait_for()

    assert shown.get_by_text(f"Event is {WORD} now.").count() and overflow(shown) == 0


def test_labels_of_the_german_form_stay_in_their_columns_on_a_phone(ana, visit):  # noqa: F811
    page = visit(ana, viewport=PHONE, locale="de")
    page.goto("/sell")

    wider = page.evaluate("""() => [...document.querySelectorAll(".field label")].filter((label) => {
      const text = document.createRange();
      text.selectNodeContents(label);
      return text.getBoundingClientRect().right > label.getBoundingClientRect().right + 1;
    }).map((label) => label.textContent)""")

    assert wider == []
