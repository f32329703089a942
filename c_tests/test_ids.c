/* Ids: every form in which they come, and finding rows by them. */
#include "table.h"

enum { MOST = 16 };

/* Writes one scalar row per id to a new table and opens it. */
static rds_reader *write_ids(const rds_ids *ids) {
    check_path_text path = check_path();
    const uint8_t values[MOST] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    const int64_t shape[1] = {(int64_t)ids->count};
    const rds_tensor tensor = tensor_of(RDS_DTYPE_UINT8, 1, shape, values);
    rds_writer *writer = table_writer(path.text, RDS_MODE_CREATE, RDS_DURABILITY_INTERVAL);
    CHECK_OK(rds_write_tensors(writer, ids, &tensor, 1));
    CHECK_OK(rds_writer_close(writer));
    return table_reader(path.text);
}

static rds_status write_refused(const rds_ids *ids) {
    check_path_text path = check_path();
    const uint8_t values[MOST] = {0};
    const int64_t shape[1] = {(int64_t)ids->count};
    const rds_tensor tensor = tensor_of(RDS_DTYPE_UINT8, 1, shape, values);
    rds_writer *writer = table_writer(path.text, RDS_MODE_CREATE, RDS_DURABILITY_COMMIT);
    rds_status status = rds_write_tensors(writer, ids, &tensor, 1);
    CHECK_OK(rds_writer_close(writer));
    return status;
}

static void check_ids(const rds_ids *ids, const char *const *expected) {
    rds_reader *reader = write_ids(ids);
    for (uint64_t row = 0; row < ids->count; row++) {
        const char *id = NULL;
        size_t length = 0;
        char text[64] = "";
        if (!CHECK_OK(rds_reader_id(reader, row, &id, &length))) continue;
        if (!CHECK(length < sizeof text)) continue;
        memcpy(text, id, length);
        CHECK_TEXT(text, expected[row]);
        CHECK_NUMBER(length, strlen(expected[row]));
    }
    CHECK_OK(rds_reader_close(reader));
}

static const char *const words[] = {"ngc-1", "", "Öl", "星雲", "\xf0\x9f\x94\xad"};

TEST(ids_as_bytes_and_offsets) {
    const int64_t offsets[] = {0, 5, 5, 8, 14, 18};
    rds_ids ids = ids_of(RDS_IDS_UTF8, 5, "ngc-1Öl星雲\xf0\x9f\x94\xad");
    ids.offsets = offsets;
    check_ids(&ids, words);
    /* Offsets need not begin at 0. */
    const char *const tail[] = {"Öl", "星雲"};
    ids.offsets = offsets + 2;
    ids.count = 2;
    check_ids(&ids, tail);
}

TEST(ids_as_c_strings) {
    rds_ids ids = ids_of(RDS_IDS_CSTRINGS, 5, words);
    check_ids(&ids, words);
}

TEST(ids_as_strings_with_lengths) {
    /* Nothing ends one but its length, and an empty one needs no memory. */
    const char *const text = "ngc-1Öl星雲\xf0\x9f\x94\xad";
    const rds_string strings[] = {{text, 5}, {NULL, 0}, {text + 5, 3}, {text + 8, 6}, {text + 14, 4}};
    rds_ids ids = ids_of(RDS_IDS_STRINGS, 5, strings);
    check_ids(&ids, words);
    const char *const empty[] = {"", "ngc"};
    const rds_string more[] = {{text, 0}, {text, 3}};
    ids = ids_of(RDS_IDS_STRINGS, 2, more);
    check_ids(&ids, empty);
    ids = ids_of(RDS_IDS_STRINGS, 0, NULL);
    CHECK_OK(write_refused(&ids));
}

/* A NUL in an id is a byte like others. */
TEST(a_string_with_a_nul_in_it_is_found_whole) {
    const rds_string strings[] = {{"a\0b", 3}, {"a", 1}, {"a\0b", 2}};
    const uint64_t expected[] = {0, 1, 2};
    uint64_t rows[3], counts[3];
    const rds_ids ids = ids_of(RDS_IDS_STRINGS, 3, strings);
    rds_reader *reader = write_ids(&ids);
    CHECK_OK(rds_reader_find(reader, &ids, rows, counts));
    CHECK(memcmp(rows, expected, sizeof rows) == 0);
    for (uint64_t row = 0; row < 3; row++) {
        const char *id = NULL;
        size_t length = 0;
        CHECK_NUMBER(counts[row], 1);
        CHECK_OK(rds_reader_id(reader, row, &id, &length));
        CHECK(length == strings[row].length && memcmp(id, strings[row].data, length) == 0);
    }
    CHECK_OK(rds_reader_close(reader));
}

