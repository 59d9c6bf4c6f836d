"""Twenty defects of earlier systems of this kind, and the tests that show each of them absent here."""

import ast
from pathlib import Path

import pytest

from dev.testing import syntax_nodes

ROOT = Path(__file__).parent.parent
DEFECTS = {
    "The reservation check reads, then writes, so a ticket can be sold any number of times.": (
        "tests/e2e/test_races.py::test_of_fifty_buyers_exactly_one_gets_the_ticket",
    ),
    "A second cancel of an old order, or its timer firing late, frees a ticket that belongs to another buyer.": (
        "tests/e2e/test_story.py::test_a_cancelled_ticket_is_sold_to_another_and_a_second_cancel_frees_nothing",
        "tickets/tests/test_domain.py::test_a_late_event_of_a_dead_order_frees_nothing",
    ),
    "A paid order can be cancelled; the ticket is resold, without a refund.": (
        "orders/tests/test_domain.py::test_a_complete_order_cannot_be_cancelled",
        "orders/tests/test_domain.py::test_nothing_but_an_unpaid_order_expires",
    ),
    "A payment after expiry or cancellation is accepted; completion overwrites the cancellation.": (
        "tests/e2e/test_story.py::test_an_unpaid_ticket_is_on_sale_again_when_the_window_closes",
        "orders/tests/test_domain.py::test_no_payment_moves_a_terminal_order",
    ),
    "Paying twice charges twice.": (
        "tests/e2e/test_story.py::test_paying_twice_charges_once",
        "tests/e2e/test_races.py::test_a_double_click_on_pay_charges_once",
    ),
    "Money is a float: price * 100 is no whole number for every tenth price.": (
        "gateway/tests/test_prices.py::test_every_price_is_read_exactly_as_number_and_as_text",
        "gateway/tests/test_prices.py::test_19_99_is_1999_cents",
    ),
    "A crash between saving and publishing loses the event, and a ticket stays blocked for ever.": (
        "libs/events/tests/test_aggregates.py::test_a_new_aggregate_and_its_event_are_one_write",
        "libs/events/tests/test_relay.py::test_a_relay_killed_before_or_after_it_published_loses_nothing",
        "tests/e2e/test_crashes.py::test_a_purchase_survives_kill_9_of",
    ),
    "Handlers demand the next version: one lost or repeated event stalls a copy for ever.": (
        "libs/events/tests/test_copies.py::test_any_order_and_number_of_snapshots_ends_in_the_newest",
    ),
    "A redelivered insert loops on its duplicate key; created after cancelled leaves a ticket locked.": (
        "tickets/tests/test_domain.py::test_created_after_cancelled_locks_nothing",
        "tickets/tests/test_domain.py::test_the_same_event_twice_changes_nothing",
        "expiration/tests/test_schedule.py::test_an_open_deadline_has_one_job_however_often_its_event_comes",
    ),
    "A handler's error is retried without end, and can crash the service in a loop.": (
        "libs/events/tests/test_handlers.py::test_a_failing_event_is_retried_then_parked_with_the_reason_and_others_go_on",
        "libs/events/tests/test_handlers.py::test_delays_grow_and_end_only_for_what_cannot_get_better",
    ),
    "Timers live in Redis alone: a flush loses every expiry, and jobs outlive their orders.": (
        "expiration/tests/test_schedule.py::test_jobs_that_redis_lost_are_scheduled_again_from_the_record",
        "expiration/tests/test_schedule.py::test_the_job_of_an_order_that_ended_is_removed",
        "tests/api/test_clock.py::test_a_ticket_is_on_sale_again_in_time_without_scheduler_and_worker",
    ),
    "The price charged can differ from the price shown when the seller edits meanwhile.": (
        "orders/tests/test_domain.py::test_reserving_freezes_the_price_for_the_window",
        "tests/api/test_routes.py::test_a_buyer_who_saw_the_new_price_pays_it",
        "tests/api/test_routes.py::test_a_price_changed_while_ordering_is_refused_with_the_new_one",
    ),
    "Emails are not unique, not trimmed, and sign-in tells which accounts exist.": (
        "auth/tests/test_store.py::test_an_email_belongs_to_one_user",
        "auth/tests/test_domain.py::test_address_is_the_same_however_it_was_typed_or_pasted",
        "auth/tests/test_service.py::test_answers_and_work_do_not_reveal_which_accounts_exist",
    ),
    "Tokens never expire, signing out only forgets the cookie; no SameSite, no CSRF protection, no rate limit.": (
        "libs/tests/test_tokens.py::test_a_token_with_anything_wrong_is_refused",
        "tests/e2e/test_story.py::test_a_session_that_was_signed_out_is_good_for_nothing",
        "gateway/tests/test_security.py::test_session_cookie_is_out_of_reach_of_scripts_and_other_sites",
        "gateway/tests/test_security.py::test_every_form_without_its_token_is_refused",
        "gateway/tests/test_security.py::test_every_cross_site_change_is_refused",
        "auth/tests/test_service.py::test_attack_from_one_address_is_stopped_and_keeps_nobody_else_out",
    ),
    "Secrets appear in logs and on pages; clients get the drivers' own errors.": (
        "tests/api/test_secrets.py::test_no_log_holds_a_secret",
        "gateway/tests/test_errors.py::test_unexpected_error_shows_no_internals",
    ),
    "Lists are not paged, so each costs as much as there are tickets.": (
        "tickets/tests/test_store.py::test_every_page_of_a_list_that_an_index_answers_examines_few_keys",
        "tests/api/test_routes.py::test_pages_hold_everything_once_and_in_order",
    ),
    "There is no index but the one on ids.": (
        "tickets/tests/test_store.py::test_what_is_rare_among_thousands_of_tickets_is_found_at_a_bounded_cost",
        "tickets/tests/test_store.py::test_a_sellers_own_list_examines_few_keys",
    ),
    "Tests assert nothing; expiration, concurrency, the pages and the whole are not tested.": (
        "tests/test_earlier_systems.py::test_every_test_can_fail",
        "tests/e2e/test_story.py::test_an_unpaid_ticket_is_on_sale_again_when_the_window_closes",
        "tests/e2e/test_races.py::test_of_fifty_buyers_exactly_one_gets_the_ticket",
        "tests/e2e/test_browser.py::test_a_ticket_is_sold_in_the_browser",
    ),
    "The pages have no cancel, no edit, no own listings, and a countdown that ignores the order's state.": (
        "gateway/tests/test_pages.py::test_buyer_cancels_and_the_ticket_is_on_sale_again",
        "gateway/tests/test_pages.py::test_seller_edits_and_withdraws_an_own_ticket",
        "gateway/tests/test_pages.py::test_reservation_whose_time_is_over_offers_no_payment",
    ),
    "Containers run as root without probes, limits or volumes; a dead process sits in a live container.": (
        "tests/test_compose.py::test_container_has_no_privileges",
        "tests/test_compose.py::test_container_is_watched_restarted_and_limited",
        "tests/test_compose.py::test_servers_keep_their_data_in_volumes_and_cannot_be_reached_from_outside",
        "tests/test_compose.py::test_health_of_a_program_is_its_own",
        "dev/stack/tests/test_system.py::test_killed_program_is_restarted",
    ),
}
ASSERTING = (
    "assert",
    "raises",
    "expect",
    "check",
    "wait_for",
    "sees_",
    "outcome",
    "call_and_validate",
    "run_state_machine",
)
"""How the names of what can fail a test begin: assertions, and functions that wait for or check something."""
ASSERTED_ELSEWHERE = {
    "test_everything_may_be_declared_again": "the broker refuses a queue that is declared otherwise",
    "test_no_call_ever_begins_after_its_deadline": "the simulation asserts it of each call",
    "test_trial_purchase_and_race_pass": "the trial itself fails",
    "test_a_lost_deadline_is_repaired_in_time": "the fixture at_rest compares all copies afterwards",
    "test_card_form_appears_in_a_browser_of_2021": "opening it fails when it does not appear",
    "test_thread_works_as_soon_as_it_is_woken": "waiting for its work fails when it does not come",
    "test_the_description_allows_answers_in_an_earlier_currency": "validating an answer fails if it does not",
}
"""Tests without an assertion of their own, and what fails instead."""


def written_in(path):
    """Yield every test function in a file."""
    for node in syntax_nodes(path):
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            yield node


def asserts(function):
    """Return whether a test, or a function inside it, asserts anything."""
    for node in ast.walk(function):
        if isinstance(node, ast.Assert):
            return True
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name.lstrip("_").startswith(ASSERTING):
                return True
    return False


@pytest.mark.parametrize("pointer", [pointer for pointers in DEFECTS.values() for pointer in pointers])
def test_the_test_that_shows_a_defect_absent_exists(pointer):
    path, _, name = pointer.partition("::")

    assert (ROOT / path).is_file()
    assert name in {test.name for test in written_in(ROOT / path)}


def test_there_are_twenty():
    assert len(DEFECTS) == 20
    assert all(DEFECTS.values())


@pytest.mark.lengthy
def test_every_test_can_fail():
    files = [path for path in ROOT.rglob("tests/**/test_*.py") if not {".venv", ".stack"} & set(path.parts)]

    silent = {test.name: path.name for path in files for test in written_in(path) if not asserts(test)}

    assert len(files) > 30
    assert {name: file for name, file in silent.items() if name not in ASSERTED_ELSEWHERE} == {}
