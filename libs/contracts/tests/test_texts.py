"""Which lines of text are stored, how, and why others are refused."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.contracts.texts import InvalidValue, checked_line, without_invisible

NO_TEXT = "Enter the title as text."
CONTROL = "The title must be one line, without tabs and other control characters."
DIRECTION = "The title must not have characters in it that change the direction of text."
INVISIBLE = "The title must have something to see in it."
LONG = "The title must have at most 200 characters."
ACCENTS = "The title must not have more than 4 accents on one letter."
HALF = "The title has half of a character in it; enter it again."


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        ("  Hamlet, row 3\n", "Hamlet, row 3"),
        ("", ""),
        ("Cafe\u0301", "Caf\u00e9"),
        ("x" * 200, "x" * 200),
        ("e\u0301" * 200, "\u00e9" * 200),
        ("Việt Nam", "Việt Nam"),
        ("בְּרֵאשִׁ֖ית", unicodedata.normalize("NFC", "בְּרֵאשִׁ֖ית")),
        ("ที่นี่ น้ำ", "ที่นี่ น้ำ"),
        ("می‌خواهم", "می‌خواهم"),
        ("👨‍👩‍👧 ❤️ 1️⃣ 🏴󠁧󠁢󠁳󠁣󠁴󠁿", "👨‍👩‍👧 ❤️ 1️⃣ 🏴󠁧󠁢󠁳󠁣󠁴󠁿"),
        ("\U000dfff0", "\U000dfff0"),  # perhaps a letter of the next version of Unicode
    ],
)
def test_line_is_kept_as_it_is_shown(line, kept):
    assert checked_line("title", line, 200) == kept


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (None, NO_TEXT),
        (7, NO_TEXT),
        ({"$ne": None}, NO_TEXT),
        ("\ud800", HALF),
        ("Ham\ufffdlet", HALF),
        ("a tab\tin it", CONTROL),
        ("two\nlines", CONTROL),
        ("two\u2028lines", CONTROL),
        ("a\x07b", CONTROL),
        ("a\x00b", CONTROL),
        ("a\x85b", CONTROL),
        ("Hamlet\u202e3 wor", DIRECTION),
        ("\u2067Hamlet", DIRECTION),
        ("\u200b", INVISIBLE),
        (" \u200d\u2060 ", INVISIBLE),
        ("\u3164", INVISIBLE),
        ("\u115f \uffa0", INVISIBLE),
        ("\u2800\u2800", INVISIBLE),
        ("\u00ad", INVISIBLE),
        ("\ufe0f", INVISIBLE),
        ("\U000e0041", INVISIBLE),
        ("\u0301", INVISIBLE),
        ("x" * 201, LONG),
        ("Z" + "\u0335" * 5, ACCENTS),
        ("ส" + "\u0e47" * 5, ACCENTS),
        ("e" + "\u0301\u200d" * 6, ACCENTS),
        ("e" + "\u0301\u034f\u0301" * 3, ACCENTS),
    ],
)
def test_refused_line_is_refused_for_its_real_cause(line, reason):
    with pytest.raises(InvalidValue) as refusal:
        checked_line("title", line, 200)

    assert str(refusal.value) == reason


@given(st.text())
def test_kept_line_is_kept_again_unchanged(line):
    try:
        kept = checked_line("title", line, 200)
    except InvalidValue:
        return

    assert checked_line("title", kept, 200) == kept
    assert checked_line("title", unicodedata.normalize("NFD", kept), 200) == kept


def test_pasted_text_loses_what_is_invisible():
    assert without_invisible(" \ufeffana\u200b ") == "ana"
