/* A mixture of tables: how often rows of each come, by weights that change on the way, and that they are its rows. */
#include "loader.h"
#include "loader_order.h"

enum { TABLES = 3, MOST = 4000 };

static const uint64_t table_rows_of[TABLES] = {50, 17, 120};

/* Column `data` of table t has t * 1000 + row in each float; column `label` the row. */
static check_path_text make_table(uint64_t table, uint64_t rows, int swapped) {
    check_path_text path = check_path();
    float(*values)[3] = (float(*)[3])malloc((rows + 1) * sizeof *values);
    int64_t *labels = (int64_t *)malloc((rows + 1) * sizeof *labels);
    const int64_t shape[2] = {(int64_t)rows, 3};
    for (uint64_t row = 0; row < rows; row++) {
        labels[row] = (int64_t)row;
        for (int c = 0; c < 3; c++) values[row][c] = (float)(table * 1000 + row);
    }
    const rds_ids ids = ids_of(RDS_IDS_INT64, rows, labels);
    rds_tensor tensors[2] = {tensor_of(RDS_DTYPE_FLOAT32, 2, shape, values),
                             tensor_of(RDS_DTYPE_INT64, 1, shape, labels)};
    tensors[0].name = "vector", tensors[1].name = "label";
    const rds_tensor turned[2] = {tensors[1], tensors[0]};
    rds_writer *writer = table_writer(path.text, RDS_MODE_CREATE, RDS_DURABILITY_COMMIT);
    CHECK_OK(rds_write_tensors(writer, &ids, swapped ? turned : tensors, 2));
    CHECK_OK(rds_commit(writer, NULL, NULL));
    CHECK_OK(rds_writer_close(writer));
    free(values), free(labels);
    return path;
}

static rds_reader *readers[TABLES];
static rds_loader_table others[TABLES - 1];

/* The columns of one have other numbers. One is decoded. */
static rds_loader_options open_tables(uint64_t batch_rows) {
    rds_loader_options options = loader_options(batch_rows);
    for (uint64_t t = 0; t < TABLES; t++) {
        const check_path_text path = make_table(t, table_rows_of[t], t == 1);
        readers[t] = table_reader_with(path.text, t == 2 ? RDS_ACCESS_LANCE : RDS_ACCESS_AUTO);
    }
    for (uint64_t t = 1; t < TABLES; t++) {
        const rds_loader_table other = RDS_LOADER_TABLE_INIT;
        others[t - 1] = other;
        others[t - 1].reader = readers[t];
    }
    options.others = others, options.other_count = TABLES - 1;
    return options;
}

static void close_tables(void) {
    for (int t = 0; t < TABLES; t++) CHECK_OK(rds_reader_close(readers[t]));
}

static order_mixture mixture_of(const rds_loader_options *options, const rds_loader_weights *weights) {
    order_mixture mixture = {.tables = TABLES, .seed = options->seed, .changes = options->weights_count};
    for (int t = 0; t < TABLES; t++) mixture.rows[t] = table_rows_of[t], mixture.epoch_rows += table_rows_of[t];
    if (options->epoch_rows) mixture.epoch_rows = options->epoch_rows;
    for (uint64_t c = 0; c < mixture.changes; c++) {
        mixture.change[c].epoch = weights[c].epoch, mixture.change[c].consumed = weights[c].consumed;
        memcpy(mixture.change[c].weights, weights[c].weights, TABLES * sizeof(uint64_t));
    }
    return mixture;
}

/* The bytes of its rows, each of the table that it is of. */
static uint64_t wrong_bytes(const rds_loader_batch *batch) {
    uint64_t wrong = batch->column_count != 2;
    for (uint64_t i = 0; i < batch->row_count && !wrong; i++) {
        const float *vector = (const float *)batch->columns[0] + 3 * i;
        const float expected = (float)(batch->tables[i] * 1000 + batch->rows[i]);
        wrong += vector[0] != expected || vector[1] != expected || vector[2] != expected;
        wrong += ((const int64_t *)batch->columns[1])[i] != (int64_t)batch->rows[i];
    }
    return wrong;
}