/* Those that a reader lends may be asked for, and written, as they are. */
TEST(ids_that_a_reader_lends_are_strings) {
    const rds_ids first = ids_of(RDS_IDS_CSTRINGS, 5, words);
    rds_reader *reader = write_ids(&first), *other;
    rds_string lent[5];
    uint64_t rows[5];
    for (uint64_t i = 0; i < 5; i++) CHECK_OK(rds_reader_id(reader, 4 - i, &lent[i].data, &lent[i].length));
    const rds_ids ids = ids_of(RDS_IDS_STRINGS, 5, lent);
    CHECK_OK(rds_reader_find(reader, &ids, rows, NULL));
    for (uint64_t i = 0; i < 5; i++) CHECK_NUMBER(rows[i], 4 - i);
    other = write_ids(&ids);
    CHECK_OK(rds_reader_find(other, &first, rows, NULL));
    for (uint64_t i = 0; i < 5; i++) CHECK_NUMBER(rows[i], 4 - i);
    CHECK_OK(rds_reader_close(other));
    CHECK_OK(rds_reader_close(reader));
}

TEST(malformed_strings_are_refused_by_number) {
    static const rds_string wrong[][2] = {{{"a", 1}, {NULL, 1}}, {{"a", 1}, {NULL, SIZE_MAX}},
                                          {{"a", 1}, {"b", SIZE_MAX}}, {{"a", 1}, {"b", SIZE_MAX / 2 + 1}},
                                          {{"a", 1}, {"\xc3(", 2}}, {{"a", 1}, {"\xc3\x96", 1}}};
    uint64_t rows[2];
    const int64_t number = 1;
    const rds_ids good = ids_of(RDS_IDS_INT64, 1, &number);
    rds_reader *reader = write_ids(&good);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        rds_ids ids = ids_of(RDS_IDS_STRINGS, 2, wrong[i]);
        CHECK_STATUS(write_refused(&ids), RDS_ERR_INVALID_ARGUMENT);
        CHECK(strpbrk(rds_last_error_message(), "1") != NULL);
        CHECK_STATUS(rds_reader_find(reader, &ids, rows, NULL), RDS_ERR_INVALID_ARGUMENT);
    }
    /* Not where a struct may be. */
    rds_ids ids = ids_of(RDS_IDS_STRINGS, 1, (const char *)wrong[0] + 1);
    CHECK_STATUS(write_refused(&ids), RDS_ERR_INVALID_ARGUMENT);
    CHECK_OK(rds_reader_close(reader));
}

TEST(ids_as_numpy_bytes) {
    const char items[5][6] = {"ngc-1", "", "Öl", "星雲", "\xf0\x9f\x94\xad"};
    rds_ids ids = ids_of(RDS_IDS_NUMPY_S, 5, items);
    ids.item_bytes = 6;
    check_ids(&ids, words);
    /* All bytes of an item used: there is no terminator. */
    const char *const full[] = {"abc", "def"};
    ids = ids_of(RDS_IDS_NUMPY_S, 2, "abcdef");
    ids.item_bytes = 3;
    check_ids(&ids, full);
}

TEST(ids_as_numpy_text) {
    const uint32_t items[5][5] = {{'n', 'g', 'c', '-', '1'},
                                  {0},
                                  {0xd6, 'l'},
                                  {0x661f, 0x96f2},
                                  {0x1f52d}};
    rds_ids ids = ids_of(RDS_IDS_NUMPY_U, 5, items);
    ids.item_bytes = sizeof items[0];
    check_ids(&ids, words);
}

TEST(ids_as_integers) {
    const int64_t small[] = {0, -1, INT64_MIN, INT64_MAX};
    const char *const small_text[] = {"0", "-1", "-9223372036854775808", "9223372036854775807"};
    rds_ids ids = ids_of(RDS_IDS_INT64, 4, small);
    check_ids(&ids, small_text);
    const uint64_t large[] = {0, 1, UINT64_MAX};
    const char *const large_text[] = {"0", "1", "18446744073709551615"};
    ids = ids_of(RDS_IDS_UINT64, 3, large);
    check_ids(&ids, large_text);
}

