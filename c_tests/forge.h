/* Data files whose metadata is made up: the metadata of a good file taken apart, changed, and put
 * together again behind its rows.
 *
 * A Lance file, version 2, ends in: metadata of each column, a table of where these are, a table of
 * where the global buffers are, and a footer (the offsets of the three, the lengths of the two
 * tables, the version, the magic). The metadata is of protobuf: file2.proto of lance-file. */
#ifndef FORGE_H
#define FORGE_H

#include "hostile.h"

enum { FOOTER_BYTES = 40, DATA_COLUMN = 1, COLUMNS = 2, FORGED_PAGES = 3, FORGED_BUFFERS = 3 };

struct place {
    uint64_t at, size;
};

/* What may be forged of a file; forge_read() gives that of the good file. */
struct forged {
    struct {
        struct place buffers[FORGED_BUFFERS];
        /* Of the two lists: they need not be equally long. */
        int offsets, sizes;
        uint64_t rows;
    } pages[FORGED_PAGES];
    int page_count;
    /* Added to the place and size of the metadata of `data`, and of the first global buffer. */
    struct place column, global;
    /* Rows, as the file's descriptor has them. */
    uint64_t rows;
    /* The footer. */
    uint64_t ends[3];
    uint32_t globals, columns;
    uint16_t version[2];
};

static inline uint64_t number_at(const unsigned char *at, int bytes) {
    uint64_t number = 0;
    for (int i = bytes - 1; i >= 0; i--) number = number << 8 | at[i];
    return number;
}

static inline unsigned char *put_number(unsigned char *at, uint64_t number, int bytes) {
    for (int i = 0; i < bytes; i++) *at++ = (unsigned char)(number >> 8 * i);
    return at;
}

static inline unsigned char *put_bytes(unsigned char *at, const unsigned char *bytes, size_t size) {
    memcpy(at, bytes, size);
    return at + size;
}

static inline uint64_t get_varint(const unsigned char **at) {
    uint64_t number = 0;
    for (int shift = 0; shift < 64; shift += 7) {
        number |= (uint64_t)(**at & 0x7f) << shift;
        if (!(*(*at)++ & 0x80)) break;
    }
    return number;
}

static inline unsigned char *put_varint(unsigned char *at, uint64_t number) {
    for (; number > 0x7f; number >>= 7) *at++ = (unsigned char)(number | 0x80);
    *at++ = (unsigned char)number;
    return at;
}

/* A field whose value is bytes. */
static inline unsigned char *put_field(unsigned char *at, int field, const unsigned char *bytes,
                                       size_t size) {
    at = put_varint(at, (uint64_t)field << 3 | 2);
    return put_bytes(put_varint(at, size), bytes, size);
}

/* Gives the next field of a message and its number, or its bytes and how many. */
static inline int get_field(const unsigned char **at, uint64_t *number,
                            const unsigned char **bytes) {
    uint64_t tag = get_varint(at);
    *number = get_varint(at);
    *bytes = *at;
    if ((tag & 7) == 2) *at += *number;
    return (int)(tag >> 3);
}

/* The good file, taken apart. */
struct parts {
    struct place columns[COLUMNS], global;
    /* Of the only page of `data`: its buffer, and the bytes of its encoding. */
    struct place buffer, encoding;
    /* Of `data` itself. */
    struct place column_encoding;
    uint64_t rows, ends[3];
    uint16_t version[2];
};

static inline struct place place_of(const victim *victim, const unsigned char *bytes,
                                    uint64_t size) {
    return (struct place){(uint64_t)(bytes - victim->good), size};
}

static inline void read_page(const victim *victim, struct place page, struct parts *parts) {
    const unsigned char *at = victim->good + page.at, *end = at + page.size, *bytes;
    for (uint64_t number; at < end;) {
        int field = get_field(&at, &number, &bytes);
        if (field == 1) parts->buffer.at = get_varint(&bytes);
        if (field == 2) parts->buffer.size = get_varint(&bytes);
        if (field == 3) parts->rows = number;
        if (field == 4) parts->encoding = place_of(victim, bytes, number);
    }
}

static inline struct parts take_apart(const victim *victim) {
    struct parts parts = {0};
    const unsigned char *footer = victim->good + victim->size - FOOTER_BYTES, *bytes;
    for (int i = 0; i < 3; i++) parts.ends[i] = number_at(footer + 8 * i, 8);
    CHECK_NUMBER(number_at(footer + 24, 4), 1);
    CHECK_NUMBER(number_at(footer + 28, 4), COLUMNS);
    for (int i = 0; i < 2; i++) parts.version[i] = (uint16_t)number_at(footer + 32 + 2 * i, 2);
    for (int i = 0; i < COLUMNS; i++) {
        const unsigned char *entry = victim->good + parts.ends[1] + 16 * i;
        parts.columns[i] = (struct place){number_at(entry, 8), number_at(entry + 8, 8)};
    }
    const unsigned char *entry = victim->good + parts.ends[2];
    parts.global = (struct place){number_at(entry, 8), number_at(entry + 8, 8)};
    const struct place *column = &parts.columns[DATA_COLUMN];
    const unsigned char *at = victim->good + column->at, *end = at + column->size;
    for (uint64_t number; at < end;) {
        int field = get_field(&at, &number, &bytes);
        if (field == 1) parts.column_encoding = place_of(victim, bytes, number);
        if (field == 2) read_page(victim, place_of(victim, bytes, number), &parts);
    }
    CHECK_NUMBER(parts.buffer.size, VICTIM_BYTES);
    CHECK_NUMBER(parts.rows, VICTIM_ROWS);
    return parts;
}

