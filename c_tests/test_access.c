/* How a reader gets at its rows is the caller's choice, and changes nothing of what it reads. */
#include "dtypes.h"

static const int64_t seven[1] = {7}, eight[1] = {8};
static const uint64_t runs[] = {40, 1, 30, 0};

static rds_status open_with(const made_table *made, uint32_t access, uint32_t flags,
                            rds_reader **out_reader) {
    rds_reader_options options = RDS_READER_OPTIONS_INIT;
    options.access = access;
    options.flags = flags;
    *out_reader = (rds_reader *)(uintptr_t)77;
    return rds_reader_open(made->path.text, &options, out_reader);
}

static void check_reads(const rds_reader *reader, const made_table *made) {
    size_t row_bytes = made->row_bytes;
    unsigned char *bytes = (unsigned char *)malloc(made->rows * row_bytes);
    uint64_t rows[71];
    for (uint64_t i = 0; i < 71; i++) rows[i] = i * 37 % 71;
    CHECK_OK(rds_reader_read_range(reader, 0, 0, 71, bytes, 71 * row_bytes));
    CHECK(memcmp(bytes, made->bytes, 71 * row_bytes) == 0);
    memset(bytes, 0xa5, 71 * row_bytes);
    CHECK_OK(rds_reader_read(reader, 0, rows, 71, bytes, 71 * row_bytes));
    for (uint64_t i = 0; i < 71; i++) {
        CHECK(memcmp(bytes + i * row_bytes, made_row(made, rows[i]), row_bytes) == 0);
    }
    for (uint64_t i = 0; i < 71; i += 10) {
        CHECK_OK(rds_reader_read(reader, 0, &rows[i], 1, bytes, row_bytes));
        CHECK(memcmp(bytes, made_row(made, rows[i]), row_bytes) == 0);
    }
    free(bytes);
}

TEST(every_access_reads_the_same) {
    const uint32_t kinds[] = {RDS_DTYPE_BOOL, RDS_DTYPE_INT8, RDS_DTYPE_FLOAT32,
                              RDS_DTYPE_COMPLEX128};
    for (int k = 0; k < 4; k++) {
        made_table made = made_new(kinds[k], 1, eight, runs);
        for (uint32_t access = RDS_ACCESS_AUTO; access <= RDS_ACCESS_LANCE; access++) {
            for (uint32_t flags = 0; flags <= RDS_READER_NO_PREFETCH; flags++) {
                rds_reader *reader;
                if (!CHECK_OK(open_with(&made, access, flags, &reader))) continue;
                CHECK_NUMBER(column_info(reader, 0).mapped_rows, access == RDS_ACCESS_LANCE ? 0 : 71);
                check_reads(reader, &made);
                CHECK_OK(rds_reader_close(reader));
            }
        }
        made_free(&made);
    }
}

TEST(rows_that_cannot_be_mapped_are_refused_only_where_they_must_be) {
    /* Seven bits do not fill a byte. */
    made_table made = made_new(RDS_DTYPE_BOOL, 1, seven, runs);
    rds_reader *reader;
    CHECK_STATUS(open_with(&made, RDS_ACCESS_MAPPED, 0, &reader), RDS_ERR_NOT_SUPPORTED);
    CHECK_MESSAGE_HAS("rds_reader_open: ");
    CHECK_MESSAGE_HAS("0 of 71 rows can be mapped");
    CHECK(reader == NULL);
    for (uint32_t access = RDS_ACCESS_AUTO; access <= RDS_ACCESS_LANCE; access += 2) {
        if (!CHECK_OK(open_with(&made, access, 0, &reader))) continue;
        CHECK_NUMBER(column_info(reader, 0).mapped_rows, 0);
        check_reads(reader, &made);
        CHECK_OK(rds_reader_close(reader));
    }
    made_free(&made);
}

TEST(an_unknown_access_is_refused) {
    made_table made = made_new(RDS_DTYPE_INT8, 1, eight, runs);
    const uint32_t unknown[] = {3, 4, 0x100, 1u << 31, UINT32_MAX};
    rds_reader *reader;
    for (int i = 0; i < 5; i++) {
        CHECK_STATUS(open_with(&made, unknown[i], 0, &reader), RDS_ERR_INVALID_ARGUMENT);
        CHECK_MESSAGE_HAS("rds_reader_open: options.access is ");
        CHECK(reader == NULL);
    }
    made_free(&made);
}

TEST(unknown_flags_are_not_supported) {
    made_table made = made_new(RDS_DTYPE_INT8, 1, eight, runs);
    const uint32_t unknown[] = {4, 5, 8, 1u << 31, UINT32_MAX};
    rds_reader *reader;
    for (int i = 0; i < 5; i++) {
        CHECK_STATUS(open_with(&made, 0, unknown[i], &reader), RDS_ERR_NOT_SUPPORTED);
        CHECK_MESSAGE_HAS("rds_reader_open: options.flags is 0x");
        CHECK(reader == NULL);
    }
    made_free(&made);
}

/* A file is opened once, whatever the access. */
TEST(rows_are_read_when_files_have_lost_their_names) {
    made_table made = made_new(RDS_DTYPE_INT8, 1, eight, runs);
    rds_reader *mapped, *through_lance;
    REQUIRE(CHECK_OK(open_with(&made, RDS_ACCESS_MAPPED, 0, &mapped)));
    REQUIRE(CHECK_OK(open_with(&made, RDS_ACCESS_LANCE, 0, &through_lance)));
    check_remove(made.path.text);
    check_reads(mapped, &made);
    check_reads(through_lance, &made);
    CHECK_OK(rds_reader_close(mapped));
    CHECK_OK(rds_reader_close(through_lance));
    made_free(&made);
}

CHECK_MAIN(RUN(every_access_reads_the_same),
           RUN(rows_that_cannot_be_mapped_are_refused_only_where_they_must_be),
           RUN(an_unknown_access_is_refused), RUN(unknown_flags_are_not_supported),
           RUN(rows_are_read_when_files_have_lost_their_names))
