/* Structs that begin with struct_size: a program keeps working with a later library, and is told
 * plainly where it cannot. */
#include <stddef.h>

#include "table.h"

enum { ROOM = 8192, CANARY = 0xa5 };

struct fixture {
    rds_writer *writer;
    rds_reader *reader;
};

static rds_status use_writer_options(const struct fixture *fixture, void *options) {
    (void)fixture;
    check_path_text path = check_path();
    rds_writer *writer = NULL;
    rds_status status = rds_writer_open(path.text, (rds_writer_options *)options, &writer);
    CHECK((writer != NULL) == (status == RDS_OK));
    if (writer) CHECK_OK(rds_writer_close(writer));
    return status;
}

static rds_status use_reader_options(const struct fixture *fixture, void *options) {
    (void)fixture;
    rds_reader *reader = NULL;
    char path[1100];
    snprintf(path, sizeof path, "%s/options", check_root);
    rds_status status = rds_reader_open(path, (rds_reader_options *)options, &reader);
    CHECK((reader != NULL) == (status == RDS_OK));
    if (reader) CHECK_OK(rds_reader_close(reader));
    return status;
}

static rds_status use_commit_options(const struct fixture *fixture, void *options) {
    return rds_commit(fixture->writer, (rds_commit_options *)options, NULL);
}

static rds_status use_commit_info(const struct fixture *fixture, void *info) {
    return rds_commit(fixture->writer, NULL, (rds_commit_info *)info);
}

static rds_status use_write_stream_options(const struct fixture *fixture, void *options) {
    struct ArrowArrayStream stream;
    rds_stream_options rows = RDS_STREAM_OPTIONS_INIT;
    rows.row_count = 1;
    CHECK_OK(rds_reader_stream(fixture->reader, &rows, &stream));
    rds_status status = rds_write_stream(fixture->writer, &stream,
                                         (rds_write_stream_options *)options, NULL);
    CHECK(stream.release == NULL);
    return status;
}

static rds_status use_write_stats(const struct fixture *fixture, void *stats) {
    return rds_writer_stats(fixture->writer, (rds_write_stats *)stats);
}

/* Of no tokens, for a table that does not exist: that is no commit. */
static rds_status use_commit_staged_options(const struct fixture *fixture, void *options) {
    (void)fixture;
    check_path_text path = check_path();
    return rds_commit_staged(path.text, NULL, 0, (rds_commit_staged_options *)options, NULL);
}

/* Of no tokens too: there is nothing to pack. */
static rds_status use_pack_parts_options(const struct fixture *fixture, void *options) {
    (void)fixture;
    check_path_text path = check_path();
    return rds_pack_parts(path.text, "job", NULL, 0, (rds_pack_parts_options *)options, NULL);
}

static rds_status vacuum(void *options, void *info) {
    char path[1100];
    snprintf(path, sizeof path, "%s/options", check_root);
    return rds_vacuum(path, (rds_vacuum_options *)options, (rds_vacuum_info *)info);
}

static rds_status use_vacuum_options(const struct fixture *fixture, void *options) {
    (void)fixture;
    return vacuum(options, NULL);
}

static rds_status use_vacuum_info(const struct fixture *fixture, void *info) {
    (void)fixture;
    return vacuum(NULL, info);
}

static rds_status recover(void *options, void *info) {
    char path[1100];
    snprintf(path, sizeof path, "%s/options", check_root);
    return rds_recover(path, (rds_recover_options *)options, (rds_recover_info *)info);
}

static rds_status use_recover_options(const struct fixture *fixture, void *options) {
    (void)fixture;
    return recover(options, NULL);
}

static rds_status use_recover_info(const struct fixture *fixture, void *info) {
    (void)fixture;
    return recover(NULL, info);
}

static rds_status use_table_info(const struct fixture *fixture, void *info) {
    return rds_reader_info(fixture->reader, (rds_table_info *)info);
}

static rds_status use_column_info(const struct fixture *fixture, void *info) {
    return rds_reader_column_info(fixture->reader, 0, (rds_column_info *)info);
}

static rds_status use_version_info(const struct fixture *fixture, void *version) {
    uint64_t count;
    return rds_reader_versions(fixture->reader, (rds_version_info *)version, 1, &count);
}

