/* Right arguments: a table of three columns with ids and metadata, its readers and writers, tokens, and a struct of
 * each kind. attack_calls.h names make_* and text_of_* of whatever rds.h declares: what is missing does not compile. */
#ifndef ATTACK_FIXTURES_H
#define ATTACK_FIXTURES_H

#include "attack.h"

enum { ROWS = 12, BATCH = 3, COLUMNS = 3 };

static const column_kind attacked[COLUMNS] = {{"data", RDS_DTYPE_FLOAT32, 1, {4, 0, 0}},
                                              {"label", RDS_DTYPE_INT64, 0, {0, 0, 0}},
                                              {"mask", RDS_DTYPE_BOOL, 1, {3, 0, 0}}};

/* Places. Nothing is open at `other`. */
static check_path_text table_path, written_path, other_path, published_path;
static int paths_made;
/* Of the same table; one of them decodes. */
static rds_reader *reader, *decoding, *closed_reader;
static rds_writer *writer, *staging, *closed_writer;
static rds_token token;
static int token_is_used = 1;

/* Callbacks ----------------------------------------------------------------------------------------------------- */

static int callback_depth;

/* What a callback may do is done, what it must not is refused. */
static void call_back_in(void) {
    rds_write_stats stats = RDS_WRITE_STATS_INIT;
    uint64_t row = 1;
    float values[4];
    if (callback_depth++ == 0) {
        CHECK_OK(rds_writer_stats(writer, &stats));
        CHECK_OK(rds_reader_read(reader, 0, &row, 1, values, sizeof values));
        CHECK_STATUS(rds_reader_close(NULL), RDS_ERR_INVALID_HANDLE);
    }
    callback_depth--;
}

static int progress_goes_on(void *user, uint64_t done, uint64_t total) {
    return (void)user, (void)done, (void)total, 0;
}
static int progress_stops(void *user, uint64_t done, uint64_t total) {
    return (void)user, (void)done, (void)total, 1;
}
static int progress_calls(void *user, uint64_t done, uint64_t total) {
    call_back_in();
    return (void)user, (void)done, (void)total, 0;
}
static int waiting_goes_on(void *user) { return (void)user, 0; }
static int waiting_stops(void *user) { return (void)user, -1; }
static int waiting_calls(void *user) {
    call_back_in();
    return (void)user, 0;
}

static uint64_t logged;
static void logs(void *user, uint32_t level, const char *target, const char *message) {
    (void)user;
    __atomic_add_fetch(&logged, level + strlen(target) + strlen(message), __ATOMIC_SEQ_CST);
}

/* Inside of it calls are refused. */
static void logs_and_calls(void *user, uint32_t level, const char *target, const char *message) {
    logs(user, level, target, message);
    if (rds_reader_close(NULL) != RDS_ERR_INVALID_STATE) abort();
}

/* Structs ------------------------------------------------------------------------------------------------------- */

static void make_uint64_t(void *at, size_t index) { *(uint64_t *)at = (uint64_t[]){5, 0, 11}[index % 3]; }

static void make_rds_metadata(void *at, size_t index) {
    static const rds_metadata said[] = {{"model", "cnn-7"}, {"run", ""}};
    memcpy(at, &said[index % 2], sizeof said[0]);
}

/* Room for more dimensions than there can be, of length 1. */
static int64_t *shape_of(const column_kind *kind, int64_t rows) {
    int64_t *shape = (int64_t *)room(80 * sizeof *shape), *at = shape;
    for (int i = 0; i < 80; i++) shape[i] = 1;
    if (rows) *at++ = rows;
    for (uint32_t i = 0; i < kind->ndim; i++) at[i] = kind->shape[i];
    return shape;
}

static void make_rds_column_spec(void *at, size_t index) {
    const column_kind *kind = &attacked[index % COLUMNS];
    rds_column_spec spec = RDS_COLUMN_SPEC_INIT;
    spec.name = kind->name, spec.dtype = kind->dtype, spec.ndim = kind->ndim, spec.shape = shape_of(kind, 0);
    memcpy(at, &spec, sizeof spec);
}

static void make_rds_tensor(void *at, size_t index) {
    const column_kind *kind = &attacked[index % COLUMNS];
    size_t bytes = kind_bytes(kind);
    rds_tensor tensor = RDS_TENSOR_INIT;
    /* Strides may lead to both sides. */
    unsigned char *memory = (unsigned char *)room(BULK_BYTES) + BULK_BYTES / 2;
    for (uint64_t row = 0; row < BATCH; row++) kind_row(kind, row, memory + row * bytes);
    tensor.name = kind->name, tensor.dtype = kind->dtype, tensor.ndim = kind->ndim + 1;
    tensor.shape = shape_of(kind, BATCH), tensor.data = memory;
    if (below(2)) {
        int64_t *strides = (int64_t *)room(80 * sizeof *strides);
        strides[0] = (int64_t)bytes, strides[1] = (int64_t)dtype_of(kind->dtype)->bytes;
        tensor.strides = strides;
    }
    memcpy(at, &tensor, sizeof tensor);
}

