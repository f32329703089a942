/* The data files of a job are made by many calls before they are published: a commit finds them and makes the rest, and
 * whoever is late, is called twice or dies does no harm. */
#include "parts.h"

#include <pthread.h>

#include "processes.h"

enum { COUNT = 4, SHARES = 3, EXTRA = 5000 };

/* Two full files and a third: part 0 has most of the first, part 2 crosses into the third. */
static const uint64_t part_rows[COUNT] = {FILE_ROWS - 100, 0, FILE_ROWS + 200, EXTRA - 100};
#define ALL_ROWS (2ull * FILE_ROWS + EXTRA)

static check_path_text three_files(rds_token *tokens) {
    check_path_text path = check_path();
    uint64_t first = 0;
    for (uint64_t i = 0; i < COUNT; first += part_rows[i++]) {
        tokens[i] = small_part(path.text, "job", i, first, part_rows[i], 70000);
    }
    return path;
}

struct found {
    size_t count;
    ino_t numbers[16];
};

/* The data files in a directory of the table, by what stays when they are renamed or linked. */
static struct found files_of(const char *directory) {
    struct found found = {0, {0}};
    DIR *entries = opendir(directory);
    for (struct dirent *entry; entries && (entry = readdir(entries));) {
        struct stat info;
        check_path_text file = path_below(directory, entry->d_name);
        if (!strstr(entry->d_name, ".lance") || !CHECK(stat(file.text, &info) == 0)) continue;
        if (CHECK(found.count < 16)) found.numbers[found.count++] = info.st_ino;
    }
    if (entries) closedir(entries);
    return found;
}

static int has_all(const struct found *of, const struct found *these) {
    size_t missing = 0;
    for (size_t i = 0; i < these->count; i++) {
        size_t at = 0;
        while (at < of->count && of->numbers[at] != these->numbers[i]) at++;
        missing += at == of->count;
    }
    return missing == 0;
}

static check_path_text packed_directory(const char *path) {
    return path_below(job_directory(path, "job").text, "packed");
}

static struct found packed_files(const char *path) { return files_of(packed_directory(path).text); }

static struct found table_files(const char *path) {
    return files_of(path_below(path, "lance_db/results.lance/data").text);
}

static void check_published(const char *path, const rds_token *tokens, const struct found *packed, size_t files) {
    rds_commit_info info = RDS_COMMIT_INFO_INIT;
    CHECK_OK(commit_job(path, "job", tokens, COUNT, RDS_MODE_CREATE, &info));
    CHECK_NUMBER(info.rows, ALL_ROWS);
    CHECK_NUMBER(info.data_files, files);
    struct found table = table_files(path);
    CHECK_NUMBER(table.count, files);
    CHECK(has_all(&table, packed));
    check_nothing_waits(path);
    small_check(path, ALL_ROWS);
}

TEST(shares_in_any_order_and_twice_are_all_that_a_commit_names) {
    rds_token tokens[COUNT];
    check_path_text path = three_files(tokens);
    const uint64_t order[] = {2, 0, 2, 1, 0}, rows[] = {EXTRA, FILE_ROWS, EXTRA, FILE_ROWS, FILE_ROWS};
    for (int i = 0; i < 5; i++) {
        struct found before = packed_files(path.text);
        CHECK_NUMBER(pack_share(path.text, "job", tokens, COUNT, order[i], SHARES), rows[i]);
        struct found after = packed_files(path.text);
        CHECK(has_all(&after, &before));
        CHECK_NUMBER(after.count, before.count + (i != 2 && i != 4));
    }
    /* Of more shares than files the last ones have none. */
    CHECK_NUMBER(pack_share(path.text, "job", tokens, COUNT, 3, 7), 0);
    CHECK_NUMBER(pack_share(path.text, "job", tokens, COUNT, 0, 2), FILE_ROWS + EXTRA);
    CHECK_NUMBER(versions(path.text), 0);
    struct found packed = packed_files(path.text);
    CHECK_NUMBER(packed.count, SHARES);
    check_published(path.text, tokens, &packed, SHARES);
    tokens_free(tokens, COUNT);
}

