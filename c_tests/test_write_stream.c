/* Arrow streams of the caller: released exactly once whatever happens, and accepted batch by batch. */
#include "arrow_stream_in.h"

enum { BATCHES = 5, ROWS = BATCHES * BATCH_ROWS };

static void check_rows(const char *path, uint64_t count) {
    rds_reader *reader = table_reader(path);
    CHECK_NUMBER(table_info(reader).rows, count);
    for (uint64_t row = 0; row < count; row++) CHECK(table_row_is(reader, row, row));
    CHECK_OK(rds_reader_close(reader));
}

static void finish(arrow_producer *producer) {
    producer_check_released(producer);
    producer_free(producer);
}

/* The writer has `accepted` rows of the stream that failed, takes more, and commits. */
static void check_goes_on(rds_writer *writer, const char *path, uint64_t accepted) {
    CHECK_OK(table_write(writer, accepted, 2));
    CHECK_OK(rds_commit(writer, NULL, NULL));
    CHECK_OK(rds_writer_close(writer));
    check_rows(path, accepted + 2);
}

TEST(a_stream_is_written_in_order_and_released_once) {
    const uint32_t durabilities[] = {RDS_DURABILITY_INTERVAL, RDS_DURABILITY_BATCH,
                                     RDS_DURABILITY_COMMIT};
    for (int i = 0; i < 3; i++) {
        check_path_text path = check_path();
        rds_writer *writer = table_writer(path.text, RDS_MODE_CREATE, durabilities[i]);
        arrow_producer *producer = producer_new(0, BATCHES);
        uint64_t rows = 0;
        CHECK_OK(rds_write_stream(writer, &producer->stream, NULL, &rows));
        CHECK_NUMBER(rows, ROWS);
        CHECK(producer->stream.release == NULL);
        CHECK_NUMBER(producer->released, 1);
        if (durabilities[i] == RDS_DURABILITY_BATCH) {
            rds_write_stats stats = RDS_WRITE_STATS_INIT;
            CHECK_OK(rds_writer_stats(writer, &stats));
            CHECK_NUMBER(stats.durable_rows, ROWS);
        }
        CHECK_OK(rds_commit(writer, NULL, NULL));
        CHECK_OK(rds_writer_close(writer));
        check_rows(path.text, ROWS);
        finish(producer);
    }
}

TEST(an_empty_stream_does_nothing) {
    check_path_text path = check_path();
    rds_writer *writer = table_writer(path.text, RDS_MODE_CREATE, RDS_DURABILITY_BATCH);
    arrow_producer *producer = producer_new(0, 0);
    uint64_t rows = 9;
    CHECK_OK(rds_write_stream(writer, &producer->stream, NULL, &rows));
    CHECK_NUMBER(rows, 0);
    CHECK_OK(rds_commit(writer, NULL, NULL));
    CHECK_OK(rds_writer_close(writer));
    CHECK_NUMBER(table_rows(path.text), -1);
    finish(producer);
}

TEST(an_empty_stream_does_not_fix_the_shape) {
    check_path_text path = check_path();
    rds_writer *writer = table_writer(path.text, RDS_MODE_CREATE, RDS_DURABILITY_BATCH);
    arrow_producer *empty = producer_new(0, 0), *full = producer_new(0, 1);
    empty->columns->schema[NODE_DATA].format = "+w:7";
    CHECK_OK(rds_write_stream(writer, &empty->stream, NULL, NULL));
    CHECK_OK(rds_write_stream(writer, &full->stream, NULL, NULL));
    CHECK_OK(rds_writer_close(writer));
    check_rows(path.text, BATCH_ROWS);
    finish(empty);
    finish(full);
}

static void check_refused_schema(int node, const char *format, const char *name, const char *part,
                                 rds_status status) {
    check_path_text path = check_path();
    rds_writer *writer = table_writer(path.text, RDS_MODE_CREATE, RDS_DURABILITY_COMMIT);
    arrow_producer *producer = producer_new(0, BATCHES);
    uint64_t rows = 9;
    CHECK_OK(table_write(writer, 0, 1));
    if (format) producer->columns->schema[node].format = format;
    if (name) producer->columns->schema[node].name = name;
    CHECK_STATUS(rds_write_stream(writer, &producer->stream, NULL, &rows), status);
    CHECK_MESSAGE_HAS("rds_write_stream: ");
    CHECK_MESSAGE_HAS(part);
    CHECK_NUMBER(rows, 0);
    /* The columns are checked before the first batch. */
    CHECK_NUMBER(producer->next, 0);
    check_goes_on(writer, path.text, 1);
    finish(producer);
}

