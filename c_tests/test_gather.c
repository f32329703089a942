/* A gather: the same rows of several columns, each to places of its own. */
#include "columns.h"

enum { ROWS = 60, FIRST_PART = 23, GUARD = 0xa5 };

static check_path_text make_mixed(void) {
    check_path_text path = check_path();
    columns_add(path.text, mixed, MIXED, 0, FIRST_PART);
    columns_add(path.text, mixed, MIXED, FIRST_PART, ROWS - FIRST_PART);
    return path;
}

/* Readers of each way to rows: mapped, mapped without reading ahead, through Lance. */
enum { READERS = 3 };
static rds_reader *reader_of(check_path_text path, int way) {
    rds_reader *reader = NULL;
    rds_reader_options options = RDS_READER_OPTIONS_INIT;
    options.access = way == 2 ? RDS_ACCESS_LANCE : RDS_ACCESS_AUTO;
    options.flags = way == 1 ? RDS_READER_NO_PREFETCH : 0;
    CHECK_OK(rds_reader_open(path.text, &options, &reader));
    return reader;
}

static rds_rows listed(const uint64_t *rows, uint64_t count) {
    rds_rows these = RDS_ROWS_INIT;
    these.rows = rows, these.count = count;
    return these;
}

static rds_rows stepped(uint64_t first, uint64_t count, int64_t step) {
    rds_rows these = RDS_ROWS_INIT;
    these.first_row = first, these.count = count, these.step = step;
    return these;
}

static rds_target target_of(uint32_t column, void *data, size_t bytes, size_t stride) {
    rds_target target = RDS_TARGET_INIT;
    target.column = column, target.data = data, target.bytes = bytes, target.stride = stride;
    return target;
}

static uint64_t row_at(const rds_rows *rows, uint64_t i) {
    int64_t step = rows->step ? rows->step : 1;
    return rows->rows ? rows->rows[i] : rows->first_row + (uint64_t)((int64_t)i * step);
}

/* Gathers into an array for each column, with `gap` bytes between rows, which must stay as they were. */
static void check_arrays(const rds_reader *reader, const rds_rows *rows, size_t gap, size_t offset) {
    rds_target targets[MIXED];
    unsigned char *memory[MIXED];
    for (uint32_t c = 0; c < MIXED; c++) {
        size_t size = kind_bytes(&mixed[c]), stride = size + gap;
        size_t bytes = rows->count ? (rows->count - 1) * stride + size : 0;
        memory[c] = (unsigned char *)malloc(offset + bytes + 16);
        memset(memory[c], GUARD, offset + bytes + 16);
        targets[c] = target_of(c, memory[c] + offset, bytes, gap ? stride : 0);
    }
    CHECK_OK(rds_reader_gather(reader, rows, targets, MIXED));
    for (uint32_t c = 0; c < MIXED; c++) {
        size_t size = kind_bytes(&mixed[c]), at = 0, untouched = 0, others = offset + 16;
        for (; at < offset; at++) untouched += memory[c][at] == GUARD;
        for (uint64_t i = 0; i < rows->count; i++) {
            CHECK(rows_are(&mixed[c], memory[c] + at, row_at(rows, i), 1, 1));
            at += size;
            for (size_t g = 0; i + 1 < rows->count && g < gap; g++, at++, others++) {
                untouched += memory[c][at] == GUARD;
            }
        }
        for (int i = 0; i < 16; i++) untouched += memory[c][at++] == GUARD;
        CHECK_NUMBER(untouched, others);
        free(memory[c]);
    }
}

