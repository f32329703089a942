/* Many processes stage, one commits: all rows in one version, in the order of the tokens. Of
 * processes that commit the same tokens one succeeds, and one that is killed has committed all or
 * nothing. */
#include "processes.h"
#include "staging.h"

enum { PROCESSES = 8, BATCHES = 3, ROWS = 10, EACH = BATCHES * ROWS, MAX_TOKEN = 8192 };

static struct shared {
    check_path_text path;
    uint64_t number, ready, go, done;
    struct {
        size_t length;
        uint8_t bytes[MAX_TOKEN];
    } tokens[PROCESSES];
    uint64_t statuses[PROCESSES];
} *shared;

static void begin(void) {
    shared = (struct shared *)shared_memory(sizeof *shared);
    shared->path = check_path();
}

/* The process with that number stages its rows, and leaves the token where others find it. */
static void stage_some(void *number) {
    uint64_t own = *(uint64_t *)number;
    rds_writer *writer = table_writer(shared->path.text, RDS_MODE_STAGED, RDS_DURABILITY_INTERVAL);
    __atomic_add_fetch(&shared->ready, 1, __ATOMIC_SEQ_CST);
    shared_await(&shared->go, 1);
    for (uint64_t i = 0; i < BATCHES; i++) {
        CHECK_OK(table_write(writer, own * EACH + i * ROWS, ROWS));
    }
    rds_token token = stage(writer);
    REQUIRE(CHECK(token.length <= MAX_TOKEN));
    memcpy(shared->tokens[own].bytes, token.data, token.length);
    shared->tokens[own].length = token.length;
    token_free(token);
    __atomic_add_fetch(&shared->done, 1, __ATOMIC_SEQ_CST);
    /* Also a process that does not come to its end has staged. */
    if (own % 2) kill(getpid(), SIGKILL);
    CHECK_OK(rds_writer_close(writer));
}

