"""Every text that the simulation shows in a browser is translated into each language."""

import re
from pathlib import Path

from dev.fake_stripe import languages
from dev.fake_stripe.cards import DECLINES

FOLDER = Path(languages.__file__).parent
SAID = re.compile(r"""\bsay\("([^"]+)"|\bsay\('([^']+)'""")


def test_every_text_of_the_simulation_is_translated():
    templates = "".join(path.read_text() for path in FOLDER.glob("templates/*"))
    shown = templates + (FOLDER / "static/element.js").read_text()
    said = {double or single for double, single in SAID.findall(shown)} | {message for _, message in DECLINES.values()}

    assert len(said) > 20 and said - languages.GERMAN.keys() == set()
    assert re.findall(r">\s*([A-Z][a-z]+)", templates) == [], "a text that nothing says"
