/* A program of an older header runs with a newer library; one of a newer header is told what is missing. */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include "rds.h"

static void check(rds_status status) {
    if (status == RDS_OK) return;
    fprintf(stderr, "%s\n", rds_last_error_message());
    exit(1);
}

/* An options struct as a later header might have it, with a field that this library does not know. */
typedef struct later_options {
    rds_writer_options known;
    uint64_t added;
} later_options;

int main(void) {
    /* First of all: does the library have what this header declares? */
    check(rds_check_abi(RDS_ABI_VERSION));
    printf("header %u, library %u\n", (unsigned)RDS_ABI_VERSION, (unsigned)rds_abi_version());
    if (rds_check_abi(RDS_ABI_VERSION + 1000) != RDS_OK) printf("%s\n", rds_last_error_message());

    /* What is not known is fine as long as it is 0, the default. */
    rds_writer *writer = NULL;
    later_options options = {RDS_WRITER_OPTIONS_INIT, 0};
    options.known.struct_size = sizeof options;
    options.known.mode = RDS_MODE_OVERWRITE;
    check(rds_writer_open("results", &options.known, &writer));
    printf("a later struct is accepted\n");

    /* A struct that ends earlier: no byte behind its end is written. */
    rds_write_stats stats = RDS_WRITE_STATS_INIT;
    stats.struct_size = offsetof(rds_write_stats, visible_rows);
    stats.visible_rows = 12345;
    check(rds_writer_stats(writer, &stats));
    check(rds_writer_close(writer));
    printf("an earlier struct is accepted, what lies behind it is still %llu\n", (unsigned long long)stats.visible_rows);

    options.added = 1;
    if (rds_writer_open("results", &options.known, &writer) != RDS_OK) printf("%s\n", rds_last_error_message());
    return 0;
}
