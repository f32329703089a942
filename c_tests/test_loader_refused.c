/* What no loader can be opened of is refused, and the message says what. A loader that fails on its way is where it
 * was. */
#include "files.h"
#include "loader.h"

static rds_reader *reader;

/* Options that are right but for what a test sets. */
static rds_loader_options right(void) { return loader_options(4); }

static void check_refused(const rds_loader_options *options, rds_status status, const char *part) {
    rds_loader *loader = (rds_loader *)&reader;
    CHECK_STATUS(rds_loader_open(options->flags & RDS_LOADER_NO_TABLE ? NULL : reader, options, &loader), status);
    CHECK_MESSAGE_HAS("rds_loader_open: ");
    CHECK_MESSAGE_HAS(part);
    CHECK(loader == NULL);
}

static void open_table(check_path_text path, uint64_t rows) {
    table_make(path.text, rows);
    reader = table_reader(path.text);
}

TEST(options_that_say_nothing_or_too_much_are_refused) {
    open_table(check_path(), 20);
    rds_loader_options options = RDS_LOADER_OPTIONS_INIT;
    check_refused(&options, RDS_ERR_INVALID_ARGUMENT, "batch_rows");
    options = right(), options.global_batch_rows = 4;
    check_refused(&options, RDS_ERR_INVALID_ARGUMENT, "global_batch_rows");
    options = right(), options.batch_rows = UINT64_MAX, options.world_size = 3;
    check_refused(&options, RDS_ERR_INVALID_ARGUMENT, "batch_rows");
    options = right(), options.batch_rows = 1ull << 63, options.world_size = 2;
    check_refused(&options, RDS_ERR_INVALID_ARGUMENT, "batch_rows");
    options = right(), options.rank = 1;
    check_refused(&options, RDS_ERR_INVALID_ARGUMENT, "options.rank is 1");
    options = right(), options.rank = 3, options.world_size = 3;
    check_refused(&options, RDS_ERR_INVALID_ARGUMENT, "options.rank is 3");
    options = right(), options.worker = 2, options.worker_count = 2;
    check_refused(&options, RDS_ERR_INVALID_ARGUMENT, "options.worker is 2");
    options = right(), options.order = 2;
    check_refused(&options, RDS_ERR_INVALID_ARGUMENT, "options.order is 2");
    options = right(), options.tail = 3;
    check_refused(&options, RDS_ERR_INVALID_ARGUMENT, "options.tail is 3");
    options = right(), options.order = RDS_ORDER_IN_ORDER, options.clump_rows = 2;
    check_refused(&options, RDS_ERR_INVALID_ARGUMENT, "clump_rows");
    options = right(), options.tail = RDS_TAIL_DROP, options.batch_rows = 21;
    check_refused(&options, RDS_ERR_INVALID_ARGUMENT, "options.tail");
    options = right(), options.flags = 16;
    check_refused(&options, RDS_ERR_NOT_SUPPORTED, "options.flags");
    options = right(), options.reserved = 1;
    check_refused(&options, RDS_ERR_NOT_SUPPORTED, "options.reserved");
    options = right(), options.struct_size = 8;
    check_refused(&options, RDS_ERR_INVALID_ARGUMENT, "RDS_LOADER_OPTIONS_INIT");
    options = right(), options.threads = UINT32_MAX;
    check_refused(&options, RDS_ERR_INVALID_ARGUMENT, "options.threads");
    options = right(), options.ahead = UINT32_MAX;
    check_refused(&options, RDS_ERR_INVALID_ARGUMENT, "options.ahead");
    CHECK_OK(rds_reader_close(reader));
}

TEST(rows_that_are_not_there_are_refused) {
    open_table(check_path(), 20);
    static const uint64_t good[] = {3, 19, 0}, bad[] = {3, 20, 0};
    rds_loader_options options = right();
    options.first_row = 21;
    check_refused(&options, RDS_ERR_OUT_OF_RANGE, "21");
    options = right(), options.first_row = 10, options.row_count = 11;
    check_refused(&options, RDS_ERR_OUT_OF_RANGE, "11");
    options = right(), options.first_row = 1, options.row_count = UINT64_MAX;
    check_refused(&options, RDS_ERR_OUT_OF_RANGE, "");
    options = right(), options.rows = bad, options.row_count = 3;
    check_refused(&options, RDS_ERR_OUT_OF_RANGE, "20");
    options = right(), options.rows = good, options.row_count = 3, options.first_row = 1;
    check_refused(&options, RDS_ERR_INVALID_ARGUMENT, "first_row");
    options = right(), options.rows = (const uint64_t *)((const char *)good + 1), options.row_count = 2;
    check_refused(&options, RDS_ERR_INVALID_ARGUMENT, "options.rows");
    options = right(), options.rows = good, options.row_count = UINT64_MAX / 8 + 1;
    check_refused(&options, RDS_ERR_INVALID_ARGUMENT, "row");
    CHECK_OK(rds_reader_close(reader));
}