/* So many epochs, from one on; what the last one had of each table is added up. */
static void check_epochs(rds_loader *loader, const order_mixture *mixture, uint64_t first, uint64_t end,
                         uint64_t *counts) {
    static uint32_t tables[MOST];
    static uint64_t rows[MOST];
    rds_loader_batch batch;
    for (uint64_t epoch = first; epoch < end; epoch++) {
        uint64_t at = 0, wrong = 0;
        order_mixed(mixture, epoch, tables, rows);
        memset(counts, 0, TABLES * sizeof *counts);
        for (; loader_next(loader, &batch); at += batch.row_count) {
            wrong += batch.consumed != at || batch.epoch != epoch || wrong_bytes(&batch);
            wrong += memcmp(batch.rows, rows + at, batch.row_count * sizeof *rows) != 0;
            wrong += memcmp(batch.tables, tables + at, batch.row_count * sizeof *tables) != 0;
            for (uint64_t i = 0; i < batch.row_count; i++) counts[batch.tables[i]]++;
            loader_release(loader, &batch);
        }
        CHECK_NUMBER(at, mixture->epoch_rows);
        CHECK_NUMBER(wrong, 0);
    }
}

TEST(without_weights_each_table_comes_as_often_as_it_has_rows) {
    rds_loader_options options = open_tables(16);
    uint64_t counts[TABLES];
    for (uint32_t flags = 0; flags <= RDS_LOADER_NO_THREADS; flags += RDS_LOADER_NO_THREADS) {
        options.seed = 8, options.flags = flags;
        const order_mixture mixture = mixture_of(&options, NULL);
        rds_loader *loader = loader_open(readers[0], &options);
        CHECK_NUMBER(loader_stats(loader).epoch_rows, 187);
        check_epochs(loader, &mixture, 0, 3, counts);
        CHECK(memcmp(counts, table_rows_of, sizeof counts) == 0);
        CHECK_OK(rds_loader_close(loader));
    }
    close_tables();
}

/* Within an epoch, at its begin, twice at one place, and in one far away; with tables that never come. */
TEST(weights_hold_from_their_position_on) {
    static const uint64_t even[] = {1, 1, 1}, first[] = {7, 0, 0}, rest[] = {0, 2, 5};
    static const uint64_t large[] = {1ull << 60, 1, 1ull << 59};
    rds_loader_options options = open_tables(32);
    rds_loader_weights weights[] = {{sizeof *weights, 0, 0, even, TABLES},    {sizeof *weights, 0, 101, first, TABLES},
                                    {sizeof *weights, 1, 40, even, TABLES},   {sizeof *weights, 1, 40, rest, TABLES},
                                    {sizeof *weights, 2, 777, large, TABLES}, {sizeof *weights, 9, 0, first, TABLES}};
    uint64_t counts[TABLES];
    options.weights = weights, options.weights_count = 6, options.epoch_rows = 1000, options.seed = 3;
    const order_mixture mixture = mixture_of(&options, weights);
    rds_loader *loader = loader_open(readers[0], &options);
    check_epochs(loader, &mixture, 0, 1, counts);
    CHECK(counts[0] == 33 + 899 && counts[1] + counts[2] == 68);
    check_epochs(loader, &mixture, 1, 2, counts);
    CHECK(counts[0] == 40);
    check_epochs(loader, &mixture, 2, 4, counts);
    CHECK(counts[0] > 660 && counts[1] <= 1 && counts[2] > 330);
    CHECK_OK(rds_loader_seek(loader, NULL, 9, 0));
    check_epochs(loader, &mixture, 9, 10, counts);
    CHECK(counts[0] == 1000);
    CHECK_OK(rds_loader_close(loader));
    close_tables();
}

