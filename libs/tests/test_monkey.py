"""Names are resolved without blocking a service; each test in a process of its own, as services are patched."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
STUCK = """
import os, socket

answers, answer = os.pipe()
read, resolve = os.read, socket.getaddrinfo

def stuck(*arguments):
    if not arguments[-1] & socket.AI_NUMERICHOST:
        read(answers, 1)
    return resolve(*arguments)

socket.getaddrinfo = stuck
"""  # a name server that does not answer yet
SERVICE = """
from libs import monkey

monkey.patch()
import eventlet, socket
"""


def run(*parts):
    """Return what this code prints, by lines."""
    ended = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", "\n".join(parts)], cwd=ROOT, capture_output=True, text=True, timeout=30
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.splitlines()


def test_service_goes_on_while_no_name_server_answers():
    lookup = """
server = socket.create_server(("127.0.0.1", 0))
found = eventlet.spawn(socket.create_connection, ("localhost", server.getsockname()[1]))
for _ in range(5):
    eventlet.sleep(0.01)
print("went on", bool(found.dead))
os.write(answer, b" ")
print("connected to", found.wait().getpeername()[0])
"""

    assert run(STUCK, SERVICE, lookup) == ["went on False", "connected to 127.0.0.1"]


def test_lookup_that_no_name_server_answers_ends_with_an_error_and_does_not_keep_the_service_from_ending():
    lookup = """
monkey.LONGEST_SECONDS = 0.05
try:
    socket.getaddrinfo("broker.example", 5672)
except socket.gaierror as error:
    print(error.errno == socket.EAI_AGAIN, error.strerror)
"""

    assert run(STUCK, SERVICE, lookup) == ["True no name server answered within 0.05 s"]


def test_name_that_does_not_exist_is_an_error_and_an_address_needs_no_thread():
    lookup = """
from eventlet import tpool

def unknown(*arguments):
    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

print(socket.getaddrinfo("127.0.0.1", 5672)[0][4], socket.getaddrinfo("::1", 5672)[0][4][:2], len(tpool._threads))
monkey._resolve = unknown
try:
    socket.getaddrinfo("broker.example", 5672)
except socket.gaierror as error:
    print(error.errno == socket.EAI_NONAME, error.strerror)
"""

    assert run(SERVICE, lookup) == ["('127.0.0.1', 5672) ('::1', 5672) 0", "True Name or service not known"]


def test_services_load_no_library_of_megabytes_before_they_need_it():
    loaded = """
import sys
import auth.service, expiration.service, orders.service, payments.service, tickets.service

def large():
    return [name for name in ("dns", "OpenSSL", "webauthn") if name in sys.modules]

print(large())
print("publicKey" in auth.service.Passkeys("http://localhost").request_options() or large())
"""

    assert run(SERVICE, loaded) == ["[]", "['OpenSSL', 'webauthn']"]
