/* A loader gives each row of an epoch once, in the order that is written down, in steps that ranks and workers share.
 */
#include "loader.h"
#include "loader_order.h"

enum { MOST = 70000 };

static uint64_t given[MOST];

static void check_order(rds_loader *loader, const uint64_t *expected, uint64_t count) {
    if (!CHECK_NUMBER(loader_drain(loader, given, MOST), count)) return;
    CHECK(memcmp(given, expected, count * sizeof *given) == 0);
}

/* Whatever the batch, and in each epoch another one. */
TEST(the_order_is_the_one_that_is_written_down) {
    static const uint64_t counts[] = {1, 2, 3, 4, 5, 7, 10, 64, 100, 1000, 65535, 65536, 65537};
    static const uint64_t seeds[] = {0, 1, 0x8000000000000000u, UINT64_MAX};
    for (size_t c = 0; c < sizeof counts / sizeof counts[0]; c++) {
        for (int s = 0; s < 4; s++) {
            rds_loader_options options = loader_numbers(counts[c], counts[c] / 7 + 3);
            options.seed = seeds[s], options.epoch = (uint64_t)s;
            rds_loader *loader = loader_open(NULL, &options);
            for (uint64_t epoch = options.epoch; epoch < options.epoch + 3; epoch++) {
                const order_key key = {seeds[s], epoch, 0, 0};
                uint64_t *expected = order_all(counts[c], 1, key);
                check_order(loader, expected, counts[c]);
                CHECK(is_each_once(given, counts[c]));
                free(expected);
            }
            CHECK_OK(rds_loader_close(loader));
        }
    }
}

/* Numbers that programs rely on, whatever becomes of either side of the comparison above. */
TEST(the_order_never_changes) {
    static const uint64_t of_ten[] = {9, 1, 6, 2, 7, 3, 5, 4, 0, 8};
    static const uint64_t of_ten_in_clumps[] = {3, 4, 5, 9, 6, 7, 8, 0, 1, 2};
    static const uint64_t of_many[] = {69258858, 799478952, 570025546, 476048257};
    rds_loader_options options = loader_numbers(10, 4);
    options.seed = 42, options.epoch = 7;
    rds_loader *loader = loader_open(NULL, &options);
    check_order(loader, of_ten, 10);
    CHECK_OK(rds_loader_close(loader));
    options.clump_rows = 3;
    loader = loader_open(NULL, &options);
    check_order(loader, of_ten_in_clumps, 10);
    CHECK_OK(rds_loader_close(loader));
    options = loader_numbers(1000000007, 4);
    options.seed = 42, options.epoch = 7;
    rds_loader_batch batch;
    loader = loader_open(NULL, &options);
    CHECK(loader_next(loader, &batch) && memcmp(batch.rows, of_many, sizeof of_many) == 0);
    CHECK_OK(rds_loader_close(loader));
}

TEST(clumps_stay_together_and_come_in_the_order_that_is_written_down) {
    static const uint64_t counts[] = {1, 2, 5, 9, 10, 100, 1003};
    static const uint64_t clumps[] = {1, 2, 3, 7, 10, 64, 1000, 5000, 1ull << 62};
    for (int c = 0; c < 7; c++) {
        for (int k = 0; k < 9; k++) {
            rds_loader_options options = loader_numbers(counts[c], 13);
            options.seed = 5, options.clump_rows = clumps[k];
            const uint64_t clump = clumps[k] < counts[c] ? clumps[k] : counts[c];
            uint64_t *expected = order_all(counts[c], clump, (order_key){5, 0, 0, 0});
            rds_loader *loader = loader_open(NULL, &options);
            check_order(loader, expected, counts[c]);
            CHECK(is_each_once(given, counts[c]));
            CHECK_OK(rds_loader_close(loader));
            free(expected);
        }
    }
}

/* A range of rows, or a list of them, which may have some twice. */
TEST(a_subset_is_gone_through_as_it_is_listed) {
    static const uint64_t list[] = {7, 3, 3, 99, 0, 12, 41};
    check_path_text path = check_path();
    table_make(path.text, 100);
    rds_reader *reader = table_reader(path.text);
    for (int in_order = 0; in_order < 2; in_order++) {
        for (int listed = 0; listed < 3; listed++) {
            rds_loader_options options = loader_options(3);
            options.seed = 9, options.order = in_order ? RDS_ORDER_IN_ORDER : RDS_ORDER_SHUFFLED;
            options.rows = listed == 2 ? list : NULL;
            options.first_row = listed == 2 ? 0 : 30, options.row_count = listed == 0 ? 0 : 7;
            const uint64_t count = listed ? 7 : 70;
            uint64_t *expected = order_all(count, 1, (order_key){9, 0, 0, 0});
            for (uint64_t i = 0; i < count; i++) {
                const uint64_t index = in_order ? i : expected[i];
                expected[i] = listed == 2 ? list[index] : 30 + index;
            }
            rds_loader *loader = loader_open(reader, &options);
            CHECK_NUMBER(loader_stats(loader).epoch_rows, count);
            check_order(loader, expected, count);
            CHECK_OK(rds_loader_close(loader));
            free(expected);
        }
    }
    CHECK_OK(rds_reader_close(reader));
}

