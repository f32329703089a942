/* An epoch that two ranks begin and three finish: each row comes once. */
#include <stdio.h>
#include <stdlib.h>

#include "rds.h"

enum { ROWS = 1000, WIDTH = 4, BATCH = 120, MOST_RANKS = 3 };

static void check(rds_status status) {
    if (status == RDS_OK) return;
    fprintf(stderr, "%s\n", rds_last_error_message());
    exit(1);
}

static void write_table(void) {
    static float features[ROWS][WIDTH];
    static int64_t numbers[ROWS];
    const int64_t shape[2] = {ROWS, WIDTH};
    for (int i = 0; i < ROWS; i++) numbers[i] = i, features[i][0] = (float)i;
    rds_writer_options options = RDS_WRITER_OPTIONS_INIT;
    options.mode = RDS_MODE_OVERWRITE;
    rds_writer *writer = NULL;
    check(rds_writer_open("results", &options, &writer));
    rds_ids ids = RDS_IDS_INIT;
    ids.kind = RDS_IDS_INT64, ids.count = ROWS, ids.data = numbers;
    rds_tensor tensor = RDS_TENSOR_INIT;
    tensor.name = "features", tensor.dtype = RDS_DTYPE_FLOAT32;
    tensor.ndim = 2, tensor.shape = shape, tensor.data = features;
    check(rds_write_tensors(writer, &ids, &tensor, 1));
    check(rds_writer_close(writer));
}

/* All ranks of a world are in this program; as a rule each is a process of its own. */
static void open_ranks(const rds_reader *reader, rds_loader **loaders, uint32_t world_size) {
    rds_loader_options options = RDS_LOADER_OPTIONS_INIT;
    options.global_batch_rows = BATCH, options.seed = 7, options.world_size = world_size;
    for (options.rank = 0; options.rank < world_size; options.rank++) {
        check(rds_loader_open(reader, &options, &loaders[options.rank]));
    }
}

/* Takes so many steps, or those that are left of the epoch. Returns how many there were. */
static int train(rds_loader *loader, int steps, int *seen, double *sum) {
    rds_loader_batch batch = RDS_LOADER_BATCH_INIT;
    int taken = 0;
    for (; taken < steps; taken++) {
        check(rds_loader_next(loader, &batch));
        if (batch.step_rows == 0) break;
        const float *features = batch.row_count ? batch.columns[0] : NULL;
        for (uint64_t i = 0; i < batch.row_count; i++) {
            seen[batch.rows[i]]++;
            *sum += features[i * WIDTH];
        }
        check(rds_loader_release(loader, batch.buffer));
    }
    return taken;
}

static void train_ranks(rds_loader **loaders, uint32_t world_size, int steps, int *seen) {
    double sum = 0;
    int taken = 0;
    for (uint32_t rank = 0; rank < world_size; rank++) taken = train(loaders[rank], steps, seen, &sum);
    printf("%u ranks: %d steps, sum %g\n", (unsigned)world_size, taken, sum);
}

static void close_ranks(rds_loader **loaders, uint32_t world_size) {
    for (uint32_t rank = 0; rank < world_size; rank++) check(rds_loader_close(loaders[rank]));
}

int main(void) {
    rds_reader *reader = NULL;
    rds_loader *loaders[MOST_RANKS];
    rds_position position;
    static int seen[ROWS];
    write_table();
    check(rds_reader_open("results", NULL, &reader));

    open_ranks(reader, loaders, 2);
    train_ranks(loaders, 2, 4, seen);
    /* All ranks are at the same position; its bytes belong into a checkpoint. */
    check(rds_loader_state(loaders[0], &position));
    close_ranks(loaders, 2);

    open_ranks(reader, loaders, 3);
    for (int rank = 0; rank < 3; rank++) check(rds_loader_seek(loaders[rank], &position, 0, 0));
    train_ranks(loaders, 3, ROWS, seen);
    close_ranks(loaders, 3);
    check(rds_reader_close(reader));

    int once = 0;
    for (int row = 0; row < ROWS; row++) once += seen[row] == 1;
    printf("%d of %d rows came once\n", once, ROWS);
    return 0;
}
