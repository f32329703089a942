/* Staged rows: visible with their commit and not before, in the order of the tokens, in one
 * version. */
#include "staging.h"

enum { ROWS = 10, TOKENS = 4 };

TEST(tokens_are_published_in_their_order_in_one_version) {
    check_path_text path = check_path();
    rds_token tokens[TOKENS];
    rds_commit_info info = RDS_COMMIT_INFO_INIT;
    /* The last rows are staged first. */
    for (int i = TOKENS - 1; i >= 0; i--) {
        tokens[i] = stage_rows(path.text, (uint64_t)i * ROWS, ROWS);
        CHECK(tokens[i].length < 64 * 1024);
    }
    CHECK_NUMBER(table_rows(path.text), -1);
    CHECK_OK(publish(path.text, tokens, TOKENS, RDS_MODE_CREATE, &info));
    CHECK_NUMBER(info.rows, TOKENS * ROWS);
    CHECK_NUMBER(info.tensor_bytes, TOKENS * ROWS * TABLE_WIDTH * sizeof(float));
    CHECK_NUMBER(info.data_files, TOKENS);
    CHECK_NUMBER(info.version, 1);
    CHECK_NUMBER(versions(path.text), 1);
    CHECK_NUMBER(data_files(path.text), TOKENS);
    table_check_all(path.text, TOKENS * ROWS);
    for (int i = 0; i < TOKENS; i++) token_free(tokens[i]);
}

TEST(tokens_are_appended_after_what_is_there) {
    check_path_text path = check_path();
    rds_token tokens[2];
    rds_commit_info info = RDS_COMMIT_INFO_INIT;
    table_make(path.text, ROWS);
    tokens[0] = stage_rows(path.text, ROWS, ROWS);
    tokens[1] = stage_rows(path.text, 3 * ROWS, ROWS);
    /* Others add theirs meanwhile. */
    table_append(path.text, 2 * ROWS, ROWS);
    rds_reader *before = table_reader(path.text);
    CHECK_OK(publish(path.text, &tokens[1], 1, RDS_MODE_APPEND, &info));
    CHECK_NUMBER(info.rows, ROWS);
    CHECK_NUMBER(info.version, 3);
    CHECK_NUMBER(table_info(before).rows, 2 * ROWS);
    CHECK_OK(rds_reader_close(before));
    CHECK_OK(publish(path.text, &tokens[0], 1, RDS_MODE_APPEND, &info));
    const uint64_t firsts[] = {0, 2 * ROWS, 3 * ROWS, ROWS};
    rds_reader *reader = table_reader(path.text);
    CHECK_NUMBER(table_info(reader).rows, 4 * ROWS);
    for (uint64_t row = 0; row < 4 * ROWS; row++) {
        CHECK(table_row_is(reader, row, firsts[row / ROWS] + row % ROWS));
    }
    CHECK_OK(rds_reader_close(reader));
    token_free(tokens[0]);
    token_free(tokens[1]);
}

TEST(an_overwrite_publishes_and_readers_keep_their_snapshot) {
    check_path_text path = check_path();
    table_make(path.text, 25);
    rds_token token = stage_rows(path.text, 0, ROWS);
    rds_reader *before = table_reader(path.text);
    table_check(before, 0, 25);
    CHECK_OK(publish(path.text, &token, 1, RDS_MODE_OVERWRITE, NULL));
    table_check_all(path.text, ROWS);
    table_check(before, 0, 25);
    CHECK_OK(rds_reader_close(before));
    token_free(token);
}

