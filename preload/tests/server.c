// Servers as programs write them, one per mode. Each answers a connection with a number that counts them, and closes it.
//   server MODE PORT [IP] [WAIT_MS]
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static int listener;
static atomic_int *count; // shared with forked children

static void die(const char *what) {
    perror(what);
    exit(1);
}

// Waits for the preamble so that closing does not reset the connection.
static void serve(int s) {
    char buffer[512];
    int flags = fcntl(s, F_GETFL);
    if (flags & O_NONBLOCK) {
        fcntl(s, F_SETFL, flags & ~O_NONBLOCK);
    }
    if (read(s, buffer, sizeof buffer) <= 0 && errno != ECONNRESET) {
        die("read");
    }
    int length = snprintf(buffer, sizeof buffer, "%d\n", atomic_fetch_add(count, 1));
    if (send(s, buffer, length, MSG_NOSIGNAL) != length && errno != ECONNRESET && errno != EPIPE) {
        die("send");
    }
    close(s);
}

static void *blocking(void *unused) {
    for (;;) {
        struct sockaddr_storage peer;
        socklen_t length = sizeof peer;
        int s = accept(listener, (struct sockaddr *)&peer, &length);
        if (s >= 0) {
            serve(s);
        } else if (errno != EINTR) {
            die("accept");
        }
    }
    return unused;
}

// accepts one per wake-up (once) or all that wait; false if there was none
static int accept_ready(int once) {
    int accepted = 0;
    for (;;) {
        int s = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (s < 0) {
            if (errno != EAGAIN && errno != EINTR) {
                die("accept4");
            }
            return accepted;
        }
        accepted = 1;
        serve(s);
        if (once) {
            return 1;
        }
    }
}

static void with_epoll(unsigned events, int once) {
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = events, .data.fd = listener};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event)) {
        die("epoll_ctl");
    }
    for (;;) {
        if (epoll_wait(epoll, &event, 1, -1) == 1) {
            accept_ready(once);
        }
    }
}

static void with_poll(void) {
    for (;;) {
        struct pollfd p = {.fd = listener, .events = POLLIN};
        poll(&p, 1, -1);
        accept_ready(1);
    }
}

static void with_select(void) {
    for (;;) {
        fd_set set;
        FD_ZERO(&set);
        FD_SET(listener, &set);
        select(listener + 1, &set, NULL, NULL, NULL);
        accept_ready(1);
    }
}

// A blocking accept with a time-out.
static void with_timeout(void) {
    struct timeval t = {.tv_usec = 20000};
    if (setsockopt(listener, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t)) {
        die("SO_RCVTIMEO");
    }
    for (;;) {
        int s = accept(listener, NULL, NULL);
        if (s >= 0) {
            serve(s);
        } else if (errno != EAGAIN && errno != EINTR) {
            die("accept");
        }
    }
}

// An accept whose room for the peer's address is shorter than it says: an error for valgrind to find.
static void with_short_address(void) {
    for (;;) {
        socklen_t length = sizeof(struct sockaddr_storage);
        void *peer = malloc(1);
        int s = accept(listener, peer, &length);
        if (s < 0) {
            die("accept");
        }
        free(peer);
        serve(s);
    }
}

// What accepts is a copy on a high number, and the original is closed.
static void with_copy(void) {
    int copy = fcntl(listener, F_DUPFD_CLOEXEC, 500);
    close(listener);
    listener = dup2(copy, 700);
    close(copy);
    copy = dup(listener);
    close(listener);
    listener = copy;
    blocking(NULL);
}

static void *until_told(void *unused) {
    char line[16];
    if (read(0, line, sizeof line) > 0) {
        struct rlimit all = {RLIM_INFINITY, RLIM_INFINITY};
        setrlimit(RLIMIT_AS, &all);
    }
    return unused;
}

// No thread's stack has room until a line comes.
static void starve(void) {
    pthread_t thread;
    struct rlimit none = {0, RLIM_INFINITY};
    pthread_create(&thread, NULL, until_told, NULL);
    setrlimit(RLIMIT_AS, &none);
}

