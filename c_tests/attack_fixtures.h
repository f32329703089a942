/* Right arguments: a table of three columns with ids and metadata, its readers, writers and loaders, tokens, and texts.
 * attack_calls.h names text_of_* of whatever rds.h declares: what is missing does not compile. */
#ifndef ATTACK_FIXTURES_H
#define ATTACK_FIXTURES_H

#include "attack_structs.h"

/* Texts --------------------------------------------------------------------------------------------------------- */

static const char *text_of_id(void) { return "id-7"; }
static const char *text_of_job(void) { return "job"; }
static const char *text_of_key(void) { return "model"; }
static const char *text_of_name(void) { return "label"; }

static int is_function(const char *name) { return strcmp(now.function->name, name) == 0; }

static const char *text_of_path(void) {
    static char fresh[1300];
    if (is_function("rds_reader_open")) return table_path.text;
    if (is_function("rds_commit_staged")) return published_path.text;
    if (is_function("rds_pack_parts") || is_function("rds_list_parts")) return part_path.text;
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

/* One part that waits, and one that a version has. */
static void make_parts(void) {
    rds_commit_staged_options commit = RDS_COMMIT_STAGED_OPTIONS_INIT;
    for (uint64_t part = 0; part < 2; part++) {
        rds_writer_options options = RDS_WRITER_OPTIONS_INIT;
        rds_writer *opened = NULL;
        rds_token staged = {NULL, 0};
        options.mode = RDS_MODE_STAGED, options.job = part ? "job" : "done", options.part = part;
        CHECK_OK(rds_writer_open(part_path.text, &options, &opened));
        CHECK_OK(columns_write(opened, attacked, COLUMNS, 0, ROWS));
        CHECK_OK(rds_writer_stage(opened, &staged));
        commit.job = options.job;
        if (part) {
            part_token = staged;
            part_token.data = (const uint8_t *)memcpy(malloc(staged.length), staged.data, staged.length);
        } else {
            CHECK_OK(rds_commit_staged(part_path.text, &staged, 1, &commit, NULL));
        }
        CHECK_OK(rds_writer_close(opened));
    }
}

static void open_fixtures(void) {
    table_path = check_path(), other_path = check_path(), published_path = check_path();
    part_path = check_path();
    make_parts();
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
    loader = open_loader(), closed_loader = open_loader();
    CHECK_OK(rds_loader_close(closed_loader));
    forget_rooms();
}

/* Each row comes once. */
static void check_loader(void) {
    rds_loader_batch batch = RDS_LOADER_BATCH_INIT;
    uint64_t seen = 0;
    CHECK_OK(rds_loader_seek(loader, NULL, 3, 0));
    while (CHECK_OK(rds_loader_next(loader, &batch)) && batch.step_rows) {
        for (uint64_t i = 0; i < batch.row_count; i++) {
            seen |= 1ull << batch.rows[i];
            for (int c = 0; c < 2; c++) {
                const column_kind *kind = &attacked[c ? 0 : 2];
                const unsigned char *rows = (const unsigned char *)batch.columns[c];
                CHECK(rows_are(kind, rows + i * kind_bytes(kind), batch.rows[i], 1, 1));
            }
        }
        CHECK_OK(rds_loader_release(loader, batch.buffer));
    }
    CHECK_NUMBER(seen, (1ull << ROWS) - 1);
}

/* The handles do what they did, whatever they were given in between. */
static void check_health(void) {
    rds_write_stats stats = RDS_WRITE_STATS_INIT;
    columns_check(reader, attacked, COLUMNS, ROWS);
    columns_check(decoding, attacked, COLUMNS, ROWS);
    check_loader();
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
    CHECK_OK(rds_loader_close(loader));
    CHECK_OK(rds_reader_close(reader));
    CHECK_OK(rds_reader_close(decoding));
    CHECK(listed > 0);
    free((void *)(uintptr_t)part_token.data);
}

#endif
