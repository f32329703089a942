/* A ring of the caller's of which some buffers cannot be written to before a gate is opened: whoever gathers into one
 * of them waits there, as if the disk were slow, for as long as a test likes. */
#ifndef LOADER_GATE_H
#define LOADER_GATE_H

#ifndef _DEFAULT_SOURCE
#error "define _DEFAULT_SOURCE before the first header"
#endif

#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>

#include "loader.h"

enum { GATE_BUFFERS = 4, GATE_ROWS = 4, GATE_BYTES = 1 << 16 };

static struct {
    unsigned char *memory;
    rds_target targets[GATE_BUFFERS];
    int is_open, waiting;
} gate;

/* The page may be written to when the gate is open, and the write is made again. */
static void gate_wait(int number, siginfo_t *info, void *context) {
    const uintptr_t at = (uintptr_t)info->si_addr, begin = (uintptr_t)gate.memory;
    (void)context;
    if (at < begin || at >= begin + GATE_BUFFERS * GATE_BYTES) {
        signal(number, SIG_DFL);
        return;
    }
    __atomic_add_fetch(&gate.waiting, 1, __ATOMIC_SEQ_CST);
    while (!__atomic_load_n(&gate.is_open, __ATOMIC_SEQ_CST)) sleep_ms(1);
    mprotect(gate.memory + (at - begin) / GATE_BYTES * GATE_BYTES, GATE_BYTES, PROT_READ | PROT_WRITE);
}

/* A ring of so many buffers for a table of table_make(), the first `shut` of which are behind the gate. */
static inline void gate_options(rds_loader_options *options, size_t buffers, size_t shut) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = gate_wait, action.sa_flags = SA_SIGINFO;
    sigaction(SIGSEGV, &action, NULL);
    if (gate.memory) munmap(gate.memory, GATE_BUFFERS * GATE_BYTES);
    gate.memory = (unsigned char *)mmap(NULL, GATE_BUFFERS * GATE_BYTES, PROT_READ | PROT_WRITE,
                                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (!CHECK(gate.memory != MAP_FAILED)) exit(1);
    if (shut) mprotect(gate.memory, shut * GATE_BYTES, PROT_NONE);
    for (size_t i = 0; i < buffers; i++) {
        rds_target target = RDS_TARGET_INIT;
        target.data = gate.memory + i * GATE_BYTES, target.bytes = GATE_BYTES;
        gate.targets[i] = target;
    }
    gate.is_open = gate.waiting = 0;
    *options = loader_options(GATE_ROWS);
    options->targets = gate.targets, options->target_count = buffers;
    options->threads = options->ahead = 1;
}

static inline void gate_open(void) { __atomic_store_n(&gate.is_open, 1, __ATOMIC_SEQ_CST); }

/* Waits until the threads of the loader have come to the gate. */
static inline int gate_await(rds_loader *loader, int threads) {
    int fd = -1;
    CHECK_OK(rds_loader_fd(loader, &fd));
    for (int i = 0; i < 10000 && __atomic_load_n(&gate.waiting, __ATOMIC_SEQ_CST) < threads; i++) sleep_ms(1);
    return CHECK(__atomic_load_n(&gate.waiting, __ATOMIC_SEQ_CST) >= threads);
}

/* A call of rds_loader_next() on a thread of its own. */
struct gate_call {
    pthread_t thread;
    rds_loader *loader;
    rds_loader_batch batch;
    rds_status status;
    int is_done;
};

static inline void *gate_next(void *data) {
    struct gate_call *call = (struct gate_call *)data;
    call->status = rds_loader_next(call->loader, &call->batch);
    __atomic_store_n(&call->is_done, 1, __ATOMIC_SEQ_CST);
    return NULL;
}

static inline void gate_call(struct gate_call *call, rds_loader *loader) {
    const rds_loader_batch none = RDS_LOADER_BATCH_INIT;
    call->loader = loader, call->batch = none, call->is_done = 0;
    pthread_create(&call->thread, NULL, gate_next, call);
}

static inline int gate_is_done(struct gate_call *call, int within_ms) {
    for (int i = 0; i < within_ms && !__atomic_load_n(&call->is_done, __ATOMIC_SEQ_CST); i++) sleep_ms(1);
    return __atomic_load_n(&call->is_done, __ATOMIC_SEQ_CST);
}

#endif
