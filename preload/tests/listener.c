// What a TCP listener does, checked on one that is a registration: listener CHECK PORT. Client and server in one process.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

static int port;

#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: %s (errno %s)\n", __FILE__, __LINE__, #condition, strerror(errno));                \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

#define FAILS(call, error)                                                                                             \
    do {                                                                                                               \
        errno = 0;                                                                                                     \
        CHECK((call) == -1 && errno == (error));                                                                       \
    } while (0)

static int new_socket(void) {
    int s = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(s >= 0);
    return s;
}

static int bind_to(int s, const char *ip) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
    inet_pton(AF_INET, ip, &a.sin_addr);
    return bind(s, (struct sockaddr *)&a, sizeof a);
}

static int bound(void) {
    int s = new_socket();
    CHECK(bind_to(s, "127.0.0.1") == 0);
    return s;
}

static int listening(void) {
    int s = bound();
    CHECK(listen(s, 64) == 0);
    return s;
}

static int client_of(const char *ip) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in6 a6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    int v6 = inet_pton(AF_INET6, ip, &a6.sin6_addr) == 1;
    inet_pton(AF_INET, ip, &a.sin_addr);
    char message[128], via[64];
    int s = v6 ? socket(AF_INET6, SOCK_STREAM, 0) : new_socket();
    int length = snprintf(via, sizeof via, "net.tcp://localhost:%d/check", port);
    CHECK((v6 ? connect(s, (struct sockaddr *)&a6, sizeof a6) : connect(s, (struct sockaddr *)&a, sizeof a)) == 0);
    int total = snprintf(message, sizeof message, "%c%c%c%c%c%c%c%s%c%c", 0, 1, 0, 1, 2, 2, length, via, 3, 8);
    CHECK(write(s, message, total) == total);
    return s;
}

static int client(void) { return client_of("127.0.0.1"); }

static int readable(int fd, int ms) {
    struct pollfd p = {.fd = fd, .events = POLLIN};
    int n = poll(&p, 1, ms);
    CHECK(n >= 0);
    return n;
}

// Whether the two ends are one connection, whose first octet is still to be read.
static void same_connection(int client, int server) {
    struct sockaddr_in a, b;
    socklen_t length = sizeof a;
    CHECK(getsockname(client, (struct sockaddr *)&a, &length) == 0);
    CHECK(getpeername(server, (struct sockaddr *)&b, &length) == 0 && length == sizeof b);
    CHECK(a.sin_port == b.sin_port && b.sin_family == AF_INET);
    char first = 1;
    CHECK(recv(server, &first, 1, 0) == 1 && first == 0);
}

// Accepts until this client's connection comes: what a closed listener had queued goes to the next one.
static int accept_from(int listener, int client) {
    struct sockaddr_in a, b;
    socklen_t length = sizeof a;
    CHECK(getsockname(client, (struct sockaddr *)&a, &length) == 0);
    for (;;) {
        int s = accept(listener, (struct sockaddr *)&b, &length);
        CHECK(s >= 0);
        if (a.sin_port == b.sin_port) {
            return s;
        }
        close(s);
    }
}

static int option(int s, int level, int name) {
    int value = -1;
    socklen_t length = sizeof value;
    CHECK(getsockopt(s, level, name, &value, &length) == 0 && length == sizeof value);
    return value;
}

static void set(int s, int level, int name, int value) { CHECK(setsockopt(s, level, name, &value, sizeof value) == 0); }

