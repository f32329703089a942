/* A table of which one file is replaced by variants of it, and everything is read of each: an error
 * or an answer, never the end of the process. The variants are read in children of a process that
 * does not use the library itself, so that a crash is one failed variant. */
#ifndef HOSTILE_H
#define HOSTILE_H

/* For MAP_ANONYMOUS: this header comes first. */
#define _DEFAULT_SOURCE

#include <fcntl.h>
#include <sys/mman.h>

#include "arrow_out.h"
#include "child.h"
#include "dlpack.h"
#include "files.h"
#include "maps.h"

enum { VICTIM_ROWS = 20, VICTIM_BYTES = VICTIM_ROWS * TABLE_WIDTH * 4, MOST_TOLD = 5 };
/* Variants may claim any number of rows. */
enum { MOST_ROWS = 64 };

typedef struct {
    check_path_text path, file;
    unsigned char *good;
    size_t size;
    /* The variants that are read, of which `step` lie between those that are. */
    long step;
    /* The variant that is being read; in memory that children share. */
    long *current;
} victim;

/* Makes variant `number` of the file in `bytes`, which has room for twice the file and two pages;
 * returns its size. Sets *same to 0 if rows may be read that are not what was written. */
typedef size_t variant(const victim *victim, long number, unsigned char *bytes, int *same);

static void make_victim(void *path) { table_make((const char *)path, VICTIM_ROWS); }

