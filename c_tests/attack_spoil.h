/* One thing that is wrong with one argument: which, says turn(). Each function here gives 1 if it was its turn. */
#ifndef ATTACK_SPOIL_H
#define ATTACK_SPOIL_H

#include "attack_arrow.h"

static const uint64_t edges_32[] = {0,  1,  2,   3,   4,   5,   7,         8,           13,        16,        23,
                                    24, 64, 65, 66, 77, 255, 256, 1u << 31, INT32_MAX, INT32_MIN, UINT32_MAX};
static const uint64_t edges_64[] = {0, 1, 2, 3, 11, 12, 13, 1u << 31, UINT32_MAX, 1ull << 32, (1ull << 61) + 1,
                                    INT64_MAX, 1ull << 63, (1ull << 63) + 1, UINT64_MAX - 1, UINT64_MAX};
enum { EDGES_32 = sizeof edges_32 / sizeof edges_32[0], EDGES_64 = sizeof edges_64 / sizeof edges_64[0] };

static int put(void *at, size_t size, uint64_t value) {
    memcpy(at, &value, size);
    return 1;
}

static int spoil_number(void *at, size_t size) {
    const uint64_t *edges = size == 4 ? edges_32 : edges_64;
    for (int i = 0; i < (size == 4 ? (int)EDGES_32 : (int)EDGES_64); i++) {
        if (turn()) return note("=%llu", (unsigned long long)edges[i]), put(at, size, edges[i]);
    }
    return 0;
}

/* Of memory there is as much as it says: less is true, and what no memory can have is impossible. */
static int spoil_claim(void *at, uint64_t *impossible) {
    uint64_t right = *(const uint64_t *)at;
    const uint64_t less[] = {0, 1, right - 1}, more[] = {HALF, HALF + 1, SIZE_MAX - 7, SIZE_MAX};
    for (int i = 0; i < 3; i++) {
        if (less[i] < right && turn()) return note("=%llu", (unsigned long long)less[i]), put(at, 8, less[i]);
    }
    for (int i = 0; i < 4; i++) {
        if (turn()) return *impossible = more[i], note("=%#llx", (unsigned long long)more[i]), put(at, 8, more[i]);
    }
    return 0;
}

static int spoil_text(const char **at, int null_is_fine) {
    static char long_text[70000];
    static const char *const texts[] = {"", "\x01", "a\nb", ".", "..", "a/b", "a//", "object_id", "data", "label",
                                        "a.b", "nowhere/at/all", "memory://t", "s3://bucket/t", "file://host/a", "://",
                                        "%2e", "no?a=b#c", "x.lance", "\xf0\x9f\x92\xbe"};
    static const char *const wrong[] = {"\xff", "id-\xc3", "\xed\xa0\x80", "\xc0\x80", "file:///\xff"};
    if (turn()) return *at = NULL, note("=NULL"), null_is_fine ? may_be() : must_be(RDS_ERR_INVALID_ARGUMENT);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        if (turn()) return *at = wrong[i], note("=not UTF-8"), must_be(RDS_ERR_INVALID_ARGUMENT);
    }
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if (turn()) return *at = texts[i], note("=\"%s\"", texts[i]), 1;
    }
    for (size_t length = 300; length < sizeof long_text; length *= 15) {
        if (!turn()) continue;
        memset(long_text, 'x', length), long_text[length] = 0;
        return *at = long_text, note("=%zu bytes", length), 1;
    }
    return 0;
}

/* Numbers behind a pointer: as many as there are and more are true. */
static int spoil_numbers(void *pointer, size_t size, int is_needed, int null_is_fine) {
    unsigned char **at = (unsigned char **)pointer;
    if (!*at || (uintptr_t)*at % size) return 0;
    if (turn()) return *at = NULL, note("=NULL"), null_is_fine ? may_be() : must_be(0);
    if (turn()) return *at += 1, note("=misaligned"), is_needed ? must_be(RDS_ERR_INVALID_ARGUMENT) : may_be();
    static const uint64_t wide[] = {0, UINT64_MAX, 1ull << 63, INT64_MAX, 12, (uint64_t)-4, 3};
    static const uint32_t narrow[] = {UINT32_MAX, 3, 1u << 31, 1};
    for (int which = 0; which < 2; which++) {
        for (int i = 0; i < (size == 4 ? 4 : 7); i++) {
            if (!turn()) continue;
            note("[%d]=%lld", which, size == 4 ? (long long)narrow[i] : (long long)wide[i]);
            return put(*at + (size_t)which * size, size, size == 4 ? narrow[i] : wide[i]);
        }
    }
    return 0;
}