static void what_it_says_of_itself(void) {
    int s = bound();
    CHECK(option(s, SOL_SOCKET, SO_ACCEPTCONN) == 0);
    FAILS(accept(s, NULL, NULL), EINVAL);
    FAILS(bind_to(s, "127.0.0.1"), EINVAL);
    CHECK(listen(s, 1) == 0 && listen(s, 100) == 0);
    CHECK(option(s, SOL_SOCKET, SO_ACCEPTCONN) == 1);
    CHECK(option(s, SOL_SOCKET, SO_TYPE) == SOCK_STREAM);
    CHECK(option(s, SOL_SOCKET, SO_DOMAIN) == AF_INET);
    CHECK(option(s, SOL_SOCKET, SO_PROTOCOL) == IPPROTO_TCP);
    CHECK(option(s, SOL_SOCKET, SO_ERROR) == 0);
    struct sockaddr_in a;
    socklen_t length = sizeof a;
    CHECK(getsockname(s, (struct sockaddr *)&a, &length) == 0);
    CHECK(length == sizeof a && a.sin_family == AF_INET && ntohs(a.sin_port) == port);
    CHECK(ntohl(a.sin_addr.s_addr) == INADDR_LOOPBACK);
    char small[4] = {0};
    length = sizeof small;
    CHECK(getsockname(s, (struct sockaddr *)small, &length) == 0 && length == sizeof a && small[0] == AF_INET);
    FAILS(getpeername(s, (struct sockaddr *)&a, &length), ENOTCONN);
    FAILS(accept4(s, NULL, NULL, 1), EINVAL);
    CHECK(readable(s, 0) == 0);
}

static void reset_then_accept(int family, int dual_stack, const char *ip, const char *peer) {
    int s = socket(family, SOCK_STREAM, 0), one = 1;
    setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    if (family == AF_INET6) {
        set(s, IPPROTO_IPV6, IPV6_V6ONLY, !dual_stack);
        CHECK(bind(s, (struct sockaddr *)&v6, sizeof v6) == 0);
    } else {
        CHECK(bind(s, (struct sockaddr *)&v4, sizeof v4) == 0);
    }
    CHECK(listen(s, 64) == 0);
    for (int with_address = 0; with_address < 2; with_address++) {
        int c = client_of(ip);
        CHECK(readable(s, 60000) == 1);
        CHECK(setsockopt(c, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger)) == 0);
        close(c);
        struct sockaddr_storage a;
        socklen_t length = sizeof a;
        struct sockaddr *address = (struct sockaddr *)&a;
        int accepted = with_address ? accept4(s, address, &length, SOCK_CLOEXEC) : accept(s, NULL, NULL);
        CHECK(accepted >= 0);
        if (with_address) {
            char text[64];
            const void *octets = family == AF_INET ? (void *)&((struct sockaddr_in *)&a)->sin_addr
                                                   : (void *)&((struct sockaddr_in6 *)&a)->sin6_addr;
            CHECK(a.ss_family == family && length == (family == AF_INET ? sizeof v4 : sizeof v6));
            CHECK(!strcmp(inet_ntop(family, octets, text, sizeof text), peer));
        }
        length = sizeof a;
        FAILS(getpeername(accepted, address, &length), ENOTCONN);
        length = sizeof a;
        CHECK(getsockname(accepted, address, &length) == 0 && a.ss_family == family);
        CHECK(option(accepted, SOL_SOCKET, SO_ERROR) == ECONNRESET);
        close(accepted);
    }
    close(s);
}

// Linux hands a connection to the program that was reset while it was queued.
static void who_resets_is_accepted(void) {
    reset_then_accept(AF_INET, 0, "127.0.0.1", "127.0.0.1");
    reset_then_accept(AF_INET6, 0, "::1", "::1");
    reset_then_accept(AF_INET6, 1, "::1", "::1");
    reset_then_accept(AF_INET6, 1, "127.0.0.1", "::ffff:127.0.0.1");
}

static void flags_of_what_is_accepted(void) {
    int s = listening();
    fcntl(s, F_SETFL, O_NONBLOCK);
    FAILS(accept(s, NULL, NULL), EAGAIN);
    for (int i = 0; i < 5; i++) {
        int c = client();
        CHECK(readable(s, 60000) == 1);
        int flags = i == 1 ? SOCK_NONBLOCK : i == 2 ? SOCK_CLOEXEC : i == 3 ? SOCK_NONBLOCK | SOCK_CLOEXEC : 0;
        int a = i == 4 ? accept(s, NULL, NULL) : accept4(s, NULL, NULL, flags);
        CHECK(a >= 0);
        CHECK(!(fcntl(a, F_GETFL) & O_NONBLOCK) == !(flags & SOCK_NONBLOCK));
        CHECK(!(fcntl(a, F_GETFD) & FD_CLOEXEC) == !(flags & SOCK_CLOEXEC));
        same_connection(c, a);
        CHECK(readable(s, 0) == 0);
        close(a);
        close(c);
    }
}

