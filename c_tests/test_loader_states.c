/* A loader goes on from a state, whatever rank, batch or tail it was of. What is no state, or one of something else, is
 * refused by name and changes nothing. */
#include "loader.h"
#include "loader_order.h"

enum { N = 101 };

static uint64_t given[4096];

/* What is left of the epoch, by all ranks together. */
static uint64_t drain_ranks(const rds_position *position, rds_loader_options options, uint32_t ranks) {
    uint64_t count = 0;
    options.world_size = ranks;
    for (options.rank = 0; options.rank < ranks; options.rank++) {
        rds_loader *loader = loader_open(NULL, &options);
        CHECK_OK(rds_loader_seek(loader, position, 0, 0));
        const rds_position at = loader_state(loader);
        CHECK(is_position(&at, position));
        count += loader_drain(loader, given + count, 4096 - count);
        CHECK_OK(rds_loader_close(loader));
    }
    return count;
}

/* The first so many rows of an epoch were given: those that come now are the others. */
static void check_are_the_others(const uint64_t *order, uint64_t consumed, uint64_t count) {
    if (!CHECK_NUMBER(count, N - consumed)) return;
    memcpy(given + count, order, consumed * sizeof *order);
    CHECK(is_each_once(given, N));
}

TEST(every_remaining_row_comes_once_whoever_goes_on) {
    uint64_t *order = order_all(N, 1, (order_key){11, 4, 0, 0});
    rds_loader_options options = loader_numbers(N, 2), other = loader_numbers(N, 0);
    rds_loader_batch batch;
    options.seed = 11, options.epoch = 4, options.world_size = 3, options.rank = 1;
    rds_loader *loader = loader_open(NULL, &options);
    for (uint64_t consumed = 0; consumed <= N; consumed += 6) {
        const rds_position position = loader_state(loader);
        check_at(loader, 4, consumed);
        for (uint32_t ranks = 1; ranks < 9; ranks += 3) {
            /* Its own seed is another one: the state has it. */
            other.seed = ranks, other.global_batch_rows = 5 * ranks + 2, other.tail = RDS_TAIL_SHORT;
            check_are_the_others(order, consumed, drain_ranks(&position, other, ranks));
            other.global_batch_rows = 1, other.tail = RDS_TAIL_PAD;
            check_are_the_others(order, consumed, drain_ranks(&position, other, ranks));
        }
        if (!loader_next(loader, &batch)) break;
        loader_release(loader, &batch);
    }
    CHECK_OK(rds_loader_close(loader));
    free(order);
}

TEST(ranks_behind_the_same_step_have_the_same_state) {
    enum { RANKS = 5 };
    rds_loader *loaders[RANKS];
    rds_loader_batch batch;
    check_path_text path = check_path();
    table_make(path.text, N);
    rds_reader *reader = table_reader(path.text);
    for (uint32_t rank = 0; rank < RANKS; rank++) {
        rds_loader_options options = loader_options(3);
        options.world_size = RANKS, options.rank = rank, options.ahead = rank + 1, options.threads = rank % 3;
        loaders[rank] = loader_open(reader, &options);
    }
    for (int step = 0; step < 20; step++) {
        rds_position first = loader_state(loaders[0]);
        for (int rank = 0; rank < RANKS; rank++) {
            const rds_position at = loader_state(loaders[rank]);
            CHECK(is_position(&at, &first));
            loader_next(loaders[rank], &batch);
            CHECK(batch_is_right(&batch) || batch.row_count == 0);
            loader_release(loaders[rank], &batch);
        }
    }
    for (int rank = 0; rank < RANKS; rank++) CHECK_OK(rds_loader_close(loaders[rank]));
    CHECK_OK(rds_reader_close(reader));
}

/* However much was gathered ahead. */
TEST(a_state_is_behind_the_last_batch_that_was_given) {
    check_path_text path = check_path();
    rds_loader_options options = loader_options(4);
    rds_loader_batch batch, again;
    options.ahead = 16, options.threads = 2;
    table_make(path.text, N);
    rds_reader *reader = table_reader(path.text);
    rds_loader *loader = loader_open(reader, &options), *other = loader_open(reader, &options);
    for (int i = 0; i < 40; i++) {
        const rds_position position = loader_state(loader);
        const int is_step = loader_next(loader, &batch);
        sleep_ms(i % 8 == 0 ? 5 : 0);
        CHECK_OK(rds_loader_seek(other, &position, 0, 0));
        CHECK_NUMBER(loader_next(other, &again), is_step);
        CHECK(batch.row_count == again.row_count && batch.consumed == again.consumed && batch.epoch == again.epoch);
        CHECK(!is_step || memcmp(batch.rows, again.rows, batch.row_count * sizeof *batch.rows) == 0);
        const rds_position a = loader_state(loader), b = loader_state(other);
        CHECK(is_position(&a, &b));
        loader_release(loader, &batch), loader_release(other, &again);
    }
    CHECK_OK(rds_loader_close(loader));
    CHECK_OK(rds_loader_close(other));
    CHECK_OK(rds_reader_close(reader));
}

