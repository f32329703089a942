/* Parts of jobs of small rows: row r is eight bytes that follow from r, and its id is r in decimal, so that a table of
 * several data files is made soon. */
#ifndef PARTS_H
#define PARTS_H

#include "staging.h"

/* What a data file has, at most. */
#define FILE_ROWS (1u << 20)

enum { SMALL = 8, MOST_PARTS = 64, MOST_LISTED = 64 };

static inline uint64_t small_value(uint64_t row) { return (row + 1) * 0x9e3779b97f4a7c15u; }

/* Rows first .. first + count - 1. */
static inline rds_status small_write(rds_writer *writer, uint64_t first, uint64_t count) {
    uint64_t *values = (uint64_t *)calloc(2 * count + 1, sizeof *values), *numbers = values + count;
    const int64_t shape[2] = {(int64_t)count, SMALL};
    for (uint64_t i = 0; i < count; i++) values[i] = small_value(first + i), numbers[i] = first + i;
    const rds_ids ids = ids_of(RDS_IDS_UINT64, count, numbers);
    const rds_tensor tensor = tensor_of(RDS_DTYPE_UINT8, 2, shape, values);
    rds_status status = rds_write_tensors(writer, &ids, &tensor, 1);
    free(values);
    return status;
}

static inline rds_writer *part_writer(const char *path, const char *job, uint64_t part) {
    rds_writer *writer = NULL;
    rds_writer_options options = RDS_WRITER_OPTIONS_INIT;
    options.mode = RDS_MODE_STAGED, options.job = job, options.part = part;
    CHECK_OK(rds_writer_open(path, &options, &writer));
    return writer;
}

/* A part of rows first .. first + count - 1, written in batches of so many. */
static inline rds_token small_part(const char *path, const char *job, uint64_t part, uint64_t first, uint64_t count,
                                   uint64_t batch) {
    rds_writer *writer = part_writer(path, job, part);
    for (uint64_t done = 0; done < count; done += batch) {
        CHECK_OK(small_write(writer, first + done, count - done < batch ? count - done : batch));
    }
    rds_token token = stage(writer);
    CHECK_OK(rds_writer_close(writer));
    return token;
}

static inline void tokens_free(rds_token *tokens, size_t count) {
    for (size_t i = 0; i < count; i++) token_free(tokens[i]);
}

static inline rds_status commit_job(const char *path, const char *job, const rds_token *tokens, size_t count,
                                    uint32_t mode, rds_commit_info *info) {
    rds_commit_staged_options options = RDS_COMMIT_STAGED_OPTIONS_INIT;
    options.mode = mode, options.job = job;
    return rds_commit_staged(path, tokens, count, &options, info);
}

/* How many rows the files of the share have; the call must succeed. */
static inline uint64_t pack_share(const char *path, const char *job, const rds_token *tokens, size_t count,
                                  uint64_t share, uint64_t shares) {
    uint64_t rows = 12345;
    rds_pack_parts_options options = RDS_PACK_PARTS_OPTIONS_INIT;
    options.share = share, options.shares = shares;
    CHECK_OK(rds_pack_parts(path, job, tokens, count, &options, &rows));
    return rows;
}

/* The table has rows 0 .. rows - 1, and no others. */
static inline void small_check(const char *path, uint64_t rows) {
    uint64_t *values = (uint64_t *)calloc(rows + 1, sizeof *values), wrong = 0, first_wrong = UINT64_MAX;
    struct ArrowArray ids;
    rds_reader *reader = table_reader(path);
    CHECK_NUMBER(table_info(reader).rows, rows);
    CHECK_OK(rds_reader_read_range(reader, 0, 0, rows, values, rows * sizeof *values));
    if (CHECK_OK(rds_reader_ids(reader, 0, rows, NULL, &ids))) {
        const int64_t *offsets = (const int64_t *)ids.buffers[1] + ids.offset;
        for (uint64_t row = 0; row < rows; row++) {
            char name[24];
            int length = snprintf(name, sizeof name, "%llu", (unsigned long long)row);
            int is_right = values[row] == small_value(row) && offsets[row + 1] - offsets[row] == length &&
                           memcmp((const char *)ids.buffers[2] + offsets[row], name, (size_t)length) == 0;
            if (!is_right && !wrong++) first_wrong = row;
        }
        ids.release(&ids);
    }
    if (!CHECK_NUMBER(wrong, 0)) fprintf(stderr, "    from row %llu on\n", (unsigned long long)first_wrong);
    CHECK_OK(rds_reader_close(reader));
    free(values);
}

