/* The memory of batches: aligned, lent until it is released, bounded in bytes; or a ring of the caller's, of which
 * nothing is touched but rows. */
#include "loader.h"

enum { ROWS = 60, GUARD = 0xa5, BUFFERS = 3, BATCH = 7 };

static rds_reader *open_mixed(void) {
    check_path_text path = check_path();
    columns_add(path.text, mixed, MIXED, 0, 23);
    columns_add(path.text, mixed, MIXED, 23, ROWS - 23);
    return table_reader(path.text);
}

static rds_reader *open_floats(uint64_t rows) {
    check_path_text path = check_path();
    table_make(path.text, rows);
    return table_reader(path.text);
}

/* Whether all columns of the batch are those of its rows. */
static int is_mixed(const rds_loader_batch *batch) {
    uint64_t wrong = batch->column_count != MIXED;
    for (size_t c = 0; c < MIXED && !wrong; c++) {
        const unsigned char *bytes = (const unsigned char *)batch->columns[c];
        for (uint64_t i = 0; i < batch->row_count; i++) {
            wrong += !rows_are(&mixed[c], bytes + i * kind_bytes(&mixed[c]), batch->rows[i], 1, 1);
        }
    }
    return wrong == 0;
}

static uintptr_t begin_of(const rds_loader_batch *batch, size_t column) { return (uintptr_t)batch->columns[column]; }

/* All of several batches at once: no memory is of two of them, whatever is written to it. */
TEST(columns_are_aligned_and_the_callers_alone) {
    enum { KEPT = 6, BATCH = 7 };
    rds_reader *reader = open_mixed();
    rds_loader_options options = loader_options(BATCH);
    rds_loader_batch kept[KEPT];
    for (int threads = 0; threads < 2; threads++) {
        options.flags = threads ? 0 : RDS_LOADER_NO_THREADS;
        rds_loader *loader = loader_open(reader, &options);
        for (int i = 0; i < KEPT; i++) CHECK(loader_next(loader, &kept[i]) && is_mixed(&kept[i]));
        for (int i = 0; i < KEPT; i++) {
            CHECK(is_mixed(&kept[i]));
            for (size_t c = 0; c < MIXED; c++) CHECK_NUMBER(begin_of(&kept[i], c) % 64, 0);
            for (size_t c = 0; c < MIXED; c++) memset(kept[i].columns[c], i, BATCH * kind_bytes(&mixed[c]));
        }
        for (int i = 0; i < KEPT; i++) {
            uint64_t wrong = 0;
            for (size_t c = 0; c < MIXED; c++) {
                const unsigned char *bytes = (const unsigned char *)kept[i].columns[c];
                for (size_t at = 0; at < BATCH * kind_bytes(&mixed[c]); at++) wrong += bytes[at] != i;
            }
            CHECK_NUMBER(wrong, 0);
            CHECK_NUMBER(loader_stats(loader).lent, KEPT - i);
            loader_release(loader, &kept[i]);
        }
        CHECK_NUMBER(loader_drain(loader, NULL, 0), ROWS - KEPT * BATCH);
        CHECK_OK(rds_loader_close(loader));
    }
    CHECK_OK(rds_reader_close(reader));
}

/* However long it goes on, the memory is that of as many batches as there may be. */
TEST(memory_that_was_released_is_taken_again) {
    enum { PLACES = 64 };
    rds_reader *reader = open_floats(1000);
    rds_loader_options options = loader_options(10);
    uintptr_t places[PLACES];
    int known = 0;
    rds_loader_batch batch;
    options.ahead = 3, options.threads = 2;
    rds_loader *loader = loader_open(reader, &options);
    for (int i = 0; i < check_rounds(5000); i++) {
        if (!loader_next(loader, &batch)) continue;
        int at = 0;
        while (at < known && places[at] != begin_of(&batch, 0)) at++;
        if (at == known && known < PLACES) places[known++] = begin_of(&batch, 0);
        CHECK(batch_is_right(&batch));
        loader_release(loader, &batch);
    }
    /* Those ahead, and one for the caller and for each thread. */
    CHECK(known <= 3 + 1 + 2);
    CHECK(loader_stats(loader).bytes < 6 * 10 * (TABLE_WIDTH * sizeof(float) + 8 + 64));
    CHECK_NUMBER(loader_stats(loader).lent, 0);
    CHECK_OK(rds_loader_close(loader));
    CHECK_OK(rds_reader_close(reader));
}

