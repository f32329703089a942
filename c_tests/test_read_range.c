/* Ranges of rows copied into memory of the caller: from mapped files, through Lance, and across
 * the ends of files and pages, always the same bytes. */
#include "dtypes.h"

enum { CANARY = 0xa5, MARGIN = 64 };

static const int64_t wide[2] = {32, 32}, narrow[1] = {4};
static const uint32_t accesses[] = {RDS_ACCESS_AUTO, RDS_ACCESS_LANCE};

/* Reads a range into memory that begins at an odd address and ends right before a canary. */
static void check_range(const rds_reader *reader, const made_table *made, uint64_t first,
                        uint64_t count) {
    size_t bytes = count * made->row_bytes, untouched = 0;
    unsigned char *memory = (unsigned char *)malloc(1 + bytes + MARGIN);
    memset(memory, CANARY, 1 + bytes + MARGIN);
    if (CHECK_OK(rds_reader_read_range(reader, 0, first, count, memory + 1, bytes))) {
        CHECK(memcmp(memory + 1, made_row(made, first), bytes) == 0);
    }
    for (size_t i = 0; i < MARGIN; i++) untouched += memory[1 + bytes + i] == CANARY;
    CHECK_NUMBER(untouched, MARGIN);
    CHECK_NUMBER(memory[0], CANARY);
    free(memory);
}

TEST(every_range_of_a_table_of_several_files) {
    made_table made = made_new(RDS_DTYPE_FLOAT32, 1, narrow, (const uint64_t[]){3, 1, 5, 2, 0});
    for (int a = 0; a < 2; a++) {
        rds_reader *reader = made_open(&made, accesses[a]);
        uint64_t step = check_rounds(10) < 10 ? 3 : 1;
        for (uint64_t first = 0; first <= made.rows; first += step) {
            for (uint64_t end = first; end <= made.rows; end += step) {
                check_range(reader, &made, first, end - first);
            }
        }
        CHECK_OK(rds_reader_close(reader));
    }
    made_free(&made);
}

TEST(ranges_across_pages_and_files) {
    made_table made =
        made_new(RDS_DTYPE_FLOAT32, 2, wide, (const uint64_t[]){10000, 1, 700, 0});
    for (int a = 0; a < 2; a++) {
        rds_reader *reader = made_open(&made, accesses[a]);
        rds_reader *mapped = made_open(&made, RDS_ACCESS_MAPPED);
        rds_span span = RDS_SPAN_INIT;
        int ends = 0;
        check_range(reader, &made, 0, made.rows);
        for (uint64_t row = 0; row < made.rows; row = span.first_row + span.row_count, ends++) {
            REQUIRE(CHECK_OK(rds_reader_span(mapped, 0, row, &span)));
            REQUIRE(CHECK_NUMBER(span.first_row, row));
            if (row == 0) continue;
            check_range(reader, &made, row - 1, 1);
            check_range(reader, &made, row, 1);
            check_range(reader, &made, row - 1, 2);
            /* Enough for several threads. */
            uint64_t before = row < 600 ? row : 600, after = made.rows - row;
            check_range(reader, &made, row - before, before + (after < 600 ? after : 600));
        }
        CHECK_NUMBER(ends, 3);
        /* Pages end within a span. */
        for (uint64_t row = 128; row < made.rows; row += 128) check_range(reader, &made, row - 1, 2);
        CHECK_OK(rds_reader_close(mapped));
        CHECK_OK(rds_reader_close(reader));
    }
    made_free(&made);
}

static void check_dtype(uint32_t dtype, uint64_t ndim, const int64_t *shape) {
    made_table made = made_new(dtype, ndim, shape, (const uint64_t[]){5, 1, 3, 0});
    for (int a = 0; a < 2; a++) {
        rds_reader *reader = made_open(&made, accesses[a]);
        check_range(reader, &made, 0, 9);
        check_range(reader, &made, 4, 3);
        check_range(reader, &made, 8, 1);
        CHECK_OK(rds_reader_close(reader));
    }
    made_free(&made);
}

TEST(ranges_of_every_dtype) {
    /* Of bool a row of the table ends within a byte, or does not. */
    const int64_t shapes[][2] = {{1, 1}, {2, 8}, {3, 7}};
    for (int i = 0; i < DTYPES; i++) {
        int before = check_failures;
        check_dtype(dtypes[i].number, 0, NULL);
        for (int s = 0; s < 3; s++) check_dtype(dtypes[i].number, 2, shapes[s]);
        if (check_failures != before) fprintf(stderr, "    of %s\n", dtypes[i].name);
    }
}

TEST(a_range_is_what_a_read_of_its_rows_gives) {
    made_table made = made_new(RDS_DTYPE_COMPLEX64, 1, narrow, (const uint64_t[]){400, 300, 0});
    const size_t bytes = 700 * 32;
    unsigned char *one = (unsigned char *)malloc(bytes), *other = (unsigned char *)malloc(bytes);
    uint64_t rows[700];
    for (uint64_t row = 0; row < 700; row++) rows[row] = row;
    for (int a = 0; a < 2; a++) {
        rds_reader *reader = made_open(&made, accesses[a]);
        CHECK_OK(rds_reader_read(reader, 0, rows, 700, one, bytes));
        CHECK_OK(rds_reader_read_range(reader, 0, 0, 700, other, bytes));
        CHECK(memcmp(one, other, bytes) == 0);
        CHECK_OK(rds_reader_read(reader, 0, rows + 390, 20, one, bytes));
        CHECK_OK(rds_reader_read_range(reader, 0, 390, 20, other, bytes));
        CHECK(memcmp(one, other, 20 * 32) == 0);
        CHECK_OK(rds_reader_close(reader));
    }
    free(one);
    free(other);
    made_free(&made);
}

