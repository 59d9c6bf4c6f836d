"""Compression of responses, in the content coding that the client prefers."""

from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING

from flask import Flask, Response
from flask_compress import Compress
from werkzeug.datastructures import Accept
from werkzeug.http import parse_accept_header

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

COMPRESSED = [
    *("text/html", "text/css", "text/javascript", "text/plain", "application/xml", "image/svg+xml"),
    "application/manifest+json",
]
"""The types that are compressed. Pages have no secret that is the same in two responses (`security.csrf_field`); the
API is not compressed, since clients send the ETags of its answers back."""
CODINGS = ("zstd", "br", "gzip")
"""The codings, the best first."""


class OneCoding:
    """WSGI middleware: reduces Accept-Encoding to the coding that is used, so that few variants are cached."""

    def __init__(self, application: "WSGIApplication") -> None:
        self._application = application

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Handle one request."""
        environ["HTTP_ACCEPT_ENCODING"] = coding_of(environ.get("HTTP_ACCEPT_ENCODING", ""))
        return self._application(environ, start_response)


@lru_cache(256)
def coding_of(header: str) -> str:
    """Return the content coding for this Accept-Encoding, or "" for none; quality 0 refuses one."""
    qualities = {name.lower(): quality for name, quality in reversed(parse_accept_header(header, Accept))}
    best = max(CODINGS, key=lambda name: _quality(qualities, name))
    quality = _quality(qualities, best)
    return best if quality > 0 and quality >= qualities.get("identity", 0) else ""


def register(app: Flask) -> None:
    """Compress the pages of `app`, and their static files."""
    app.config.update(
        COMPRESS_MIMETYPES=COMPRESSED,
        COMPRESS_ALGORITHM=[*CODINGS],
        COMPRESS_EVALUATE_CONDITIONAL_REQUEST=False,
        COMPRESS_REGISTER=False,
    )
    compress = Compress()
    compress.init_app(app)
    app.wsgi_app = OneCoding(app.wsgi_app)  # type: ignore[method-assign]

    @app.after_request
    def compress_page(response: Response) -> Response:
        if response.mimetype not in COMPRESSED:
            return response
        status = response.status
        if response.status_code >= 400:
            response.status_code = 200  # Flask-Compress compresses nothing else; a form with problems is as long
        packed = compress.after_request(response)
        packed.status = status
        return packed


def _quality(qualities: dict[str, float], name: str) -> float:
    return qualities.get(name, qualities.get("*", 0))
