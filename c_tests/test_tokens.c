/* Tokens that are not what they should be, or not for this table, or not now: refused by name, with
 * nothing published and nothing lost. */
#include "forge_token.h"
#include "parts.h"

enum { ROWS = 10 };

/* Every way of publishing fails so, and the table stays as it was: -1 if there is none. */
static void check_refused(const char *path, const rds_token *tokens, size_t count, uint32_t mode,
                          rds_status status, const char *part) {
    rds_commit_info info = RDS_COMMIT_INFO_INIT;
    long long rows = table_rows(path);
    CHECK_STATUS(publish(path, tokens, count, mode, &info), status);
    CHECK_MESSAGE_HAS("rds_commit_staged: ");
    CHECK_MESSAGE_HAS(part);
    CHECK_NUMBER(info.rows + info.version, 0);
    CHECK_NUMBER(table_rows(path), rows);
}

static int is_a_refusal(rds_status status) {
    return status == RDS_ERR_INVALID_ARGUMENT || status == RDS_ERR_CORRUPT;
}

TEST(a_token_with_any_byte_changed_is_refused) {
    check_path_text path = check_path();
    rds_token token = stage_rows(path.text, 0, ROWS);
    uint8_t *bytes = (uint8_t *)(uintptr_t)token.data;
    const uint8_t changes[] = {0x01, 0x20, 0x80, 0xff};
    long long accepted = 0;
    for (size_t at = 0; at < token.length; at++) {
        for (int i = 0; i < 4; i++) {
            bytes[at] ^= changes[i];
            rds_status status = publish(path.text, &token, 1, RDS_MODE_CREATE, NULL);
            accepted += !is_a_refusal(status);
            bytes[at] ^= changes[i];
        }
    }
    CHECK_NUMBER(accepted, 0);
    CHECK_NUMBER(table_rows(path.text), -1);
    /* It is as good as before. */
    CHECK_OK(publish(path.text, &token, 1, RDS_MODE_CREATE, NULL));
    table_check_all(path.text, ROWS);
    token_free(token);
}

TEST(a_token_that_was_cut_or_has_grown_is_refused) {
    check_path_text path = check_path();
    rds_token token = stage_rows(path.text, 0, ROWS);
    long long accepted = 0;
    for (size_t length = 0; length < token.length; length++) {
        /* Memory of that size, so that a read beyond it is found. */
        uint8_t *part = (uint8_t *)malloc(length + 1);
        memcpy(part, token.data, length);
        const rds_token cut = {part, length};
        accepted += !is_a_refusal(publish(path.text, &cut, 1, RDS_MODE_CREATE, NULL));
        free(part);
    }
    uint8_t *more = (uint8_t *)calloc(1, token.length + 5);
    memcpy(more, token.data, token.length);
    for (size_t extra = 1; extra <= 5; extra++) {
        const rds_token grown = {more, token.length + extra};
        accepted += !is_a_refusal(publish(path.text, &grown, 1, RDS_MODE_CREATE, NULL));
    }
    free(more);
    CHECK_NUMBER(accepted, 0);
    CHECK_NUMBER(table_rows(path.text), -1);
    token_free(token);
}

TEST(nothing_and_garbage_are_no_tokens) {
    check_path_text path = check_path();
    uint8_t garbage[100] = {0};
    const rds_token none = {NULL, 0}, empty = {garbage, 0}, zeros = {garbage, sizeof garbage};
    const rds_token text = {(const uint8_t *)"RDSTOKEN", 8};
    check_refused(path.text, &none, 1, RDS_MODE_CREATE, RDS_ERR_INVALID_ARGUMENT, "token 0");
    check_refused(path.text, &empty, 1, RDS_MODE_CREATE, RDS_ERR_INVALID_ARGUMENT, "token 0");
    check_refused(path.text, &zeros, 1, RDS_MODE_CREATE, RDS_ERR_INVALID_ARGUMENT, "token 0");
    CHECK(is_a_refusal(publish(path.text, &text, 1, RDS_MODE_CREATE, NULL)));
}

/* The name of a data file as a token has it, in quotes. */
static check_path_text name_in(rds_token token) {
    check_path_text name = {""};
    for (size_t at = 0; at + 5 < token.length; at++) {
        if (memcmp(token.data + at, "\"rds-", 5) != 0) continue;
        const uint8_t *end = memchr(token.data + at + 1, '"', token.length - at - 1);
        if (end) snprintf(name.text, sizeof name.text, "%.*s", (int)(end - token.data - at + 1),
                          (const char *)token.data + at);
        break;
    }
    CHECK(name.text[0] != 0);
    return name;
}

