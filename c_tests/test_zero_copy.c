/* What is exported of mapped rows is the table's own memory: no copy, and the file stays mapped for
 * as long as anybody has it. */
#include <fcntl.h>

#include "dtypes.h"
#include "maps.h"

static const int64_t narrow[1] = {8};
static const uint64_t runs[] = {30, 1, 20, 0};

/* The buffer with the numbers of an exported list array, and where in it they begin. */
static const void *numbers_of(const struct ArrowArray *list, size_t bytes) {
    const struct ArrowArray *items = list->children[0];
    size_t first = (size_t)(items->offset + list->offset * (items->length / list->length));
    return (const char *)items->buffers[1] + first * bytes;
}

static const void *data_of(const rds_reader *reader, uint64_t row) {
    rds_span span = RDS_SPAN_INIT;
    CHECK_OK(rds_reader_span(reader, 0, row, &span));
    if (!CHECK(span.data != NULL)) return NULL;
    return (const char *)span.data + (row - span.first_row) * span.stride;
}

TEST(a_row_is_where_its_span_says) {
    for (int i = 0; i < DTYPES; i++) {
        if (dtypes[i].number == RDS_DTYPE_BOOL) continue;
        made_table made = made_new(dtypes[i].number, 1, narrow, runs);
        rds_reader *reader = made_open(&made, RDS_ACCESS_AUTO);
        int before = check_failures;
        for (uint64_t row = 0; row < made.rows; row += 3) {
            struct ArrowArray array;
            if (!CHECK_OK(rds_reader_get(reader, 0, row, &array))) continue;
            CHECK_NUMBER(array.length, 1);
            CHECK(numbers_of(&array, dtypes[i].word) == data_of(reader, row));
            array.release(&array);
        }
        CHECK_OK(rds_reader_close(reader));
        made_free(&made);
        if (check_failures != before) fprintf(stderr, "    of %s\n", dtypes[i].name);
    }
}

TEST(a_row_of_bool_is_in_the_file_too) {
    made_table made = made_new(RDS_DTYPE_BOOL, 1, narrow, runs);
    rds_reader *reader = made_open(&made, RDS_ACCESS_AUTO);
    for (uint64_t row = 0; row < made.rows; row++) {
        struct ArrowArray array;
        if (!CHECK_OK(rds_reader_get(reader, 0, row, &array))) continue;
        const struct ArrowArray *items = array.children[0];
        const unsigned char *bits = (const unsigned char *)items->buffers[1];
        CHECK(lies_in_a_file(bits, 1));
        for (int64_t i = 0; i < 8; i++) {
            int64_t at = array.offset * 8 + items->offset + i;
            CHECK_NUMBER(bits[at / 8] >> at % 8 & 1, made_row(&made, row)[i]);
        }
        array.release(&array);
    }
    CHECK_OK(rds_reader_close(reader));
    made_free(&made);
}

static void check_batches(const made_table *made, const rds_reader *reader, uint32_t columns,
                          uint64_t first, uint64_t batch_rows) {
    struct ArrowArrayStream stream;
    struct ArrowArray batch;
    rds_stream_options options = stream_select(columns);
    options.first_row = first;
    options.batch_rows = batch_rows;
    REQUIRE(CHECK_OK(rds_reader_stream(reader, &options, &stream)));
    uint64_t row = first;
    while (CHECK_NUMBER(stream.get_next(&stream, &batch), 0) && batch.release) {
        const struct ArrowArray *list = batch.children[batch.n_children - 1];
        CHECK(batch.length > 0 && batch.length <= (int64_t)batch_rows);
        CHECK(numbers_of(list, made->dtype->word) == data_of(reader, row));
        CHECK(lies_in_a_file(numbers_of(list, made->dtype->word),
                             (uint64_t)batch.length * made->row_bytes));
        row += (uint64_t)batch.length;
        batch.release(&batch);
    }
    CHECK_NUMBER(row, made->rows);
    stream.release(&stream);
}

TEST(batches_of_a_stream_are_where_their_spans_say) {
    made_table made = made_new(RDS_DTYPE_FLOAT32, 1, narrow, runs);
    rds_reader *reader = made_open(&made, RDS_ACCESS_AUTO);
    const uint64_t sizes[] = {1, 7, 30, 8192};
    for (int i = 0; i < 4; i++) {
        for (uint64_t first = 0; first < made.rows; first += 10) {
            check_batches(&made, reader, DATA, first, sizes[i]);
            check_batches(&made, reader, 0, first, sizes[i]);
        }
    }
    CHECK_OK(rds_reader_close(reader));
    made_free(&made);
}