TEST(a_stream_with_other_columns_is_refused_before_its_first_batch) {
    check_refused_schema(NODE_IDS, NULL, "name", "object_id", RDS_ERR_SCHEMA_MISMATCH);
    check_refused_schema(NODE_DATA, NULL, "extra", "extra", RDS_ERR_SCHEMA_MISMATCH);
    check_refused_schema(NODE_DATA, "+w:3", NULL, "float32 [4]", RDS_ERR_SCHEMA_MISMATCH);
    check_refused_schema(NODE_ITEMS, "g", NULL, "float32 [4]", RDS_ERR_SCHEMA_MISMATCH);
    check_refused_schema(NODE_IDS, "nonsense", NULL, "nonsense", RDS_ERR_INVALID_ARGUMENT);
}

static void null_id(arrow_batch *batch) {
    batch->array[NODE_IDS].null_count = 1;
    batch->buffers[NODE_IDS][0] = &batch->some_null;
}

static void malformed(arrow_batch *batch) { batch->array[NODE_ROOT].n_children = 1; }

TEST(batches_before_a_refused_one_stay_accepted) {
    void (*const breaks[])(arrow_batch *) = {null_id, malformed};
    for (int i = 0; i < 2; i++) {
        check_path_text path = check_path();
        rds_writer *writer = table_writer(path.text, RDS_MODE_CREATE, RDS_DURABILITY_INTERVAL);
        arrow_producer *producer = producer_new(0, BATCHES);
        rds_write_stats stats = RDS_WRITE_STATS_INIT;
        uint64_t rows = 9;
        breaks[i](producer->batches[3]);
        CHECK_STATUS(rds_write_stream(writer, &producer->stream, NULL, &rows),
                     RDS_ERR_INVALID_ARGUMENT);
        CHECK_MESSAGE_HAS("batch 3 of the stream");
        CHECK_MESSAGE_HAS("9 accepted rows");
        CHECK_NUMBER(rows, 0);
        CHECK_OK(rds_writer_stats(writer, &stats));
        CHECK_NUMBER(stats.accepted_rows, 3 * BATCH_ROWS);
        check_goes_on(writer, path.text, 3 * BATCH_ROWS);
        finish(producer);
    }
}

static void check_failing_stream(int at, const char *text, const char *part) {
    check_path_text path = check_path();
    rds_writer *writer = table_writer(path.text, RDS_MODE_CREATE, RDS_DURABILITY_COMMIT);
    arrow_producer *producer = producer_new(0, BATCHES);
    uint64_t rows = 9;
    producer->fails_at = at;
    producer->error_text = text;
    CHECK_STATUS(rds_write_stream(writer, &producer->stream, NULL, &rows), RDS_ERR_STREAM);
    CHECK_MESSAGE_HAS("the stream failed with error 5");
    CHECK_MESSAGE_HAS(part);
    CHECK_NUMBER(rows, 0);
    check_goes_on(writer, path.text, (uint64_t)at * BATCH_ROWS);
    finish(producer);
}

TEST(a_stream_that_fails_is_told_in_its_own_words) {
    check_failing_stream(0, "the sensor is unplugged", "the sensor is unplugged");
    check_failing_stream(2, "the sensor is unplugged", "the sensor is unplugged");
    check_failing_stream(BATCHES, "the sensor is unplugged", "the sensor is unplugged");
    /* Without words of its own, in those of the system. */
    check_failing_stream(2, NULL, strerror(EIO));
}

TEST(a_stream_without_a_schema_is_an_error_of_the_stream) {
    check_path_text path = check_path();
    rds_writer *writer = table_writer(path.text, RDS_MODE_CREATE, RDS_DURABILITY_COMMIT);
    arrow_producer *producer = producer_new(0, BATCHES);
    producer->schema_code = ENOMEM;
    CHECK_STATUS(rds_write_stream(writer, &producer->stream, NULL, NULL), RDS_ERR_STREAM);
    CHECK_MESSAGE_HAS(strerror(ENOMEM));
    CHECK_NUMBER(producer->next, 0);
    check_goes_on(writer, path.text, 0);
    finish(producer);
}

