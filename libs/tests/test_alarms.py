from libs.alarms import ALARM_EVERY, FailureStreak


def alarms(caplog):
    return [record.getMessage() for record in caplog.records if "ALARM" in record.getMessage()]


def test_what_fails_for_ever_raises_an_alarm_every_twentieth_time(caplog):
    streak = FailureStreak("shop_closed")

    for _ in range(2 * ALARM_EVERY + 1):
        streak.failed("nobody is in")

    assert alarms(caplog) == [
        f"ALARM shop_closed: {count} times in a row: nobody is in" for count in (ALARM_EVERY, 2 * ALARM_EVERY)
    ]


def test_what_succeeds_now_and_then_or_fails_in_turn_raises_none(caplog):
    streak = FailureStreak("shop_closed")

    for number in range(ALARM_EVERY * 2):
        streak.failed("nobody is in", f"shop {number % 2}")
        if number == ALARM_EVERY:
            streak.succeeded("shop 0")

    assert len(alarms(caplog)) == 1
