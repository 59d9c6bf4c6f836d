"""Our own static files, under an address with a digest of them all, so that browsers may cache them for a year."""

import hashlib
import mimetypes
from functools import cache
from pathlib import Path

from flask import Flask, Response, abort, request
from werkzeug.wrappers import Response as AnyResponse

FOLDER = Path(__file__).parent / "static"
FOREVER = "public, max-age=31536000, immutable"
TYPES = {
    ".woff2": "font/woff2",
    ".webmanifest": "application/manifest+json",
    ".ico": "image/x-icon",
    ".js": "text/javascript",
}


def register(app: Flask) -> None:
    """Serve the files; templates name one with `asset('style.css')`."""
    app.add_url_rule("/static/<version>/<path:name>", endpoint="static", view_func=serve)
    app.add_template_global(asset)


def serve(version: str, name: str) -> AnyResponse:
    """Return a file; only under its current address may it be cached, since another version may differ."""
    if name not in files():
        abort(404)
    response = Response(files()[name], mimetype=_type(name))
    response.headers["Cache-Control"] = FOREVER if version == digest() else "no-cache"
    response.set_etag(digest())
    return response.make_conditional(request)


@cache
def asset(name: str) -> str:
    """Return the path of a static file, which changes with any of the files: they name each other by relative paths."""
    if name not in files():
        raise FileNotFoundError(name)
    return f"/static/{digest()}/{name}"


@cache
def files() -> dict[str, bytes]:
    """Return the content of every file, by its path."""
    return {
        path.relative_to(FOLDER).as_posix(): path.read_bytes() for path in sorted(FOLDER.rglob("*")) if path.is_file()
    }


@cache
def digest() -> str:
    """Return a digest of all files."""
    found = hashlib.sha256()
    for name, content in files().items():
        found.update(hashlib.sha256(name.encode() + b"\n" + content).digest())
    return found.hexdigest()[:12]


def _type(name: str) -> str:
    return TYPES.get(Path(name).suffix) or mimetypes.guess_type(name)[0] or "application/octet-stream"