TEST(no_rows_are_no_bytes) {
    made_table made = made_new(RDS_DTYPE_INT32, 1, narrow, (const uint64_t[]){3, 2, 0});
    unsigned char untouched = CANARY;
    for (int a = 0; a < 2; a++) {
        rds_reader *reader = made_open(&made, accesses[a]);
        for (uint64_t first = 0; first <= 5; first++) {
            CHECK_OK(rds_reader_read_range(reader, 0, first, 0, NULL, 0));
            CHECK_OK(rds_reader_read_range(reader, 0, first, 0, &untouched, 1));
        }
        CHECK_NUMBER(untouched, CANARY);
        CHECK_STATUS(rds_reader_read_range(reader, 0, 6, 0, NULL, 0), RDS_ERR_OUT_OF_RANGE);
        CHECK_STATUS(rds_reader_read_range(reader, 0, UINT64_MAX, 0, NULL, 0), RDS_ERR_OUT_OF_RANGE);
        CHECK_OK(rds_reader_close(reader));
    }
    made_free(&made);
}

TEST(too_little_memory_is_refused_untouched) {
    made_table made = made_new(RDS_DTYPE_INT32, 1, narrow, (const uint64_t[]){3, 2, 0});
    unsigned char memory[5 * 16];
    for (int a = 0; a < 2; a++) {
        rds_reader *reader = made_open(&made, accesses[a]);
        memset(memory, CANARY, sizeof memory);
        for (uint64_t count = 1; count <= 5; count++) {
            const size_t few[] = {0, 1, count * 16 - 1};
            for (int i = 0; i < 3; i++) {
                CHECK_STATUS(rds_reader_read_range(reader, 0, 0, count, memory, few[i]),
                             RDS_ERR_INVALID_ARGUMENT);
            }
        }
        CHECK_MESSAGE("rds_reader_read_range: out_bytes is 79; 5 rows need 80");
        for (size_t i = 0; i < sizeof memory; i++) CHECK_NUMBER(memory[i], CANARY);
        CHECK_OK(rds_reader_close(reader));
    }
    made_free(&made);
}

TEST(ranges_beyond_the_table_are_refused_untouched) {
    made_table made = made_new(RDS_DTYPE_INT32, 1, narrow, (const uint64_t[]){3, 2, 0});
    unsigned char memory[6 * 16];
    const uint64_t ranges[][2] = {{5, 1}, {4, 2}, {0, 6}, {3, 3}, {6, 1},
                                  {UINT64_MAX, 1}, {UINT64_MAX - 1, 2}, {UINT64_MAX, 6},
                                  {UINT64_MAX - 4, 5}, {UINT64_MAX / 16, 1}, {1ull << 63, 4}};
    for (int a = 0; a < 2; a++) {
        rds_reader *reader = made_open(&made, accesses[a]);
        memset(memory, CANARY, sizeof memory);
        for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++) {
            CHECK_STATUS(rds_reader_read_range(reader, 0, ranges[i][0], ranges[i][1], memory,
                                               sizeof memory),
                         RDS_ERR_OUT_OF_RANGE);
        }
        for (size_t i = 0; i < sizeof memory; i++) CHECK_NUMBER(memory[i], CANARY);
        CHECK_OK(rds_reader_close(reader));
    }
    made_free(&made);
}

TEST(counts_whose_bytes_or_ends_overflow_are_refused_untouched) {
    made_table made = made_new(RDS_DTYPE_INT32, 1, narrow, (const uint64_t[]){3, 2, 0});
    unsigned char memory[16];
    rds_reader *reader = made_open(&made, RDS_ACCESS_AUTO);
    const uint64_t counts[] = {UINT64_MAX, UINT64_MAX - 1, 1ull << 63, 1ull << 60,
                               (1ull << 60) + 1, UINT64_MAX / 16 + 1};
    memset(memory, CANARY, sizeof memory);
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        for (uint64_t first = 0; first < 3; first++) {
            rds_status status =
                rds_reader_read_range(reader, 0, first, counts[i], memory, sizeof memory);
            CHECK(status == RDS_ERR_INVALID_ARGUMENT || status == RDS_ERR_OUT_OF_RANGE);
            /* As many bytes as there are addresses: no caller has them. */
            status = rds_reader_read_range(reader, 0, first, counts[i], memory, SIZE_MAX);
            CHECK(status == RDS_ERR_INVALID_ARGUMENT || status == RDS_ERR_OUT_OF_RANGE);
        }
    }
    for (size_t i = 0; i < sizeof memory; i++) CHECK_NUMBER(memory[i], CANARY);
    CHECK_OK(rds_reader_close(reader));
    made_free(&made);
}

CHECK_MAIN(RUN(every_range_of_a_table_of_several_files), RUN(ranges_across_pages_and_files),
           RUN(ranges_of_every_dtype), RUN(a_range_is_what_a_read_of_its_rows_gives),
           RUN(no_rows_are_no_bytes), RUN(too_little_memory_is_refused_untouched),
           RUN(ranges_beyond_the_table_are_refused_untouched),
           RUN(counts_whose_bytes_or_ends_overflow_are_refused_untouched))
