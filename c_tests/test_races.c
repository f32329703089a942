/* Writers in several processes on one table, in every order: all rows of all are there, or the one
 * that lost its place is told so, with its next version at the latest. */
#include "actors.h"

enum { OLD = 5 };

/* Two processes with writers on a table of rows 0 .. OLD - 1. */
struct pair {
    check_path_text path;
    actor *first, *second;
};

static struct pair pair_new(int with_table) {
    struct pair pair = {check_path(), NULL, NULL};
    pair.first = actor_start(pair.path);
    pair.second = actor_start(pair.path);
    if (with_table) {
        TELL(pair.first, OPEN, RDS_MODE_CREATE, RDS_DURABILITY_COMMIT);
        TELL(pair.first, WRITE, 0, OLD);
        TELL(pair.first, COMMIT, 0, 0);
        TELL(pair.first, CLOSE, 0, 0);
    }
    return pair;
}

/* Rows that are durable when the call returns, and visible. */
static void show(actor *writer, uint64_t first, uint64_t rows) {
    TELL(writer, WRITE, first, rows);
    TELL(writer, FLUSH, 0, 0);
}

/* Both let go, and the table has these rows. */
static void pair_end(struct pair *pair, uint64_t first, uint64_t rows) {
    actor *reader = actor_start(pair->path);
    actor_leave(pair->first);
    actor_leave(pair->second);
    TELL(reader, CHECK_ROWS, first, rows);
    /* Whoever lost left nothing that only a vacuum removes. */
    int files = data_files(pair->path.text);
    TELL(reader, VACUUM, 0, 0);
    CHECK_NUMBER(data_files(pair->path.text), files);
    TELL(reader, CHECK_ROWS, first, rows);
    actor_leave(reader);
}

/* It lost: told by this call and by all that follow. */
static void check_lost(actor *loser, enum command command, uint64_t first, uint64_t second,
                       rds_status status) {
    TELL_FOR(loser, status, command, first, second);
    TELL_FOR(loser, status, WRITE, 900, 1);
    TELL_FOR(loser, status, COMMIT, 0, 0);
    TELL_FOR(loser, status, CLOSE, 0, 0);
    TELL_FOR(loser, RDS_ERR_INVALID_HANDLE, CLOSE, 0, 0);
}

TEST(of_two_that_create_the_second_is_told_that_the_table_exists) {
    for (uint32_t durability = 0; durability <= RDS_DURABILITY_COMMIT; durability++) {
        struct pair pair = pair_new(0);
        TELL(pair.first, OPEN, RDS_MODE_CREATE, durability);
        TELL(pair.second, OPEN, RDS_MODE_CREATE, durability);
        TELL(pair.first, WRITE, 0, 3);
        TELL(pair.first, COMMIT, 0, 0);
        if (durability == RDS_DURABILITY_BATCH) {
            check_lost(pair.second, WRITE, 500, 3, RDS_ERR_ALREADY_EXISTS);
        } else {
            TELL(pair.second, WRITE, 500, 3);
            check_lost(pair.second, COMMIT, 0, 0, RDS_ERR_ALREADY_EXISTS);
        }
        TELL(pair.first, WRITE, 3, 3);
        TELL(pair.first, COMMIT, 0, 0);
        TELL(pair.first, CLOSE, 0, 0);
        pair_end(&pair, 0, 6);
    }
}

TEST(two_that_append_take_turns) {
    struct pair pair = pair_new(1);
    TELL(pair.first, OPEN, RDS_MODE_APPEND, RDS_DURABILITY_BATCH);
    TELL(pair.second, OPEN, RDS_MODE_APPEND, RDS_DURABILITY_BATCH);
    for (uint64_t i = 0; i < 10; i++) {
        show(pair.first, OLD + 4 * i, 2);
        show(pair.second, OLD + 4 * i + 2, 2);
        if (i % 4 == 1) TELL(pair.first, COMMIT, 0, 0);
        if (i % 3 == 1) TELL(pair.second, COMMIT, 0, 0);
    }
    TELL(pair.first, COMMIT, 0, 0);
    TELL(pair.second, COMMIT, 0, 0);
    TELL(pair.first, CLOSE, 0, 0);
    TELL(pair.second, CLOSE, 0, 0);
    pair_end(&pair, 0, OLD + 40);
}

TEST(an_append_after_an_overwrite_is_a_conflict) {
    struct pair pair = pair_new(1);
    TELL(pair.first, OPEN, RDS_MODE_OVERWRITE, RDS_DURABILITY_COMMIT);
    TELL(pair.second, OPEN, RDS_MODE_APPEND, RDS_DURABILITY_COMMIT);
    TELL(pair.second, WRITE, OLD, 3);
    TELL(pair.first, WRITE, 100, 7);
    TELL(pair.first, COMMIT, 0, 0);
    check_lost(pair.second, COMMIT, 0, 0, RDS_ERR_COMMIT_CONFLICT);
    TELL(pair.first, WRITE, 107, 7);
    TELL(pair.first, CLOSE, 0, 0);
    pair_end(&pair, 100, 7);
}

TEST(an_overwrite_after_an_append_is_a_conflict) {
    struct pair pair = pair_new(1);
    TELL(pair.first, OPEN, RDS_MODE_OVERWRITE, RDS_DURABILITY_COMMIT);
    TELL(pair.second, OPEN, RDS_MODE_APPEND, RDS_DURABILITY_COMMIT);
    TELL(pair.first, WRITE, 100, 7);
    TELL(pair.second, WRITE, OLD, 3);
    TELL(pair.second, COMMIT, 0, 0);
    check_lost(pair.first, COMMIT, 0, 0, RDS_ERR_COMMIT_CONFLICT);
    TELL(pair.second, CLOSE, 0, 0);
    pair_end(&pair, 0, OLD + 3);
}

