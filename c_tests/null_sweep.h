/* Calls with NULL for one pointer, each of which is remembered, so that none is forgotten. */
#ifndef NULL_SWEEP_H
#define NULL_SWEEP_H

#include "table.h"

#define MAX_SEEN 256

static char seen[MAX_SEEN][64];
static int seen_count;

static void record(const char *function, const char *parameter) {
    if (seen_count < MAX_SEEN) {
        snprintf(seen[seen_count++], sizeof seen[0], "%s:%s", function, parameter);
    }
}

static void verify(const char *function, const char *parameter, rds_status expected,
                   rds_status got, int line) {
    char start[96];
    record(function, parameter);
    check_status(got, expected, function, __FILE__, line);
    if (got == RDS_OK) return;
    snprintf(start, sizeof start, "%s: ", function);
    const char *message = rds_last_error_message();
    check_that(strncmp(message, start, strlen(start)) == 0, "the message names the function",
               __FILE__, line);
    check_that(strlen(message) > strlen(start), "the message says what", __FILE__, line);
    CHECK_NUMBER(rds_last_error_status(), expected);
}

/* `parameter` is the one that is NULL in `arguments`. Another function fails first, so that a
 * message that this one left before cannot pass for its own. */
#define SWEEP(function, parameter, expected, arguments) \
    do { \
        CHECK_STATUS(rds_check_abi(0), RDS_ERR_NOT_SUPPORTED); \
        verify(#function, #parameter, expected, function arguments, __LINE__); \
    } while (0)

/* A function without pointers. */
#define CALLED(function, condition) \
    do { \
        record(#function, ""); \
        CHECK(condition); \
    } while (0)

#endif
