"""A TCP proxy in front of the broker, which tests cut, or make drop the broker's answers."""

import socket
import threading
from contextlib import suppress
from urllib.parse import urlsplit


class TcpProxy:
    """Forwards to the broker of `amqp_url`; once `silent` is set, drops what the broker sends."""

    def __init__(self, amqp_url):
        parts = urlsplit(amqp_url)
        self.broker = (parts.hostname, parts.port)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = amqp_url.replace(f":{parts.port}/", f":{self.listener.getsockname()[1]}/")
        self.silent = threading.Event()
        self.sockets = [self.listener]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with suppress(OSError):
            while True:
                near, far = self.listener.accept()[0], socket.create_connection(self.broker)
                self.sockets += [near, far]
                threading.Thread(target=self.forward, args=(near, far, False), daemon=True).start()
                threading.Thread(target=self.forward, args=(far, near, True), daemon=True).start()

    def forward(self, source, target, is_answer):
        with suppress(OSError):
            while data := source.recv(65536):
                if not (is_answer and self.silent.is_set()):
                    target.sendall(data)

    def close(self):
        for each in self.sockets:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)  # which also ends what waits for it
            each.close()
