/* A whole job is published: its parts become one version, in their order, and all else of it goes. */
#include "parts.h"

enum { EACH = 10, JOB_PARTS = 3 };

/* Three parts of EACH rows each, from row `first` on. */
static void three_parts(const char *path, const char *job, uint64_t first, rds_token *tokens) {
    for (uint64_t i = 0; i < JOB_PARTS; i++) tokens[i] = small_part(path, job, i, first + i * EACH, EACH, 4);
}

static void make_file(check_path_text path, const char *text) {
    FILE *file = fopen(path.text, "w");
    if (CHECK(file != NULL)) CHECK(fputs(text, file) >= 0 && fclose(file) == 0);
}

static rds_commit_info commit_all(const char *path, const char *job, const rds_token *tokens, size_t count,
                                  uint32_t mode) {
    rds_commit_info info = RDS_COMMIT_INFO_INIT;
    CHECK_OK(commit_job(path, job, tokens, count, mode, &info));
    return info;
}

TEST(parts_in_any_order_become_few_files_whatever_their_sizes) {
    enum { COUNT = 9 };
    /* One part is larger than a file, others have no row or one. */
    const uint64_t rows[COUNT] = {1, 0, 700, FILE_ROWS + 3, 0, 1, 1000, 4096, 0};
    const size_t order[COUNT] = {3, 8, 0, 5, 7, 1, 6, 2, 4};
    check_path_text path = check_path();
    rds_token tokens[COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        uint64_t first = 0, part = order[i];
        for (size_t before = 0; before < part; before++) first += rows[before];
        tokens[i] = small_part(path.text, "job", part, first, rows[part], rows[part] > FILE_ROWS ? 300000 : 100);
    }
    uint64_t all = 5801 + FILE_ROWS;
    rds_commit_info info = commit_all(path.text, "job", tokens, COUNT, RDS_MODE_CREATE);
    CHECK_NUMBER(info.rows, all);
    CHECK_NUMBER(info.tensor_bytes, all * SMALL);
    CHECK_NUMBER(info.version, 1);
    CHECK_NUMBER(info.data_files, 2);
    CHECK_NUMBER(data_files(path.text), 2);
    CHECK_NUMBER(versions(path.text), 1);
    check_nothing_waits(path.text);
    small_check(path.text, all);
    rds_reader *reader = table_reader(path.text);
    CHECK_NUMBER(column_info(reader, 0).mapped_rows, all);
    CHECK_OK(rds_reader_close(reader));
    tokens_free(tokens, COUNT);
}

TEST(tokens_of_others_are_refused_and_nothing_is_published) {
    check_path_text path = check_path();
    rds_token tokens[4] = {small_part(path.text, "job", 0, 0, EACH, EACH), {NULL, 0}, {NULL, 0}, {NULL, 0}};
    rds_error error = RDS_ERROR_INIT;
    tokens[1] = small_part(path.text, "job2", 1, EACH, EACH, EACH);
    tokens[2] = small_part(path.text, NULL, 0, EACH, EACH, EACH);
    for (size_t i = 1; i < 3; i++) {
        const rds_token both[2] = {tokens[0], tokens[i]};
        CHECK_STATUS(commit_job(path.text, "job", both, 2, RDS_MODE_CREATE, NULL), RDS_ERR_INVALID_ARGUMENT);
        CHECK_MESSAGE_HAS("token 1: it is no part of the job \"job\"");
        CHECK_OK(rds_last_error(&error));
        CHECK_NUMBER(error.argument, 1);
    }
    const rds_token twice[2] = {tokens[0], tokens[0]};
    CHECK_STATUS(commit_job(path.text, "job", twice, 2, RDS_MODE_CREATE, NULL), RDS_ERR_ALREADY_EXISTS);
    CHECK_MESSAGE_HAS("token 1 is token 0 once more");
    CHECK_STATUS(commit_job(path.text, "job", tokens, 1, RDS_MODE_APPEND, NULL), RDS_ERR_NOT_FOUND);
    CHECK_NUMBER(versions(path.text), 0);
    CHECK_NUMBER(commit_all(path.text, "job", tokens, 1, RDS_MODE_CREATE).rows, EACH);
    CHECK_NUMBER(commit_all(path.text, "job2", tokens + 1, 1, RDS_MODE_APPEND).rows, EACH);
    small_check(path.text, 2 * EACH);
    tokens_free(tokens, 4);
}