/* Whether its rows are visible already, or durable only. */
TEST(an_overwrite_in_the_middle_of_an_append_is_a_conflict_for_the_append) {
    for (int visible = 0; visible < 2; visible++) {
        struct pair pair = pair_new(1);
        TELL(pair.first, OPEN, RDS_MODE_APPEND, RDS_DURABILITY_BATCH);
        for (uint64_t i = 0; i < 12; i++) {
            TELL(pair.first, WRITE, OLD + i, 1);
            if (visible) TELL(pair.first, FLUSH, 0, 0);
        }
        TELL(pair.second, OPEN, RDS_MODE_OVERWRITE, RDS_DURABILITY_COMMIT);
        TELL(pair.second, WRITE, 100, 7);
        TELL(pair.second, COMMIT, 0, 0);
        TELL(pair.first, WRITE, 50, 1);
        check_lost(pair.first, COMMIT, 0, 0, RDS_ERR_COMMIT_CONFLICT);
        TELL(pair.second, CLOSE, 0, 0);
        pair_end(&pair, 100, 7);
    }
}

TEST(an_append_to_what_an_overwrite_has_begun_lands) {
    struct pair pair = pair_new(1);
    TELL(pair.first, OPEN, RDS_MODE_OVERWRITE, RDS_DURABILITY_BATCH);
    show(pair.first, 100, 7);
    TELL(pair.second, OPEN, RDS_MODE_APPEND, RDS_DURABILITY_BATCH);
    show(pair.second, 107, 3);
    TELL(pair.first, WRITE, 110, 2);
    TELL(pair.second, COMMIT, 0, 0);
    TELL(pair.first, COMMIT, 0, 0);
    TELL(pair.second, CLOSE, 0, 0);
    TELL(pair.first, CLOSE, 0, 0);
    pair_end(&pair, 100, 12);
}

TEST(of_two_that_overwrite_the_second_is_told_of_a_conflict) {
    struct pair pair = pair_new(1);
    TELL(pair.first, OPEN, RDS_MODE_OVERWRITE, RDS_DURABILITY_BATCH);
    TELL(pair.second, OPEN, RDS_MODE_OVERWRITE, RDS_DURABILITY_BATCH);
    show(pair.first, 100, 7);
    TELL(pair.second, WRITE, 200, 7);
    check_lost(pair.second, FLUSH, 0, 0, RDS_ERR_COMMIT_CONFLICT);
    TELL(pair.first, WRITE, 107, 3);
    TELL(pair.first, COMMIT, 0, 0);
    TELL(pair.first, CLOSE, 0, 0);
    pair_end(&pair, 100, 10);
}

TEST(an_overwrite_that_is_overwritten_is_told_with_its_next_version) {
    const uint32_t modes[] = {RDS_MODE_OVERWRITE, RDS_MODE_CREATE};
    for (int i = 0; i < 2; i++) {
        struct pair pair = pair_new(modes[i] == RDS_MODE_OVERWRITE);
        TELL(pair.first, OPEN, modes[i], RDS_DURABILITY_BATCH);
        show(pair.first, 100, 7);
        TELL(pair.second, OPEN, RDS_MODE_OVERWRITE, RDS_DURABILITY_COMMIT);
        TELL(pair.second, WRITE, 200, 4);
        TELL(pair.second, COMMIT, 0, 0);
        TELL(pair.first, WRITE, 107, 1);
        check_lost(pair.first, FLUSH, 0, 0, RDS_ERR_COMMIT_CONFLICT);
        TELL(pair.second, WRITE, 204, 4);
        TELL(pair.second, COMMIT, 0, 0);
        TELL(pair.second, CLOSE, 0, 0);
        pair_end(&pair, 200, 8);
    }
}

/* A commit of the one that lost must not clean up what is the winner's. */
TEST(a_commit_of_what_was_overwritten_touches_nothing) {
    struct pair pair = pair_new(1);
    TELL(pair.first, OPEN, RDS_MODE_APPEND, RDS_DURABILITY_BATCH);
    for (uint64_t i = 0; i < 12; i++) show(pair.first, OLD + i, 1);
    TELL(pair.second, OPEN, RDS_MODE_OVERWRITE, RDS_DURABILITY_COMMIT);
    TELL(pair.second, WRITE, 100, 7);
    TELL(pair.second, COMMIT, 0, 0);
    /* Nothing new, so no version; its files can no longer be merged. */
    rds_status status = tell(pair.first, COMMIT, 0, 0);
    CHECK(status == RDS_OK || status == RDS_ERR_COMMIT_CONFLICT);
    TELL(pair.second, WRITE, 107, 1);
    TELL(pair.second, COMMIT, 0, 0);
    (void)tell(pair.first, CLOSE, 0, 0);
    TELL(pair.second, CLOSE, 0, 0);
    pair_end(&pair, 100, 8);
}

CHECK_MAIN(RUN(of_two_that_create_the_second_is_told_that_the_table_exists),
           RUN(two_that_append_take_turns), RUN(an_append_after_an_overwrite_is_a_conflict),
           RUN(an_overwrite_after_an_append_is_a_conflict),
           RUN(an_overwrite_in_the_middle_of_an_append_is_a_conflict_for_the_append),
           RUN(an_append_to_what_an_overwrite_has_begun_lands),
           RUN(of_two_that_overwrite_the_second_is_told_of_a_conflict),
           RUN(an_overwrite_that_is_overwritten_is_told_with_its_next_version),
           RUN(a_commit_of_what_was_overwritten_touches_nothing))
