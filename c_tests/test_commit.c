/* What a commit leaves: all rows, in order, in few large files, in one version more than there was,
 * and nothing of the way there. */
#include "files.h"

enum { BATCH = 4, FEW = 24 };

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

static rds_reader *reader_of_version(const char *path, uint64_t version) {
    rds_reader *reader = NULL;
    rds_reader_options options = RDS_READER_OPTIONS_INIT;
    options.version = version;
    CHECK_OK(rds_reader_open(path, &options, &reader));
    return reader;
}

static void check_version(const char *path, uint64_t version, uint64_t rows) {
    rds_reader *reader = reader_of_version(path, version);
    table_check(reader, 0, rows);
    CHECK_OK(rds_reader_close(reader));
}

static void check_clean(const char *path, uint64_t rows) {
    CHECK_NUMBER(data_files(path), 1);
    CHECK_NUMBER(versions(path), 1);
    CHECK_NUMBER(files_named(path, "_transactions", "", ""), 1);
    table_check_all(path, rows);
}

TEST(a_checkpoint_for_every_batch_leaves_one_file_and_one_version) {
    check_path_text path = check_path();
    int batches = check_rounds(200);
    uint64_t rows = (uint64_t)batches * BATCH;
    rds_writer *writer = table_writer(path.text, RDS_MODE_CREATE, RDS_DURABILITY_BATCH);
    write_batches(writer, 0, batches);
    rds_commit_info info = commit(writer, 0);
    CHECK_NUMBER(info.rows, rows);
    CHECK_NUMBER(info.tensor_bytes, rows * TABLE_WIDTH * sizeof(float));
    CHECK_NUMBER(info.data_files, 1);
    check_clean(path.text, rows);
    CHECK_OK(rds_writer_close(writer));
    check_clean(path.text, rows);
}

TEST(rows_are_in_order_and_files_are_few_while_a_run_goes_on) {
    check_path_text path = check_path();
    int batches = check_rounds(150), most = 0;
    rds_writer *writer = table_writer(path.text, RDS_MODE_CREATE, RDS_DURABILITY_BATCH);
    for (int i = 0; i < batches; i++) {
        write_batches(writer, (uint64_t)i * BATCH, 1);
        if (i % 10 != 9) continue;
        table_check_all(path.text, (uint64_t)(i + 1) * BATCH);
        int named = (int)named_files(path.text);
        /* Merging goes on beside the run, and may be behind. */
        for (int waited = 0; named > FEW && waited < 500; waited++) {
            sleep_ms(10);
            named = (int)named_files(path.text);
        }
        if (named > most) most = named;
    }
    /* Of each size at most seven: without merging there were as many as batches. */
    CHECK(most <= FEW);
    CHECK_OK(rds_writer_close(writer));
    table_check_all(path.text, (uint64_t)batches * BATCH);
}

TEST(flushes_leave_one_file_and_one_version) {
    check_path_text path = check_path();
    rds_writer *writer = table_writer(path.text, RDS_MODE_CREATE, RDS_DURABILITY_INTERVAL);
    for (int i = 0; i < 20; i++) {
        write_batches(writer, (uint64_t)i * 2 * BATCH, 2);
        CHECK_OK(rds_flush(writer));
    }
    CHECK_NUMBER(commit(writer, 0).data_files, 1);
    CHECK_OK(rds_writer_close(writer));
    check_clean(path.text, 40 * BATCH);
}

TEST(commits_in_one_run_leave_one_file_and_one_version) {
    check_path_text path = check_path();
    rds_writer *writer = table_writer(path.text, RDS_MODE_CREATE, RDS_DURABILITY_COMMIT);
    for (int i = 0; i < 5; i++) {
        write_batches(writer, (uint64_t)i * 3 * BATCH, 3);
        rds_commit_info info = commit(writer, 0);
        CHECK_NUMBER(info.rows, (i + 1) * 3 * BATCH);
        check_clean(path.text, (uint64_t)(i + 1) * 3 * BATCH);
    }
    CHECK_OK(rds_writer_close(writer));
}

