"""The texts that an operator edits: Markdown files in one folder, shown as pages and linked at the foot of each.

The folder has them in English, and a folder in it, such as `de`, those of another language.
"""

import re
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup

from gateway.languages import ENGLISH, LANGUAGES

FOLDER = Path(__file__).parent / "texts"
ORDER = ("how-it-works", "handover", "help", "fees", "guarantee", "owed", "contact", "privacy")
"""The order in which our texts are listed; further texts of an operator come after them."""
TO_TEXT = re.compile(r"^([\w-]+)\.md$")
"""A link from one text to another, by its file as editors show it; the page has no suffix."""
FOLDER_FORM = "a folder of .md files in UTF-8, each of which begins with a heading, # TITLE"


class Text(NamedTuple):
    """A text: its title, its first paragraph as plain text, the rest as HTML, its language, its parts by their ids."""

    title: str
    summary: str
    html: Markup
    language: str
    parts: dict[str, str]


def read_texts(folder: str | Path) -> dict[str, dict[str, Text]]:
    """Return the texts of each language by name: those of `folder`, and ours where it has none of that name.

    An operator's text in English alone replaces ours in every language, as ours differs from it. Raises ValueError when
    the folder, or a text in it, cannot be used.
    """
    if not Path(folder).is_dir():
        raise ValueError(folder)
    return {language: _read_in(language, Path(folder)) for language in LANGUAGES}


def _read_in(language: str, folder: Path) -> dict[str, Text]:
    found: dict[str, tuple[Path, str]] = {}
    for place in (FOLDER, folder):
        for language_code, where in {
            ENGLISH: place,
            language: place if language == ENGLISH else place / language,
        }.items():
            found |= {path.stem: (path, language_code) for path in sorted(where.glob("*.md"))}
    names = [*ORDER, *(name for name in found if name not in ORDER)]
    return {name: _read(*found[name]) for name in names}


def _read(path: Path, language: str) -> Text:
    """HTML in the Markdown is shown as text, and no link leads to a script (markdown-it's preset `js-default`)."""
    markdown = MarkdownIt("js-default")
    tokens = markdown.parse(path.read_text(encoding="utf-8"))
    if [token.type for token in tokens[:1]] != ["heading_open"] or tokens[0].tag != "h1":
        raise ValueError(path)
    for link in [each for token in tokens for each in token.children or [] if each.type == "link_open"]:
        link.attrSet("href", TO_TEXT.sub(r"\1", str(link.attrGet("href"))))
    parts = _name_parts(tokens[3:])
    html: str = markdown.renderer.render(tokens[3:], markdown.options, {})
    paragraphs = (after for before, after in pairwise(tokens[3:]) if before.type == "paragraph_open")
    summary = next(map(_plain, paragraphs), "")
    return Text(_plain(tokens[1]), summary, Markup(html), language, parts)  # noqa: S704 - markdown-it escapes


def _name_parts(tokens: list[Token]) -> dict[str, str]:
    """Give the headings of the second level ids, and return their texts by these."""
    headings = [
        (opened, _plain(inline)) for opened, inline in pairwise(tokens) if opened.tag == "h2" and opened.nesting == 1
    ]
    for number, (opened, _) in enumerate(headings, 1):
        opened.attrSet("id", f"part-{number}")
    return {str(opened.attrGet("id")): said for opened, said in headings}


def _plain(inline: Token) -> str:
    """Return the plain text of a paragraph, without its markup."""
    return "".join(" " if each.type == "softbreak" else each.content for each in inline.children or [])
