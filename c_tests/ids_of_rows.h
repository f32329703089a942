/* Tables whose ids repeat, within a part and across parts, and all that a reader says of them. */
#ifndef IDS_OF_ROWS_H
#define IDS_OF_ROWS_H

#include "table.h"

enum { ID_BYTES = 80, REPEATED = 5, ASKED = REPEATED + 5 };

/* The id of a row: each third is one of REPEATED, one of which is empty and one long. `salt` makes other tables. */
static inline void id_of_row(char *text, uint64_t row, int salt) {
    uint64_t which = row / 3 * 7 % REPEATED;
    if (row % 3 != 1) {
        snprintf(text, ID_BYTES, "id-%d-%llu", salt, (unsigned long long)row);
    } else if (which == 0) {
        text[0] = 0;
    } else {
        snprintf(text, ID_BYTES, "%s%d-%llu", which == 1 ? "a rather long one, beyond what is kept inline: " : "again-",
                 salt, (unsigned long long)which);
    }
}

static inline rds_status ids_write(rds_writer *writer, uint64_t first, uint64_t count, int salt) {
    char(*names)[ID_BYTES] = (char(*)[ID_BYTES])calloc(count + 1, sizeof *names);
    float *values = (float *)calloc(count + 1, sizeof *values);
    const int64_t shape[1] = {(int64_t)count};
    for (uint64_t i = 0; i < count; i++) id_of_row(names[i], first + i, salt), values[i] = (float)(first + i);
    rds_ids ids = ids_of(RDS_IDS_NUMPY_S, count, names);
    ids.item_bytes = ID_BYTES;
    const rds_tensor tensor = tensor_of(RDS_DTYPE_FLOAT32, 1, shape, values);
    rds_status status = rds_write_tensors(writer, &ids, &tensor, 1);
    free(names);
    free(values);
    return status;
}

/* Rows first .. first + count - 1 more, or a new table. */
static inline void ids_add(const char *path, uint64_t first, uint64_t count, int salt) {
    rds_writer *writer = table_writer(path, first ? RDS_MODE_APPEND : RDS_MODE_OVERWRITE, RDS_DURABILITY_COMMIT);
    CHECK_OK(ids_write(writer, first, count, salt));
    CHECK_OK(rds_commit(writer, NULL, NULL));
    CHECK_OK(rds_writer_close(writer));
}

static inline void check_find_all(const rds_reader *reader, const char *id, uint64_t rows, int salt) {
    uint64_t *expected = (uint64_t *)malloc((rows + 1) * sizeof *expected), *found, count = 0, told = 77;
    char name[ID_BYTES];
    for (uint64_t row = 0; row < rows; row++) {
        id_of_row(name, row, salt);
        if (strcmp(name, id) == 0) expected[count++] = row;
    }
    const uint64_t capacities[] = {0, 1, count, count + 3};
    for (int i = 0; i < 4; i++) {
        uint64_t most = capacities[i], given = most < count ? most : count;
        found = (uint64_t *)malloc((most + 1) * sizeof *found);
        for (uint64_t at = 0; at <= most; at++) found[at] = 12345;
        CHECK_OK(rds_reader_find_all(reader, id, strlen(id), most ? found : NULL, most, &told));
        CHECK_NUMBER(told, count);
        CHECK(memcmp(found, expected, given * sizeof *found) == 0);
        for (uint64_t at = given; at <= most; at++) CHECK_NUMBER(found[at], 12345);
        free(found);
    }
    /* The same of the function for many ids. */
    uint64_t first = 0, carried = 0;
    const rds_ids ids = ids_of(RDS_IDS_CSTRINGS, 1, &id);
    CHECK_OK(rds_reader_find(reader, &ids, &first, &carried));
    CHECK(first == (count ? expected[0] : RDS_ROW_NONE));
    CHECK_NUMBER(carried, count);
    free(expected);
}

/* All that a reader of rows 0 .. rows - 1 says of ids. */
static inline void check_ids(const rds_reader *reader, uint64_t rows, int salt) {
    char name[ID_BYTES];
    long long wrong = 0;
    struct ArrowArray array;
    CHECK_NUMBER(table_info(reader).rows, rows);
    REQUIRE(CHECK_OK(rds_reader_ids(reader, 0, rows, NULL, &array)));
    CHECK_NUMBER(array.length, rows);
    for (uint64_t row = 0; row < rows; row++) {
        const char *id = NULL;
        size_t length = 0;
        const int64_t *offsets = (const int64_t *)array.buffers[1] + array.offset + row;
        id_of_row(name, row, salt);
        CHECK_OK(rds_reader_id(reader, row, &id, &length));
        wrong += length != strlen(name) || memcmp(id, name, length) != 0;
        wrong += offsets[1] - offsets[0] != (int64_t)length ||
                 memcmp((const char *)array.buffers[2] + offsets[0], name, length) != 0;
    }
    CHECK_NUMBER(wrong, 0);
    array.release(&array);
    /* Those that repeat, the first, the last, one in between, and some that are not there. */
    char asked[ASKED][ID_BYTES];
    for (uint64_t i = 0; i < REPEATED; i++) id_of_row(asked[i], 1 + 3 * i, salt);
    id_of_row(asked[REPEATED], 0, salt);
    id_of_row(asked[REPEATED + 1], rows ? (rows - 1) / 3 * 3 : 0, salt);
    id_of_row(asked[REPEATED + 2], rows / 6 * 3, salt);
    id_of_row(asked[REPEATED + 3], (rows / 3 + 1) * 3, salt);
    id_of_row(asked[REPEATED + 4], 0, salt + 1);
    for (int i = 0; i < ASKED; i++) check_find_all(reader, asked[i], rows, salt);
}

#endif