/* The bound holds what is lent, too; a loader without room says so, and is as it was. */
TEST(bytes_are_bounded_whatever_is_lent) {
    enum { BATCH = 100, MANY = 64 };
    const uint64_t bytes = BATCH * TABLE_WIDTH * sizeof(float);
    rds_reader *reader = open_floats(1000);
    rds_loader_batch lent[MANY];
    for (uint64_t most = 1; most < 8; most++) {
        rds_loader_batch batch = RDS_LOADER_BATCH_INIT;
        rds_loader_options options = loader_options(BATCH);
        int count = 0;
        rds_status status = RDS_OK;
        options.max_bytes = most * (bytes + BATCH * 8 + 256), options.flags = most % 2 ? RDS_LOADER_NO_THREADS : 0;
        rds_loader *loader = loader_open(reader, &options);
        while (count < MANY) {
            const rds_loader_batch none = RDS_LOADER_BATCH_INIT;
            lent[count] = none;
            status = rds_loader_next(loader, &lent[count]);
            CHECK(loader_stats(loader).bytes <= options.max_bytes);
            if (status != RDS_OK) break;
            count++;
        }
        CHECK_STATUS(status, RDS_ERR_NO_ROOM);
        CHECK_MESSAGE_HAS("rds_loader_next: all ");
        CHECK_NUMBER(count, most);
        CHECK_NUMBER(loader_stats(loader).lent, most);
        check_at(loader, 0, (uint64_t)count * BATCH);
        for (int i = 0; i < count; i++) CHECK(lent[i].consumed == (uint64_t)i * BATCH && batch_is_right(&lent[i]));
        CHECK_STATUS(rds_loader_next(loader, &batch), RDS_ERR_NO_ROOM);
        CHECK(batch.buffer == 0 && batch.rows == NULL);
        loader_release(loader, &lent[count / 2]);
        CHECK(loader_next(loader, &batch) && batch.consumed == (uint64_t)count * BATCH && batch_is_right(&batch));
        loader_release(loader, &batch);
        CHECK_OK(rds_loader_close(loader));
    }
    rds_loader_options options = loader_options(BATCH);
    rds_loader *loader = NULL;
    options.max_bytes = bytes - 1;
    CHECK_STATUS(rds_loader_open(reader, &options, &loader), RDS_ERR_INVALID_ARGUMENT);
    CHECK_MESSAGE_HAS("options.max_bytes is 1599");
    CHECK_OK(rds_reader_close(reader));
}

/* Where none are lent there is room, also at the end of an epoch, and for who has no rows of a step. */
TEST(what_has_no_rows_needs_no_memory) {
    rds_reader *reader = open_floats(10);
    rds_loader_options options = loader_options(2);
    rds_loader_batch kept, batch;
    options.world_size = 4, options.max_bytes = 400;
    rds_loader *loader = loader_open(reader, &options);
    CHECK(loader_next(loader, &kept) && kept.row_count == 2);
    /* Of two rows the first of four ranks has none. */
    CHECK(loader_next(loader, &batch) && batch.row_count == 0 && batch.step_rows == 2 && batch.buffer == 0);
    CHECK(batch.rows == NULL && batch.columns == NULL && batch.consumed == 8);
    CHECK_OK(rds_loader_release(loader, batch.buffer));
    CHECK(!loader_next(loader, &batch) && batch.buffer == 0);
    check_at(loader, 1, 0);
    CHECK(batch_is_right(&kept));
    CHECK_OK(rds_loader_close(loader));
    CHECK_OK(rds_reader_close(reader));
}

