/* What a commit leaves: all rows, in order, in few files, and every version that was made; and what a
 * close makes of that. */
#include "files.h"
#include "maps.h"

enum { BATCH = 4, SMALL_FILES = 8 };

static rds_commit_info commit(rds_writer *writer, uint32_t flags) {
    rds_commit_info info = RDS_COMMIT_INFO_INIT;
    rds_commit_options options = RDS_COMMIT_OPTIONS_INIT;
    options.flags = flags;
    CHECK_OK(rds_commit(writer, &options, &info));
    return info;
}

/* Writes batches of BATCH rows, from row `first` on. */
static void write_batches(rds_writer *writer, uint64_t first, int count) {
    for (int i = 0; i < count; i++) {
        if (!CHECK_OK(table_write(writer, first + (uint64_t)i * BATCH, BATCH))) return;
    }
}

static void check_version(const char *path, uint64_t version, uint64_t rows) {
    rds_reader *reader = NULL;
    rds_reader_options options = RDS_READER_OPTIONS_INIT;
    options.version = version;
    CHECK_OK(rds_reader_open(path, &options, &reader));
    table_check(reader, 0, rows);
    CHECK_OK(rds_reader_close(reader));
}

TEST(batches_that_were_durable_before_a_commit_are_one_file_in_one_version) {
    check_path_text path = check_path();
    int batches = check_rounds(200);
    uint64_t rows = (uint64_t)batches * BATCH;
    rds_writer *writer = table_writer(path.text, RDS_MODE_CREATE, RDS_DURABILITY_BATCH);
    write_batches(writer, 0, batches);
    rds_commit_info info = commit(writer, 0);
    CHECK_NUMBER(info.rows, rows);
    CHECK_NUMBER(info.tensor_bytes, rows * TABLE_WIDTH * sizeof(float));
    CHECK_NUMBER(info.data_files, 1);
    CHECK_OK(rds_writer_close(writer));
    CHECK_NUMBER(data_files(path.text), 1);
    CHECK_NUMBER(versions(path.text), 1);
    table_check_all(path.text, rows);
}

TEST(commits_leave_at_most_eight_small_files_and_a_close_one) {
    const uint32_t durabilities[] = {RDS_DURABILITY_BATCH, RDS_DURABILITY_COMMIT};
    for (int i = 0; i < 2; i++) {
        check_path_text path = check_path();
        int commits = check_rounds(60);
        rds_writer *writer = table_writer(path.text, RDS_MODE_CREATE, durabilities[i]);
        for (int done = 0; done < commits; done++) {
            write_batches(writer, (uint64_t)done * BATCH, 1);
            rds_commit_info info = commit(writer, 0);
            CHECK_NUMBER(info.rows, (done + 1) * BATCH);
            CHECK(info.data_files <= SMALL_FILES);
            if (done % 7 == 0) table_check_all(path.text, (uint64_t)(done + 1) * BATCH);
        }
        CHECK_OK(rds_writer_close(writer));
        CHECK_NUMBER(named_files(path.text), 1);
        table_check_all(path.text, (uint64_t)commits * BATCH);
    }
}

TEST(flushes_merge_nothing_and_a_commit_and_a_close_do) {
    check_path_text path = check_path();
    rds_writer *writer = table_writer(path.text, RDS_MODE_CREATE, RDS_DURABILITY_INTERVAL);
    for (int i = 0; i < 20; i++) {
        write_batches(writer, (uint64_t)i * 2 * BATCH, 2);
        CHECK_OK(rds_flush(writer));
    }
    CHECK_NUMBER(data_files(path.text), 20);
    CHECK(commit(writer, 0).data_files <= SMALL_FILES);
    table_check_all(path.text, 40 * BATCH);
    CHECK_OK(rds_writer_close(writer));
    CHECK_NUMBER(named_files(path.text), 1);
    table_check_all(path.text, 40 * BATCH);
}

TEST(every_version_stays_readable_after_commits_and_a_close) {
    check_path_text path = check_path();
    uint64_t made[20], count = (uint64_t)check_rounds(20);
    rds_writer *writer = table_writer(path.text, RDS_MODE_CREATE, RDS_DURABILITY_COMMIT);
    for (uint64_t i = 0; i < count; i++) {
        write_batches(writer, i * BATCH, 1);
        made[i] = commit(writer, 0).version;
        CHECK(i == 0 || made[i] > made[i - 1]);
    }
    CHECK_OK(rds_writer_close(writer));
    rds_reader *reader = table_reader(path.text);
    uint64_t last = table_info(reader).version;
    CHECK_OK(rds_reader_close(reader));
    CHECK_NUMBER(versions(path.text), last);
    for (uint64_t i = 0; i < count; i++) check_version(path.text, made[i], (i + 1) * BATCH);
    check_version(path.text, last, count * BATCH);
}

