/* A consumer of Arrow arrays that hold rows of table.h. */
#ifndef ARROW_OUT_H
#define ARROW_OUT_H

#include "table.h"

/* The numbers of `row` within an exported list array. */
static inline const float *list_row(const struct ArrowArray *list, int64_t row) {
    const struct ArrowArray *items = list->children[0];
    return (const float *)items->buffers[1] + items->offset + (list->offset + row) * TABLE_WIDTH;
}

static inline int list_row_is(const struct ArrowArray *list, int64_t row, uint64_t written) {
    const float *values = list_row(list, row);
    for (int c = 0; c < TABLE_WIDTH; c++) {
        if (values[c] != table_value(written, c)) return 0;
    }
    return 1;
}

/* Whether the bytes are the id of a row. */
static inline int id_is(const char *bytes, int64_t length, uint64_t written) {
    char name[24];
    snprintf(name, sizeof name, "id-%llu", (unsigned long long)written);
    return length == (int64_t)strlen(name) && memcmp(bytes, name, strlen(name)) == 0;
}

/* The id of `row` within an exported utf8 array. */
static inline int string_is(const struct ArrowArray *strings, int64_t row, uint64_t written) {
    const int32_t *offsets = (const int32_t *)strings->buffers[1] + strings->offset + row;
    return id_is((const char *)strings->buffers[2] + offsets[0], offsets[1] - offsets[0], written);
}

/* The same of a large_utf8 array. */
static inline int large_string_is(const struct ArrowArray *strings, int64_t row,
                                  uint64_t written) {
    const int64_t *offsets = (const int64_t *)strings->buffers[1] + strings->offset + row;
    return id_is((const char *)strings->buffers[2] + offsets[0], offsets[1] - offsets[0], written);
}

static inline const char *metadata_value(const char *metadata, const char *key, int32_t *length) {
    int32_t pairs, size;
    if (!metadata) return NULL;
    memcpy(&pairs, metadata, sizeof pairs);
    metadata += sizeof pairs;
    for (; pairs > 0; pairs--) {
        memcpy(&size, metadata, sizeof size);
        int found = size == (int32_t)strlen(key) && !memcmp(metadata + 4, key, (size_t)size);
        metadata += 4 + size;
        memcpy(length, metadata, sizeof *length);
        if (found) return metadata + 4;
        metadata += 4 + *length;
    }
    return NULL;
}

/* `expected` is NULL if the key must not be there. */
static inline void check_metadata(const struct ArrowSchema *schema, const char *key,
                                  const char *expected) {
    int32_t length = 0;
    char text[128] = "";
    const char *value = metadata_value(schema->metadata, key, &length);
    CHECK((value != NULL) == (expected != NULL));
    if (!value || !expected) return;
    REQUIRE(CHECK((size_t)length < sizeof text));
    memcpy(text, value, (size_t)length);
    CHECK_TEXT(text, expected);
}

#endif
