/* Files with one byte changed, cut short anywhere, or grown: an error that says that the file is
 * damaged, or what was written. What nobody can notice, for Lance has no checksums, is a change of
 * the rows themselves, and of the place where they lie. */
#include "hostile.h"

/* Where the rows are, and where the file says so. */
static size_t rows_at, place_at;

static void find_rows(const victim *victim) {
    float rows[VICTIM_ROWS][TABLE_WIDTH];
    unsigned char place[4];
    for (uint64_t row = 0; row < VICTIM_ROWS; row++) {
        for (int c = 0; c < TABLE_WIDTH; c++) rows[row][c] = table_value(row, c);
    }
    rows_at = place_at = 0;
    for (size_t at = 0; at + sizeof rows <= victim->size; at++) {
        if (memcmp(victim->good + at, rows, sizeof rows) == 0) rows_at = at;
    }
    REQUIRE(CHECK(rows_at >= 128 && rows_at < 16384));
    /* A packed field 1 with one number of two bytes. */
    place[0] = 0x0a, place[1] = 2;
    place[2] = (unsigned char)(rows_at | 0x80), place[3] = (unsigned char)(rows_at >> 7);
    for (size_t at = rows_at + sizeof rows; at + 4 <= victim->size; at++) {
        if (memcmp(victim->good + at, place, 4) == 0) place_at = at + 2;
    }
    CHECK(place_at > rows_at);
}

static int is_undetectable(size_t at) {
    return (at >= rows_at && at < rows_at + VICTIM_BYTES) || at == place_at || at == place_at + 1;
}

enum { CHANGES = 3 };

/* From the end on, where the metadata is. */
static size_t change_a_byte(const victim *victim, long number, unsigned char *bytes, int *same) {
    size_t at = victim->size - 1 - (size_t)(number / CHANGES);
    memcpy(bytes, victim->good, victim->size);
    const unsigned char byte = bytes[at];
    const unsigned char changed[CHANGES] = {(unsigned char)~byte, byte ^ 1, 0};
    bytes[at] = changed[number % CHANGES];
    *same = !is_undetectable(at);
    return victim->size;
}

static size_t cut(const victim *victim, long number, unsigned char *bytes, int *same) {
    (void)same;
    memcpy(bytes, victim->good, (size_t)number);
    return (size_t)number;
}

/* `number` bytes before, within or after the file that are not its own. */
static size_t grow(const victim *victim, long number, unsigned char *bytes, int *same) {
    size_t more = (size_t)number / 3 * 8 + 1, before = 0;
    if (number % 3 == 1) before = victim->size / 2;
    if (number % 3 == 2) before = victim->size;
    memcpy(bytes, victim->good, before);
    memset(bytes + before, 0xa5, more);
    memcpy(bytes + before + more, victim->good + before, victim->size - before);
    *same = 0;
    return victim->size + more;
}

/* Variants are few where each takes seconds. */
static long sparse(long step) { return check_rounds(10) < 10 ? step : 1; }

TEST(any_byte_of_a_data_file_may_be_another) {
    victim victim = victim_new("data", ".lance");
    find_rows(&victim);
    victim.step = sparse(61);
    check_variants(&victim, change_a_byte, (long)victim.size * CHANGES);
    victim_free(&victim);
}

TEST(any_byte_of_a_manifest_may_be_another) {
    victim victim = victim_new("_versions", ".manifest");
    rows_at = 0, place_at = 0;
    victim.step = sparse(61);
    check_variants(&victim, change_a_byte, (long)victim.size * CHANGES);
    victim_free(&victim);
}

TEST(a_data_file_may_end_anywhere) {
    victim victim = victim_new("data", ".lance");
    victim.step = sparse(17);
    check_variants(&victim, cut, (long)victim.size);
    victim_free(&victim);
}

TEST(a_manifest_may_end_anywhere) {
    victim victim = victim_new("_versions", ".manifest");
    victim.step = sparse(17);
    check_variants(&victim, cut, (long)victim.size);
    victim_free(&victim);
}

TEST(a_data_file_may_be_longer_than_it_was) {
    victim victim = victim_new("data", ".lance");
    victim.step = sparse(7);
    check_variants(&victim, grow, 300);
    victim_free(&victim);
}

CHECK_MAIN(RUN(any_byte_of_a_data_file_may_be_another), RUN(any_byte_of_a_manifest_may_be_another),
           RUN(a_data_file_may_end_anywhere), RUN(a_manifest_may_end_anywhere),
           RUN(a_data_file_may_be_longer_than_it_was))