TEST(a_writer_stages_again_and_again) {
    check_path_text path = check_path();
    rds_token tokens[TOKENS];
    rds_commit_info info = RDS_COMMIT_INFO_INIT;
    rds_writer *writer = table_writer(path.text, RDS_MODE_STAGED, RDS_DURABILITY_INTERVAL);
    for (uint64_t i = 0; i < TOKENS; i++) {
        CHECK_OK(table_write(writer, i * ROWS, ROWS / 2));
        CHECK_OK(table_write(writer, i * ROWS + ROWS / 2, ROWS - ROWS / 2));
        tokens[i] = stage(writer);
    }
    /* While the writer is open. */
    CHECK_OK(publish(path.text, tokens, TOKENS, RDS_MODE_CREATE, &info));
    CHECK_NUMBER(info.data_files, TOKENS);
    CHECK_OK(table_write(writer, TOKENS * ROWS, ROWS));
    rds_token more = stage(writer);
    CHECK_OK(publish(path.text, &more, 1, RDS_MODE_APPEND, &info));
    CHECK_OK(rds_writer_close(writer));
    table_check_all(path.text, (TOKENS + 1) * ROWS);
    for (int i = 0; i < TOKENS; i++) token_free(tokens[i]);
    token_free(more);
}

TEST(a_token_lives_until_its_writer_is_closed) {
    check_path_text path = check_path();
    rds_token first = {NULL, 0};
    rds_token kept[20];
    rds_writer *writer = table_writer(path.text, RDS_MODE_STAGED, RDS_DURABILITY_INTERVAL);
    CHECK_OK(table_write(writer, 0, ROWS));
    CHECK_OK(rds_writer_stage(writer, &first));
    uint8_t *copy = (uint8_t *)malloc(first.length);
    memcpy(copy, first.data, first.length);
    for (uint64_t i = 0; i < 20; i++) {
        CHECK_OK(table_write(writer, (i + 1) * ROWS, ROWS));
        kept[i] = stage(writer);
    }
    CHECK(memcmp(copy, first.data, first.length) == 0);
    CHECK_OK(rds_writer_close(writer));
    free(copy);
    for (int i = 0; i < 20; i++) token_free(kept[i]);
}

TEST(an_empty_token_publishes_nothing) {
    check_path_text path = check_path();
    rds_commit_info info = RDS_COMMIT_INFO_INIT;
    rds_token tokens[3];
    tokens[0] = stage_rows(path.text, 0, 0);
    tokens[1] = stage_rows(path.text, 0, ROWS);
    tokens[2] = stage_rows(path.text, 0, 0);
    CHECK_OK(publish(path.text, tokens, 1, RDS_MODE_CREATE, &info));
    CHECK_NUMBER(info.rows + info.version + info.data_files, 0);
    CHECK_NUMBER(table_rows(path.text), -1);
    CHECK_OK(publish(path.text, NULL, 0, RDS_MODE_CREATE, &info));
    CHECK_NUMBER(table_rows(path.text), -1);
    CHECK_OK(publish(path.text, tokens, 3, RDS_MODE_CREATE, &info));
    CHECK_NUMBER(info.rows, ROWS);
    CHECK_OK(publish(path.text, &tokens[2], 1, RDS_MODE_APPEND, &info));
    CHECK_NUMBER(info.rows, 0);
    CHECK_NUMBER(info.version, 1);
    CHECK_NUMBER(versions(path.text), 1);
    table_check_all(path.text, ROWS);
    for (int i = 0; i < 3; i++) token_free(tokens[i]);
}

TEST(staging_is_for_staged_writers_and_flush_and_commit_for_the_others) {
    check_path_text path = check_path(), other = check_path();
    rds_token token = {(const uint8_t *)&token, 9};
    rds_commit_info info = RDS_COMMIT_INFO_INIT;
    rds_writer *writer = table_writer(path.text, RDS_MODE_CREATE, RDS_DURABILITY_COMMIT);
    CHECK_OK(table_write(writer, 0, ROWS));
    CHECK_STATUS(rds_writer_stage(writer, &token), RDS_ERR_INVALID_STATE);
    CHECK_MESSAGE_HAS("rds_writer_stage: ");
    CHECK(token.data == NULL && token.length == 0);
    CHECK_OK(rds_commit(writer, NULL, NULL));
    CHECK_OK(rds_writer_close(writer));
    table_check_all(path.text, ROWS);
    writer = table_writer(other.text, RDS_MODE_STAGED, RDS_DURABILITY_BATCH);
    CHECK_OK(table_write(writer, 0, ROWS));
    CHECK_STATUS(rds_flush(writer), RDS_ERR_INVALID_STATE);
    CHECK_MESSAGE_HAS("STAGED");
    CHECK_STATUS(rds_commit(writer, NULL, &info), RDS_ERR_INVALID_STATE);
    CHECK_MESSAGE_HAS("STAGED");
    /* Neither did any harm. */
    token = stage(writer);
    CHECK_OK(rds_writer_close(writer));
    CHECK_NUMBER(table_rows(other.text), -1);
    CHECK_OK(publish(other.text, &token, 1, RDS_MODE_CREATE, NULL));
    table_check_all(other.text, ROWS);
    token_free(token);
}