TEST(a_token_names_files_of_its_run_only) {
    const char *const starts[] = {"../", "/rds", "rds/", ".rds", "rd\\\\"};
    check_path_text path = check_path();
    rds_token token = stage_rows(path.text, 0, ROWS);
    check_path_text name = name_in(token);
    for (size_t i = 0; i < sizeof starts / sizeof starts[0]; i++) {
        check_path_text other = name;
        memcpy(other.text + 1, starts[i], strlen(starts[i]));
        rds_token bad = forged(token, name.text, other.text);
        check_refused(path.text, &bad, 1, RDS_MODE_CREATE, RDS_ERR_CORRUPT, "token 0");
        token_free(bad);
    }
    /* That the forger does nothing else: */
    rds_token same = forged(token, name.text, name.text);
    CHECK(memcmp(same.data, token.data, token.length) == 0);
    token_free(same);
    token_free(token);
}

TEST(a_token_of_another_format_is_not_supported) {
    const char formats[] = {1, 2, 4, 127};
    check_path_text path = check_path();
    rds_token tokens[2] = {stage_rows(path.text, 0, ROWS), small_part(path.text, "job", 0, 0, ROWS, ROWS)};
    for (size_t i = 0; i < 2 * sizeof formats; i++) {
        char from[] = "RDSTOKEN\3", to[] = "RDSTOKEN?";
        if (i % 2) memcpy(from, "RDSTPART", 8), memcpy(to, "RDSTPART", 8);
        to[8] = formats[i / 2];
        rds_token other = forged(tokens[i % 2], from, to);
        check_refused(path.text, &other, 1, RDS_MODE_CREATE, RDS_ERR_NOT_SUPPORTED, "token 0");
        token_free(other);
    }
    tokens_free(tokens, 2);
}

TEST(a_token_of_another_table_is_not_found) {
    check_path_text path = check_path(), other = check_path();
    rds_token tokens[2] = {stage_rows(path.text, 0, ROWS), stage_rows(other.text, ROWS, ROWS)};
    check_refused(path.text, tokens, 2, RDS_MODE_CREATE, RDS_ERR_NOT_FOUND, "token 1");
    CHECK_OK(publish(path.text, tokens, 1, RDS_MODE_CREATE, NULL));
    CHECK_OK(publish(other.text, tokens + 1, 1, RDS_MODE_CREATE, NULL));
    table_check_all(path.text, ROWS);
    CHECK_NUMBER(table_rows(other.text), ROWS);
    token_free(tokens[0]);
    token_free(tokens[1]);
}

TEST(a_token_given_twice_or_published_already_is_refused) {
    check_path_text path = check_path();
    rds_token token = stage_rows(path.text, 0, ROWS);
    rds_token twice[3] = {stage_rows(path.text, ROWS, ROWS), token, token};
    check_refused(path.text, twice, 3, RDS_MODE_CREATE, RDS_ERR_ALREADY_EXISTS, "token 2");
    CHECK_OK(publish(path.text, &token, 1, RDS_MODE_CREATE, NULL));
    check_refused(path.text, &token, 1, RDS_MODE_APPEND, RDS_ERR_ALREADY_EXISTS, "token 0");
    check_refused(path.text, &token, 1, RDS_MODE_OVERWRITE, RDS_ERR_ALREADY_EXISTS, "token 0");
    check_refused(path.text, twice, 2, RDS_MODE_APPEND, RDS_ERR_ALREADY_EXISTS, "token 1");
    /* Also when the rows are in the newest version no more. */
    table_make(path.text, 3);
    check_refused(path.text, &token, 1, RDS_MODE_APPEND, RDS_ERR_ALREADY_EXISTS, "token 0");
    table_check_all(path.text, 3);
    CHECK_OK(publish(path.text, twice, 1, RDS_MODE_APPEND, NULL));
    CHECK_NUMBER(table_rows(path.text), 3 + ROWS);
    token_free(token);
    token_free(twice[0]);
}