TEST(ids_that_are_all_empty) {
    const char *const empty[] = {"", "", ""};
    const int64_t offsets[] = {0, 0, 0, 0};
    rds_ids ids = ids_of(RDS_IDS_UTF8, 3, NULL);
    ids.offsets = offsets;
    check_ids(&ids, empty);
    ids = ids_of(RDS_IDS_NUMPY_S, 3, NULL);
    check_ids(&ids, empty);
    ids = ids_of(RDS_IDS_NUMPY_U, 3, NULL);
    check_ids(&ids, empty);
}

TEST(ids_that_are_not_utf8_are_refused) {
    const char *const strings[] = {"good", "\xc3("};
    const int64_t offsets[] = {0, 4, 6};
    const uint32_t units[] = {'a', 0xd800, 'b', 0x110000};
    rds_ids ids = ids_of(RDS_IDS_CSTRINGS, 2, strings);
    CHECK_STATUS(write_refused(&ids), RDS_ERR_INVALID_ARGUMENT);
    CHECK_MESSAGE_HAS("index 1");
    ids = ids_of(RDS_IDS_UTF8, 2, "good\xc3(");
    ids.offsets = offsets;
    CHECK_STATUS(write_refused(&ids), RDS_ERR_INVALID_ARGUMENT);
    ids = ids_of(RDS_IDS_NUMPY_S, 2, "a\xff");
    ids.item_bytes = 1;
    CHECK_STATUS(write_refused(&ids), RDS_ERR_INVALID_ARGUMENT);
    for (int i = 0; i < 2; i++) {
        ids = ids_of(RDS_IDS_NUMPY_U, 1, units + 2 * i);
        ids.item_bytes = 8;
        CHECK_STATUS(write_refused(&ids), RDS_ERR_INVALID_ARGUMENT);
    }
    /* A character cut in two by an offset. */
    const int64_t cut[] = {0, 1, 2};
    ids = ids_of(RDS_IDS_UTF8, 2, "\xc3\x96");
    ids.offsets = cut;
    CHECK_STATUS(write_refused(&ids), RDS_ERR_INVALID_ARGUMENT);
}

TEST(malformed_ids_are_refused) {
    const int64_t falling[] = {0, 3, 2}, negative[] = {-1, 0, 2};
    rds_ids ids = ids_of(RDS_IDS_UTF8, 2, "abc");
    ids.offsets = falling;
    CHECK_STATUS(write_refused(&ids), RDS_ERR_INVALID_ARGUMENT);
    ids.offsets = negative;
    CHECK_STATUS(write_refused(&ids), RDS_ERR_INVALID_ARGUMENT);
    ids = ids_of(RDS_IDS_NUMPY_U, 1, "abcdef");
    ids.item_bytes = 6;
    CHECK_STATUS(write_refused(&ids), RDS_ERR_INVALID_ARGUMENT);
    CHECK_MESSAGE_HAS("multiple of 4");
    ids = ids_of(RDS_IDS_NUMPY_S, 2, "abcdef");
    ids.item_bytes = UINT64_MAX / 2;
    CHECK_STATUS(write_refused(&ids), RDS_ERR_INVALID_ARGUMENT);
}

TEST(ids_are_found_whatever_form_the_question_has) {
    const int64_t numbers[] = {10, 20, 30};
    const char *const texts[] = {"30", "10", "nothing"};
    const char items[3][3] = {"30", "10", "40"};
    uint64_t rows[3], counts[3];
    rds_ids ids = ids_of(RDS_IDS_INT64, 3, numbers);
    rds_reader *reader = write_ids(&ids);
    CHECK_OK(rds_reader_find(reader, &ids, rows, counts));
    for (int i = 0; i < 3; i++) CHECK(rows[i] == (uint64_t)i && counts[i] == 1);
    ids = ids_of(RDS_IDS_CSTRINGS, 3, texts);
    CHECK_OK(rds_reader_find(reader, &ids, rows, counts));
    CHECK(rows[0] == 2 && rows[1] == 0 && rows[2] == RDS_ROW_NONE);
    CHECK(counts[0] == 1 && counts[1] == 1 && counts[2] == 0);
    ids = ids_of(RDS_IDS_NUMPY_S, 3, items);
    ids.item_bytes = 3;
    CHECK_OK(rds_reader_find(reader, &ids, rows, NULL));
    CHECK(rows[0] == 2 && rows[1] == 0 && rows[2] == RDS_ROW_NONE);
    CHECK_OK(rds_reader_close(reader));
}