static inline struct forged forge_nothing(const struct parts *parts) {
    struct forged forged = {.page_count = 1, .rows = parts->rows, .globals = 1, .columns = COLUMNS};
    for (int i = 0; i < FORGED_PAGES; i++) {
        for (int b = 0; b < FORGED_BUFFERS; b++) forged.pages[i].buffers[b] = parts->buffer;
        forged.pages[i].offsets = forged.pages[i].sizes = 1;
        forged.pages[i].rows = parts->rows;
    }
    memcpy(forged.version, parts->version, sizeof forged.version);
    return forged;
}

static inline unsigned char *put_page(unsigned char *at, const victim *victim,
                                      const struct parts *parts, const struct forged *forged,
                                      int number) {
    unsigned char page[4096], list[64], *end = page, *end_of_list = list;
    for (int i = 0; i < forged->pages[number].offsets; i++) {
        end_of_list = put_varint(end_of_list, forged->pages[number].buffers[i].at);
    }
    end = put_field(end, 1, list, (size_t)(end_of_list - list));
    end_of_list = list;
    for (int i = 0; i < forged->pages[number].sizes; i++) {
        end_of_list = put_varint(end_of_list, forged->pages[number].buffers[i].size);
    }
    end = put_field(end, 2, list, (size_t)(end_of_list - list));
    end = put_varint(put_varint(end, 3 << 3), forged->pages[number].rows);
    end = put_field(end, 4, victim->good + parts->encoding.at, parts->encoding.size);
    return put_field(at, 2, page, (size_t)(end - page));
}

/* The forged file always has this size, which the manifest of the table then tells. */
enum { FORGED_BYTES = 8192 };

/* The file with the forged metadata. */
static inline size_t put_together(const victim *victim, const struct parts *parts,
                                  const struct forged *forged, unsigned char *bytes) {
    static unsigned char end[FORGED_BYTES];
    struct place columns[COLUMNS] = {{0, parts->columns[0].size}, {0, 0}}, global = {0, 0};
    uint64_t ends[3];
    unsigned char *at = put_bytes(end, victim->good + parts->global.at, parts->global.size);
    /* The last of two values of a field counts. */
    at = put_varint(put_varint(at, 2 << 3), forged->rows);
    global.size = columns[0].at = ends[0] = (uint64_t)(at - end);
    at = put_bytes(at, victim->good + parts->columns[0].at, parts->columns[0].size);
    columns[1].at = (uint64_t)(at - end);
    at = put_field(at, 1, victim->good + parts->column_encoding.at, parts->column_encoding.size);
    for (int i = 0; i < forged->page_count; i++) at = put_page(at, victim, parts, forged, i);
    columns[1].size = (uint64_t)(at - end) - columns[1].at;
    ends[1] = (uint64_t)(at - end);
    ends[2] = ends[1] + COLUMNS * 16;
    /* Global buffers are aligned to 64 bytes; what is left over lies before the footer. */
    const uint64_t start = (FORGED_BYTES - FOOTER_BYTES - 16 - ends[2]) / 64 * 64;
    columns[1].at += forged->column.at, columns[1].size += forged->column.size;
    global.at += forged->global.at, global.size += forged->global.size;
    for (int i = 0; i < COLUMNS; i++) {
        at = put_number(put_number(at, start + columns[i].at, 8), columns[i].size, 8);
    }
    at = put_number(put_number(at, start + global.at, 8), global.size, 8);
    memset(bytes, 0, FORGED_BYTES);
    memcpy(bytes, victim->good, parts->global.at);
    CHECK(parts->global.at <= start);
    memcpy(bytes + start, end, (size_t)(at - end));
    at = bytes + FORGED_BYTES - FOOTER_BYTES;
    for (int i = 0; i < 3; i++) at = put_number(at, start + ends[i] + forged->ends[i], 8);
    at = put_number(put_number(at, forged->globals, 4), forged->columns, 4);
    for (int i = 0; i < 2; i++) at = put_number(at, forged->version[i], 2);
    put_bytes(at, (const unsigned char *)"LANC", 4);
    return FORGED_BYTES;
}

/* Lets the manifest tell the size of forged files. */
static inline void manifest_tells(const victim *victim) {
    unsigned char manifest[4096], size[3] = {6 << 3}, forged[3] = {6 << 3};
    check_path_text path = file_in(victim->path.text, "_versions", ".manifest");
    FILE *file = fopen(path.text, "r+");
    REQUIRE(CHECK(file != NULL));
    size_t length = fread(manifest, 1, sizeof manifest, file);
    int found = 0;
    put_varint(size + 1, victim->size), put_varint(forged + 1, FORGED_BYTES);
    for (size_t at = 0; at + 3 <= length; at++) {
        if (memcmp(manifest + at, size, 3) != 0) continue;
        memcpy(manifest + at, forged, 3);
        found++;
    }
    CHECK(found >= 1);
    rewind(file);
    CHECK(fwrite(manifest, 1, length, file) == length);
    CHECK(fclose(file) == 0);
}

#endif