/* BATCH ids, in any of the forms. */
static void make_rds_ids(void *at, size_t index) {
    static const char *const texts[BATCH] = {"id-0", "id-7", "none"};
    unsigned char *memory = (unsigned char *)room(4096);
    rds_ids ids = RDS_IDS_INIT;
    (void)index;
    ids.kind = RDS_IDS_UTF8 + (uint32_t)below(RDS_IDS_STRINGS), ids.count = BATCH, ids.data = memory;
    if (ids.kind == RDS_IDS_UTF8) {
        int64_t *offsets = (int64_t *)room(64);
        for (int i = 0; i <= BATCH; i++) offsets[i] = 4 * i;
        ids.offsets = offsets;
    }
    if (ids.kind == RDS_IDS_NUMPY_S) ids.item_bytes = 4;
    if (ids.kind == RDS_IDS_NUMPY_U) ids.item_bytes = 16;
    for (size_t i = 0; i < BATCH; i++) {
        if (ids.kind == RDS_IDS_CSTRINGS) ((const char **)(void *)memory)[i] = texts[i];
        else if (ids.kind == RDS_IDS_STRINGS) ((rds_string *)(void *)memory)[i] = (rds_string){texts[i], 4};
        else if (ids.kind <= RDS_IDS_NUMPY_S) memcpy(memory + 4 * i, texts[i], 4);
        else if (ids.kind == RDS_IDS_NUMPY_U) for (int c = 0; c < 4; c++) memory[16 * i + 4 * c] = texts[i][c];
        else ((uint64_t *)(void *)memory)[i] = i;
    }
    memcpy(at, &ids, sizeof ids);
}

static void make_rds_writer_options(void *at, size_t index) {
    rds_writer_options options = RDS_WRITER_OPTIONS_INIT;
    rds_column_spec *columns = (rds_column_spec *)room(COLUMNS * sizeof *columns + SPARE);
    rds_metadata *metadata = (rds_metadata *)room(2 * sizeof *metadata);
    (void)index;
    for (size_t i = 0; i < COLUMNS; i++) make_rds_column_spec(&columns[i], i);
    for (size_t i = 0; i < 2; i++) make_rds_metadata(&metadata[i], i);
    options.columns = columns, options.column_count = COLUMNS;
    options.metadata = metadata, options.metadata_count = 2;
    memcpy(at, &options, sizeof options);
}

static void make_rds_reader_options(void *at, size_t index) {
    rds_reader_options options = RDS_READER_OPTIONS_INIT;
    (void)index;
    options.id_column = "object_id";
    memcpy(at, &options, sizeof options);
}

static void make_rds_rows(void *at, size_t index) {
    rds_rows rows = RDS_ROWS_INIT;
    (void)index;
    rows.count = 3;
    if (below(2)) {
        uint64_t *list = (uint64_t *)room(3 * sizeof *list);
        for (size_t i = 0; i < 3; i++) make_uint64_t(&list[i], i);
        rows.rows = list;
    } else {
        rows.first_row = 2, rows.step = 4;
    }
    memcpy(at, &rows, sizeof rows);
}

static void make_rds_target(void *at, size_t index) {
    rds_target target = RDS_TARGET_INIT;
    target.data = room(BULK_BYTES), target.bytes = BULK_BYTES, target.column = (uint32_t)index % COLUMNS;
    memcpy(at, &target, sizeof target);
}

static const uint32_t *two_columns(void) {
    uint32_t *columns = (uint32_t *)room(2 * sizeof *columns);
    columns[0] = 2;
    return columns;
}

static void make_rds_select_options(void *at, size_t index) {
    rds_select_options options = RDS_SELECT_OPTIONS_INIT;
    (void)index;
    options.columns = two_columns(), options.column_count = 2;
    memcpy(at, &options, sizeof options);
}

static void make_rds_stream_options(void *at, size_t index) {
    rds_stream_options options = RDS_STREAM_OPTIONS_INIT;
    (void)index;
    options.columns = two_columns(), options.column_count = 2, options.row_count = 3;
    if (below(2)) {
        uint64_t *rows = (uint64_t *)room(3 * sizeof *rows);
        for (size_t i = 0; i < 3; i++) make_uint64_t(&rows[i], i);
        options.rows = rows, options.flags = RDS_STREAM_ROWS;
    } else {
        options.first_row = 4, options.batch_rows = 2;
    }
    memcpy(at, &options, sizeof options);
}

/* Staged anew when the one before was published or lost. */
static void make_rds_token(void *at, size_t index) {
    (void)index;
    if (token_is_used) {
        CHECK_OK(columns_write(staging, attacked, COLUMNS, 0, BATCH));
        CHECK_OK(rds_writer_stage(staging, &token));
        token_is_used = 0;
    }
    /* A copy, so that it can be spoilt. */
    rds_token copy = {(const uint8_t *)memcpy(room(token.length), token.data, token.length), token.length};
    memcpy(at, &copy, sizeof copy);
}