static int spoil_memory(void *pointer, const struct form *form) {
    unsigned char **at = (unsigned char **)pointer;
    if (!*at) return 0;
    if (turn()) return *at = NULL, note("=NULL"), must_be(0);
    if (strcmp(form->name, "rds_ids") == 0) {
        const rds_ids *ids = (const rds_ids *)(const void *)((unsigned char *)pointer - offsetof(rds_ids, data));
        int is_text = ids->kind == RDS_IDS_UTF8 || ids->kind == RDS_IDS_NUMPY_S || ids->kind == RDS_IDS_NUMPY_U;
        if (is_text && turn()) return memset(*at, 0xff, 48), note("=no text"), must_be(RDS_ERR_INVALID_ARGUMENT);
    }
    if (strcmp(form->name, "rds_token") != 0) return 0;
    for (size_t i = 0; i < 24; i++) {
        if (turn()) return (*at)[i] ^= (unsigned char)(1u << i % 8), note("[%zu] flipped", i), 1;
    }
    for (size_t i = 0; i < 24; i++) {
        if (turn()) return (*at)[below(token_length)] ^= 0xff, note(" damaged"), 1;
    }
    return 0;
}

/* How many structs a field points to, from the field behind it. */
static size_t nested_count(const unsigned char *at, const struct field *field) {
    size_t count;
    memcpy(&count, at + field[1].offset, sizeof count);
    return count;
}

static int spoil_struct(unsigned char *at, const struct form *form, size_t count, size_t step);

static int spoil_field(unsigned char *at, const struct form *form, const struct field *field) {
    void *place = at + field->offset;
    uint64_t impossible = 0;
    size_t noted = now.noted;
    note(".%s", field->name);
    switch (field->kind) {
    case SIZE:
        break;
    case UNKNOWN_BITS:
        if (turn()) return note("|=2^31"), ((uint32_t *)place)[0] |= 1u << 31, must_be(RDS_ERR_NOT_SUPPORTED);
        if (strcmp(field->name, "reserved") == 0 && turn()) {
            return note("=1"), put(place, 4, 1), must_be(RDS_ERR_NOT_SUPPORTED);
        }
        if (spoil_number(place, 4)) return 1;
        break;
    case MEANING:
        if (turn()) return note("=0"), put(place, 4, 0), must_be(RDS_ERR_INVALID_ARGUMENT);
        if (turn()) return note("=8"), put(place, 4, 8), must_be(RDS_ERR_INVALID_ARGUMENT);
        if (turn()) return note("=2^32-1"), put(place, 4, UINT32_MAX), must_be(RDS_ERR_INVALID_ARGUMENT);
        break;
    case FIELD_CLAIM:
        if (!spoil_claim(place, &impossible)) break;
        if (!impossible) return 1;
        /* Of a room nobody needs to know the end, and it would be true for strides that are not. */
        if (strcmp(field->name, "bytes") == 0) return put(place, 8, BULK_BYTES);
        return must_be(0);
        break;
    case FIELD_NUMBER:
        if (spoil_number(place, field->size)) return 1;
        break;
    case FIELD_TEXT:
        if (spoil_text((const char **)place, form->sized)) return 1;
        break;
    case PROGRESS:
    case WAITING:
        for (int i = 0; i < 4; i++) {
            static const rds_progress_callback progress[] = {NULL, progress_stops, progress_calls, progress_goes_on};
            static const rds_waiting_callback waiting[] = {NULL, waiting_stops, waiting_calls, waiting_goes_on};
            if (!turn()) continue;
            note("=callback %d", i);
            if (field->kind == PROGRESS) memcpy(place, &progress[i], sizeof progress[i]);
            else memcpy(place, &waiting[i], sizeof waiting[i]);
            return 1;
        }
        break;
    case FIELD_USER_DATA:
        if (turn()) return note("=1"), put(place, 8, 1);
        break;
    case NESTED: {
        unsigned char *nested;
        memcpy(&nested, place, sizeof nested);
        if (!nested || (uintptr_t)nested % 8) break;
        if (turn()) return note("=NULL"), put(place, 8, 0), must_be(0);
        if (turn()) return note("=misaligned"), put(place, 8, (uintptr_t)nested + 1), must_be(0);
        size_t elements = nested_count(at, field);
        if (elements < 8 && spoil_struct(nested, field->form, elements, field->form->size)) return 1;
        break;
    }
    case NUMBERS_32:
    case NUMBERS_64: {
        /* A scalar has no lengths. */
        int is_column = strcmp(form->name, "rds_column_spec") == 0;
        int is_scalar = is_column && ((const rds_column_spec *)(const void *)at)->ndim == 0;
        if (spoil_numbers(place, field->kind == NUMBERS_32 ? 4 : 8, !is_scalar, 1)) return 1;
        break;
    }
    case MEMORY:
        if (spoil_memory(place, form)) return 1;
        break;
    case FIELD_READER: {
        const uint64_t wrong[] = {0, (uintptr_t)closed_reader, (uintptr_t)loader, 1, UINT64_MAX};
        for (int i = 0; i < 5; i++) {
            if (turn()) return note("=wrong handle %d", i), put(place, 8, wrong[i]), must_be(RDS_ERR_INVALID_HANDLE);
        }
        break;
    }
    case BYTES_HERE:
        for (size_t i = 0; i < field->size; i++) {
            if (!turn()) continue;
            ((unsigned char *)place)[i] ^= (unsigned char)(1u << i % 8);
            return note("[%zu] flipped", i), must_be(0);
        }
        break;
    }
    now.noted = noted, now.note[noted] = 0;
    return 0;
}

