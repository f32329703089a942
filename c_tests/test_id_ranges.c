/* Ranges of ids as Arrow arrays: large_utf8, of the table's order, and owned by themselves. */
#include <pthread.h>

#include "arrow_out.h"

enum { ROWS = 20 };

/* A table of three data files. */
static rds_reader *open_rows(check_path_text *path) {
    *path = check_path();
    table_make(path->text, 9);
    table_append(path->text, 9, 1);
    table_append(path->text, 10, ROWS - 10);
    return table_reader(path->text);
}

static void check_schema(struct ArrowSchema *schema) {
    CHECK_TEXT(schema->format, "U");
    CHECK_TEXT(schema->name, "object_id");
    CHECK(schema->flags & ARROW_FLAG_NULLABLE);
    CHECK_NUMBER(schema->n_children, 0);
    schema->release(schema);
}

static void check_array(const struct ArrowArray *array, uint64_t first, uint64_t count) {
    CHECK_NUMBER(array->length, count);
    CHECK_NUMBER(array->null_count, 0);
    CHECK_NUMBER(array->n_children, 0);
    REQUIRE(CHECK_NUMBER(array->n_buffers, 3));
    for (uint64_t i = 0; i < count; i++) CHECK(large_string_is(array, (int64_t)i, first + i));
}

TEST(every_range_of_ids) {
    check_path_text path;
    rds_reader *reader = open_rows(&path);
    for (uint64_t first = 0; first <= ROWS; first++) {
        for (uint64_t count = 0; count <= ROWS - first; count++) {
            struct ArrowSchema schema;
            struct ArrowArray array;
            if (!CHECK_OK(rds_reader_ids(reader, first, count, &schema, &array))) continue;
            check_schema(&schema);
            check_array(&array, first, count);
            array.release(&array);
        }
    }
    CHECK_OK(rds_reader_close(reader));
}

/* What the specification asks of them. */
TEST(offsets_ascend_within_the_bytes) {
    check_path_text path;
    rds_reader *reader = open_rows(&path);
    struct ArrowArray array;
    REQUIRE(CHECK_OK(rds_reader_ids(reader, 5, 10, NULL, &array)));
    const int64_t *offsets = (const int64_t *)array.buffers[1] + array.offset;
    CHECK(offsets[0] >= 0);
    for (int64_t i = 0; i < array.length; i++) {
        CHECK_NUMBER(offsets[i + 1] - offsets[i], i < 5 ? 4 : 5);
    }
    array.release(&array);
    CHECK_OK(rds_reader_close(reader));
}

TEST(an_id_of_a_range_is_the_id_of_the_row_and_its_very_bytes) {
    check_path_text path;
    rds_reader *reader = open_rows(&path);
    struct ArrowArray array;
    REQUIRE(CHECK_OK(rds_reader_ids(reader, 3, ROWS - 3, NULL, &array)));
    const int64_t *offsets = (const int64_t *)array.buffers[1] + array.offset;
    for (uint64_t i = 0; i < ROWS - 3; i++) {
        const char *id = NULL;
        size_t length = 0;
        CHECK_OK(rds_reader_id(reader, 3 + i, &id, &length));
        /* No copy. */
        CHECK(id == (const char *)array.buffers[2] + offsets[i]);
        CHECK_NUMBER(length, offsets[i + 1] - offsets[i]);
    }
    array.release(&array);
    CHECK_OK(rds_reader_close(reader));
}

TEST(the_schema_is_not_needed) {
    check_path_text path;
    rds_reader *reader = open_rows(&path);
    struct ArrowArray array;
    REQUIRE(CHECK_OK(rds_reader_ids(reader, 0, ROWS, NULL, &array)));
    check_array(&array, 0, ROWS);
    array.release(&array);
    CHECK_OK(rds_reader_close(reader));
}

