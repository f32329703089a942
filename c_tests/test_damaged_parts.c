/* Parts whose files are damaged, cut, exchanged or gone: no row of them is published, and the file is named. */
#include <sys/resource.h>

#include "child.h"
#include "forge_token.h"
#include "parts.h"

/* ROWS_OF_HEAD: where a block says how many rows it has. */
enum { EACH = 40, ROWS_OF_HEAD = 4 };

/* Neither published nor packed; then the parts are as they were. */
static void check_refused(const char *path, const rds_token *tokens, size_t count, rds_status status,
                          const char *file, const char *token) {
    CHECK_STATUS(commit_job(path, "job", tokens, count, RDS_MODE_CREATE, NULL), status);
    CHECK_MESSAGE_HAS("rds_commit_staged: ");
    CHECK_MESSAGE_HAS(token);
    CHECK_MESSAGE_HAS(file);
    CHECK_NUMBER(versions(path), 0);
    CHECK_NUMBER(data_files(path), 0);
    uint64_t rows = 9;
    CHECK_STATUS(rds_pack_parts(path, "job", tokens, count, NULL, &rows), status);
    CHECK_MESSAGE_HAS(file);
    CHECK_NUMBER(rows, 0);
}

static check_path_text two_parts(rds_token *tokens) {
    check_path_text path = check_path();
    for (uint64_t i = 0; i < 2; i++) tokens[i] = small_part(path.text, "job", i, i * EACH, EACH, EACH);
    return path;
}

/* Where the rows of a part end: its token and the length of that are behind them. */
static long end_of_rows(const char *file, rds_token token) { return size_of(file) - 16 - (long)token.length; }

TEST(any_byte_of_a_part_that_is_damaged_is_found) {
    rds_token tokens[2];
    check_path_text path = two_parts(tokens), file = job_file(path.text, "job", "1-");
    long end = end_of_rows(file.text, tokens[1]);
    CHECK(end > EACH * SMALL);
    for (long at = 0; at < end; at++) {
        flip(file.text, at, (unsigned char)(1u << at % 8));
        check_refused(path.text, tokens, 2, RDS_ERR_CORRUPT, file.text, "token 1");
        flip(file.text, at, (unsigned char)(1u << at % 8));
        if (check_failures) return;
    }
    CHECK_OK(commit_job(path.text, "job", tokens, 2, RDS_MODE_CREATE, NULL));
    small_check(path.text, 2 * EACH);
    tokens_free(tokens, 2);
}

TEST(a_part_that_is_cut_is_found) {
    rds_token tokens[2];
    check_path_text path = two_parts(tokens), file = job_file(path.text, "job", "0-");
    for (long size = end_of_rows(file.text, tokens[0]) - 1; size >= 0; size -= 1 + size / 20) {
        CHECK(truncate(file.text, size) == 0);
        check_refused(path.text, tokens, 2, RDS_ERR_CORRUPT, file.text, "token 0");
        CHECK_MESSAGE_HAS("write the part again");
    }
    tokens_free(tokens, 2);
}

/* Each has several blocks, which are found by what stands before them. */
TEST(a_large_part_that_is_damaged_anywhere_is_found) {
    enum { ROWS = 400000 };
    check_path_text path = check_path();
    rds_token tokens[2] = {small_part(path.text, "job", 0, 0, ROWS, 30000),
                           small_part(path.text, "job", 1, ROWS, ROWS, ROWS)};
    for (int part = 0; part < 2; part++) {
        check_path_text file = job_file(path.text, "job", part ? "1-" : "0-");
        long end = end_of_rows(file.text, tokens[part]);
        for (long i = 0; i < 12; i++) {
            /* The first bytes, the last one, and some between them. */
            long at = i < 4 ? i * 5 : end - 1 - (i - 4) * (end / 9);
            flip(file.text, at, 0x81);
            check_refused(path.text, tokens, 2, RDS_ERR_CORRUPT, file.text, part ? "token 1" : "token 0");
            flip(file.text, at, 0x81);
        }
    }
    CHECK_OK(commit_job(path.text, "job", tokens, 2, RDS_MODE_CREATE, NULL));
    small_check(path.text, 2 * ROWS);
    tokens_free(tokens, 2);
}

/* Rows before those of a file are passed by, and count. */
TEST(what_is_damaged_after_the_first_file_was_packed_shifts_no_row_of_the_next) {
    rds_pack_parts_options options = RDS_PACK_PARTS_OPTIONS_INIT;
    const uint64_t rows = FILE_ROWS + 100000;
    for (long bits = 1; bits < 256; bits *= 4) {
        check_path_text path = check_path();
        rds_token token = small_part(path.text, "job", 0, 0, rows, 200000);
        CHECK_NUMBER(pack_share(path.text, "job", &token, 1, 0, 2), FILE_ROWS);
        check_path_text file = job_file(path.text, "job", "0-");
        flip(file.text, ROWS_OF_HEAD, (unsigned char)bits);
        options.share = 1, options.shares = 2;
        rds_status packed = rds_pack_parts(path.text, "job", &token, 1, &options, NULL);
        CHECK(packed == RDS_OK || packed == RDS_ERR_CORRUPT);
        /* Rows that were copied before are as good as those that can be read: the table is right, or there is none. */
        rds_status published = commit_job(path.text, "job", &token, 1, RDS_MODE_CREATE, NULL);
        CHECK(published == RDS_OK || published == RDS_ERR_CORRUPT);
        if (published == RDS_OK) small_check(path.text, rows);
        else CHECK_NUMBER(versions(path.text), 0);
        token_free(token);
    }
}