TEST(a_commit_with_nothing_new_only_reports) {
    check_path_text path = check_path();
    rds_writer *writer = table_writer(path.text, RDS_MODE_CREATE, RDS_DURABILITY_BATCH);
    write_batches(writer, 0, 5);
    rds_commit_info first = commit(writer, 0), second = commit(writer, 0);
    CHECK(memcmp(&first, &second, sizeof first) == 0);
    check_clean(path.text, 5 * BATCH);
    CHECK_OK(rds_writer_close(writer));
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

TEST(merge_all_merges_what_earlier_runs_left_and_keeps_their_versions) {
    check_path_text path = check_path();
    table_make(path.text, 10);
    for (uint64_t i = 1; i < 5; i++) table_append(path.text, 10 * i, 10);
    CHECK_NUMBER(named_files(path.text), 5);
    rds_writer *writer = table_writer(path.text, RDS_MODE_APPEND, RDS_DURABILITY_COMMIT);
    CHECK_OK(table_write(writer, 50, 10));
    CHECK_NUMBER(commit(writer, 0).data_files, 6);
    rds_commit_info info = commit(writer, RDS_COMMIT_MERGE_ALL);
    CHECK_NUMBER(info.data_files, 1);
    CHECK_NUMBER(info.rows, 10);
    CHECK_OK(rds_writer_close(writer));
    table_check_all(path.text, 60);
    for (uint64_t version = 1; version <= 5; version++) {
        check_version(path.text, version, 10 * version);
    }
    /* The five of the old versions, and the merged one. */
    CHECK_NUMBER(data_files(path.text), 6);
}

/* A reader of a version that a commit removes, with its files. */
static rds_reader *reader_of_what_goes(rds_writer *writer, const char *path, uint32_t access,
                                       int loads_ids) {
    const char *id = NULL;
    size_t length = 0;
    write_batches(writer, 0, 5);
    rds_reader *reader = table_reader_with(path, access);
    if (loads_ids) CHECK_OK(rds_reader_id(reader, 0, &id, &length));
    write_batches(writer, 5 * BATCH, 1);
    commit(writer, 0);
    CHECK_NUMBER(data_files(path), 1);
    return reader;
}

static void check_refreshed(rds_reader *reader) {
    uint32_t changed = 0;
    CHECK_OK(rds_reader_refresh(reader, &changed));
    CHECK_NUMBER(changed, 1);
    table_check(reader, 0, 6 * BATCH);
}

TEST(a_reader_opened_before_a_commit_keeps_its_mapped_rows_and_loaded_ids) {
    check_path_text path = check_path();
    rds_writer *writer = table_writer(path.text, RDS_MODE_CREATE, RDS_DURABILITY_BATCH);
    rds_reader *reader = reader_of_what_goes(writer, path.text, RDS_ACCESS_MAPPED, 1);
    table_check(reader, 0, 5 * BATCH);
    check_refreshed(reader);
    CHECK_OK(rds_reader_close(reader));
    CHECK_OK(rds_writer_close(writer));
}

TEST(what_a_reader_has_not_loaded_before_a_commit_is_not_found_until_it_is_refreshed) {
    check_path_text path = check_path(), other = check_path();
    float values[5 * BATCH][TABLE_WIDTH];
    const char *id = NULL;
    size_t length = 0;
    rds_writer *writer = table_writer(path.text, RDS_MODE_CREATE, RDS_DURABILITY_BATCH);
    rds_reader *reader = reader_of_what_goes(writer, path.text, RDS_ACCESS_AUTO, 0);
    CHECK_OK(rds_reader_read_range(reader, 0, 5 * BATCH, values, sizeof values));
    for (int i = 0; i < 5 * BATCH; i++) CHECK(values[i][1] == table_value((uint64_t)i, 1));
    CHECK_STATUS(rds_reader_id(reader, 0, &id, &length), RDS_ERR_NOT_FOUND);
    check_refreshed(reader);
    CHECK_OK(rds_reader_close(reader));
    CHECK_OK(rds_writer_close(writer));
    writer = table_writer(other.text, RDS_MODE_CREATE, RDS_DURABILITY_BATCH);
    reader = reader_of_what_goes(writer, other.text, RDS_ACCESS_LANCE, 0);
    CHECK_STATUS(rds_reader_read_range(reader, 0, 5 * BATCH, values, sizeof values),
                 RDS_ERR_NOT_FOUND);
    check_refreshed(reader);
    CHECK_OK(rds_reader_close(reader));
    CHECK_OK(rds_writer_close(writer));
}

/* Scalars: as many rows as a file may have are few bytes. */
static void write_scalars(rds_writer *writer, uint64_t first, uint64_t count) {
    int64_t *numbers = (int64_t *)calloc(count, sizeof *numbers), shape[1] = {(int64_t)count};
    for (uint64_t i = 0; i < count; i++) numbers[i] = (int64_t)(first + i);
    rds_ids ids = ids_of(RDS_IDS_INT64, count, numbers);
    rds_tensor tensor = tensor_of(RDS_DTYPE_INT64, 1, shape, numbers);
    CHECK_OK(rds_write_tensors(writer, &ids, &tensor));
    free(numbers);
}

TEST(a_full_file_is_not_written_again) {
    enum { FULL = 1 << 20, MORE = 5000 };
    check_path_text path = check_path();
    rds_writer *writer = table_writer(path.text, RDS_MODE_CREATE, RDS_DURABILITY_COMMIT);
    for (uint64_t row = 0; row < FULL; row += FULL / 8) write_scalars(writer, row, FULL / 8);
    CHECK_NUMBER(commit(writer, 0).data_files, 1);
    check_path_text full = file_in(path.text, "data", ".lance");
    for (uint64_t i = 0; i < 4; i++) {
        write_scalars(writer, FULL + i * MORE, MORE);
        CHECK_NUMBER(commit(writer, RDS_COMMIT_MERGE_ALL).data_files, 2);
    }
    CHECK_OK(rds_writer_close(writer));
    CHECK(access(full.text, R_OK) == 0);
    CHECK_NUMBER(data_files(path.text), 2);
    rds_reader *reader = table_reader(path.text);
    uint64_t rows = FULL + 4 * MORE, wrong = 0;
    int64_t *numbers = (int64_t *)calloc(rows, sizeof *numbers);
    CHECK_NUMBER(table_info(reader).rows, rows);
    CHECK_NUMBER(table_info(reader).mapped_rows, rows);
    CHECK_OK(rds_reader_read_range(reader, 0, rows, numbers, rows * sizeof *numbers));
    for (uint64_t i = 0; i < rows; i++) wrong += numbers[i] != (int64_t)i;
    CHECK_NUMBER(wrong, 0);
    free(numbers);
    CHECK_OK(rds_reader_close(reader));
}

CHECK_MAIN(RUN(a_checkpoint_for_every_batch_leaves_one_file_and_one_version),
           RUN(rows_are_in_order_and_files_are_few_while_a_run_goes_on),
           RUN(flushes_leave_one_file_and_one_version),
           RUN(commits_in_one_run_leave_one_file_and_one_version),
           RUN(a_commit_with_nothing_new_only_reports), RUN(what_was_there_before_the_run_stays),
           RUN(an_overwritten_table_stays_readable_by_its_version),
           RUN(merge_all_merges_what_earlier_runs_left_and_keeps_their_versions),
           RUN(a_reader_opened_before_a_commit_keeps_its_mapped_rows_and_loaded_ids),
           RUN(what_a_reader_has_not_loaded_before_a_commit_is_not_found_until_it_is_refreshed),
           RUN(a_full_file_is_not_written_again))
