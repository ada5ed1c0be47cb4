"""A listener is kept while another bind fails for want of descriptors, at every step: places.py PORT OTHER-PORT"""
import fcntl
import os
import resource
import socket
import sys

resource.setrlimit(resource.RLIMIT_NOFILE, (1400, 1400))

first, second = int(sys.argv[1]), int(sys.argv[2])

def bound(port):
    listener = socket.socket()
    listener.bind(("127.0.0.1", port))
    listener.listen()
    return listener

one, two = bound(first), bound(second)
one.close()
two.close()
# what stands behind the first one's place is where the second one's was
pads = [fcntl.fcntl(0, fcntl.F_DUPFD, 960) for _ in range(7)]
kept = bound(first)
full = []
failed = 0
for room in range(14):
    while True:
        try:
            full.append(os.dup(0))
        except OSError:
            break
    for number in full[:room]:
        os.close(number)
    del full[:room]
    try:
        other = socket.socket()
    except OSError:
        continue
    try:
        other.bind(("127.0.0.1", second))
    except OSError:
        failed += 1
    other.close()
for number in full:
    os.close(number)
assert failed > 5, failed
print("kept", flush=True)
while True:
    connection, _ = kept.accept()
    connection.recv(512)
    connection.sendall(b"kept\n")
    connection.close()
