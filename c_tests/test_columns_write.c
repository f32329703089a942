/* What a writer takes of several named columns, what it refuses, and how it goes on; columns that are declared, and
 * tables without rows. */
#include "columns.h"
#include "files.h"

static const column_kind kinds[] = {{"image", RDS_DTYPE_FLOAT32, 2, {3, 4, 0}},
                                    {"label", RDS_DTYPE_INT64, 0, {0, 0, 0}},
                                    {"mask", RDS_DTYPE_BOOL, 1, {8, 0, 0}}};
enum { COUNT = 3 };

TEST(columns_come_in_any_order_after_the_first_batch) {
    check_path_text path = check_path();
    rds_writer *writer = table_writer(path.text, RDS_MODE_CREATE, RDS_DURABILITY_INTERVAL);
    for (uint64_t i = 0; i < MIXED; i++) {
        CHECK_OK(columns_write_turned(writer, mixed, MIXED, i * 5, 5, (size_t)i));
    }
    CHECK_OK(rds_writer_close(writer));
    writer = table_writer(path.text, RDS_MODE_APPEND, RDS_DURABILITY_BATCH);
    CHECK_OK(columns_write_turned(writer, mixed, MIXED, MIXED * 5, 7, 3));
    CHECK_OK(rds_writer_close(writer));
    rds_reader *reader = table_reader(path.text);
    columns_check(reader, mixed, MIXED, MIXED * 5 + 7);
    for (uint32_t c = 0; c < MIXED; c++) CHECK_NUMBER(column_named(reader, mixed[c].name), c);
    CHECK_OK(rds_reader_close(reader));
}

static void check_refused(rds_writer *writer, const column_kind *wrong, size_t count, rds_status status,
                          const char *named) {
    rds_write_stats before = RDS_WRITE_STATS_INIT, after = RDS_WRITE_STATS_INIT;
    CHECK_OK(rds_writer_stats(writer, &before));
    CHECK_STATUS(columns_write(writer, wrong, count, 1000, 3), status);
    CHECK_MESSAGE_HAS(named);
    CHECK_OK(rds_writer_stats(writer, &after));
    CHECK_NUMBER(after.accepted_rows, before.accepted_rows);
    CHECK_NUMBER(after.accepted_bytes, before.accepted_bytes);
    CHECK_NUMBER(after.state, RDS_WRITER_RUNNING);
}

static void check_every_mismatch(rds_writer *writer) {
    const column_kind image = kinds[0], label = kinds[1], mask = kinds[2];
    const column_kind missing[] = {image, mask}, surplus[] = {image, label, mask, {"more", RDS_DTYPE_INT8, 0, {0}}};
    const column_kind doubled[] = {image, label, mask, label}, instead[] = {image, mask, mask};
    const column_kind other_dtype[] = {image, {"label", RDS_DTYPE_INT32, 0, {0}}, mask};
    const column_kind same_size[] = {image, {"label", RDS_DTYPE_UINT64, 0, {0}}, mask};
    const column_kind other_shape[] = {{"image", RDS_DTYPE_FLOAT32, 2, {4, 3, 0}}, label, mask};
    const column_kind flat[] = {{"image", RDS_DTYPE_FLOAT32, 1, {12, 0, 0}}, label, mask};
    const column_kind renamed[] = {image, {"Label", RDS_DTYPE_INT64, 0, {0}}, mask};
    const column_kind one_of_one[] = {image, {"label", RDS_DTYPE_INT64, 1, {1}}, mask};
    check_refused(writer, missing, 2, RDS_ERR_SCHEMA_MISMATCH, "\"label\"");
    check_refused(writer, surplus, 4, RDS_ERR_SCHEMA_MISMATCH, "\"more\"");
    check_refused(writer, doubled, 4, RDS_ERR_SCHEMA_MISMATCH, "\"label\"");
    check_refused(writer, instead, 3, RDS_ERR_SCHEMA_MISMATCH, "\"mask\"");
    check_refused(writer, other_dtype, 3, RDS_ERR_SCHEMA_MISMATCH, "\"label\"");
    check_refused(writer, same_size, 3, RDS_ERR_SCHEMA_MISMATCH, "\"label\"");
    check_refused(writer, other_shape, 3, RDS_ERR_SCHEMA_MISMATCH, "\"image\"");
    check_refused(writer, flat, 3, RDS_ERR_SCHEMA_MISMATCH, "\"image\"");
    check_refused(writer, renamed, 3, RDS_ERR_SCHEMA_MISMATCH, "\"Label\"");
    check_refused(writer, one_of_one, 3, RDS_ERR_SCHEMA_MISMATCH, "\"label\"");
}