TEST(columns_that_are_not_there_are_refused) {
    open_table(check_path(), 20);
    static const uint32_t wrong[] = {0, 1}, twice[] = {0, 0}, far[] = {UINT32_MAX};
    rds_loader_options options = right();
    options.columns = wrong, options.column_count = 2;
    check_refused(&options, RDS_ERR_INVALID_ARGUMENT, "column");
    options.columns = twice;
    check_refused(&options, RDS_ERR_INVALID_ARGUMENT, "column");
    options.columns = far, options.column_count = 1;
    check_refused(&options, RDS_ERR_INVALID_ARGUMENT, "column");
    options.columns = NULL;
    check_refused(&options, RDS_ERR_INVALID_ARGUMENT, "options.columns");
    CHECK_OK(rds_reader_close(reader));
}

TEST(without_a_table_there_are_numbers_of_rows_alone) {
    open_table(check_path(), 20);
    static const uint32_t column = 0;
    rds_loader *loader = NULL;
    rds_loader_options options = loader_numbers(20, 4);
    CHECK_STATUS(rds_loader_open(reader, &options, &loader), RDS_ERR_INVALID_ARGUMENT);
    CHECK_MESSAGE_HAS("reader");
    options.row_count = 0;
    check_refused(&options, RDS_ERR_INVALID_ARGUMENT, "options.row_count");
    options = loader_numbers(UINT64_MAX, 4);
    CHECK(rds_loader_open(NULL, &options, &loader) != RDS_OK && loader == NULL);
    options = loader_numbers(20, 4), options.columns = &column, options.column_count = 1;
    check_refused(&options, RDS_ERR_INVALID_ARGUMENT, "options.columns");
    options = loader_numbers(20, 4), options.epoch_rows = 40;
    check_refused(&options, RDS_ERR_INVALID_ARGUMENT, "options.epoch_rows");
    /* As many as a table could have. */
    options = loader_numbers(1ull << 61, 4);
    loader = loader_open(NULL, &options);
    rds_loader_batch batch;
    CHECK(loader_next(loader, &batch) && batch.row_count == 4 && batch.rows[3] < 1ull << 61);
    CHECK_OK(rds_loader_close(loader));
    CHECK_OK(rds_reader_close(reader));
}

TEST(an_empty_table_has_epochs_without_a_step) {
    check_path_text path = check_path();
    const rds_column_spec spec = {sizeof spec, "data", RDS_DTYPE_FLOAT32, 0, NULL};
    rds_writer_options made = RDS_WRITER_OPTIONS_INIT;
    rds_writer *writer = NULL;
    made.columns = &spec, made.column_count = 1;
    CHECK_OK(rds_writer_open(path.text, &made, &writer));
    CHECK_OK(rds_writer_close(writer));
    reader = table_reader(path.text);
    for (uint32_t tail = RDS_TAIL_SHORT; tail <= RDS_TAIL_DROP; tail++) {
        rds_loader_options options = right();
        rds_loader_batch batch;
        options.tail = tail;
        rds_loader *loader = loader_open(reader, &options);
        for (uint64_t epoch = 0; epoch < 3; epoch++) {
            CHECK(!loader_next(loader, &batch) && batch.epoch == epoch && batch.buffer == 0);
        }
        CHECK_NUMBER(loader_stats(loader).epoch_steps, 0);
        CHECK_OK(rds_loader_close(loader));
    }
    /* So has a list of none. */
    const uint64_t none = 0;
    rds_loader_options options = loader_numbers(0, 4);
    options.rows = &none;
    rds_loader *loader = loader_open(NULL, &options);
    CHECK(loader_drain(loader, NULL, 0) == 0 && loader_drain(loader, NULL, 0) == 0);
    CHECK_OK(rds_loader_close(loader));
    CHECK_OK(rds_reader_close(reader));
}

