/* Processes of a job that are killed anywhere: whoever writes, packs or publishes is started again, and all rows are
 * there once. */
#include "processes.h"

#include <sys/syscall.h>

#include "parts.h"

long syscall(long number, ...);
int fsync(int fd);

enum { EACH = 20000, TASKS = 4, MOST_TOKEN = 8192, COMMITTERS = 3 };

static struct shared {
    check_path_text path;
    uint64_t step, ready, mode, statuses[COMMITTERS], rows[COMMITTERS];
    struct {
        uint64_t length;
        uint8_t bytes[MOST_TOKEN];
    } tokens[TASKS];
} *shared;

static void begin(void) {
    shared = (struct shared *)shared_memory(sizeof *shared);
    shared->path = check_path();
}

static void keep(uint64_t part, rds_token token) {
    REQUIRE(CHECK(token.length <= MOST_TOKEN));
    memcpy(shared->tokens[part].bytes, token.data, token.length);
    shared_set(&shared->tokens[part].length, token.length);
    token_free(token);
}

static void tokens_of_all(rds_token *tokens) {
    for (int i = 0; i < TASKS; i++) tokens[i] = (rds_token){shared->tokens[i].bytes, shared->tokens[i].length};
}

static void write_parts(void *unused) {
    (void)unused;
    for (uint64_t part = 0; part < TASKS; part++) {
        if (shared_get(&shared->tokens[part].length)) continue;
        keep(part, small_part(shared->path.text, "job", part, part * EACH, EACH, 700));
        shared_set(&shared->step, 1);
    }
}

static void pack_parts(void *unused) {
    rds_token tokens[TASKS];
    (void)unused;
    tokens_of_all(tokens);
    shared_set(&shared->step, 2);
    CHECK_NUMBER(pack_share(shared->path.text, "job", tokens, TASKS, 0, 1), TASKS * EACH);
}

static void commit_parts(void *unused) {
    rds_token tokens[TASKS];
    (void)unused;
    tokens_of_all(tokens);
    shared_set(&shared->step, 3);
    CHECK_OK(commit_job(shared->path.text, "job", tokens, TASKS, RDS_MODE_CREATE, NULL));
}

/* A table of no rows, so that the parts have the same rows whatever the mode. */
static void make_first(void *unused) {
    const int64_t shape[1] = {SMALL};
    rds_column_spec column = RDS_COLUMN_SPEC_INIT;
    rds_writer_options options = RDS_WRITER_OPTIONS_INIT;
    rds_writer *writer = NULL;
    (void)unused;
    column.dtype = RDS_DTYPE_UINT8, column.ndim = 1, column.shape = shape;
    options.columns = &column, options.column_count = 1;
    CHECK_OK(rds_writer_open(shared->path.text, &options, &writer));
    CHECK_OK(rds_writer_close(writer));
}

static void check_rows_of_all(void *unused) {
    (void)unused;
    small_check(shared->path.text, TASKS * EACH);
}

static void check_all(void *unused) {
    rds_token tokens[TASKS];
    rds_commit_info info = RDS_COMMIT_INFO_INIT;
    (void)unused;
    small_check(shared->path.text, TASKS * EACH);
    CHECK_NUMBER(named_files(shared->path.text), 1);
    CHECK(access(job_directory(shared->path.text, "job").text, F_OK) != 0);
    tokens_of_all(tokens);
    CHECK_OK(commit_job(shared->path.text, "job", tokens, TASKS, RDS_MODE_CREATE, &info));
    CHECK_NUMBER(info.rows, 0);
}

/* Ends a child that does it, some time after it has begun; then another one does it to the end. */
static void kill_and_repeat(child_body *body, uint64_t step, long after_us) {
    pid_t child = child_start(body, NULL);
    const struct timespec time = {0, after_us * 1000};
    shared_await(&shared->step, step);
    nanosleep(&time, NULL);
    child_kill(child);
    in_child(body, NULL);
}

TEST(whoever_writes_is_killed_and_the_missing_parts_are_written) {
    for (int i = 0; i < check_rounds(20); i++) {
        begin();
        kill_and_repeat(write_parts, 1, i * 300);
        in_child(commit_parts, NULL);
        in_child(check_all, NULL);
    }
}

TEST(whoever_packs_is_killed_and_another_one_packs) {
    for (int i = 0; i < check_rounds(30); i++) {
        begin();
        in_child(write_parts, NULL);
        kill_and_repeat(pack_parts, 2, i * 400);
        in_child(commit_parts, NULL);
        in_child(check_all, NULL);
    }
}

TEST(whoever_publishes_is_killed_and_the_call_is_repeated) {
    for (int i = 0; i < check_rounds(40); i++) {
        begin();
        in_child(write_parts, NULL);
        if (i % 2) in_child(pack_parts, NULL);
        kill_and_repeat(commit_parts, 3, i * 400);
        in_child(check_all, NULL);
    }
}

