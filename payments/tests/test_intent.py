from payments.tests.builders import an_intent


def test_what_is_kept_is_what_was_captured_less_what_was_refunded():
    partly = an_intent("succeeded", captured_cents=500, refunded_cents=200)

    assert (partly.kept_cents, an_intent("succeeded").kept_cents, an_intent("requires_capture").kept_cents) == (
        300,
        1999,
        0,
    )