/* A table that is through begins anew, in another order: no row comes twice before all others came once. */
TEST(a_table_that_is_through_begins_anew) {
    static const uint64_t list[] = {1, 5, 8};
    static const uint64_t weights_of[] = {1, 3, 2};
    rds_loader_options options = open_tables(10);
    rds_loader_weights weights = RDS_LOADER_WEIGHTS_INIT;
    rds_loader_batch batch;
    uint64_t seen[TABLES][200] = {{0}};
    weights.weights = weights_of, weights.weight_count = TABLES;
    others[0].rows = list, others[0].row_count = 3, others[1].first_row = 100;
    options.weights = &weights, options.weights_count = 1, options.epoch_rows = 600;
    rds_loader *loader = loader_open(readers[0], &options);
    while (loader_next(loader, &batch)) {
        CHECK_NUMBER(wrong_bytes(&batch), 0);
        for (uint64_t i = 0; i < batch.row_count; i++) seen[batch.tables[i]][batch.rows[i]]++;
        loader_release(loader, &batch);
    }
    for (int i = 0; i < 50; i++) CHECK_NUMBER(seen[0][i], 2);
    for (int i = 0; i < 3; i++) CHECK_NUMBER(seen[1][list[i]], 100);
    for (int i = 100; i < 120; i++) CHECK_NUMBER(seen[2][i], 10);
    CHECK_OK(rds_loader_close(loader));
    close_tables();
}

/* A prefix of any length has of each table what its weight says, to within a row for each table. */
TEST(weights_hold_for_every_part_of_an_epoch) {
    static const uint64_t weights_of[] = {5, 1, 94};
    rds_loader_options options = open_tables(1);
    rds_loader_weights weights = RDS_LOADER_WEIGHTS_INIT;
    rds_loader_batch batch;
    double counts[TABLES] = {0}, worst = 0;
    weights.weights = weights_of, weights.weight_count = TABLES;
    options.weights = &weights, options.weights_count = 1, options.epoch_rows = 2000;
    rds_loader *loader = loader_open(readers[0], &options);
    for (double given = 1; loader_next(loader, &batch); given++) {
        counts[batch.tables[0]]++;
        for (int t = 0; t < TABLES; t++) {
            const double off = counts[t] - given * (double)weights_of[t] / 100;
            worst = off > worst ? off : -off > worst ? -off : worst;
        }
        loader_release(loader, &batch);
    }
    CHECK(worst > 0 && worst < TABLES);
    CHECK_OK(rds_loader_close(loader));
    close_tables();
}

/* Ranks of a mixture, its clumps, and a short and a filled-up end. */
TEST(ranks_share_a_mixture) {
    rds_loader_options options = open_tables(0);
    uint64_t seen[TABLES][200] = {{0}}, padding = 0, wrong = 0;
    options.global_batch_rows = 50, options.world_size = 3, options.tail = RDS_TAIL_PAD, options.clump_rows = 4;
    for (options.rank = 0; options.rank < 3; options.rank++) {
        rds_loader_batch batch;
        rds_loader *loader = loader_open(readers[0], &options);
        while (loader_next(loader, &batch)) {
            CHECK_NUMBER(wrong_bytes(&batch), 0);
            padding += batch.pad_rows;
            for (uint64_t i = 0; i < batch.row_count - batch.pad_rows; i++) seen[batch.tables[i]][batch.rows[i]]++;
            loader_release(loader, &batch);
        }
        CHECK_OK(rds_loader_close(loader));
    }
    for (int t = 0; t < TABLES; t++) {
        for (uint64_t row = 0; row < 200; row++) wrong += seen[t][row] != (row < table_rows_of[t]);
    }
    CHECK_NUMBER(wrong, 0);
    CHECK_NUMBER(padding, 13);
    close_tables();
}

/* Into records of the caller's. */
TEST(a_mixture_goes_to_memory_of_the_caller) {
    struct record {
        int64_t label;
        float vector[3];
    } ring[2][16];
    rds_target targets[4];
    rds_loader_options options = open_tables(16);
    rds_loader_batch batch;
    uint64_t wrong = 0;
    for (int i = 0; i < 4; i++) {
        const rds_target none = RDS_TARGET_INIT;
        struct record *records = ring[i / 2];
        targets[i] = none;
        targets[i].column = (uint32_t)i % 2, targets[i].stride = sizeof *records;
        targets[i].data = i % 2 ? (void *)&records->label : (void *)records->vector;
        targets[i].bytes = sizeof ring[0] - (i % 2 ? 0 : offsetof(struct record, vector));
    }
    options.targets = targets, options.target_count = 4;
    rds_loader *loader = loader_open(readers[0], &options);
    while (loader_next(loader, &batch)) {
        const struct record *records = (const struct record *)batch.columns[1];
        for (uint64_t i = 0; i < batch.row_count; i++) {
            wrong += records[i].label != (int64_t)batch.rows[i];
            wrong += records[i].vector[2] != (float)(batch.tables[i] * 1000 + batch.rows[i]);
        }
        loader_release(loader, &batch);
    }
    CHECK_NUMBER(wrong, 0);
    CHECK_OK(rds_loader_close(loader));
    close_tables();
}

