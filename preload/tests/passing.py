"""A listener that goes from one process to another over a Unix socket: passing.py HOW PORT"""
import array
import errno
import os
import socket
import subprocess
import sys

how, port = sys.argv[1], int(sys.argv[2])


def receive(channel, flags=0):
    # recv_fds does without the flags
    _, [(_, _, data)], _, _ = channel.recvmsg(1, socket.CMSG_SPACE(4 * 4), flags)
    descriptors = array.array("i", data)
    return [socket.socket(fileno=descriptor) for descriptor in descriptors]


def serve(listener):
    print("serves", flush=True)
    while True:
        connection, (peer, _) = listener.accept()
        connection.recv(512)
        connection.sendall(f"{listener.getsockname()[1]} {peer} {listener.family.name}\n".encode())
        connection.close()


if how == "receiver":
    channel = socket.socket(fileno=port)
    seen = receive(channel, socket.MSG_PEEK)
    pipe, listener, copy = receive(channel)
    assert os.get_inheritable(pipe.fileno()) and os.get_inheritable(listener.fileno())
    [again] = receive(channel)
    for one in [*seen[1:], copy]:
        assert one.getsockname()[1] == listener.getsockname()[1]
        one.close()
    pipe.close()
    seen[0].close()
    assert channel.recv(1) == b"", "the sender has closed its own"
    listener.listen()
    listener.close()
    serve(again)

ours, theirs = socket.socketpair()
listener = socket.socket()
listener.bind(("127.0.0.1", port))
if how == "send":
    arguments = [sys.executable, sys.argv[0], "receiver", str(theirs.fileno())]
    receiver = subprocess.Popen(arguments, pass_fds=[theirs.fileno()])
    theirs.close()
    number = listener.fileno()
    assert socket.send_fds(ours, [b"x"], [ours.fileno(), number, number]) == 1
    assert socket.send_fds(ours, [b"x"], [number]) == 1
    ours.close()
    listener.close()
    receiver.wait()
elif how == "own":
    listener.listen()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(100):
        socket.send_fds(ours, [b"x"], [listener.fileno()])
        receive(theirs)[0].close()
    assert len(os.listdir("/proc/self/fd")) == before
    socket.send_fds(ours, [b"x"], [listener.fileno()])
    listener.close()
    serve(receive(theirs)[0])
elif how == "taken":
    # something else has a number that stands behind it
    child = os.fork()
    if child == 0:
        listener.close()
        highest = max(int(number) for number in os.listdir("/proc/self/fd"))
        for number in range(700, 1000):
            try:
                os.dup2(0, number)
            except OSError:
                pass
        try:
            receive(theirs)[0].listen()
        except OSError as error:
            print(errno.errorcode[error.errno], flush=True)
        os._exit(0)
    socket.send_fds(ours, [b"x"], [listener.fileno()])
    os.waitpid(child, 0)
elif how == "other-user":
    os.seteuid(65534)
    ours, theirs = socket.socketpair()
    os.seteuid(0)
    socket.send_fds(ours, [b"x"], [listener.fileno()])
    [received] = receive(theirs)
    print(received.family.name, flush=True)