/* Tokens of all processes, staged at the same time. */
static void stage_all(void) {
    pid_t children[PROCESSES];
    uint64_t numbers[PROCESSES];
    for (uint64_t i = 0; i < PROCESSES; i++) {
        numbers[i] = i;
        children[i] = child_start(stage_some, &numbers[i]);
    }
    shared_await(&shared->ready, PROCESSES);
    shared_set(&shared->go, 1);
    for (int i = 0; i < PROCESSES; i++) {
        int status = 0;
        CHECK(waitpid(children[i], &status, 0) == children[i]);
        CHECK(i % 2 ? WIFSIGNALED(status) : WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    CHECK_NUMBER(shared->done, PROCESSES);
    CHECK_NUMBER(run_files(shared->path.text, ".lance"), PROCESSES);
    CHECK_NUMBER(data_files(shared->path.text), 0);
    CHECK_NUMBER(versions(shared->path.text), 0);
}

static void tokens_of_all(rds_token *tokens) {
    for (int i = 0; i < PROCESSES; i++) {
        tokens[i] = (rds_token){shared->tokens[i].bytes, shared->tokens[i].length};
    }
}

static void publish_all(void *unused) {
    rds_token tokens[PROCESSES];
    rds_commit_info info = RDS_COMMIT_INFO_INIT;
    (void)unused;
    tokens_of_all(tokens);
    CHECK_OK(publish(shared->path.text, tokens, PROCESSES, RDS_MODE_CREATE, &info));
    CHECK_NUMBER(info.rows, PROCESSES * EACH);
    CHECK_NUMBER(info.version, 1);
}

static void check_all(void *unused) {
    (void)unused;
    table_check_all(shared->path.text, PROCESSES * EACH);
}

TEST(eight_processes_stage_and_one_commits) {
    begin();
    stage_all();
    in_child(publish_all, NULL);
    CHECK_NUMBER(versions(shared->path.text), 1);
    CHECK_NUMBER(data_files(shared->path.text), PROCESSES);
    in_child(check_all, NULL);
}

static void publish_with_others(void *number) {
    rds_token tokens[PROCESSES];
    uint64_t own = *(uint64_t *)number;
    tokens_of_all(tokens);
    __atomic_add_fetch(&shared->ready, 1, __ATOMIC_SEQ_CST);
    shared_await(&shared->go, 2);
    /* The table is there already: nobody is held back by the mode. */
    shared->statuses[own] = publish(shared->path.text, tokens, PROCESSES, RDS_MODE_APPEND, NULL);
}

static void make_empty_table(void *unused) {
    rds_writer *writer = table_writer(shared->path.text, RDS_MODE_CREATE, RDS_DURABILITY_COMMIT);
    (void)unused;
    CHECK_OK(table_write(writer, 7777, 1));
    CHECK_OK(rds_commit(writer, NULL, NULL));
    CHECK_OK(rds_writer_close(writer));
}

static void check_appended(void *unused) {
    (void)unused;
    rds_reader *reader = table_reader(shared->path.text);
    CHECK_NUMBER(table_info(reader).rows, 1 + PROCESSES * EACH);
    for (uint64_t row = 0; row < PROCESSES * EACH; row++) {
        CHECK(table_row_is(reader, row + 1, row));
    }
    CHECK_OK(rds_reader_close(reader));
}

TEST(of_processes_that_commit_the_same_tokens_one_succeeds) {
    enum { COMMITTERS = 4 };
    pid_t children[COMMITTERS];
    uint64_t numbers[COMMITTERS];
    int won = 0;
    begin();
    stage_all();
    in_child(make_empty_table, NULL);
    shared->ready = 0;
    for (uint64_t i = 0; i < COMMITTERS; i++) {
        numbers[i] = i;
        children[i] = child_start(publish_with_others, &numbers[i]);
    }
    shared_await(&shared->ready, COMMITTERS);
    shared_set(&shared->go, 2);
    for (int i = 0; i < COMMITTERS; i++) {
        child_wait(children[i]);
        uint64_t status = shared->statuses[i];
        won += status == RDS_OK;
        CHECK(status == RDS_OK || status == RDS_ERR_ALREADY_EXISTS ||
              status == RDS_ERR_COMMIT_CONFLICT);
    }
    CHECK_NUMBER(won, 1);
    in_child(check_appended, NULL);
}

static void publish_and_tell(void *unused) {
    rds_token tokens[PROCESSES];
    (void)unused;
    tokens_of_all(tokens);
    shared_set(&shared->ready, 1);
    shared->statuses[0] = publish(shared->path.text, tokens, PROCESSES, RDS_MODE_CREATE, NULL);
    shared_set(&shared->ready, 2);
}

static void publish_after_a_kill(void *unused) {
    rds_token tokens[PROCESSES];
    (void)unused;
    tokens_of_all(tokens);
    long long rows = table_rows(shared->path.text);
    CHECK(rows == -1 || rows == PROCESSES * EACH);
    rds_status status = publish(shared->path.text, tokens, PROCESSES,
                                rows < 0 ? RDS_MODE_CREATE : RDS_MODE_APPEND, NULL);
    CHECK_NUMBER(status, rows < 0 ? RDS_OK : RDS_ERR_ALREADY_EXISTS);
    table_check_all(shared->path.text, PROCESSES * EACH);
}

TEST(a_commit_that_was_killed_has_published_all_or_nothing) {
    for (int i = 0; i < check_rounds(10); i++) {
        begin();
        stage_all();
        shared->ready = 0;
        pid_t child = child_start(publish_and_tell, NULL);
        shared_await(&shared->ready, 1);
        sleep_ms(i * 3);
        child_kill(child);
        in_child(publish_after_a_kill, NULL);
    }
}

CHECK_MAIN(RUN(eight_processes_stage_and_one_commits),
           RUN(of_processes_that_commit_the_same_tokens_one_succeeds),
           RUN(a_commit_that_was_killed_has_published_all_or_nothing))
