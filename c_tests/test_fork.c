/* After fork() the child reads on through the readers of its parent; writers stay the parent's. */
#include <pthread.h>

#include "child.h"
#include "table.h"

enum { ROWS = 500 };

struct handles {
    rds_reader *reader;
    rds_writer *writer;
    const char *path;
    /* Tells threads to end; tells a child to abort rather than close. */
    int stop;
};

static void read_everything(void *data) {
    const struct handles *handles = (const struct handles *)data;
    struct ArrowArray array;
    struct ArrowArrayStream stream;
    const char *name = "id-3";
    uint64_t found = 0;
    rds_ids ids = ids_of(RDS_IDS_CSTRINGS, 1, &name);
    for (uint64_t row = 0; row < ROWS; row += 50) CHECK(table_row_is(handles->reader, row, row));
    CHECK_OK(rds_reader_find(handles->reader, &ids, &found, NULL));
    CHECK_NUMBER(found, 3);
    if (CHECK_OK(rds_reader_get(handles->reader, 0, 7, &array))) array.release(&array);
    REQUIRE(CHECK_OK(rds_reader_stream(handles->reader, NULL, &stream)));
    CHECK_NUMBER(stream.get_next(&stream, &array), 0);
    if (array.release) array.release(&array);
    stream.release(&stream);
    CHECK_OK(rds_reader_close(handles->reader));
    CHECK_NUMBER(table_rows(handles->path), ROWS);
}

TEST(a_child_reads_through_a_reader_that_nobody_used_yet) {
    check_path_text path = check_path();
    table_make(path.text, ROWS);
    for (int i = 0; i < check_rounds(40); i++) {
        struct handles handles = {.reader = table_reader(path.text), .path = path.text};
        in_child(read_everything, &handles);
        /* What the child closed was its own. */
        CHECK(table_row_is(handles.reader, 1, 1));
        CHECK_OK(rds_reader_close(handles.reader));
    }
}

TEST(a_child_reads_through_a_reader_in_full_use) {
    check_path_text path = check_path();
    table_make(path.text, ROWS);
    struct handles handles = {.reader = table_reader(path.text), .path = path.text};
    for (uint64_t row = 0; row < ROWS; row++) CHECK(table_row_is(handles.reader, row, row));
    for (int i = 0; i < check_rounds(40); i++) in_child(read_everything, &handles);
    CHECK_OK(rds_reader_close(handles.reader));
}

static void *read_until_stopped(void *data) {
    struct handles *handles = (struct handles *)data;
    for (uint64_t i = 0; !__atomic_load_n(&handles->stop, __ATOMIC_SEQ_CST); i++) {
        CHECK(table_row_is(handles->reader, i % ROWS, i % ROWS));
    }
    return NULL;
}

TEST(a_child_of_a_process_that_reads_at_that_moment_reads_too) {
    check_path_text path = check_path();
    table_make(path.text, ROWS);
    struct handles handles = {.reader = table_reader(path.text), .path = path.text};
    pthread_t threads[2];
    for (int i = 0; i < 2; i++) pthread_create(&threads[i], NULL, read_until_stopped, &handles);
    for (int i = 0; i < check_rounds(40); i++) in_child(read_everything, &handles);
    __atomic_store_n(&handles.stop, 1, __ATOMIC_SEQ_CST);
    for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
    CHECK_OK(rds_reader_close(handles.reader));
}

TEST(many_children_read_at_once) {
    enum { CHILDREN = 8 };
    check_path_text path = check_path();
    table_make(path.text, ROWS);
    struct handles handles = {.reader = table_reader(path.text), .path = path.text};
    pid_t children[CHILDREN];
    for (int i = 0; i < CHILDREN; i++) children[i] = child_start(read_everything, &handles);
    for (int i = 0; i < CHILDREN; i++) child_wait(children[i]);
    CHECK_OK(rds_reader_close(handles.reader));
}

static void read_in_a_grandchild(void *data) {
    in_child(read_everything, data);
    read_everything(data);
}

TEST(a_grandchild_reads_too) {
    check_path_text path = check_path();
    table_make(path.text, ROWS);
    struct handles handles = {.reader = table_reader(path.text), .path = path.text};
    in_child(read_in_a_grandchild, &handles);
    CHECK_OK(rds_reader_close(handles.reader));
}