/* A token for one row of `width` numbers. */
static rds_token stage_other(const char *path, uint32_t dtype, int64_t width) {
    double numbers[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    int64_t id = 5, shape[2] = {1, width};
    rds_ids ids = ids_of(RDS_IDS_INT64, 1, &id);
    rds_tensor tensor = tensor_of(dtype, 2, shape, numbers);
    rds_writer *writer = table_writer(path, RDS_MODE_STAGED, RDS_DURABILITY_INTERVAL);
    CHECK_OK(rds_write_tensors(writer, &ids, &tensor, 1));
    rds_token token = stage(writer);
    CHECK_OK(rds_writer_close(writer));
    return token;
}

TEST(tokens_of_different_rows_are_refused) {
    check_path_text path = check_path();
    rds_token tokens[3] = {stage_rows(path.text, 0, ROWS), stage_rows(path.text, 0, 0)};
    const struct {
        uint32_t dtype;
        int64_t width;
    } others[] = {{RDS_DTYPE_FLOAT64, TABLE_WIDTH}, {RDS_DTYPE_FLOAT32, TABLE_WIDTH + 1},
                  {RDS_DTYPE_INT32, TABLE_WIDTH}};
    for (int i = 0; i < 3; i++) {
        tokens[2] = stage_other(path.text, others[i].dtype, others[i].width);
        check_refused(path.text, tokens, 3, RDS_MODE_CREATE, RDS_ERR_SCHEMA_MISMATCH, "token 2");
        token_free(tokens[2]);
    }
    CHECK_OK(publish(path.text, tokens, 2, RDS_MODE_CREATE, NULL));
    table_check_all(path.text, ROWS);
    token_free(tokens[0]);
    token_free(tokens[1]);
}

TEST(rows_that_do_not_fit_the_table_are_not_appended_but_may_replace_it) {
    check_path_text path = check_path();
    table_make(path.text, 4);
    rds_token token = stage_other(path.text, RDS_DTYPE_FLOAT64, 3);
    check_refused(path.text, &token, 1, RDS_MODE_APPEND, RDS_ERR_SCHEMA_MISMATCH, "float64");
    table_check_all(path.text, 4);
    CHECK_OK(publish(path.text, &token, 1, RDS_MODE_OVERWRITE, NULL));
    rds_reader *reader = table_reader(path.text);
    CHECK_NUMBER(table_info(reader).rows, 1);
    CHECK_NUMBER(column_info(reader, 0).dtype, RDS_DTYPE_FLOAT64);
    CHECK_OK(rds_reader_close(reader));
    token_free(token);
}

TEST(the_mode_says_whether_there_may_be_a_table) {
    check_path_text path = check_path();
    rds_token token = stage_rows(path.text, 0, ROWS);
    check_refused(path.text, &token, 1, RDS_MODE_APPEND, RDS_ERR_NOT_FOUND, "there is no table");
    table_make(path.text, 4);
    check_refused(path.text, &token, 1, RDS_MODE_CREATE, RDS_ERR_ALREADY_EXISTS,
                  "there is a table");
    CHECK_OK(publish(path.text, &token, 1, RDS_MODE_OVERWRITE, NULL));
    table_check_all(path.text, ROWS);
    token_free(token);
}

/* The directory of the only run there is, below that of the table. */
static check_path_text only_run(const char *path) {
    check_path_text runs = path_below(path, "lance_db/results.lance/_rds"), run = {""};
    DIR *entries = opendir(runs.text);
    for (struct dirent *entry; entries && (entry = readdir(entries));) {
        if (entry->d_name[0] != '.') run = path_below("_rds", entry->d_name);
    }
    if (entries) closedir(entries);
    CHECK(run.text[0] != 0);
    return run;
}

TEST(a_staged_file_that_is_gone_or_changed_is_refused) {
    check_path_text path = check_path();
    rds_token tokens[2] = {stage_rows(path.text, 0, ROWS), {NULL, 0}};
    check_path_text file = file_in(path.text, only_run(path.text).text, ".lance");
    tokens[1] = stage_rows(path.text, ROWS, ROWS);
    FILE *changed = fopen(file.text, "r+");
    REQUIRE(CHECK(changed != NULL));
    int first = fgetc(changed);
    rewind(changed);
    CHECK(fputc(first ^ 1, changed) != EOF && fclose(changed) == 0);
    check_refused(path.text, tokens, 2, RDS_MODE_CREATE, RDS_ERR_CORRUPT, "token 0");
    CHECK(truncate(file.text, size_of(file.text) - 8) == 0);
    check_refused(path.text, tokens, 2, RDS_MODE_CREATE, RDS_ERR_CORRUPT, "token 0");
    CHECK(unlink(file.text) == 0);
    check_refused(path.text, tokens, 2, RDS_MODE_CREATE, RDS_ERR_NOT_FOUND, "token 0");
    /* The other one is as good as before. */
    CHECK_OK(publish(path.text, tokens + 1, 1, RDS_MODE_CREATE, NULL));
    CHECK_NUMBER(table_rows(path.text), ROWS);
    token_free(tokens[0]);
    token_free(tokens[1]);
}

CHECK_MAIN(RUN(a_token_with_any_byte_changed_is_refused),
           RUN(a_token_that_was_cut_or_has_grown_is_refused),
           RUN(nothing_and_garbage_are_no_tokens),
           RUN(a_token_names_files_of_its_run_only),
           RUN(a_token_of_another_format_is_not_supported),
           RUN(a_token_of_another_table_is_not_found),
           RUN(a_token_given_twice_or_published_already_is_refused),
           RUN(tokens_of_different_rows_are_refused),
           RUN(rows_that_do_not_fit_the_table_are_not_appended_but_may_replace_it),
           RUN(the_mode_says_whether_there_may_be_a_table),
           RUN(a_staged_file_that_is_gone_or_changed_is_refused))
