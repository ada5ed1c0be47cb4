// A thread that accepts and says what came of it, told what to do by lines on standard input: outage PORT SA_FLAGS TIMEOUT_MS
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

static int listener;

// With "hold" it keeps the first connection until its client closes it.
static void *accepts(void *hold) {
    for (;;) {
        int s = accept(listener, NULL, NULL);
        printf("%s\n", s >= 0 ? "accepted" : strerrorname_np(errno));
        fflush(stdout);
        if (s < 0) {
            return NULL;
        }
        char preamble[512];
        if (read(s, preamble, sizeof preamble) > 0 && write(s, "served\n", 7) == 7) {
            while (hold && read(s, preamble, sizeof preamble) > 0) {
            }
            close(s);
        }
    }
}

static void handles(int signal) {
    (void)signal;
    if (write(1, "signal\n", 7) != 7) {
        _exit(1);
    }
}

static int limit = 1200;

// Leaves room for so many descriptors; -1: for all.
static void leave(int room) {
    static int full[1200], count;
    int all = room < 0;
    setrlimit(RLIMIT_NOFILE, &(struct rlimit){limit, limit});
    while (!all && (full[count] = dup(0)) >= 0) {
        count++;
    }
    while (count > 0 && (all || room-- > 0)) {
        close(full[--count]);
    }
}

int main(int argc, char **argv) {
    struct timeval timeout = {.tv_sec = atoi(argv[3]) / 1000, .tv_usec = atoi(argv[3]) % 1000 * 1000};
    struct sigaction action = {.sa_handler = handles, .sa_flags = strcmp(argv[2], "restart") ? 0 : SA_RESTART};
    sigaction(SIGUSR1, &action, NULL);
    int one = 1;
    listener = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    setsockopt(listener, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[1])), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (getenv("LISTENER")) {
        close(listener);
        listener = atoi(getenv("LISTENER"));
    } else if (bind(listener, (struct sockaddr *)&a, sizeof a) || listen(listener, 5)) {
        return 1;
    }
    pthread_t thread = 0;
    char line[16];
    printf("listening\n");
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        void *result = NULL;
        if (!strcmp(line, "accept\n")) {
            pthread_create(&thread, NULL, accepts, NULL);
        } else if (!strcmp(line, "hold\n")) {
            pthread_create(&thread, NULL, accepts, line);
        } else if (!strcmp(line, "signal\n")) {
            pthread_kill(thread, SIGUSR1);
        } else if (!strcmp(line, "cancel\n")) {
            pthread_cancel(thread);
            pthread_join(thread, &result);
            printf("%s\n", result == PTHREAD_CANCELED ? "cancelled" : "ended");
        } else if (!strcmp(line, "shutdown\n")) {
            shutdown(listener, SHUT_RDWR);
        } else if (!strcmp(line, "elsewhere\n")) {
            if (fork() == 0) {
                shutdown(listener, SHUT_RDWR);
                _exit(0);
            }
        } else if (!strcmp(line, "listen\n")) {
            printf("%s\n", listen(listener, 5) ? strerrorname_np(errno) : "listening");
        } else if (!strncmp(line, "leave ", 6)) {
            leave(atoi(line + 6));
            printf("left\n");
        } else if (!strncmp(line, "limit ", 6)) {
            limit = atoi(line + 6);
            leave(-1);
            printf("limited\n");
        } else if (!strcmp(line, "exec\n")) {
            char number[16];
            snprintf(number, sizeof number, "%d", listener);
            setenv("LISTENER", number, 1);
            execv("/proc/self/exe", argv);
        }
        fflush(stdout);
    }
    return 0;
}