TEST(a_reader_maps_its_files_and_unmaps_them) {
    made_table made = made_new(RDS_DTYPE_FLOAT32, 1, narrow, runs);
    for (int i = 0; i < 3; i++) {
        rds_reader *one = made_open(&made, RDS_ACCESS_AUTO);
        CHECK(maps_of(made.path.text) >= 3);
        rds_reader *other = made_open(&made, RDS_ACCESS_AUTO);
        CHECK_OK(rds_reader_close(one));
        CHECK(maps_of(made.path.text) >= 3);
        CHECK_OK(rds_reader_close(other));
        CHECK_NUMBER(maps_of(made.path.text), 0);
    }
    rds_reader *unmapped = made_open(&made, RDS_ACCESS_LANCE);
    CHECK_NUMBER(maps_of(made.path.text), 0);
    CHECK_OK(rds_reader_close(unmapped));
    made_free(&made);
}

TEST(an_export_keeps_its_own_file_mapped_and_no_other) {
    made_table made = made_new(RDS_DTYPE_FLOAT32, 1, narrow, runs);
    rds_reader *reader = made_open(&made, RDS_ACCESS_AUTO);
    struct ArrowArray row, batch;
    struct ArrowArrayStream stream;
    rds_stream_options options = stream_select(DATA);
    REQUIRE(CHECK_OK(rds_reader_get(reader, 0, 30, &row)));
    REQUIRE(CHECK_OK(rds_reader_stream(reader, &options, &stream)));
    REQUIRE(CHECK_NUMBER(stream.get_next(&stream, &batch), 0));
    CHECK_OK(rds_reader_close(reader));
    /* A stream may come to every row. */
    CHECK_NUMBER(maps_of(made.path.text), 3);
    stream.release(&stream);
    CHECK_NUMBER(maps_of(made.path.text), 2);
    check_remove(made.path.text);
    CHECK(memcmp(numbers_of(&row, 4), made_row(&made, 30), made.row_bytes) == 0);
    CHECK(memcmp(numbers_of(batch.children[0], 4), made.bytes, 30 * made.row_bytes) == 0);
    row.release(&row);
    CHECK_NUMBER(maps_of(made.path.text), 1);
    CHECK(memcmp(numbers_of(batch.children[0], 4), made.bytes, 30 * made.row_bytes) == 0);
    batch.release(&batch);
    CHECK_NUMBER(maps_of(made.path.text), 0);
    made_free(&made);
}

/* A copy: the rows of a take lie in any order, in one buffer. */
TEST(taken_rows_map_nothing) {
    made_table made = made_new(RDS_DTYPE_FLOAT32, 1, narrow, runs);
    rds_reader *reader = made_open(&made, RDS_ACCESS_AUTO);
    const uint64_t rows[] = {40, 3, 30};
    const rds_select_options data = select_of(DATA);
    struct ArrowArray batch;
    REQUIRE(CHECK_OK(rds_reader_take(reader, rows, 3, &data, NULL, &batch)));
    CHECK_OK(rds_reader_close(reader));
    CHECK_NUMBER(maps_of(made.path.text), 0);
    const unsigned char *bytes = (const unsigned char *)numbers_of(batch.children[0], 4);
    for (int i = 0; i < 3; i++) {
        CHECK(memcmp(bytes + i * 32, made_row(&made, rows[i]), 32) == 0);
    }
    batch.release(&batch);
    made_free(&made);
}

static int open_files(void) {
    int count = 0;
    for (int fd = 0; fd < 1024; fd++) count += fcntl(fd, F_GETFD) != -1;
    return count;
}

/* A map needs no descriptor: few are kept, for ids. */
TEST(few_mapped_files_are_kept_open) {
    made_table made = made_new(RDS_DTYPE_FLOAT32, 1, narrow, runs);
    rds_reader *readers[50];
    readers[0] = made_open(&made, RDS_ACCESS_AUTO);
    int before = open_files();
    for (int i = 1; i < 50; i++) readers[i] = made_open(&made, RDS_ACCESS_AUTO);
    CHECK(open_files() <= before + 32);
    for (int i = 0; i < 50; i++) CHECK_OK(rds_reader_close(readers[i]));
    CHECK_NUMBER(maps_of(made.path.text), 0);
    made_free(&made);
}

CHECK_MAIN(RUN(a_row_is_where_its_span_says), RUN(a_row_of_bool_is_in_the_file_too),
           RUN(batches_of_a_stream_are_where_their_spans_say),
           RUN(a_reader_maps_its_files_and_unmaps_them),
           RUN(an_export_keeps_its_own_file_mapped_and_no_other), RUN(taken_rows_map_nothing),
           RUN(few_mapped_files_are_kept_open))
