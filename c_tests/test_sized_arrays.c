/* Arrays of structs that begin with struct_size: a program that was built with larger ones steps by its own size. */
#include "columns.h"

enum { ELEMENTS = 3, ROOM = 8192, ROWS = 4 };

static const column_kind kinds[ELEMENTS] = {{"image", RDS_DTYPE_FLOAT32, 1, {3, 0, 0}},
                                            {"label", RDS_DTYPE_INT64, 0, {0, 0, 0}},
                                            {"byte", RDS_DTYPE_UINT8, 1, {2, 0, 0}}};

struct fixture {
    check_path_text path;
    rds_reader *reader;
};

/* What the call said that was given the array. */
static char said[1024];

/* Each takes ELEMENTS structs, the first of which is at `memory`. */
static rds_status use_tensors(const struct fixture *fixture, const void *memory, size_t count) {
    (void)fixture;
    static const int64_t numbers[ROWS] = {0, 1, 2, 3};
    check_path_text path = check_path();
    rds_writer *writer = table_writer(path.text, RDS_MODE_CREATE, RDS_DURABILITY_INTERVAL);
    const rds_ids ids = ids_of(RDS_IDS_INT64, ROWS, numbers);
    rds_status status = rds_write_tensors(writer, &ids, (const rds_tensor *)memory, count);
    snprintf(said, sizeof said, "%s", rds_last_error_message());
    CHECK_OK(rds_writer_close(writer));
    CHECK_NUMBER(table_rows(path.text), status == RDS_OK ? ROWS : -1);
    if (status == RDS_OK) {
        rds_reader *reader = table_reader(path.text);
        unsigned char bytes[64];
        for (uint32_t c = 0; c < ELEMENTS; c++) {
            CHECK_OK(rds_reader_read_range(reader, column_named(reader, kinds[c].name), 0, ROWS, bytes, sizeof bytes));
            CHECK(rows_are(&kinds[c], bytes, 0, 1, ROWS));
        }
        CHECK_OK(rds_reader_close(reader));
    }
    return status;
}

static unsigned char gathered[ELEMENTS][64];

static rds_status use_targets(const struct fixture *fixture, const void *memory, size_t count) {
    rds_rows rows = RDS_ROWS_INIT;
    rows.count = ROWS;
    memset(gathered, 0, sizeof gathered);
    rds_status status = rds_reader_gather(fixture->reader, &rows, (const rds_target *)memory, count);
    snprintf(said, sizeof said, "%s", rds_last_error_message());
    for (int c = 0; c < ELEMENTS && status == RDS_OK; c++) CHECK(rows_are(&kinds[c], gathered[c], 0, 1, ROWS));
    return status;
}

static rds_status use_specs(const struct fixture *fixture, const void *memory, size_t count) {
    (void)fixture;
    check_path_text path = check_path();
    rds_writer *writer = NULL;
    rds_writer_options options = RDS_WRITER_OPTIONS_INIT;
    options.columns = (const rds_column_spec *)memory, options.column_count = count;
    rds_status status = rds_writer_open(path.text, &options, &writer);
    snprintf(said, sizeof said, "%s", rds_last_error_message());
    CHECK((writer != NULL) == (status == RDS_OK));
    if (!writer) return status;
    CHECK_OK(rds_writer_close(writer));
    columns_check_at(path.text, kinds, ELEMENTS, 0);
    return status;
}

static int64_t shapes[ELEMENTS][4];
static rds_tensor tensors[ELEMENTS];
static rds_target targets[ELEMENTS];
static rds_column_spec specs[ELEMENTS];

static const struct array {
    const char *name, *macro;
    const void *elements;
    size_t size;
    rds_status (*use)(const struct fixture *, const void *, size_t);
} arrays[] = {{"tensors", "RDS_TENSOR_INIT", tensors, sizeof(rds_tensor), use_tensors},
              {"targets", "RDS_TARGET_INIT", targets, sizeof(rds_target), use_targets},
              {"columns", "RDS_COLUMN_SPEC_INIT", specs, sizeof(rds_column_spec), use_specs}};