TEST(a_batch_is_released_once) {
    rds_reader *reader = open_floats(100);
    rds_loader_options options = loader_options(2);
    rds_loader_batch first, second;
    rds_loader *loader = loader_open(reader, &options), *other = loader_open(reader, &options);
    CHECK(loader_next(loader, &first) && loader_next(loader, &second));
    CHECK(first.buffer != 0 && second.buffer != 0 && first.buffer != second.buffer);
    loader_release(loader, &first);
    CHECK_STATUS(rds_loader_release(loader, first.buffer), RDS_ERR_INVALID_ARGUMENT);
    CHECK_MESSAGE_HAS("rds_loader_release: buffer ");
    CHECK_STATUS(rds_loader_release(other, second.buffer), RDS_ERR_INVALID_ARGUMENT);
    CHECK_STATUS(rds_loader_release(loader, UINT64_MAX), RDS_ERR_INVALID_ARGUMENT);
    CHECK_OK(rds_loader_release(loader, 0));
    /* The memory that comes again has another name. */
    const uint64_t before = first.buffer;
    for (int i = 0; i < 20; i++) {
        CHECK(loader_next(loader, &first) && first.buffer != before);
        loader_release(loader, &first);
    }
    CHECK_STATUS(rds_loader_release(loader, before), RDS_ERR_INVALID_ARGUMENT);
    CHECK_NUMBER(loader_stats(loader).lent, 1);
    CHECK(batch_is_right(&second));
    CHECK_OK(rds_loader_close(loader));
    CHECK_OK(rds_loader_close(other));
    CHECK_OK(rds_reader_close(reader));
}

/* A ring of the caller's: columns in records, or apart from each other with gaps and at odd addresses. */
struct ring {
    unsigned char *memory;
    size_t bytes, stride[MIXED];
    rds_target targets[BUFFERS * MIXED];
};

/* `gap` bytes between rows; behind the last one there is nothing but the next column. */
static void ring_make(struct ring *ring, size_t gap) {
    size_t at = 5, b, c;
    memset(ring, 0, sizeof *ring);
    for (int make = 0; make < 2; make++, at = 5) {
        for (b = 0; b < BUFFERS; b++) {
            for (c = 0; c < MIXED; c++, at += 16) {
                const size_t size = kind_bytes(&mixed[c]);
                rds_target target = RDS_TARGET_INIT;
                ring->stride[c] = size + gap;
                target.column = (uint32_t)c, target.bytes = (BATCH - 1) * (size + gap) + size;
                target.stride = gap ? size + gap : 0;
                if (make) target.data = ring->memory + at;
                ring->targets[b * MIXED + c] = target;
                at += target.bytes;
            }
        }
        ring->bytes = at;
        if (!make) ring->memory = (unsigned char *)malloc(at);
    }
    memset(ring->memory, GUARD, ring->bytes);
}

/* Bytes of the ring that are none of a row. */
static size_t ring_untouched(const struct ring *ring, uint64_t rows) {
    unsigned char *is_row = (unsigned char *)calloc(ring->bytes, 1);
    size_t wrong = 0;
    for (size_t t = 0; t < BUFFERS * MIXED; t++) {
        const size_t c = t % MIXED, begin = (size_t)((unsigned char *)ring->targets[t].data - ring->memory);
        for (uint64_t i = 0; i < rows; i++) memset(is_row + begin + i * ring->stride[c], 1, kind_bytes(&mixed[c]));
    }
    for (size_t at = 0; at < ring->bytes; at++) wrong += !is_row[at] && ring->memory[at] != GUARD;
    free(is_row);
    return wrong;
}

static void check_ring_batch(const struct ring *ring, const rds_loader_batch *batch) {
    size_t buffer = 0, wrong = 0;
    while (buffer < BUFFERS && batch->columns[0] != ring->targets[buffer * MIXED].data) buffer++;
    if (!CHECK(buffer < BUFFERS)) return;
    for (size_t c = 0; c < MIXED; c++) {
        const unsigned char *bytes = (const unsigned char *)batch->columns[c];
        wrong += bytes != ring->targets[buffer * MIXED + c].data;
        for (uint64_t i = 0; i < batch->row_count; i++) {
            wrong += !rows_are(&mixed[c], bytes + i * ring->stride[c], batch->rows[i], 1, 1);
        }
    }
    CHECK_NUMBER(wrong, 0);
}

