/* A producer of Arrow record batches, made by hand: a struct of `object_id` (utf8) and `data` (a
 * fixed-size list of WIDTH float32), whose release callbacks are counted. A batch may be in use by
 * the library until the writer is closed, so it lies on the heap and is freed by the test. */
#ifndef ARROW_BATCH_H
#define ARROW_BATCH_H

#include "table.h"

enum { BATCH_ROWS = 3, BATCH_WIDTH = 4 };
enum { NODE_ROOT, NODE_IDS, NODE_DATA, NODE_ITEMS, NODES };

typedef struct {
    struct ArrowSchema schema[NODES];
    struct ArrowArray array[NODES];
    struct ArrowSchema *schema_children[2], *schema_item[1];
    struct ArrowArray *array_children[2], *array_item[1];
    const void *buffers[NODES][3];
    /* What consumers called, by node. */
    int schema_released[NODES], array_released[NODES];
    int32_t offsets[BATCH_ROWS + 1];
    char names[BATCH_ROWS * 8];
    float values[BATCH_ROWS][BATCH_WIDTH];
    /* Validity, unused unless a test points to it. */
    unsigned char some_null;
} arrow_batch;

static inline void batch_release_schema(struct ArrowSchema *schema) {
    __atomic_add_fetch((int *)schema->private_data, 1, __ATOMIC_SEQ_CST);
    for (int64_t i = 0; i < schema->n_children; i++) {
        struct ArrowSchema *child = schema->children ? schema->children[i] : NULL;
        if (child && child->release) child->release(child);
    }
    schema->release = NULL;
}

static inline void batch_release_array(struct ArrowArray *array) {
    __atomic_add_fetch((int *)array->private_data, 1, __ATOMIC_SEQ_CST);
    for (int64_t i = 0; i < array->n_children; i++) {
        struct ArrowArray *child = array->children ? array->children[i] : NULL;
        if (child && child->release) child->release(child);
    }
    array->release = NULL;
}

static inline void batch_node(arrow_batch *batch, int node, const char *format, const char *name,
                              int64_t length, int64_t n_buffers) {
    struct ArrowSchema *schema = &batch->schema[node];
    struct ArrowArray *array = &batch->array[node];
    schema->format = format;
    schema->name = name;
    schema->flags = ARROW_FLAG_NULLABLE;
    schema->release = batch_release_schema;
    schema->private_data = &batch->schema_released[node];
    array->length = length;
    array->n_buffers = n_buffers;
    array->buffers = batch->buffers[node];
    array->release = batch_release_array;
    array->private_data = &batch->array_released[node];
}

/* Rows first .. first + BATCH_ROWS - 1, as table_write() has them. */
static inline arrow_batch *batch_new(uint64_t first) {
    arrow_batch *batch = (arrow_batch *)calloc(1, sizeof *batch);
    for (int row = 0; row < BATCH_ROWS; row++) {
        char *name = batch->names + batch->offsets[row];
        size_t room = sizeof batch->names - (size_t)batch->offsets[row];
        batch->offsets[row + 1] =
            batch->offsets[row] + snprintf(name, room, "id-%d", (int)first + row);
        for (int c = 0; c < BATCH_WIDTH; c++) {
            batch->values[row][c] = table_value(first + (uint64_t)row, c);
        }
    }
    batch->some_null = 0x5;
    batch_node(batch, NODE_ROOT, "+s", "", BATCH_ROWS, 1);
    batch_node(batch, NODE_IDS, "u", "object_id", BATCH_ROWS, 3);
    batch_node(batch, NODE_DATA, "+w:4", "data", BATCH_ROWS, 1);
    batch_node(batch, NODE_ITEMS, "f", "item", BATCH_ROWS * BATCH_WIDTH, 2);
    batch->buffers[NODE_IDS][1] = batch->offsets;
    batch->buffers[NODE_IDS][2] = batch->names;
    batch->buffers[NODE_ITEMS][1] = batch->values;
    for (int i = 0; i < 2; i++) {
        batch->schema_children[i] = &batch->schema[NODE_IDS + i];
        batch->array_children[i] = &batch->array[NODE_IDS + i];
    }
    batch->schema_item[0] = &batch->schema[NODE_ITEMS];
    batch->array_item[0] = &batch->array[NODE_ITEMS];
    batch->schema[NODE_ROOT].n_children = batch->array[NODE_ROOT].n_children = 2;
    batch->schema[NODE_ROOT].children = batch->schema_children;
    batch->array[NODE_ROOT].children = batch->array_children;
    batch->schema[NODE_DATA].n_children = batch->array[NODE_DATA].n_children = 1;
    batch->schema[NODE_DATA].children = batch->schema_item;
    batch->array[NODE_DATA].children = batch->array_item;
    return batch;
}

static inline rds_status batch_write(rds_writer *writer, arrow_batch *batch) {
    return rds_write_batch(writer, &batch->schema[NODE_ROOT], &batch->array[NODE_ROOT]);
}

/* The array was moved: its callbacks ran once each, and the struct is marked released. The schema
 * was only lent. */
static inline void batch_check_released(arrow_batch *batch) {
    CHECK(batch->array[NODE_ROOT].release == NULL);
    for (int node = 0; node < NODES; node++) {
        CHECK_NUMBER(__atomic_load_n(&batch->array_released[node], __ATOMIC_SEQ_CST), 1);
        CHECK_NUMBER(__atomic_load_n(&batch->schema_released[node], __ATOMIC_SEQ_CST), 0);
    }
}

static inline void batch_free(arrow_batch *batch) {
    if (batch->schema[NODE_ROOT].release) {
        batch->schema[NODE_ROOT].release(&batch->schema[NODE_ROOT]);
    }
    free(batch);
}

/* Metadata as the C data interface encodes it: counts and lengths as int32 before the bytes. */
static inline const char *batch_metadata(char *room, int pairs, const char *const *texts) {
    char *at = room;
    int32_t number = pairs;
    memcpy(at, &number, sizeof number);
    at += sizeof number;
    for (int i = 0; i < 2 * pairs; i++) {
        number = (int32_t)strlen(texts[i]);
        memcpy(at, &number, sizeof number);
        memcpy(at + sizeof number, texts[i], (size_t)number);
        at += sizeof number + (size_t)number;
    }
    return room;
}

#endif
