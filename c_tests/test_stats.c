/* How far a writer is: what it accepted, what is durable, what waits, and how long calls waited. */
#include "files.h"

enum { ROW_BYTES = TABLE_WIDTH * sizeof(float) };

static rds_write_stats stats_of(rds_writer *writer) {
    rds_write_stats stats = RDS_WRITE_STATS_INIT;
    CHECK_OK(rds_writer_stats(writer, &stats));
    CHECK_NUMBER(stats.struct_size, sizeof stats);
    CHECK(stats.durable_rows <= stats.accepted_rows);
    CHECK(stats.queued_rows <= stats.accepted_rows);
    return stats;
}

static rds_writer *open_writer(const char *path, uint32_t durability, uint64_t max_queued_bytes) {
    rds_writer *writer = NULL;
    rds_writer_options options = RDS_WRITER_OPTIONS_INIT;
    options.durability = durability, options.checkpoint_ms = 3600 * 1000;
    options.max_queued_bytes = max_queued_bytes;
    CHECK_OK(rds_writer_open(path, &options, &writer));
    return writer;
}

static void check_counts(rds_writer *writer, uint64_t accepted, uint64_t durable,
                         uint64_t checkpoints) {
    rds_write_stats stats = stats_of(writer);
    CHECK_NUMBER(stats.accepted_rows, accepted);
    CHECK_NUMBER(stats.accepted_bytes, accepted * ROW_BYTES);
    CHECK_NUMBER(stats.durable_rows, durable);
    CHECK_NUMBER(stats.durable_bytes, durable * ROW_BYTES);
    CHECK_NUMBER(stats.checkpoints, checkpoints);
}

TEST(a_writer_begins_at_nothing) {
    check_path_text path = check_path();
    table_make(path.text, 5);
    rds_writer *writer = table_writer(path.text, RDS_MODE_APPEND, RDS_DURABILITY_COMMIT);
    rds_write_stats stats = stats_of(writer);
    /* Rows of earlier runs are not of this writer. */
    check_counts(writer, 0, 0, 0);
    CHECK_NUMBER(stats.queued_rows + stats.queued_bytes + stats.blocked_ns, 0);
    CHECK_OK(rds_writer_close(writer));
}

TEST(accepted_is_told_apart_from_durable) {
    check_path_text path = check_path();
    rds_writer *writer = open_writer(path.text, RDS_DURABILITY_INTERVAL, 0);
    CHECK_OK(table_write(writer, 0, 10));
    CHECK_OK(table_write(writer, 10, 5));
    check_counts(writer, 15, 0, 0);
    CHECK_OK(rds_flush(writer));
    check_counts(writer, 15, 15, 1);
    /* Nothing new is no checkpoint. */
    CHECK_OK(rds_flush(writer));
    CHECK_OK(table_write(writer, 15, 0));
    CHECK_OK(rds_flush(writer));
    check_counts(writer, 15, 15, 1);
    CHECK_OK(table_write(writer, 15, 2));
    check_counts(writer, 17, 15, 1);
    CHECK_OK(rds_commit(writer, NULL, NULL));
    check_counts(writer, 17, 17, 2);
    CHECK_OK(rds_writer_close(writer));
}

TEST(every_batch_is_a_checkpoint_where_every_batch_is_durable) {
    check_path_text path = check_path();
    rds_writer *writer = open_writer(path.text, RDS_DURABILITY_BATCH, 0);
    for (uint64_t batch = 0; batch < 20; batch++) {
        CHECK_OK(table_write(writer, batch * 3, 3));
        /* Merging is no checkpoint: it makes nothing durable. */
        check_counts(writer, (batch + 1) * 3, (batch + 1) * 3, batch + 1);
    }
    rds_write_stats stats = stats_of(writer);
    CHECK_NUMBER(stats.queued_rows, 0);
    CHECK_NUMBER(stats.queued_bytes, 0);
    CHECK_OK(rds_writer_close(writer));
}

TEST(a_refused_batch_is_not_counted) {
    check_path_text path = check_path();
    rds_writer *writer = open_writer(path.text, RDS_DURABILITY_COMMIT, 0);
    int64_t number = 1, shape[2] = {1, 3};
    double values[3] = {1, 2, 3};
    rds_ids ids = ids_of(RDS_IDS_INT64, 1, &number);
    rds_tensor tensor = tensor_of(RDS_DTYPE_FLOAT64, 2, shape, values);
    CHECK_OK(table_write(writer, 0, 4));
    CHECK_STATUS(rds_write_tensors(writer, &ids, &tensor, 1), RDS_ERR_SCHEMA_MISMATCH);
    check_counts(writer, 4, 0, 0);
    CHECK_OK(rds_writer_close(writer));
}

