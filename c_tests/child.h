/* Runs a part of a test in a forked child. */
#ifndef CHILD_H
#define CHILD_H

#include <sys/wait.h>

#include "check.h"

enum { CHILD_SECONDS = 60 };

typedef void child_body(void *data);

/* Starts `body` in a child. A child that hangs is ended by its alarm; one whose checks fail, or that
 * dies, is found out by child_wait(). It leaves by _exit: the parent cleans up. */
static inline pid_t child_start(child_body *body, void *data) {
    fflush(NULL);
    pid_t child = fork();
    if (child != 0) return child;
    alarm(CHILD_SECONDS);
    check_failures = 0;
    body(data);
    _exit(check_failures ? 1 : 0);
}

static inline void child_wait(pid_t child) {
    int status = 0;
    CHECK(child > 0 && waitpid(child, &status, 0) == child);
    if (WIFSIGNALED(status)) CHECK_NUMBER(WTERMSIG(status), 0);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static inline void in_child(child_body *body, void *data) { child_wait(child_start(body, data)); }

#endif
