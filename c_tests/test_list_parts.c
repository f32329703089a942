/* What is told of the parts of jobs: those that a version has, and those that wait. */
#include "parts.h"

enum { EACH = 10, LONG_NAME = 1000 };

static rds_token part(const char *path, const char *job, uint64_t number) {
    return small_part(path, job, number, number * EACH, EACH, EACH);
}

TEST(parts_that_a_version_has_come_first_and_each_job_in_order) {
    check_path_text path = check_path();
    const uint64_t numbers[] = {11, 2, 0, 3, UINT64_MAX, 1}, waiting[] = {300, 20, 4};
    rds_token done[6], left[4];
    for (int i = 0; i < 6; i++) done[i] = small_part(path.text, "done", numbers[i], 0, 1, 1);
    CHECK_OK(commit_job(path.text, "done", done, 6, RDS_MODE_CREATE, NULL));
    for (int i = 0; i < 3; i++) left[i] = part(path.text, "left", waiting[i]);
    left[3] = part(path.text, "done", 5);
    struct listing *all = list_of(path.text, NULL);
    CHECK_NUMBER(all->count, 7);
    check_listed(all, 0, "done", 0, 3, NULL);
    check_listed(all, 1, "done", 11, 11, NULL);
    check_listed(all, 2, "done", UINT64_MAX, UINT64_MAX, NULL);
    check_listed(all, 3, "done", 5, 5, &left[3]);
    check_listed(all, 4, "left", 4, 4, &left[2]);
    check_listed(all, 5, "left", 20, 20, &left[1]);
    check_listed(all, 6, "left", 300, 300, &left[0]);
    listing_free(all);
    struct listing *one = list_of(path.text, "left");
    CHECK_NUMBER(one->count, 3);
    check_listed(one, 0, "left", 4, 4, &left[2]);
    listing_free(one);
    one = list_of(path.text, "done");
    CHECK_NUMBER(one->count, 4);
    check_listed(one, 3, "done", 5, 5, &left[3]);
    listing_free(one);
    one = list_of(path.text, "lef");
    CHECK_NUMBER(one->count, 0);
    listing_free(one);
    tokens_free(done, 6);
    tokens_free(left, 4);
}

TEST(one_part_is_told_whoever_has_it) {
    check_path_text path = check_path();
    rds_token tokens[3] = {part(path.text, "a", 0), part(path.text, "a", 1), part(path.text, "b", 1)};
    CHECK_OK(commit_job(path.text, NULL, tokens, 1, RDS_MODE_CREATE, NULL));
    const uint64_t one = 1, none = 10, shown = 0;
    for (int of_one = 0; of_one < 2; of_one++) {
        struct listing listing = {0};
        CHECK_OK(rds_list_parts(path.text, of_one ? "a" : NULL, &one, listing_add, &listing));
        CHECK_NUMBER(listing.count, of_one ? 1 : 2);
        check_listed(&listing, 0, "a", 1, 1, &tokens[1]);
        if (!of_one) check_listed(&listing, 1, "b", 1, 1, &tokens[2]);
        for (size_t i = 0; i < listing.count; i++) token_free(listing.parts[i].token);
    }
    struct listing listing = {0};
    CHECK_OK(rds_list_parts(path.text, "a", &none, listing_add, &listing));
    CHECK_NUMBER(listing.count, 0);
    CHECK_OK(rds_list_parts(path.text, "a", &shown, listing_add, &listing));
    CHECK_NUMBER(listing.count, 1);
    check_listed(&listing, 0, "a", 0, 0, NULL);
    tokens_free(tokens, 3);
}

