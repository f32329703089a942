/* A clone is a reader of its own: it shares what was mapped and loaded, and is refreshed and closed alone. */
#include <pthread.h>

#include "arrow_out.h"
#include "dlpack.h"
#include "maps.h"

enum { ROWS = 30 };

static check_path_text make_rows(void) {
    check_path_text path = check_path();
    table_make(path.text, 11);
    table_append(path.text, 11, ROWS - 11);
    return path;
}

static rds_reader *clone_of(const rds_reader *reader) {
    rds_reader *other = NULL;
    CHECK_OK(rds_reader_clone(reader, &other));
    CHECK(other != NULL && other != reader);
    return other;
}

static const void *data_of(const rds_reader *reader, uint64_t row) {
    rds_span span = RDS_SPAN_INIT;
    CHECK_OK(rds_reader_span(reader, 0, row, &span));
    return span.data;
}

static void check_same(const rds_reader *one, const rds_reader *other) {
    rds_table_info first = table_info(one), second = table_info(other);
    CHECK(memcmp(&first, &second, sizeof first) == 0);
}

TEST(a_clone_shares_maps_and_ids) {
    check_path_text path = make_rows();
    rds_reader *reader = table_reader(path.text);
    const char *id = NULL, *same = NULL;
    size_t length = 0;
    CHECK_OK(rds_reader_id(reader, 3, &id, &length));
    int maps = maps_of(path.text);
    CHECK(maps > 0);
    rds_reader *clone = clone_of(reader), *again = clone_of(clone);
    CHECK_NUMBER(maps_of(path.text), maps);
    check_same(reader, clone);
    check_same(reader, again);
    for (uint64_t row = 0; row < ROWS; row++) CHECK(data_of(clone, row) == data_of(reader, row));
    CHECK_OK(rds_reader_id(clone, 3, &same, &length));
    CHECK(same == id);
    table_check(clone, 0, ROWS);
    table_check(again, 0, ROWS);
    CHECK_OK(rds_reader_close(reader));
    CHECK_OK(rds_reader_close(again));
    CHECK_OK(rds_reader_close(clone));
    CHECK_NUMBER(maps_of(path.text), 0);
}

TEST(ids_that_either_loads_are_those_of_both) {
    check_path_text path = make_rows();
    rds_reader *reader = table_reader(path.text), *clone = clone_of(reader);
    const char *id = NULL, *same = NULL;
    size_t length = 0;
    CHECK_OK(rds_reader_id(clone, 3, &id, &length));
    CHECK_OK(rds_reader_id(reader, 3, &same, &length));
    CHECK(id == same);
    CHECK_OK(rds_reader_close(clone));
    CHECK(id_is(same, (int64_t)length, 3));
    CHECK_OK(rds_reader_close(reader));
}

TEST(a_clone_outlives_the_reader_that_it_was_made_of) {
    check_path_text path = make_rows();
    for (uint32_t access = RDS_ACCESS_AUTO; access <= RDS_ACCESS_LANCE; access++) {
        rds_reader *reader = table_reader_with(path.text, access), *clone = clone_of(reader);
        CHECK_OK(rds_reader_close(reader));
        CHECK_STATUS(rds_reader_close(reader), RDS_ERR_INVALID_HANDLE);
        table_check(clone, 0, ROWS);
        CHECK_NUMBER(column_info(clone, 0).mapped_rows, access == RDS_ACCESS_LANCE ? 0 : ROWS);
        CHECK_OK(rds_reader_close(clone));
        /* And the other way round. */
        reader = table_reader_with(path.text, access), clone = clone_of(reader);
        CHECK_OK(rds_reader_close(clone));
        table_check(reader, 0, ROWS);
        CHECK_OK(rds_reader_close(reader));
    }
}

TEST(each_is_refreshed_alone) {
    check_path_text path = make_rows();
    rds_reader *reader = table_reader(path.text), *clone = clone_of(reader);
    const void *data = data_of(clone, 5);
    const char *id = NULL;
    size_t length = 0;
    uint32_t changed = 0;
    CHECK_OK(rds_reader_id(clone, 5, &id, &length));
    table_append(path.text, ROWS, 5);
    CHECK_OK(rds_reader_refresh(reader, &changed));
    CHECK_NUMBER(changed, 1);
    table_check(reader, 0, ROWS + 5);
    table_check(clone, 0, ROWS);
    /* What the clone lent is still lent. */
    CHECK(((const float *)data)[5 * TABLE_WIDTH + 1] == table_value(5, 1));
    CHECK(id_is(id, (int64_t)length, 5));
    CHECK(data_of(clone, 5) == data);
    rds_reader *late = clone_of(clone), *newest = clone_of(reader);
    table_check(late, 0, ROWS);
    table_check(newest, 0, ROWS + 5);
    table_make(path.text, 3);
    CHECK_OK(rds_reader_refresh(clone, &changed));
    CHECK_NUMBER(changed, 1);
    table_check(clone, 0, 3);
    table_check(reader, 0, ROWS + 5);
    table_check(late, 0, ROWS);
    CHECK_OK(rds_reader_close(clone));
    table_check(late, 0, ROWS);
    CHECK_OK(rds_reader_refresh(late, &changed));
    table_check(late, 0, 3);
    table_check(newest, 0, ROWS + 5);
    CHECK_OK(rds_reader_close(late));
    CHECK_OK(rds_reader_close(newest));
    CHECK_OK(rds_reader_close(reader));
    CHECK_NUMBER(maps_of(path.text), 0);
}

