"""Servers in Python: service.py MODE PORT HOST...  Each answers with what it sees of the connection, as JSON."""

import asyncio
import json
import select
import signal
import socket
import subprocess
import sys

mode, port, hosts = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
count = 0


def answer(sock):
    global count
    count += 1
    names = {"peer": sock.getpeername()[0], "local": sock.getsockname()[0]}
    return (json.dumps({"number": count - 1, **names, "family": sock.family.name}) + "\n").encode()


async def serve(reader, writer):
    await reader.read(512)
    writer.write(answer(writer.get_extra_info("socket")))
    await writer.drain()
    writer.close()


async def with_asyncio():
    server = await asyncio.start_server(serve, hosts, port)
    print("listening", [s.getsockname() for s in server.sockets], flush=True)
    await server.serve_forever()


def listener(dual_stack):
    family = socket.AF_INET6 if ":" in hosts[0] else socket.AF_INET
    sock = socket.socket(family)
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, not dual_stack)
    sock.bind((hosts[0], port))
    sock.listen()
    print("listening", sock.getsockname(), flush=True)
    return sock


def blocking(sock, between=lambda: None):
    while True:
        connection, peer = sock.accept()
        connection.recv(512)
        assert peer[0] == connection.getpeername()[0]
        connection.sendall(answer(connection))
        connection.close()
        between()


def resets(sock):
    """A plain loop, as most are: what ends it is an `accept` that fails. Answers with the peers that `accept` has shown."""
    peers = []
    while True:
        connection, peer = sock.accept()
        peers.append(peer[:2])
        try:
            connection.recv(512)
            connection.sendall((json.dumps(peers) + "\n").encode())
        except ConnectionError:
            pass
        connection.close()


def stops(sock):
    """SIGTERM: who was accepted is served, and nobody is accepted any more."""
    wakes, woken = socket.socketpair()
    woken.setblocking(False)
    signal.signal(signal.SIGTERM, lambda *_: None)
    signal.set_wakeup_fd(woken.fileno())
    while wakes not in (ready := select.select([sock, wakes], [], [])[0]):
        connection, _ = sock.accept()
        connection.recv(512)
        connection.sendall(answer(connection))
        connection.close()


def run_something():
    subprocess.run(["true"], check=True)
    subprocess.run(["true"], check=True, close_fds=False)


if mode == "asyncio":
    asyncio.run(with_asyncio())
elif mode == "dual-stack":
    blocking(listener(True))
elif mode == "stops":
    stops(listener(False))
elif mode == "resets":
    resets(listener(hosts[0] == "::"))
elif mode == "subprocess":
    blocking(listener(False), run_something)
elif mode == "pass":  # a child that is given the listener by number accepts
    sock = listener(False)
    child = [sys.executable, sys.argv[0], "passed", str(sock.fileno())]
    subprocess.run(child, pass_fds=[sock.fileno()])
elif mode == "passed":
    blocking(socket.socket(fileno=port))
elif mode == "send":  # a child that is sent each accepted connection
    sock = listener(True)
    here, there = socket.socketpair()
    subprocess.Popen([sys.executable, sys.argv[0], "sent", str(there.fileno())], pass_fds=[there.fileno()])
    while True:
        connection, _ = sock.accept()
        socket.send_fds(here, [b"."], [connection.fileno()])
        connection.close()
elif mode == "sent":
    here = socket.socket(fileno=port)
    while True:
        connection = socket.socket(fileno=socket.recv_fds(here, 1, 1)[1][0])
        connection.recv(512)
        connection.sendall(answer(connection))
        connection.close()