TEST(a_commit_with_nothing_new_only_reports) {
    check_path_text path = check_path();
    rds_writer *writer = table_writer(path.text, RDS_MODE_CREATE, RDS_DURABILITY_BATCH);
    write_batches(writer, 0, 5);
    rds_commit_info first = commit(writer, 0), second = commit(writer, 0);
    CHECK(memcmp(&first, &second, sizeof first) == 0);
    CHECK_OK(rds_writer_close(writer));
    CHECK_NUMBER(versions(path.text), 1);
    CHECK_NUMBER(data_files(path.text), 1);
    table_check_all(path.text, 5 * BATCH);
}

TEST(what_was_there_before_the_run_stays) {
    check_path_text path = check_path();
    table_make(path.text, 10);
    table_append(path.text, 10, 5);
    check_path_text old = file_in(path.text, "data", ".lance");
    rds_writer *writer = table_writer(path.text, RDS_MODE_APPEND, RDS_DURABILITY_BATCH);
    write_batches(writer, 15, 30);
    rds_commit_info info = commit(writer, 0);
    CHECK_NUMBER(info.rows, 30 * BATCH);
    CHECK_NUMBER(info.data_files, 3);
    CHECK_OK(rds_writer_close(writer));
    CHECK(access(old.text, R_OK) == 0);
    CHECK_NUMBER(data_files(path.text), 3);
    CHECK_NUMBER(versions(path.text), 3);
    check_version(path.text, 1, 10);
    check_version(path.text, 2, 15);
    check_version(path.text, info.version, 15 + 30 * BATCH);
    table_check_all(path.text, 15 + 30 * BATCH);
}

TEST(an_overwritten_table_stays_readable_by_its_version) {
    check_path_text path = check_path();
    table_make(path.text, 10);
    rds_reader *before = table_reader(path.text);
    rds_writer *writer = table_writer(path.text, RDS_MODE_OVERWRITE, RDS_DURABILITY_BATCH);
    write_batches(writer, 0, 20);
    CHECK_NUMBER(commit(writer, 0).data_files, 1);
    CHECK_OK(rds_writer_close(writer));
    table_check(before, 0, 10);
    CHECK_OK(rds_reader_close(before));
    check_version(path.text, 1, 10);
    CHECK_NUMBER(data_files(path.text), 2);
    CHECK_NUMBER(versions(path.text), 2);
    table_check_all(path.text, 20 * BATCH);
}

/* Both that writes and that only commits. */
TEST(merge_all_merges_what_earlier_runs_left_and_keeps_their_versions) {
    for (uint64_t rows = 0; rows <= 10; rows += 10) {
        enum { RUNS = 12 };
        check_path_text path = check_path();
        table_make(path.text, 10);
        for (uint64_t i = 1; i < RUNS; i++) table_append(path.text, 10 * i, 10);
        CHECK_NUMBER(named_files(path.text), RUNS);
        rds_writer *writer = table_writer(path.text, RDS_MODE_APPEND, RDS_DURABILITY_COMMIT);
        if (rows) CHECK_OK(table_write(writer, RUNS * 10, rows));
        CHECK_NUMBER(commit(writer, 0).data_files, RUNS + (rows > 0));
        rds_commit_info info = commit(writer, RDS_COMMIT_MERGE_ALL);
        CHECK(info.data_files <= SMALL_FILES);
        CHECK_NUMBER(info.rows, rows);
        CHECK_OK(rds_writer_close(writer));
        table_check_all(path.text, RUNS * 10 + rows);
        for (uint64_t version = 1; version <= RUNS; version++) {
            check_version(path.text, version, 10 * version);
        }
    }
}