TEST(seek_goes_anywhere_in_any_epoch) {
    static const uint64_t epochs[] = {3, 0, UINT64_MAX, 1ull << 40, 0}, consumed[] = {0, 7, 100, 101, 50};
    rds_loader_options options = loader_numbers(N, 10);
    rds_loader_batch batch;
    options.seed = 2;
    rds_loader *loader = loader_open(NULL, &options);
    for (int i = 0; i < 5; i++) {
        uint64_t *order = order_all(N, 1, (order_key){2, epochs[i], 0, 0});
        CHECK_OK(rds_loader_seek(loader, NULL, epochs[i], consumed[i]));
        check_at(loader, epochs[i], consumed[i]);
        CHECK_NUMBER(loader_drain(loader, given, N), N - consumed[i]);
        CHECK(memcmp(given, order + consumed[i], (N - consumed[i]) * sizeof *order) == 0);
        /* Behind the last epoch comes the first one. */
        check_at(loader, epochs[i] + 1, 0);
        free(order);
    }
    CHECK_OK(rds_loader_seek(loader, NULL, 5, 40));
    CHECK_STATUS(rds_loader_seek(loader, NULL, 6, N + 1), RDS_ERR_INVALID_ARGUMENT);
    CHECK_MESSAGE_HAS("102");
    CHECK_STATUS(rds_loader_seek(loader, NULL, 6, UINT64_MAX), RDS_ERR_INVALID_ARGUMENT);
    const rds_position position = loader_state(loader);
    CHECK_STATUS(rds_loader_seek(loader, &position, 6, 0), RDS_ERR_INVALID_ARGUMENT);
    CHECK_MESSAGE_HAS("position");
    CHECK_STATUS(rds_loader_seek(loader, &position, 0, 6), RDS_ERR_INVALID_ARGUMENT);
    CHECK(loader_next(loader, &batch) && batch.epoch == 5 && batch.consumed == 40);
    CHECK_OK(rds_loader_close(loader));
}

/* Batches that are lent stay what they are. */
TEST(a_seek_leaves_batches_alone) {
    check_path_text path = check_path();
    rds_loader_options options = loader_options(4);
    rds_loader_batch kept, batch;
    table_make(path.text, N);
    rds_reader *reader = table_reader(path.text);
    rds_loader *loader = loader_open(reader, &options);
    CHECK(loader_next(loader, &kept));
    for (uint64_t i = 0; i < 30; i++) {
        CHECK_OK(rds_loader_seek(loader, NULL, i % 3, i));
        CHECK(loader_next(loader, &batch) && batch.consumed == i && batch_is_right(&batch));
        CHECK(batch_is_right(&kept) && batch.columns[0] != kept.columns[0]);
        loader_release(loader, &batch);
    }
    loader_release(loader, &kept);
    CHECK_OK(rds_loader_close(loader));
    CHECK_OK(rds_reader_close(reader));
}

static void check_refused(rds_loader *loader, const rds_position *position, const char *part) {
    const rds_position before = loader_state(loader);
    CHECK_STATUS(rds_loader_seek(loader, position, 0, 0), RDS_ERR_INVALID_ARGUMENT);
    CHECK_MESSAGE_HAS("rds_loader_seek: position ");
    CHECK_MESSAGE_HAS(part);
    const rds_position after = loader_state(loader);
    CHECK(is_position(&before, &after));
}

TEST(a_state_that_is_damaged_is_refused) {
    rds_loader_options options = loader_numbers(N, 10);
    rds_loader_batch batch;
    rds_loader *loader = loader_open(NULL, &options);
    CHECK(loader_next(loader, &batch));
    const rds_position good = loader_state(loader), none = {{0}};
    for (int bit = 0; bit < RDS_POSITION_BYTES * 8; bit++) {
        rds_position bad = good;
        bad.bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        const rds_status status = rds_loader_seek(loader, &bad, 0, 0);
        CHECK(status == RDS_ERR_INVALID_ARGUMENT || status == RDS_ERR_NOT_SUPPORTED);
        CHECK_MESSAGE_HAS("rds_loader_seek: position ");
    }
    check_refused(loader, &none, "no state");
    const rds_position after = loader_state(loader);
    CHECK(is_position(&good, &after));
    CHECK_OK(rds_loader_seek(loader, &good, 0, 0));
    CHECK_OK(rds_loader_close(loader));
}