static inline victim victim_new(const char *directory, const char *suffix) {
    victim victim = {.path = check_path(), .step = 1};
    in_child(make_victim, victim.path.text);
    victim.file = file_in(victim.path.text, directory, suffix);
    victim.size = (size_t)size_of(victim.file.text);
    victim.good = (unsigned char *)malloc(victim.size);
    victim.current = (long *)mmap(NULL, sizeof(long), PROT_READ | PROT_WRITE,
                                  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    FILE *file = fopen(victim.file.text, "r");
    CHECK(file && fread(victim.good, 1, victim.size, file) == victim.size);
    if (file) fclose(file);
    return victim;
}

static inline void victim_free(victim *victim) {
    free(victim->good);
    munmap(victim->current, sizeof(long));
}

/* What one reader gave. */
struct answer {
    rds_status status;
    uint64_t rows;
    float values[MOST_ROWS][TABLE_WIDTH];
};

static inline int is_utf8(const unsigned char *text, size_t length) {
    for (size_t at = 0, more; at < length; at += 1 + more) {
        more = text[at] < 0x80 ? 0 : text[at] < 0xe0 ? 1 : text[at] < 0xf0 ? 2 : 3;
        if (text[at] >= 0xf8 || (text[at] & 0xc0) == 0x80 || more >= length - at) return 0;
        for (size_t i = 1; i <= more; i++) {
            if ((text[at + i] & 0xc0) != 0x80) return 0;
        }
    }
    return 1;
}

/* A status that says that a file is not as it should be, or none. */
static inline void check_possible(rds_status status) {
    switch (status) {
    case RDS_OK:
    case RDS_ERR_CORRUPT:
    case RDS_ERR_IO:
    case RDS_ERR_NOT_SUPPORTED:
    case RDS_ERR_SCHEMA_MISMATCH:
    /* The name of a file. */
    case RDS_ERR_NOT_FOUND:
        break;
    default:
        CHECK_NUMBER(status, RDS_ERR_CORRUPT);
    }
}

static inline void look_at_spans(const rds_reader *reader, uint64_t rows) {
    for (uint64_t row = 0; row < rows;) {
        rds_span span = RDS_SPAN_INIT;
        REQUIRE(CHECK_OK(rds_reader_span(reader, 0, row, &span)));
        REQUIRE(CHECK(span.first_row <= row && row - span.first_row < span.row_count));
        if (span.data) CHECK(lies_in_a_file(span.data, span.row_count * span.stride));
        row = span.first_row + span.row_count;
    }
}

static inline void look_at_ids(const rds_reader *reader, uint64_t rows) {
    struct ArrowArray array;
    const char *names[] = {"id-3", "", "nobody"}, *id;
    const rds_ids wanted = ids_of(RDS_IDS_CSTRINGS, 3, names);
    uint64_t found[3], counts[3];
    size_t length;
    rds_status status = rds_reader_ids(reader, 0, rows, NULL, &array);
    check_possible(status);
    if (status != RDS_OK) return;
    const int64_t *offsets = (const int64_t *)array.buffers[1] + array.offset;
    for (uint64_t row = 0; row < rows; row++) {
        const unsigned char *text = (const unsigned char *)array.buffers[2] + offsets[row];
        CHECK(offsets[row] <= offsets[row + 1]);
        CHECK(is_utf8(text, (size_t)(offsets[row + 1] - offsets[row])));
        check_possible(rds_reader_id(reader, row, &id, &length));
    }
    array.release(&array);
    CHECK_OK(rds_reader_find(reader, &wanted, found, counts));
}

static inline void look_at_arrow(const rds_reader *reader, uint64_t rows) {
    struct ArrowArray array;
    struct ArrowArrayStream stream;
    DLManagedTensorVersioned *tensor;
    rds_stream_options options = RDS_STREAM_OPTIONS_INIT;
    uint64_t wanted[MOST_ROWS];
    for (uint64_t i = 0; i < rows; i++) wanted[i] = rows - 1 - i;
    rds_status status = rows ? rds_reader_get(reader, 0, 0, &array) : RDS_ERR_CORRUPT;
    check_possible(status);
    if (status == RDS_OK) array.release(&array);
    status = rds_reader_take(reader, wanted, rows, NULL, NULL, &array);
    check_possible(status);
    if (status == RDS_OK) array.release(&array);
    status = rds_reader_dlpack(reader, 0, 0, rows, &tensor);
    check_possible(status);
    if (status == RDS_OK) tensor->deleter(tensor);
    options.batch_rows = 7;
    options.row_count = rows;
    REQUIRE(CHECK_OK(rds_reader_stream(reader, &options, &stream)));
    while (stream.get_next(&stream, &array) == 0 && array.release) array.release(&array);
    stream.release(&stream);
}

/* Opens and reads everything. */
static inline void look(const victim *victim, uint32_t access, struct answer *answer) {
    rds_reader *reader = NULL;
    rds_reader_options options = RDS_READER_OPTIONS_INIT;
    options.access = access;
    memset(answer, 0, sizeof *answer);
    answer->status = rds_reader_open(victim->path.text, &options, &reader);
    check_possible(answer->status);
    if (answer->status != RDS_OK) return;
    answer->rows = table_info(reader).rows;
    uint64_t rows = answer->rows < MOST_ROWS ? answer->rows : MOST_ROWS;
    size_t bytes = rows * sizeof answer->values[0];
    answer->status = rds_reader_read_range(reader, 0, 0, rows, answer->values, bytes);
    check_possible(answer->status);
    look_at_spans(reader, rows);
    look_at_ids(reader, rows);
    look_at_arrow(reader, rows);
    CHECK_OK(rds_reader_close(reader));
}

static inline void check_values(const struct answer *answer) {
    CHECK_NUMBER(answer->rows, VICTIM_ROWS);
    for (uint64_t row = 0; row < VICTIM_ROWS; row++) {
        for (int c = 0; c < TABLE_WIDTH; c++) {
            REQUIRE(CHECK(answer->values[row][c] == table_value(row, c)));
        }
    }
}

static inline void check_variant(const victim *victim, variant *make, long number,
                                 unsigned char *bytes) {
    int same = 1;
    size_t size = make(victim, number, bytes, &same);
    struct answer mapped, through_lance;
    FILE *file = fopen(victim->file.text, "w");
    REQUIRE(CHECK(file != NULL));
    CHECK(fwrite(bytes, 1, size, file) == size);
    REQUIRE(CHECK(fclose(file) == 0));
    look(victim, RDS_ACCESS_AUTO, &mapped);
    look(victim, RDS_ACCESS_LANCE, &through_lance);
    if (mapped.status == RDS_OK && same) check_values(&mapped);
    if (through_lance.status == RDS_OK && same) check_values(&through_lance);
    /* Two ways to the same rows. */
    if (mapped.status != RDS_OK || through_lance.status != RDS_OK) return;
    CHECK(mapped.rows == through_lance.rows);
    CHECK(memcmp(mapped.values, through_lance.values, sizeof mapped.values) == 0);
}

struct variants {
    const victim *victim;
    variant *make;
    long count;
};

static inline void read_variants(void *data) {
    const struct variants *variants = (const struct variants *)data;
    const victim *victim = variants->victim;
    unsigned char *bytes = (unsigned char *)malloc(2 * victim->size + 8192);
    for (; *victim->current < variants->count; *victim->current += victim->step) {
        int before = check_failures;
        alarm(CHILD_SECONDS);
        check_variant(victim, variants->make, *victim->current, bytes);
        if (check_failures != before) break;
    }
    free(bytes);
}

/* Reads variants 0 .. count - 1. */
static inline void check_variants(victim *victim, variant *make, long count) {
    struct variants variants = {victim, make, count};
    int told = 0;
    *victim->current = 0;
    while (*victim->current < count && told < MOST_TOLD) {
        int before = check_failures;
        in_child(read_variants, &variants);
        if (check_failures == before) return;
        fprintf(stderr, "    variant %ld of %ld\n", *victim->current, count);
        *victim->current += victim->step;
        told++;
    }
}

#endif
