// What the library costs: cost MODE COUNT [PORT]. "served" accepts connections of others at the port; the other modes are about
// sockets that are none of its business.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int argc, char **argv) {
    int count = atoi(argv[2]);
    if (!strcmp(argv[1], "served")) {
        int s = socket(AF_INET, SOCK_STREAM, 0), one = 1;
        struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[3]))};
        setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
        if (bind(s, (struct sockaddr *)&a, sizeof a) || listen(s, 128)) {
            return 1;
        }
        for (int i = 0; i < count; i++) {
            struct sockaddr_in peer;
            socklen_t length = sizeof peer;
            int accepted = accept4(s, (struct sockaddr *)&peer, &length, SOCK_CLOEXEC);
            if (accepted < 0) {
                return 1;
            }
            syscall(SYS_close, accepted); // through the kernel, so that only accept is counted
        }
        return 0;
    }
    if (!strcmp(argv[1], "close")) {
        int other = socket(AF_INET, SOCK_STREAM, 0); // a listener, if the port is shared
        struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(argc > 3 ? atoi(argv[3]) : 0)};
        if (bind(other, (struct sockaddr *)&a, sizeof a) || listen(other, 5)) {
            return 1;
        }
        for (int i = 0; i < count; i++) {
            close(open("/dev/null", O_RDONLY));
        }
        return 0;
    }
    int other = socket(AF_INET, SOCK_STREAM, 0), s = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(argc > 3 ? atoi(argv[3]) : 0)}, own = a;
    socklen_t length = sizeof own;
    own.sin_port = 0;
    inet_pton(AF_INET, "127.0.0.1", &own.sin_addr);
    if (bind(other, (struct sockaddr *)&a, sizeof a) || listen(other, 5) || bind(s, (struct sockaddr *)&own, sizeof own) ||
        listen(s, 5) || getsockname(s, (struct sockaddr *)&own, &length)) {
        return 1;
    }
    for (int i = 0; i < count; i++) {
        int c = socket(AF_INET, SOCK_STREAM, 0);
        if (connect(c, (struct sockaddr *)&own, sizeof own)) {
            return 1;
        }
        int accepted = accept(s, NULL, NULL);
        if (accepted < 0) {
            return 1;
        }
        // through the kernel, so that only accept is counted
        syscall(SYS_close, accepted);
        syscall(SYS_close, c);
    }
    return 0;
}