TEST(columns_that_are_not_the_tables_are_named_and_nothing_is_kept) {
    static const uint32_t durabilities[] = {RDS_DURABILITY_INTERVAL, RDS_DURABILITY_BATCH, RDS_DURABILITY_COMMIT};
    for (int d = 0; d < 3; d++) {
        check_path_text path = check_path();
        rds_writer *writer = table_writer(path.text, RDS_MODE_CREATE, durabilities[d]);
        CHECK_OK(columns_write(writer, kinds, COUNT, 0, 4));
        check_every_mismatch(writer);
        CHECK_OK(columns_write(writer, kinds, COUNT, 4, 4));
        CHECK_OK(rds_commit(writer, NULL, NULL));
        check_every_mismatch(writer);
        CHECK_OK(rds_writer_close(writer));
        /* And of a writer that learns the columns from the table. */
        writer = table_writer(path.text, RDS_MODE_APPEND, durabilities[d]);
        check_every_mismatch(writer);
        CHECK_OK(columns_write_turned(writer, kinds, COUNT, 8, 4, 1));
        CHECK_OK(rds_commit(writer, NULL, NULL));
        CHECK_OK(rds_writer_close(writer));
        columns_check_at(path.text, kinds, COUNT, 12);
    }
}

TEST(a_first_batch_that_is_refused_fixes_nothing) {
    const column_kind doubled[] = {kinds[0], kinds[1], kinds[0]};
    check_path_text path = check_path();
    rds_writer *writer = table_writer(path.text, RDS_MODE_CREATE, RDS_DURABILITY_INTERVAL);
    check_refused(writer, doubled, 3, RDS_ERR_SCHEMA_MISMATCH, "\"image\"");
    CHECK_OK(columns_write(writer, kinds, COUNT, 0, 4));
    CHECK_OK(rds_writer_close(writer));
    columns_check_at(path.text, kinds, COUNT, 4);
}

TEST(numbers_of_rows_that_differ_are_refused) {
    check_path_text path = check_path();
    rds_writer *writer = table_writer(path.text, RDS_MODE_CREATE, RDS_DURABILITY_INTERVAL);
    int64_t shapes[2][4], numbers[4] = {0, 1, 2, 3};
    rds_tensor tensors[2] = {kind_tensor(&kinds[0], 0, 4, shapes[0]), kind_tensor(&kinds[1], 0, 4, shapes[1])};
    rds_ids ids = ids_of(RDS_IDS_INT64, 4, numbers);
    shapes[1][0] = 3;
    CHECK_STATUS(rds_write_tensors(writer, &ids, tensors, 2), RDS_ERR_INVALID_ARGUMENT);
    CHECK_MESSAGE_HAS("4 ids for 3 rows of the tensor \"label\"");
    shapes[1][0] = 4, ids.count = 3;
    CHECK_STATUS(rds_write_tensors(writer, &ids, tensors, 2), RDS_ERR_INVALID_ARGUMENT);
    ids.count = 4;
    CHECK_STATUS(rds_write_tensors(writer, &ids, tensors, 0), RDS_ERR_INVALID_ARGUMENT);
    tensors[1].reserved = 1;
    CHECK_STATUS(rds_write_tensors(writer, &ids, tensors, 2), RDS_ERR_NOT_SUPPORTED);
    CHECK_MESSAGE_HAS("tensors[1]");
    tensors[1].reserved = 0;
    CHECK_OK(rds_write_tensors(writer, &ids, tensors, 2));
    CHECK_OK(rds_writer_close(writer));
    for (int i = 0; i < 2; i++) free((void *)(uintptr_t)tensors[i].data);
}

TEST(an_empty_batch_does_nothing_but_is_checked) {
    check_path_text path = check_path();
    rds_writer *writer = table_writer(path.text, RDS_MODE_CREATE, RDS_DURABILITY_INTERVAL);
    CHECK_OK(columns_write(writer, kinds, COUNT, 0, 0));
    CHECK_OK(columns_write(writer, kinds, COUNT, 0, 2));
    CHECK_OK(columns_write_turned(writer, kinds, COUNT, 0, 0, 2));
    CHECK_STATUS(columns_write(writer, kinds, COUNT - 1, 0, 0), RDS_ERR_SCHEMA_MISMATCH);
    CHECK_OK(rds_writer_close(writer));
    columns_check_at(path.text, kinds, COUNT, 2);
}

static char longest[1001];

