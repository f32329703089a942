/* A reader moves to the newest version of its table, or stays where it was; what was exported from
 * it shows the rows it showed. */
#include "arrow_out.h"
#include "dlpack.h"
#include "files.h"
#include "maps.h"

static uint32_t refresh(rds_reader *reader) {
    uint32_t changed = 77;
    CHECK_OK(rds_reader_refresh(reader, &changed));
    return changed;
}

static void check_refused(rds_reader *reader, rds_status status) {
    uint32_t changed = 77;
    CHECK_STATUS(rds_reader_refresh(reader, &changed), status);
    CHECK_MESSAGE_HAS("rds_reader_refresh: ");
    CHECK_NUMBER(changed, 0);
}

static void check_rows(rds_reader *reader, uint64_t rows) {
    CHECK_NUMBER(table_info(reader).rows, rows);
    for (uint64_t row = 0; row < rows; row++) CHECK(table_row_is(reader, row, row));
    CHECK(!table_row_is(reader, rows, rows));
}

static const void *data_of(const rds_reader *reader, uint64_t row) {
    rds_span span = RDS_SPAN_INIT;
    CHECK_OK(rds_reader_span(reader, 0, row, &span));
    return span.data;
}

TEST(nothing_new_changes_nothing) {
    check_path_text path = check_path();
    table_make(path.text, 5);
    rds_reader *reader = table_reader(path.text);
    const char *before, *after;
    size_t length;
    uint64_t version = table_info(reader).version;
    const void *data = data_of(reader, 0);
    CHECK_OK(rds_reader_id(reader, 2, &before, &length));
    for (int i = 0; i < 3; i++) CHECK_NUMBER(refresh(reader), 0);
    CHECK_OK(rds_reader_refresh(reader, NULL));
    CHECK_OK(rds_reader_id(reader, 2, &after, &length));
    /* What was lent is lent still. */
    CHECK(before == after && data_of(reader, 0) == data);
    CHECK_NUMBER(table_info(reader).version, version);
    check_rows(reader, 5);
    CHECK_OK(rds_reader_close(reader));
}

TEST(new_rows_are_seen_after_a_refresh_and_not_before) {
    static const uint32_t accesses[] = {RDS_ACCESS_AUTO, RDS_ACCESS_MAPPED, RDS_ACCESS_LANCE};
    for (int a = 0; a < 3; a++) {
        check_path_text path = check_path();
        rds_reader *reader = NULL;
        rds_reader_options options = RDS_READER_OPTIONS_INIT;
        options.access = accesses[a];
        table_make(path.text, 5);
        CHECK_OK(rds_reader_open(path.text, &options, &reader));
        check_rows(reader, 5);
        uint64_t version = table_info(reader).version;
        for (uint64_t rows = 5; rows < 14; rows += 3) {
            table_append(path.text, rows, 3);
            check_rows(reader, rows);
            CHECK_NUMBER(refresh(reader), 1);
            CHECK_NUMBER(refresh(reader), 0);
            check_rows(reader, rows + 3);
            CHECK(table_info(reader).version > version);
            version = table_info(reader).version;
        }
        CHECK_NUMBER(column_info(reader, 0).mapped_rows, a == 2 ? 0 : 14);
        CHECK_OK(rds_reader_close(reader));
    }
}

TEST(files_that_did_not_change_stay_mapped_where_they_were) {
    check_path_text path = check_path();
    table_make(path.text, 5);
    rds_reader *reader = table_reader(path.text);
    const void *before = data_of(reader, 0);
    table_append(path.text, 5, 3);
    CHECK_NUMBER(refresh(reader), 1);
    CHECK(before != NULL && data_of(reader, 0) == before);
    CHECK(data_of(reader, 5) != NULL);
    CHECK_NUMBER(maps_of(path.text), 2);
    CHECK_OK(rds_reader_close(reader));
    CHECK_NUMBER(maps_of(path.text), 0);
}

TEST(ids_are_loaded_anew) {
    check_path_text path = check_path();
    const char *const names[] = {"id-1", "id-6", "id-5"};
    const rds_ids ids = ids_of(RDS_IDS_CSTRINGS, 3, names);
    uint64_t rows[3], counts[3];
    table_make(path.text, 5);
    rds_reader *reader = table_reader(path.text);
    CHECK_OK(rds_reader_find(reader, &ids, rows, counts));
    CHECK(rows[0] == 1 && rows[1] == RDS_ROW_NONE && rows[2] == RDS_ROW_NONE);
    table_append(path.text, 5, 2);
    table_append(path.text, 1, 1);
    CHECK_NUMBER(refresh(reader), 1);
    CHECK_OK(rds_reader_find(reader, &ids, rows, counts));
    CHECK(rows[0] == 1 && rows[1] == 6 && rows[2] == 5);
    CHECK(counts[0] == 2 && counts[1] == 1 && counts[2] == 1);
    CHECK_OK(rds_reader_close(reader));
}