TEST(a_commit_makes_what_it_does_not_find) {
    rds_token tokens[COUNT];
    check_path_text path = three_files(tokens);
    CHECK_NUMBER(pack_share(path.text, "job", tokens, COUNT, 1, SHARES), FILE_ROWS);
    struct found packed = packed_files(path.text);
    CHECK_NUMBER(packed.count, 1);
    check_published(path.text, tokens, &packed, SHARES);
    tokens_free(tokens, COUNT);
}

/* Whether a file of text has some. */
static int says(const char *path, const char *text) {
    char content[4096] = {0};
    FILE *file = fopen(path, "r");
    CHECK(file && fread(content, 1, sizeof content - 1, file) > 0 && fclose(file) == 0);
    /* Behind its checksum. */
    return strstr(content + 4, text) != NULL;
}

/* Beside each file stands what it is: a file that is cut, or gone, is made again. */
TEST(a_packed_file_that_is_not_as_it_was_is_made_again) {
    rds_token tokens[COUNT];
    check_path_text path = three_files(tokens);
    for (uint64_t share = 0; share < SHARES; share++) pack_share(path.text, "job", tokens, COUNT, share, SHARES);
    check_path_text directory = packed_directory(path.text);
    DIR *entries = opendir(directory.text);
    for (struct dirent *entry; entries && (entry = readdir(entries));) {
        check_path_text file = path_below(directory.text, entry->d_name);
        if (strstr(entry->d_name, "-1-0.lance")) CHECK(unlink(file.text) == 0);
        if (strstr(entry->d_name, "-1-1.lance")) CHECK(truncate(file.text, 1000) == 0);
        if (strstr(entry->d_name, ".note") && says(file.text, "-1-2.lance")) CHECK(truncate(file.text, 20) == 0);
    }
    if (entries) closedir(entries);
    struct found none = {0, {0}};
    check_published(path.text, tokens, &none, SHARES);
    tokens_free(tokens, COUNT);
}

struct packer {
    pthread_t thread;
    const char *path;
    const rds_token *tokens;
    uint64_t share, shares, *go;
};

static void *pack_on_thread(void *data) {
    const struct packer *own = (const struct packer *)data;
    shared_await(own->go, 1);
    pack_share(own->path, "job", own->tokens, COUNT, own->share, own->shares);
    return NULL;
}

TEST(threads_may_make_the_same_files_at_the_same_time) {
    enum { THREADS = 4 };
    rds_token tokens[COUNT];
    check_path_text path = three_files(tokens);
    struct packer packers[THREADS];
    uint64_t go = 0;
    for (uint64_t i = 0; i < THREADS; i++) {
        /* Two of them do all. */
        packers[i] = (struct packer){.path = path.text, .tokens = tokens, .share = i < 2 ? 0 : i - 2,
                                     .shares = i < 2 ? 1 : 2, .go = &go};
        CHECK(pthread_create(&packers[i].thread, NULL, pack_on_thread, &packers[i]) == 0);
    }
    shared_set(&go, 1);
    for (int i = 0; i < THREADS; i++) pthread_join(packers[i].thread, NULL);
    struct found none = {0, {0}};
    check_published(path.text, tokens, &none, SHARES);
    tokens_free(tokens, COUNT);
}

TEST(what_was_packed_for_others_is_not_taken) {
    check_path_text path = check_path();
    rds_token tokens[3];
    for (uint64_t i = 0; i < 3; i++) tokens[i] = small_part(path.text, "job", i, i * 10, 10, 10);
    CHECK_NUMBER(pack_share(path.text, "job", tokens, 2, 0, 1), 20);
    CHECK_NUMBER(pack_share(path.text, "job", tokens, 3, 0, 1), 30);
    rds_token again = small_part(path.text, "job", 1, 500, 10, 10);
    const rds_token other[3] = {tokens[0], again, tokens[2]};
    CHECK_NUMBER(pack_share(path.text, "job", other, 3, 0, 1), 30);
    rds_commit_info info = RDS_COMMIT_INFO_INIT;
    CHECK_OK(commit_job(path.text, "job", tokens, 3, RDS_MODE_CREATE, &info));
    CHECK_NUMBER(info.rows, 30);
    CHECK_NUMBER(data_files(path.text), 1);
    check_nothing_waits(path.text);
    small_check(path.text, 30);
    token_free(again);
    tokens_free(tokens, 3);
}