#define MAKE_OPTIONS(type, initial, ...) \
    static void make_##type(void *at, size_t index) { \
        type options = initial; \
        (void)index; \
        __VA_ARGS__; \
        memcpy(at, &options, sizeof options); \
    }

MAKE_OPTIONS(rds_runtime_options, RDS_RUNTIME_OPTIONS_INIT, options.worker_threads = 2)
MAKE_OPTIONS(rds_write_stream_options, RDS_WRITE_STREAM_OPTIONS_INIT, options.progress = progress_goes_on)
MAKE_OPTIONS(rds_commit_options, RDS_COMMIT_OPTIONS_INIT, options.progress = progress_goes_on)
MAKE_OPTIONS(rds_commit_staged_options, RDS_COMMIT_STAGED_OPTIONS_INIT, options.mode = RDS_MODE_OVERWRITE)
MAKE_OPTIONS(rds_recover_options, RDS_RECOVER_OPTIONS_INIT, options.flags = RDS_RECOVER_DRY_RUN)
MAKE_OPTIONS(rds_vacuum_options, RDS_VACUUM_OPTIONS_INIT, options.flags = RDS_VACUUM_DRY_RUN)

/* Texts --------------------------------------------------------------------------------------------------------- */

static const char *text_of_id(void) { return "id-7"; }
static const char *text_of_key(void) { return "model"; }
static const char *text_of_name(void) { return "label"; }

static int is_function(const char *name) { return strcmp(now.function->name, name) == 0; }

static const char *text_of_path(void) {
    static char fresh[1300];
    if (is_function("rds_reader_open")) return table_path.text;
    if (is_function("rds_commit_staged")) return published_path.text;
    if (!is_function("rds_writer_open")) return other_path.text;
    snprintf(fresh, sizeof fresh, "%s/new-%d", check_root, ++paths_made);
    return fresh;
}

/* Tables -------------------------------------------------------------------------------------------------------- */

static rds_writer *open_writer(const char *path, uint32_t mode) {
    rds_writer_options options;
    rds_writer *opened = NULL;
    make_rds_writer_options(&options, 0);
    options.mode = mode;
    /* So long that they are never reached: it grows by what is flushed. */
    options.checkpoint_ms = options.visible_ms = UINT64_MAX;
    if (mode == RDS_MODE_STAGED) options.metadata_count = 0;
    CHECK_OK(rds_writer_open(path, &options, &opened));
    return opened;
}

static void make_table(const char *path) {
    rds_writer *opened = open_writer(path, RDS_MODE_CREATE);
    for (uint64_t first = 0; first < ROWS; first += ROWS / 2) {
        CHECK_OK(columns_write(opened, attacked, COLUMNS, first, ROWS / 2));
        CHECK_OK(rds_flush(opened));
    }
    CHECK_OK(rds_writer_close(opened));
}

static void open_fixtures(void) {
    table_path = check_path(), other_path = check_path(), published_path = check_path();
    make_table(table_path.text);
    make_table(other_path.text);
    reader = table_reader(table_path.text);
    decoding = table_reader_with(table_path.text, RDS_ACCESS_LANCE);
    closed_reader = table_reader(table_path.text);
    CHECK_OK(rds_reader_close(closed_reader));
    written_path = check_path();
    writer = open_writer(written_path.text, RDS_MODE_CREATE);
    staging = open_writer(published_path.text, RDS_MODE_STAGED);
    closed_writer = open_writer(published_path.text, RDS_MODE_STAGED);
    CHECK_OK(rds_writer_abort(closed_writer));
    forget_rooms();
}

/* The handles do what they did, whatever they were given in between. */
static void check_health(void) {
    rds_write_stats stats = RDS_WRITE_STATS_INIT;
    columns_check(reader, attacked, COLUMNS, ROWS);
    columns_check(decoding, attacked, COLUMNS, ROWS);
    CHECK_OK(rds_writer_stats(writer, &stats));
    uint64_t first = stats.accepted_rows;
    CHECK_NUMBER(stats.state, RDS_WRITER_RUNNING);
    CHECK_OK(columns_write(writer, attacked, COLUMNS, first, ROWS));
    CHECK_OK(rds_writer_close(writer));
    rds_reader *written = table_reader(written_path.text);
    CHECK_NUMBER(table_info(written).rows, first + ROWS);
    for (uint32_t c = 0; c < COLUMNS; c++) {
        size_t bytes = ROWS * kind_bytes(&attacked[c]);
        unsigned char memory[ROWS * 16];
        CHECK_OK(rds_reader_read_range(written, column_named(written, attacked[c].name), first, ROWS, memory, bytes));
        CHECK(rows_are(&attacked[c], memory, first, 1, ROWS));
    }
    CHECK_OK(rds_reader_close(written));
    writer = open_writer(written_path.text, RDS_MODE_OVERWRITE);
    forget_rooms();
}

static void close_fixtures(void) {
    check_health();
    CHECK_OK(rds_writer_close(writer));
    CHECK_OK(rds_writer_close(staging));
    CHECK_OK(rds_reader_close(reader));
    CHECK_OK(rds_reader_close(decoding));
}

#endif
