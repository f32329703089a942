/* Several columns on disk: files, merges and tokens; and how they keep their numbers. */
#include "columns.h"
#include "staging.h"

/* Rows of 2 bytes beside rows of 64 KiB. */
static const column_kind uneven[] = {{"tiny", RDS_DTYPE_FLOAT16, 0, {0, 0, 0}},
                                     {"huge", RDS_DTYPE_FLOAT32, 2, {128, 128, 0}}};
enum { HUGE_BYTES = 1 << 16 };

static long long all_bytes(const char *path) {
    check_path_text directory = path_below(path, "lance_db/results.lance/data");
    long long bytes = 0;
    DIR *entries = opendir(directory.text);
    for (struct dirent *entry; entries && (entry = readdir(entries));) {
        if (entry->d_name[0] == '.') continue;
        bytes += size_of(path_below(directory.text, entry->d_name).text);
    }
    if (entries) closedir(entries);
    return bytes;
}

/* Ids are one more file of a fragment that has columns of its own files, or lie in one of them. */
static void check_files(const char *path, int columns, int fragments) {
    long long files = named_files(path);
    CHECK(files >= columns * fragments && files <= (columns + 1) * fragments);
}

TEST(small_rows_beside_large_ones_make_files_as_large_as_they_need_and_queue_within_bounds) {
    enum { ROWS = 600, BATCH = 20, BOUND = 8 << 20 };
    const uint64_t rows = (uint64_t)check_rounds(ROWS);
    check_path_text path = check_path();
    rds_writer *writer = NULL;
    rds_writer_options options = RDS_WRITER_OPTIONS_INIT;
    rds_write_stats stats = RDS_WRITE_STATS_INIT;
    uint64_t most = 0;
    options.max_queued_bytes = BOUND;
    CHECK_OK(rds_writer_open(path.text, &options, &writer));
    for (uint64_t first = 0; first < rows; first += BATCH) {
        CHECK_OK(columns_write_turned(writer, uneven, 2, first, BATCH, (size_t)first / BATCH % 2));
        CHECK_OK(rds_writer_stats(writer, &stats));
        if (stats.queued_bytes > most) most = stats.queued_bytes;
        CHECK_NUMBER(stats.accepted_bytes, (first + BATCH) * (HUGE_BYTES + 2));
    }
    CHECK(most <= BOUND);
    CHECK_OK(rds_writer_close(writer));
    columns_check_at(path.text, uneven, 2, rows);
    check_files(path.text, 2, 1);
    rds_reader *reader = table_reader(path.text);
    for (uint32_t c = 0; c < 2; c++) CHECK_NUMBER(column_info(reader, c).mapped_rows, rows);
    CHECK_OK(rds_reader_close(reader));
}

TEST(one_commit_makes_a_data_file_for_each_column_and_no_more_bytes_than_they_have) {
    check_path_text path = check_path();
    columns_add(path.text, uneven, 2, 0, 50);
    check_files(path.text, 2, 1);
    CHECK(all_bytes(path.text) < 50 * (HUGE_BYTES + 2) + 65536);
    columns_add(path.text, uneven, 2, 50, 50);
    check_files(path.text, 2, 2);
    CHECK(all_bytes(path.text) < 100 * (HUGE_BYTES + 2) + 2 * 65536);
    columns_check_at(path.text, uneven, 2, 100);
    path = check_path();
    columns_add(path.text, mixed, MIXED, 0, 50);
    CHECK(named_files(path.text) <= MIXED + 1);
    columns_check_at(path.text, mixed, MIXED, 50);
}

TEST(many_small_files_of_several_columns_are_merged_bit_for_bit) {
    enum { PARTS = 40, PART = 13 };
    check_path_text path = check_path();
    rds_writer *writer = table_writer(path.text, RDS_MODE_CREATE, RDS_DURABILITY_INTERVAL);
    rds_commit_info info = RDS_COMMIT_INFO_INIT;
    for (uint64_t i = 0; i < PARTS; i++) {
        CHECK_OK(columns_write_turned(writer, mixed, MIXED, i * PART, PART, (size_t)i % MIXED));
        CHECK_OK(rds_flush(writer));
    }
    rds_reader *before = table_reader(path.text);
    columns_check(before, mixed, MIXED, PARTS * PART);
    CHECK_OK(rds_commit(writer, NULL, &info));
    CHECK_NUMBER(info.rows, PARTS * PART);
    CHECK(info.data_files <= 8 * (MIXED + 1));
    columns_check_at(path.text, mixed, MIXED, PARTS * PART);
    CHECK_OK(rds_writer_close(writer));
    CHECK(named_files(path.text) <= MIXED + 1);
    columns_check_at(path.text, mixed, MIXED, PARTS * PART);
    uint32_t changed = 0;
    CHECK_OK(rds_reader_refresh(before, &changed));
    columns_check(before, mixed, MIXED, PARTS * PART);
    CHECK_OK(rds_reader_close(before));
    rds_reader *mapped = table_reader_with(path.text, RDS_ACCESS_LANCE);
    columns_check(mapped, mixed, MIXED, PARTS * PART);
    CHECK_OK(rds_reader_close(mapped));
}

