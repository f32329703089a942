/* Room in the queue of a writer: a call that is not to wait for it, or not any longer, accepts nothing, and the same
 * call succeeds later. */
#include "full_queue.h"

/* More than fit on the disk and into the queue. */
enum { SOURCE_ROWS = 800, FOREVER_MS = 30 * 1000 };

/* Whichever function writes rows first .. first + STEP - 1 of the source. */
typedef rds_status write_rows(struct full *full, const rds_reader *source, uint64_t first);

static rds_status by_tensors(struct full *full, const rds_reader *source, uint64_t first) {
    (void)source;
    return write_wide(full->writer, first, STEP);
}

static rds_status by_batch(struct full *full, const rds_reader *source, uint64_t first) {
    struct ArrowSchema schema;
    struct ArrowArray array;
    uint64_t rows[STEP];
    for (uint64_t i = 0; i < STEP; i++) rows[i] = first + i;
    if (!CHECK_OK(rds_reader_take(source, rows, STEP, NULL, &schema, &array))) return RDS_ERR_INTERNAL;
    rds_status status = rds_write_batch(full->writer, &schema, &array);
    CHECK(array.release == NULL);
    schema.release(&schema);
    return status;
}

static rds_status by_stream(struct full *full, const rds_reader *source, uint64_t first) {
    struct ArrowArrayStream stream;
    rds_stream_options options = RDS_STREAM_OPTIONS_INIT;
    uint64_t rows = 77;
    options.first_row = first, options.row_count = STEP;
    if (!CHECK_OK(rds_reader_stream(source, &options, &stream))) return RDS_ERR_INTERNAL;
    rds_status status = rds_write_stream(full->writer, &stream, NULL, &rows);
    CHECK(stream.release == NULL);
    CHECK_NUMBER(rows, status == RDS_OK ? STEP : 0);
    return status;
}

static const struct function {
    const char *message;
    write_rows *write;
} functions[] = {{"rds_write_tensors: ", by_tensors},
                 {"rds_write_batch: ", by_batch},
                 {"rds_write_stream: ", by_stream}};
enum { FUNCTIONS = sizeof functions / sizeof functions[0] };

/* Made when the disk is there, as threads of the library see what the first of them sees. */
static rds_reader *source_new(const char *path) {
    rds_writer *writer = table_writer(path, RDS_MODE_CREATE, RDS_DURABILITY_INTERVAL);
    for (uint64_t row = 0; row < SOURCE_ROWS; row += 50) CHECK_OK(write_wide(writer, row, 50));
    CHECK_OK(rds_writer_close(writer));
    return table_reader(path);
}

/* A call that finds no room takes so long at most, and leaves the writer as it is. */
static void check_no_room(struct full *full, const struct function *function, const rds_reader *source,
                          double least, double most) {
    rds_write_stats before = stats_of(full->writer);
    double since = seconds();
    CHECK_STATUS(function->write(full, source, full->written), RDS_ERR_NO_ROOM);
    double took = seconds() - since;
    CHECK_MESSAGE_HAS(function->message);
    CHECK(took >= least && took < most);
    rds_write_stats after = stats_of(full->writer);
    CHECK_NUMBER(before.accepted_rows, full->written);
    CHECK_NUMBER(after.accepted_rows, full->written);
    CHECK_NUMBER(after.accepted_bytes, before.accepted_bytes);
    CHECK_NUMBER(after.state, RDS_WRITER_RETRYING);
}

/* Until nothing is written any more. What finds room is accepted, as attempts that failed give back some. */
static int fill(struct full *full, const rds_reader *source) {
    for (int refused = 0; refused < 20 && full->written + STEP < SOURCE_ROWS;) {
        rds_status status = by_tensors(full, source, full->written);
        if (status == RDS_OK) {
            full->written += STEP, refused = 0;
        } else {
            if (!CHECK_STATUS(status, RDS_ERR_NO_ROOM)) return 0;
            refused++;
            sleep_ms(50);
        }
    }
    return await_retrying(full->writer);
}

