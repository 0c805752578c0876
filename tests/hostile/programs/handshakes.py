"""Hold many TLS connections to this machine's port without a request; another for each closed.

handshakes.py PORT COUNT. Says "ready" once there has been one of each.
"""

import selectors
import socket
import ssl
import sys

port, count = int(sys.argv[1]), int(sys.argv[2])
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE
selector = selectors.DefaultSelector()


def hold() -> None:
    """Make a connection; one that is not taken in time is given up."""
    plain = socket.socket()
    plain.settimeout(3)
    try:
        plain.connect(("127.0.0.1", port))
        held = context.wrap_socket(plain)
        held.setblocking(False)
        selector.register(held, selectors.EVENT_READ, held)
    except OSError:
        plain.close()


def replace() -> None:
    """Make another for each that was closed."""
    for key, _ in selector.select(0):
        held: ssl.SSLSocket = key.data
        try:
            if held.recv(4096):
                continue
        except ssl.SSLWantReadError:
            continue
        except OSError:
            pass
        selector.unregister(held)
        held.close()


for _ in range(count):
    hold()
    replace()
sys.stdout.write("ready\n")
sys.stdout.flush()
while True:
    selector.select(1)
    replace()
    while len(selector.get_map()) < count:
        hold()
        replace()
