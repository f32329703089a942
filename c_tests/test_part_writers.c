/* The writer of a part: batches of any size, from any thread; a part is there whole, with its token, or not at all. */
#include "parts.h"

#include <pthread.h>

#include "columns.h"
#include "ids_of_rows.h"

enum { EACH = 100 };

static rds_write_stats stats_of(rds_writer *writer) {
    rds_write_stats stats = RDS_WRITE_STATS_INIT;
    CHECK_OK(rds_writer_stats(writer, &stats));
    return stats;
}

static void commit_all(const char *path, rds_token *tokens, size_t count, uint64_t rows) {
    rds_commit_info info = RDS_COMMIT_INFO_INIT;
    CHECK_OK(commit_job(path, "job", tokens, count, RDS_MODE_CREATE, &info));
    CHECK_NUMBER(info.rows, rows);
    tokens_free(tokens, count);
}

/* Columns of all sizes, which each part has in an order of its own; batches of a row and of several blocks, in turn. */
TEST(batches_of_any_size_with_columns_in_any_order) {
    const uint64_t batches[] = {1, 2, 20000, 7, 1, 300, 45000, 0, 3000, 1, 9000, 5};
    check_path_text path = check_path();
    rds_token tokens[MIXED];
    uint64_t rows = 0;
    for (size_t part = 0; part < MIXED; part++) {
        rds_writer *writer = part_writer(path.text, "job", part);
        for (size_t i = 0; i < 12; i++) {
            uint64_t count = batches[(i + part) % 12] >> (part ? 3 : 0);
            CHECK_OK(columns_write_turned(writer, mixed, MIXED, rows, count, part + (part % 2 ? i : 0)));
            rows += count;
        }
        tokens[part] = stage(writer);
        CHECK_OK(rds_writer_close(writer));
    }
    commit_all(path.text, tokens, MIXED, rows);
    columns_check_at(path.text, mixed, MIXED, rows);
}

TEST(ids_that_repeat_are_long_and_are_empty) {
    enum { PARTS = 4, ROWS = 900 };
    check_path_text path = check_path();
    rds_token tokens[PARTS];
    for (uint64_t part = 0; part < PARTS; part++) {
        rds_writer *writer = part_writer(path.text, "job", part);
        uint64_t batch = part ? part * 37 : 1;
        for (uint64_t done = 0; done < ROWS; done += batch) {
            CHECK_OK(ids_write(writer, part * ROWS + done, ROWS - done < batch ? ROWS - done : batch, 0));
        }
        tokens[part] = stage(writer);
        CHECK_OK(rds_writer_close(writer));
    }
    commit_all(path.text, tokens, PARTS, PARTS * ROWS);
    rds_reader *reader = table_reader(path.text);
    check_ids(reader, PARTS * ROWS, 0);
    CHECK_OK(rds_reader_close(reader));
}