TEST(files_are_packed_for_a_table_that_is_added_to) {
    check_path_text path = check_path();
    rds_pack_parts_options options = RDS_PACK_PARTS_OPTIONS_INIT;
    rds_token first = small_part(path.text, "first", 0, 0, 10, 10), tokens[2];
    uint64_t rows = 0;
    options.mode = RDS_MODE_APPEND;
    CHECK_OK(commit_job(path.text, "first", &first, 1, RDS_MODE_CREATE, NULL));
    for (uint64_t i = 0; i < 2; i++) tokens[i] = small_part(path.text, "job", i, 10 + i * 10, 10, 10);
    CHECK_OK(rds_pack_parts(path.text, "job", tokens, 2, &options, &rows));
    CHECK_NUMBER(rows, 20);
    struct found packed = packed_files(path.text);
    CHECK_OK(commit_job(path.text, "job", tokens, 2, RDS_MODE_APPEND, NULL));
    struct found table = table_files(path.text);
    CHECK(packed.count == 1 && table.count == 2 && has_all(&table, &packed));
    small_check(path.text, 30);
    /* All parts are there: nothing is to be packed. */
    CHECK_OK(rds_pack_parts(path.text, "job", tokens, 2, &options, &rows));
    CHECK_NUMBER(rows, 0);
    token_free(first);
    tokens_free(tokens, 2);
}

TEST(what_cannot_be_packed_is_refused) {
    check_path_text path = check_path();
    rds_token tokens[2] = {small_part(path.text, "job", 0, 0, 10, 10), small_part(path.text, "jobs", 1, 10, 10, 10)};
    const rds_token twice[2] = {tokens[0], tokens[0]};
    uint64_t rows = 9;
    CHECK_STATUS(rds_pack_parts(path.text, "job", tokens, 2, NULL, &rows), RDS_ERR_INVALID_ARGUMENT);
    CHECK_MESSAGE_HAS("rds_pack_parts: token 1: it is no part of the job \"job\"");
    CHECK_NUMBER(rows, 0);
    CHECK_STATUS(rds_pack_parts(path.text, "job", twice, 2, NULL, &rows), RDS_ERR_ALREADY_EXISTS);
    const uint8_t nothing[4] = {1, 2, 3, 4};
    const rds_token none = {nothing, sizeof nothing};
    CHECK_STATUS(rds_pack_parts(path.text, "job", &none, 1, NULL, &rows), RDS_ERR_INVALID_ARGUMENT);
    CHECK(unlink(job_file(path.text, "job", "0-").text) == 0);
    CHECK_STATUS(rds_pack_parts(path.text, "job", tokens, 1, NULL, &rows), RDS_ERR_NOT_FOUND);
    CHECK_MESSAGE_HAS("token 0");
    CHECK_STATUS(rds_pack_parts("memory://a", "job", tokens, 1, NULL, &rows), RDS_ERR_NOT_SUPPORTED);
    tokens_free(tokens, 2);
}

CHECK_MAIN(RUN(shares_in_any_order_and_twice_are_all_that_a_commit_names), RUN(a_commit_makes_what_it_does_not_find),
           RUN(a_packed_file_that_is_not_as_it_was_is_made_again),
           RUN(threads_may_make_the_same_files_at_the_same_time), RUN(what_was_packed_for_others_is_not_taken),
           RUN(files_are_packed_for_a_table_that_is_added_to), RUN(what_cannot_be_packed_is_refused))
