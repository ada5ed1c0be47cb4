// Accepts by io_uring, past the C library: io_uring PORT. Says what it is told.
#include <arpa/inet.h>
#include <linux/io_uring.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int count, char **values) {
    (void)count;
    struct io_uring_params p = {0};
    int ring = syscall(SYS_io_uring_setup, 4, &p);
    if (ring < 0) {
        puts("no io_uring");
        return 0;
    }
    int access = PROT_READ | PROT_WRITE, s = socket(AF_INET, SOCK_STREAM, 0);
    char *sq = mmap(0, p.sq_off.array + 4 * p.sq_entries, access, MAP_SHARED, ring, IORING_OFF_SQ_RING);
    struct io_uring_sqe *sqe = mmap(0, p.sq_entries * sizeof *sqe, access, MAP_SHARED, ring, IORING_OFF_SQES);
    char *cq = mmap(0, p.cq_off.cqes + p.cq_entries * sizeof(struct io_uring_cqe), access, MAP_SHARED, ring,
                    IORING_OFF_CQ_RING);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(atoi(values[1]))};
    if (bind(s, (struct sockaddr *)&a, sizeof a) != 0 || listen(s, 5) != 0) {
        perror("listen");
        return 1;
    }
    *sqe = (struct io_uring_sqe){.opcode = IORING_OP_ACCEPT, .fd = s};
    ((unsigned *)(sq + p.sq_off.array))[0] = 0;
    __atomic_store_n((unsigned *)(sq + p.sq_off.tail), 1, __ATOMIC_RELEASE);
    syscall(SYS_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0);
    int result = ((struct io_uring_cqe *)(cq + p.cq_off.cqes))->res;
    printf("%s\n", result < 0 ? strerror(-result) : "accepted");
    return 0;
}