TEST(rows_by_list_and_by_step_go_to_arrays_of_any_stride_and_alignment) {
    check_path_text path = make_mixed();
    static const uint64_t list[] = {59, 0, 22, 23, 23, 7, 58, 24, 0};
    const rds_rows chosen[] = {listed(list, 9), listed(list, 1),      listed(list, 0),     stepped(0, ROWS, 0),
                               stepped(0, 0, 0), stepped(60, 0, 0),   stepped(5, 11, 5),   stepped(59, ROWS, -1),
                               stepped(59, 9, -7), stepped(3, 1, INT64_MAX), stepped(3, 1, INT64_MIN),
                               stepped(20, 6, 1)};
    for (int way = 0; way < READERS; way++) {
        rds_reader *reader = reader_of(path, way);
        for (size_t i = 0; i < sizeof chosen / sizeof chosen[0]; i++) {
            int before = check_failures;
            check_arrays(reader, &chosen[i], 0, 0);
            check_arrays(reader, &chosen[i], 5, 3);
            check_arrays(reader, &chosen[i], 64, 1);
            if (check_failures != before) fprintf(stderr, "    of choice %d, way %d\n", (int)i, way);
        }
        CHECK_OK(rds_reader_close(reader));
    }
}

TEST(columns_are_interleaved_in_records) {
    struct record {
        int64_t label;
        float image[12];
        unsigned char flags[3], mask[8];
        int64_t again;
        unsigned char byte[6];
    };
    check_path_text path = make_mixed();
    static const uint64_t list[] = {59, 0, 22, 23, 23, 7, 58};
    enum { MANY = sizeof list / sizeof list[0] };
    for (int way = 0; way < READERS; way++) {
        struct record records[MANY];
        rds_reader *reader = reader_of(path, way);
        const rds_rows rows = listed(list, MANY);
        const size_t stride = sizeof records[0], all = sizeof records;
        unsigned char *start = (unsigned char *)records;
#define FIELD(column, field) \
    target_of(column, start + offsetof(struct record, field), all - offsetof(struct record, field), stride)
        /* One column twice. */
        const rds_target targets[] = {FIELD(1, label), FIELD(0, image), FIELD(3, flags),
                                      FIELD(2, mask),  FIELD(1, again), FIELD(7, byte)};
#undef FIELD
        memset(records, GUARD, sizeof records);
        CHECK_OK(rds_reader_gather(reader, &rows, targets, 6));
        for (int i = 0; i < MANY; i++) {
            CHECK(rows_are(&mixed[1], (unsigned char *)&records[i].label, list[i], 1, 1));
            CHECK(rows_are(&mixed[0], (unsigned char *)records[i].image, list[i], 1, 1));
            CHECK(rows_are(&mixed[3], records[i].flags, list[i], 1, 1));
            CHECK(rows_are(&mixed[2], records[i].mask, list[i], 1, 1));
            CHECK(rows_are(&mixed[7], records[i].byte, list[i], 1, 1));
            CHECK(records[i].again == records[i].label);
        }
        CHECK_OK(rds_reader_close(reader));
    }
}

TEST(no_targets_copy_nothing) {
    check_path_text path = make_mixed();
    rds_reader *reader = reader_of(path, 0);
    rds_rows rows = stepped(0, ROWS, 0);
    rds_target target = RDS_TARGET_INIT;
    CHECK_OK(rds_reader_gather(reader, &rows, NULL, 0));
    CHECK_OK(rds_reader_gather(reader, &rows, &target, 0));
    rows.count = 0;
    CHECK_OK(rds_reader_gather(reader, &rows, NULL, 0));
    CHECK_OK(rds_reader_gather(reader, &rows, &target, 1));
    CHECK_OK(rds_reader_close(reader));
}