TEST(a_reader_of_an_earlier_version_moves_to_the_newest) {
    check_path_text path = check_path();
    table_make(path.text, 2);
    rds_reader *reader = table_reader(path.text), *old = NULL;
    rds_reader_options options = RDS_READER_OPTIONS_INIT;
    options.version = table_info(reader).version;
    table_append(path.text, 2, 2);
    CHECK_OK(rds_reader_open(path.text, &options, &old));
    check_rows(old, 2);
    CHECK_NUMBER(refresh(old), 1);
    check_rows(old, 4);
    CHECK_OK(rds_reader_close(old));
    CHECK_OK(rds_reader_close(reader));
}

/* Drains what is left of a stream of batches that hold row numbers from `row` on. */
static uint64_t drain(struct ArrowArrayStream *stream, uint64_t row) {
    struct ArrowArray batch;
    while (CHECK_NUMBER(stream->get_next(stream, &batch), 0) && batch.release) {
        for (int64_t i = 0; i < batch.length; i++, row++) {
            CHECK(string_is(batch.children[0], i, row) && list_row_is(batch.children[1], i, row));
        }
        batch.release(&batch);
    }
    return row;
}

TEST(what_was_exported_before_stays_as_it_was) {
    check_path_text path = check_path();
    struct ArrowArray one, taken, ids, batch;
    struct ArrowArrayStream begun, untouched;
    rds_stream_options options = RDS_STREAM_OPTIONS_INIT;
    DLManagedTensorVersioned *tensor = NULL;
    const uint64_t rows[] = {39, 7};
    options.batch_rows = 8;
    table_make(path.text, 40);
    rds_reader *reader = table_reader(path.text);
    REQUIRE(CHECK_OK(rds_reader_get(reader, 0, 3, &one)));
    REQUIRE(CHECK_OK(rds_reader_take(reader, rows, 2, NULL, NULL, &taken)));
    REQUIRE(CHECK_OK(rds_reader_ids(reader, 0, 40, NULL, &ids)));
    REQUIRE(CHECK_OK(rds_reader_dlpack(reader, 0, 0, 40, &tensor)));
    REQUIRE(CHECK_OK(rds_reader_stream(reader, &options, &begun)));
    REQUIRE(CHECK_OK(rds_reader_stream(reader, &options, &untouched)));
    REQUIRE(CHECK_NUMBER(begun.get_next(&begun, &batch), 0));
    /* The old version goes, and with it its file's place in the table. */
    table_make(path.text, 3);
    CHECK_NUMBER(refresh(reader), 1);
    check_rows(reader, 3);
    CHECK(list_row_is(&one, 0, 3));
    CHECK(list_row_is(taken.children[1], 0, 39) && string_is(taken.children[0], 1, 7));
    for (uint64_t row = 0; row < 40; row++) {
        CHECK(large_string_is(&ids, (int64_t)row, row));
        CHECK(((float *)tensor->dl_tensor.data)[row * TABLE_WIDTH] == table_value(row, 0));
    }
    CHECK_NUMBER(drain(&begun, (uint64_t)batch.length), 40);
    CHECK_NUMBER(drain(&untouched, 0), 40);
    one.release(&one), taken.release(&taken), ids.release(&ids), batch.release(&batch);
    begun.release(&begun), untouched.release(&untouched);
    CHECK_OK(rds_reader_close(reader));
    tensor->deleter(tensor);
}

static void overwrite(const char *path, uint32_t dtype, uint64_t ndim, const int64_t *shape) {
    static const double values[16];
    const int64_t numbers[2] = {1, 2};
    const rds_ids ids = ids_of(RDS_IDS_INT64, (uint64_t)shape[0], numbers);
    const rds_tensor tensor = tensor_of(dtype, ndim, shape, values);
    rds_writer *writer = table_writer(path, RDS_MODE_OVERWRITE, RDS_DURABILITY_INTERVAL);
    CHECK_OK(rds_write_tensors(writer, &ids, &tensor, 1));
    CHECK_OK(rds_writer_close(writer));
}