TEST(a_malformed_schema_or_batch_of_a_stream_is_refused_and_released) {
    check_path_text path = check_path();
    rds_writer *writer = table_writer(path.text, RDS_MODE_CREATE, RDS_DURABILITY_COMMIT);
    arrow_producer *producer = producer_new(0, BATCHES);
    producer->columns->schema[NODE_ITEMS].format = "?";
    CHECK_STATUS(rds_write_stream(writer, &producer->stream, NULL, NULL), RDS_ERR_INVALID_ARGUMENT);
    CHECK_MESSAGE_HAS("schema.children[1].children[0] (\"item\"): format is");
    CHECK_NUMBER(producer->next, 0);
    finish(producer);
    producer = producer_new(0, BATCHES);
    producer->batches[2]->array[NODE_IDS].offset = -((int64_t)1 << 40);
    CHECK_STATUS(rds_write_stream(writer, &producer->stream, NULL, NULL), RDS_ERR_INVALID_ARGUMENT);
    CHECK_MESSAGE_HAS("array.children[0] (\"object_id\"): offset is");
    CHECK_NUMBER(producer->next, 3);
    check_goes_on(writer, path.text, 2 * BATCH_ROWS);
    finish(producer);
}

TEST(a_stream_with_missing_callbacks_is_refused_and_released) {
    for (int missing = 0; missing < 3; missing++) {
        check_path_text path = check_path();
        rds_writer *writer = table_writer(path.text, RDS_MODE_CREATE, RDS_DURABILITY_COMMIT);
        arrow_producer *producer = producer_new(0, BATCHES);
        rds_status expected = RDS_ERR_INVALID_ARGUMENT;
        if (missing == 0) producer->stream.get_schema = NULL;
        if (missing == 1) producer->stream.get_next = NULL;
        if (missing == 2) {
            producer->stream.get_last_error = NULL;
            producer->fails_at = 0;
            expected = RDS_ERR_STREAM;
        }
        CHECK_STATUS(rds_write_stream(writer, &producer->stream, NULL, NULL), expected);
        check_goes_on(writer, path.text, 0);
        finish(producer);
    }
}

TEST(a_stream_for_no_open_writer_is_released_unread) {
    check_path_text path = check_path();
    rds_writer *writers[3] = {NULL, (rds_writer *)(uintptr_t)0xabc, NULL};
    writers[2] = table_writer(path.text, RDS_MODE_CREATE, RDS_DURABILITY_COMMIT);
    CHECK_OK(rds_writer_close(writers[2]));
    for (int i = 0; i < 3; i++) {
        arrow_producer *producer = producer_new(0, BATCHES);
        uint64_t rows = 9;
        CHECK_STATUS(rds_write_stream(writers[i], &producer->stream, NULL, &rows),
                     RDS_ERR_INVALID_HANDLE);
        CHECK_NUMBER(rows, 0);
        CHECK_NUMBER(producer->next, 0);
        CHECK_NUMBER(producer->schemas, 0);
        finish(producer);
    }
}

TEST(a_released_stream_and_null_are_refused) {
    check_path_text path = check_path();
    rds_writer *writer = table_writer(path.text, RDS_MODE_CREATE, RDS_DURABILITY_COMMIT);
    struct ArrowArrayStream released = {0};
    uint64_t rows = 9;
    CHECK_STATUS(rds_write_stream(writer, &released, NULL, &rows), RDS_ERR_INVALID_ARGUMENT);
    CHECK_MESSAGE("rds_write_stream: stream is released already");
    CHECK_NUMBER(rows, 0);
    CHECK_STATUS(rds_write_stream(writer, NULL, NULL, NULL), RDS_ERR_INVALID_ARGUMENT);
    CHECK_MESSAGE_HAS("stream is ");
    arrow_producer *producer = producer_new(0, 1);
    CHECK_OK(rds_write_stream(writer, &producer->stream, NULL, NULL));
    CHECK_STATUS(rds_write_stream(writer, &producer->stream, NULL, NULL),
                 RDS_ERR_INVALID_ARGUMENT);
    check_goes_on(writer, path.text, BATCH_ROWS);
    finish(producer);
}

TEST(malformed_options_release_the_stream_unread) {
    check_path_text path = check_path();
    rds_writer *writer = table_writer(path.text, RDS_MODE_CREATE, RDS_DURABILITY_COMMIT);
    rds_write_stream_options options = RDS_WRITE_STREAM_OPTIONS_INIT;
    arrow_producer *producer = producer_new(0, BATCHES);
    options.struct_size = 1;
    CHECK_STATUS(rds_write_stream(writer, &producer->stream, &options, NULL),
                 RDS_ERR_INVALID_ARGUMENT);
    CHECK_NUMBER(producer->next, 0);
    check_goes_on(writer, path.text, 0);
    finish(producer);
}

struct told {
    int calls, stop_at;
    uint64_t last;
    int wrong;
};

static int count_and_stop(void *data, uint64_t done, uint64_t total) {
    struct told *told = (struct told *)data;
    told->wrong += done != total || done != told->last + BATCH_ROWS;
    told->last = done;
    return ++told->calls == told->stop_at;
}