static void options_are_kept(void) {
    int s = new_socket(), plain = new_socket();
    struct linger linger = {.l_onoff = 1, .l_linger = 7};
    set(s, SOL_SOCKET, SO_REUSEADDR, 1);
    set(s, SOL_SOCKET, SO_RCVBUF, 50000);
    set(s, IPPROTO_TCP, TCP_NODELAY, 1);
    CHECK(bind_to(s, "127.0.0.1") == 0 && listen(s, 5) == 0);
    set(s, SOL_SOCKET, SO_KEEPALIVE, 1);
    set(s, IPPROTO_TCP, TCP_KEEPIDLE, 77);
    set(s, IPPROTO_IP, IP_TOS, 0x10);
    CHECK(setsockopt(s, SOL_SOCKET, SO_LINGER, &linger, sizeof linger) == 0);
    CHECK(option(s, IPPROTO_TCP, TCP_NODELAY) == 1 && option(s, SOL_SOCKET, SO_REUSEADDR) == 1);
    FAILS(setsockopt(s, IPPROTO_TCP, TCP_KEEPIDLE, &linger, 1), EINVAL);
    int c = client(), a = accept(s, NULL, NULL);
    CHECK(a >= 0);
    CHECK(option(a, IPPROTO_TCP, TCP_NODELAY) == 1 && option(a, SOL_SOCKET, SO_KEEPALIVE) == 1);
    CHECK(option(a, IPPROTO_TCP, TCP_KEEPIDLE) == 77 && option(a, IPPROTO_IP, IP_TOS) == 0x10);
    CHECK(option(a, SOL_SOCKET, SO_RCVBUF) == 100000);
    socklen_t length = sizeof linger;
    memset(&linger, 0, sizeof linger);
    CHECK(getsockopt(a, SOL_SOCKET, SO_LINGER, &linger, &length) == 0 && linger.l_linger == 7);
    CHECK(option(a, SOL_SOCKET, SO_OOBINLINE) == option(plain, SOL_SOCKET, SO_OOBINLINE));
    same_connection(c, a);
}

static int woken_with;

static void *accepts(void *listener) {
    int a = accept(*(int *)listener, NULL, NULL);
    woken_with = a >= 0 ? 0 : errno;
    return NULL;
}

static void shutdown_wakes_and_listen_begins_again(void) {
    int s = bound();
    FAILS(shutdown(s, SHUT_RDWR), ENOTCONN);
    CHECK(listen(s, 5) == 0 && shutdown(s, SHUT_WR) == 0);
    pthread_t thread;
    pthread_create(&thread, NULL, accepts, &s);
    usleep(50000);
    CHECK(shutdown(s, SHUT_RDWR) == 0);
    pthread_join(thread, NULL);
    CHECK(woken_with == EINVAL);
    CHECK(readable(s, 60000) == 1);
    FAILS(accept(s, NULL, NULL), EINVAL);
    CHECK(option(s, SOL_SOCKET, SO_ACCEPTCONN) == 0);
    CHECK(listen(s, 5) == 0 && option(s, SOL_SOCKET, SO_ACCEPTCONN) == 1);
    int c = client(), a = accept(s, NULL, NULL);
    CHECK(a >= 0);
    same_connection(c, a);
}

static void closing_ends_who_accepts(void) {
    int s = listening();
    pthread_t thread;
    pthread_create(&thread, NULL, accepts, &s);
    usleep(50000);
    CHECK(close(s) == 0);
    pthread_join(thread, NULL);
    CHECK(woken_with == EBADF);
    CHECK(listening() >= 0); // the address is free
}

static void cancel_one_that_accepts_from(int s) {
    pthread_t thread;
    pthread_create(&thread, NULL, accepts, &s);
    usleep(100 * 1000);
    pthread_cancel(thread);
    void *result = NULL;
    CHECK(pthread_join(thread, &result) == 0 && result == PTHREAD_CANCELED);
}

