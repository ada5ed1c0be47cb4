// Starts CHILD by FUNCTION, which is to say it: starts FUNCTION CHILD.
#define _GNU_SOURCE
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

// The last argument of `child`, which stands on the stack, is the status that it ends with.
#define MANY "child", "1", "2", "3", "4", "5", "6", "7", "9"
#define FEW "child", "9"

static void start(const char *function, char *file) {
    char *name = strrchr(file, '/') + 1, *arguments[] = {FEW, NULL}, *none[] = {NULL}, folder[4096];
    snprintf(folder, sizeof folder, "%.*s", (int)(name - file), file);
    if (!strcmp(function, "execl")) {
        execl(file, MANY, NULL);
    } else if (!strcmp(function, "execl-few")) {
        execl(file, FEW, NULL);
    } else if (!strcmp(function, "execlp")) {
        execlp(name, MANY, NULL);
    } else if (!strcmp(function, "execle")) {
        execle(file, MANY, NULL, environ);
    } else if (!strcmp(function, "execle-few")) {
        execle(file, FEW, NULL, environ);
    } else if (!strcmp(function, "execle-none")) {
        execle(file, MANY, NULL, none);
    } else if (!strcmp(function, "execle-null")) {
        execle(file, MANY, NULL, NULL);
    } else if (!strcmp(function, "execv")) {
        execv(file, arguments);
    } else if (!strcmp(function, "execve")) {
        execve(file, arguments, environ);
    } else if (!strcmp(function, "execvp")) {
        execvp(name, arguments);
    } else if (!strcmp(function, "execvpe")) {
        execvpe(name, arguments, environ);
    } else if (!strcmp(function, "fexecve")) {
        fexecve(open(file, O_RDONLY | O_CLOEXEC), arguments, environ);
    } else if (!strcmp(function, "fexecve-memfd")) {
        int from = open(file, O_RDONLY), copy = memfd_create("copy", MFD_CLOEXEC);
        while (sendfile(copy, from, NULL, 1 << 20) > 0) {
        }
        fexecve(copy, arguments, environ);
    } else if (!strcmp(function, "execveat")) {
        execveat(AT_FDCWD, file, arguments, environ, 0);
    } else if (!strcmp(function, "execveat-in")) {
        execveat(open(folder, O_RDONLY | O_CLOEXEC), name, arguments, environ, 0);
    } else if (!strcmp(function, "execveat-here")) {
        if (chdir(folder) == 0) {
            execveat(AT_FDCWD, name, arguments, environ, 0);
        }
    } else if (!strcmp(function, "execveat-absolute")) {
        execveat(open("/usr", O_RDONLY | O_CLOEXEC), file, arguments, environ, 0);
    } else if (!strcmp(function, "execveat-empty")) {
        execveat(open(file, O_RDONLY | O_CLOEXEC), "", arguments, environ, AT_EMPTY_PATH);
    } else {
        exit(100);
    }
    perror(function);
    exit(101);
}

static int status_of(pid_t child) {
    int status;
    return waitpid(child, &status, 0) == child && WIFEXITED(status) ? WEXITSTATUS(status) : 102;
}

int main(int count, char **values) {
    char *function = values[1], *file = values[count - 1], *arguments[] = {FEW, NULL};
    pid_t child;
    if (!strcmp(function, "posix_spawn")) {
        return posix_spawn(&child, file, NULL, NULL, arguments, environ) ? 103 : status_of(child);
    }
    if (!strcmp(function, "posix_spawnp")) {
        return posix_spawnp(&child, strrchr(file, '/') + 1, NULL, NULL, arguments, environ) ? 103 : status_of(child);
    }
    if (!strcmp(function, "system")) {
        return WEXITSTATUS(system("9"));
    }
    if (!strcmp(function, "popen")) {
        return WEXITSTATUS(pclose(popen("9", "r")));
    }
    child = !strcmp(function, "execv") ? vfork() : fork();
    if (child == 0) {
        start(function, file);
    }
    return status_of(child);
}