/* Nothing that a version names goes, so no reader misses anything. */
TEST(a_reader_opened_before_commits_that_merge_keeps_all_it_has_not_read_yet) {
    const uint32_t accesses[] = {RDS_ACCESS_MAPPED, RDS_ACCESS_AUTO, RDS_ACCESS_LANCE};
    for (int i = 0; i < 3; i++) {
        check_path_text path = check_path();
        uint32_t changed = 0;
        rds_writer *writer = table_writer(path.text, RDS_MODE_CREATE, RDS_DURABILITY_COMMIT);
        write_batches(writer, 0, 5);
        commit(writer, 0);
        rds_reader *reader = table_reader_with(path.text, accesses[i]);
        for (uint64_t batch = 5; batch < 25; batch++) {
            write_batches(writer, batch * BATCH, 1);
            commit(writer, 0);
        }
        CHECK_OK(rds_writer_close(writer));
        table_check(reader, 0, 5 * BATCH);
        CHECK_OK(rds_reader_refresh(reader, &changed));
        CHECK_NUMBER(changed, 1);
        table_check(reader, 0, 25 * BATCH);
        CHECK_OK(rds_reader_close(reader));
    }
}

/* Scalars: as many rows as a file may have are few bytes. */
static void write_scalars(rds_writer *writer, uint64_t first, uint64_t count) {
    int64_t *numbers = (int64_t *)calloc(count, sizeof *numbers), shape[1] = {(int64_t)count};
    for (uint64_t i = 0; i < count; i++) numbers[i] = (int64_t)(first + i);
    rds_ids ids = ids_of(RDS_IDS_INT64, count, numbers);
    rds_tensor tensor = tensor_of(RDS_DTYPE_INT64, 1, shape, numbers);
    CHECK_OK(rds_write_tensors(writer, &ids, &tensor, 1));
    free(numbers);
}

TEST(a_full_file_is_not_written_again) {
    enum { FULL = 1 << 20, MORE = 5000 };
    check_path_text path = check_path();
    rds_writer *writer = table_writer(path.text, RDS_MODE_CREATE, RDS_DURABILITY_COMMIT);
    for (uint64_t row = 0; row < FULL; row += FULL / 8) write_scalars(writer, row, FULL / 8);
    CHECK_NUMBER(commit(writer, 0).data_files, 1);
    check_path_text full = file_in(path.text, "data", ".lance");
    struct stat before = {0}, after = {0};
    CHECK(stat(full.text, &before) == 0);
    for (uint64_t i = 0; i < 12; i++) {
        write_scalars(writer, FULL + i * MORE, MORE);
        CHECK(commit(writer, RDS_COMMIT_MERGE_ALL).data_files <= 1 + SMALL_FILES);
    }
    CHECK_OK(rds_writer_close(writer));
    CHECK_NUMBER(named_files(path.text), 2);
    CHECK(stat(full.text, &after) == 0 && before.st_ino == after.st_ino);
    rds_reader *reader = table_reader(path.text);
    uint64_t rows = FULL + 12 * MORE, wrong = 0;
    int64_t *numbers = (int64_t *)calloc(rows, sizeof *numbers);
    rds_span span = RDS_SPAN_INIT;
    CHECK_NUMBER(table_info(reader).rows, rows);
    CHECK_NUMBER(column_info(reader, 0).mapped_rows, rows);
    CHECK_OK(rds_reader_span(reader, 0, 0, &span));
    CHECK_NUMBER(span.row_count, FULL);
    CHECK(span.data != NULL && map_at(span.data).path[0] &&
          strcmp(map_at(span.data).path, full.text) == 0);
    CHECK_OK(rds_reader_read_range(reader, 0, 0, rows, numbers, rows * sizeof *numbers));
    for (uint64_t i = 0; i < rows; i++) wrong += numbers[i] != (int64_t)i;
    CHECK_NUMBER(wrong, 0);
    free(numbers);
    CHECK_OK(rds_reader_close(reader));
}

CHECK_MAIN(RUN(batches_that_were_durable_before_a_commit_are_one_file_in_one_version),
           RUN(commits_leave_at_most_eight_small_files_and_a_close_one),
           RUN(flushes_merge_nothing_and_a_commit_and_a_close_do),
           RUN(every_version_stays_readable_after_commits_and_a_close),
           RUN(a_commit_with_nothing_new_only_reports), RUN(what_was_there_before_the_run_stays),
           RUN(an_overwritten_table_stays_readable_by_its_version),
           RUN(merge_all_merges_what_earlier_runs_left_and_keeps_their_versions),
           RUN(a_reader_opened_before_commits_that_merge_keeps_all_it_has_not_read_yet),
           RUN(a_full_file_is_not_written_again))
