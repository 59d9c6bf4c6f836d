"""The scripts of the pages, and their texts in the visitor's language."""

import json
import re
from functools import cache

from flask import Flask
from markupsafe import Markup

from gateway.languages import ENGLISH, catalogue, language
from gateway.static_files import asset, files

SAID = re.compile(r'\bsay\("((?:[^"\\]|\\.)*)"')
"""The texts of a script, as Babel finds them too: string literals in double quotes."""


def register(app: Flask) -> None:
    """Let templates load a script with `script("pay.js")`."""
    app.add_template_global(script)


def script(name: str, *, before_paint: bool = False) -> Markup:
    """Return the element that loads a script, with its texts in `data-words` unless the page is English.

    It runs once the page is read; with `before_paint` browsers wait for it before they show anything.
    """
    return _element(name, before_paint, language())


@cache
def _element(name: str, before_paint: bool, language_code: str) -> Markup:
    said = catalogue(language_code).gettext
    words = {} if language_code == ENGLISH else {text: said(text) for text in texts_of(name)}
    data = Markup(' data-words="{}"').format(json.dumps(words, ensure_ascii=False)) if words else ""
    when = Markup(' blocking="render"') if before_paint else ""
    return Markup('<script src="{}" defer{}{}></script>').format(asset(name), when, data)


def texts_of(name: str) -> list[str]:
    """Return the texts of a script, in English."""
    found = SAID.findall(files()[name].decode())
    return [json.loads(f'"{text}"') for text in dict.fromkeys(found)]
