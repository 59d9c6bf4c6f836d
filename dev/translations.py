"""The catalogues of the languages: `make translations` adds the pages' new texts, and drops those no longer used.

A new text is untranslated then, and a changed one fuzzy: it counts as untranslated until it was reviewed.
"""

from pathlib import Path

from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po, write_po

from gateway.languages import ENGLISH, FOLDER, LANGUAGES

GATEWAY = FOLDER.parent
METHODS = [("tests/**", "ignore"), ("**.py", "python"), ("templates/**.html", "jinja2"), ("static/*.js", "javascript")]
OPTIONS = {
    "templates/**.html": {"trimmed": "true", "silent": "false"},
    "static/*.js": {"parse_template_string": "true"},
}
KEYWORDS = {
    **dict.fromkeys(("_", "gettext", "N_", "say", "choice")),
    **dict.fromkeys(("TrimmedString", "StorableString", "PriceFilter")),
    "ngettext": (1, 2),
    **dict.fromkeys(("pgettext", "NP_"), ((1, "c"), 2)),
    "ErrorSpec": (2,),
}
"""The functions that mark a text, and which of their arguments it is."""


HEADER = """\
msgid ""
msgstr ""
"Language: {language}\\n"
"Content-Type: text/plain; charset=utf-8\\n"
"Plural-Forms: {plurals}\\n"

"""


def extract() -> Catalog:
    """Return the texts of the pages, in English."""
    catalog = Catalog()
    for name, _line, message, _comments, context in extract_from_dir(GATEWAY, METHODS, OPTIONS, KEYWORDS):
        catalog.add(message, locations=[(name, 0)], context=context)
    return catalog


def read(language: str) -> Catalog:
    """Return the catalogue of a language."""
    with _path(language).open("rb") as source:
        return read_po(source, locale=language)


def write(catalog: Catalog, language: str) -> None:
    """Write the catalogue of a language."""
    with _path(language).open("wb") as target:
        target.write(HEADER.format(language=language, plurals=catalog.plural_forms).encode())
        write_po(target, catalog, width=120, omit_header=True, sort_output=True, include_lineno=False)


def untranslated(catalog: Catalog) -> list[str]:
    """Return the texts that have no translation, or one of an earlier text."""
    return [str(message.id) for message in catalog if message.id and (message.fuzzy or not all(strings(message)))]


def strings(message: Message) -> tuple[str, ...]:
    """Return the translations of a text: several, of one with a number."""
    return (message.string or "",) if isinstance(message.string, str | None) else tuple(message.string)


def main() -> None:
    """Bring the catalogues up to date."""
    found = extract()
    for language in [each for each in LANGUAGES if each != ENGLISH]:
        catalog = read(language) if _path(language).exists() else Catalog(locale=language)
        catalog.update(found)
        catalog.obsolete.clear()
        write(catalog, language)
        for text in untranslated(catalog):
            print(f"{_path(language).name}: to be translated: {text}")


def _path(language: str) -> Path:
    return FOLDER / f"{language}.po"


if __name__ == "__main__":
    main()