TEST(what_else_there_is_of_the_job_goes_with_it_and_other_jobs_stay) {
    check_path_text path = check_path();
    rds_token tokens[JOB_PARTS], other = small_part(path.text, "job-2", 0, 3 * EACH, EACH, EACH);
    three_parts(path.text, "job", 0, tokens);
    /* Tasks that ran twice, and one that was killed. */
    rds_token again = small_part(path.text, "job", 1, 500, EACH, EACH);
    rds_token unwanted = small_part(path.text, "job", 2, 600, EACH, EACH);
    make_file(path_below(group_directory(path.text, "job").text, "2-00000000000000000000000000000000.writing"), "half");
    CHECK_NUMBER(files_named(path.text, "_rds/jobs/job/0", "", ""), 6);
    CHECK_NUMBER(commit_all(path.text, "job", tokens, JOB_PARTS, RDS_MODE_CREATE).rows, 3 * EACH);
    CHECK(access(job_directory(path.text, "job").text, F_OK) != 0);
    CHECK_NUMBER(parts_that_wait(path.text, NULL), 1);
    CHECK_NUMBER(commit_all(path.text, "job-2", &other, 1, RDS_MODE_APPEND).rows, EACH);
    check_nothing_waits(path.text);
    small_check(path.text, 4 * EACH);
    tokens_free(tokens, JOB_PARTS);
    token_free(other), token_free(again), token_free(unwanted);
}

static void check_repeated(uint32_t mode) {
    check_path_text path = check_path();
    rds_token tokens[JOB_PARTS];
    uint64_t before = mode == RDS_MODE_APPEND ? EACH : 0;
    if (mode != RDS_MODE_CREATE) {
        rds_token first = small_part(path.text, "first", 0, 0, EACH, EACH);
        CHECK_OK(commit_job(path.text, "first", &first, 1, RDS_MODE_CREATE, NULL));
        token_free(first);
    }
    three_parts(path.text, "job", before, tokens);
    rds_commit_info info = commit_all(path.text, "job", tokens, JOB_PARTS, mode), again;
    CHECK_NUMBER(info.rows, 3 * EACH);
    /* A task that comes late, as tasks do that ran twice. */
    rds_token late = small_part(path.text, "job", 2, 900, EACH, EACH);
    for (int i = 0; i < 2; i++) {
        again = commit_all(path.text, "job", tokens, JOB_PARTS, mode);
        CHECK_NUMBER(again.rows + again.tensor_bytes, 0);
        CHECK_NUMBER(again.version, info.version);
        CHECK_NUMBER(again.data_files, info.data_files);
        check_nothing_waits(path.text);
    }
    small_check(path.text, before + 3 * EACH);
    token_free(late);
    tokens_free(tokens, JOB_PARTS);
}

TEST(a_commit_that_landed_may_be_called_again) {
    check_repeated(RDS_MODE_CREATE);
    check_repeated(RDS_MODE_APPEND);
    check_repeated(RDS_MODE_OVERWRITE);
}

TEST(a_table_that_another_one_made_is_not_taken_for_the_job) {
    check_path_text path = check_path();
    rds_token tokens[JOB_PARTS];
    three_parts(path.text, "job", 0, tokens);
    table_make(path.text, 7);
    CHECK_STATUS(commit_job(path.text, "job", tokens, JOB_PARTS, RDS_MODE_CREATE, NULL), RDS_ERR_ALREADY_EXISTS);
    /* Some of the parts are not all of them. */
    CHECK_OK(commit_job(path.text, "job", tokens, 2, RDS_MODE_OVERWRITE, NULL));
    CHECK_STATUS(commit_job(path.text, "job", tokens, JOB_PARTS, RDS_MODE_CREATE, NULL), RDS_ERR_ALREADY_EXISTS);
    small_check(path.text, 2 * EACH);
    tokens_free(tokens, JOB_PARTS);
}

TEST(a_job_of_the_same_name_replaces_the_table_with_what_it_wrote) {
    check_path_text path = check_path();
    rds_token old[JOB_PARTS], fresh[JOB_PARTS];
    three_parts(path.text, "nightly", 500, old);
    CHECK_NUMBER(commit_all(path.text, "nightly", old, JOB_PARTS, RDS_MODE_OVERWRITE).rows, 3 * EACH);
    three_parts(path.text, "nightly", 0, fresh);
    CHECK_NUMBER(commit_all(path.text, "nightly", fresh, JOB_PARTS, RDS_MODE_OVERWRITE).version, 2);
    small_check(path.text, 3 * EACH);
    tokens_free(old, JOB_PARTS);
    tokens_free(fresh, JOB_PARTS);
}