TEST(ranges_beyond_the_table_are_refused) {
    check_path_text path;
    rds_reader *reader = open_rows(&path);
    const uint64_t ranges[][2] = {{ROWS + 1, 0}, {ROWS, 1}, {ROWS - 1, 2}, {0, ROWS + 1},
                                  {UINT64_MAX, 0}, {UINT64_MAX, 1}, {1, UINT64_MAX},
                                  {0, UINT64_MAX}, {0, 1ull << 63}, {1ull << 63, 1ull << 63}};
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++) {
        struct ArrowSchema schema;
        struct ArrowArray array;
        memset(&schema, 0xff, sizeof schema);
        memset(&array, 0xff, sizeof array);
        CHECK_STATUS(rds_reader_ids(reader, ranges[i][0], ranges[i][1], &schema, &array),
                     RDS_ERR_OUT_OF_RANGE);
        CHECK_MESSAGE_HAS("rds_reader_ids: ");
        CHECK(schema.release == NULL && array.release == NULL);
    }
    CHECK_OK(rds_reader_close(reader));
}

static void *release(void *array) {
    ((struct ArrowArray *)array)->release((struct ArrowArray *)array);
    return NULL;
}

TEST(ids_outlive_reader_and_files_and_are_released_on_any_thread) {
    check_path_text path;
    rds_reader *reader = open_rows(&path);
    struct ArrowArray arrays[3];
    const uint64_t ranges[3][2] = {{0, ROWS}, {9, 1}, {ROWS, 0}};
    for (int i = 0; i < 3; i++) {
        REQUIRE(CHECK_OK(rds_reader_ids(reader, ranges[i][0], ranges[i][1], NULL, &arrays[i])));
    }
    CHECK_OK(rds_reader_close(reader));
    check_remove(path.text);
    for (int i = 0; i < 3; i++) {
        pthread_t thread;
        check_array(&arrays[i], ranges[i][0], ranges[i][1]);
        pthread_create(&thread, NULL, release, &arrays[i]);
        pthread_join(thread, NULL);
        CHECK(arrays[i].release == NULL);
    }
}

TEST(ids_of_every_length_come_back) {
    static const char *const names[] = {"", "a", "Öl", "", "星雲", "\xf0\x9f\x94\xad", ""};
    enum { COUNT = sizeof names / sizeof names[0] };
    static const uint8_t values[COUNT];
    const int64_t shape[1] = {COUNT};
    check_path_text path = check_path();
    const rds_ids ids = ids_of(RDS_IDS_CSTRINGS, COUNT, names);
    const rds_tensor tensor = tensor_of(RDS_DTYPE_UINT8, 1, shape, values);
    rds_writer *writer = table_writer(path.text, RDS_MODE_CREATE, RDS_DURABILITY_INTERVAL);
    CHECK_OK(rds_write_tensors(writer, &ids, &tensor, 1));
    CHECK_OK(rds_writer_close(writer));
    rds_reader *reader = table_reader(path.text);
    struct ArrowArray array;
    REQUIRE(CHECK_OK(rds_reader_ids(reader, 0, COUNT, NULL, &array)));
    const int64_t *offsets = (const int64_t *)array.buffers[1] + array.offset;
    for (int i = 0; i < COUNT; i++) {
        size_t length = (size_t)(offsets[i + 1] - offsets[i]);
        CHECK_NUMBER(length, strlen(names[i]));
        CHECK(memcmp((const char *)array.buffers[2] + offsets[i], names[i], length) == 0);
    }
    array.release(&array);
    CHECK_OK(rds_reader_close(reader));
}

TEST(a_reader_that_does_not_map_gives_the_same_ids) {
    check_path_text path;
    CHECK_OK(rds_reader_close(open_rows(&path)));
    rds_reader *reader = NULL;
    rds_reader_options options = RDS_READER_OPTIONS_INIT;
    struct ArrowArray array;
    options.access = RDS_ACCESS_LANCE;
    CHECK_OK(rds_reader_open(path.text, &options, &reader));
    REQUIRE(CHECK_OK(rds_reader_ids(reader, 0, ROWS, NULL, &array)));
    check_array(&array, 0, ROWS);
    array.release(&array);
    CHECK_OK(rds_reader_close(reader));
}

CHECK_MAIN(RUN(every_range_of_ids), RUN(offsets_ascend_within_the_bytes),
           RUN(an_id_of_a_range_is_the_id_of_the_row_and_its_very_bytes),
           RUN(the_schema_is_not_needed), RUN(ranges_beyond_the_table_are_refused),
           RUN(ids_outlive_reader_and_files_and_are_released_on_any_thread),
           RUN(ids_of_every_length_come_back), RUN(a_reader_that_does_not_map_gives_the_same_ids))