/* Ids that are much longer than rows, and than what is written at once. */
TEST(ids_of_several_mebibytes) {
    enum { IDS = 8 };
    const size_t lengths[IDS] = {0, 3 << 20, 1, 70000, 0, (1 << 20) + 1, 200000, 5};
    check_path_text path = check_path();
    char *text = (char *)malloc(3 << 20);
    memset(text, 'n', 3 << 20);
    rds_string strings[IDS];
    uint8_t values[IDS];
    const int64_t all = IDS, one = 1;
    for (size_t i = 0; i < IDS; i++) strings[i] = (rds_string){text, lengths[i]}, values[i] = (uint8_t)i;
    rds_writer *writer = part_writer(path.text, "job", 0);
    for (size_t i = 0; i < IDS; i++) {
        const rds_ids ids = ids_of(RDS_IDS_STRINGS, 1, &strings[i]);
        const rds_tensor tensor = tensor_of(RDS_DTYPE_UINT8, 1, &one, &values[i]);
        CHECK_OK(rds_write_tensors(writer, &ids, &tensor, 1));
    }
    const rds_ids ids = ids_of(RDS_IDS_STRINGS, IDS, strings);
    const rds_tensor tensor = tensor_of(RDS_DTYPE_UINT8, 1, &all, values);
    CHECK_OK(rds_write_tensors(writer, &ids, &tensor, 1));
    rds_token token = stage(writer);
    CHECK_OK(rds_writer_close(writer));
    commit_all(path.text, &token, 1, 2 * IDS);
    rds_reader *reader = table_reader(path.text);
    for (uint64_t row = 0; row < 2 * IDS; row++) {
        const char *id = NULL;
        size_t length = 9;
        uint8_t value = 99;
        CHECK_OK(rds_reader_id(reader, row, &id, &length));
        CHECK_NUMBER(length, lengths[row % IDS]);
        CHECK(memcmp(id, text, length) == 0);
        CHECK_OK(rds_reader_read(reader, 0, &row, 1, &value, 1));
        CHECK_NUMBER(value, row % IDS);
    }
    CHECK_OK(rds_reader_close(reader));
    free(text);
}

TEST(a_part_is_staged_once_and_what_comes_after_it_is_dropped) {
    check_path_text path = check_path();
    rds_writer *writer = part_writer(path.text, "job", 0);
    CHECK_OK(small_write(writer, 0, EACH));
    rds_token token = stage(writer), again = {(const uint8_t *)&path, 9};
    CHECK_STATUS(rds_writer_stage(writer, &again), RDS_ERR_INVALID_STATE);
    CHECK(again.data == NULL && again.length == 0);
    CHECK_OK(small_write(writer, 500, EACH));
    CHECK_STATUS(rds_writer_stage(writer, &again), RDS_ERR_INVALID_STATE);
    CHECK_OK(rds_writer_close(writer));
    CHECK_STATUS(rds_writer_close(writer), RDS_ERR_INVALID_HANDLE);
    CHECK_NUMBER(files_named(path.text, "_rds/jobs/job/0", "", ""), 1);
    commit_all(path.text, &token, 1, EACH);
    small_check(path.text, EACH);
}

TEST(a_part_without_its_token_leaves_nothing) {
    check_path_text path = check_path();
    rds_token token = small_part(path.text, "job", 0, 0, EACH, EACH);
    for (int aborts = 0; aborts < 2; aborts++) {
        rds_writer *writer = part_writer(path.text, "job", 1);
        CHECK_OK(small_write(writer, EACH, 200000));
        CHECK_NUMBER(files_named(path.text, "_rds/jobs/job/0", "1-", ".writing"), 1);
        CHECK_OK(aborts ? rds_writer_abort(writer) : rds_writer_close(writer));
        CHECK_NUMBER(files_named(path.text, "_rds/jobs/job/0", "", ""), 1);
    }
    CHECK_NUMBER(parts_that_wait(path.text, NULL), 1);
    commit_all(path.text, &token, 1, EACH);
}

TEST(a_batch_that_is_refused_leaves_the_part_as_it_was) {
    check_path_text path = check_path();
    rds_writer *writer = part_writer(path.text, "job", 0);
    CHECK_OK(small_write(writer, 0, EACH));
    CHECK_STATUS(table_write(writer, 0, EACH), RDS_ERR_SCHEMA_MISMATCH);
    const int64_t shape[2] = {3, SMALL};
    const uint8_t values[3 * SMALL] = {0};
    const uint64_t numbers[2] = {1, 2};
    const rds_ids ids = ids_of(RDS_IDS_UINT64, 2, numbers);
    const rds_tensor tensor = tensor_of(RDS_DTYPE_UINT8, 2, shape, values);
    CHECK_STATUS(rds_write_tensors(writer, &ids, &tensor, 1), RDS_ERR_INVALID_ARGUMENT);
    CHECK_NUMBER(stats_of(writer).accepted_rows, EACH);
    CHECK_OK(small_write(writer, EACH, EACH));
    rds_token token = stage(writer);
    CHECK_OK(rds_writer_close(writer));
    commit_all(path.text, &token, 1, 2 * EACH);
    small_check(path.text, 2 * EACH);
}