/* With room again the same call succeeds, and what was accepted is all there is. */
static void check_succeeds_later(struct full *full, const struct function *function, const rds_reader *source) {
    give_room(full);
    rds_status status = RDS_ERR_NO_ROOM;
    for (int i = 0; i < FOREVER_MS && status == RDS_ERR_NO_ROOM; i += 10) {
        status = function->write(full, source, full->written);
        if (status == RDS_ERR_NO_ROOM) sleep_ms(10);
    }
    if (CHECK_STATUS(status, RDS_OK)) full->written += STEP;
    CHECK_NUMBER(stats_of(full->writer).accepted_rows, full->written);
    CHECK_OK(rds_commit(full->writer, NULL, NULL));
    CHECK_OK(rds_writer_close(full->writer));
    check_wide(full->results.text, full->written);
}

struct given {
    check_path_text path, source;
    const struct function *function;
};

static void without_waiting(void *data) {
    const struct given *given = (const struct given *)data;
    struct full full;
    REQUIRE(open_full(&full, given->path.text, RDS_MODE_CREATE, RDS_DURABILITY_COMMIT, RDS_WRITER_NO_WAIT));
    rds_reader *source = source_new(given->source.text);
    full.asked.calls = 0;
    REQUIRE(fill(&full, source));
    for (int i = 0; i < 5; i++) check_no_room(&full, given->function, source, 0, 0.5);
    /* Nor does one that is larger than the queue, and would have to be alone in it. */
    CHECK_STATUS(write_wide(full.writer, full.written, 50), RDS_ERR_NO_ROOM);
    CHECK_NUMBER(stats_of(full.writer).accepted_rows, full.written);
    /* Who does not wait is not asked. */
    CHECK_NUMBER(full.asked.calls, 0);
    check_succeeds_later(&full, given->function, source);
    CHECK_OK(rds_reader_close(source));
}

TEST(a_call_that_is_not_to_wait_for_room_accepts_nothing) {
    for (int i = 0; i < FUNCTIONS; i++) {
        struct given given = {check_path(), check_path(), &functions[i]};
        in_child(without_waiting, &given);
    }
}

static void for_a_time(void *data) {
    const struct given *given = (const struct given *)data;
    struct full full;
    rds_writer_options options = RDS_WRITER_OPTIONS_INIT;
    options.durability = RDS_DURABILITY_COMMIT, options.room_ms = 300;
    REQUIRE(open_full_with(&full, given->path.text, options));
    rds_reader *source = source_new(given->source.text);
    REQUIRE(fill(&full, source));
    full.asked.calls = 0;
    check_no_room(&full, given->function, source, 0.29, 2);
    /* Who waits is. */
    CHECK(full.asked.calls > 0 && full.asked.calls < 20);
    full.asked.stops_at = 1;
    check_no_room(&full, given->function, source, 0, 0.28);
    full.asked.stops_at = 0;
    check_succeeds_later(&full, given->function, source);
    CHECK_OK(rds_reader_close(source));
}

TEST(a_call_waits_for_room_as_long_as_the_options_say) {
    for (int i = 0; i < FUNCTIONS; i++) {
        struct given given = {check_path(), check_path(), &functions[i]};
        in_child(for_a_time, &given);
    }
}

static void stream_in_the_middle(void *data) {
    const struct given *given = (const struct given *)data;
    struct full full;
    struct ArrowArrayStream stream;
    rds_stream_options batches = RDS_STREAM_OPTIONS_INIT;
    uint64_t rows = 77;
    REQUIRE(open_full(&full, given->path.text, RDS_MODE_CREATE, RDS_DURABILITY_COMMIT, RDS_WRITER_NO_WAIT));
    rds_reader *source = source_new(given->source.text);
    batches.first_row = SAFE_ROWS, batches.batch_rows = STEP;
    REQUIRE(CHECK_OK(rds_reader_stream(source, &batches, &stream)));
    CHECK_STATUS(rds_write_stream(full.writer, &stream, NULL, &rows), RDS_ERR_NO_ROOM);
    CHECK_MESSAGE_HAS("rds_write_stream: ");
    CHECK(stream.release == NULL);
    CHECK_NUMBER(rows, 0);
    /* The batches before the one at hand are accepted, whole. */
    full.written = stats_of(full.writer).accepted_rows;
    CHECK(full.written > SAFE_ROWS && full.written < SOURCE_ROWS);
    CHECK_NUMBER((full.written - SAFE_ROWS) % STEP, 0);
    check_succeeds_later(&full, given->function, source);
    CHECK_OK(rds_reader_close(source));
}

TEST(a_stream_that_finds_no_room_keeps_the_batches_before) {
    struct given given = {check_path(), check_path(), &functions[2]};
    in_child(stream_in_the_middle, &given);
}