static void check_begins_anew(const char *path) {
    rds_commit_info info = RDS_COMMIT_INFO_INIT;
    rds_token token = small_part(path, "job", 0, EACH, EACH, EACH);
    CHECK_OK(commit_job(path, "job", &token, 1, RDS_MODE_APPEND, &info));
    CHECK_NUMBER(info.rows, EACH);
    small_check(path, 2 * EACH);
    token_free(token);
}

TEST(what_replaces_a_table_has_none_of_its_jobs) {
    for (int by_commit = 0; by_commit < 2; by_commit++) {
        check_path_text path = check_path();
        rds_token old[JOB_PARTS], other = small_part(path.text, "other", 0, 0, EACH, EACH);
        three_parts(path.text, "job", 500, old);
        commit_all(path.text, "job", old, JOB_PARTS, RDS_MODE_CREATE);
        if (by_commit) {
            commit_all(path.text, "other", &other, 1, RDS_MODE_OVERWRITE);
        } else {
            rds_writer *writer = table_writer(path.text, RDS_MODE_OVERWRITE, RDS_DURABILITY_COMMIT);
            CHECK_OK(small_write(writer, 0, EACH));
            CHECK_OK(rds_commit(writer, NULL, NULL));
            CHECK_OK(rds_writer_close(writer));
        }
        struct listing *shown = list_of(path.text, "job");
        CHECK_NUMBER(shown->count, 0);
        listing_free(shown);
        check_begins_anew(path.text);
        tokens_free(old, JOB_PARTS);
        token_free(other);
    }
}

/* The table of yesterday has the same parts, and does not stand for those of today. */
TEST(a_part_that_was_removed_is_missed_though_the_table_has_one_of_its_number) {
    check_path_text path = check_path();
    rds_token old[JOB_PARTS], fresh[JOB_PARTS];
    three_parts(path.text, "nightly", 0, old);
    commit_all(path.text, "nightly", old, JOB_PARTS, RDS_MODE_OVERWRITE);
    three_parts(path.text, "nightly", 500, fresh);
    CHECK(unlink(job_file(path.text, "nightly", "1-").text) == 0);
    CHECK_STATUS(commit_job(path.text, "nightly", fresh, JOB_PARTS, RDS_MODE_OVERWRITE, NULL), RDS_ERR_NOT_FOUND);
    CHECK_NUMBER(files_named(path.text, "_rds/jobs/nightly/0", "", ""), 2);
    small_check(path.text, 3 * EACH);
    tokens_free(old, JOB_PARTS);
    tokens_free(fresh, JOB_PARTS);
}

TEST(a_job_without_tokens_publishes_nothing_and_loses_nothing) {
    check_path_text path = check_path();
    rds_token parts[2] = {small_part(path.text, "job", 0, 0, EACH, EACH), small_part(path.text, "job", 1, EACH, EACH, EACH)};
    rds_commit_info info = commit_all(path.text, "job", NULL, 0, RDS_MODE_CREATE);
    CHECK_NUMBER(info.rows + info.version + info.data_files, 0);
    CHECK_NUMBER(versions(path.text), 0);
    CHECK_NUMBER(parts_that_wait(path.text, "job"), 2);
    CHECK_STATUS(commit_job(path.text, "job", NULL, 0, RDS_MODE_APPEND, NULL), RDS_ERR_NOT_FOUND);
    /* Nor does one that some parts have no token of. */
    CHECK_NUMBER(commit_all(path.text, "job", parts, 1, RDS_MODE_CREATE).rows, EACH);
    CHECK_NUMBER(parts_that_wait(path.text, "job"), 1);
    CHECK_NUMBER(commit_all(path.text, "job", parts + 1, 1, RDS_MODE_APPEND).rows, EACH);
    small_check(path.text, 2 * EACH);
    check_nothing_waits(path.text);
    tokens_free(parts, 2);
}