static void a_thread_that_accepts_can_be_cancelled(void) {
    int other = new_socket();
    CHECK(listen(other, 1) == 0);
    cancel_one_that_accepts_from(other);
    int s = listening();
    cancel_one_that_accepts_from(s);
    int c = client();
    close(accept_from(s, c));
}

int __fxstat(int version, int descriptor, struct stat *status);
int __fxstat64(int version, int descriptor, struct stat64 *status);

static void every_stat_says_that_it_is_a_socket(void) {
    int s = listening();
    struct stat status, old, at;
    struct stat64 status64, old64, at64;
    struct statx x;
    CHECK(fstat(s, &status) == 0 && S_ISSOCK(status.st_mode));
    CHECK(fstat64(s, &status64) == 0 && S_ISSOCK(status64.st_mode));
    CHECK(__fxstat(1, s, &old) == 0 && S_ISSOCK(old.st_mode));
    CHECK(__fxstat64(1, s, &old64) == 0 && S_ISSOCK(old64.st_mode));
    CHECK(fstatat(s, "", &at, AT_EMPTY_PATH) == 0 && S_ISSOCK(at.st_mode));
    CHECK(fstatat64(s, "", &at64, AT_EMPTY_PATH) == 0 && S_ISSOCK(at64.st_mode));
    CHECK(statx(s, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &x) == 0 && S_ISSOCK(x.stx_mode) && x.stx_ino == at.st_ino);
    FAILS(fstatat(s, "a", &at, 0), ENOTDIR);
    CHECK(fstatat(AT_FDCWD, "/", &at, 0) == 0 && S_ISDIR(at.st_mode));
}

static void connecting_to_nothing_ends_listening(void) {
    int s = listening();
    struct sockaddr none = {.sa_family = AF_UNSPEC};
    struct stat status;
    CHECK(fstat(s, &status) == 0 && S_ISSOCK(status.st_mode));
    pthread_t thread;
    pthread_create(&thread, NULL, accepts, &s);
    usleep(50000);
    CHECK(connect(s, &none, sizeof none) == 0);
    pthread_join(thread, NULL);
    CHECK(woken_with == EINVAL);
    FAILS(accept(s, NULL, NULL), EINVAL);
}

static int open_descriptors(void) {
    int count = 0;
    for (int i = 0; i < 5000; i++) {
        count += fcntl(i, F_GETFD) >= 0;
    }
    return count;
}

static void close_then_bind_succeeds_at_once(void) {
    int before = open_descriptors();
    for (int i = 0; i < 20; i++) {
        int s = listening();
        FAILS(bind_to(new_socket(), "127.0.0.1"), EADDRINUSE);
        if (i % 2) { // with one that nobody accepts
            close(client());
        }
        close(s);
    }
    CHECK(open_descriptors() == before + 20); // the sockets that were not bound
    int s = listening();
    closefrom(s + 1);
    CHECK(fcntl(s, F_GETFD) >= 0);
    int c = client(), a = accept_from(s, c); // what stands behind the listener was spared
    same_connection(c, a);
    close_range(3, ~0U, 0);
    CHECK(open_descriptors() == 3);
    CHECK(listening() == 3);
}

static void *connects(void *unused) {
    usleep(100000);
    client();
    return unused;
}

static void on_signal(int number) { (void)number; }

static void time_outs_and_signals(void) {
    int s = listening();
    struct timeval t = {.tv_usec = 30000}, never = {0};
    CHECK(setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t) == 0);
    FAILS(accept(s, NULL, NULL), EAGAIN);
    CHECK(setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &never, sizeof never) == 0);
    struct sigaction action = {.sa_handler = on_signal};
    // again and again: the first may come before accept is reached
    struct itimerval timer = {.it_value.tv_usec = 30000, .it_interval.tv_usec = 30000};
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &timer, NULL);
    FAILS(accept(s, NULL, NULL), EINTR);
    timer.it_interval.tv_usec = 0;
    action.sa_flags = SA_RESTART;
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &timer, NULL);
    pthread_t thread;
    pthread_create(&thread, NULL, connects, NULL);
    CHECK(accept(s, NULL, NULL) >= 0);
    pthread_join(thread, NULL);
}

