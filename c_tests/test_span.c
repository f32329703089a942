/* Spans: where rows lie in memory, without a call for each. */
#include <pthread.h>

#include "dtypes.h"
#include "maps.h"

/* Three data files, the first of several pages. */
static const uint64_t runs[] = {10000, 1, 700, 0};
static const int64_t wide[2] = {32, 32}, narrow[1] = {8};

static rds_span span_at(const rds_reader *reader, uint64_t row) {
    rds_span span = RDS_SPAN_INIT;
    CHECK_OK(rds_reader_span(reader, 0, row, &span));
    return span;
}

static int same_span(const rds_span *a, const rds_span *b) {
    return a->first_row == b->first_row && a->row_count == b->row_count && a->data == b->data &&
           a->stride == b->stride;
}

/* Walks over all rows as the header shows; returns how many spans there are, 0 if rows are left out
 * or come twice. */
static int walk(const rds_reader *reader, void (*visit)(const rds_span *, void *), void *data) {
    uint64_t rows = table_info(reader).rows, row = 0;
    int spans = 0;
    for (rds_span span; row < rows; row = span.first_row + span.row_count, spans++) {
        span = span_at(reader, row);
        if (!CHECK_NUMBER(span.first_row, row) || !CHECK(span.row_count >= 1)) return 0;
        visit(&span, data);
    }
    return CHECK_NUMBER(row, rows) ? spans : 0;
}

static void compare(const rds_span *span, void *data) {
    const made_table *made = (const made_table *)data;
    REQUIRE(CHECK(span->data != NULL) && CHECK_NUMBER(span->stride, made->row_bytes));
    CHECK(memcmp(span->data, made_row(made, span->first_row), span->row_count * span->stride) == 0);
    CHECK(lies_in_a_file(span->data, span->row_count * span->stride));
}

TEST(a_walk_over_spans_meets_every_row_once_and_in_order) {
    made_table made = made_new(RDS_DTYPE_FLOAT32, 2, wide, runs);
    rds_reader *reader = made_open(&made, RDS_ACCESS_AUTO);
    /* One for each file, over all its pages. */
    CHECK_NUMBER(walk(reader, compare, &made), 3);
    CHECK_NUMBER(column_info(reader, 0).mapped_rows, made.rows);
    CHECK_OK(rds_reader_close(reader));
    made_free(&made);
}

TEST(every_row_of_a_span_has_that_span) {
    made_table made = made_new(RDS_DTYPE_INT16, 1, narrow, (const uint64_t[]){3, 1, 5, 2, 0});
    rds_reader *reader = made_open(&made, RDS_ACCESS_AUTO);
    const uint64_t first[] = {0, 0, 0, 3, 4, 4, 4, 4, 4, 9, 9};
    for (uint64_t row = 0; row < made.rows; row++) {
        rds_span span = span_at(reader, row), of_first = span_at(reader, first[row]);
        CHECK_NUMBER(span.first_row, first[row]);
        CHECK(same_span(&span, &of_first));
    }
    CHECK_OK(rds_reader_close(reader));
    made_free(&made);
}

TEST(what_a_span_shows_is_what_a_read_copies) {
    made_table made = made_new(RDS_DTYPE_FLOAT64, 1, narrow, (const uint64_t[]){40, 60, 0});
    rds_reader *reader = made_open(&made, RDS_ACCESS_AUTO);
    unsigned char row_bytes[64];
    for (uint64_t row = 0; row < made.rows; row++) {
        rds_span span = span_at(reader, row);
        CHECK_OK(rds_reader_read(reader, 0, &row, 1, row_bytes, sizeof row_bytes));
        const unsigned char *start = (const unsigned char *)span.data;
        REQUIRE(CHECK(start != NULL));
        CHECK(memcmp(start + (row - span.first_row) * span.stride, row_bytes, 64) == 0);
    }
    CHECK_OK(rds_reader_close(reader));
    made_free(&made);
}

static void expect_no_data(const rds_span *span, void *data) {
    (void)data;
    CHECK(span->data == NULL);
    CHECK_NUMBER(span->stride, 0);
}

TEST(every_dtype_lies_in_memory_as_the_caller_has_it) {
    for (int i = 0; i < DTYPES; i++) {
        for (uint64_t ndim = 0; ndim < 2; ndim++) {
            int before = check_failures, is_bool = dtypes[i].number == RDS_DTYPE_BOOL;
            made_table made =
                made_new(dtypes[i].number, ndim, narrow, (const uint64_t[]){5, 3, 0});
            rds_reader *reader = made_open(&made, RDS_ACCESS_AUTO);
            /* Bool is packed: eight to a byte of the table, and one to a byte of the caller. */
            int spans = walk(reader, is_bool ? expect_no_data : compare, &made);
            if (!is_bool) CHECK_NUMBER(spans, 2);
            CHECK_NUMBER(column_info(reader, 0).mapped_rows, is_bool && ndim == 0 ? 0 : 8);
            CHECK_OK(rds_reader_close(reader));
            made_free(&made);
            if (check_failures != before) fprintf(stderr, "    of %s\n", dtypes[i].name);
        }
    }
}