TEST(rows_outside_the_table_are_refused_before_anything_is_written) {
    check_path_text path = make_mixed();
    static const uint64_t beyond[] = {0, ROWS}, far[] = {0, UINT64_MAX};
    const rds_rows wrong[] = {listed(beyond, 2), listed(far, 2), stepped(0, ROWS + 1, 0), stepped(60, 1, 0),
                              stepped(59, 2, 1), stepped(3, 5, -1), stepped(0, 2, -1), stepped(1, 2, INT64_MAX),
                              stepped(1, 2, INT64_MIN), stepped(UINT64_MAX, 1, 0), stepped(UINT64_MAX, 2, 1),
                              stepped(50, 3, 5)};
    for (int way = 0; way < READERS; way++) {
        rds_reader *reader = reader_of(path, way);
        for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
            int before = check_failures;
            unsigned char bytes[4096];
            size_t untouched = 0;
            memset(bytes, GUARD, sizeof bytes);
            const rds_target targets[] = {target_of(0, bytes, 3072, 0), target_of(3, bytes + 3072, 1024, 0)};
            CHECK_STATUS(rds_reader_gather(reader, &wrong[i], targets, 2), RDS_ERR_OUT_OF_RANGE);
            for (size_t at = 0; at < sizeof bytes; at++) untouched += bytes[at] == GUARD;
            CHECK_NUMBER(untouched, sizeof bytes);
            if (check_failures != before) fprintf(stderr, "    of choice %d, way %d\n", (int)i, way);
        }
        CHECK_OK(rds_reader_close(reader));
    }
}

/* More rows than any memory has room for: what is refused first is as good. */
TEST(counts_beyond_all_memory_are_refused) {
    check_path_text path = make_mixed();
    rds_reader *reader = reader_of(path, 0);
    unsigned char bytes[64];
    const uint64_t counts[] = {UINT64_MAX, UINT64_MAX / 48, UINT64_MAX / 48 + 1, 1ull << 63, 1ull << 61};
    for (int i = 0; i < 5; i++) {
        const rds_rows rows = stepped(0, counts[i], 0), none = listed(NULL, counts[i]);
        const rds_target targets[] = {target_of(0, bytes, sizeof bytes, 0),
                                      target_of(0, bytes, sizeof bytes, SIZE_MAX),
                                      target_of(0, bytes, SIZE_MAX, SIZE_MAX / 2)};
        for (int t = 0; t < 3; t++) {
            rds_status status = rds_reader_gather(reader, &rows, &targets[t], 1);
            CHECK(status == RDS_ERR_OUT_OF_RANGE || status == RDS_ERR_INVALID_ARGUMENT);
            status = rds_reader_gather(reader, &none, &targets[t], 1);
            CHECK(status == RDS_ERR_OUT_OF_RANGE || status == RDS_ERR_INVALID_ARGUMENT);
        }
    }
    CHECK_OK(rds_reader_close(reader));
}

static void check_refused(const rds_reader *reader, const rds_rows *rows, const rds_target *target,
                          const char *message) {
    unsigned char good[4096];
    rds_target targets[2] = {target_of(0, good, sizeof good, 0), *target};
    CHECK_STATUS(rds_reader_gather(reader, rows, targets, 2), RDS_ERR_INVALID_ARGUMENT);
    CHECK_MESSAGE_HAS(message);
    CHECK_MESSAGE_HAS("targets[1]");
}

TEST(malformed_targets_are_refused_by_number) {
    check_path_text path = make_mixed();
    rds_reader *reader = reader_of(path, 0);
    unsigned char bytes[1024];
    static const uint64_t list[] = {1, 2, 3};
    const rds_rows rows = listed(list, 3);
    rds_target target = target_of(0, bytes, 3 * 48 - 1, 0);
    check_refused(reader, &rows, &target, "143");
    target = target_of(0, bytes, 2 * 60 + 47, 60);
    check_refused(reader, &rows, &target, "167");
    target = target_of(0, bytes, sizeof bytes, 47);
    check_refused(reader, &rows, &target, "stride");
    target = target_of(MIXED, bytes, sizeof bytes, 0);
    check_refused(reader, &rows, &target, "column");
    target = target_of(UINT32_MAX, bytes, sizeof bytes, 0);
    check_refused(reader, &rows, &target, "column");
    target = target_of(0, NULL, sizeof bytes, 0);
    check_refused(reader, &rows, &target, "NULL");
    target = target_of(0, bytes, 2 * 60 + 48, 60);
    CHECK_OK(rds_reader_gather(reader, &rows, &target, 1));
    CHECK_OK(rds_reader_close(reader));
}