TEST(a_callback_ends_the_list) {
    check_path_text path = check_path();
    rds_token tokens[4];
    for (uint64_t i = 0; i < 4; i++) tokens[i] = part(path.text, "job", i);
    CHECK_OK(commit_job(path.text, NULL, tokens, 1, RDS_MODE_CREATE, NULL));
    for (size_t most = 1; most <= 4; most++) {
        struct listing listing = {.most = most};
        CHECK_OK(rds_list_parts(path.text, NULL, NULL, listing_add, &listing));
        CHECK_NUMBER(listing.count, most);
        check_listed(&listing, most - 1, "job", most - 1, most - 1, most == 1 ? NULL : &tokens[most - 1]);
        for (size_t i = 0; i < listing.count; i++) token_free(listing.parts[i].token);
    }
    tokens_free(tokens, 4);
}

/* Names are text: what file systems would take for something else, and what is longer than they can have. */
TEST(jobs_may_have_any_name_and_are_told_by_it) {
    enum { NAMES = 20 };
    static char long_names[4][LONG_NAME + 1];
    const char *names[NAMES] = {".", "..", "../x", "a/b", "/", "a", "A", "%61", "a%2fb", "~", "a b", "\n\t\x01\x7f",
                                "caf\xc3\xa9", "\xf0\x9f\x92\xbe", "0-1,2=3", "x.writing"};
    for (int i = 0; i < 4; i++) {
        memset(long_names[i], i < 2 ? 'x' : '/', LONG_NAME);
        if (i % 2) long_names[i][LONG_NAME - 1] = 'y';
        names[16 + i] = long_names[i];
    }
    check_path_text path = check_path();
    rds_token tokens[NAMES];
    for (uint64_t i = 0; i < NAMES; i++) tokens[i] = small_part(path.text, names[i], i, i * EACH, EACH, EACH);
    for (uint64_t i = 0; i < NAMES; i++) {
        struct listing *one = list_of(path.text, names[i]);
        CHECK_NUMBER(one->count, 1);
        check_listed(one, 0, names[i], i, i, &tokens[i]);
        listing_free(one);
    }
    for (uint64_t i = 0; i < NAMES; i++) {
        CHECK_NUMBER(parts_that_wait(path.text, NULL), NAMES - i);
        uint32_t mode = i ? RDS_MODE_APPEND : RDS_MODE_CREATE;
        CHECK_OK(commit_job(path.text, names[i], &tokens[i], 1, mode, NULL));
        struct listing *one = list_of(path.text, names[i]);
        CHECK_NUMBER(one->count, 1);
        check_listed(one, 0, names[i], i, i, NULL);
        listing_free(one);
    }
    small_check(path.text, NAMES * EACH);
    check_nothing_waits(path.text);
    tokens_free(tokens, NAMES);
}

TEST(of_several_tasks_of_one_part_one_is_told_and_always_the_same) {
    check_path_text path = check_path();
    rds_token tokens[5];
    for (int i = 0; i < 5; i++) tokens[i] = part(path.text, "job", 3);
    struct listing *first = list_of(path.text, NULL);
    CHECK_NUMBER(first->count, 1);
    for (int i = 0; i < 3; i++) {
        struct listing *again = list_of(path.text, i % 2 ? NULL : "job");
        CHECK_NUMBER(again->count, 1);
        check_listed(again, 0, "job", 3, 3, &first->parts[0].token);
        listing_free(again);
    }
    CHECK_OK(commit_job(path.text, "job", &first->parts[0].token, 1, RDS_MODE_CREATE, NULL));
    check_nothing_waits(path.text);
    listing_free(first);
    tokens_free(tokens, 5);
}

/* What stands behind the rows: the token, and where it begins. */
TEST(a_part_whose_token_is_damaged_is_left_out) {
    check_path_text path = check_path();
    rds_token tokens[2] = {part(path.text, "job", 0), part(path.text, "job", 1)};
    check_path_text file = job_file(path.text, "job", "0-");
    long size = size_of(file.text), told = 0, all = 0;
    for (long at = size - 16 - (long)tokens[0].length; at < size; at++, all++) {
        flip(file.text, at, 0x5a);
        struct listing *listing = list_of(path.text, NULL);
        told += listing->count != 1;
        check_listed(listing, 0, "job", 1, 1, &tokens[1]);
        listing_free(listing);
        flip(file.text, at, 0x5a);
    }
    CHECK_NUMBER(told, 0);
    CHECK(all > 100);
    CHECK_NUMBER(parts_that_wait(path.text, "job"), 2);
    /* Put back, it is as good as it was. */
    CHECK_OK(commit_job(path.text, "job", tokens, 2, RDS_MODE_CREATE, NULL));
    small_check(path.text, 2 * EACH);
    tokens_free(tokens, 2);
}

