"""A TCP proxy in front of a server, which tests cut, or stall like a hanging server that keeps its connections open."""

import socket
import threading
from contextlib import suppress
from urllib.parse import urlsplit


class TcpProxy:
    """Forwards to the server of `server_url`; `url` is the same address through this proxy.

    Once `silent` is set, it drops what the server sends.
    """

    def __init__(self, server_url):
        parts = urlsplit(server_url)
        self._server = (parts.hostname, parts.port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = server_url.replace(f":{parts.port}/", f":{self._listener.getsockname()[1]}/")
        self.silent = threading.Event()
        self._going = threading.Event()
        self._going.set()
        self._sockets = [self._listener]
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def stall(self):
        """Forward nothing until `go_on`, then everything that has waited."""
        self._going.clear()

    def go_on(self):
        self._going.set()

    def _accept(self):
        with suppress(OSError):
            while True:
                near = self._listener.accept()[0]
                self._sockets.append(near)
                far = socket.create_connection(self._server)
                self._sockets.append(far)
                for source, target, is_answer in ((near, far, False), (far, near, True)):
                    threading.Thread(target=self._forward, args=(source, target, is_answer), daemon=True).start()

    def _forward(self, source, target, is_answer):
        with suppress(OSError):
            while data := source.recv(65536):
                self._going.wait()
                if not (is_answer and self.silent.is_set()):
                    target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    def close(self):
        """Cut all connections, also the one that is just being accepted."""
        self._going.set()
        _close(self._listener)
        self._accepting.join()
        for each in self._sockets:
            _close(each)


def _close(each):
    with suppress(OSError):
        each.shutdown(socket.SHUT_RDWR)  # which also ends what waits for it
    each.close()