static void ignore(int signal) { (void)signal; }

// Children accept, the parent waits; one of them is lost now and then and replaced.
static void preforked(void) {
    struct sigaction action = {.sa_handler = ignore, .sa_flags = SA_RESTART};
    sigaction(SIGUSR1, &action, NULL);
    for (int i = 0; i < 4; i++) {
        if (fork() == 0) {
            blocking(NULL);
        }
    }
    while (wait(NULL) > 0) {
        if (fork() == 0) {
            blocking(NULL);
        }
    }
}

int main(int argc, char **argv) {
    const char *mode = argv[1], *ip = argc > 3 ? argv[3] : "127.0.0.1";
    count = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (!strcmp(mode, "inherited")) { // exec'd by "exec": PORT is the descriptor
        listener = atoi(argv[2]);
        int yes = 0;
        socklen_t length = sizeof yes;
        if (getsockopt(listener, SOL_SOCKET, SO_ACCEPTCONN, &yes, &length) || !yes) {
            die("no listener was inherited");
        }
        blocking(NULL);
    }
    int v6 = strchr(ip, ':') != NULL, one = 1;
    listener = socket(v6 ? AF_INET6 : AF_INET, SOCK_STREAM, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[2]))};
    struct sockaddr_in6 v6a = {.sin6_family = AF_INET6, .sin6_port = htons(atoi(argv[2]))};
    inet_pton(AF_INET, ip, &v4.sin_addr);
    inet_pton(AF_INET6, ip, &v6a.sin6_addr);
    if (v6 ? bind(listener, (struct sockaddr *)&v6a, sizeof v6a) : bind(listener, (struct sockaddr *)&v4, sizeof v4)) {
        die("bind");
    }
    if (listen(listener, 128)) {
        die("listen");
    }
    printf("listening\n");
    fflush(stdout);
    usleep(argc > 4 ? 1000 * atoi(argv[4]) : 0); // connections queue meanwhile
    if (!strcmp(mode, "threads")) {
        pthread_t thread;
        for (int i = 0; i < 7; i++) {
            pthread_create(&thread, NULL, blocking, NULL);
        }
        blocking(NULL);
    } else if (!strcmp(mode, "prefork")) {
        preforked();
    } else if (!strcmp(mode, "short-address")) {
        with_short_address();
    } else if (!strcmp(mode, "copy")) {
        with_copy();
    } else if (!strcmp(mode, "timeout")) {
        with_timeout();
    } else if (!strcmp(mode, "exec-copy")) {
        fcntl(listener, F_SETFD, FD_CLOEXEC);
        if (fork() == 0) {
            dup2(listener, 33);
            execl("/proc/self/exe", "server", "inherited", "33", NULL);
            die("exec");
        }
        close(listener);
        pause();
    } else if (!strcmp(mode, "starved")) {
        starve();
        blocking(NULL);
    } else if (!strcmp(mode, "starved-epoll")) {
        starve();
        fcntl(listener, F_SETFL, fcntl(listener, F_GETFL) | O_NONBLOCK);
        with_epoll(EPOLLIN | EPOLLET, 0);
    } else if (!strcmp(mode, "exec")) {
        char number[16];
        snprintf(number, sizeof number, "%d", listener);
        if (fork() == 0) {
            execl("/proc/self/exe", "server", "inherited", number, NULL);
            die("exec");
        }
        close(listener);
        pause();
    }
    fcntl(listener, F_SETFL, fcntl(listener, F_GETFL) | O_NONBLOCK);
    if (!strcmp(mode, "edge")) {
        with_epoll(EPOLLIN | EPOLLET, 0);
    } else if (!strcmp(mode, "level")) {
        with_epoll(EPOLLIN, 1);
    } else if (!strcmp(mode, "exclusive")) {
        with_epoll(EPOLLIN | EPOLLEXCLUSIVE, 1);
    } else if (!strcmp(mode, "poll")) {
        with_poll();
    } else if (!strcmp(mode, "select")) {
        with_select();
    }
    return 2;
}