static void edges_come_for_each_connection(void) {
    int s = listening(), epoll = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN | EPOLLET};
    fcntl(s, F_SETFL, O_NONBLOCK);
    CHECK(epoll_ctl(epoll, EPOLL_CTL_ADD, s, &event) == 0);
    CHECK(epoll_wait(epoll, &event, 1, 0) == 0);
    for (int i = 0; i < 20; i++) { // each is an edge although the one before was not accepted
        client();
        CHECK(epoll_wait(epoll, &event, 1, 60000) == 1);
        CHECK(epoll_wait(epoll, &event, 1, 0) == 0);
    }
    for (int i = 0; i < 20; i++) {
        CHECK(accept(s, NULL, NULL) >= 0);
    }
    FAILS(accept(s, NULL, NULL), EAGAIN);
    CHECK(epoll_wait(epoll, &event, 1, 0) == 0);
    client();
    CHECK(epoll_wait(epoll, &event, 1, 60000) == 1);
}

static void in_an_epoll_before_it_is_bound(void) {
    int s = new_socket(), epoll = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.u64 = 0x123456789abcdef};
    CHECK(epoll_ctl(epoll, EPOLL_CTL_ADD, s, &event) == 0);
    CHECK(bind_to(s, "127.0.0.1") == 0 && listen(s, 5) == 0);
    while (epoll_wait(epoll, &event, 1, 0) == 1) { // what an unconnected socket says
    }
    int c = client();
    CHECK(epoll_wait(epoll, &event, 1, 60000) == 1);
    CHECK(event.events == EPOLLIN && event.data.u64 == 0x123456789abcdef);
    int a = accept(s, NULL, NULL);
    CHECK(a >= 0);
    same_connection(c, a);
    event.events = EPOLLIN;
    CHECK(epoll_ctl(epoll, EPOLL_CTL_MOD, s, &event) == 0 && epoll_wait(epoll, &event, 1, 0) == 0);
    CHECK(epoll_ctl(epoll, EPOLL_CTL_DEL, s, NULL) == 0);
}

static void *accepts_until_told(void *listener) {
    long accepted = 0;
    for (;;) {
        int a = accept(*(int *)listener, NULL, NULL);
        if (a >= 0) {
            accepted++;
            close(a);
        } else if (errno == EINVAL) {
            return (void *)accepted;
        } else {
            CHECK(errno == EMFILE);
        }
    }
}

static void at_the_descriptor_limit_nothing_is_lost(void) {
    enum { COUNT = 40 };
    int s = listening(), clients[COUNT], full[4096], filled = 0;
    for (int i = 0; i < COUNT; i++) {
        clients[i] = client();
    }
    CHECK(readable(s, 60000) == 1);
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = 1100;
    setrlimit(RLIMIT_NOFILE, &limit);
    while ((full[filled] = open("/dev/null", O_RDONLY)) >= 0) {
        filled++;
    }
    for (int i = 0; i < 3; i++) {
        FAILS(accept(s, NULL, NULL), EMFILE);
        CHECK(readable(s, 0) == 1);
    }
    close(full[--filled]); // room for one
    int a = accept(s, NULL, NULL);
    CHECK(a >= 0);
    same_connection(clients[0], a);
    FAILS(accept(s, NULL, NULL), EMFILE);
    close(a);
    close(full[--filled]); // for two, and threads that take turns
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) {
        pthread_create(&threads[i], NULL, accepts_until_told, &s);
    }
    for (int i = 1; i < COUNT; i++) { // each is closed by its server, none is reset
        char c;
        struct pollfd p = {.fd = clients[i], .events = POLLIN};
        CHECK(poll(&p, 1, 20000) == 1);
        ssize_t n = recv(clients[i], &c, 1, 0);
        CHECK(n == 0 || (n < 0 && errno == ECONNRESET)); // closing with octets unread resets
    }
    CHECK(shutdown(s, SHUT_RDWR) == 0);
    long sum = 0;
    for (int i = 0; i < 4; i++) {
        void *accepted;
        pthread_join(threads[i], &accepted);
        sum += (long)accepted;
    }
    CHECK(sum == COUNT - 1);
}