TEST(files_of_earlier_runs_are_merged_on_request) {
    enum { PARTS = 12, PART = 9 };
    check_path_text path = check_path();
    for (uint64_t i = 0; i < PARTS; i++) columns_add(path.text, mixed, MIXED, i * PART, PART);
    CHECK(named_files(path.text) >= PARTS);
    rds_writer *writer = table_writer(path.text, RDS_MODE_APPEND, RDS_DURABILITY_COMMIT);
    rds_commit_options options = RDS_COMMIT_OPTIONS_INIT;
    rds_commit_info info = RDS_COMMIT_INFO_INIT;
    options.flags = RDS_COMMIT_MERGE_ALL;
    CHECK_OK(rds_commit(writer, &options, &info));
    CHECK(info.data_files <= 8 * (MIXED + 1));
    CHECK_OK(rds_writer_close(writer));
    columns_check_at(path.text, mixed, MIXED, PARTS * PART);
}

static rds_token stage_columns(const char *path, uint64_t first, uint64_t rows, size_t turn) {
    rds_writer *writer = table_writer(path, RDS_MODE_STAGED, RDS_DURABILITY_INTERVAL);
    CHECK_OK(columns_write_turned(writer, mixed, MIXED, first, rows, turn));
    rds_token token = stage(writer);
    CHECK_OK(rds_writer_close(writer));
    return token;
}

TEST(tokens_of_columns_in_other_orders_are_published_together) {
    check_path_text path = check_path();
    rds_token tokens[MIXED];
    for (size_t t = 0; t < MIXED; t++) tokens[t] = stage_columns(path.text, t * 10, 10, t);
    CHECK_OK(publish(path.text, tokens, MIXED, RDS_MODE_CREATE, NULL));
    columns_check_at(path.text, mixed, MIXED, MIXED * 10);
    for (size_t t = 0; t < MIXED; t++) token_free(tokens[t]);
    rds_token late = stage_columns(path.text, MIXED * 10, 10, 5);
    CHECK_OK(publish(path.text, &late, 1, RDS_MODE_APPEND, NULL));
    columns_check_at(path.text, mixed, MIXED, MIXED * 10 + 10);
    token_free(late);
}

TEST(tokens_of_other_columns_are_not_published_together) {
    check_path_text path = check_path();
    rds_token tokens[2] = {stage_columns(path.text, 0, 10, 0), {NULL, 0}};
    rds_writer *writer = table_writer(path.text, RDS_MODE_STAGED, RDS_DURABILITY_INTERVAL);
    CHECK_OK(columns_write(writer, mixed, MIXED - 1, 10, 10));
    tokens[1] = stage(writer);
    CHECK_OK(rds_writer_close(writer));
    CHECK_STATUS(publish(path.text, tokens, 2, RDS_MODE_CREATE, NULL), RDS_ERR_SCHEMA_MISMATCH);
    CHECK_MESSAGE_HAS("token 1 ");
    CHECK_MESSAGE_HAS("\"byte\"");
    CHECK_OK(publish(path.text, tokens, 1, RDS_MODE_CREATE, NULL));
    CHECK_STATUS(publish(path.text, tokens + 1, 1, RDS_MODE_APPEND, NULL), RDS_ERR_SCHEMA_MISMATCH);
    CHECK_MESSAGE_HAS("\"byte\"");
    columns_check_at(path.text, mixed, MIXED, 10);
    token_free(tokens[0]), token_free(tokens[1]);
}

/* An overwrite with these columns. */
static void replace(const char *path, const column_kind *kinds, size_t count, uint64_t rows) {
    columns_add(path, kinds, count, 0, rows);
}

