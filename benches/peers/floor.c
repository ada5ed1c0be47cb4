/* The floor: what any program that hands a TCP connection to another process has to ask of the kernel.
 *
 *   epoll_wait, accept4, recv(MSG_PEEK), hash of the Via, sendmsg(SCM_RIGHTS), close
 *
 * usage: floor [defer] [pack] [queue|drain|block]       standard input: the sending end of an accept socket
 *   defer   TCP_DEFER_ACCEPT on the listener
 *   pack    up to 32 descriptors a message
 *   (none)  one accept4 per epoll_wait;  queue: as many as TCP_INFO says are waiting;  drain: until EAGAIN;
 *   block   no epoll at all, a blocking accept4 (needs defer: a connection without a preamble is dropped)
 * Prints its port on a line of its own, then serves until it is killed.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ACCEPT_SOCKET = 0, MOST = 32 };
static int epoll, listener, pack, held[MOST], holding;
static uint64_t known; /* the hash of the one service there is */

static void die(const char *what) {
    perror(what);
    exit(1);
}

static void flush(void) {
    char version[MOST], room[CMSG_SPACE(sizeof held)];
    memset(version, 1, sizeof version);
    struct iovec octets = {version, holding};
    struct msghdr message = {.msg_iov = &octets, .msg_iovlen = 1, .msg_control = room,
                             .msg_controllen = CMSG_SPACE(holding * sizeof(int))};
    struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
    rights->cmsg_level = SOL_SOCKET, rights->cmsg_type = SCM_RIGHTS, rights->cmsg_len = CMSG_LEN(holding * sizeof(int));
    memcpy(CMSG_DATA(rights), held, holding * sizeof(int));
    while (sendmsg(ACCEPT_SOCKET, &message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
        if (errno != EAGAIN) die("sendmsg");
        struct pollfd room = {ACCEPT_SOCKET, POLLOUT, 0};
        poll(&room, 1, -1);
    }
    while (holding) close(held[--holding]);
}

/* 0: handed over or dropped. 1: the preamble is not there yet. */
static int dispatch(int connection) {
    unsigned char octets[2304];
    ssize_t length = recv(connection, octets, sizeof octets, MSG_PEEK | MSG_DONTWAIT);
    if (length < 0 && errno == EAGAIN) return 1;
    /* 00 01 00  01 mode  02 size, Via */
    if (length < 8 || octets[5] != 2 || 7 + octets[6] > length) {
        close(connection);
        return 0;
    }
    uint64_t hash = 14695981039346656037u;
    for (int i = 0; i < octets[6]; i++) hash = (hash ^ octets[7 + i]) * 1099511628211u;
    if (!known) known = hash;
    if (hash != known) {
        close(connection);
        return 0;
    }
    held[holding++] = connection;
    if (!pack || holding == MOST) flush();
    return 0;
}

static int accept_one(void) {
    int connection = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (connection < 0) {
        if (errno == EAGAIN || errno == ECONNABORTED) return 0;
        die("accept4");
    }
    if (dispatch(connection)) {
        struct epoll_event event = {.events = EPOLLIN, .data.fd = connection};
        if (epoll < 0) close(connection);
        else epoll_ctl(epoll, EPOLL_CTL_ADD, connection, &event);
    }
    return 1;
}

static unsigned waiting(void) {
    struct tcp_info info;
    socklen_t length = sizeof info;
    getsockopt(listener, IPPROTO_TCP, TCP_INFO, &info, &length);
    return info.tcpi_unacked;
}

int main(int count, char **words) {
    int defer = 0, queue = 0, drain = 0, block = 0;
    for (int i = 1; i < count; i++) {
        defer |= !strcmp(words[i], "defer"), pack |= !strcmp(words[i], "pack"), queue |= !strcmp(words[i], "queue");
        drain |= !strcmp(words[i], "drain"), block |= !strcmp(words[i], "block");
    }
    listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | (block ? 0 : SOCK_NONBLOCK), 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int second = 1;
    if (defer) setsockopt(listener, IPPROTO_TCP, TCP_DEFER_ACCEPT, &second, sizeof second);
    if (bind(listener, (void *)&address, length) || listen(listener, 4096)) die("listen");
    getsockname(listener, (void *)&address, &length);
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);

    if (block) {
        epoll = -1;
        for (;;) {
            accept_one();
            if (!pack) continue;
            for (unsigned n = waiting(); n > 0; n--) accept_one();
            if (holding) flush();
        }
    }
    epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener}, ready[64];
    epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        int events = epoll_wait(epoll, ready, 64, holding ? 0 : -1);
        if (events == 0) flush();
        for (int i = 0; i < events; i++) {
            if (ready[i].data.fd != listener) {
                epoll_ctl(epoll, EPOLL_CTL_DEL, ready[i].data.fd, NULL);
                dispatch(ready[i].data.fd);
            } else if (drain) {
                while (accept_one());
            } else {
                for (unsigned n = queue ? waiting() : 1; n > 0; n--) accept_one();
            }
        }
        if (holding && (queue || drain)) flush();
    }
}