TEST(malformed_rows_are_refused) {
    check_path_text path = make_mixed();
    rds_reader *reader = reader_of(path, 0);
    unsigned char bytes[1024];
    static const uint64_t list[] = {1, 2, 3};
    const rds_target target = target_of(0, bytes, sizeof bytes, 0);
    rds_rows rows = listed(list, 3);
    rows.first_row = 1;
    CHECK_STATUS(rds_reader_gather(reader, &rows, &target, 1), RDS_ERR_INVALID_ARGUMENT);
    CHECK_MESSAGE_HAS("first_row");
    rows.first_row = 0, rows.step = 1;
    CHECK_STATUS(rds_reader_gather(reader, &rows, &target, 1), RDS_ERR_INVALID_ARGUMENT);
    CHECK_MESSAGE_HAS("step");
    rows.step = 0, rows.rows = (const uint64_t *)((const char *)list + 1);
    CHECK_STATUS(rds_reader_gather(reader, &rows, &target, 1), RDS_ERR_INVALID_ARGUMENT);
    rds_target flagged = target;
    flagged.flags = 1;
    rows.rows = list;
    CHECK_STATUS(rds_reader_gather(reader, &rows, &flagged, 1), RDS_ERR_NOT_SUPPORTED);
    CHECK_MESSAGE_HAS("flags");
    CHECK_OK(rds_reader_close(reader));
}

/* Enough for several threads. */
TEST(a_large_gather_of_several_columns_is_right_to_the_last_byte) {
    enum { MANY = 20000, CHOSEN = 30000 };
    static const column_kind kinds[] = {{"wide", RDS_DTYPE_FLOAT32, 1, {300, 0, 0}},
                                        {"narrow", RDS_DTYPE_UINT16, 0, {0, 0, 0}},
                                        {"bits", RDS_DTYPE_BOOL, 1, {3, 0, 0}}};
    check_path_text path = check_path();
    const uint64_t many = (uint64_t)check_rounds(MANY), chosen = (uint64_t)check_rounds(CHOSEN);
    columns_add(path.text, kinds, 3, 0, many / 3);
    columns_add(path.text, kinds, 3, many / 3, many - many / 3);
    uint64_t *list = (uint64_t *)malloc(chosen * sizeof *list);
    for (uint64_t i = 0; i < chosen; i++) list[i] = i * 7919 % many;
    for (int way = 0; way < READERS; way++) {
        rds_reader *reader = reader_of(path, way);
        const rds_rows rows = listed(list, chosen);
        size_t wrong = 0, record = 1200 + 2 + 3 + 2;
        unsigned char *memory = (unsigned char *)malloc(record * chosen);
        const rds_target targets[] = {target_of(0, memory, record * chosen, record),
                                      target_of(1, memory + 1200, record * chosen - 1200, record),
                                      target_of(2, memory + 1202, record * chosen - 1202, record),
                                      target_of(1, memory + 1205, record * chosen - 1205, record)};
        CHECK_OK(rds_reader_gather(reader, &rows, targets, 4));
        for (uint64_t i = 0; i < chosen; i++) {
            const unsigned char *start = memory + i * record;
            wrong += !rows_are(&kinds[0], start, list[i], 1, 1);
            wrong += !rows_are(&kinds[1], start + 1200, list[i], 1, 1);
            wrong += !rows_are(&kinds[2], start + 1202, list[i], 1, 1);
            wrong += !rows_are(&kinds[1], start + 1205, list[i], 1, 1);
        }
        CHECK_NUMBER(wrong, 0);
        free(memory);
        CHECK_OK(rds_reader_close(reader));
    }
    free(list);
}

CHECK_MAIN(RUN(rows_by_list_and_by_step_go_to_arrays_of_any_stride_and_alignment),
           RUN(columns_are_interleaved_in_records), RUN(no_targets_copy_nothing),
           RUN(rows_outside_the_table_are_refused_before_anything_is_written),
           RUN(counts_beyond_all_memory_are_refused), RUN(malformed_targets_are_refused_by_number),
           RUN(malformed_rows_are_refused), RUN(a_large_gather_of_several_columns_is_right_to_the_last_byte))