static rds_writer *writer_with(const char *path, rds_writer_options options) {
    rds_writer *writer = NULL;
    CHECK_OK(rds_writer_open(path, &options, &writer));
    return writer;
}

TEST(a_batch_larger_than_the_queue_needs_it_empty) {
    check_path_text path = check_path();
    rds_writer_options options = RDS_WRITER_OPTIONS_INIT;
    options.max_queued_bytes = 1000, options.flags = RDS_WRITER_NO_WAIT, options.durability = RDS_DURABILITY_COMMIT;
    rds_writer *writer = writer_with(path.text, options);
    uint64_t written = 20;
    /* The first finds the queue empty. */
    CHECK_OK(write_wide(writer, 0, 20));
    while (written < 200) {
        rds_status status = write_wide(writer, written, 20);
        if (status == RDS_OK) written += 20;
        else if (!CHECK_STATUS(status, RDS_ERR_NO_ROOM)) break;
        CHECK_NUMBER(stats_of(writer).accepted_rows, written);
    }
    CHECK_OK(rds_commit(writer, NULL, NULL));
    CHECK_OK(rds_writer_close(writer));
    check_wide(path.text, written);
}

/* Nor does it keep others from their turns: whoever is refused stands in no line. */
TEST(a_large_batch_that_was_refused_keeps_no_turn) {
    check_path_text path = check_path();
    rds_writer_options options = RDS_WRITER_OPTIONS_INIT;
    options.max_queued_bytes = 4 << 20, options.flags = RDS_WRITER_NO_WAIT;
    rds_writer *writer = writer_with(path.text, options);
    uint64_t written = 0;
    for (int i = 0; i < 200; i++) {
        rds_status status = write_wide(writer, written, 200);
        if (status == RDS_OK) written += 200;
        else CHECK_STATUS(status, RDS_ERR_NO_ROOM);
        status = write_wide(writer, written, 1);
        if (status == RDS_OK) written += 1;
        else CHECK_STATUS(status, RDS_ERR_NO_ROOM);
        if (written > 1000) break;
    }
    CHECK_OK(rds_flush(writer));
    /* The queue is empty. */
    CHECK_OK(write_wide(writer, written, 1));
    CHECK_OK(rds_writer_close(writer));
    check_wide(path.text, written + 1);
}

TEST(where_there_is_room_nobody_is_refused) {
    const uint64_t times[] = {1, 1000, UINT64_MAX, UINT64_MAX / 1000000, INT64_MAX};
    for (int i = 0; i < 5; i++) {
        check_path_text path = check_path();
        rds_writer_options options = RDS_WRITER_OPTIONS_INIT;
        options.room_ms = times[i], options.flags = i ? 0 : RDS_WRITER_NO_WAIT;
        options.durability = i % 2 ? RDS_DURABILITY_BATCH : RDS_DURABILITY_INTERVAL;
        rds_writer *writer = writer_with(path.text, options);
        for (uint64_t row = 0; row < 10; row++) CHECK_OK(write_wide(writer, row, 1));
        CHECK_OK(rds_writer_close(writer));
        check_wide(path.text, 10);
    }
}

/* The queue alone is what is not waited for: a batch is durable when the call returns. */
TEST(a_call_that_is_not_to_wait_for_room_waits_for_the_disk) {
    check_path_text path = check_path();
    rds_writer_options options = RDS_WRITER_OPTIONS_INIT;
    options.flags = RDS_WRITER_NO_WAIT, options.durability = RDS_DURABILITY_BATCH;
    rds_writer *writer = writer_with(path.text, options);
    for (uint64_t row = 0; row < 20; row++) {
        CHECK_OK(write_wide(writer, row, 1));
        CHECK_NUMBER(stats_of(writer).durable_rows, row + 1);
    }
    CHECK_OK(rds_writer_close(writer));
    check_wide(path.text, 20);
}

CHECK_MAIN(RUN(a_call_that_is_not_to_wait_for_room_accepts_nothing),
           RUN(a_call_waits_for_room_as_long_as_the_options_say),
           RUN(a_stream_that_finds_no_room_keeps_the_batches_before),
           RUN(a_batch_larger_than_the_queue_needs_it_empty),
           RUN(a_large_batch_that_was_refused_keeps_no_turn),
           RUN(where_there_is_room_nobody_is_refused),
           RUN(a_call_that_is_not_to_wait_for_room_waits_for_the_disk))