TEST(a_part_in_the_place_of_another_one_is_found) {
    rds_token tokens[2];
    check_path_text path = two_parts(tokens), file = job_file(path.text, "job", "1-");
    rds_token longer = small_part(path.text, "job", 5, 500, 2 * EACH, EACH);
    rds_token shorter = small_part(path.text, "job", 6, 500, EACH / 2, EACH);
    const char *const others[] = {"5-", "6-"};
    for (int i = 0; i < 2; i++) {
        check_path_text other = job_file(path.text, "job", others[i]);
        CHECK(unlink(file.text) == 0 && link(other.text, file.text) == 0);
        check_refused(path.text, tokens, 2, RDS_ERR_CORRUPT, file.text, "token 1");
    }
    token_free(longer), token_free(shorter);
    tokens_free(tokens, 2);
}

TEST(a_part_that_was_removed_is_named_and_may_be_written_again) {
    rds_token tokens[2];
    check_path_text path = two_parts(tokens), file = job_file(path.text, "job", "0-");
    CHECK(unlink(file.text) == 0);
    check_refused(path.text, tokens, 2, RDS_ERR_NOT_FOUND, file.text, "token 0");
    token_free(tokens[0]);
    tokens[0] = small_part(path.text, "job", 0, 0, EACH, 7);
    CHECK_OK(commit_job(path.text, "job", tokens, 2, RDS_MODE_CREATE, NULL));
    small_check(path.text, 2 * EACH);
    tokens_free(tokens, 2);
}

TEST(a_token_that_is_damaged_is_refused_whatever_its_job) {
    rds_token tokens[2];
    check_path_text path = two_parts(tokens);
    uint8_t *bytes = (uint8_t *)malloc(tokens[1].length);
    for (size_t at = 0; at < tokens[1].length; at++) {
        memcpy(bytes, tokens[1].data, tokens[1].length);
        bytes[at] ^= (uint8_t)(1u << at % 8);
        const rds_token both[2] = {tokens[0], {bytes, tokens[1].length}};
        rds_status status = commit_job(path.text, "job", both, 2, RDS_MODE_CREATE, NULL);
        CHECK(status == RDS_ERR_CORRUPT || status == RDS_ERR_INVALID_ARGUMENT || status == RDS_ERR_NOT_SUPPORTED);
        CHECK_MESSAGE_HAS("token 1");
    }
    CHECK_NUMBER(versions(path.text), 0);
    CHECK_OK(commit_job(path.text, "job", tokens, 2, RDS_MODE_CREATE, NULL));
    free(bytes);
    tokens_free(tokens, 2);
}

static void publish_forged(void *data) {
    const char *const others[][2] = {{"\"shape\":[8]", "\"shape\":[9]"},
                                     {"\"rows\":40", "\"rows\":41"},
                                     {"\"rows\":40", "\"rows\":1099511627776"},
                                     {"\"bytes\":", "\"bytes\":0,\"x\":"},
                                     {"\"bytes\":", "\"bytes\":18446744073709551615,\"x\":"},
#ifndef __SANITIZE_ADDRESS__
                                     {"\"rows\":40", "\"rows\":9223372036854775807"},
                                     {"\"rows\":40", "\"rows\":18446744073709551615"},
#endif
    };
    const char *path = (const char *)data;
#ifndef __SANITIZE_ADDRESS__
    /* Whoever takes memory for so many rows is ended by it, and takes none from others. The sanitizer has more. */
    const struct rlimit most = {8ull << 30, 8ull << 30};
    CHECK(setrlimit(RLIMIT_AS, &most) == 0);
#endif
    rds_token tokens[2] = {small_part(path, "job", 0, 0, EACH, EACH), small_part(path, "job", 1, EACH, EACH, EACH)};
    for (size_t i = 0; i < 2 * sizeof others / sizeof others[0]; i++) {
        rds_token bad[2] = {forged(tokens[0], others[i / 2][0], others[i / 2][1]), tokens[1]};
        /* Parts of one job have the same columns. */
        if (i / 2 == 0) bad[1] = forged(tokens[1], others[0][0], others[0][1]);
        rds_status packed = rds_pack_parts(path, "job", bad, 1 + i % 2, NULL, NULL);
        rds_status published = commit_job(path, "job", bad, 1 + i % 2, RDS_MODE_CREATE, NULL);
        CHECK(packed == published);
        if (!CHECK(published == RDS_ERR_CORRUPT)) fprintf(stderr, "    %s\n", others[i / 2][1]);
        CHECK_NUMBER(versions(path), 0);
        token_free(bad[0]);
        if (i / 2 == 0) token_free(bad[1]);
    }
    CHECK_OK(commit_job(path, "job", tokens, 2, RDS_MODE_CREATE, NULL));
    small_check(path, 2 * EACH);
    tokens_free(tokens, 2);
}

TEST(a_token_that_says_more_than_its_part_has_is_refused) {
    check_path_text path = check_path();
    in_child(publish_forged, path.text);
}

CHECK_MAIN(RUN(a_token_that_says_more_than_its_part_has_is_refused),
           RUN(any_byte_of_a_part_that_is_damaged_is_found), RUN(a_part_that_is_cut_is_found),
           RUN(a_large_part_that_is_damaged_anywhere_is_found),
           RUN(what_is_damaged_after_the_first_file_was_packed_shifts_no_row_of_the_next),
           RUN(a_part_in_the_place_of_another_one_is_found),
           RUN(a_part_that_was_removed_is_named_and_may_be_written_again),
           RUN(a_token_that_is_damaged_is_refused_whatever_its_job))