/* Weights may change behind a state, and not before it. */
TEST(a_state_holds_for_the_weights_before_it) {
    static const uint64_t even[] = {1, 1, 1}, odd[] = {1, 2, 1};
    rds_loader_options options = open_tables(10), changed = options;
    rds_loader_weights weights[] = {{sizeof *weights, 0, 0, even, TABLES}, {sizeof *weights, 0, 20, odd, TABLES}};
    rds_loader_batch batch;
    options.weights = weights, options.weights_count = 1;
    rds_loader *loader = loader_open(readers[0], &options);
    for (int i = 0; i < 2; i++) CHECK(loader_next(loader, &batch));
    const rds_position position = loader_state(loader);
    CHECK_OK(rds_loader_close(loader));
    changed.weights = weights;
    for (int kind = 0; kind < 5; kind++) {
        changed.weights_count = kind == 1 ? 0 : 2, changed.epoch_rows = kind == 2 ? 186 : 0;
        weights[0].weights = kind == 3 ? odd : even, weights[1].consumed = kind == 4 ? 19 : 20;
        loader = loader_open(readers[0], &changed);
        CHECK_STATUS(rds_loader_seek(loader, &position, 0, 0), kind ? RDS_ERR_INVALID_ARGUMENT : RDS_OK);
        if (kind) CHECK_MESSAGE_HAS("weights");
        check_at(loader, 0, kind ? 0 : 20);
        CHECK_OK(rds_loader_close(loader));
    }
    close_tables();
}

static void check_refused(const rds_loader_options *options, rds_status status, const char *part) {
    rds_loader *loader = (rds_loader *)(uintptr_t)&others;
    CHECK_STATUS(rds_loader_open(readers[0], options, &loader), status);
    CHECK_MESSAGE_HAS("rds_loader_open: ");
    CHECK_MESSAGE_HAS(part);
    CHECK(loader == NULL);
}

TEST(what_is_no_mixture_is_refused) {
    static const uint64_t even[] = {1, 1, 1}, none[] = {0, 0, 0}, large[] = {UINT64_MAX, 1, 1}, beyond[] = {17};
    const rds_loader_options right = open_tables(10);
    const rds_loader_weights good = {sizeof good, 1, 5, even, TABLES};
    rds_loader_options options = right;
    rds_loader_weights weights[2] = {good, good};
    options.weights = weights, options.weights_count = 2;
    weights[1].consumed = 4;
    check_refused(&options, RDS_ERR_INVALID_ARGUMENT, "options.weights[1]");
    weights[1] = good, weights[1].epoch = 0;
    check_refused(&options, RDS_ERR_INVALID_ARGUMENT, "options.weights[1]");
    weights[1] = good, weights[1].weight_count = 2;
    check_refused(&options, RDS_ERR_INVALID_ARGUMENT, "weight_count");
    weights[1] = good, weights[1].weights = NULL;
    check_refused(&options, RDS_ERR_INVALID_ARGUMENT, "options.weights[1].weights");
    weights[1] = good, weights[1].weights = none;
    check_refused(&options, RDS_ERR_INVALID_ARGUMENT, "options.weights[1]");
    weights[1].weights = large;
    check_refused(&options, RDS_ERR_INVALID_ARGUMENT, "options.weights[1]");
    options.weights = NULL;
    check_refused(&options, RDS_ERR_INVALID_ARGUMENT, "options.weights");
    options = right, options.others = NULL;
    check_refused(&options, RDS_ERR_INVALID_ARGUMENT, "options.others");
    options = right, options.other_count = 0, options.others = NULL, options.epoch_rows = 100;
    check_refused(&options, RDS_ERR_INVALID_ARGUMENT, "options.epoch_rows");
    options.epoch_rows = 0, options.weights = &good, options.weights_count = 1;
    check_refused(&options, RDS_ERR_INVALID_ARGUMENT, "options.weights");
    options = right, others[1].reader = NULL;
    check_refused(&options, RDS_ERR_INVALID_HANDLE, "options.others[1]");
    others[1].reader = (const rds_reader *)(const void *)&others;
    check_refused(&options, RDS_ERR_INVALID_HANDLE, "options.others[1]");
    others[1].reader = readers[2], others[0].rows = beyond, others[0].row_count = 1;
    check_refused(&options, RDS_ERR_OUT_OF_RANGE, "options.others[0]");
    others[0].rows = NULL, others[0].first_row = 18, others[0].row_count = 0;
    check_refused(&options, RDS_ERR_OUT_OF_RANGE, "options.others[0]");
    close_tables();
}

