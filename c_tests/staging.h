/* Tokens, as a program keeps or sends them. */
#ifndef STAGING_H
#define STAGING_H

#include "files.h"

/* The token of all that a writer has written, copied. */
static inline rds_token stage(rds_writer *writer) {
    rds_token token = {NULL, 0};
    if (!CHECK_OK(rds_writer_stage(writer, &token.data, &token.length))) return token;
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

static inline rds_status publish(const char *path, const rds_token *tokens, size_t count,
                                 uint32_t mode, rds_commit_info *info) {
    rds_commit_staged_options options = RDS_COMMIT_STAGED_OPTIONS_INIT;
    options.mode = mode;
    return rds_commit_staged(path, tokens, count, &options, info);
}

#endif