TEST(what_was_not_staged_is_gone_with_its_writer) {
    for (int aborts = 0; aborts < 2; aborts++) {
        check_path_text path = check_path();
        rds_writer *writer = table_writer(path.text, RDS_MODE_STAGED, RDS_DURABILITY_INTERVAL);
        CHECK_OK(table_write(writer, 0, ROWS));
        CHECK_OK(aborts ? rds_writer_abort(writer) : rds_writer_close(writer));
        CHECK_NUMBER(data_files(path.text) + run_files(path.text, ""), 0);
        CHECK_NUMBER(files_named(path.text, "_rds", "", ""), 0);
        CHECK_NUMBER(table_rows(path.text), -1);
    }
}

TEST(an_abort_keeps_what_a_token_names) {
    check_path_text path = check_path();
    rds_writer *writer = table_writer(path.text, RDS_MODE_STAGED, RDS_DURABILITY_INTERVAL);
    CHECK_OK(table_write(writer, 0, ROWS));
    rds_token token = stage(writer);
    CHECK_OK(table_write(writer, ROWS, ROWS));
    CHECK_OK(rds_writer_abort(writer));
    CHECK_NUMBER(run_files(path.text, ".lance"), 1);
    CHECK_NUMBER(data_files(path.text), 0);
    CHECK_OK(publish(path.text, &token, 1, RDS_MODE_CREATE, NULL));
    table_check_all(path.text, ROWS);
    token_free(token);
}

TEST(published_rows_are_merged_by_a_commit_that_merges_all) {
    enum { MANY = 12, SMALL_FILES = 8 };
    check_path_text path = check_path();
    rds_token tokens[MANY];
    rds_commit_info info = RDS_COMMIT_INFO_INIT;
    rds_commit_options options = RDS_COMMIT_OPTIONS_INIT;
    for (int i = 0; i < MANY; i++) tokens[i] = stage_rows(path.text, (uint64_t)i * ROWS, ROWS);
    CHECK_OK(publish(path.text, tokens, MANY, RDS_MODE_CREATE, NULL));
    rds_writer *writer = table_writer(path.text, RDS_MODE_APPEND, RDS_DURABILITY_COMMIT);
    CHECK_OK(table_write(writer, MANY * ROWS, 1));
    options.flags = RDS_COMMIT_MERGE_ALL;
    CHECK_OK(rds_commit(writer, &options, &info));
    CHECK(info.data_files <= SMALL_FILES);
    CHECK_OK(rds_writer_close(writer));
    table_check_all(path.text, MANY * ROWS + 1);
    /* Their files are not named any more, and yet they are published. */
    CHECK_STATUS(publish(path.text, tokens, 1, RDS_MODE_APPEND, NULL), RDS_ERR_ALREADY_EXISTS);
    for (int i = 0; i < MANY; i++) token_free(tokens[i]);
}

CHECK_MAIN(RUN(tokens_are_published_in_their_order_in_one_version),
           RUN(tokens_are_appended_after_what_is_there),
           RUN(an_overwrite_publishes_and_readers_keep_their_snapshot),
           RUN(a_writer_stages_again_and_again), RUN(a_token_lives_until_its_writer_is_closed),
           RUN(an_empty_token_publishes_nothing),
           RUN(staging_is_for_staged_writers_and_flush_and_commit_for_the_others),
           RUN(what_was_not_staged_is_gone_with_its_writer), RUN(an_abort_keeps_what_a_token_names),
           RUN(published_rows_are_merged_by_a_commit_that_merges_all))
