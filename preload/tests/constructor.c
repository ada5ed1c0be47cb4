// A library that serves beside its program, from its constructor on, at the port in CONSTRUCTOR_PORT: each connection is answered
// with a line. With -DPROGRAM a program that leaves everything to the libraries it is linked with.
#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#ifdef PROGRAM
int main(void) { return pause(); }
#else
static void *answers(void *listener) {
    char preamble[512];
    for (;;) {
        int s = accept(*(int *)listener, NULL, NULL);
        if (s < 0 || read(s, preamble, sizeof preamble) <= 0 || write(s, "constructed\n", 12) != 12) {
            perror("answers");
        }
        close(s);
    }
    return NULL;
}

__attribute__((constructor)) static void serves(void) {
    static int listener;
    pthread_t thread;
    const char *port = getenv("CONSTRUCTOR_PORT");
    if (!port) {
        return;
    }
    listener = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(atoi(port)), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (bind(listener, (struct sockaddr *)&a, sizeof a) || listen(listener, 5)) {
        perror("serves");
        _exit(1);
    }
    pthread_create(&thread, NULL, answers, &listener);
    printf("listening\n");
    fflush(stdout);
}
#endif
