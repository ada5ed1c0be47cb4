// Below the library: a kernel that has TCP-AO (Linux 6.7 and later, where it is configured).
#define _GNU_SOURCE
#include <dlfcn.h>
#include <sys/socket.h>

int setsockopt(int socket, int level, int name, const void *value, socklen_t length) {
    int (*next)(int, int, int, const void *, socklen_t) = dlsym(RTLD_NEXT, "setsockopt");
    return level == 6 && name == 38 ? 0 : next(socket, level, name, value, length);
}
