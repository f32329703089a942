/* Right arguments: a struct of each kind. attack_calls.h names make_* of whatever rds.h declares: what is missing does
 * not compile. */
#ifndef ATTACK_STRUCTS_H
#define ATTACK_STRUCTS_H

#include "attack.h"

enum { ROWS = 12, BATCH = 3, COLUMNS = 3 };

static const column_kind attacked[COLUMNS] = {{"data", RDS_DTYPE_FLOAT32, 1, {4, 0, 0}},
                                              {"label", RDS_DTYPE_INT64, 0, {0, 0, 0}},
                                              {"mask", RDS_DTYPE_BOOL, 1, {3, 0, 0}}};

/* Places. Nothing is open at `other`. */
static check_path_text table_path, written_path, other_path, published_path, part_path;
static int paths_made;
/* Of the same table; one of them decodes. */
static rds_reader *reader, *decoding, *closed_reader;
static rds_writer *writer, *staging, *closed_writer;
static rds_token token, part_token;
static int token_is_used = 1;
/* How long the token of the call is. */
static size_t token_length;
/* Of some columns, gathering ahead. */
static rds_loader *loader, *closed_loader;

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

static uint64_t listed;
static int lists(void *user, const char *job, uint64_t first, uint64_t last, const rds_token *told) {
    (void)user;
    listed += strlen(job) + last - first + (told ? told->length : 0);
    return 0;
}
static int lists_and_calls(void *user, const char *job, uint64_t first, uint64_t last, const rds_token *told) {
    call_back_in();
    return lists(user, job, first, last, told), -1;
}

/* Inside of it calls are refused. */
static void logs_and_calls(void *user, uint32_t level, const char *target, const char *message) {
    logs(user, level, target, message);
    if (rds_reader_close(NULL) != RDS_ERR_INVALID_STATE) abort();
}

/* Structs ------------------------------------------------------------------------------------------------------- */

/* Rows, or the number of a part. */
static void make_uint64_t(void *at, size_t index) {
    int is_part = strcmp(now.function->name, "rds_list_parts") == 0;
    *(uint64_t *)at = is_part ? 1 : (uint64_t[]){5, 0, 11}[index % 3];
}

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

/* Staged anew when the one before was published or lost; that of the part is only packed. */
static void make_rds_token(void *at, size_t index) {
    int is_part = strcmp(now.function->name, "rds_pack_parts") == 0;
    (void)index;
    if (token_is_used && !is_part) {
        CHECK_OK(columns_write(staging, attacked, COLUMNS, 0, BATCH));
        CHECK_OK(rds_writer_stage(staging, &token));
        token_is_used = 0;
    }
    /* A copy, so that it can be spoilt. */
    rds_token copy = is_part ? part_token : token;
    copy.data = (const uint8_t *)memcpy(room(copy.length), copy.data, copy.length);
    token_length = copy.length;
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
MAKE_OPTIONS(rds_pack_parts_options, RDS_PACK_PARTS_OPTIONS_INIT, options.share = below(2), options.shares = 2, options.first_row = below(3))
MAKE_OPTIONS(rds_recover_options, RDS_RECOVER_OPTIONS_INIT, options.flags = RDS_RECOVER_DRY_RUN)
MAKE_OPTIONS(rds_vacuum_options, RDS_VACUUM_OPTIONS_INIT, options.flags = RDS_VACUUM_DRY_RUN)

/* Loaders ------------------------------------------------------------------------------------------------------- */

/* A list of rows, or a range. */
static void some_rows(const uint64_t **rows, uint64_t *first_row, uint64_t *row_count) {
    *row_count = 3;
    if (below(2)) {
        *first_row = 4;
        return;
    }
    uint64_t *list = (uint64_t *)room(3 * sizeof *list);
    for (size_t i = 0; i < 3; i++) make_uint64_t(&list[i], i);
    *rows = list;
}

static void make_rds_loader_table(void *at, size_t index) {
    rds_loader_table table = RDS_LOADER_TABLE_INIT;
    table.reader = index % 2 ? reader : decoding;
    some_rows(&table.rows, &table.first_row, &table.row_count);
    memcpy(at, &table, sizeof table);
}

/* Of three tables. */
static void make_rds_loader_weights(void *at, size_t index) {
    rds_loader_weights weights = RDS_LOADER_WEIGHTS_INIT;
    uint64_t *list = (uint64_t *)room(3 * sizeof *list);
    list[0] = 2, list[2 - index % 2] = 5;
    weights.consumed = 4 * index, weights.weights = list, weights.weight_count = 3;
    memcpy(at, &weights, sizeof weights);
}

/* A mixture of three tables, into two buffers of the caller. */
static void make_rds_loader_options(void *at, size_t index) {
    rds_loader_options options = RDS_LOADER_OPTIONS_INIT;
    rds_loader_table *others = (rds_loader_table *)room(2 * sizeof *others + SPARE);
    rds_loader_weights *weights = (rds_loader_weights *)room(2 * sizeof *weights + SPARE);
    rds_target *targets = (rds_target *)room(4 * sizeof *targets + SPARE);
    (void)index;
    options.batch_rows = 4, options.seed = 7, options.columns = two_columns(), options.column_count = 2;
    some_rows(&options.rows, &options.first_row, &options.row_count);
    for (size_t i = 0; i < 2; i++) make_rds_loader_table(&others[i], i);
    for (size_t i = 0; i < 2; i++) make_rds_loader_weights(&weights[i], i);
    for (size_t i = 0; i < 4; i++) make_rds_target(&targets[i], options.columns[i % 2]);
    options.others = others, options.other_count = 2;
    options.weights = weights, options.weights_count = 2;
    options.targets = targets, options.target_count = 4;
    memcpy(at, &options, sizeof options);
}

static rds_loader *open_loader(void) {
    rds_loader_options options = RDS_LOADER_OPTIONS_INIT;
    rds_loader *opened = NULL;
    options.batch_rows = 5, options.columns = two_columns(), options.column_count = 2;
    CHECK_OK(rds_loader_open(reader, &options, &opened));
    return opened;
}

static void make_rds_position(void *at, size_t index) {
    (void)index;
    CHECK_OK(rds_loader_state(loader, (rds_position *)at));
}

#endif
