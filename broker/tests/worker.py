"""A worker in one page: registers, takes what is handed over, answers with its name."""

import json
import os
import socket
import sys

path, name, address = sys.argv[1:4]
more = json.loads(sys.argv[4]) if sys.argv[4:] else {}
control = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
control.connect(path)
control.send(json.dumps({"register": {"protocol": 1, "addresses": [address]} | more}).encode())
reply, descriptors, _, _ = socket.recv_fds(control, 65536, 1)
print(reply.decode(), flush=True)
if not descriptors:
    sys.exit(1)

accept_socket = socket.socket(fileno=descriptors[0])
accept_socket.setblocking(True)
while True:
    versions, descriptors, _, _ = socket.recv_fds(accept_socket, 32, 32)
    if not versions:
        break
    assert versions == b"\x01" * len(descriptors), (versions, descriptors)
    for descriptor in descriptors:
        connection = socket.socket(fileno=descriptor)
        assert not os.get_blocking(descriptor)
        assert connection.getsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT) == 1
        connection.setblocking(True)
        print(connection.recv(4096).hex(), connection.getsockname()[0], flush=True)
        connection.sendall(name.encode())
        connection.close()
