/* One byte of a file inverted: an error that says that the file is damaged, or no change at all, and
 * never the end of the process. Each case runs in a child of a process that does not use the library
 * itself, so that a crash is one failed case. */
#include <fcntl.h>

#include "child.h"
#include "files.h"

enum { ROWS = 50, FOOTER = 40, REST = 400, MOST_TOLD = 5 };

struct damage {
    const char *path, *directory, *suffix;
    /* Distance of the byte from the end of the file. */
    long back;
};

static void invert(const char *file, long at) {
    unsigned char byte = 0;
    int fd = open(file, O_RDWR);
    CHECK(fd >= 0 && pread(fd, &byte, 1, at) == 1);
    byte = (unsigned char)~byte;
    CHECK(pwrite(fd, &byte, 1, at) == 1);
    close(fd);
}

/* Everything that a reader reads of its files. */
static rds_status read_all(const char *path) {
    rds_reader *reader = NULL;
    struct ArrowArray array;
    static float values[ROWS][TABLE_WIDTH];
    uint64_t rows[ROWS];
    const char *id;
    size_t length;
    rds_status status = rds_reader_open(path, NULL, &reader);
    if (status != RDS_OK) return status;
    for (uint64_t row = 0; row < ROWS; row++) rows[row] = row;
    status = rds_reader_read(reader, rows, ROWS, values, sizeof values);
    if (status == RDS_OK) status = rds_reader_id(reader, 0, &id, &length);
    if (status == RDS_OK) status = rds_reader_take(reader, rows, ROWS, 0, NULL, &array);
    if (status == RDS_OK) array.release(&array);
    CHECK_OK(rds_reader_close(reader));
    return status;
}

static void damage_one_byte(void *data) {
    const struct damage *damage = (const struct damage *)data;
    table_make(damage->path, ROWS);
    check_path_text file = file_in(damage->path, damage->directory, damage->suffix);
    long size = size_of(file.text);
    if (damage->back > size) return;
    invert(file.text, size - damage->back);
    rds_status status = read_all(damage->path);
    switch (status) {
    /* The byte was one of padding, or of the values. */
    case RDS_OK:
    case RDS_ERR_CORRUPT:
    case RDS_ERR_IO:
    case RDS_ERR_NOT_SUPPORTED:
    case RDS_ERR_SCHEMA_MISMATCH:
    /* The name of a file, or the number of rows. */
    case RDS_ERR_NOT_FOUND:
    case RDS_ERR_OUT_OF_RANGE:
        break;
    default:
        CHECK_NUMBER(status, RDS_ERR_CORRUPT);
    }
}

/* Bytes first .. last from the end of a file, every step-th of them. */
static void check_bytes(const char *directory, const char *suffix, long first, long last,
                        long step) {
    int bad = 0;
    for (long back = first; back <= last && bad < MOST_TOLD; back += step) {
        check_path_text path = check_path();
        struct damage damage = {path.text, directory, suffix, back};
        int before = check_failures;
        in_child(damage_one_byte, &damage);
        if (check_failures != before) {
            fprintf(stderr, "    byte %ld from the end of a %s\n", back, suffix);
            bad++;
        }
    }
}

/* Cases are few where each takes seconds. */
static long sparse(long step) { return check_rounds(10) < 10 ? step * 40 + 1 : step; }

TEST(a_damaged_footer_of_a_data_file_is_an_error_of_the_file) {
    check_bytes("data", ".lance", 1, FOOTER, sparse(1));
}

TEST(damaged_metadata_of_a_data_file_is_an_error_of_the_file) {
    check_bytes("data", ".lance", FOOTER + 1, REST, sparse(3));
}

TEST(a_damaged_manifest_is_an_error_of_the_file) {
    check_bytes("_versions", ".manifest", 1, REST, sparse(3));
}

CHECK_MAIN(RUN(a_damaged_footer_of_a_data_file_is_an_error_of_the_file),
           RUN(damaged_metadata_of_a_data_file_is_an_error_of_the_file),
           RUN(a_damaged_manifest_is_an_error_of_the_file))