TEST(stats_count_what_is_accepted_and_what_has_a_token) {
    check_path_text path = check_path();
    rds_writer *writer = part_writer(path.text, "job", 0);
    CHECK_NUMBER(stats_of(writer).accepted_rows, 0);
    CHECK_OK(small_write(writer, 0, EACH));
    CHECK_OK(small_write(writer, EACH, 200000));
    rds_write_stats stats = stats_of(writer);
    CHECK_NUMBER(stats.accepted_rows, EACH + 200000);
    CHECK_NUMBER(stats.accepted_bytes, (EACH + 200000) * SMALL);
    CHECK_NUMBER(stats.durable_rows + stats.durable_bytes + stats.queued_rows + stats.visible_rows, 0);
    CHECK_NUMBER(stats.state, RDS_WRITER_RUNNING);
    rds_token token = stage(writer);
    stats = stats_of(writer);
    CHECK_NUMBER(stats.durable_rows, EACH + 200000);
    CHECK_NUMBER(stats.durable_bytes, (EACH + 200000) * SMALL);
    CHECK_NUMBER(stats.versions + stats.visible_rows, 0);
    CHECK_OK(rds_writer_close(writer));
    commit_all(path.text, &token, 1, EACH + 200000);
}

enum { THREADS = 4, THREAD_ROWS = 2000 };

struct thread {
    pthread_t thread;
    rds_writer *writer;
    uint64_t number;
};

/* Small batches, which wait to be written together, and now and then a large one. */
static void *write_some(void *data) {
    const struct thread *own = (const struct thread *)data;
    for (uint64_t done = 0, count; done < THREAD_ROWS; done += count) {
        count = done % 500 == 0 ? 50 : 5;
        CHECK_OK(table_write(own->writer, own->number * THREAD_ROWS + done, count));
        (void)stats_of(own->writer);
    }
    return NULL;
}

TEST(many_threads_write_one_part) {
    check_path_text path = check_path();
    struct thread threads[THREADS];
    rds_writer *writer = part_writer(path.text, "job", 0);
    for (uint64_t i = 0; i < THREADS; i++) {
        threads[i].writer = writer, threads[i].number = i;
        CHECK(pthread_create(&threads[i].thread, NULL, write_some, &threads[i]) == 0);
    }
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i].thread, NULL);
    rds_token token = stage(writer);
    CHECK_OK(rds_writer_close(writer));
    commit_all(path.text, &token, 1, THREADS * THREAD_ROWS);
    /* Each row once, and those of a thread in its order. */
    rds_reader *reader = table_reader(path.text);
    uint64_t next[THREADS] = {0};
    for (uint64_t row = 0; row < THREADS * THREAD_ROWS; row++) {
        float values[TABLE_WIDTH];
        CHECK_OK(rds_reader_read(reader, 0, &row, 1, values, sizeof values));
        uint64_t written = (uint64_t)values[0] / 1000, of = written / THREAD_ROWS % THREADS;
        if (!CHECK(written == of * THREAD_ROWS + next[of]++ && table_row_is(reader, row, written))) break;
    }
    CHECK_OK(rds_reader_close(reader));
}

CHECK_MAIN(RUN(batches_of_any_size_with_columns_in_any_order), RUN(ids_that_repeat_are_long_and_are_empty),
           RUN(ids_of_several_mebibytes), RUN(a_part_is_staged_once_and_what_comes_after_it_is_dropped),
           RUN(a_part_without_its_token_leaves_nothing), RUN(a_batch_that_is_refused_leaves_the_part_as_it_was),
           RUN(stats_count_what_is_accepted_and_what_has_a_token), RUN(many_threads_write_one_part))