TEST(progress_counts_accepted_rows_batch_by_batch) {
    check_path_text path = check_path();
    rds_writer *writer = table_writer(path.text, RDS_MODE_CREATE, RDS_DURABILITY_COMMIT);
    rds_write_stream_options options = RDS_WRITE_STREAM_OPTIONS_INIT;
    struct told told = {0};
    arrow_producer *producer = producer_new(0, BATCHES);
    options.progress = count_and_stop, options.user_data = &told;
    CHECK_OK(rds_write_stream(writer, &producer->stream, &options, NULL));
    CHECK_NUMBER(told.calls, BATCHES);
    CHECK_NUMBER(told.wrong, 0);
    check_goes_on(writer, path.text, ROWS);
    finish(producer);
}

TEST(progress_stops_a_stream_and_what_was_accepted_stays) {
    check_path_text path = check_path();
    rds_writer *writer = table_writer(path.text, RDS_MODE_CREATE, RDS_DURABILITY_COMMIT);
    rds_write_stream_options options = RDS_WRITE_STREAM_OPTIONS_INIT;
    struct told told = {.stop_at = 2};
    arrow_producer *producer = producer_new(0, BATCHES);
    uint64_t rows = 9;
    options.progress = count_and_stop, options.user_data = &told;
    CHECK_STATUS(rds_write_stream(writer, &producer->stream, &options, &rows),
                 RDS_ERR_CANCELLED);
    CHECK_NUMBER(rows, 0);
    CHECK_NUMBER(producer->next, 2);
    check_goes_on(writer, path.text, 2 * BATCH_ROWS);
    finish(producer);
}

TEST(a_table_streams_into_another_one) {
    enum { MANY = 3000 };
    check_path_text source = check_path(), target = check_path();
    struct ArrowArrayStream stream;
    rds_stream_options options = RDS_STREAM_OPTIONS_INIT;
    uint64_t rows = 0;
    table_make(source.text, MANY - 500);
    table_append(source.text, MANY - 500, 500);
    rds_reader *reader = table_reader(source.text);
    options.batch_rows = 700;
    options.flags = RDS_SELECT_FIXED_SHAPE_TENSOR;
    CHECK_OK(rds_reader_stream(reader, &options, &stream));
    rds_writer *writer = table_writer(target.text, RDS_MODE_CREATE, RDS_DURABILITY_INTERVAL);
    CHECK_OK(rds_write_stream(writer, &stream, NULL, &rows));
    CHECK(stream.release == NULL);
    CHECK_NUMBER(rows, MANY);
    CHECK_OK(rds_reader_close(reader));
    CHECK_OK(rds_writer_close(writer));
    check_rows(target.text, MANY);
}

TEST(a_table_streams_into_itself) {
    check_path_text path = check_path();
    struct ArrowArrayStream stream;
    table_make(path.text, 100);
    rds_reader *reader = table_reader(path.text);
    CHECK_OK(rds_reader_stream(reader, NULL, &stream));
    rds_writer *writer = table_writer(path.text, RDS_MODE_APPEND, RDS_DURABILITY_BATCH);
    CHECK_OK(rds_write_stream(writer, &stream, NULL, NULL));
    CHECK_OK(rds_writer_close(writer));
    CHECK_OK(rds_reader_close(reader));
    reader = table_reader(path.text);
    CHECK_NUMBER(table_info(reader).rows, 200);
    for (uint64_t row = 0; row < 200; row++) CHECK(table_row_is(reader, row, row % 100));
    CHECK_OK(rds_reader_close(reader));
}

CHECK_MAIN(RUN(a_stream_is_written_in_order_and_released_once), RUN(an_empty_stream_does_nothing),
           RUN(an_empty_stream_does_not_fix_the_shape),
           RUN(a_stream_with_other_columns_is_refused_before_its_first_batch),
           RUN(batches_before_a_refused_one_stay_accepted),
           RUN(a_stream_that_fails_is_told_in_its_own_words),
           RUN(a_stream_without_a_schema_is_an_error_of_the_stream),
           RUN(a_malformed_schema_or_batch_of_a_stream_is_refused_and_released),
           RUN(a_stream_with_missing_callbacks_is_refused_and_released),
           RUN(a_stream_for_no_open_writer_is_released_unread),
           RUN(a_released_stream_and_null_are_refused),
           RUN(malformed_options_release_the_stream_unread),
           RUN(progress_counts_accepted_rows_batch_by_batch),
           RUN(progress_stops_a_stream_and_what_was_accepted_stays),
           RUN(a_table_streams_into_another_one), RUN(a_table_streams_into_itself))
