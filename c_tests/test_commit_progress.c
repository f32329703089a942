/* Commits that tell how far they are, and stop when told to: whatever is merged by then, every row
 * is readable, and a later commit does the rest. */
#include "files.h"

/* More files than a commit leaves. */
enum { WIDE = 1 << 15, PARTS = 12, SMALL_FILES = 8 };

static int rows_per_part(void) { return check_rounds(140); }

/* Rows so wide that merging a few files takes longer than it takes to tell how far it is. */
static void write_wide(rds_writer *writer, uint64_t first, uint64_t count) {
    int64_t *numbers = (int64_t *)calloc(count, sizeof *numbers), shape[2] = {(int64_t)count, WIDE};
    float *values = (float *)calloc(count * WIDE, sizeof *values);
    for (uint64_t i = 0; i < count; i++) {
        numbers[i] = (int64_t)(first + i);
        for (uint64_t c = 0; c < WIDE; c++) {
            values[i * WIDE + c] = (float)((first + i) * 10 + c % 10);
        }
    }
    rds_ids ids = ids_of(RDS_IDS_INT64, count, numbers);
    rds_tensor tensor = tensor_of(RDS_DTYPE_FLOAT32, 2, shape, values);
    CHECK_OK(rds_write_tensors(writer, &ids, &tensor, 1));
    free(values);
    free(numbers);
}

static void check_wide(const char *path, uint64_t count) {
    float *values = (float *)calloc(WIDE, sizeof *values);
    long long wrong = 0;
    rds_reader *reader = table_reader(path);
    CHECK_NUMBER(table_info(reader).rows, count);
    for (uint64_t row = 0; row < count; row++) {
        const char *id = NULL;
        size_t length = 0;
        char name[24];
        CHECK_OK(rds_reader_read(reader, 0, &row, 1, values, WIDE * sizeof *values));
        CHECK_OK(rds_reader_id(reader, row, &id, &length));
        snprintf(name, sizeof name, "%llu", (unsigned long long)row);
        wrong += length != strlen(name) || memcmp(id, name, length) != 0;
        for (uint64_t c = 0; c < WIDE; c += 1000) wrong += values[c] != (float)(row * 10 + c % 10);
    }
    CHECK_NUMBER(wrong, 0);
    CHECK_OK(rds_reader_close(reader));
    free(values);
}

/* A writer with PARTS visible files, which a flush leaves as they are. */
static rds_writer *writer_with_parts(const char *path) {
    rds_writer *writer = table_writer(path, RDS_MODE_CREATE, RDS_DURABILITY_INTERVAL);
    for (uint64_t i = 0; i < PARTS; i++) {
        uint64_t rows = (uint64_t)rows_per_part();
        write_wide(writer, i * rows, rows);
        CHECK_OK(rds_flush(writer));
    }
    CHECK_NUMBER(data_files(path), PARTS);
    return writer;
}

struct told {
    uint64_t rows, done, total;
    int calls, wrong, went_back, merging;
    /* Whether to ask to stop: at once, or when merging has been seen. */
    int stop_at_once, stop_in_merge;
};

static int listen(void *data, uint64_t done, uint64_t total) {
    struct told *told = (struct told *)data;
    told->calls++;
    told->wrong += done > total || total < told->rows;
    told->went_back += done < told->done;
    told->done = done, told->total = total;
    told->merging += total > told->rows;
    return told->stop_at_once || (told->stop_in_merge && told->merging);
}

static rds_status commit(rds_writer *writer, struct told *told, rds_commit_info *info) {
    rds_commit_options options = RDS_COMMIT_OPTIONS_INIT;
    options.progress = listen, options.user_data = told;
    told->rows = (uint64_t)rows_per_part() * PARTS;
    return rds_commit(writer, &options, info);
}

TEST(progress_goes_forward_to_the_end) {
    check_path_text path = check_path();
    struct told told = {0};
    rds_writer *writer = writer_with_parts(path.text);
    CHECK_OK(commit(writer, &told, NULL));
    CHECK(told.calls >= 2);
    CHECK(told.merging > 0);
    CHECK_NUMBER(told.wrong, 0);
    CHECK_NUMBER(told.went_back, 0);
    CHECK_NUMBER(told.done, told.total);
    CHECK_OK(rds_writer_close(writer));
}

/* A commit that was stopped, and what comes after it. */
static struct told check_stopped(struct told stopped) {
    check_path_text path = check_path();
    uint64_t rows = (uint64_t)rows_per_part() * PARTS;
    struct told told = {0};
    rds_commit_info info = RDS_COMMIT_INFO_INIT;
    rds_writer *writer = writer_with_parts(path.text);
    CHECK_STATUS(commit(writer, &stopped, &info), RDS_ERR_CANCELLED);
    CHECK_MESSAGE_HAS("rds_commit: ");
    CHECK_NUMBER(info.rows, 0);
    check_wide(path.text, rows);
    CHECK_OK(commit(writer, &told, &info));
    CHECK_NUMBER(info.rows, rows);
    CHECK(info.data_files <= SMALL_FILES);
    check_wide(path.text, rows);
    CHECK_OK(rds_writer_close(writer));
    check_wide(path.text, rows);
    CHECK_NUMBER(named_files(path.text), 1);
    return stopped;
}

TEST(a_merge_that_is_stopped_leaves_all_rows_and_the_next_commit_does_it) {
    CHECK(check_stopped((struct told){.stop_in_merge = 1}).merging > 0);
}

TEST(a_commit_that_is_stopped_at_once_leaves_all_rows_and_the_next_does_it) {
    CHECK_NUMBER(check_stopped((struct told){.stop_at_once = 1}).calls, 1);
}

TEST(a_writer_is_closed_and_aborted_after_a_commit_that_was_stopped) {
    for (int aborts = 0; aborts < 2; aborts++) {
        check_path_text path = check_path();
        struct told told = {.stop_at_once = aborts, .stop_in_merge = 1};
        rds_vacuum_info removed = RDS_VACUUM_INFO_INIT;
        rds_writer *writer = writer_with_parts(path.text);
        CHECK_STATUS(commit(writer, &told, NULL), RDS_ERR_CANCELLED);
        CHECK_OK(aborts ? rds_writer_abort(writer) : rds_writer_close(writer));
        check_wide(path.text, (uint64_t)rows_per_part() * PARTS);
        /* An abort merges no more; a close makes one file of all. */
        CHECK_NUMBER(named_files(path.text), aborts ? PARTS : 1);
        CHECK_NUMBER(data_files(path.text), aborts ? PARTS : PARTS + 1);
        CHECK_OK(rds_vacuum(path.text, NULL, &removed));
        CHECK_NUMBER(removed.removed_files + removed.kept_files, 0);
    }
}

CHECK_MAIN(RUN(progress_goes_forward_to_the_end),
           RUN(a_merge_that_is_stopped_leaves_all_rows_and_the_next_commit_does_it),
           RUN(a_commit_that_is_stopped_at_once_leaves_all_rows_and_the_next_does_it),
           RUN(a_writer_is_closed_and_aborted_after_a_commit_that_was_stopped))
