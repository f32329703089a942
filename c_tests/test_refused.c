/* A process that is not allowed membarrier(2), from its start or from some moment on: objects live as long as
 * they are used, and no longer. */
#define _DEFAULT_SOURCE /* syscall */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "child.h"
#include "maps.h"
#include "table.h"

enum { ROWS = 64, THREADS = 3, ROUNDS = 200 };

extern char **environ;

/* Makes the call fail from now on, in this thread and in those it will start, also after exec. */
static int refuse_membarrier(int error) {
    struct sock_filter steps[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_membarrier, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (uint32_t)error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof steps / sizeof steps[0], steps};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return 0;
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

struct shared {
    rds_reader *reader;
    int stop;
};

static void *read_what_is_open(void *data) {
    struct shared *shared = (struct shared *)data;
    for (uint64_t row = 0; !__atomic_load_n(&shared->stop, __ATOMIC_SEQ_CST); row++) {
        rds_reader *reader = __atomic_load_n(&shared->reader, __ATOMIC_SEQ_CST);
        uint64_t at = row % ROWS;
        float values[TABLE_WIDTH] = {0};
        rds_status status = rds_reader_read(reader, 0, &at, 1, values, sizeof values);
        if (status == RDS_OK) CHECK(values[0] == table_value(at, 0));
        else CHECK_NUMBER(status, RDS_ERR_INVALID_HANDLE);
    }
    return NULL;
}

/* Readers are closed under the threads that use them. */
static void close_in_use(const char *path) {
    struct shared shared = {.reader = table_reader(path)};
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        pthread_create(&threads[i], NULL, read_what_is_open, &shared);
    }
    for (int i = 0; i < ROUNDS; i++) {
        rds_reader *old = shared.reader;
        __atomic_store_n(&shared.reader, table_reader(path), __ATOMIC_SEQ_CST);
        CHECK_OK(rds_reader_close(old));
    }
    __atomic_store_n(&shared.stop, 1, __ATOMIC_SEQ_CST);
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    CHECK_OK(rds_reader_close(shared.reader));
}

/* A test of its own for the program that `in_a_process_without` starts. */
TEST(inner_from_the_start) {
    const char *path = getenv("REFUSED_TABLE");
    REQUIRE(CHECK(path && syscall(SYS_membarrier, 0, 0, 0) == -1));
    close_in_use(path);
    CHECK_NUMBER(maps_of(path), 0);
}

static void start_without(void *data) {
    char *arguments[] = {(char *)"test_refused", (char *)"inner_from_the_start", NULL};
    if (!CHECK(refuse_membarrier(*(const int *)data))) return;
    /* Its closing line is not this program's. */
    if (!CHECK(freopen("/dev/null", "w", stdout) != NULL)) return;
    execve("/proc/self/exe", arguments, environ);
    CHECK(!"exec");
}

TEST(objects_are_kept_and_freed_without_membarrier) {
    const int errors[] = {ENOSYS, EPERM};
    check_path_text path = check_path();
    table_make(path.text, ROWS);
    setenv("REFUSED_TABLE", path.text, 1);
    for (int i = 0; i < 2; i++) in_child(start_without, (void *)&errors[i]);
}

static void be_refused_later(void *data) {
    const char *path = (const char *)data;
    close_in_use(path);
    CHECK_NUMBER(maps_of(path), 0);
    if (!CHECK(refuse_membarrier(EPERM))) return;
    close_in_use(path);
    /* What was in use at that moment is freed by a later call. */
    sleep_ms(1200);
    CHECK_OK(rds_reader_close(table_reader(path)));
    CHECK_NUMBER(maps_of(path), 0);
    close_in_use(path);
    CHECK_NUMBER(maps_of(path), 0);
}

TEST(objects_are_kept_and_freed_when_membarrier_is_refused_later) {
    check_path_text path = check_path();
    table_make(path.text, ROWS);
    in_child(be_refused_later, path.text);
}

/* Without names all but the inner test. */
int main(int argc, char **argv) {
    static const struct check_test tests[] = {
        RUN(objects_are_kept_and_freed_without_membarrier),
        RUN(objects_are_kept_and_freed_when_membarrier_is_refused_later),
        RUN(inner_from_the_start)};
    return check_main(tests, argc < 2 ? 2 : 3, argc, argv);
}
