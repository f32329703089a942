/* Parts of a job, staged by tasks that may run twice: each part counts once, in the order of the parts. */
#include "staging.h"

enum { ROWS = 10, PARTS = 6 };

/* A token of rows first .. first + ROWS - 1 that is a part of a job; of none, if `job` is NULL. */
static rds_token stage_part(const char *path, const char *job, uint64_t part, uint64_t first) {
    rds_writer *writer = NULL;
    rds_writer_options options = RDS_WRITER_OPTIONS_INIT;
    options.mode = RDS_MODE_STAGED, options.job = job, options.part = part;
    CHECK_OK(rds_writer_open(path, &options, &writer));
    CHECK_OK(table_write(writer, first, ROWS));
    rds_token token = stage(writer);
    CHECK_OK(rds_writer_close(writer));
    return token;
}

static void free_all(rds_token *tokens, int count) {
    for (int i = 0; i < count; i++) token_free(tokens[i]);
}

TEST(parts_come_in_their_order_whatever_that_of_the_tokens) {
    const uint64_t order[PARTS] = {3, 0, 5, 1, 4, 2};
    check_path_text path = check_path();
    rds_token tokens[PARTS];
    rds_commit_info info = RDS_COMMIT_INFO_INIT;
    for (int i = 0; i < PARTS; i++) {
        tokens[i] = stage_part(path.text, "job", order[i], order[i] * ROWS);
    }
    CHECK_OK(publish(path.text, tokens, PARTS, RDS_MODE_CREATE, &info));
    CHECK_NUMBER(info.rows, PARTS * ROWS);
    CHECK_NUMBER(info.version, 1);
    table_check_all(path.text, PARTS * ROWS);
    free_all(tokens, PARTS);
}

TEST(of_two_tokens_with_one_part_the_first_counts_and_the_other_adds_nothing) {
    check_path_text path = check_path();
    rds_commit_info info = RDS_COMMIT_INFO_INIT;
    rds_token tokens[] = {stage_part(path.text, "job", 1, ROWS), stage_part(path.text, "job", 0, 0),
                          stage_part(path.text, "job", 1, 500), stage_part(path.text, "job", 0, 600)};
    CHECK_OK(publish(path.text, tokens, 4, RDS_MODE_CREATE, &info));
    CHECK_NUMBER(info.rows, 2 * ROWS);
    table_check_all(path.text, 2 * ROWS);
    free_all(tokens, 4);
}

TEST(a_part_that_was_published_before_adds_nothing_later) {
    check_path_text path = check_path();
    rds_commit_info info = RDS_COMMIT_INFO_INIT;
    rds_token tokens[] = {stage_part(path.text, "job", 7, 0), stage_part(path.text, "job", 7, 500),
                          stage_part(path.text, "job", 8, ROWS)};
    CHECK_OK(publish(path.text, tokens, 1, RDS_MODE_CREATE, &info));
    /* The same token is told; another one of the same part is a task that ran twice. */
    CHECK_STATUS(publish(path.text, tokens, 1, RDS_MODE_APPEND, NULL), RDS_ERR_ALREADY_EXISTS);
    CHECK_OK(publish(path.text, tokens + 1, 1, RDS_MODE_APPEND, &info));
    CHECK_NUMBER(info.rows + info.tensor_bytes, 0);
    CHECK_NUMBER(info.version, 1);
    CHECK_NUMBER(versions(path.text), 1);
    CHECK_OK(publish(path.text, tokens + 1, 2, RDS_MODE_APPEND, &info));
    CHECK_NUMBER(info.rows, ROWS);
    table_check_all(path.text, 2 * ROWS);
    free_all(tokens, 3);
}

TEST(what_is_known_of_parts_outlives_merges_and_other_writers) {
    check_path_text path = check_path();
    rds_token tokens[12];
    rds_commit_info info = RDS_COMMIT_INFO_INIT;
    rds_commit_options options = RDS_COMMIT_OPTIONS_INIT;
    for (uint64_t i = 0; i < 12; i++) tokens[i] = stage_part(path.text, "job", i, i * ROWS);
    CHECK_OK(publish(path.text, tokens, 12, RDS_MODE_CREATE, &info));
    rds_writer *writer = table_writer(path.text, RDS_MODE_APPEND, RDS_DURABILITY_COMMIT);
    CHECK_OK(table_write(writer, 12 * ROWS, ROWS));
    options.flags = RDS_COMMIT_MERGE_ALL;
    CHECK_OK(rds_commit(writer, &options, NULL));
    CHECK_OK(rds_writer_close(writer));
    rds_token again[] = {stage_part(path.text, "job", 4, 900), stage_part(path.text, "job", 12, 13 * ROWS)};
    CHECK_OK(publish(path.text, again, 2, RDS_MODE_APPEND, &info));
    CHECK_NUMBER(info.rows, ROWS);
    table_check_all(path.text, 14 * ROWS);
    free_all(tokens, 12);
    free_all(again, 2);
}

TEST(parts_of_other_jobs_and_of_none_are_others) {
    check_path_text path = check_path();
    rds_commit_info info = RDS_COMMIT_INFO_INIT;
    rds_token tokens[] = {stage_part(path.text, NULL, 0, 0), stage_part(path.text, NULL, 0, ROWS),
                          stage_part(path.text, "a", 0, 2 * ROWS),
                          stage_part(path.text, "b,1-2=\xc3\xa9", 0, 3 * ROWS)};
    CHECK_OK(publish(path.text, tokens, 4, RDS_MODE_CREATE, &info));
    CHECK_NUMBER(info.rows, 4 * ROWS);
    table_check_all(path.text, 4 * ROWS);
    free_all(tokens, 4);
}

TEST(the_name_of_a_job_is_text) {
    check_path_text path = check_path();
    rds_writer *writer = NULL;
    rds_writer_options options = RDS_WRITER_OPTIONS_INIT;
    options.mode = RDS_MODE_STAGED, options.job = "\xff";
    CHECK_STATUS(rds_writer_open(path.text, &options, &writer), RDS_ERR_INVALID_ARGUMENT);
    CHECK(writer == NULL);
}

CHECK_MAIN(RUN(parts_come_in_their_order_whatever_that_of_the_tokens),
           RUN(of_two_tokens_with_one_part_the_first_counts_and_the_other_adds_nothing),
           RUN(a_part_that_was_published_before_adds_nothing_later),
           RUN(what_is_known_of_parts_outlives_merges_and_other_writers),
           RUN(parts_of_other_jobs_and_of_none_are_others),
           RUN(the_name_of_a_job_is_text))