// With so few free descriptors as it may have, a bind fails whole or gives a listener that is wherever the socket was.
static void bind_where_few_descriptors_are_free(void) {
    int bound_with = 0;
    struct rlimit limit = {64, 64};
    CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    for (int room = 0; !bound_with; room++) {
        CHECK(room < 20);
        int s = new_socket(), epoll = epoll_create1(0), full[64], filled = 0;
        struct epoll_event event = {.events = EPOLLIN | EPOLLET};
        CHECK(epoll_ctl(epoll, EPOLL_CTL_ADD, s, &event) == 0);
        while (filled < 64 && (full[filled] = dup(0)) >= 0) {
            filled++;
        }
        for (int i = 0; i < room; i++) {
            close(full[--filled]);
        }
        errno = 0;
        bound_with = bind_to(s, "127.0.0.1") == 0 ? room : 0;
        CHECK(bound_with || errno == EMFILE);
        while (filled > 0) {
            close(full[--filled]);
        }
        if (bound_with) {
            CHECK(listen(s, 5) == 0);
            while (epoll_wait(epoll, &event, 1, 0) == 1) { // what an unconnected socket says
            }
            int c = client();
            CHECK(epoll_wait(epoll, &event, 1, 60000) == 1);
            int a = accept(s, NULL, NULL);
            CHECK(a >= 0);
            same_connection(c, a);
        }
        close(s);
        close(epoll);
    }
    CHECK(bound_with >= 8);
}

static void on_a_descriptor_above_any_table(void) {
    struct rlimit limit;
    int s = listening();
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    int highest = limit.rlim_max > 500000 ? 500000 : (int)limit.rlim_max - 1;
    if (highest < 16384) {
        printf("skipped: the descriptor limit cannot be raised\n");
        return;
    }
    int high = fcntl(s, F_DUPFD_CLOEXEC, highest);
    CHECK(high == highest);
    close(s);
    CHECK(option(high, SOL_SOCKET, SO_ACCEPTCONN) == 1);
    int c = client(), a = accept(high, NULL, NULL);
    CHECK(a >= 0);
    same_connection(c, a);
    close(high);
    CHECK(listening() >= 0); // the last one has ended the registration
}

static void accept_gives_the_lowest_descriptor(void) {
    int s = listening(), c = client(), lowest = dup(0);
    CHECK(readable(s, 60000) == 1 && close(lowest) == 0);
    int a = accept(s, NULL, NULL);
    CHECK(a == lowest && fcntl(a, F_GETFD) == 0 && (fcntl(a, F_GETFL) & O_NONBLOCK) == 0);
    int d = client();
    CHECK(readable(s, 60000) == 1);
    lowest = dup(0);
    close(lowest);
    int b = accept4(s, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    CHECK(b == lowest && fcntl(b, F_GETFD) == FD_CLOEXEC && (fcntl(b, F_GETFL) & O_NONBLOCK));
    same_connection(c, a);
    close(d);
}

// A container's filter of system calls may say that there is none.
static void closefrom_without_close_range(void) {
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_close_range, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof filter / sizeof *filter, filter};
    int s = listening(), open = dup(0), high = fcntl(0, F_DUPFD, 900);
    CHECK(open > s);
    CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
    closefrom(open);
    FAILS(fcntl(open, F_GETFD), EBADF);
    FAILS(fcntl(high, F_GETFD), EBADF);
    int c = client(), a = accept(s, NULL, NULL);
    CHECK(a >= 0);
    same_connection(c, a);
}

