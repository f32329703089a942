/* What the journal of a run keeps: batches of every size survive a kill without a version of the table, and
 * damage is told apart from a write that was cut short. */
#include "dead_runs.h"

enum { MOST = 40000 };

/* Rows 0 .. of batches from one row to half a mebibyte, which takes the journal over several segments. */
static const uint64_t sizes[] = {1, 2, 2048, 1, 700, 3, 2048, 17, 1, 1};
enum { SIZES = sizeof sizes / sizeof sizes[0], WIDE = 64 };

/* Row r is WIDE numbers r. */
static rds_status write_wide(rds_writer *writer, uint64_t first, uint64_t count) {
    int64_t *numbers = (int64_t *)calloc(count, sizeof *numbers), shape[2] = {(int64_t)count, WIDE};
    float *values = (float *)calloc(count * WIDE, sizeof *values);
    for (uint64_t i = 0; i < count * WIDE; i++) values[i] = (float)(first + i / WIDE);
    for (uint64_t i = 0; i < count; i++) numbers[i] = (int64_t)(first + i);
    rds_ids ids = ids_of(RDS_IDS_INT64, count, numbers);
    rds_tensor tensor = tensor_of(RDS_DTYPE_FLOAT32, 2, shape, values);
    rds_status status = rds_write_tensors(writer, &ids, &tensor, 1);
    free(values);
    free(numbers);
    return status;
}

static void check_wide(const char *path, uint64_t rows) {
    float *values = (float *)calloc(rows * WIDE, sizeof *values);
    rds_reader *reader = table_reader(path);
    long long wrong = 0;
    CHECK_NUMBER(table_info(reader).rows, rows);
    CHECK_OK(rds_reader_read_range(reader, 0, 0, rows, values, rows * WIDE * sizeof *values));
    for (uint64_t i = 0; i < rows * WIDE; i++) wrong += values[i] != (float)(i / WIDE);
    for (uint64_t row = 0; row < rows; row++) {
        const char *id = NULL;
        size_t length = 0;
        char name[24];
        CHECK_OK(rds_reader_id(reader, row, &id, &length));
        snprintf(name, sizeof name, "%llu", (unsigned long long)row);
        wrong += length != strlen(name) || memcmp(id, name, length) != 0;
    }
    CHECK_NUMBER(wrong, 0);
    CHECK_OK(rds_reader_close(reader));
    free(values);
}

static struct written {
    check_path_text path;
    uint64_t rows;
} *written;

static void write_all_sizes(void *unused) {
    (void)unused;
    uint64_t most = (uint64_t)check_rounds(MOST);
    rds_writer *writer = table_writer(written->path.text, RDS_MODE_CREATE, RDS_DURABILITY_BATCH);
    for (int i = 0; written->rows < most && !check_failures; i++) {
        CHECK_OK(write_wide(writer, written->rows, sizes[i % SIZES]));
        shared_set(&written->rows, written->rows + sizes[i % SIZES]);
    }
    if (!check_failures) kill(getpid(), SIGKILL);
}

static void finish_by_recovery(void *path) {
    CHECK_NUMBER(recover(path, NULL, 0, RDS_OK).recovered_rows, written->rows);
    check_wide(path, written->rows);
}

static void finish_by_append(void *path) {
    rds_writer *writer = table_writer(path, RDS_MODE_APPEND, RDS_DURABILITY_INTERVAL);
    CHECK_OK(rds_writer_close(writer));
    check_wide(path, written->rows);
}

static void finish_elsewhere(void *path) {
    check_path_text moved = check_path();
    snprintf(moved.text, sizeof moved.text, "%s.moved", (const char *)path);
    CHECK(rename(path, moved.text) == 0);
    CHECK_NUMBER(recover(moved.text, NULL, 0, RDS_OK).recovered_rows, written->rows);
    check_wide(moved.text, written->rows);
}