/* The sizes of structs that stand `step` apart, with SPARE bytes of zero behind them. */
static int spoil_sizes(unsigned char *at, const struct form *form, size_t count, size_t step, int is_output) {
    static const size_t wrong[] = {0, 1, 7, 8, 4097, SIZE_MAX, SIZE_MAX / 2 + 1, 1u << 31};
    size_t size = form->size;
    for (size_t which = 0; which < count && which < 2; which++) {
        for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
            if (!turn()) continue;
            note("[%zu].struct_size=%zu", which, wrong[i]);
            return put(at + which * step, 8, wrong[i]), must_be(RDS_ERR_INVALID_ARGUMENT);
        }
    }
    if (turn()) return note(".struct_size-=1"), put(at, 8, size - 1), count > 1 ? must_be(0) : 1;
    if (count > 1) {
        if (turn()) return note("[1].struct_size+=8"), put(at + step, 8, size + 8), must_be(RDS_ERR_INVALID_ARGUMENT);
        if (turn()) return note("[1].struct_size-=8"), put(at + step, 8, size - 8), must_be(RDS_ERR_INVALID_ARGUMENT);
        return 0;
    }
    const size_t larger[] = {size + 1, size + 8, 4096};
    for (int i = 0; i < 6; i++) {
        if (!turn()) continue;
        note(".struct_size=%zu", larger[i / 2]), put(at, 8, larger[i / 2]);
        if (i % 2 == 0) return 1;
        note(" and its last byte set"), at[larger[i / 2] - 1] = 1;
        return is_output ? may_be() : must_be(RDS_ERR_NOT_SUPPORTED);
    }
    return 0;
}

static int spoil_struct(unsigned char *at, const struct form *form, size_t count, size_t step) {
    if (form->sized && spoil_sizes(at, form, count, step, 0)) return 1;
    for (size_t which = 0; which < count && which < 3; which++) {
        size_t noted = now.noted;
        note("[%zu]", which);
        for (size_t f = 0; f < form->field_count; f++) {
            if (spoil_field(at + which * step, form, &form->fields[f])) return 1;
        }
        now.noted = noted, now.note[noted] = 0;
    }
    return 0;
}

static int spoil_handle(size_t i) {
    const uint64_t live = now.value[i];
    const void *const closed[] = {closed_reader, closed_writer, closed_loader};
    const void *const others[] = {writer, loader, reader};
    const int which = (int)now.function->parameters[i].kind - READER;
    const uint64_t wrong[] = {0,
                              (uint64_t)(uintptr_t)closed[which],
                              (uint64_t)(uintptr_t)others[which],
                              1, (uint64_t)(uintptr_t)&now, live ^ 1ull << 24, live ^ 1ull << 55, live ^ 1ull << 63,
                              live | 0xffffff, UINT64_MAX, UINT64_MAX >> 1};
    for (size_t at = 0; at < sizeof wrong / sizeof wrong[0]; at++) {
        if (turn()) return note("=wrong handle %zu", at), now.value[i] = wrong[at], must_be(RDS_ERR_INVALID_HANDLE);
    }
    return 0;
}

static int spoil_pointer(size_t i, size_t alignment) {
    const struct parameter *parameter = &now.function->parameters[i];
    if (turn()) {
        note("=NULL"), now.value[i] = 0;
        return parameter->null_is_fine ? may_be() : must_be(RDS_ERR_INVALID_ARGUMENT);
    }
    /* Bytes have no alignment, and none are at 1. */
    if (alignment > 1 && now.value[i] && turn()) {
        return note("=misaligned"), now.value[i] += 1, must_be(RDS_ERR_INVALID_ARGUMENT);
    }
    return 0;
}