TEST(a_loader_that_was_closed_is_refused) {
    rds_loader_options options = loader_numbers(20, 4);
    rds_loader_batch batch = RDS_LOADER_BATCH_INIT;
    rds_load_stats stats = RDS_LOAD_STATS_INIT;
    rds_position position;
    int fd = 0;
    rds_loader *loader = loader_open(NULL, &options), *other = loader_open(NULL, &options);
    CHECK_OK(rds_loader_close(loader));
    CHECK_STATUS(rds_loader_close(loader), RDS_ERR_INVALID_HANDLE);
    CHECK_STATUS(rds_loader_next(loader, &batch), RDS_ERR_INVALID_HANDLE);
    CHECK_STATUS(rds_loader_release(loader, 0), RDS_ERR_INVALID_HANDLE);
    CHECK_STATUS(rds_loader_state(loader, &position), RDS_ERR_INVALID_HANDLE);
    CHECK_STATUS(rds_loader_seek(loader, NULL, 0, 0), RDS_ERR_INVALID_HANDLE);
    CHECK_STATUS(rds_loader_stats(loader, &stats), RDS_ERR_INVALID_HANDLE);
    CHECK_STATUS(rds_loader_fd(loader, &fd), RDS_ERR_INVALID_HANDLE);
    CHECK_STATUS(rds_loader_next((rds_loader *)(void *)&batch, &batch), RDS_ERR_INVALID_HANDLE);
    CHECK_NUMBER(loader_drain(other, NULL, 0), 20);
    CHECK_OK(rds_loader_close(other));
}

/* A batch that an older program is compiled with has no field that is new, and a newer one keeps its own. */
TEST(what_is_not_known_of_a_batch_is_left_alone) {
    struct {
        rds_loader_batch batch;
        uint64_t later;
    } wide = {RDS_LOADER_BATCH_INIT, 77};
    rds_loader_options options = loader_numbers(20, 4);
    rds_loader *loader = loader_open(NULL, &options);
    wide.batch.struct_size = sizeof wide;
    CHECK_OK(rds_loader_next(loader, &wide.batch));
    CHECK(wide.later == 77 && wide.batch.struct_size == sizeof wide && wide.batch.row_count == 4);
    wide.batch.struct_size = 12;
    CHECK_STATUS(rds_loader_next(loader, &wide.batch), RDS_ERR_INVALID_ARGUMENT);
    CHECK(wide.batch.row_count == 4);
    check_at(loader, 0, 4);
    CHECK_OK(rds_loader_close(loader));
}

/* Its data file has no bytes, and then has them again. */
TEST(a_loader_that_fails_goes_on_when_it_can) {
    check_path_text path = check_path();
    static char bytes[1 << 16];
    table_make(path.text, 20);
    reader = table_reader_with(path.text, RDS_ACCESS_LANCE);
    const check_path_text name = file_in(path.text, "data", ".lance");
    FILE *file = fopen(name.text, "r+b");
    const size_t size = fread(bytes, 1, sizeof bytes, file);
    for (uint32_t flags = 0; flags <= RDS_LOADER_NO_THREADS; flags += RDS_LOADER_NO_THREADS) {
        rds_loader_options options = right();
        rds_loader_batch batch = RDS_LOADER_BATCH_INIT;
        options.flags = flags;
        rds_loader *loader = loader_open(reader, &options);
        CHECK(truncate(name.text, 0) == 0);
        for (int i = 0; i < 3; i++) {
            const rds_status status = rds_loader_next(loader, &batch);
            CHECK(status == RDS_ERR_CORRUPT || status == RDS_ERR_IO);
            CHECK_MESSAGE_HAS("rds_loader_next: ");
            check_at(loader, 0, 0);
        }
        rewind(file);
        CHECK(fwrite(bytes, 1, size, file) == size && fflush(file) == 0);
        /* What was gathered ahead before may have failed then. */
        const rds_status status = rds_loader_next(loader, &batch);
        if (status == RDS_OK) CHECK_OK(rds_loader_seek(loader, NULL, 0, 0));
        else CHECK(status == RDS_ERR_CORRUPT || status == RDS_ERR_IO);
        uint64_t rows[20], count = 0;
        while (loader_next(loader, &batch)) {
            CHECK(batch_is_right(&batch));
            memcpy(rows + count, batch.rows, batch.row_count * sizeof *rows), count += batch.row_count;
            loader_release(loader, &batch);
        }
        CHECK(count == 20 && is_each_once(rows, count));
        CHECK_OK(rds_loader_close(loader));
    }
    fclose(file);
    CHECK_OK(rds_reader_close(reader));
}

CHECK_MAIN(RUN(options_that_say_nothing_or_too_much_are_refused), RUN(rows_that_are_not_there_are_refused),
           RUN(columns_that_are_not_there_are_refused), RUN(without_a_table_there_are_numbers_of_rows_alone),
           RUN(an_empty_table_has_epochs_without_a_step), RUN(a_loader_that_was_closed_is_refused),
           RUN(what_is_not_known_of_a_batch_is_left_alone), RUN(a_loader_that_fails_goes_on_when_it_can))