/* Names that a table can have. */
TEST(unusual_names_come_back_as_they_were) {
    memset(longest, 'n', 1000);
    const column_kind unusual[] = {{"two words", RDS_DTYPE_FLOAT32, 1, {2, 0, 0}},
                                   {"\xc3\xa9toile \xe2\x98\x85", RDS_DTYPE_INT16, 1, {3, 0, 0}},
                                   {longest, RDS_DTYPE_UINT8, 0, {0, 0, 0}},
                                   {"tensor_shape", RDS_DTYPE_FLOAT64, 0, {0, 0, 0}},
                                   {"tensor_dtype", RDS_DTYPE_INT8, 1, {1, 0, 0}},
                                   {"a\"quote'd\\one", RDS_DTYPE_BOOL, 1, {2, 0, 0}},
                                   {" ", RDS_DTYPE_INT32, 0, {0, 0, 0}},
                                   {"Data", RDS_DTYPE_INT32, 0, {0, 0, 0}},
                                   {"item", RDS_DTYPE_UINT32, 1, {4, 0, 0}},
                                   {"{\"tensor_shape\": [9]}", RDS_DTYPE_UINT64, 0, {0, 0, 0}},
                                   {"-1/0", RDS_DTYPE_FLOAT16, 1, {2, 0, 0}}};
    enum { UNUSUAL = sizeof unusual / sizeof unusual[0] };
    check_path_text path = check_path();
    columns_add(path.text, unusual, UNUSUAL, 0, 9);
    columns_add(path.text, unusual, UNUSUAL, 9, 4);
    columns_check_at(path.text, unusual, UNUSUAL, 13);
    for (int i = 0; i < UNUSUAL; i++) {
        check_path_text lone = check_path();
        columns_add(lone.text, &unusual[i], 1, 0, 3);
        columns_add(lone.text, &unusual[i], 1, 3, 3);
        columns_check_at(lone.text, &unusual[i], 1, 6);
    }
    /* These two alone, and beside `data`. */
    const column_kind two[] = {unusual[3], unusual[4], {"data", RDS_DTYPE_FLOAT32, 1, {4, 0, 0}}};
    for (size_t count = 2; count <= 3; count++) {
        path = check_path();
        columns_add(path.text, two, count, 0, 5);
        columns_add(path.text, two, count, 5, 5);
        columns_check_at(path.text, two, count, 10);
    }
}

TEST(names_that_lance_cannot_store_are_refused) {
    static const char *const names[] = {"", "a.b", ".", "a`b", "`", "_rowid", "_rowaddr", "object_id", "\xff", "a\xc3"};
    check_path_text path = check_path();
    rds_writer *writer = table_writer(path.text, RDS_MODE_CREATE, RDS_DURABILITY_INTERVAL);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        int before = check_failures;
        const column_kind bad[] = {kinds[0], {names[i], RDS_DTYPE_INT8, 0, {0}}};
        rds_writer *other = (rds_writer *)&path;
        rds_writer_options options = RDS_WRITER_OPTIONS_INIT;
        rds_column_spec specs[2] = {RDS_COLUMN_SPEC_INIT, RDS_COLUMN_SPEC_INIT};
        check_refused(writer, bad, 2, RDS_ERR_INVALID_ARGUMENT, i < 8 ? "a tensor cannot be called" : "UTF-8");
        check_refused(writer, bad + 1, 1, RDS_ERR_INVALID_ARGUMENT, i < 8 ? "a tensor cannot be called" : "UTF-8");
        specs[0].name = "image", specs[1].name = names[i];
        specs[0].dtype = specs[1].dtype = RDS_DTYPE_INT8;
        options.columns = specs, options.column_count = 2;
        CHECK_STATUS(rds_writer_open(check_path().text, &options, &other), RDS_ERR_INVALID_ARGUMENT);
        CHECK_MESSAGE_HAS(i < 8 ? "a tensor cannot be called" : "UTF-8");
        CHECK(other == NULL);
        if (check_failures != before) fprintf(stderr, "    of \"%s\"\n", names[i]);
    }
    CHECK_OK(columns_write(writer, kinds, COUNT, 0, 4));
    CHECK_OK(rds_writer_close(writer));
    columns_check_at(path.text, kinds, COUNT, 4);
}

/* A writer that declares the columns. */
static rds_writer *declare(const char *path, uint32_t mode, uint32_t durability, const column_kind *declared,
                           size_t count) {
    rds_writer *writer = NULL;
    rds_writer_options options = RDS_WRITER_OPTIONS_INIT;
    rds_column_spec specs[MOST_COLUMNS];
    for (size_t c = 0; c < count; c++) {
        const rds_column_spec spec = RDS_COLUMN_SPEC_INIT;
        specs[c] = spec;
        specs[c].name = declared[c].name, specs[c].dtype = declared[c].dtype;
        specs[c].ndim = declared[c].ndim, specs[c].shape = declared[c].shape;
    }
    options.mode = mode, options.durability = durability;
    options.columns = specs, options.column_count = count;
    CHECK_OK(rds_writer_open(path, &options, &writer));
    return writer;
}