/* A right one, or one that calls in. */
static uint64_t callback_of(int calls) {
    if (is_function("rds_list_parts")) return (uintptr_t)(calls ? lists_and_calls : lists);
    return (uintptr_t)(calls ? logs_and_calls : logs);
}

/* Several structs of a later version, which are right, and one with a field that nobody knows. */
static int spoil_step(size_t i) {
    const struct parameter *parameter = &now.function->parameters[i];
    size_t size = parameter->form->size, step = size + 8;
    if (parameter->elements < 2 || now.step[i] != size || now.value[i] != (uintptr_t)now.memory[i]) return 0;
    for (int is_set = 0; is_set < 2; is_set++) {
        if (!turn()) continue;
        unsigned char *wide = (unsigned char *)room(step * parameter->elements);
        for (size_t e = 0; e < parameter->elements; e++) {
            memcpy(wide + e * step, now.memory[i] + e * size, size);
            put(wide + e * step, 8, step);
        }
        wide[2 * step - 1] = (unsigned char)is_set;
        now.memory[i] = wide, now.value[i] = (uintptr_t)wide;
        now.bytes[i] = step * parameter->elements, now.step[i] = step;
        note(".struct_size=%zu%s", step, is_set ? ", and the last byte of [1] set" : "");
        return is_set && parameter->kind == STRUCT ? must_be(RDS_ERR_NOT_SUPPORTED) : may_be();
    }
    return 0;
}

/* The next thing that can be wrong with an argument, by what it is. */
static int spoil_what_it_is(size_t i) {
    const struct parameter *parameter = &now.function->parameters[i];
    uint64_t impossible = 0;
    switch (parameter->kind) {
    case NUMBER:
        if (!spoil_number(&now.value[i], parameter->size)) return 0;
        /* No row, column or level has the largest number. */
        if (now.function->has_status && now.value[i] == (parameter->size == 4 ? UINT32_MAX : UINT64_MAX)) must_be(0);
        return 1;
    case CLAIM:
        if (!spoil_claim(&now.value[i], &impossible)) return 0;
        /* As above. */
        return impossible && strcmp(parameter->name, "out_bytes") != 0 ? must_be(0) : 1;
    case TEXT:
        return spoil_text((const char **)(void *)&now.value[i], parameter->null_is_fine);
    case BYTES:
        if (turn()) return note("=NULL"), now.value[i] = 0, must_be(RDS_ERR_INVALID_ARGUMENT);
        if (turn()) {
            now.value[i] = (uintptr_t)"\xff\xff\xff\xff";
            return note("=not UTF-8"), must_be(RDS_ERR_INVALID_ARGUMENT);
        }
        return 0;
    case READER:
    case WRITER:
    case LOADER:
        return spoil_handle(i);
    case STRUCT:
        return spoil_pointer(i, 8) || spoil_step(i) ||
               spoil_struct(now.memory[i], parameter->form, parameter->elements, now.step[i]);
    case PLAIN:
        if (parameter->form->field_count == 0) return spoil_numbers(&now.value[i], 8, 1, parameter->null_is_fine);
        return spoil_pointer(i, 8) || spoil_struct(now.memory[i], parameter->form, parameter->elements, now.step[i]);
    case SCHEMA:
        return spoil_pointer(i, 8) || spoil_tree(tree, 1);
    case ARRAY:
        return spoil_pointer(i, 8) || spoil_tree(tree, 0);
    case STREAM:
        return spoil_pointer(i, 8) || spoil_producer(producer);
    case CALLBACK:
        if (turn()) {
            note("=NULL"), now.value[i] = 0;
            return parameter->null_is_fine ? may_be() : must_be(RDS_ERR_INVALID_ARGUMENT);
        }
        if (turn()) return note("=one that calls"), now.value[i] = callback_of(1), 1;
        return 0;
    case USER_DATA:
        if (turn()) return note("=1"), now.value[i] = 1, 1;
        return 0;
    case OUT_STRUCT:
        return spoil_pointer(i, 8) || spoil_step(i) ||
               spoil_sizes(now.memory[i], parameter->form, parameter->elements, now.step[i], 1);
    case OUT_VALUE:
    case OUT_BULK:
    case OUT_SCHEMA:
    case OUT_ARRAY:
    case OUT_STREAM:
        return spoil_pointer(i, parameter->alignment);
    }
    return 0;
}

static int spoil(size_t i, unsigned long which) {
    size_t noted = now.noted;
    turns_left = which;
    note(" %s", now.function->parameters[i].name);
    if (spoil_what_it_is(i)) return now.wrong[i]++, now.all_wrong++, 1;
    now.noted = noted, now.note[noted] = 0;
    return 0;
}

#endif
