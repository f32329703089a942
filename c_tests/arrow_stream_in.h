/* A producer of an Arrow stream, made by hand: batches of arrow_batch.h, whose release callbacks
 * and its own are counted, and which fails where a test tells it to. Batches may be in use by the
 * library until the writer is closed, so the producer is freed by the test. */
#ifndef ARROW_STREAM_IN_H
#define ARROW_STREAM_IN_H

#include <errno.h>

#include "arrow_batch.h"

enum { STREAM_BATCHES = 8 };

typedef struct {
    struct ArrowArrayStream stream;
    arrow_batch *batches[STREAM_BATCHES];
    /* Its schema is that of the stream. */
    arrow_batch *columns;
    int batch_count, next;
    /* The number of the call of get_next that fails, from 0; never, if negative. */
    int fails_at;
    /* An errno that get_schema gives; what get_last_error gives. */
    int schema_code;
    const char *error_text;
    int released, schemas, used_after_release;
} arrow_producer;

static inline arrow_producer *producer_of(struct ArrowArrayStream *stream) {
    arrow_producer *producer = (arrow_producer *)stream->private_data;
    producer->used_after_release += producer->released != 0;
    return producer;
}

static inline int producer_schema(struct ArrowArrayStream *stream, struct ArrowSchema *out) {
    arrow_producer *producer = producer_of(stream);
    if (producer->schema_code) return producer->schema_code;
    *out = producer->columns->schema[NODE_ROOT];
    producer->schemas++;
    return 0;
}

static inline int producer_next(struct ArrowArrayStream *stream, struct ArrowArray *out) {
    arrow_producer *producer = producer_of(stream);
    if (producer->next == producer->fails_at) return EIO;
    memset(out, 0, sizeof *out);
    if (producer->next < producer->batch_count) {
        struct ArrowArray *array = &producer->batches[producer->next++]->array[NODE_ROOT];
        *out = *array;
        array->release = NULL;
    }
    return 0;
}

static inline const char *producer_error(struct ArrowArrayStream *stream) {
    return producer_of(stream)->error_text;
}

static inline void producer_release(struct ArrowArrayStream *stream) {
    producer_of(stream)->released++;
    stream->release = NULL;
}

/* A stream of `count` batches: rows from `first` on, as table_write() has them. */
static inline arrow_producer *producer_new(uint64_t first, int count) {
    arrow_producer *producer = (arrow_producer *)calloc(1, sizeof *producer);
    producer->columns = batch_new(0);
    producer->batch_count = count;
    producer->fails_at = -1;
    for (int i = 0; i < count; i++) {
        producer->batches[i] = batch_new(first + (uint64_t)i * BATCH_ROWS);
    }
    producer->stream.get_schema = producer_schema;
    producer->stream.get_next = producer_next;
    producer->stream.get_last_error = producer_error;
    producer->stream.release = producer_release;
    producer->stream.private_data = producer;
    return producer;
}

/* The stream was moved and released once, and so was every batch that it gave, and the schema. To
 * be called when the writer is closed. */
static inline void producer_check_released(arrow_producer *producer) {
    CHECK(producer->stream.release == NULL);
    CHECK_NUMBER(producer->released, 1);
    CHECK_NUMBER(producer->used_after_release, 0);
    for (int i = 0; i < producer->next; i++) {
        CHECK_NUMBER(producer->batches[i]->array_released[NODE_ROOT], 1);
    }
    CHECK_NUMBER(producer->columns->schema_released[NODE_ROOT], producer->schemas);
}

static inline void producer_free(arrow_producer *producer) {
    for (int i = 0; i < producer->batch_count; i++) {
        struct ArrowArray *array = &producer->batches[i]->array[NODE_ROOT];
        if (array->release) array->release(array);
        batch_free(producer->batches[i]);
    }
    free(producer->columns);
    free(producer);
}

#endif