TEST(a_ring_of_the_caller_is_filled_and_nothing_else) {
    static const size_t gaps[] = {0, 5, 64};
    for (int kind = 0; kind < 12; kind++) {
        rds_reader *reader = open_mixed();
        struct ring ring;
        rds_loader_batch batch, lent[BUFFERS];
        ring_make(&ring, gaps[kind % 3]);
        rds_loader_options options = loader_options(BATCH);
        options.targets = ring.targets, options.target_count = BUFFERS * MIXED;
        options.flags = kind / 3 % 2 ? RDS_LOADER_NO_THREADS : 0, options.threads = kind / 6 ? 3 : 0;
        rds_loader *loader = loader_open(reader, &options);
        for (int i = 0; i < 3; i++) {
            for (uint64_t rows = 0; loader_next(loader, &batch); rows += batch.row_count) {
                check_ring_batch(&ring, &batch);
                loader_release(loader, &batch);
            }
        }
        for (int i = 0; i < BUFFERS; i++) CHECK(loader_next(loader, &lent[i]));
        rds_loader_batch none = RDS_LOADER_BATCH_INIT;
        CHECK_STATUS(rds_loader_next(loader, &none), RDS_ERR_NO_ROOM);
        for (int i = 0; i < BUFFERS; i++) check_ring_batch(&ring, &lent[i]);
        CHECK_NUMBER(loader_stats(loader).lent, BUFFERS);
        CHECK_NUMBER(loader_stats(loader).bytes, 0);
        CHECK_NUMBER(ring_untouched(&ring, BATCH), 0);
        CHECK_OK(rds_loader_close(loader));
        /* It is the caller's again. */
        memset(ring.memory, 0, ring.bytes);
        free(ring.memory);
        CHECK_OK(rds_reader_close(reader));
    }
}

/* A batch with fewer rows leaves the places of the others as they are. */
TEST(a_short_batch_touches_its_rows_alone) {
    struct ring ring;
    rds_reader *reader = open_mixed();
    rds_loader_batch batch;
    ring_make(&ring, 3);
    rds_loader_options options = loader_options(BATCH);
    options.targets = ring.targets, options.target_count = MIXED, options.row_count = 4;
    rds_loader *loader = loader_open(reader, &options);
    CHECK(loader_next(loader, &batch) && batch.row_count == 4);
    check_ring_batch(&ring, &batch);
    CHECK_NUMBER(ring_untouched(&ring, 4), 0);
    CHECK_OK(rds_loader_close(loader));
    free(ring.memory);
    CHECK_OK(rds_reader_close(reader));
}

TEST(a_ring_that_does_not_fit_is_refused) {
    struct ring ring;
    rds_reader *reader = open_mixed();
    ring_make(&ring, 4);
    for (int kind = 0; kind < 10; kind++) {
        static const char *const parts[] = {"target_count",      "targets[9]: bytes", "targets[9].column",
                                            "targets[9].data",   "targets[9]: stride", "targets[9]: flags",
                                            "max_bytes",         "column",            "targets",
                                            "targets[9].stride"};
        rds_loader_options options = loader_options(BATCH);
        rds_loader *loader = (rds_loader *)&ring;
        rds_target targets[BUFFERS * MIXED];
        static const uint32_t none = 0;
        memcpy(targets, ring.targets, sizeof targets);
        options.targets = targets, options.target_count = kind == 0 ? MIXED + 1 : BUFFERS * MIXED;
        if (kind == 1) targets[9].bytes--;
        if (kind == 2) targets[9].column = 2;
        if (kind == 3) targets[9].data = NULL;
        if (kind == 4) targets[9].stride = 7;
        if (kind == 5) targets[9].flags = 1;
        if (kind == 6) options.max_bytes = 1 << 20;
        if (kind == 7) options.columns = &none;
        if (kind == 8) options.targets = NULL;
        if (kind == 9) targets[9].stride = 11;
        const rds_status status = rds_loader_open(reader, &options, &loader);
        CHECK_STATUS(status, kind == 5 ? RDS_ERR_NOT_SUPPORTED : RDS_ERR_INVALID_ARGUMENT);
        CHECK_MESSAGE_HAS("rds_loader_open: ");
        if (!CHECK_MESSAGE_HAS(parts[kind])) fprintf(stderr, "    of kind %d\n", kind);
        CHECK(loader == NULL);
    }
    free(ring.memory);
    CHECK_OK(rds_reader_close(reader));
}

CHECK_MAIN(RUN(columns_are_aligned_and_the_callers_alone), RUN(memory_that_was_released_is_taken_again),
           RUN(bytes_are_bounded_whatever_is_lent), RUN(what_has_no_rows_needs_no_memory),
           RUN(a_batch_is_released_once), RUN(a_ring_of_the_caller_is_filled_and_nothing_else),
           RUN(a_short_batch_touches_its_rows_alone), RUN(a_ring_that_does_not_fit_is_refused))
