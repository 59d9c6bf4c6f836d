from libs.bounded import BoundedDict


def test_what_was_set_last_is_kept():
    kept = BoundedDict(2)

    for name in ("ana", "bo", "ana", "cy"):
        kept[name] = name.upper()

    assert dict(kept) == {"ana": "ANA", "cy": "CY"}
