/* Data files whose metadata claims what is not so: offsets and sizes that overflow, counts without
 * end, pages that lie elsewhere. */
#include "forge.h"

static struct parts parts;

/* Forges one value; returns 0 if rows other than those written may come of it. */
typedef int forgery(struct forged *forged, long number);

static const uint64_t numbers[] = {0,
                                   1,
                                   7,
                                   8,
                                   VICTIM_BYTES - 1,
                                   VICTIM_BYTES + 1,
                                   1000,
                                   1ull << 31,
                                   UINT32_MAX,
                                   1ull << 32,
                                   1ull << 60,
                                   (1ull << 60) + VICTIM_ROWS,
                                   1ull << 63,
                                   UINT64_MAX - VICTIM_BYTES,
                                   UINT64_MAX - VICTIM_BYTES + 1,
                                   UINT64_MAX - 7,
                                   UINT64_MAX};
enum { NUMBERS = sizeof numbers / sizeof numbers[0] };

static int nothing(struct forged *forged, long number) { return (void)forged, (void)number, 1; }

/* Lance aligns pages to 64 bytes, and reads no other. Within the file nobody can tell a place that
 * is aligned from the right one. */
static int page_in_place(struct forged *forged, uint64_t at) {
    forged->pages[0].buffers[0].at = at;
    return at % 64 != 0;
}

static int page_at(struct forged *forged, long number) {
    return page_in_place(forged, numbers[number]);
}

static int page_near_the_end(struct forged *forged, long number) {
    return page_in_place(forged, FORGED_BYTES - VICTIM_BYTES - 40 + (uint64_t)number);
}

static int page_size(struct forged *forged, long number) {
    forged->pages[0].buffers[0].size = numbers[number];
    return 1;
}

static int page_rows(struct forged *forged, long number) {
    forged->pages[0].rows = numbers[number];
    return 1;
}

static int file_rows(struct forged *forged, long number) {
    forged->rows = numbers[number];
    return 1;
}

/* All that tells the number of rows but for the manifest agrees. */
static int all_rows(struct forged *forged, long number) {
    forged->rows = forged->pages[0].rows = numbers[number];
    forged->pages[0].buffers[0].size = numbers[number] * TABLE_WIDTH * 4;
    return 1;
}

static int two_pages(struct forged *forged, long number) {
    forged->page_count = 2;
    forged->pages[0].rows = numbers[number];
    forged->pages[1].rows = VICTIM_ROWS - numbers[number];
    return 0;
}

static int number_of_buffers(struct forged *forged, long number) {
    forged->pages[0].offsets = (int)number / 4;
    forged->pages[0].sizes = (int)number % 4;
    return 1;
}

static int number_of_pages(struct forged *forged, long number) {
    forged->page_count = (int)number;
    return 1;
}

static int column_at(struct forged *forged, long number) {
    forged->column.at = numbers[number];
    return 0;
}

static int column_size(struct forged *forged, long number) {
    forged->column.size = numbers[number];
    return 0;
}

static int global_at(struct forged *forged, long number) {
    forged->global.at = numbers[number];
    return 0;
}

static int global_size(struct forged *forged, long number) {
    forged->global.size = numbers[number];
    return 0;
}

static int number_of_columns(struct forged *forged, long number) {
    forged->columns = (uint32_t)(number == NUMBERS ? 3 : numbers[number]);
    return 0;
}

static int number_of_globals(struct forged *forged, long number) {
    forged->globals = (uint32_t)(number == NUMBERS ? 2 : numbers[number]);
    return 0;
}

static int ends(struct forged *forged, long number) {
    forged->ends[number % 3] = numbers[number / 3];
    return 0;
}

static int version(struct forged *forged, long number) {
    static const uint16_t versions[] = {0, 1, 2, 3, 4, 255, 256, UINT16_MAX};
    forged->version[0] = versions[number / 8];
    forged->version[1] = versions[number % 8];
    return 0;
}

static forgery *forge;

static size_t forged_file(const victim *victim, long number, unsigned char *bytes, int *same) {
    struct forged forged = forge_nothing(&parts);
    *same = forge(&forged, number);
    return put_together(victim, &parts, &forged, bytes);
}

static void check_forgeries(forgery *one, long count) {
    victim victim = victim_new("data", ".lance");
    parts = take_apart(&victim);
    forge = one;
    manifest_tells(&victim);
    victim.step = check_rounds(10) < 10 ? 5 : 1;
    check_variants(&victim, forged_file, count);
    victim_free(&victim);
}

static void read_unchanged(void *data) {
    for (uint32_t access = RDS_ACCESS_AUTO; access <= RDS_ACCESS_LANCE; access++) {
        struct answer answer;
        look((const victim *)data, access, &answer);
        CHECK_OK(answer.status);
        check_values(&answer);
    }
}

/* Or else nothing is forged, only broken. */
TEST(a_file_put_together_again_unchanged_is_read) {
    victim victim = victim_new("data", ".lance");
    unsigned char bytes[FORGED_BYTES];
    parts = take_apart(&victim);
    manifest_tells(&victim);
    struct forged forged = forge_nothing(&parts);
    size_t size = put_together(&victim, &parts, &forged, bytes);
    FILE *file = fopen(victim.file.text, "w");
    REQUIRE(CHECK(file && fwrite(bytes, 1, size, file) == size && fclose(file) == 0));
    in_child(read_unchanged, &victim);
    victim_free(&victim);
    check_forgeries(nothing, 1);
}

TEST(a_page_may_claim_any_place) {
    check_forgeries(page_at, NUMBERS);
    check_forgeries(page_near_the_end, 80);
}

TEST(a_page_may_claim_any_size) { check_forgeries(page_size, NUMBERS); }

TEST(pages_and_files_may_claim_any_number_of_rows) {
    check_forgeries(page_rows, NUMBERS);
    check_forgeries(file_rows, NUMBERS);
    check_forgeries(all_rows, NUMBERS);
    check_forgeries(two_pages, NUMBERS);
}

TEST(pages_may_have_any_number_of_buffers_and_columns_of_pages) {
    check_forgeries(number_of_buffers, 16);
    check_forgeries(number_of_pages, 4);
}

TEST(tables_of_parts_may_point_anywhere) {
    check_forgeries(column_at, NUMBERS);
    check_forgeries(column_size, NUMBERS);
    check_forgeries(global_at, NUMBERS);
    check_forgeries(global_size, NUMBERS);
}

TEST(a_footer_may_claim_any_number_of_parts_in_any_place) {
    check_forgeries(number_of_columns, NUMBERS + 1);
    check_forgeries(number_of_globals, NUMBERS + 1);
    check_forgeries(ends, NUMBERS * 3);
}

TEST(a_footer_may_claim_any_version) { check_forgeries(version, 64); }

CHECK_MAIN(RUN(a_file_put_together_again_unchanged_is_read), RUN(a_page_may_claim_any_place),
           RUN(a_page_may_claim_any_size), RUN(pages_and_files_may_claim_any_number_of_rows),
           RUN(pages_may_have_any_number_of_buffers_and_columns_of_pages),
           RUN(tables_of_parts_may_point_anywhere),
           RUN(a_footer_may_claim_any_number_of_parts_in_any_place),
           RUN(a_footer_may_claim_any_version))