TEST(a_part_that_is_cut_is_left_out) {
    check_path_text path = check_path();
    rds_token tokens[2] = {part(path.text, "job", 0), part(path.text, "job", 1)};
    check_path_text file = job_file(path.text, "job", "1-");
    for (long size = size_of(file.text) - 1; size >= 0; size -= 1 + size / 50) {
        CHECK(truncate(file.text, size) == 0);
        struct listing *listing = list_of(path.text, "job");
        CHECK_NUMBER(listing->count, 1);
        check_listed(listing, 0, "job", 0, 0, &tokens[0]);
        listing_free(listing);
    }
    tokens_free(tokens, 2);
}

TEST(files_that_are_no_parts_are_left_out) {
    check_path_text path = check_path();
    rds_token tokens[2] = {part(path.text, "job", 0), part(path.text, "other", 1)};
    const char *const names[] = {"x", "1-", "-", "7-00000000000000000000000000000000.writing", "7-zz",
                                 "18446744073709551616-00000000000000000000000000000000",
                                 "7-00000000000000000000000000000000"};
    check_path_text directory = group_directory(path.text, "job"), other = job_file(path.text, "other", "1-");
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        FILE *file = fopen(path_below(directory.text, names[i]).text, "w");
        CHECK(file && fputs("nothing of ours", file) >= 0 && fclose(file) == 0);
    }
    CHECK(mkdir(path_below(directory.text, "8-00000000000000000000000000000000").text, 0777) == 0);
    /* A part that lies where another one would is not taken for it. */
    CHECK(link(other.text, path_below(directory.text, strrchr(other.text, '/') + 1).text) == 0);
    struct listing *listing = list_of(path.text, NULL);
    CHECK_NUMBER(listing->count, 2);
    check_listed(listing, 0, "job", 0, 0, &tokens[0]);
    check_listed(listing, 1, "other", 1, 1, &tokens[1]);
    listing_free(listing);
    tokens_free(tokens, 2);
}

TEST(a_place_without_parts_or_without_a_table) {
    check_path_text path = check_path(), none = check_path();
    struct listing listing = {0};
    CHECK_STATUS(rds_list_parts(none.text, NULL, NULL, listing_add, &listing), RDS_ERR_NOT_FOUND);
    CHECK_MESSAGE_HAS("rds_list_parts: there is nothing at ");
    CHECK_STATUS(rds_list_parts("s3://bucket/t", NULL, NULL, listing_add, &listing), RDS_ERR_NOT_SUPPORTED);
    CHECK_STATUS(rds_list_parts(path.text, "\xff", NULL, listing_add, &listing), RDS_ERR_INVALID_ARGUMENT);
    table_make(path.text, 3);
    CHECK_OK(rds_list_parts(path.text, NULL, NULL, listing_add, &listing));
    CHECK_NUMBER(listing.count, 0);
}

CHECK_MAIN(RUN(parts_that_a_version_has_come_first_and_each_job_in_order), RUN(one_part_is_told_whoever_has_it),
           RUN(a_callback_ends_the_list),
           RUN(jobs_may_have_any_name_and_are_told_by_it),
           RUN(of_several_tasks_of_one_part_one_is_told_and_always_the_same),
           RUN(a_part_whose_token_is_damaged_is_left_out), RUN(a_part_that_is_cut_is_left_out),
           RUN(files_that_are_no_parts_are_left_out), RUN(a_place_without_parts_or_without_a_table))