TEST(parts_without_rows_that_declare_columns_make_a_table_without_rows) {
    check_path_text path = check_path();
    const int64_t shape[1] = {SMALL};
    rds_column_spec column = RDS_COLUMN_SPEC_INIT;
    rds_writer_options options = RDS_WRITER_OPTIONS_INIT;
    rds_token tokens[2];
    column.dtype = RDS_DTYPE_UINT8, column.ndim = 1, column.shape = shape;
    options.mode = RDS_MODE_STAGED, options.job = "job", options.columns = &column, options.column_count = 1;
    for (uint64_t i = 0; i < 2; i++) {
        rds_writer *writer = NULL;
        options.part = i;
        CHECK_OK(rds_writer_open(path.text, &options, &writer));
        tokens[i] = stage(writer);
        CHECK_OK(rds_writer_close(writer));
    }
    rds_commit_info info = commit_all(path.text, "job", tokens, 2, RDS_MODE_CREATE);
    CHECK_NUMBER(info.version, 1);
    CHECK_NUMBER(info.rows + info.data_files, 0);
    CHECK_NUMBER(table_rows(path.text), 0);
    CHECK_NUMBER(commit_all(path.text, "job", tokens, 2, RDS_MODE_CREATE).version, 1);
    tokens_free(tokens, 2);
}

TEST(parts_that_differ_are_refused_with_their_number) {
    check_path_text path = check_path();
    rds_token tokens[2] = {small_part(path.text, "job", 0, 0, EACH, EACH), {NULL, 0}};
    rds_writer *writer = part_writer(path.text, "job", 1);
    CHECK_OK(table_write(writer, 0, EACH));
    tokens[1] = stage(writer);
    CHECK_OK(rds_writer_close(writer));
    CHECK_STATUS(commit_job(path.text, "job", tokens, 2, RDS_MODE_CREATE, NULL), RDS_ERR_SCHEMA_MISMATCH);
    CHECK_MESSAGE_HAS("token 1 differs from those before");
    CHECK_STATUS(rds_pack_parts(path.text, "job", tokens, 2, NULL, NULL), RDS_ERR_SCHEMA_MISMATCH);
    CHECK_OK(commit_job(path.text, "job", tokens, 1, RDS_MODE_CREATE, NULL));
    /* And so is one that the table differs from. */
    rds_token other = small_part(path.text, "job", 1, EACH, EACH, EACH);
    table_make(path.text, 3);
    CHECK_STATUS(commit_job(path.text, "job", &other, 1, RDS_MODE_APPEND, NULL), RDS_ERR_SCHEMA_MISMATCH);
    CHECK_NUMBER(parts_that_wait(path.text, "job"), 1);
    CHECK_NUMBER(table_rows(path.text), 3);
    token_free(other);
    tokens_free(tokens, 2);
}

/* It is a name like others, and not all of them. */
TEST(a_job_whose_name_is_empty_is_one) {
    check_path_text path = check_path();
    rds_token part = small_part(path.text, "job", 0, EACH, EACH, EACH);
    rds_token own = small_part(path.text, "", 0, 0, EACH, EACH);
    rds_recover_options recover = RDS_RECOVER_OPTIONS_INIT;
    CHECK_NUMBER(parts_that_wait(path.text, ""), 1);
    CHECK_NUMBER(parts_that_wait(path.text, NULL), 2);
    CHECK_NUMBER(commit_all(path.text, "", &own, 1, RDS_MODE_CREATE).rows, EACH);
    rds_token late = small_part(path.text, "", 1, 500, EACH, EACH);
    recover.run = "", recover.flags = RDS_RECOVER_DROP;
    CHECK_OK(rds_recover(path.text, &recover, NULL));
    CHECK_NUMBER(parts_that_wait(path.text, NULL), 1);
    CHECK_NUMBER(commit_all(path.text, "job", &part, 1, RDS_MODE_APPEND).rows, EACH);
    small_check(path.text, 2 * EACH);
    token_free(part), token_free(own), token_free(late);
}

CHECK_MAIN(RUN(parts_in_any_order_become_few_files_whatever_their_sizes),
           RUN(tokens_of_others_are_refused_and_nothing_is_published),
           RUN(what_else_there_is_of_the_job_goes_with_it_and_other_jobs_stay),
           RUN(a_commit_that_landed_may_be_called_again),
           RUN(a_table_that_another_one_made_is_not_taken_for_the_job),
           RUN(a_job_of_the_same_name_replaces_the_table_with_what_it_wrote),
           RUN(what_replaces_a_table_has_none_of_its_jobs),
           RUN(a_part_that_was_removed_is_missed_though_the_table_has_one_of_its_number),
           RUN(a_job_without_tokens_publishes_nothing_and_loses_nothing),
           RUN(parts_without_rows_that_declare_columns_make_a_table_without_rows),
           RUN(parts_that_differ_are_refused_with_their_number), RUN(a_job_whose_name_is_empty_is_one))