static void fill_elements(void) {
    const rds_column_spec spec = RDS_COLUMN_SPEC_INIT;
    const rds_target target = RDS_TARGET_INIT;
    for (uint32_t c = 0; c < ELEMENTS; c++) {
        tensors[c] = kind_tensor(&kinds[c], 0, ROWS, shapes[c]);
        targets[c] = target, specs[c] = spec;
        targets[c].column = c, targets[c].data = gathered[c], targets[c].bytes = sizeof gathered[c];
        specs[c].name = kinds[c].name, specs[c].dtype = kinds[c].dtype;
        specs[c].ndim = kinds[c].ndim, specs[c].shape = kinds[c].shape;
    }
}

/* The elements `step` bytes apart, each of which says that it has `step`; zeros behind them. */
static void spread(const struct array *array, unsigned char *memory, size_t step) {
    memset(memory, 0, ROOM);
    for (size_t i = 0; i < ELEMENTS; i++) {
        size_t known = step < array->size ? step : array->size;
        memcpy(memory + i * step, (const unsigned char *)array->elements + i * array->size, known);
        memcpy(memory + i * step, &step, sizeof step);
    }
}

typedef void check_array(const struct fixture *, const struct array *, unsigned char *memory);

static void for_each_array(check_array *check) {
    struct fixture fixture = {check_path(), NULL};
    unsigned char *memory = (unsigned char *)malloc(ROOM);
    fill_elements();
    columns_add(fixture.path.text, kinds, ELEMENTS, 0, ROWS);
    fixture.reader = table_reader(fixture.path.text);
    for (size_t i = 0; i < sizeof arrays / sizeof arrays[0]; i++) {
        int before = check_failures;
        check(&fixture, &arrays[i], memory);
        if (check_failures != before) fprintf(stderr, "    of %s\n", arrays[i].name);
    }
    for (int c = 0; c < ELEMENTS; c++) free((void *)(uintptr_t)tensors[c].data);
    free(memory);
    CHECK_OK(rds_reader_close(fixture.reader));
}

static void check_larger(const struct fixture *fixture, const struct array *array, unsigned char *memory) {
    for (size_t step = array->size; step <= array->size + 64; step += 8) {
        spread(array, memory, step);
        CHECK_OK(array->use(fixture, memory, ELEMENTS));
    }
}

TEST(larger_structs_with_nothing_in_their_tails_are_stepped_by_their_size) { for_each_array(check_larger); }

static void check_tails(const struct fixture *fixture, const struct array *array, unsigned char *memory) {
    const size_t step = array->size + 16;
    for (size_t i = 0; i < ELEMENTS; i++) {
        for (size_t at = array->size; at < step; at += 5) {
            char name[32];
            spread(array, memory, step);
            memory[i * step + at] = 1;
            CHECK_STATUS(array->use(fixture, memory, ELEMENTS), RDS_ERR_NOT_SUPPORTED);
            snprintf(name, sizeof name, "%s[%d]", array->name, (int)i);
            CHECK_CONTAINS(said, name);
        }
    }
}

TEST(a_tail_with_something_in_it_is_told_with_its_number) { for_each_array(check_tails); }

static void check_smaller(const struct fixture *fixture, const struct array *array, unsigned char *memory) {
    for (size_t step = 0; step < array->size; step += 8) {
        spread(array, memory, step ? step : 8);
        memcpy(memory, &step, sizeof step);
        CHECK_STATUS(array->use(fixture, memory, ELEMENTS), RDS_ERR_INVALID_ARGUMENT);
        CHECK_CONTAINS(said, array->macro);
    }
}

TEST(smaller_structs_than_there_ever_were_are_refused) { for_each_array(check_smaller); }

static void check_unequal(const struct fixture *fixture, const struct array *array, unsigned char *memory) {
    const size_t others[] = {array->size + 8, array->size - 8, 0, SIZE_MAX, 1 << 20};
    for (size_t i = 1; i < ELEMENTS; i++) {
        for (int o = 0; o < 5; o++) {
            char name[32];
            spread(array, memory, array->size);
            memcpy(memory + i * array->size, &others[o], sizeof others[o]);
            CHECK_STATUS(array->use(fixture, memory, ELEMENTS), RDS_ERR_INVALID_ARGUMENT);
            snprintf(name, sizeof name, "%s[%d]", array->name, (int)i);
            CHECK_CONTAINS(said, name);
        }
    }
    /* The first one is another: then all the others are wrong. */
    spread(array, memory, array->size);
    const size_t first = array->size + 8;
    memcpy(memory, &first, sizeof first);
    CHECK(array->use(fixture, memory, ELEMENTS) != RDS_OK);
}