/* What a rank and worker must be given of a step, from positions of the epoch. */
static void check_share(const rds_loader_options *options, const rds_loader_batch *batch, const uint64_t *order,
                        uint64_t n) {
    const uint64_t m = batch->step_rows, ranks = options->world_size, workers = options->worker_count;
    uint64_t begin = batch->consumed + options->rank * m / ranks;
    uint64_t end = batch->consumed + (options->rank + 1) * m / ranks;
    if (!(options->flags & RDS_LOADER_WHOLE_STEPS)) {
        const uint64_t all = end - begin;
        end = begin + (options->worker + 1) * all / workers, begin += options->worker * all / workers;
    }
    uint64_t wrong = batch->row_count != end - begin, padding = 0;
    for (uint64_t at = begin; at < end && !wrong; at++) {
        wrong += batch->rows[at - begin] != order[at % n];
        padding += at >= n;
    }
    CHECK_NUMBER(wrong, 0);
    CHECK_NUMBER(batch->pad_rows, padding);
}

/* All ranks and workers of an epoch, which are told the same of the same steps. */
static void check_ranks(uint64_t n, uint64_t global, uint32_t ranks, uint32_t workers, uint32_t tail, uint32_t flags) {
    uint64_t *order = order_all(n, 1, (order_key){3, 0, 0, 0});
    const uint64_t steps = tail == RDS_TAIL_DROP ? n / global : (n + global - 1) / global;
    for (uint32_t rank = 0; rank < ranks; rank++) {
        for (uint32_t worker = 0; worker < workers; worker++) {
            rds_loader_options options = loader_numbers(n, 0);
            rds_loader_batch batch;
            options.global_batch_rows = global, options.seed = 3, options.tail = tail, options.flags |= flags;
            options.rank = rank, options.world_size = ranks, options.worker = worker, options.worker_count = workers;
            rds_loader *loader = loader_open(NULL, &options);
            CHECK_NUMBER(loader_stats(loader).epoch_steps, steps);
            const uint64_t first = flags ? worker : 0, round = flags ? workers : 1;
            uint64_t step = first, most = 0;
            for (; loader_next(loader, &batch); step += round) {
                const int is_last = (step + 1) * global > n;
                CHECK_NUMBER(batch.consumed, step * global);
                CHECK_NUMBER(batch.step_rows, is_last && tail == RDS_TAIL_SHORT ? n - step * global : global);
                CHECK_NUMBER(batch.epoch, 0);
                most = batch.row_count > most ? batch.row_count : most;
                check_share(&options, &batch, order, n);
                const uint64_t behind = (step - first + round) * global;
                check_at(loader, 0, behind < n ? behind : n);
                loader_release(loader, &batch);
            }
            CHECK_NUMBER(step, steps <= first ? first : first + (steps - first + round - 1) / round * round);
            CHECK(batch.row_count == 0 && batch.rows == NULL && batch.buffer == 0);
            CHECK(most <= loader_stats(loader).batch_rows);
            check_at(loader, 1, 0);
            CHECK_OK(rds_loader_close(loader));
        }
    }
    free(order);
}

TEST(ranks_and_workers_share_steps_whatever_the_tail) {
    static const struct {
        uint64_t n, global;
        uint32_t ranks, workers;
    } kinds[] = {{100, 10, 1, 1}, {100, 7, 3, 1}, {100, 7, 3, 2},  {5, 64, 4, 3},
                 {31, 31, 8, 1},  {9, 2, 5, 5},   {1, 1, 2, 2},    {1003, 64, 8, 4}};
    static const uint32_t tails[] = {RDS_TAIL_SHORT, RDS_TAIL_PAD, RDS_TAIL_DROP};
    for (int k = 0; k < 8; k++) {
        for (int t = 0; t < 3; t++) {
            if (tails[t] == RDS_TAIL_DROP && kinds[k].n < kinds[k].global) continue;
            for (uint32_t whole = 0; whole < 2; whole++) {
                int before = check_failures;
                check_ranks(kinds[k].n, kinds[k].global, kinds[k].ranks, kinds[k].workers, tails[t],
                            whole ? RDS_LOADER_WHOLE_STEPS : 0);
                if (check_failures != before) fprintf(stderr, "    of kind %d, tail %d, whole %u\n", k, t, whole);
            }
        }
    }
}

