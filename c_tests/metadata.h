/* What runs say of themselves: writers that give it, and what a reader tells. */
#ifndef METADATA_H
#define METADATA_H

#include "table.h"

static inline rds_status metadata_open(const char *path, uint32_t mode, const rds_metadata *given, size_t count,
                                       rds_writer **writer) {
    rds_writer_options options = RDS_WRITER_OPTIONS_INIT;
    options.mode = mode, options.durability = RDS_DURABILITY_BATCH;
    options.metadata = given, options.metadata_count = count;
    rds_status status = rds_writer_open(path, &options, writer);
    CHECK((*writer != NULL) == (status == RDS_OK));
    return status;
}

/* A run of rows first .. first + rows - 1 that says this. */
static inline void metadata_run(const char *path, uint32_t mode, uint64_t first, uint64_t rows,
                                const rds_metadata *given, size_t count) {
    rds_writer *writer = NULL;
    REQUIRE(CHECK_OK(metadata_open(path, mode, given, count, &writer)));
    if (rows) CHECK_OK(table_write(writer, first, rows));
    CHECK_OK(rds_writer_close(writer));
}

static inline int string_is(rds_string string, const char *text) {
    return string.length == strlen(text) && (!string.length || memcmp(string.data, text, string.length) == 0);
}

/* The reader tells this, which is in the order of the keys, and nothing else. */
static inline void metadata_check(const rds_reader *reader, const rds_metadata *expected, size_t count) {
    rds_string key, value;
    CHECK_NUMBER(table_info(reader).metadata_count, count);
    for (size_t i = 0; i < count; i++) {
        REQUIRE(CHECK_OK(rds_reader_metadata_at(reader, i, &key, &value)));
        CHECK(string_is(key, expected[i].key));
        CHECK(string_is(value, expected[i].value));
        REQUIRE(CHECK_OK(rds_reader_metadata(reader, expected[i].key, &value)));
        CHECK(string_is(value, expected[i].value));
    }
    CHECK_STATUS(rds_reader_metadata_at(reader, count, &key, &value), RDS_ERR_OUT_OF_RANGE);
    CHECK(key.data == NULL && key.length == 0 && value.data == NULL && value.length == 0);
    CHECK_STATUS(rds_reader_metadata_at(reader, UINT64_MAX, &key, &value), RDS_ERR_OUT_OF_RANGE);
    CHECK_STATUS(rds_reader_metadata(reader, "nobody said this", &value), RDS_ERR_NOT_FOUND);
    CHECK(value.data == NULL && value.length == 0);
}

static inline void metadata_check_at(const char *path, const rds_metadata *expected, size_t count) {
    rds_reader *reader = table_reader(path);
    metadata_check(reader, expected, count);
    CHECK_OK(rds_reader_close(reader));
}

#endif