// Of three messages the second carries the listener, twice.
static void in_one_of_several_messages(void) {
    int s = listening(), pair[2], sent = 0, arrived = 0, got[2], before = open_descriptors() + 2;
    CHECK(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) == 0);
    char octets[3] = "abc", control[CMSG_SPACE(2 * sizeof(int))] __attribute__((aligned(8))), room[3][sizeof control];
    struct iovec parts[3];
    struct mmsghdr messages[3] = {0};
    for (int i = 0; i < 3; i++) {
        parts[i] = (struct iovec){octets + i, 1};
        messages[i].msg_hdr = (struct msghdr){.msg_iov = parts + i, .msg_iovlen = 1};
    }
    messages[1].msg_hdr.msg_control = control;
    messages[1].msg_hdr.msg_controllen = sizeof control;
    struct cmsghdr *header = CMSG_FIRSTHDR(&messages[1].msg_hdr);
    *header = (struct cmsghdr){CMSG_LEN(2 * sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
    memcpy(CMSG_DATA(header), (int[]){s, s}, 2 * sizeof(int));
    while (sent < 3) {
        int now = sendmmsg(pair[0], messages + sent, 3 - sent, 0);
        CHECK(now > 0 && messages[sent].msg_len == 1);
        sent += now;
    }
    CHECK(!memcmp(CMSG_DATA(header), (int[]){s, s}, 2 * sizeof(int)) && open_descriptors() == before);
    for (int i = 0; i < 3; i++) {
        messages[i].msg_hdr.msg_control = room[i];
        messages[i].msg_hdr.msg_controllen = sizeof room[i];
    }
    while (arrived < 3) {
        int now = recvmmsg(pair[1], messages + arrived, 3 - arrived, MSG_CMSG_CLOEXEC, NULL);
        CHECK(now > 0);
        arrived += now;
    }
    CHECK(!memcmp(octets, "abc", 3) && messages[0].msg_hdr.msg_controllen == 0);
    memcpy(got, CMSG_DATA(CMSG_FIRSTHDR(&messages[1].msg_hdr)), sizeof got);
    CHECK(open_descriptors() == before + 2 && fcntl(got[1], F_GETFD) == FD_CLOEXEC);
    close(s);
    close(got[0]);
    int c = client(), a = accept(got[1], NULL, NULL);
    CHECK(a >= 0);
    same_connection(c, a);
    // more than any message may carry, with a listener
    static char huge[4096] __attribute__((aligned(8)));
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 1, .msg_control = huge, .msg_controllen = sizeof huge};
    *CMSG_FIRSTHDR(&message) = (struct cmsghdr){CMSG_LEN(1000 * sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
    memcpy(CMSG_DATA(CMSG_FIRSTHDR(&message)), got + 1, sizeof(int));
    CHECK(sendmsg(pair[0], &message, 0) == -1);
    FAILS(sendmsg(pair[0], NULL, 0), EFAULT);
    FAILS(recvmsg(pair[1], NULL, 0), EFAULT);
}

static void other_sockets_are_left_alone(void) {
    int s = listening(), other = new_socket(), udp = socket(AF_INET, SOCK_DGRAM, 0);
    CHECK(bind_to(udp, "127.0.0.1") == 0); // the same port, another protocol
    CHECK(option(udp, SOL_SOCKET, SO_TYPE) == SOCK_DGRAM);
    struct sockaddr_in a = {.sin_family = AF_INET};
    inet_pton(AF_INET, "127.0.0.1", &a.sin_addr);
    socklen_t length = sizeof a;
    CHECK(bind(other, (struct sockaddr *)&a, sizeof a) == 0 && listen(other, 5) == 0);
    CHECK(getsockname(other, (struct sockaddr *)&a, &length) == 0 && ntohs(a.sin_port) != port);
    int c = new_socket();
    CHECK(connect(c, (struct sockaddr *)&a, sizeof a) == 0);
    CHECK(accept(other, NULL, NULL) >= 0);
    CHECK(readable(s, 0) == 0);
    CHECK(dup2(other, s) == s); // over a listener: it is closed
    CHECK(listening() >= 0);
}

static int child_closed;

// shares memory with the parent until it ends
static void vfork_children_change_nothing(void) {
    int s = listening(), copy = dup(s);
    for (int i = 0; i < 3; i++) {
        pid_t child = vfork();
        if (child == 0) {
            child_closed = close(s) == 0 && close(copy) == 0;
            close_range(3, ~0U, 0);
            _exit(0);
        }
        CHECK(child > 0 && child_closed);
        waitpid(child, NULL, 0);
        int c = client(), a = accept(i % 2 ? copy : s, NULL, NULL);
        CHECK(a >= 0);
        same_connection(c, a);
        close(a);
    }
    close(s);
    int c = client(), a = accept(copy, NULL, NULL);
    CHECK(a >= 0);
    same_connection(c, a);
    close(copy);
    CHECK(listening() >= 0);
}

static void a_program_started_without_the_listener_does_not_keep_its_address(void) {
    int s = listening();
    int told[2], held[2];
    CHECK(pipe(told) == 0 && pipe(held) == 0);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addclose(&actions, s);
    posix_spawn_file_actions_addclose(&actions, held[1]);
    posix_spawn_file_actions_adddup2(&actions, held[0], 0);
    posix_spawn_file_actions_adddup2(&actions, told[1], 1);
    char *arguments[] = {"sh", "-c", "echo started; exec cat", NULL};
    pid_t child;
    CHECK(posix_spawnp(&child, "sh", &actions, NULL, arguments, environ) == 0);
    char line[8];
    CHECK(read(told[0], line, sizeof line) == sizeof line);
    CHECK(close(s) == 0);
    s = listening();
    close(accept_from(s, client()));
    close(held[1]);
    int status;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
}

static void forked_children_have_their_own(void) {
    int s = listening();
    pid_t child = fork();
    if (child == 0) {
        close(s);
        CHECK(fcntl(s, F_GETFD) == -1);
        _exit(0);
    }
    int status;
    waitpid(child, &status, 0);
    CHECK(status == 0);
    int c = client(), a = accept(s, NULL, NULL);
    CHECK(a >= 0);
    same_connection(c, a);
    child = fork();
    if (child == 0) {
        int a = accept(s, NULL, NULL);
        char octet;
        CHECK(a >= 0 && read(a, &octet, 1) == 1 && write(a, "x", 1) == 1);
        _exit(0);
    }
    close(s); // the child has it still
    c = client();
    char octet;
    CHECK(read(c, &octet, 1) == 1 && octet == 'x');
    waitpid(child, &status, 0);
    CHECK(status == 0);
    CHECK(listening() >= 0);
}

#define ENTRY(name) {#name, name}
static const struct {
    const char *name;
    void (*check)(void);
} checks[] = {
    ENTRY(what_it_says_of_itself),
    ENTRY(flags_of_what_is_accepted),
    ENTRY(options_are_kept),
    ENTRY(shutdown_wakes_and_listen_begins_again),
    ENTRY(closing_ends_who_accepts),
    ENTRY(a_thread_that_accepts_can_be_cancelled),
    ENTRY(in_one_of_several_messages),
    ENTRY(every_stat_says_that_it_is_a_socket),
    ENTRY(connecting_to_nothing_ends_listening),
    ENTRY(close_then_bind_succeeds_at_once),
    ENTRY(time_outs_and_signals),
    ENTRY(edges_come_for_each_connection),
    ENTRY(in_an_epoll_before_it_is_bound),
    ENTRY(at_the_descriptor_limit_nothing_is_lost),
    ENTRY(bind_where_few_descriptors_are_free),
    ENTRY(on_a_descriptor_above_any_table),
    ENTRY(who_resets_is_accepted),
    ENTRY(accept_gives_the_lowest_descriptor),
    ENTRY(closefrom_without_close_range),
    ENTRY(other_sockets_are_left_alone),
    ENTRY(vfork_children_change_nothing),
    ENTRY(a_program_started_without_the_listener_does_not_keep_its_address),
    ENTRY(forked_children_have_their_own),
};

int main(int argc, char **argv) {
    port = atoi(argv[2]);
    alarm(50);
    for (unsigned i = 0; i < sizeof checks / sizeof *checks; i++) {
        if (!strcmp(checks[i].name, argv[1])) {
            checks[i].check();
            return 0;
        }
    }
    return 2;
}
