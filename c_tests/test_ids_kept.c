/* Ids over refreshes: those that were loaded stay if rows were only added, what is asked goes over all parts, and
 * nothing is left of rows that are gone. */
#include <pthread.h>

#include "ids_of_rows.h"

static void refresh(rds_reader *reader, uint32_t expected) {
    uint32_t changed = 77;
    CHECK_OK(rds_reader_refresh(reader, &changed));
    CHECK_NUMBER(changed, expected);
}

TEST(ids_are_asked_for_over_all_parts) {
    static const uint64_t parts[] = {10, 1, 1, 2, 50, 3, 200};
    check_path_text path = check_path();
    uint64_t rows = 0;
    rds_reader *loaded = NULL, *never = NULL;
    for (size_t p = 0; p < sizeof parts / sizeof parts[0]; p++) {
        ids_add(path.text, rows, parts[p], 0);
        rows += parts[p];
        if (p == 0) loaded = table_reader(path.text), never = table_reader(path.text);
        if (p != 0) refresh(loaded, 1), refresh(never, 1);
        check_ids(loaded, rows, 0);
    }
    refresh(loaded, 0);
    check_ids(loaded, rows, 0);
    /* One that loads them all at once. */
    check_ids(never, rows, 0);
    CHECK_OK(rds_reader_close(loaded));
    CHECK_OK(rds_reader_close(never));
}

TEST(many_refreshes_of_one_row_each_say_what_a_new_reader_says) {
    const uint64_t end = (uint64_t)check_rounds(120);
    check_path_text path = check_path();
    rds_writer *writer = table_writer(path.text, RDS_MODE_CREATE, RDS_DURABILITY_INTERVAL);
    rds_reader *reader = NULL;
    for (uint64_t rows = 1; rows <= end && !check_failures; rows++) {
        CHECK_OK(ids_write(writer, rows - 1, 1, 0));
        CHECK_OK(rds_flush(writer));
        if (rows == 1) reader = table_reader(path.text);
        if (rows != 1) refresh(reader, 1);
        check_ids(reader, rows, 0);
        rds_reader *fresh = table_reader(path.text);
        check_ids(fresh, rows, 0);
        CHECK_NUMBER(table_info(fresh).version, table_info(reader).version);
        CHECK_OK(rds_reader_close(fresh));
    }
    /* The same rows in one file. */
    CHECK_OK(rds_writer_close(writer));
    refresh(reader, 1);
    check_ids(reader, end, 0);
    ids_add(path.text, end, 20, 0);
    refresh(reader, 1);
    check_ids(reader, end + 20, 0);
    CHECK_OK(rds_reader_close(reader));
}

TEST(after_an_overwrite_nothing_old_is_found) {
    static const uint64_t sizes[] = {40, 7, 40, 41, 300};
    check_path_text path = check_path();
    ids_add(path.text, 0, 20, 0);
    ids_add(path.text, 20, 20, 0);
    rds_reader *reader = table_reader(path.text);
    check_ids(reader, 40, 0);
    for (int i = 0; i < 5; i++) {
        ids_add(path.text, 0, sizes[i], i + 1);
        refresh(reader, 1);
        check_ids(reader, sizes[i], i + 1);
        char old[ID_BYTES];
        uint64_t count = 77;
        for (uint64_t row = 0; row < 40; row += 2) {
            id_of_row(old, row, i);
            if (row % 3 == 1) continue;
            CHECK_OK(rds_reader_find_all(reader, old, strlen(old), NULL, 0, &count));
            CHECK_NUMBER(count, 0);
        }
        ids_add(path.text, sizes[i], 9, i + 1);
        refresh(reader, 1);
        check_ids(reader, sizes[i] + 9, i + 1);
    }
    CHECK_OK(rds_reader_close(reader));
}

TEST(a_reader_of_an_old_version_finds_the_new_rows_when_it_is_refreshed) {
    check_path_text path = check_path();
    ids_add(path.text, 0, 30, 0);
    rds_reader *reader = table_reader(path.text);
    rds_reader_options options = RDS_READER_OPTIONS_INIT;
    options.version = table_info(reader).version;
    CHECK_OK(rds_reader_close(reader));
    ids_add(path.text, 30, 30, 0);
    ids_add(path.text, 60, 1, 0);
    REQUIRE(CHECK_OK(rds_reader_open(path.text, &options, &reader)));
    check_ids(reader, 30, 0);
    refresh(reader, 1);
    check_ids(reader, 61, 0);
    CHECK_OK(rds_reader_close(reader));
}

