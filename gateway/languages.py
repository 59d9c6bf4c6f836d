"""The languages of the pages: which one a visitor gets, and the translations.

The source texts are English; the other languages have catalogues, `translations/*.po`. The API speaks English only.
"""

import re
from collections.abc import Iterator, Mapping
from functools import cache, lru_cache
from gettext import GNUTranslations, NullTranslations
from io import BytesIO
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from flask import Flask, g, has_request_context, request
from werkzeug.datastructures import LanguageAccept
from werkzeug.http import parse_accept_header

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

ENGLISH = "en"
LANGUAGES = {ENGLISH: "English", "de": "Deutsch"}
"""The languages, each by its own name."""
COOKIE = "ticketing-language"
FOLDER = Path(__file__).parent / "translations"
MOST_ACCEPTED = 30
"""How many of the languages that a browser accepts are read: a header has room for 4,000, and to look one up in vain
takes 0.2 ms."""
CHOSEN = re.compile(rf"{COOKIE}=(\w+)")


def register(app: Flask) -> None:
    """Give templates the texts in the visitor's language."""
    app.jinja_env.add_extension("jinja2.ext.i18n")
    app.jinja_env.policies["ext.i18n.trimmed"] = True
    app.jinja_env.install_gettext_callables(  # type: ignore[attr-defined]
        lambda text: translations().gettext(text),
        lambda one, many, number: translations().ngettext(one, many, number),
        newstyle=True,
        pgettext=lambda where, text: translations().pgettext(where, text),
    )
    app.jinja_env.globals["LANGUAGES"] = LANGUAGES
    app.add_template_global(language)


def language() -> str:
    """Return the language of the response to this request, such as "en"."""
    if not has_request_context():
        return ENGLISH
    found: str | None = g.get("language")
    if found is None:
        found = g.language = language_of(request.environ)
    return found


def language_of(environ: "WSGIEnvironment") -> str:
    """Return the language of the response to a request: the chosen one, else the one that the browser prefers."""
    if environ.get("PATH_INFO", "").startswith("/api/"):
        return ENGLISH
    return chosen_in(environ) or _asked_for(environ.get("HTTP_ACCEPT_LANGUAGE", ""))


def chosen_in(environ: "WSGIEnvironment") -> str | None:
    """Return the language that was chosen in the browser of a request, or None."""
    cookies = environ.get("HTTP_COOKIE")
    chosen = CHOSEN.search(cookies) if cookies else None
    return chosen[1] if chosen and chosen[1] in LANGUAGES else None


def accepted(header: str) -> LanguageAccept:
    """Return the first MOST_ACCEPTED languages that a header Accept-Language names."""
    return parse_accept_header(",".join(header.split(",")[:MOST_ACCEPTED]), LanguageAccept)


@lru_cache(256)
def _asked_for(header: str) -> str:
    """Return the first of our languages, in any variant, or the one that * allows; quality 0 refuses one."""
    by_quality = sorted(accepted(header), key=lambda each: -each[1])
    named = [re.split("[-_]", name.lower())[0] for name, _ in by_quality]
    others = [each for each in LANGUAGES if each not in named]
    wanted = (name for name, (_, quality) in zip(named, by_quality, strict=True) if quality > 0)
    found = ([name] if name in LANGUAGES else others if name == "*" else [] for name in wanted)
    return next(chain.from_iterable(found), ENGLISH)


def translations() -> NullTranslations:
    """Return the translations for the language of this request."""
    return catalogue(language())


@cache
def catalogue(name: str) -> NullTranslations:
    """Return the translations for a language, compiled from its catalogue once per process."""
    if name == ENGLISH:
        return NullTranslations()
    compiled = BytesIO()
    with (FOLDER / f"{name}.po").open("rb") as source:
        write_mo(compiled, read_po(source, locale=name))
    compiled.seek(0)
    return GNUTranslations(compiled)


def gettext(text: str, **values: Any) -> str:
    """Return a text of ours in the visitor's language, with `values` in place of %(name)s."""
    found = translations().gettext(text)
    return found % values if values else found


def ngettext(one: str, many: str, number: int, **values: Any) -> str:
    """Return the translated singular or plural text for a number, which is %(num)s in it."""
    return translations().ngettext(one, many, number) % {"num": number, **values}


def pgettext(where: str, text: str) -> str:
    """Return the translation of a text that is different in another context."""
    return translations().pgettext(where, text)


def N_(text: str) -> str:
    """Mark a text that is translated where it is shown, for Babel to find it."""
    return text


def NP_(_where: str, text: str) -> str:
    """Mark a text that `pgettext` translates where it is shown."""
    return text


class Labels(Mapping[str, str]):
    """Texts by name, each in the visitor's language; `where` is the place that `pgettext` takes."""

    def __init__(self, english: dict[str, str], where: str | None = None) -> None:
        self._english, self._where = english, where

    def __getitem__(self, name: str) -> str:
        text = self._english[name]
        return pgettext(self._where, text) if self._where else gettext(text)

    def __iter__(self) -> Iterator[str]:
        return iter(self._english)

    def __len__(self) -> int:
        return len(self._english)
