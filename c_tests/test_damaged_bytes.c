/* Files with one byte changed, cut short anywhere, or grown: an error that says that the file is
 * damaged, or what was written. What nobody can notice, for Lance has no checksums, is a change of
 * the rows themselves, and of the place where they lie. */
#include "hostile.h"

/* Where the file says that the rows are, which is at its beginning. */
static size_t place_at;

static void find_rows(const victim *victim) {
    float rows[VICTIM_ROWS][TABLE_WIDTH];
    /* Packed fields 1 and 2: the offset, and the size as two bytes of seven bits. */
    const unsigned char place[] = {0x0a, 1, 0, 0x12, 2, (VICTIM_BYTES & 127) | 128, VICTIM_BYTES >> 7};
    for (uint64_t row = 0; row < VICTIM_ROWS; row++) {
        for (int c = 0; c < TABLE_WIDTH; c++) rows[row][c] = table_value(row, c);
    }
    place_at = 0;
    REQUIRE(CHECK(memcmp(victim->good, rows, sizeof rows) == 0));
    for (size_t at = sizeof rows; at + sizeof place <= victim->size; at++) {
        if (memcmp(victim->good + at, place, sizeof place) == 0) place_at = at + 2;
    }
    CHECK(place_at > 0);
}

static int is_undetectable(size_t at) {
    return at < VICTIM_BYTES || at == place_at;
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
    place_at = 0;
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