static void publish_with_others(void *number) {
    rds_token tokens[TASKS];
    rds_commit_info info = RDS_COMMIT_INFO_INIT;
    uint64_t own = *(uint64_t *)number;
    tokens_of_all(tokens);
    __atomic_add_fetch(&shared->ready, 1, __ATOMIC_SEQ_CST);
    shared_await(&shared->ready, COMMITTERS);
    rds_status status = commit_job(shared->path.text, "job", tokens, TASKS, (uint32_t)shared->mode, &info);
    shared->statuses[own] = (uint64_t)status, shared->rows[own] = info.rows;
}

/* One publishes; to the others it is as if they had come later, or there was a conflict. */
static void check_together(uint32_t mode, int is_packed) {
    pid_t children[COMMITTERS];
    uint64_t numbers[COMMITTERS], won = 0;
    begin();
    shared->mode = mode;
    if (mode == RDS_MODE_APPEND) in_child(make_first, NULL);
    in_child(write_parts, NULL);
    if (is_packed) in_child(pack_parts, NULL);
    for (uint64_t i = 0; i < COMMITTERS; i++) {
        numbers[i] = i;
        children[i] = child_start(publish_with_others, &numbers[i]);
    }
    for (int i = 0; i < COMMITTERS; i++) {
        child_wait(children[i]);
        rds_status status = (rds_status)shared->statuses[i];
        won += status == RDS_OK && shared->rows[i] == TASKS * EACH;
        int is_late = status == RDS_ERR_ALREADY_EXISTS || status == RDS_ERR_COMMIT_CONFLICT ||
                      status == RDS_ERR_NOT_FOUND || (status == RDS_OK && shared->rows[i] == 0);
        if (!CHECK(is_late || (status == RDS_OK && shared->rows[i] == TASKS * EACH))) {
            fprintf(stderr, "    %s, %llu rows\n", rds_status_name((uint32_t)status),
                    (unsigned long long)shared->rows[i]);
        }
    }
    CHECK_NUMBER(won, 1);
    in_child(mode == RDS_MODE_APPEND ? check_rows_of_all : check_all, NULL);
}

/* The next sync of a data file takes so long: whoever packs is overtaken. The library finds this before that of libc. */
static int is_slow;

int fsync(int fd) {
    char link[64], path[1300] = "";
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    if (is_slow && readlink(link, path, sizeof path - 1) > 0 && strstr(path, "-1-0.lance")) {
        is_slow = 0;
        shared_set(&shared->step, 4);
        shared_await(&shared->step, 5);
    }
    return (int)syscall(SYS_fsync, fd);
}

static void publish_slowly(void *job) {
    rds_token tokens[TASKS];
    rds_commit_info info = RDS_COMMIT_INFO_INIT;
    tokens_of_all(tokens);
    is_slow = 1;
    rds_status status = commit_job(shared->path.text, (const char *)job, tokens, TASKS, RDS_MODE_APPEND, &info);
    CHECK_NUMBER(status, job ? RDS_OK : RDS_ERR_COMMIT_CONFLICT);
    CHECK_NUMBER(is_slow + info.rows, 0);
}

static void publish_meanwhile(void *job) {
    rds_token tokens[TASKS];
    tokens_of_all(tokens);
    shared_await(&shared->step, 4);
    CHECK_OK(commit_job(shared->path.text, (const char *)job, tokens, TASKS, RDS_MODE_APPEND, NULL));
    shared_set(&shared->step, 5);
}

TEST(rows_that_are_published_while_another_call_packs_them_are_there_once) {
    static char job[] = "job";
    for (int whole = 0; whole < 2; whole++) {
        begin();
        in_child(make_first, NULL);
        in_child(write_parts, NULL);
        pid_t slow = child_start(publish_slowly, whole ? job : NULL);
        in_child(publish_meanwhile, whole ? job : NULL);
        child_wait(slow);
        in_child(check_rows_of_all, NULL);
    }
}

TEST(of_processes_that_publish_one_job_at_the_same_time_one_does) {
    for (int i = 0; i < check_rounds(10); i++) {
        check_together(RDS_MODE_CREATE, i % 2);
        check_together(RDS_MODE_APPEND, i % 2);
        check_together(RDS_MODE_OVERWRITE, i % 2);
    }
}

TEST(processes_pack_the_same_files_at_the_same_time) {
    enum { PROCESSES = 3 };
    pid_t children[PROCESSES];
    begin();
    in_child(write_parts, NULL);
    for (int i = 0; i < PROCESSES; i++) children[i] = child_start(pack_parts, NULL);
    for (int i = 0; i < PROCESSES; i++) child_wait(children[i]);
    in_child(commit_parts, NULL);
    in_child(check_all, NULL);
}

CHECK_MAIN(RUN(whoever_writes_is_killed_and_the_missing_parts_are_written),
           RUN(whoever_packs_is_killed_and_another_one_packs),
           RUN(whoever_publishes_is_killed_and_the_call_is_repeated),
           RUN(of_processes_that_publish_one_job_at_the_same_time_one_does),
           RUN(rows_that_are_published_while_another_call_packs_them_are_there_once),
           RUN(processes_pack_the_same_files_at_the_same_time))