TEST(columns_keep_their_numbers_over_a_refresh_and_new_ones_get_higher_ones) {
    const column_kind a = mixed[0], b = mixed[1], c = mixed[2], d = mixed[3];
    const column_kind first[] = {a, b}, second[] = {c, b, a}, third[] = {d, c, b, a};
    check_path_text path = check_path();
    replace(path.text, first, 2, 5);
    rds_reader *reader = table_reader(path.text);
    uint32_t changed = 0;
    replace(path.text, second, 3, 6);
    CHECK_OK(rds_reader_refresh(reader, &changed));
    CHECK_NUMBER(changed, 1);
    columns_check(reader, second, 3, 6);
    CHECK_NUMBER(column_named(reader, a.name), 0);
    CHECK_NUMBER(column_named(reader, b.name), 1);
    CHECK_NUMBER(column_named(reader, c.name), 2);
    replace(path.text, third, 4, 7);
    CHECK_OK(rds_reader_refresh(reader, &changed));
    columns_check(reader, third, 4, 7);
    for (uint32_t i = 0; i < 4; i++) CHECK_NUMBER(column_named(reader, mixed[i].name), i);
    /* Whoever opens it anew has the order of the table. */
    rds_reader *fresh = table_reader(path.text);
    for (uint32_t i = 0; i < 4; i++) CHECK_NUMBER(column_named(fresh, third[i].name), i);
    CHECK_OK(rds_reader_close(fresh));
    /* An export of all columns is in the order of the numbers, which are the reader's. */
    struct ArrowSchema schema;
    const uint32_t chosen[] = {3, 0};
    rds_select_options options = RDS_SELECT_OPTIONS_INIT;
    REQUIRE(CHECK_OK(rds_reader_schema(reader, NULL, &schema)));
    for (int i = 0; i < 4; i++) CHECK_TEXT(schema.children[i + 1]->name, mixed[i].name);
    schema.release(&schema);
    options.columns = chosen, options.column_count = 2;
    REQUIRE(CHECK_OK(rds_reader_schema(reader, &options, &schema)));
    CHECK_TEXT(schema.children[1]->name, d.name);
    CHECK_TEXT(schema.children[2]->name, a.name);
    schema.release(&schema);
    CHECK_OK(rds_reader_close(reader));
}

TEST(a_refresh_that_would_lose_or_change_a_column_is_refused) {
    const column_kind a = mixed[0], b = mixed[1];
    const column_kind first[] = {a, b}, gone[] = {a}, other[] = {a, {b.name, RDS_DTYPE_INT32, 0, {0}}};
    const column_kind shaped[] = {{a.name, a.dtype, 2, {4, 3, 0}}, b};
    const struct {
        const column_kind *kinds;
        size_t count;
        const char *named;
    } cases[] = {{gone, 1, b.name}, {other, 2, b.name}, {shaped, 2, a.name}};
    for (int i = 0; i < 3; i++) {
        check_path_text path = check_path();
        uint32_t changed = 1;
        replace(path.text, first, 2, 5);
        rds_reader *reader = table_reader(path.text);
        replace(path.text, cases[i].kinds, cases[i].count, 6);
        CHECK_STATUS(rds_reader_refresh(reader, &changed), RDS_ERR_SCHEMA_MISMATCH);
        CHECK_MESSAGE_HAS(cases[i].named);
        CHECK_NUMBER(changed, 0);
        columns_check(reader, first, 2, 5);
        /* And when they are back it goes on. */
        replace(path.text, first, 2, 7);
        CHECK_OK(rds_reader_refresh(reader, &changed));
        columns_check(reader, first, 2, 7);
        CHECK_OK(rds_reader_close(reader));
    }
}

CHECK_MAIN(RUN(small_rows_beside_large_ones_make_files_as_large_as_they_need_and_queue_within_bounds),
           RUN(one_commit_makes_a_data_file_for_each_column_and_no_more_bytes_than_they_have),
           RUN(many_small_files_of_several_columns_are_merged_bit_for_bit),
           RUN(files_of_earlier_runs_are_merged_on_request),
           RUN(tokens_of_columns_in_other_orders_are_published_together),
           RUN(tokens_of_other_columns_are_not_published_together),
           RUN(columns_keep_their_numbers_over_a_refresh_and_new_ones_get_higher_ones),
           RUN(a_refresh_that_would_lose_or_change_a_column_is_refused))
