"""The scripts of the pages, and what they say in the visitor's language."""

import json
import re
from functools import cache

from flask import Flask
from markupsafe import Markup

from gateway.languages import ENGLISH, catalogue, language
from gateway.static_files import asset, files

SAID = re.compile(r'\bsay\("((?:[^"\\]|\\.)*)"')
"""What a script says, as Babel finds it too: its texts are string literals in double quotes."""


def register(app: Flask) -> None:
    """Let templates load a script with `script("pay.js")`."""
    app.add_template_global(script)


def script(name: str, attributes: str = "defer") -> Markup:
    """Return the element that loads a script, with what it says: in its `data-words`, unless the page is English."""
    return _element(name, attributes, language())


@cache
def _element(name: str, attributes: str, spoken: str) -> Markup:
    said = catalogue(spoken).gettext
    words = {} if spoken == ENGLISH else {text: said(text) for text in texts_of(name)}
    data = Markup(' data-words="{}"').format(json.dumps(words, ensure_ascii=False)) if words else ""
    return Markup('<script src="{}" {}{}></script>').format(asset(name), attributes, data)


def texts_of(name: str) -> list[str]:
    """Return what a script says, in English."""
    found = SAID.findall(files()[name].decode())
    return [json.loads(f'"{text}"') for text in dict.fromkeys(found)]