TEST(batch_rows_are_those_of_one_rank) {
    rds_loader_options options = loader_numbers(100, 6);
    rds_loader_batch batch;
    options.world_size = 3, options.rank = 2;
    rds_loader *loader = loader_open(NULL, &options);
    CHECK(loader_next(loader, &batch) && batch.row_count == 6 && batch.step_rows == 18);
    CHECK_NUMBER(loader_stats(loader).batch_rows, 6);
    CHECK_NUMBER(loader_stats(loader).epoch_steps, 6);
    CHECK_OK(rds_loader_close(loader));
}

/* One call tells the end, between the last step of an epoch and the first of the next one. */
TEST(an_epoch_ends_once_and_the_next_one_begins) {
    rds_loader_options options = loader_numbers(10, 4);
    rds_loader_batch batch;
    rds_loader *loader = loader_open(NULL, &options);
    for (uint64_t epoch = 0; epoch < 5; epoch++) {
        for (int step = 0; step < 3; step++) {
            CHECK(loader_next(loader, &batch) && batch.epoch == epoch && batch.column_count == 0);
            CHECK(batch.columns == NULL && batch.tables == NULL);
            loader_release(loader, &batch);
        }
        check_at(loader, epoch, 10);
        CHECK(!loader_next(loader, &batch));
        CHECK(batch.epoch == epoch && batch.buffer == 0 && batch.row_count == 0 && batch.struct_size == sizeof batch);
        check_at(loader, epoch + 1, 0);
    }
    CHECK_NUMBER(loader_stats(loader).batches, 15);
    CHECK_OK(rds_loader_close(loader));
}

/* By each way to rows, from two data files, of all columns or some in another order. */
TEST(batches_have_the_bytes_of_their_rows) {
    enum { ROWS = 60 };
    static const uint32_t some[] = {4, 0, 3, 6}, ways[] = {RDS_ACCESS_AUTO, RDS_ACCESS_LANCE};
    check_path_text path = check_path();
    columns_add(path.text, mixed, MIXED, 0, 23);
    columns_add(path.text, mixed, MIXED, 23, ROWS - 23);
    for (int way = 0; way < 2; way++) {
        rds_reader *reader = table_reader_with(path.text, ways[way]);
        for (int all = 0; all < 4; all++) {
            rds_loader_options options = loader_options(7);
            rds_loader_batch batch;
            uint64_t count = 0, wrong = 0;
            options.columns = all % 2 ? NULL : some, options.column_count = all % 2 ? 0 : 4;
            options.flags = all / 2 ? RDS_LOADER_NO_THREADS : 0;
            rds_loader *loader = loader_open(reader, &options);
            while (loader_next(loader, &batch)) {
                CHECK_NUMBER(batch.column_count, all % 2 ? MIXED : 4);
                for (size_t c = 0; c < batch.column_count; c++) {
                    const column_kind *kind = &mixed[all % 2 ? c : some[c]];
                    const unsigned char *bytes = (const unsigned char *)batch.columns[c];
                    for (uint64_t i = 0; i < batch.row_count; i++) {
                        wrong += !rows_are(kind, bytes + i * kind_bytes(kind), batch.rows[i], 1, 1);
                    }
                }
                count += batch.row_count;
                loader_release(loader, &batch);
            }
            CHECK_NUMBER(wrong, 0);
            CHECK_NUMBER(count, ROWS);
            CHECK_OK(rds_loader_close(loader));
        }
        CHECK_OK(rds_reader_close(reader));
    }
}

TEST(a_loader_keeps_the_snapshot_that_it_was_opened_with) {
    check_path_text path = check_path();
    rds_loader_options options = loader_options(10);
    rds_loader_batch batch;
    uint32_t changed = 0;
    table_make(path.text, 40);
    rds_reader *reader = table_reader(path.text);
    rds_loader *loader = loader_open(reader, &options);
    table_append(path.text, 40, 10);
    CHECK_OK(rds_reader_refresh(reader, &changed));
    CHECK_NUMBER(changed, 1);
    rds_loader *later = loader_open(reader, &options);
    CHECK_OK(rds_reader_close(reader));
    for (int i = 0; i < 2; i++) {
        while (loader_next(loader, &batch)) {
            CHECK(batch_is_right(&batch));
            loader_release(loader, &batch);
        }
        CHECK_NUMBER(loader_stats(loader).epoch_rows, 40);
    }
    CHECK_NUMBER(loader_drain(later, given, MOST), 50);
    CHECK_OK(rds_loader_close(loader));
    CHECK_OK(rds_loader_close(later));
}

CHECK_MAIN(RUN(the_order_is_the_one_that_is_written_down), RUN(the_order_never_changes),
           RUN(clumps_stay_together_and_come_in_the_order_that_is_written_down),
           RUN(a_subset_is_gone_through_as_it_is_listed), RUN(ranks_and_workers_share_steps_whatever_the_tail),
           RUN(batch_rows_are_those_of_one_rank), RUN(an_epoch_ends_once_and_the_next_one_begins),
           RUN(batches_have_the_bytes_of_their_rows), RUN(a_loader_keeps_the_snapshot_that_it_was_opened_with))