TEST(a_clone_reads_on_when_the_table_is_gone) {
    check_path_text path = make_rows();
    rds_reader *reader = table_reader(path.text);
    CHECK(table_row_is(reader, 0, 0));
    check_remove(path.text);
    rds_reader *clone = clone_of(reader);
    CHECK_OK(rds_reader_close(reader));
    table_check(clone, 0, ROWS);
    CHECK_STATUS(rds_reader_refresh(clone, NULL), RDS_ERR_NOT_FOUND);
    table_check(clone, 0, ROWS);
    CHECK_OK(rds_reader_close(clone));
}

TEST(exports_of_a_clone_outlive_both) {
    check_path_text path = make_rows();
    rds_reader *reader = table_reader(path.text), *clone = clone_of(reader);
    struct ArrowArray row;
    struct ArrowArrayStream stream;
    DLManagedTensorVersioned *tensor = NULL;
    REQUIRE(CHECK_OK(rds_reader_get(clone, 0, 12, &row)));
    REQUIRE(CHECK_OK(rds_reader_stream(clone, NULL, &stream)));
    REQUIRE(CHECK_OK(rds_reader_dlpack(clone, 0, 11, 4, &tensor)));
    CHECK_OK(rds_reader_close(reader));
    CHECK_OK(rds_reader_close(clone));
    CHECK(list_row_is(&row, 0, 12));
    row.release(&row);
    CHECK(((const float *)tensor->dl_tensor.data)[TABLE_WIDTH] == table_value(12, 0));
    tensor->deleter(tensor);
    uint64_t rows = 0;
    while (CHECK_NUMBER(stream.get_next(&stream, &row), 0) && row.release) {
        for (int64_t i = 0; i < row.length; i++, rows++) CHECK(list_row_is(row.children[1], row.offset + i, rows));
        row.release(&row);
    }
    CHECK_NUMBER(rows, ROWS);
    stream.release(&stream);
    CHECK_NUMBER(maps_of(path.text), 0);
}

static check_path_text threads_path;

static void *clone_read_and_close(void *data) {
    const rds_reader *reader = (const rds_reader *)data;
    for (int i = 0; i < check_rounds(200); i++) {
        rds_reader *clone = NULL, *second = NULL;
        if (!CHECK_OK(rds_reader_clone(reader, &clone))) break;
        CHECK(table_row_is(clone, (uint64_t)i % ROWS, (uint64_t)i % ROWS));
        if (i % 5 == 0) CHECK_OK(rds_reader_refresh(clone, NULL));
        CHECK_OK(rds_reader_clone(clone, &second));
        CHECK_OK(rds_reader_close(clone));
        CHECK(table_info(second).rows >= ROWS);
        CHECK(table_row_is(second, 3, 3));
        CHECK_OK(rds_reader_close(second));
    }
    return NULL;
}

TEST(threads_clone_one_reader_while_it_is_refreshed) {
    enum { THREADS = 4 };
    pthread_t threads[THREADS];
    threads_path = make_rows();
    rds_reader *reader = table_reader(threads_path.text);
    for (int t = 0; t < THREADS; t++) pthread_create(&threads[t], NULL, clone_read_and_close, reader);
    for (uint64_t i = 0; i < 10; i++) {
        table_append(threads_path.text, ROWS + i, 1);
        CHECK_OK(rds_reader_refresh(reader, NULL));
    }
    for (int t = 0; t < THREADS; t++) pthread_join(threads[t], NULL);
    table_check(reader, 0, ROWS + 10);
    CHECK_OK(rds_reader_close(reader));
    CHECK_NUMBER(maps_of(threads_path.text), 0);
}

TEST(wrong_handles_and_outputs_are_refused) {
    check_path_text path = make_rows(), other = check_path();
    rds_reader *reader = table_reader(path.text), *out = (rds_reader *)&path;
    rds_writer *writer = table_writer(other.text, RDS_MODE_CREATE, RDS_DURABILITY_INTERVAL);
    CHECK_STATUS(rds_reader_clone(NULL, &out), RDS_ERR_INVALID_HANDLE);
    CHECK(out == NULL);
    CHECK_STATUS(rds_reader_clone(reader, NULL), RDS_ERR_INVALID_ARGUMENT);
    out = (rds_reader *)&path;
    CHECK_STATUS(rds_reader_clone((rds_reader *)(void *)writer, &out), RDS_ERR_INVALID_HANDLE);
    CHECK(out == NULL);
    out = (rds_reader *)&path;
    CHECK_STATUS(rds_reader_clone((rds_reader *)(uintptr_t)0xabc, &out), RDS_ERR_INVALID_HANDLE);
    CHECK(out == NULL);
    CHECK_OK(rds_reader_close(reader));
    out = (rds_reader *)&path;
    CHECK_STATUS(rds_reader_clone(reader, &out), RDS_ERR_INVALID_HANDLE);
    CHECK(out == NULL);
    CHECK_OK(rds_writer_close(writer));
}

CHECK_MAIN(RUN(a_clone_shares_maps_and_ids), RUN(ids_that_either_loads_are_those_of_both),
           RUN(a_clone_outlives_the_reader_that_it_was_made_of),
           RUN(each_is_refreshed_alone), RUN(a_clone_reads_on_when_the_table_is_gone),
           RUN(exports_of_a_clone_outlive_both), RUN(threads_clone_one_reader_while_it_is_refreshed),
           RUN(wrong_handles_and_outputs_are_refused))
