/* What tests of loaders share. A failure counts in the running test; a loader that did not open is then one that every
 * later call refuses. */
#ifndef LOADER_H
#define LOADER_H

#include "columns.h"

static inline rds_loader_options loader_options(uint64_t batch_rows) {
    rds_loader_options options = RDS_LOADER_OPTIONS_INIT;
    options.batch_rows = batch_rows;
    return options;
}

/* Batches of numbers of rows. */
static inline rds_loader_options loader_numbers(uint64_t rows, uint64_t batch_rows) {
    rds_loader_options options = loader_options(batch_rows);
    options.row_count = rows, options.flags = RDS_LOADER_NO_TABLE;
    return options;
}

static inline rds_loader *loader_open(const rds_reader *reader, const rds_loader_options *options) {
    rds_loader *loader = NULL;
    CHECK_OK(rds_loader_open(reader, options, &loader));
    return loader;
}

/* The next batch; 0 at the end of the epoch. */
static inline int loader_next(rds_loader *loader, rds_loader_batch *batch) {
    const rds_loader_batch none = RDS_LOADER_BATCH_INIT;
    *batch = none;
    return CHECK_OK(rds_loader_next(loader, batch)) && batch->step_rows != 0;
}

static inline void loader_release(rds_loader *loader, const rds_loader_batch *batch) {
    CHECK_OK(rds_loader_release(loader, batch->buffer));
}

/* What a loader gives up to the end of the epoch; how many rows, those without room too. */
static inline uint64_t loader_drain(rds_loader *loader, uint64_t *rows, uint64_t room) {
    rds_loader_batch batch;
    uint64_t count = 0;
    while (loader_next(loader, &batch)) {
        for (uint64_t i = 0; i < batch.row_count; i++, count++) {
            if (count < room) rows[count] = batch.rows[i];
        }
        loader_release(loader, &batch);
    }
    return count;
}

static inline rds_position loader_state(const rds_loader *loader) {
    rds_position position;
    CHECK_OK(rds_loader_state(loader, &position));
    return position;
}

static inline int is_position(const rds_position *a, const rds_position *b) { return memcmp(a, b, sizeof *a) == 0; }

static inline rds_load_stats loader_stats(const rds_loader *loader) {
    rds_load_stats stats = RDS_LOAD_STATS_INIT;
    CHECK_OK(rds_loader_stats(loader, &stats));
    return stats;
}

/* The loader stands there. */
static inline void check_at(const rds_loader *loader, uint64_t epoch, uint64_t consumed) {
    const rds_load_stats stats = loader_stats(loader);
    CHECK_NUMBER(stats.epoch, epoch);
    CHECK_NUMBER(stats.consumed, consumed);
}

/* Whether each of 0 .. count - 1 is there once. */
static inline int is_each_once(const uint64_t *rows, uint64_t count) {
    unsigned char *seen = (unsigned char *)calloc(count + 1, 1);
    uint64_t wrong = 0;
    for (uint64_t i = 0; i < count; i++) wrong += rows[i] >= count || seen[rows[i]]++;
    free(seen);
    return wrong == 0;
}

/* Rows of a table of table_make(), of its only column: whether they are those of the batch. */
static inline int batch_is_right(const rds_loader_batch *batch) {
    uint64_t wrong = batch->column_count != 1;
    for (uint64_t i = 0; i < batch->row_count && !wrong; i++) {
        const float *row = (const float *)batch->columns[0] + i * TABLE_WIDTH;
        for (int c = 0; c < TABLE_WIDTH; c++) wrong += row[c] != table_value(batch->rows[i], c);
    }
    return wrong == 0;
}

#endif