TEST(a_reader_that_does_not_map_has_one_span_without_data) {
    made_table made = made_new(RDS_DTYPE_FLOAT32, 1, narrow, (const uint64_t[]){7, 4, 9, 0});
    rds_reader *reader = made_open(&made, RDS_ACCESS_LANCE);
    CHECK_NUMBER(walk(reader, expect_no_data, NULL), 1);
    rds_span span = span_at(reader, 12);
    CHECK_NUMBER(span.first_row, 0);
    CHECK_NUMBER(span.row_count, 20);
    CHECK_NUMBER(column_info(reader, 0).mapped_rows, 0);
    CHECK_OK(rds_reader_close(reader));
    made_free(&made);
}

TEST(a_row_beyond_the_table_has_no_span) {
    made_table made = made_new(RDS_DTYPE_FLOAT32, 1, narrow, (const uint64_t[]){3, 2, 0});
    const uint64_t beyond[] = {5, 6, 1ull << 32, INT64_MAX, UINT64_MAX - 1, RDS_ROW_NONE};
    const uint32_t accesses[] = {RDS_ACCESS_AUTO, RDS_ACCESS_MAPPED, RDS_ACCESS_LANCE};
    for (int a = 0; a < 3; a++) {
        rds_reader *reader = made_open(&made, accesses[a]);
        for (size_t i = 0; i < sizeof beyond / sizeof beyond[0]; i++) {
            rds_span span = {sizeof span, 77, 78, &span, 79};
            CHECK_STATUS(rds_reader_span(reader, 0, beyond[i], &span), RDS_ERR_OUT_OF_RANGE);
            CHECK_MESSAGE_HAS("rds_reader_span: row ");
            /* Written on success only. */
            CHECK(span.first_row == 77 && span.row_count == 78 && span.stride == 79);
            CHECK(span.data == &span);
        }
        CHECK_OK(rds_reader_close(reader));
    }
    made_free(&made);
}

/* Everything else that a reader does. */
static void use(const rds_reader *reader, const made_table *made) {
    const uint64_t rows[] = {made->rows - 1, 0};
    unsigned char *bytes = (unsigned char *)malloc(made->rows * made->row_bytes);
    struct ArrowArray array;
    struct ArrowArrayStream stream;
    const char *id;
    size_t length;
    CHECK_OK(rds_reader_read(reader, 0, rows, 2, bytes, 2 * made->row_bytes));
    CHECK_OK(rds_reader_read_range(reader, 0, 0, made->rows, bytes, made->rows * made->row_bytes));
    CHECK(memcmp(bytes, made->bytes, made->rows * made->row_bytes) == 0);
    free(bytes);
    if (CHECK_OK(rds_reader_get(reader, 0, 0, &array))) array.release(&array);
    if (CHECK_OK(rds_reader_take(reader, rows, 2, NULL, NULL, &array))) array.release(&array);
    if (CHECK_OK(rds_reader_ids(reader, 0, made->rows, NULL, &array))) array.release(&array);
    CHECK_OK(rds_reader_id(reader, 1, &id, &length));
    REQUIRE(CHECK_OK(rds_reader_stream(reader, NULL, &stream)));
    CHECK_NUMBER(stream.get_next(&stream, &array), 0);
    if (array.release) array.release(&array);
    stream.release(&stream);
}

TEST(a_span_stays_where_it_is_whatever_else_the_reader_does) {
    made_table made = made_new(RDS_DTYPE_FLOAT32, 1, narrow, (const uint64_t[]){300, 200, 0});
    rds_reader *reader = made_open(&made, RDS_ACCESS_AUTO);
    rds_span first = span_at(reader, 0), second = span_at(reader, 300);
    for (int i = 0; i < check_rounds(20); i++) {
        use(reader, &made);
        rds_span again = span_at(reader, (uint64_t)i), other = span_at(reader, 300 + (uint64_t)i);
        CHECK(same_span(&first, &again) && same_span(&second, &other));
        compare(&first, &made);
        compare(&second, &made);
    }
    CHECK_OK(rds_reader_close(reader));
    made_free(&made);
}

TEST(spans_are_still_there_when_the_files_are_gone) {
    made_table made = made_new(RDS_DTYPE_FLOAT32, 1, narrow, (const uint64_t[]){300, 200, 0});
    rds_reader *reader = made_open(&made, RDS_ACCESS_AUTO);
    rds_span span = span_at(reader, 499);
    check_remove(made.path.text);
    CHECK(memcmp(span.data, made_row(&made, 300), 200 * made.row_bytes) == 0);
    rds_span unseen = span_at(reader, 0);
    CHECK(memcmp(unseen.data, made.bytes, 300 * made.row_bytes) == 0);
    CHECK_OK(rds_reader_close(reader));
    made_free(&made);
}

