"""How a visitor types a price: with the digits, the decimal mark and the grouped thousands of their locale.

And with the currency before or after it, if they like, as pages write it.
"""

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress

from babel import Locale, UnknownLocaleError, localedata
from babel.numbers import get_currency_symbol, get_decimal_symbol, get_group_symbol
from flask import request

from gateway.languages import accepted, chosen_in
from libs.contracts.texts import with_ascii_digits, without_invisible

ENGLISH = Locale("en")
SPACES = re.compile(r"(?<=\d)[ \xa0\u2009\u202f'’](?=\d{3}(?!\d))")  # between thousands, also as the Swiss write them
ONE_MARK = re.compile(r"(\d+)([.,])(\d+)", re.ASCII)
GROUPED = re.compile(r"\d{1,3}(?:([.,])\d{3})(?:\1\d{3})*(?:(?!\1)[.,](\d+))?", re.ASCII)
INDIAN = re.compile(r"\d{1,2}(?:,\d{2})+,\d{3}(?:\.\d+)?", re.ASCII)  # 12,34,567.89
MARKS = str.maketrans({"\u066b": ".", "\u066c": ",", "\uff0e": ".", "\uff0c": ","})
"""The decimal marks of Arabic and Persian, and the full-width ones of Japanese keyboards."""
WHOLE = re.compile(r"(?<=\d)[.,](?:--?|[\u2013\u2014])$")  # 20,- as Germans write whole amounts
MOST_LOCALES = 50
"""After how many locales Babel's cache is cleared: it would keep 0.1 MB of each for good."""
MAYBE_GROUP = re.compile(r"[1-9]\d{0,2}", re.ASCII)

_loaded: set[str] = set()


def visitor_locale() -> Locale:
    """Return the first known locale that the visitor's browser accepts, else English.

    If the visitor has chosen a language here, it is the first one of that language.
    """
    chosen = chosen_in(request.environ)
    languages = accepted(request.headers.get("Accept-Language", ""))
    for locale in _known(name for name, quality in languages if quality > 0):
        if chosen in (None, locale.language):
            _bound_memory(locale)
            return locale
    return Locale(chosen) if chosen else ENGLISH


def _known(names: Iterable[str]) -> Iterator[Locale]:
    for name in names:
        with suppress(ValueError, UnknownLocaleError):
            yield Locale.parse(name, sep="-")


def _bound_memory(locale: Locale) -> None:
    if len(_loaded) >= MOST_LOCALES and str(locale) not in _loaded:
        _loaded.clear()
        localedata._cache.clear()
    _loaded.add(str(locale))


def without_currency(text: str, code: str, locale: Locale) -> str:
    """Return a typed amount without its currency's sign or code: of $20, 20,00 € and 20 USD the number."""
    code, text = code.upper(), without_invisible(text)
    for name in (code, get_currency_symbol(code, locale), get_currency_symbol(code, ENGLISH)):
        if text[: len(name)].upper() == name.upper():
            text = text[len(name) :].lstrip()
        if text[-len(name) :].upper() == name.upper():
            text = text[: -len(name)].rstrip()
    return text


def with_point(text: str, locale: Locale) -> str | None:
    """Return a typed amount with nothing but digits and a point; None when it could mean two amounts.

    The last of two different marks is the decimal one, and so is one that no three digits follow: 19,99 and 1.234,50
    are unambiguous. 1,234 and 1.234 depend on the locale.
    """
    compact = WHOLE.sub("", SPACES.sub("", with_ascii_digits(text.strip()).translate(MARKS)))
    if INDIAN.fullmatch(compact):
        return compact.replace(",", "")
    one = ONE_MARK.fullmatch(compact)
    if one:
        whole, mark, rest = one.groups()
        if len(rest) == 3 and MAYBE_GROUP.fullmatch(whole):
            return _by_locale(compact, mark, locale)
        return f"{whole}.{rest}"
    grouped = GROUPED.fullmatch(compact)
    if not grouped:
        return compact
    decimals = grouped[2]
    whole = compact[: -len(decimals) - 1] if decimals else compact
    digits = re.sub(r"[.,]", "", whole)
    return f"{digits}.{decimals}" if decimals else digits


def with_decimal_mark(number: str, locale: Locale) -> str:
    """Return a number with a point as the visitor would type it, so that it is read as the same again."""
    return number.replace(".", _mark(get_decimal_symbol(locale)))


def _by_locale(text: str, mark: str, locale: Locale) -> str | None:
    if mark == _mark(get_decimal_symbol(locale)):
        return text.replace(mark, ".")
    return text.replace(mark, "") if mark == get_group_symbol(locale) else None


def _mark(symbol: str) -> str:
    return symbol if symbol in ".," else "."
