"""The site's raster images, drawn from its SVG: `python -m dev.pictures` rewrites them.

Icons for phones and old browsers, and for each category the preview that other sites show with a link to a ticket.
"""

import struct
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING

from dev.testing import chromium
from gateway.artwork import illustration
from gateway.static_files import FOLDER
from libs.contracts.limits import CATEGORIES

if TYPE_CHECKING:
    from playwright.sync_api import Page

ICONS = (180, 192, 512)
FAVICON = 32
SHARED_WIDTH, SHARED_HEIGHT = 1200, 630

ICON_PAGE = "<style>body {{ margin: 0 }} svg {{ display: block; width: {0}px; height: {0}px }}</style>{1}"
SHARED_PAGE = """
<link rel="stylesheet" href="{style}">
<style>
  body {{ margin: 0; position: relative; width: 1200px; height: 630px; display: block }}
  .art {{ width: 1200px; height: 675px }}
  p {{ position: absolute; left: 48px; bottom: 40px; margin: 0; display: flex; gap: 24px; align-items: center;
       background: #1d1930; color: #fff; border-radius: 24px; padding: 22px 38px 22px 26px;
       font: 700 64px/1 var(--display) }}
  p svg {{ width: 84px; height: 84px }}
</style>
<div hidden>{motifs}</div>
<svg class="art tone-{tone}" viewBox="0 0 320 180"><use href="#{motif}" width="320" height="180"/></svg>
<p>{icon}Ticketing</p>
"""


def main() -> None:
    """Draw all pictures."""
    icon = (FOLDER / "icon.svg").read_text()
    with chromium() as browser:
        page = browser.new_page()
        for size in (FAVICON, *ICONS):
            page.set_viewport_size({"width": size, "height": size})
            page.set_content(ICON_PAGE.format(size, icon))
            drawn = page.screenshot(omit_background=True)
            name, content = ("favicon.ico", _ico(drawn)) if size == FAVICON else (f"icon-{size}.png", drawn)
            (FOLDER / name).write_bytes(content)
        page.set_viewport_size({"width": SHARED_WIDTH, "height": SHARED_HEIGHT})
        for category in CATEGORIES:
            _draw_shared(page, category, icon, FOLDER / "share" / f"{category}.png")


def _draw_shared(page: "Page", category: str, icon: str, path: Path) -> None:
    drawn, motifs = illustration(category), (FOLDER / "art.svg").read_text()
    style = (FOLDER / "style.css").as_uri()
    with NamedTemporaryFile("w", suffix=".html") as file:  # only pages from files may load files
        file.write(SHARED_PAGE.format(style=style, motifs=motifs, tone=drawn.tone, motif=drawn.motif, icon=icon))
        file.flush()
        page.goto(Path(file.name).as_uri())
        page.evaluate("document.fonts.ready")
        path.parent.mkdir(exist_ok=True)
        page.screenshot(path=path)


def _ico(png: bytes) -> bytes:
    """Return an icon file that holds one PNG (Windows Vista and later, and every browser, read it)."""
    directory = struct.pack("<HHH", 0, 1, 1) + struct.pack("<BBBBHHII", FAVICON, FAVICON, 0, 0, 1, 32, len(png), 22)
    return directory + png


if __name__ == "__main__":
    main()
