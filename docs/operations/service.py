"""Stands in for a service in docs/operations.md: takes net.tcp sessions, and ends each when its client does.

    service.py net.tcp://localhost:9000/orders    registers the address with the broker
    service.py 127.0.0.1:9101                     listens there itself, for a static route

--share and --grace-seconds are those of `broker exec`. SIGTERM: sessions that have begun are served to their end.
"""

import argparse
import json
import os
import signal
import socket
import sys
import threading


def session(connection):
    """Version, mode, Via, encoding and the end of the preamble; then the Ack, and End for End (docs/wire.md)."""
    connection.setblocking(True)
    with connection, connection.makefile("rb") as octets:
        octets.read(6)
        size = shift = 0
        while True:
            octet = octets.read(1)
            if not octet:
                return
            size |= (octet[0] & 0x7F) << shift
            shift += 7
            if octet[0] < 0x80:
                break
        octets.read(size + 3)
        try:
            connection.sendall(b"\x0b")
            if octets.read(1) == b"\x07":
                connection.sendall(b"\x07")
        except OSError:
            pass  # The client has given up.


def registered(address, share, grace_seconds):
    control = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    control.connect(os.environ["NET_TCP_PORT_SHARING_CONTROL"])
    request = {"protocol": 1, "addresses": [address], "share": share, "grace_seconds": grace_seconds}
    control.send(json.dumps({"register": request}).encode())
    reply, descriptors, _, _ = socket.recv_fds(control, 65536, 1)
    if not descriptors:
        sys.exit(json.loads(reply)["refused"]["message"])
    accept_socket = socket.socket(fileno=descriptors[0])
    accept_socket.setblocking(True)
    while True:
        versions, descriptors, _, _ = socket.recv_fds(accept_socket, 32, 32)
        if not versions:
            return
        yield from (socket.socket(fileno=descriptor) for descriptor in descriptors)


def listening(ip, port):
    listener = socket.create_server((ip, int(port)))
    while True:
        yield listener.accept()[0]


parser = argparse.ArgumentParser()
parser.add_argument("--share", action="store_true")
parser.add_argument("--grace-seconds", type=int, default=0)
parser.add_argument("where")
options = parser.parse_args()
signal.signal(signal.SIGTERM, lambda *_: sys.exit())
if "://" in options.where:
    connections = registered(options.where, options.share, options.grace_seconds)
else:
    connections = listening(*options.where.rsplit(":", 1))
for connection in connections:
    threading.Thread(target=session, args=[connection]).start()