TEST(exported_ids_stay_what_they_were) {
    enum { ROUNDS = 10 };
    check_path_text path = check_path();
    struct ArrowArray arrays[ROUNDS];
    char name[ID_BYTES];
    ids_add(path.text, 0, 5, 0);
    rds_reader *reader = table_reader(path.text);
    for (uint64_t i = 0; i < ROUNDS; i++) {
        REQUIRE(CHECK_OK(rds_reader_ids(reader, 0, 5 + i, NULL, &arrays[i])));
        ids_add(path.text, 5 + i, 1, 0);
        refresh(reader, 1);
    }
    CHECK_OK(rds_reader_close(reader));
    for (uint64_t i = 0; i < ROUNDS; i++) {
        for (uint64_t row = 0; row < 5 + i; row++) {
            const int64_t *offsets = (const int64_t *)arrays[i].buffers[1] + arrays[i].offset + row;
            id_of_row(name, row, 0);
            CHECK(offsets[1] - offsets[0] == (int64_t)strlen(name));
            CHECK(memcmp((const char *)arrays[i].buffers[2] + offsets[0], name, strlen(name)) == 0);
        }
        arrays[i].release(&arrays[i]);
    }
}

static int stop;

/* Every answer is of one version: the count and the rows fit each other. */
static void *ask(void *data) {
    const rds_reader *reader = (const rds_reader *)data;
    char name[ID_BYTES];
    uint64_t rows[2048], count, before = 0;
    id_of_row(name, 4, 0);
    while (!__atomic_load_n(&stop, __ATOMIC_SEQ_CST)) {
        CHECK_OK(rds_reader_find_all(reader, name, strlen(name), rows, 2048, &count));
        CHECK(count >= before && count <= 2048);
        for (uint64_t i = 0; i < count && i < 2048; i++) {
            char other[ID_BYTES];
            id_of_row(other, rows[i], 0);
            if (!CHECK(strcmp(name, other) == 0)) return NULL;
        }
        before = count;
    }
    return NULL;
}

TEST(threads_ask_while_the_reader_is_refreshed) {
    enum { THREADS = 3 };
    const uint64_t rounds = (uint64_t)check_rounds(60);
    check_path_text path = check_path();
    pthread_t threads[THREADS];
    ids_add(path.text, 0, 30, 0);
    rds_reader *reader = table_reader(path.text);
    for (int t = 0; t < THREADS; t++) pthread_create(&threads[t], NULL, ask, reader);
    rds_writer *writer = table_writer(path.text, RDS_MODE_APPEND, RDS_DURABILITY_INTERVAL);
    for (uint64_t i = 0; i < rounds; i++) {
        CHECK_OK(ids_write(writer, 30 + i * 10, 10, 0));
        CHECK_OK(rds_flush(writer));
        refresh(reader, 1);
    }
    __atomic_store_n(&stop, 1, __ATOMIC_SEQ_CST);
    for (int t = 0; t < THREADS; t++) pthread_join(threads[t], NULL);
    check_ids(reader, 30 + rounds * 10, 0);
    CHECK_OK(rds_writer_close(writer));
    CHECK_OK(rds_reader_close(reader));
}

TEST(wrong_arguments_of_find_all) {
    check_path_text path = check_path();
    ids_add(path.text, 0, 20, 0);
    rds_reader *reader = table_reader(path.text);
    uint64_t rows[4] = {9, 9, 9, 9}, count = 77;
    CHECK_STATUS(rds_reader_find_all(reader, "\xff", 1, rows, 4, &count), RDS_ERR_INVALID_ARGUMENT);
    CHECK_MESSAGE_HAS("UTF-8");
    CHECK_NUMBER(count, 0);
    /* A NUL is a byte like others; the length counts. */
    CHECK_OK(rds_reader_find_all(reader, "id-0-0\0", 7, rows, 4, &count));
    CHECK_NUMBER(count, 0);
    CHECK_OK(rds_reader_find_all(reader, "id-0-0", 6, rows, 4, &count));
    CHECK_NUMBER(count, 1);
    CHECK_NUMBER(rows[0], 0);
    CHECK_OK(rds_reader_find_all(reader, NULL, 0, rows, 4, &count));
    CHECK_NUMBER(count, 2);
    CHECK(rows[0] == 1 && rows[1] == 16);
    CHECK_STATUS(rds_reader_find_all(reader, NULL, 1, rows, 4, &count), RDS_ERR_INVALID_ARGUMENT);
    CHECK_STATUS(rds_reader_find_all(reader, "", 0, NULL, 4, &count), RDS_ERR_INVALID_ARGUMENT);
    CHECK_NUMBER(count, 0);
    CHECK_STATUS(rds_reader_find_all(reader, "id", SIZE_MAX, rows, 4, &count), RDS_ERR_INVALID_ARGUMENT);
    CHECK_OK(rds_reader_close(reader));
}

CHECK_MAIN(RUN(ids_are_asked_for_over_all_parts), RUN(many_refreshes_of_one_row_each_say_what_a_new_reader_says),
           RUN(after_an_overwrite_nothing_old_is_found),
           RUN(a_reader_of_an_old_version_finds_the_new_rows_when_it_is_refreshed),
           RUN(exported_ids_stay_what_they_were), RUN(threads_ask_while_the_reader_is_refreshed),
           RUN(wrong_arguments_of_find_all))
