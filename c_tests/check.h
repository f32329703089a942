/* A test harness in one header: tests in a table, checks that say where and why, a closing line
 * with the counts. A program that ran no test fails.
 *
 *   TEST(adding_works) { CHECK(1 + 1 == 2); }
 *   CHECK_MAIN(RUN(adding_works))
 *
 * Names given on the command line select tests.
 */
#ifndef CHECK_H
#define CHECK_H

#ifndef _XOPEN_SOURCE
#error "compile with -D_XOPEN_SOURCE=700, as run.py does"
#endif

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "rds.h"

#define TEST(name) static void name(void)
#define RUN(name) {#name, name}

struct check_test {
    const char *name;
    void (*run)(void);
};

/* Checks run on many threads. */
static int check_failures;
static int check_paths;
static char check_root[1024];

static inline int check_fail(const char *file, int line, const char *what) {
    __atomic_add_fetch(&check_failures, 1, __ATOMIC_SEQ_CST);
    fprintf(stderr, "%s:%d: %s\n    last error: %s\n", file, line, what, rds_last_error_message());
    return 0;
}

static inline int check_that(int holds, const char *text, const char *file, int line) {
    return holds ? 1 : check_fail(file, line, text);
}

static inline int check_status(rds_status got, rds_status expected, const char *call,
                               const char *file, int line) {
    char what[1024];
    if (got == expected) return 1;
    snprintf(what, sizeof what, "%s is %s, expected %s", call, rds_status_name((uint32_t)got),
             rds_status_name((uint32_t)expected));
    return check_fail(file, line, what);
}

static inline int check_number(long long got, long long expected, const char *text,
                               const char *file, int line) {
    char what[1024];
    if (got == expected) return 1;
    snprintf(what, sizeof what, "%s is %lld, expected %lld", text, got, expected);
    return check_fail(file, line, what);
}

static inline int check_text(const char *got, const char *expected, int whole, const char *file,
                             int line) {
    char what[2048];
    if (got && (whole ? strcmp(got, expected) == 0 : strstr(got, expected) != NULL)) return 1;
    snprintf(what, sizeof what, "\"%s\" %s \"%s\"", got ? got : "(null)",
             whole ? "is not" : "does not contain", expected);
    return check_fail(file, line, what);
}

/* Each is 1 if it holds, so that a test can stop where going on makes no sense. */
#define CHECK(condition) check_that(!!(condition), #condition, __FILE__, __LINE__)
#define CHECK_OK(call) check_status((call), RDS_OK, #call, __FILE__, __LINE__)
#define CHECK_STATUS(call, status) check_status((call), (status), #call, __FILE__, __LINE__)
#define CHECK_NUMBER(got, expected) \
    check_number((long long)(got), (long long)(expected), #got, __FILE__, __LINE__)
#define CHECK_TEXT(got, expected) check_text((got), (expected), 1, __FILE__, __LINE__)
#define CHECK_CONTAINS(got, part) check_text((got), (part), 0, __FILE__, __LINE__)
/* The message of the call that just failed. */
#define CHECK_MESSAGE(expected) CHECK_TEXT(rds_last_error_message(), (expected))
#define CHECK_MESSAGE_HAS(part) CHECK_CONTAINS(rds_last_error_message(), (part))
#define REQUIRE(check) \
    do { \
        if (!(check)) return; \
    } while (0)

typedef struct {
    char text[1200];
} check_path_text;

/* A path that nothing has been written to, below a directory that is removed at the end. */
static inline check_path_text check_path(void) {
    check_path_text path;
    int number = __atomic_add_fetch(&check_paths, 1, __ATOMIC_SEQ_CST);
    snprintf(path.text, sizeof path.text, "%s/%d", check_root, number);
    return path;
}

/* How often to repeat, less under tools that make everything slow. */
static inline int check_rounds(int rounds) {
    const char *slow = getenv("CHECK_SLOW");
    int fewer = rounds / 10;
    return slow && *slow ? (fewer ? fewer : 1) : rounds;
}

static inline void sleep_ms(long milliseconds) {
    const struct timespec time = {milliseconds / 1000, milliseconds % 1000 * 1000 * 1000};
    nanosleep(&time, NULL);
}

static int check_remove_one(const char *path, const struct stat *info, int kind, struct FTW *walk) {
    (void)info, (void)kind, (void)walk;
    return remove(path);
}

/* Removes a directory and everything in it. */
static inline void check_remove(const char *path) {
    nftw(path, check_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static inline int check_main(const struct check_test *tests, size_t count, int argc, char **argv) {
    const char *base = getenv("TMPDIR");
    int passed = 0, failed = 0;
    snprintf(check_root, sizeof check_root, "%s/rds-c-XXXXXX", base && *base ? base : "/tmp");
    if (!mkdtemp(check_root)) {
        perror(check_root);
        return 1;
    }
    /* A crash must not take the lines before it along. */
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (size_t i = 0; i < count; i++) {
        int selected = argc < 2;
        for (int a = 1; a < argc; a++) selected |= strcmp(argv[a], tests[i].name) == 0;
        if (!selected) continue;
        check_failures = 0;
        tests[i].run();
        printf("%s %s\n", check_failures ? "FAILED" : "ok", tests[i].name);
        check_failures ? failed++ : passed++;
    }
    check_remove(check_root);
    printf("%d passed, %d failed\n", passed, failed);
    return failed || !passed;
}

#define CHECK_MAIN(...) \
    int main(int argc, char **argv) { \
        static const struct check_test tests[] = {__VA_ARGS__}; \
        return check_main(tests, sizeof tests / sizeof tests[0], argc, argv); \
    }

#endif
