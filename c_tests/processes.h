/* Real processes that work on one table. Those that use librds are children of a test that does
 * not, so that each has a library of its own, as unrelated processes have; they tell how far they
 * are in memory that outlives them. */
#ifndef PROCESSES_H
#define PROCESSES_H

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>

#include "child.h"
#include "files.h"

/* Zeroed memory that children share with their parent; kept to the end. */
static inline void *shared_memory(size_t bytes) {
    int zero = open("/dev/zero", O_RDWR);
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, zero, 0);
    close(zero);
    if (memory != MAP_FAILED) return memory;
    perror("shared memory");
    exit(1);
}

static inline void shared_set(uint64_t *place, uint64_t value) {
    __atomic_store_n(place, value, __ATOMIC_SEQ_CST);
}

static inline uint64_t shared_get(const uint64_t *place) {
    return __atomic_load_n(place, __ATOMIC_SEQ_CST);
}

/* Waits until another process has set it to at least `value`; 0 if none does. */
static inline int shared_await(const uint64_t *place, uint64_t value) {
    for (int i = 0; i < CHILD_SECONDS * 1000 && shared_get(place) < value; i++) sleep_ms(1);
    return CHECK(shared_get(place) >= value);
}

/* Ends a child where it stands. One that came to its end before is as good. */
static inline void child_kill(pid_t child) {
    int status = 0;
    CHECK(kill(child, SIGKILL) == 0);
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFSIGNALED(status) ? WTERMSIG(status) == SIGKILL : WEXITSTATUS(status) == 0);
}

#endif