TEST(batches_of_every_size_survive_a_kill_without_a_version) {
    child_body *const ways[] = {finish_by_recovery, finish_by_append, finish_elsewhere};
    for (int i = 0; i < 3; i++) {
        int status = 0;
        written = (struct written *)shared_memory(sizeof *written);
        written->path = check_path();
        pid_t child = child_start(write_all_sizes, NULL);
        CHECK(waitpid(child, &status, 0) == child && WIFSIGNALED(status));
        CHECK_NUMBER(versions(written->path.text), 0);
        CHECK_NUMBER(data_files(written->path.text), 0);
        in_child(ways[i], written->path.text);
    }
}

/* The journal of the only run, and where its records begin. */
typedef struct {
    check_path_text path, file;
    long records[256];
    int count;
} journal;

static journal journal_of(check_path_text path) {
    journal found = {.path = path};
    check_path_text run = path_below("_rds", run_but(path.text, NULL, 0).text);
    char name[64];
    for (int i = 0; i < 9; i++) {
        snprintf(name, sizeof name, "journal.1.%d", i);
        if (files_named(path.text, run.text, name, "") == 0) continue;
        found.file = path_below(path_below(path_below(path.text, "lance_db/results.lance").text,
                                           run.text).text, name);
    }
    FILE *file = fopen(found.file.text, "r");
    char head[4];
    for (long at = 0; CHECK(file != NULL) && found.count < 256; at += 64) {
        if (fseek(file, at, SEEK_SET) != 0 || fread(head, 1, 4, file) != 4) break;
        if (memcmp(head, "RDSJ", 4) == 0) found.records[found.count++] = at;
    }
    if (file) fclose(file);
    CHECK(found.count > 4);
    return found;
}

static void flip(const journal *journal, long at) {
    FILE *file = fopen(journal->file.text, "r+");
    REQUIRE(CHECK(file != NULL && fseek(file, at, SEEK_SET) == 0));
    int byte = fgetc(file);
    CHECK(fseek(file, at, SEEK_SET) == 0 && fputc(byte ^ 0x40, file) != EOF);
    CHECK(fclose(file) == 0);
}

enum { ROWS = 20 };

static void refuse(void *path) {
    recover(path, NULL, 0, RDS_ERR_CORRUPT);
    CHECK_NUMBER(table_rows(path), -1);
}

static void finish_all(void *path) {
    CHECK_NUMBER(recover(path, NULL, 0, RDS_OK).recovered_rows, ROWS);
    table_check_all(path, ROWS);
}

static void finish_but_one(void *path) {
    CHECK_NUMBER(recover(path, NULL, 0, RDS_OK).recovered_rows, ROWS - 1);
    table_check_all(path, ROWS - 1);
}

/* Bytes of the head, and of what follows it. */
TEST(damage_within_the_journal_is_an_error_and_never_a_shorter_run) {
    check_path_text path = check_path();
    leave_rows(path, RDS_MODE_CREATE, 0, ROWS, 1);
    journal journal = journal_of(path);
    const long places[] = {4, 12, 41};
    for (int i = 0; i < 3; i++) {
        flip(&journal, journal.records[journal.count / 2] + places[i]);
        in_child(refuse, path.text);
        flip(&journal, journal.records[journal.count / 2] + places[i]);
    }
    in_child(finish_all, path.text);
}

TEST(a_last_record_that_was_cut_short_is_none) {
    check_path_text path = check_path();
    leave_rows(path, RDS_MODE_CREATE, 0, ROWS, 1);
    journal journal = journal_of(path);
    flip(&journal, journal.records[journal.count - 1] + 41);
    in_child(finish_but_one, path.text);
}

CHECK_MAIN(RUN(batches_of_every_size_survive_a_kill_without_a_version),
           RUN(damage_within_the_journal_is_an_error_and_never_a_shorter_run),
           RUN(a_last_record_that_was_cut_short_is_none))