enum { BY_FLUSH, BY_COMMIT, BY_CLOSE, MAKINGS };

TEST(declared_columns_make_a_table_without_rows_which_takes_some_later) {
    for (int making = 0; making < MAKINGS; making++) {
        for (uint32_t mode = RDS_MODE_CREATE; mode <= RDS_MODE_OVERWRITE; mode += RDS_MODE_OVERWRITE) {
            int before = check_failures;
            check_path_text path = check_path();
            if (mode == RDS_MODE_OVERWRITE) table_make(path.text, 5);
            rds_writer *writer = declare(path.text, mode, RDS_DURABILITY_INTERVAL, mixed, MIXED);
            CHECK_NUMBER(table_rows(path.text), mode == RDS_MODE_CREATE ? -1 : 5);
            if (making == BY_FLUSH) CHECK_OK(rds_flush(writer));
            if (making == BY_COMMIT) CHECK_OK(rds_commit(writer, NULL, NULL));
            if (making != BY_CLOSE) columns_check_at(path.text, mixed, MIXED, 0);
            CHECK_OK(rds_writer_close(writer));
            columns_check_at(path.text, mixed, MIXED, 0);
            rds_reader *early = table_reader(path.text);
            columns_add(path.text, mixed, MIXED, 0, 0);
            writer = table_writer(path.text, RDS_MODE_APPEND, RDS_DURABILITY_INTERVAL);
            CHECK_STATUS(columns_write(writer, kinds, COUNT, 0, 6), RDS_ERR_SCHEMA_MISMATCH);
            CHECK_OK(columns_write_turned(writer, mixed, MIXED, 0, 6, 2));
            CHECK_OK(rds_writer_close(writer));
            columns_check_at(path.text, mixed, MIXED, 6);
            uint32_t changed = 0;
            CHECK_OK(rds_reader_refresh(early, &changed));
            columns_check(early, mixed, MIXED, 6);
            CHECK_OK(rds_reader_close(early));
            if (check_failures != before) fprintf(stderr, "    made by %d in mode %u\n", making, mode);
        }
    }
}

TEST(a_batch_that_does_not_fit_what_was_declared_is_refused) {
    check_path_text path = check_path();
    rds_writer *writer = declare(path.text, RDS_MODE_CREATE, RDS_DURABILITY_INTERVAL, kinds, COUNT);
    check_every_mismatch(writer);
    CHECK_OK(columns_write_turned(writer, kinds, COUNT, 0, 4, 2));
    CHECK_OK(rds_writer_close(writer));
    rds_reader *reader = table_reader(path.text);
    columns_check(reader, kinds, COUNT, 4);
    for (uint32_t c = 0; c < COUNT; c++) CHECK_NUMBER(column_named(reader, kinds[c].name), c);
    CHECK_OK(rds_reader_close(reader));
}

TEST(a_writer_that_appends_may_declare_what_the_table_has) {
    check_path_text path = check_path();
    const column_kind turned[] = {kinds[2], kinds[0], kinds[1]};
    rds_writer_options options = RDS_WRITER_OPTIONS_INIT;
    rds_column_spec spec = RDS_COLUMN_SPEC_INIT;
    rds_writer *refused = NULL;
    columns_add(path.text, kinds, COUNT, 0, 4);
    rds_writer *writer = declare(path.text, RDS_MODE_APPEND, RDS_DURABILITY_INTERVAL, turned, COUNT);
    CHECK_OK(columns_write(writer, kinds, COUNT, 4, 4));
    CHECK_OK(rds_writer_close(writer));
    columns_check_at(path.text, kinds, COUNT, 8);
    spec.name = "other", spec.dtype = RDS_DTYPE_INT8;
    options.mode = RDS_MODE_APPEND, options.columns = &spec, options.column_count = 1;
    CHECK_STATUS(rds_writer_open(path.text, &options, &refused), RDS_ERR_SCHEMA_MISMATCH);
    CHECK_MESSAGE_HAS("\"other\"");
}

