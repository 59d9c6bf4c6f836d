from auth.key_changes import note_keys
from libs.tokens import Verifier, new_key


def changes(caplog):
    return [record.what for record in caplog.records if getattr(record, "event", "") == "key_rotation"]


def test_a_rotation_of_keys_is_logged_step_by_step_by_their_names_alone(mongo, caplog):
    caplog.set_level("INFO", "security")
    old, new = new_key("orders:1")[1], new_key("orders:2")[1]

    for setting in (old, old, f"{old},{new}", new):
        note_keys(mongo, Verifier(setting).public_keys)

    first, second = changes(caplog)
    assert first == "accepted: orders:2; no longer accepted: none"
    assert second == "accepted: none; no longer accepted: orders:1"


def test_another_key_of_the_same_name_is_noticed(mongo, caplog):
    caplog.set_level("INFO", "security")

    for _ in range(2):
        note_keys(mongo, Verifier(new_key("auth:1")[1]).public_keys)

    assert changes(caplog) == ["accepted: auth:1; no longer accepted: auth:1"]