static rds_status use_error(const struct fixture *fixture, void *error) {
    (void)fixture;
    return rds_last_error((rds_error *)error);
}

static rds_status use_select_options(const struct fixture *fixture, void *options) {
    struct ArrowSchema schema;
    struct ArrowArray array;
    const uint64_t row = 0;
    const rds_select_options *chosen = (const rds_select_options *)options;
    rds_status status = rds_reader_schema(fixture->reader, chosen, &schema);
    CHECK((schema.release != NULL) == (status == RDS_OK));
    if (schema.release) schema.release(&schema);
    CHECK_STATUS(rds_reader_take(fixture->reader, &row, 1, chosen, NULL, &array), status);
    if (array.release) array.release(&array);
    return status;
}

/* Of no rows, into no memory. */
static rds_status use_rows(const struct fixture *fixture, void *rows) {
    rds_target target = RDS_TARGET_INIT;
    return rds_reader_gather(fixture->reader, (rds_rows *)rows, &target, 1);
}

static rds_status use_target(const struct fixture *fixture, void *target) {
    const rds_rows rows = RDS_ROWS_INIT;
    return rds_reader_gather(fixture->reader, &rows, (rds_target *)target, 1);
}

static rds_status use_column_spec(const struct fixture *fixture, void *memory) {
    rds_writer_options options = RDS_WRITER_OPTIONS_INIT;
    rds_column_spec *spec = (rds_column_spec *)memory;
    spec->dtype = RDS_DTYPE_FLOAT32;
    options.columns = spec, options.column_count = 1;
    return use_writer_options(fixture, &options);
}

static rds_status use_span(const struct fixture *fixture, void *span) {
    return rds_reader_span(fixture->reader, 0, 0, (rds_span *)span);
}

static rds_status use_stream_options(const struct fixture *fixture, void *options) {
    struct ArrowArrayStream stream;
    rds_status status = rds_reader_stream(fixture->reader, (rds_stream_options *)options, &stream);
    CHECK((stream.release != NULL) == (status == RDS_OK));
    if (stream.release) stream.release(&stream);
    return status;
}

/* Of no ids: what is in the struct beyond struct_size does not matter then. */
static rds_status use_ids(const struct fixture *fixture, void *ids) {
    uint64_t found;
    ((rds_ids *)ids)->kind = RDS_IDS_INT64;
    return rds_reader_find(fixture->reader, (rds_ids *)ids, &found, NULL);
}

static rds_status use_tensor(const struct fixture *fixture, void *memory) {
    static const int64_t shape[2] = {0, TABLE_WIDTH};
    rds_ids ids = ids_of(RDS_IDS_INT64, 0, NULL);
    rds_tensor *tensor = (rds_tensor *)memory;
    tensor->dtype = RDS_DTYPE_FLOAT32;
    tensor->ndim = 2;
    tensor->shape = shape;
    return rds_write_tensors(fixture->writer, &ids, tensor, 1);
}

static rds_status use_runtime_options(const struct fixture *fixture, void *options) {
    (void)fixture;
    rds_status status = rds_runtime_configure((rds_runtime_options *)options);
    /* The runtime runs: good options are refused for that reason. */
    return status == RDS_ERR_INVALID_STATE ? RDS_OK : status;
}