struct walker {
    const rds_reader *reader;
    made_table *made;
};

static void *walk_often(void *data) {
    struct walker *walker = (struct walker *)data;
    for (int i = 0; i < check_rounds(50); i++) {
        CHECK_NUMBER(walk(walker->reader, compare, walker->made), 4);
    }
    return NULL;
}

TEST(eight_threads_walk_over_the_spans_of_one_reader) {
    made_table made = made_new(RDS_DTYPE_FLOAT32, 1, narrow, (const uint64_t[]){9, 1, 30, 4, 0});
    struct walker walker = {made_open(&made, RDS_ACCESS_AUTO), &made};
    pthread_t threads[8];
    for (int i = 0; i < 8; i++) pthread_create(&threads[i], NULL, walk_often, &walker);
    for (int i = 0; i < 8; i++) pthread_join(threads[i], NULL);
    CHECK_OK(rds_reader_close((rds_reader *)walker.reader));
    made_free(&made);
}

/* Rows of 16 numbers, in batches whose rows become durable, and now and then visible, on their way. */
static void write_in_batches(const char *path, uint32_t durability, int batches, uint64_t batch) {
    rds_writer *writer = NULL;
    rds_writer_options options = RDS_WRITER_OPTIONS_INIT;
    int64_t *numbers = (int64_t *)calloc(batch, sizeof *numbers), shape[2] = {(int64_t)batch, 16};
    float *values = (float *)calloc(batch * 16, sizeof *values);
    options.durability = durability, options.checkpoint_ms = 5;
    CHECK_OK(rds_writer_open(path, &options, &writer));
    for (int b = 0; b < batches; b++) {
        for (uint64_t i = 0; i < batch; i++) {
            uint64_t row = (uint64_t)b * batch + i;
            numbers[i] = (int64_t)row;
            for (uint64_t c = 0; c < 16; c++) values[i * 16 + c] = (float)(row * 16 + c);
        }
        rds_ids ids = ids_of(RDS_IDS_INT64, batch, numbers);
        rds_tensor tensor = tensor_of(RDS_DTYPE_FLOAT32, 2, shape, values);
        CHECK_OK(rds_write_tensors(writer, &ids, &tensor, 1));
        if (b % 50 == 49) CHECK_OK(rds_flush(writer));
    }
    CHECK_OK(rds_writer_close(writer));
    free(values);
    free(numbers);
}

TEST(a_table_written_in_many_batches_with_checkpoints_is_one_span_from_the_first_byte_on) {
    const uint32_t durabilities[] = {RDS_DURABILITY_INTERVAL, RDS_DURABILITY_BATCH};
    for (int i = 0; i < 2; i++) {
        check_path_text path = check_path();
        int batches = check_rounds(500);
        const uint64_t rows = (uint64_t)batches * 200;
        rds_span span = RDS_SPAN_INIT;
        write_in_batches(path.text, durabilities[i], batches, 200);
        rds_reader *reader = table_reader(path.text);
        CHECK_NUMBER(table_info(reader).rows, rows);
        CHECK_OK(rds_reader_span(reader, 0, 0, &span));
        CHECK_NUMBER(span.first_row, 0);
        CHECK_NUMBER(span.row_count, rows);
        CHECK_NUMBER(span.stride, 16 * sizeof(float));
        if (CHECK(span.data != NULL)) {
            const float *values = (const float *)span.data;
            memory_map map = map_at(values);
            long long wrong = 0;
            CHECK_NUMBER((uintptr_t)values - map.start + map.offset, 0);
            for (uint64_t n = 0; n < rows * 16; n++) wrong += values[n] != (float)n;
            CHECK_NUMBER(wrong, 0);
        }
        CHECK_OK(rds_reader_close(reader));
    }
}

CHECK_MAIN(RUN(a_table_written_in_many_batches_with_checkpoints_is_one_span_from_the_first_byte_on),
           RUN(a_walk_over_spans_meets_every_row_once_and_in_order),
           RUN(every_row_of_a_span_has_that_span), RUN(what_a_span_shows_is_what_a_read_copies),
           RUN(every_dtype_lies_in_memory_as_the_caller_has_it),
           RUN(a_reader_that_does_not_map_has_one_span_without_data),
           RUN(a_row_beyond_the_table_has_no_span),
           RUN(a_span_stays_where_it_is_whatever_else_the_reader_does),
           RUN(spans_are_still_there_when_the_files_are_gone),
           RUN(eight_threads_walk_over_the_spans_of_one_reader))
