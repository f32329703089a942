/* Tokens, as a program keeps or sends them. */
#ifndef STAGING_H
#define STAGING_H

#include "files.h"

/* The token of all that a writer has written, copied. */
static inline rds_token stage(rds_writer *writer) {
    rds_token token = {NULL, 0};
    if (!CHECK_OK(rds_writer_stage(writer, &token))) return token;
    CHECK(token.data != NULL && token.length > 0);
    uint8_t *copy = (uint8_t *)malloc(token.length);
    memcpy(copy, token.data, token.length);
    token.data = copy;
    return token;
}

static inline void token_free(rds_token token) { free((void *)(uintptr_t)token.data); }

/* A token for rows first .. first + count - 1 of the table at `path`; its writer is closed. */
static inline rds_token stage_rows(const char *path, uint64_t first, uint64_t count) {
    rds_writer *writer = table_writer(path, RDS_MODE_STAGED, RDS_DURABILITY_INTERVAL);
    if (count) CHECK_OK(table_write(writer, first, count));
    rds_token token = stage(writer);
    CHECK_OK(rds_writer_close(writer));
    return token;
}

/* How many files of that suffix lie in directories of runs. A token's lie there until it is published. */
static inline int run_files(const char *path, const char *suffix) {
    check_path_text runs = path_below(path, "lance_db/results.lance/_rds");
    DIR *entries = opendir(runs.text);
    int count = 0;
    for (struct dirent *entry; entries && (entry = readdir(entries));) {
        if (entry->d_name[0] == '.') continue;
        check_path_text run = path_below("_rds", entry->d_name);
        count += files_named(path, run.text, "", suffix);
    }
    if (entries) closedir(entries);
    return count;
}

static inline rds_status publish(const char *path, const rds_token *tokens, size_t count,
                                 uint32_t mode, rds_commit_info *info) {
    rds_commit_staged_options options = RDS_COMMIT_STAGED_OPTIONS_INIT;
    options.mode = mode;
    return rds_commit_staged(path, tokens, count, &options, info);
}

#endif