TEST(tables_of_other_columns_are_refused) {
    rds_loader_options options = open_tables(10);
    check_path_text path = check_path();
    const column_kind kinds[] = {{"vector", RDS_DTYPE_FLOAT64, 1, {3, 0, 0}}, {"label", RDS_DTYPE_INT64, 0, {0, 0, 0}}};
    static const uint32_t label = 1;
    columns_add(path.text, kinds, 2, 0, 10);
    rds_reader *other = table_reader(path.text);
    others[1].reader = other;
    check_refused(&options, RDS_ERR_SCHEMA_MISMATCH, "\"vector\"");
    options.columns = &label, options.column_count = 1;
    rds_loader *loader = loader_open(readers[0], &options);
    CHECK_NUMBER(loader_drain(loader, NULL, 0), 50 + 17 + 10);
    CHECK_OK(rds_loader_close(loader));
    table_make(path.text, 10);
    rds_reader *without = table_reader(path.text);
    others[1].reader = without;
    check_refused(&options, RDS_ERR_SCHEMA_MISMATCH, "\"label\"");
    CHECK_OK(rds_reader_close(other));
    CHECK_OK(rds_reader_close(without));
    close_tables();
}

/* Those that have no rows have no weight either. */
TEST(empty_tables_of_a_mixture_never_come) {
    rds_loader_options options = open_tables(10);
    static const uint64_t nothing = 0, even[] = {1, 1, 1}, first[] = {1, 0, 1};
    rds_loader_weights weights = {sizeof weights, 0, 0, even, TABLES};
    others[0].rows = &nothing;
    rds_loader *loader = loader_open(readers[0], &options);
    CHECK_NUMBER(loader_drain(loader, NULL, 0), 170);
    CHECK_OK(rds_loader_close(loader));
    options.weights = &weights, options.weights_count = 1;
    check_refused(&options, RDS_ERR_INVALID_ARGUMENT, "table 1");
    weights.weights = first;
    loader = loader_open(readers[0], &options);
    CHECK_NUMBER(loader_drain(loader, NULL, 0), 170);
    CHECK_OK(rds_loader_close(loader));
    /* Of nothing no epoch has rows. */
    others[1].rows = options.rows = &nothing;
    options.weights_count = 0, options.weights = NULL, options.epoch_rows = 100;
    check_refused(&options, RDS_ERR_INVALID_ARGUMENT, "epoch_rows");
    options.epoch_rows = 0;
    loader = loader_open(readers[0], &options);
    CHECK_NUMBER(loader_drain(loader, NULL, 0), 0);
    CHECK_OK(rds_loader_close(loader));
    close_tables();
}

CHECK_MAIN(RUN(without_weights_each_table_comes_as_often_as_it_has_rows), RUN(weights_hold_from_their_position_on),
           RUN(a_table_that_is_through_begins_anew), RUN(weights_hold_for_every_part_of_an_epoch),
           RUN(ranks_share_a_mixture), RUN(a_mixture_goes_to_memory_of_the_caller),
           RUN(a_state_holds_for_the_weights_before_it), RUN(what_is_no_mixture_is_refused),
           RUN(tables_of_other_columns_are_refused), RUN(empty_tables_of_a_mixture_never_come))