TEST(all_sizes_must_be_equal) { for_each_array(check_unequal); }

static void check_garbage(const struct fixture *fixture, const struct array *array, unsigned char *memory) {
    const size_t sizes[] = {SIZE_MAX, SIZE_MAX / 2 + 1, 1u << 30, 1u << 16};
    for (int i = 0; i < 4; i++) {
        spread(array, memory, array->size);
        memcpy(memory, &sizes[i], sizeof sizes[i]);
        CHECK_STATUS(array->use(fixture, memory, ELEMENTS), RDS_ERR_INVALID_ARGUMENT);
        CHECK_CONTAINS(said, array->macro);
    }
    /* Not where a struct may be. */
    spread(array, memory, array->size);
    memmove(memory + 1, memory, ROOM - 1);
    CHECK_STATUS(array->use(fixture, memory + 1, ELEMENTS), RDS_ERR_INVALID_ARGUMENT);
    spread(array, memory, array->size + 4);
    CHECK_STATUS(array->use(fixture, memory, ELEMENTS), RDS_ERR_INVALID_ARGUMENT);
}

TEST(sizes_and_places_that_are_none_are_refused) { for_each_array(check_garbage); }

static void check_counts(const struct fixture *fixture, const struct array *array, unsigned char *memory) {
    const size_t fitting = SIZE_MAX / array->size;
    const size_t counts[] = {SIZE_MAX, fitting, fitting + 1, SIZE_MAX / 2, (size_t)1 << 60};
    for (int i = 0; i < 5; i++) {
        spread(array, memory, array->size);
        CHECK_STATUS(array->use(fixture, memory, counts[i]), RDS_ERR_INVALID_ARGUMENT);
        CHECK_STATUS(array->use(fixture, NULL, counts[i]), RDS_ERR_INVALID_ARGUMENT);
    }
    CHECK_STATUS(array->use(fixture, NULL, 1), RDS_ERR_INVALID_ARGUMENT);
}

TEST(counts_beyond_all_memory_are_refused) { for_each_array(check_counts); }

TEST(many_columns_are_written_and_read) {
    enum { MANY = 400 };
    char names[MANY][24];
    check_path_text path = check_path();
    rds_writer *writer = table_writer(path.text, RDS_MODE_CREATE, RDS_DURABILITY_COMMIT);
    int32_t values[MANY][ROWS];
    const int64_t shape[1] = {ROWS}, numbers[ROWS] = {0, 1, 2, 3};
    rds_tensor many[MANY];
    const rds_ids ids = ids_of(RDS_IDS_INT64, ROWS, numbers);
    for (int c = 0; c < MANY; c++) {
        snprintf(names[c], sizeof names[c], "column-%d", c);
        for (int r = 0; r < ROWS; r++) values[c][r] = c * 10 + r;
        many[c] = tensor_of(RDS_DTYPE_INT32, 1, shape, values[c]);
        many[c].name = names[c];
    }
    CHECK_OK(rds_write_tensors(writer, &ids, many, MANY));
    CHECK_OK(rds_commit(writer, NULL, NULL));
    CHECK_OK(rds_writer_close(writer));
    rds_reader *reader = table_reader(path.text);
    CHECK_NUMBER(table_info(reader).column_count, MANY);
    for (uint32_t c = 0; c < MANY; c++) {
        int32_t read[ROWS];
        CHECK_NUMBER(column_named(reader, names[c]), c);
        CHECK_OK(rds_reader_read_range(reader, c, 0, ROWS, read, sizeof read));
        CHECK(memcmp(read, values[c], sizeof read) == 0);
    }
    CHECK_OK(rds_reader_close(reader));
}

CHECK_MAIN(RUN(larger_structs_with_nothing_in_their_tails_are_stepped_by_their_size),
           RUN(a_tail_with_something_in_it_is_told_with_its_number),
           RUN(smaller_structs_than_there_ever_were_are_refused),
           RUN(all_sizes_must_be_equal), RUN(sizes_and_places_that_are_none_are_refused),
           RUN(counts_beyond_all_memory_are_refused), RUN(many_columns_are_written_and_read))