/* Where a job lies whose name is letters, digits, - and _. */
static inline check_path_text job_directory(const char *path, const char *job) {
    check_path_text directory;
    CHECK(snprintf(directory.text, sizeof directory.text, "%s/lance_db/results.lance/_rds/jobs/%s", path, job) > 0);
    return directory;
}

/* Where those of its parts lie whose numbers are below 256. */
static inline check_path_text group_directory(const char *path, const char *job) {
    return path_below(job_directory(path, job).text, "0");
}

/* The file of such a part whose name begins so; the last of several. */
static inline check_path_text job_file(const char *path, const char *job, const char *prefix) {
    check_path_text directory = group_directory(path, job), found = {""};
    DIR *entries = opendir(directory.text);
    for (struct dirent *entry; entries && (entry = readdir(entries));) {
        if (strncmp(entry->d_name, prefix, strlen(prefix)) == 0) found = path_below(directory.text, entry->d_name);
    }
    if (entries) closedir(entries);
    return found;
}

/* Neither a job nor a run has left anything. */
static inline void check_nothing_waits(const char *path) {
    check_path_text runs = path_below(path, "lance_db/results.lance/_rds");
    CHECK(access(runs.text, F_OK) != 0);
}

/* Damages a byte of a file, or puts it back. */
static inline void flip(const char *file, long at, unsigned char bits) {
    unsigned char byte = 0;
    FILE *open = fopen(file, "r+b");
    if (!CHECK(open != NULL)) return;
    CHECK(fseek(open, at, SEEK_SET) == 0 && fread(&byte, 1, 1, open) == 1);
    byte ^= bits;
    CHECK(fseek(open, at, SEEK_SET) == 0 && fwrite(&byte, 1, 1, open) == 1);
    CHECK(fclose(open) == 0);
}

/* What rds_list_parts() tells, in its order. */
struct listing {
    size_t count;
    /* After how many it is to stop; 0 if never. */
    size_t most;
    struct {
        char job[1100];
        uint64_t first, last;
        rds_token token;
    } parts[MOST_LISTED];
};

static inline int listing_add(void *user, const char *job, uint64_t first, uint64_t last, const rds_token *token) {
    struct listing *listing = (struct listing *)user;
    if (!CHECK(listing->count < MOST_LISTED)) return 1;
    size_t i = listing->count++;
    snprintf(listing->parts[i].job, sizeof listing->parts[i].job, "%s", job);
    listing->parts[i].first = first, listing->parts[i].last = last;
    if (token) {
        uint8_t *copy = (uint8_t *)malloc(token->length);
        memcpy(copy, token->data, token->length);
        listing->parts[i].token = (rds_token){copy, token->length};
    }
    return listing->count == listing->most;
}

/* Of one job, or of all if it is NULL. The caller frees it by listing_free(). */
static inline struct listing *list_of(const char *path, const char *job) {
    struct listing *listing = (struct listing *)calloc(1, sizeof *listing);
    CHECK_OK(rds_list_parts(path, job, NULL, listing_add, listing));
    return listing;
}

static inline void listing_free(struct listing *listing) {
    for (size_t i = 0; i < listing->count; i++) token_free(listing->parts[i].token);
    free(listing);
}

/* One of them is of these parts; `token` is NULL if a version is to have them. */
static inline void check_listed(const struct listing *listing, size_t i, const char *job, uint64_t first,
                                uint64_t last, const rds_token *token) {
    if (!CHECK(i < listing->count)) return;
    const rds_token told = listing->parts[i].token;
    CHECK_TEXT(listing->parts[i].job, job);
    CHECK_NUMBER(listing->parts[i].first, first);
    CHECK_NUMBER(listing->parts[i].last, last);
    CHECK((told.data != NULL) == (token != NULL));
    if (token) CHECK(told.length == token->length && told.data && memcmp(told.data, token->data, told.length) == 0);
}

/* How many parts of a job wait. */
static inline size_t parts_that_wait(const char *path, const char *job) {
    struct listing *listing = list_of(path, job);
    size_t waiting = 0;
    for (size_t i = 0; i < listing->count; i++) waiting += listing->parts[i].token.data != NULL;
    listing_free(listing);
    return waiting;
}

#endif