/* A loader of these options refuses the state, and says what differs. */
static void check_differs(const rds_reader *reader, const rds_loader_options *options, const rds_position *position,
                          const char *part) {
    rds_loader *loader = loader_open(reader, options);
    check_refused(loader, position, part);
    CHECK_OK(rds_loader_close(loader));
}

TEST(a_state_of_something_else_is_refused_by_name) {
    static const uint64_t list[] = {0, 1, 2, 3}, swapped[] = {0, 1, 3, 2};
    check_path_text path = check_path(), other_path = check_path();
    table_make(path.text, 20), table_make(other_path.text, 20);
    rds_reader *reader = table_reader(path.text), *other = table_reader(other_path.text);
    const rds_loader_options options = loader_options(3), numbers = loader_numbers(20, 3);
    rds_loader *loader = loader_open(reader, &options), *without = loader_open(NULL, &numbers);
    const rds_position position = loader_state(loader), of_numbers = loader_state(without);
    check_refused(without, &position, "table");
    check_refused(loader, &of_numbers, "table");
    check_differs(other, &options, &position, "another table");
    table_append(path.text, 20, 5);
    rds_reader *later = table_reader(path.text);
    check_differs(later, &options, &position, "version");
    rds_loader_options differing = options;
    differing.row_count = 19;
    check_differs(reader, &differing, &position, "subset");
    differing.row_count = 20;
    rds_loader *same = loader_open(reader, &differing);
    CHECK_OK(rds_loader_seek(same, &position, 0, 0));
    CHECK_OK(rds_loader_close(same));
    differing.rows = list, differing.row_count = 4;
    check_differs(reader, &differing, &position, "subset");
    rds_loader *of_list = loader_open(reader, &differing);
    const rds_position listed = loader_state(of_list);
    CHECK_OK(rds_loader_close(of_list));
    differing.rows = swapped;
    check_differs(reader, &differing, &listed, "subset");
    differing = options, differing.order = RDS_ORDER_IN_ORDER;
    check_differs(reader, &differing, &position, "order");
    differing = options, differing.clump_rows = 2;
    check_differs(reader, &differing, &position, "clump_rows");
    rds_loader_table mixed_in = RDS_LOADER_TABLE_INIT;
    mixed_in.reader = other;
    differing = options, differing.others = &mixed_in, differing.other_count = 1;
    check_differs(reader, &differing, &position, "table");
    CHECK_OK(rds_loader_close(loader));
    CHECK_OK(rds_loader_close(without));
    rds_reader *const readers[] = {reader, other, later};
    for (int i = 0; i < 3; i++) CHECK_OK(rds_reader_close(readers[i]));
}

/* What came before fits, whatever is asked for behind it: other columns, memory, threads, another open reader. */
TEST(a_state_does_not_say_how_rows_are_had) {
    check_path_text path = check_path();
    columns_add(path.text, mixed, MIXED, 0, 50);
    rds_loader_options options = loader_options(6);
    rds_loader_batch batch, again;
    static const uint32_t label = 1;
    rds_reader *reader = table_reader(path.text), *decoding = table_reader_with(path.text, RDS_ACCESS_LANCE);
    rds_loader *loader = loader_open(reader, &options);
    CHECK(loader_next(loader, &batch));
    const rds_position position = loader_state(loader);
    CHECK(loader_next(loader, &batch));
    options.columns = &label, options.column_count = 1, options.flags = RDS_LOADER_NO_THREADS;
    rds_loader *other = loader_open(decoding, &options);
    CHECK_OK(rds_loader_seek(other, &position, 0, 0));
    CHECK(loader_next(other, &again) && memcmp(again.rows, batch.rows, 6 * sizeof *batch.rows) == 0);
    CHECK(memcmp(again.columns[0], batch.columns[1], 6 * 8) == 0);
    CHECK_OK(rds_loader_close(other));
    options.column_count = 0;
    other = loader_open(reader, &options);
    CHECK_OK(rds_loader_seek(other, &position, 0, 0));
    CHECK(loader_next(other, &again) && memcmp(again.rows, batch.rows, 6 * sizeof *batch.rows) == 0);
    CHECK(again.columns == NULL && again.column_count == 0);
    CHECK_OK(rds_loader_close(other));
    CHECK_OK(rds_loader_close(loader));
    CHECK_OK(rds_reader_close(reader));
    CHECK_OK(rds_reader_close(decoding));
}

CHECK_MAIN(RUN(every_remaining_row_comes_once_whoever_goes_on), RUN(ranks_behind_the_same_step_have_the_same_state),
           RUN(a_state_is_behind_the_last_batch_that_was_given), RUN(seek_goes_anywhere_in_any_epoch),
           RUN(a_seek_leaves_batches_alone), RUN(a_state_that_is_damaged_is_refused),
           RUN(a_state_of_something_else_is_refused_by_name), RUN(a_state_does_not_say_how_rows_are_had))
