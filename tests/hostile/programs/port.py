"""Take a port of this machine as soon as it is free, and talk nonsense to who comes.

port.py PORT.
"""

import socket
import sys

while True:
    try:
        listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
        break
    except OSError:
        continue
while True:
    connection, _ = listener.accept()
    connection.sendall(b"mine\n")
    connection.close()