/* With room for one batch at a time the second call waits for the first batch to be taken in. */
TEST(waiting_for_room_is_counted) {
    check_path_text path = check_path();
    rds_writer *writer = open_writer(path.text, RDS_DURABILITY_COMMIT, 1);
    for (uint64_t batch = 0; batch < 100; batch++) {
        CHECK_OK(table_write(writer, batch * 1000, 1000));
        /* One that waits alone may exceed the bound: ids of this table have less than 24 bytes. */
        CHECK(stats_of(writer).queued_bytes <= 1000 * (ROW_BYTES + 32));
        CHECK(stats_of(writer).queued_rows <= 1000);
    }
    uint64_t blocked = stats_of(writer).blocked_ns;
    CHECK(blocked > 0);
    CHECK_OK(rds_commit(writer, NULL, NULL));
    CHECK_NUMBER(stats_of(writer).blocked_ns, blocked);
    CHECK_OK(rds_writer_close(writer));
}

TEST(a_queue_with_room_blocks_nobody) {
    check_path_text path = check_path();
    rds_writer *writer = open_writer(path.text, RDS_DURABILITY_COMMIT, 0);
    for (uint64_t batch = 0; batch < 50; batch++) {
        CHECK_OK(table_write(writer, batch * 100, 100));
    }
    CHECK_NUMBER(stats_of(writer).blocked_ns, 0);
    CHECK_OK(rds_commit(writer, NULL, NULL));
    CHECK_NUMBER(stats_of(writer).queued_rows, 0);
    CHECK_NUMBER(stats_of(writer).queued_bytes, 0);
    CHECK_OK(rds_writer_close(writer));
}

TEST(staged_rows_are_accepted) {
    check_path_text path = check_path();
    rds_writer *writer = table_writer(path.text, RDS_MODE_STAGED, RDS_DURABILITY_COMMIT);
    rds_token token = {NULL, 0};
    CHECK_OK(table_write(writer, 0, 6));
    CHECK_OK(rds_writer_stage(writer, &token));
    rds_write_stats stats = stats_of(writer);
    CHECK_NUMBER(stats.accepted_rows, 6);
    CHECK_NUMBER(stats.queued_rows, 0);
    CHECK_NUMBER(stats.durable_rows, 6);
    CHECK_NUMBER(stats.checkpoints, 1);
    /* It makes nothing visible itself. */
    CHECK_NUMBER(stats.visible_rows + stats.versions, 0);
    CHECK_OK(rds_writer_close(writer));
}

TEST(durable_is_told_apart_from_visible) {
    check_path_text path = check_path();
    rds_writer *writer = open_writer(path.text, RDS_DURABILITY_BATCH, 0);
    for (uint64_t i = 1; i <= 3; i++) {
        CHECK_OK(table_write(writer, (i - 1) * 6, 4));
        CHECK_OK(table_write(writer, (i - 1) * 6 + 4, 2));
        rds_write_stats stats = stats_of(writer);
        CHECK_NUMBER(stats.durable_rows, i * 6);
        CHECK_NUMBER(stats.visible_rows, (i - 1) * 6);
        CHECK_NUMBER(stats.versions, i - 1);
        CHECK_NUMBER(table_rows(path.text), i == 1 ? -1 : (long long)(i - 1) * 6);
        CHECK_OK(rds_flush(writer));
        stats = stats_of(writer);
        CHECK_NUMBER(stats.visible_rows, i * 6);
        CHECK_NUMBER(stats.versions, i);
        CHECK_NUMBER(table_rows(path.text), i * 6);
        CHECK_NUMBER(stats.state, RDS_WRITER_RUNNING);
        CHECK_NUMBER(stats.failure, RDS_OK);
        CHECK_TEXT(stats.failure_message, "");
    }
    CHECK_OK(rds_writer_close(writer));
}

TEST(a_failed_writer_still_tells_how_far_it_came) {
    check_path_text path = check_path();
    rds_writer *writer = open_writer(path.text, RDS_DURABILITY_INTERVAL, 0);
    CHECK_OK(table_write(writer, 0, 10));
    CHECK_OK(rds_flush(writer));
    CHECK_OK(table_write(writer, 10, 5));
    /* What is removed while its files are being made may come back in part. */
    for (int i = 0; i < 5000 && stats_of(writer).queued_rows > 0; i++) sleep_ms(1);
    check_remove(path.text);
    CHECK(rds_flush(writer) != RDS_OK);
    CHECK(table_write(writer, 15, 5) != RDS_OK);
    check_counts(writer, 15, 10, 1);
    rds_write_stats stats = stats_of(writer);
    CHECK_NUMBER(stats.state, RDS_WRITER_FAILED);
    CHECK(stats.failure == RDS_ERR_NOT_FOUND || stats.failure == RDS_ERR_IO);
    CHECK(strlen(stats.failure_message) > 0);
    CHECK(rds_writer_close(writer) != RDS_OK);
    CHECK_STATUS(rds_writer_stats(writer, &stats), RDS_ERR_INVALID_HANDLE);
}

CHECK_MAIN(RUN(a_writer_begins_at_nothing), RUN(accepted_is_told_apart_from_durable),
           RUN(durable_is_told_apart_from_visible),
           RUN(every_batch_is_a_checkpoint_where_every_batch_is_durable),
           RUN(a_refused_batch_is_not_counted), RUN(waiting_for_room_is_counted),
           RUN(a_queue_with_room_blocks_nobody), RUN(staged_rows_are_accepted),
           RUN(a_failed_writer_still_tells_how_far_it_came))
