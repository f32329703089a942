/* Two writers on one table: no rows are lost without an error. */
#include "table.h"

/* Whoever is the first to store a row. */
TEST(of_two_writers_that_create_one_table_one_succeeds) {
    check_path_text path = check_path();
    rds_writer *writers[2];
    rds_status statuses[2];
    for (int i = 0; i < 2; i++) {
        writers[i] = table_writer(path.text, RDS_MODE_CREATE, RDS_DURABILITY_COMMIT);
    }
    for (uint64_t i = 0; i < 2; i++) CHECK_OK(table_write(writers[i], i * 10, 2 + i));
    for (int i = 0; i < 2; i++) statuses[i] = rds_commit(writers[i], NULL, NULL);
    int winner = statuses[1] == RDS_OK;
    CHECK_NUMBER(statuses[winner], RDS_OK);
    CHECK_NUMBER(statuses[!winner], RDS_ERR_ALREADY_EXISTS);
    CHECK_OK(rds_writer_close(writers[winner]));
    (void)!rds_writer_close(writers[!winner]);
    rds_reader *reader = table_reader(path.text);
    table_check(reader, winner ? 10 : 0, winner ? 3 : 2);
    CHECK_OK(rds_reader_close(reader));
}

TEST(two_writers_that_append_both_land) {
    check_path_text path = check_path();
    table_make(path.text, 1);
    rds_writer *first = table_writer(path.text, RDS_MODE_APPEND, RDS_DURABILITY_COMMIT);
    rds_writer *second = table_writer(path.text, RDS_MODE_APPEND, RDS_DURABILITY_COMMIT);
    CHECK_OK(table_write(first, 1, 2));
    CHECK_OK(table_write(second, 3, 3));
    CHECK_OK(rds_commit(second, NULL, NULL));
    CHECK_OK(rds_commit(first, NULL, NULL));
    CHECK_OK(rds_writer_close(first));
    CHECK_OK(rds_writer_close(second));
    CHECK_NUMBER(table_rows(path.text), 6);
}

/* An append to a table that was replaced meanwhile has lost its place. */
TEST(an_append_to_a_replaced_table_is_a_conflict) {
    check_path_text path = check_path();
    table_make(path.text, 4);
    rds_writer *append = table_writer(path.text, RDS_MODE_APPEND, RDS_DURABILITY_COMMIT);
    CHECK_OK(table_write(append, 4, 2));
    table_make(path.text, 1);
    CHECK_STATUS(rds_commit(append, NULL, NULL), RDS_ERR_COMMIT_CONFLICT);
    CHECK(table_write(append, 6, 1) != RDS_OK);
    (void)!rds_writer_close(append);
    CHECK_NUMBER(table_rows(path.text), 1);
}

TEST(an_overwrite_that_raced_is_a_conflict_for_the_loser) {
    check_path_text path = check_path();
    table_make(path.text, 4);
    rds_writer *first = table_writer(path.text, RDS_MODE_OVERWRITE, RDS_DURABILITY_COMMIT);
    rds_writer *second = table_writer(path.text, RDS_MODE_OVERWRITE, RDS_DURABILITY_COMMIT);
    CHECK_OK(table_write(first, 10, 2));
    CHECK_OK(table_write(second, 20, 3));
    CHECK_OK(rds_commit(first, NULL, NULL));
    CHECK_STATUS(rds_commit(second, NULL, NULL), RDS_ERR_COMMIT_CONFLICT);
    CHECK_OK(rds_writer_close(first));
    (void)!rds_writer_close(second);
    rds_reader *reader = table_reader(path.text);
    CHECK_NUMBER(table_info(reader).rows, 2);
    CHECK(table_row_is(reader, 0, 10));
    CHECK_OK(rds_reader_close(reader));
}

TEST(a_failed_writer_frees_its_handle_at_close) {
    check_path_text path = check_path();
    rds_writer *writer = table_writer(path.text, RDS_MODE_CREATE, RDS_DURABILITY_COMMIT);
    CHECK_OK(table_write(writer, 0, 1));
    table_make(path.text, 1);
    CHECK_STATUS(rds_commit(writer, NULL, NULL), RDS_ERR_ALREADY_EXISTS);
    (void)!rds_writer_close(writer);
    CHECK_STATUS(rds_writer_close(writer), RDS_ERR_INVALID_HANDLE);
}

CHECK_MAIN(RUN(of_two_writers_that_create_one_table_one_succeeds),
           RUN(two_writers_that_append_both_land),
           RUN(an_append_to_a_replaced_table_is_a_conflict),
           RUN(an_overwrite_that_raced_is_a_conflict_for_the_loser),
           RUN(a_failed_writer_frees_its_handle_at_close))