TEST(an_id_of_several_rows_gives_the_first_and_their_number) {
    const char *const stored[] = {"a", "b", "a", "", "a", "b", ""};
    const char *const asked[] = {"b", "", "a", "a", "c"};
    uint64_t rows[5], counts[5];
    rds_ids ids = ids_of(RDS_IDS_CSTRINGS, 7, stored);
    rds_reader *reader = write_ids(&ids);
    ids = ids_of(RDS_IDS_CSTRINGS, 5, asked);
    CHECK_OK(rds_reader_find(reader, &ids, rows, counts));
    const uint64_t expected_rows[] = {1, 3, 0, 0, RDS_ROW_NONE}, expected[] = {2, 2, 3, 3, 0};
    CHECK(memcmp(rows, expected_rows, sizeof rows) == 0);
    CHECK(memcmp(counts, expected, sizeof counts) == 0);
    CHECK_OK(rds_reader_close(reader));
}

TEST(finding_nothing_asks_for_no_memory) {
    const int64_t number = 1;
    uint64_t untouched = 77;
    rds_ids ids = ids_of(RDS_IDS_INT64, 1, &number);
    rds_reader *reader = write_ids(&ids);
    ids = ids_of(RDS_IDS_INT64, 0, NULL);
    CHECK_OK(rds_reader_find(reader, &ids, &untouched, &untouched));
    CHECK_NUMBER(untouched, 77);
    CHECK_OK(rds_reader_close(reader));
}

TEST(a_failed_find_writes_nothing) {
    const int64_t number = 1;
    uint64_t rows[2] = {77, 77}, counts[2] = {77, 77};
    const char *const asked[] = {"1", "\xff"};
    rds_ids ids = ids_of(RDS_IDS_INT64, 1, &number);
    rds_reader *reader = write_ids(&ids);
    ids = ids_of(RDS_IDS_CSTRINGS, 2, asked);
    CHECK_STATUS(rds_reader_find(reader, &ids, rows, counts), RDS_ERR_INVALID_ARGUMENT);
    CHECK(rows[0] == 77 && rows[1] == 77 && counts[0] == 77 && counts[1] == 77);
    CHECK_OK(rds_reader_close(reader));
}

TEST(every_id_of_a_large_table_is_found) {
    enum { ROWS = 20000 };
    check_path_text path = check_path();
    table_make(path.text, ROWS);
    rds_reader *reader = table_reader(path.text);
    char(*names)[24] = (char(*)[24])calloc(ROWS, sizeof *names);
    uint64_t *rows = (uint64_t *)calloc(ROWS, sizeof *rows);
    for (int i = 0; i < ROWS; i++) snprintf(names[i], sizeof names[i], "id-%d", ROWS - 1 - i);
    rds_ids ids = ids_of(RDS_IDS_NUMPY_S, ROWS, names);
    ids.item_bytes = sizeof names[0];
    CHECK_OK(rds_reader_find(reader, &ids, rows, NULL));
    long long wrong = 0;
    for (uint64_t i = 0; i < ROWS; i++) wrong += rows[i] != ROWS - 1 - i;
    CHECK_NUMBER(wrong, 0);
    free(names);
    free(rows);
    CHECK_OK(rds_reader_close(reader));
}

CHECK_MAIN(RUN(ids_as_bytes_and_offsets), RUN(ids_as_c_strings), RUN(ids_as_strings_with_lengths),
           RUN(a_string_with_a_nul_in_it_is_found_whole), RUN(ids_that_a_reader_lends_are_strings),
           RUN(malformed_strings_are_refused_by_number), RUN(ids_as_numpy_bytes),
           RUN(ids_as_numpy_text), RUN(ids_as_integers), RUN(ids_that_are_all_empty),
           RUN(ids_that_are_not_utf8_are_refused), RUN(malformed_ids_are_refused),
           RUN(ids_are_found_whatever_form_the_question_has),
           RUN(an_id_of_several_rows_gives_the_first_and_their_number),
           RUN(finding_nothing_asks_for_no_memory), RUN(a_failed_find_writes_nothing),
           RUN(every_id_of_a_large_table_is_found))