TEST(what_is_dropped_makes_no_table_and_replaces_none) {
    for (uint32_t durability = RDS_DURABILITY_INTERVAL; durability <= RDS_DURABILITY_COMMIT; durability++) {
        check_path_text path = check_path(), old = check_path();
        table_make(old.text, 5);
        CHECK_OK(rds_writer_abort(declare(old.text, RDS_MODE_OVERWRITE, durability, kinds, COUNT)));
        CHECK_NUMBER(table_rows(old.text), 5);
        rds_writer *writer = declare(path.text, RDS_MODE_CREATE, durability, kinds, COUNT);
        CHECK_OK(rds_writer_close(writer));
        /* Of that durability what was not committed is dropped, the table too. */
        CHECK_NUMBER(table_rows(path.text), durability == RDS_DURABILITY_COMMIT ? -1 : 0);
    }
}

TEST(a_lone_data_is_declared_too_and_a_writer_that_is_aborted_makes_no_table) {
    const column_kind data = {"data", RDS_DTYPE_FLOAT32, 1, {TABLE_WIDTH, 0, 0}};
    check_path_text path = check_path(), aborted = check_path();
    CHECK_OK(rds_writer_abort(declare(aborted.text, RDS_MODE_CREATE, RDS_DURABILITY_INTERVAL, &data, 1)));
    CHECK_NUMBER(table_rows(aborted.text), -1);
    CHECK_OK(rds_writer_close(declare(path.text, RDS_MODE_CREATE, RDS_DURABILITY_INTERVAL, &data, 1)));
    rds_reader *reader = table_reader(path.text);
    CHECK_NUMBER(table_info(reader).form, RDS_FORM_DATA);
    CHECK_OK(rds_reader_close(reader));
    table_append(path.text, 0, 7);
    table_check_all(path.text, 7);
}

TEST(declared_columns_are_checked) {
    static const int64_t shape[1] = {3}, zero[1] = {0}, negative[1] = {-1}, huge[1] = {INT64_MAX};
    const rds_column_spec none = RDS_COLUMN_SPEC_INIT;
    rds_column_spec specs[2] = {none, none};
    rds_writer_options options = RDS_WRITER_OPTIONS_INIT;
    rds_writer *writer = NULL;
    options.columns = specs, options.column_count = 2;
    specs[0].dtype = RDS_DTYPE_INT8, specs[0].name = "a";
    const struct {
        rds_column_spec spec;
        const char *message;
    } wrong[] = {{{sizeof none, "b", 0, 0, NULL}, "dtype"},
                 {{sizeof none, "b", 24, 0, NULL}, "dtype"},
                 {{sizeof none, "b", RDS_DTYPE_INT8, RDS_MAX_NDIM + 1, shape}, "ndim"},
                 {{sizeof none, "b", RDS_DTYPE_INT8, 1, NULL}, "shape"},
                 {{sizeof none, "b", RDS_DTYPE_INT8, 1, zero}, "shape"},
                 {{sizeof none, "b", RDS_DTYPE_INT8, 1, negative}, "shape"},
                 {{sizeof none, "b", RDS_DTYPE_INT64, 1, huge}, "shape"},
                 {{sizeof none, "a", RDS_DTYPE_INT8, 0, NULL}, "\"a\""}};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        int before = check_failures;
        specs[1] = wrong[i].spec;
        rds_status status = rds_writer_open(check_path().text, &options, &writer);
        CHECK_STATUS(status, RDS_ERR_INVALID_ARGUMENT);
        CHECK_MESSAGE_HAS(wrong[i].message);
        CHECK(writer == NULL);
        if (check_failures != before) fprintf(stderr, "    of case %d\n", (int)i);
    }
    options.columns = NULL;
    CHECK_STATUS(rds_writer_open(check_path().text, &options, &writer), RDS_ERR_INVALID_ARGUMENT);
}

CHECK_MAIN(RUN(columns_come_in_any_order_after_the_first_batch),
           RUN(columns_that_are_not_the_tables_are_named_and_nothing_is_kept),
           RUN(a_first_batch_that_is_refused_fixes_nothing), RUN(numbers_of_rows_that_differ_are_refused),
           RUN(an_empty_batch_does_nothing_but_is_checked), RUN(unusual_names_come_back_as_they_were),
           RUN(names_that_lance_cannot_store_are_refused),
           RUN(declared_columns_make_a_table_without_rows_which_takes_some_later),
           RUN(a_batch_that_does_not_fit_what_was_declared_is_refused),
           RUN(a_writer_that_appends_may_declare_what_the_table_has),
           RUN(what_is_dropped_makes_no_table_and_replaces_none),
           RUN(a_lone_data_is_declared_too_and_a_writer_that_is_aborted_makes_no_table),
           RUN(declared_columns_are_checked))
