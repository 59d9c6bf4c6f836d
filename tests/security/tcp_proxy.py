"""A TCP proxy that can stall, like a server that no longer answers but keeps its connections open."""

import socket
import threading
from contextlib import suppress
from urllib.parse import parse_qs, urlsplit


class TcpProxy:
    """Forwards to the server of `server_url`; `url` is the same address through this proxy."""

    def __init__(self, server_url):
        parts = urlsplit(server_url)
        self._server = (parts.hostname, parts.port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        port = self._listener.getsockname()[1]
        user, options = parts.netloc.rpartition("@")[0], parse_qs(parts.query)
        source = f"&authSource={options['authSource'][0]}" if "authSource" in options else ""
        self.url = f"{parts.scheme}://{user}@127.0.0.1:{port}{parts.path}?directConnection=true{source}"
        self._going = threading.Event()
        self._going.set()
        self._sockets = [self._listener]
        threading.Thread(target=self._accept, daemon=True).start()

    def stall(self):
        """Forward nothing until `go_on`, then everything that has waited."""
        self._going.clear()

    def go_on(self):
        self._going.set()

    def _accept(self):
        with suppress(OSError):
            while True:
                near, far = self._listener.accept()[0], socket.create_connection(self._server)
                self._sockets += [near, far]
                for source, target in ((near, far), (far, near)):
                    threading.Thread(target=self._forward, args=(source, target), daemon=True).start()

    def _forward(self, source, target):
        with suppress(OSError):
            while data := source.recv(65536):
                self._going.wait()
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    def close(self):
        self._going.set()
        for each in self._sockets:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)  # which also ends what waits for it
            each.close()