static const struct sized {
    const char *name, *macro;
    size_t size;
    /* Of the struct in the first version that had it; never changes. */
    size_t first_size;
    int is_output;
    rds_status (*use)(const struct fixture *, void *);
} structs[] = {
#define SIZED(type, macro, first_size, is_output, use) \
    {#type, #macro, sizeof(type), first_size, is_output, use}
    SIZED(rds_writer_options, RDS_WRITER_OPTIONS_INIT, 120, 0, use_writer_options),
    SIZED(rds_reader_options, RDS_READER_OPTIONS_INIT, 56, 0, use_reader_options),
    SIZED(rds_commit_options, RDS_COMMIT_OPTIONS_INIT, 32, 0, use_commit_options),
    SIZED(rds_commit_info, RDS_COMMIT_INFO_INIT, 40, 1, use_commit_info),
    SIZED(rds_write_stream_options, RDS_WRITE_STREAM_OPTIONS_INIT, 24, 0,
          use_write_stream_options),
    SIZED(rds_write_stats, RDS_WRITE_STATS_INIT, 72, 1, use_write_stats),
    SIZED(rds_commit_staged_options, RDS_COMMIT_STAGED_OPTIONS_INIT, 16, 0,
          use_commit_staged_options),
    SIZED(rds_pack_parts_options, RDS_PACK_PARTS_OPTIONS_INIT, 40, 0, use_pack_parts_options),
    SIZED(rds_vacuum_options, RDS_VACUUM_OPTIONS_INIT, 24, 0, use_vacuum_options),
    SIZED(rds_vacuum_info, RDS_VACUUM_INFO_INIT, 32, 1, use_vacuum_info),
    SIZED(rds_recover_options, RDS_RECOVER_OPTIONS_INIT, 24, 0, use_recover_options),
    SIZED(rds_recover_info, RDS_RECOVER_INFO_INIT, 72, 1, use_recover_info),
    SIZED(rds_table_info, RDS_TABLE_INFO_INIT, 48, 1, use_table_info),
    SIZED(rds_column_info, RDS_COLUMN_INFO_INIT, 568, 1, use_column_info),
    SIZED(rds_version_info, RDS_VERSION_INFO_INIT, 32, 1, use_version_info),
    SIZED(rds_error, RDS_ERROR_INIT, 32, 1, use_error),
    SIZED(rds_column_spec, RDS_COLUMN_SPEC_INIT, 32, 0, use_column_spec),
    SIZED(rds_select_options, RDS_SELECT_OPTIONS_INIT, 32, 0, use_select_options),
    SIZED(rds_rows, RDS_ROWS_INIT, 40, 0, use_rows),
    SIZED(rds_target, RDS_TARGET_INIT, 40, 0, use_target),
    SIZED(rds_span, RDS_SPAN_INIT, 40, 1, use_span),
    SIZED(rds_stream_options, RDS_STREAM_OPTIONS_INIT, 64, 0, use_stream_options),
    SIZED(rds_ids, RDS_IDS_INIT, 48, 0, use_ids),
    SIZED(rds_tensor, RDS_TENSOR_INIT, 56, 0, use_tensor),
    SIZED(rds_runtime_options, RDS_RUNTIME_OPTIONS_INIT, 16, 0, use_runtime_options),
#undef SIZED
};

static struct fixture fixture_open(void) {
    char path[1100];
    struct fixture fixture;
    snprintf(path, sizeof path, "%s/options", check_root);
    table_make(path, 2);
    fixture.reader = table_reader(path);
    fixture.writer = table_writer(path, RDS_MODE_APPEND, RDS_DURABILITY_COMMIT);
    return fixture;
}

static void fixture_close(struct fixture *fixture) {
    CHECK_OK(rds_reader_close(fixture->reader));
    CHECK_OK(rds_writer_close(fixture->writer));
}

typedef void check_struct(const struct fixture *, const struct sized *, unsigned char *memory);

static void for_each_struct(check_struct *check) {
    struct fixture fixture = fixture_open();
    unsigned char *memory = (unsigned char *)calloc(1, ROOM);
    for (size_t i = 0; i < sizeof structs / sizeof structs[0]; i++) {
        memset(memory, 0, ROOM);
        int before = check_failures;
        check(&fixture, &structs[i], memory);
        if (check_failures != before) fprintf(stderr, "    of %s\n", structs[i].name);
    }
    free(memory);
    fixture_close(&fixture);
}

static rds_status use_with_size(const struct fixture *fixture, const struct sized *type,
                                unsigned char *memory, size_t size) {
    memcpy(memory, &size, sizeof size);
    return type->use(fixture, memory);
}

static void check_every_size_since_the_first(const struct fixture *fixture,
                                             const struct sized *type, unsigned char *memory) {
    for (size_t size = type->first_size; size <= type->size; size += 8) {
        CHECK_OK(use_with_size(fixture, type, memory, size));
    }
}

TEST(a_program_built_with_a_smaller_struct_works) {
    for_each_struct(check_every_size_since_the_first);
}

static void check_too_small(const struct fixture *fixture, const struct sized *type,
                            unsigned char *memory) {
    for (size_t size = 0; size < type->first_size; size++) {
        CHECK_STATUS(use_with_size(fixture, type, memory, size), RDS_ERR_INVALID_ARGUMENT);
        CHECK_MESSAGE_HAS(type->macro);
    }
}

TEST(a_size_below_the_first_version_names_the_init_macro) { for_each_struct(check_too_small); }

static void check_larger(const struct fixture *fixture, const struct sized *type,
                         unsigned char *memory) {
    for (size_t more = 1; more <= 64; more++) {
        CHECK_OK(use_with_size(fixture, type, memory, type->size + more));
    }
}

TEST(a_larger_struct_with_nothing_in_its_tail_is_accepted) { for_each_struct(check_larger); }

static void check_tail(const struct fixture *fixture, const struct sized *type,
                       unsigned char *memory) {
    if (type->is_output) return;
    for (size_t at = type->size; at < type->size + 16; at++) {
        memory[at] = 1;
        CHECK_STATUS(use_with_size(fixture, type, memory, type->size + 16), RDS_ERR_NOT_SUPPORTED);
        CHECK_MESSAGE_HAS(type->name);
        memory[at] = 0;
    }
}

TEST(a_larger_struct_with_something_in_its_tail_is_not_supported) { for_each_struct(check_tail); }

static void check_garbage(const struct fixture *fixture, const struct sized *type,
                          unsigned char *memory) {
    const size_t sizes[] = {SIZE_MAX, SIZE_MAX / 2, SIZE_MAX / 2 + 1, 1u << 30, 1u << 16};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        CHECK_STATUS(use_with_size(fixture, type, memory, sizes[i]), RDS_ERR_INVALID_ARGUMENT);
        CHECK_MESSAGE_HAS(type->macro);
    }
}

