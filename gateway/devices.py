"""The names of a browser and its system, from the User-Agent header."""

import re

from gateway.languages import gettext

BROWSERS = (
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("SamsungBrowser", "Samsung Internet"),
    ("Vivaldi", "Vivaldi"),
    ("Firefox|FxiOS", "Firefox"),
    ("Chrome|CriOS|Chromium", "Chrome"),
    ("Safari", "Safari"),
)
SYSTEMS = (
    ("iPhone|iPod", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("Windows", "Windows"),
    ("Mac OS X|Macintosh", "Mac"),
    ("CrOS", "ChromeOS"),
    ("Linux|X11", "Linux"),
)
"""Patterns and names; the first match counts, as most browsers also name those that they descend from."""
PRODUCT = re.compile(r"[\w.-]{1,40}", re.ASCII)


def device_name(user_agent: str) -> str:
    """Return "Firefox on Linux", the name of another program such as "curl", or "Unknown device"."""
    browser, system = _first(BROWSERS, user_agent), _first(SYSTEMS, user_agent)
    if browser and system:
        return gettext("%(browser)s on %(system)s", browser=browser, system=system)
    product = PRODUCT.match(user_agent)
    return browser or system or (product[0] if product else gettext("Unknown device"))


def _first(names: tuple[tuple[str, str], ...], user_agent: str) -> str | None:
    return next((name for pattern, name in names if re.search(pattern, user_agent)), None)