static void use_the_writer(void *data) {
    const struct handles *handles = (const struct handles *)data;
    CHECK_STATUS(table_write(handles->writer, 50, 1), RDS_ERR_INVALID_STATE);
    CHECK_MESSAGE_HAS("rds_write_tensors: ");
    CHECK_STATUS(rds_flush(handles->writer), RDS_ERR_INVALID_STATE);
    CHECK_STATUS(rds_commit(handles->writer, NULL, NULL), RDS_ERR_INVALID_STATE);
    rds_write_stats stats = RDS_WRITE_STATS_INIT;
    stats.accepted_rows = 77;
    CHECK_STATUS(rds_writer_stats(handles->writer, &stats), RDS_ERR_INVALID_STATE);
    CHECK_NUMBER(stats.accepted_rows, 77);
    CHECK_STATUS(handles->stop ? rds_writer_abort(handles->writer) : rds_writer_close(handles->writer),
                 RDS_ERR_INVALID_STATE);
    CHECK_STATUS(rds_writer_close(handles->writer), RDS_ERR_INVALID_HANDLE);
}

/* Ends the process by an alarm if one of the calls waits for a thread that only the parent has. */
static void use_the_stream_and_the_token(void *data) {
    const struct handles *handles = (const struct handles *)data;
    struct ArrowArrayStream stream;
    rds_token token = {NULL, 0};
    CHECK_OK(rds_reader_stream(handles->reader, NULL, &stream));
    CHECK_STATUS(rds_write_stream(handles->writer, &stream, NULL, NULL), RDS_ERR_INVALID_STATE);
    CHECK(stream.release == NULL);
    CHECK_STATUS(rds_writer_stage(handles->writer, &token), RDS_ERR_INVALID_STATE);
    CHECK(token.data == NULL && token.length == 0);
    CHECK_STATUS(rds_writer_abort(handles->writer), RDS_ERR_INVALID_STATE);
}

TEST(a_staged_writer_belongs_to_the_process_that_opened_it) {
    check_path_text path = check_path(), source = check_path();
    rds_token token = {NULL, 0};
    table_make(source.text, 3);
    struct handles handles = {
        .writer = table_writer(path.text, RDS_MODE_STAGED, RDS_DURABILITY_COMMIT),
        .reader = table_reader(source.text)};
    CHECK_OK(table_write(handles.writer, 0, 3));
    in_child(use_the_stream_and_the_token, &handles);
    CHECK_OK(rds_writer_stage(handles.writer, &token));
    CHECK_OK(rds_commit_staged(path.text, &token, 1, NULL, NULL));
    CHECK_OK(rds_writer_close(handles.writer));
    CHECK_OK(rds_reader_close(handles.reader));
    CHECK_NUMBER(table_rows(path.text), 3);
}

TEST(a_writer_belongs_to_the_process_that_opened_it) {
    static const uint32_t durabilities[] = {RDS_DURABILITY_INTERVAL, RDS_DURABILITY_BATCH,
                                            RDS_DURABILITY_COMMIT};
    for (int i = 0; i < 3; i++) {
        check_path_text path = check_path();
        struct handles handles = {
            .writer = table_writer(path.text, RDS_MODE_CREATE, durabilities[i]), .stop = i % 2};
        CHECK_OK(table_write(handles.writer, 0, 3));
        in_child(use_the_writer, &handles);
        CHECK_OK(table_write(handles.writer, 3, 2));
        CHECK_OK(rds_commit(handles.writer, NULL, NULL));
        CHECK_OK(rds_writer_close(handles.writer));
        CHECK_NUMBER(table_rows(path.text), 5);
    }
}

static void write_own_table(void *data) {
    const struct handles *handles = (const struct handles *)data;
    table_make(handles->path, 10);
    CHECK_NUMBER(table_rows(handles->path), 10);
}

TEST(a_child_writes_tables_of_its_own) {
    check_path_text used = check_path();
    table_make(used.text, 1);
    for (int i = 0; i < check_rounds(10); i++) {
        check_path_text path = check_path();
        struct handles handles = {.path = path.text};
        in_child(write_own_table, &handles);
        CHECK_NUMBER(table_rows(path.text), 10);
    }
}

static void do_nothing(void *data) { (void)data; }

TEST(a_child_that_does_nothing_ends_while_its_parent_writes) {
    check_path_text path = check_path();
    rds_writer *writer = table_writer(path.text, RDS_MODE_CREATE, RDS_DURABILITY_BATCH);
    for (uint64_t row = 0; row < 5; row++) {
        CHECK_OK(table_write(writer, row, 1));
        in_child(do_nothing, NULL);
    }
    CHECK_OK(rds_writer_close(writer));
    CHECK_NUMBER(table_rows(path.text), 5);
}

CHECK_MAIN(RUN(a_child_reads_through_a_reader_that_nobody_used_yet),
           RUN(a_child_reads_through_a_reader_in_full_use),
           RUN(a_child_of_a_process_that_reads_at_that_moment_reads_too),
           RUN(many_children_read_at_once), RUN(a_grandchild_reads_too),
           RUN(a_writer_belongs_to_the_process_that_opened_it),
           RUN(a_staged_writer_belongs_to_the_process_that_opened_it),
           RUN(a_child_writes_tables_of_its_own),
           RUN(a_child_that_does_nothing_ends_while_its_parent_writes))