TEST(a_size_that_is_no_size_is_refused_before_it_is_used) { for_each_struct(check_garbage); }

static void check_misaligned(const struct fixture *fixture, const struct sized *type,
                             unsigned char *memory) {
    /* The helpers of ids and tensors write to the struct, which the sanitizer forbids here. */
    if (type->use == use_ids || type->use == use_tensor || type->use == use_column_spec) return;
    memcpy(memory + 1, &type->size, sizeof type->size);
    CHECK_STATUS(type->use(fixture, memory + 1), RDS_ERR_INVALID_ARGUMENT);
}

TEST(a_misaligned_struct_is_refused) { for_each_struct(check_misaligned); }

static void check_canary(const struct fixture *fixture, const struct sized *type,
                         unsigned char *memory) {
    if (!type->is_output) return;
    for (size_t size = type->first_size; size <= type->size + 64; size += 8) {
        memset(memory, CANARY, ROOM);
        CHECK_OK(use_with_size(fixture, type, memory, size));
        size_t known = size < type->size ? size : type->size, kept, untouched = 0;
        memcpy(&kept, memory, sizeof kept);
        CHECK_NUMBER(kept, size);
        for (size_t at = known; at < ROOM; at++) untouched += memory[at] == CANARY;
        CHECK_NUMBER(untouched, ROOM - known);
    }
    memset(memory, CANARY, ROOM);
    CHECK_STATUS(use_with_size(fixture, type, memory, 8), RDS_ERR_INVALID_ARGUMENT);
    for (size_t at = sizeof(size_t); at < type->size; at++) CHECK(memory[at] == CANARY);
}

TEST(an_output_is_written_within_its_size_only_and_on_success_only) {
    for_each_struct(check_canary);
}

CHECK_MAIN(RUN(a_program_built_with_a_smaller_struct_works),
           RUN(a_size_below_the_first_version_names_the_init_macro),
           RUN(a_larger_struct_with_nothing_in_its_tail_is_accepted),
           RUN(a_larger_struct_with_something_in_its_tail_is_not_supported),
           RUN(a_size_that_is_no_size_is_refused_before_it_is_used),
           RUN(a_misaligned_struct_is_refused),
           RUN(an_output_is_written_within_its_size_only_and_on_success_only))