TEST(rows_of_another_dtype_or_shape_leave_the_reader_where_it_was) {
    static const struct {
        uint32_t dtype;
        uint64_t ndim;
        int64_t shape[3];
    } others[] = {{RDS_DTYPE_FLOAT64, 2, {2, 4, 0}}, {RDS_DTYPE_INT32, 2, {2, 4, 0}},
                  {RDS_DTYPE_FLOAT32, 2, {2, 5, 0}}, {RDS_DTYPE_FLOAT32, 3, {2, 4, 1}},
                  {RDS_DTYPE_FLOAT32, 3, {2, 2, 2}}, {RDS_DTYPE_FLOAT32, 1, {2, 0, 0}}};
    check_path_text path = check_path();
    table_make(path.text, 6);
    rds_reader *reader = table_reader(path.text);
    uint64_t version = table_info(reader).version;
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        overwrite(path.text, others[i].dtype, others[i].ndim, others[i].shape);
        check_refused(reader, RDS_ERR_SCHEMA_MISMATCH);
        check_rows(reader, 6);
        CHECK_NUMBER(table_info(reader).version, version);
    }
    table_make(path.text, 4);
    CHECK_NUMBER(refresh(reader), 1);
    check_rows(reader, 4);
    CHECK_OK(rds_reader_close(reader));
}

TEST(a_table_that_is_gone_is_not_found_and_its_mapped_rows_are_still_read) {
    check_path_text path = check_path();
    float values[TABLE_WIDTH];
    struct ArrowArray array;
    table_make(path.text, 6);
    rds_reader *reader = table_reader(path.text);
    check_remove(path.text);
    check_refused(reader, RDS_ERR_NOT_FOUND);
    CHECK_NUMBER(table_info(reader).rows, 6);
    for (uint64_t row = 0; row < 6; row++) {
        CHECK_OK(rds_reader_read(reader, 0, &row, 1, values, sizeof values));
        CHECK(values[0] == table_value(row, 0));
        if (!CHECK_OK(rds_reader_get(reader, 0, row, &array))) continue;
        CHECK(list_row_is(&array, 0, row));
        array.release(&array);
    }
    CHECK_OK(rds_reader_close(reader));
}

TEST(a_table_made_anew_in_the_same_place_is_another_version) {
    check_path_text path = check_path();
    table_make(path.text, 6);
    rds_reader *reader = table_reader(path.text);
    uint64_t version = table_info(reader).version;
    check_remove(path.text);
    table_make(path.text, 2);
    CHECK_NUMBER(refresh(reader), 1);
    CHECK_NUMBER(table_info(reader).version, version);
    check_rows(reader, 2);
    CHECK_OK(rds_reader_close(reader));
}

TEST(a_damaged_or_missing_new_file_leaves_the_reader_where_it_was) {
    check_path_text path = check_path();
    char moved[1400];
    table_make(path.text, 6);
    check_path_text old = file_in(path.text, "data", ".lance");
    rds_reader *reader = table_reader(path.text);
    table_append(path.text, 6, 2);
    check_path_text new = other_file_in(path.text, "data", ".lance", &old);
    /* Where its run has it, too. */
    CHECK(snprintf(moved, sizeof moved, "%s/lance_db/results.lance/_rds", path.text) > 0);
    check_remove(moved);
    CHECK(snprintf(moved, sizeof moved, "%s.moved", new.text) > 0);
    CHECK(rename(new.text, moved) == 0);
    check_refused(reader, RDS_ERR_NOT_FOUND);
    check_rows(reader, 6);
    FILE *file = fopen(new.text, "w");
    REQUIRE(CHECK(file != NULL && fputs("not a Lance file, and much too short", file) > 0));
    CHECK(fclose(file) == 0);
    check_refused(reader, RDS_ERR_CORRUPT);
    check_rows(reader, 6);
    CHECK(rename(moved, new.text) == 0);
    CHECK_NUMBER(refresh(reader), 1);
    check_rows(reader, 8);
    CHECK_OK(rds_reader_close(reader));
}

TEST(a_closed_reader_is_not_refreshed) {
    check_path_text path = check_path();
    table_make(path.text, 1);
    rds_reader *reader = table_reader(path.text);
    CHECK_OK(rds_reader_close(reader));
    check_refused(reader, RDS_ERR_INVALID_HANDLE);
    check_refused(NULL, RDS_ERR_INVALID_HANDLE);
}

CHECK_MAIN(RUN(nothing_new_changes_nothing), RUN(new_rows_are_seen_after_a_refresh_and_not_before),
           RUN(files_that_did_not_change_stay_mapped_where_they_were), RUN(ids_are_loaded_anew),
           RUN(a_reader_of_an_earlier_version_moves_to_the_newest),
           RUN(what_was_exported_before_stays_as_it_was),
           RUN(rows_of_another_dtype_or_shape_leave_the_reader_where_it_was),
           RUN(a_table_that_is_gone_is_not_found_and_its_mapped_rows_are_still_read),
           RUN(a_table_made_anew_in_the_same_place_is_another_version),
           RUN(a_damaged_or_missing_new_file_leaves_the_reader_where_it_was),
           RUN(a_closed_reader_is_not_refreshed))
