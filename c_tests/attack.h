/* What attack_calls.h says of the functions of rds.h, and the call at hand: its arguments, what is wrong with them, and
 * what must come of it.
 *
 * What is wrong are claims. There is memory for what they say, unless they are impossible by themselves: no library can
 * find out more. */
#ifndef ATTACK_H
#define ATTACK_H

#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include "columns.h"

enum kind {
    NUMBER, CLAIM, TEXT, BYTES, READER, WRITER, LOADER, STRUCT, PLAIN, SCHEMA, ARRAY, STREAM, CALLBACK, USER_DATA,
    OUT_VALUE, OUT_STRUCT, OUT_BULK, OUT_SCHEMA, OUT_ARRAY, OUT_STREAM
};
enum field_kind {
    SIZE, UNKNOWN_BITS, MEANING, FIELD_CLAIM, FIELD_NUMBER, FIELD_TEXT, PROGRESS, WAITING, FIELD_USER_DATA, NESTED,
    NUMBERS_32, NUMBERS_64, MEMORY, FIELD_READER, BYTES_HERE
};
/* What a failure makes of an output. */
enum after { NO_OUTPUT, NOTHING, MINUS_ONE, UNCHANGED, ANYTHING };

struct form;

struct field {
    const char *name;
    enum field_kind kind;
    size_t offset, size;
    /* Of the structs that it points to. */
    const struct form *form;
};

struct form {
    const char *name;
    size_t size;
    /* Whether it begins with struct_size. */
    int sized;
    const struct field *fields;
    size_t field_count;
    /* Makes a right one of several. */
    void (*make)(void *at, size_t index);
};

struct parameter {
    const char *name;
    enum kind kind;
    /* Of a pointer: how many it points to, and whether a parameter says so. */
    size_t elements;
    int null_is_fine, has_count;
    enum after after_failure;
    /* Bytes of the number, or of one element. */
    size_t size, alignment;
    uint64_t valid;
    const struct form *form;
    const char *(*make)(void);
};

struct function {
    const char *name;
    /* Statuses, as bits. */
    uint32_t documented;
    int has_status, is_slow;
    rds_status (*call)(const uint64_t *values);
    const struct parameter *parameters;
    size_t parameter_count;
};

enum { MOST_PARAMETERS = 8, BULK_BYTES = 1 << 14, MOST_STATUSES = RDS_ERR_STREAM + 1, GUARD = 0xa5, SECONDS = 60 };
/* More than the largest struct_size that is one. */
enum { SPARE = 4096 + 512 };

static const uint64_t HALF = SIZE_MAX / 2 + 1;

struct call {
    const struct function *function;
    /* Arguments: numbers, or addresses. */
    uint64_t value[MOST_PARAMETERS];
    /* The first one, before it was spoilt. */
    uint64_t handle;
    /* It is a writer of the call's own. */
    int own_writer;
    /* What addresses lead to, as it was before the call. */
    unsigned char *memory[MOST_PARAMETERS], *before[MOST_PARAMETERS];
    size_t bytes[MOST_PARAMETERS], step[MOST_PARAMETERS], spare[MOST_PARAMETERS];
    /* How many things are wrong with each, and with all. */
    int wrong[MOST_PARAMETERS], all_wrong;
    /* If that is one: whether the call must fail, and by which status if not 0. */
    int must_fail;
    rds_status must_be;
    char note[1024];
    size_t noted;
};

static struct call now;
static uint64_t random_state, calls_made, reports_made, nobody_blamed;
static uint64_t by_status[MOST_STATUSES];
static int verbose;
/* Whether calls are given other handles now and then. */
static int various;

static inline uint64_t next_random(void) {
    uint64_t z = random_state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static inline uint64_t below(uint64_t end) { return next_random() % end; }

/* Notes --------------------------------------------------------------------------------------------------------- */

__attribute__((format(printf, 1, 2))) static inline void note(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    size_t left = sizeof now.note - now.noted;
    int length = vsnprintf(now.note + now.noted, left, format, arguments);
    va_end(arguments);
    if (length > 0) now.noted += (size_t)length < left ? (size_t)length : left - 1;
}

/* Says what the call does; of the same reason for the same argument only the first times. */
static inline void report(const char *reason) {
    enum { MOST = 4096, TOLD = 2 };
    static struct {
        uint64_t hash;
        int times;
    } told[MOST];
    uint64_t hash = 14695981039346656037u;
    /* Of the note the name of the first argument. */
    const char *const texts[] = {now.function->name, reason, now.note + (now.note[0] == ' ')};
    for (int t = 0; t < 3; t++) {
        size_t length = t < 2 ? strlen(texts[t]) : strcspn(texts[t], " [=.");
        for (size_t i = 0; i < length; i++) hash = (hash ^ (unsigned char)texts[t][i]) * 1099511628211u;
    }
    reports_made++;
    size_t slot = hash % MOST;
    while (told[slot].times && told[slot].hash != hash) slot = (slot + 1) % MOST;
    told[slot].hash = hash;
    if (++told[slot].times > TOLD && !verbose) {
        check_failures++;
        return;
    }
    char what[2048];
    snprintf(what, sizeof what, "%s: %s\n    given:%s", now.function->name, reason, now.note);
    check_fail(__FILE__, __LINE__, what);
}

/* A crash or a hang, told with nothing but write(). */
static void ended_badly(int number) {
    const char *const what = number == SIGALRM ? "HANG: " : "CRASH: ";
    const char *const texts[] = {what, now.function ? now.function->name : "?", ":", now.note, "\n"};
    for (int i = 0; i < 5; i++) {
        if (write(STDERR_FILENO, texts[i], strlen(texts[i])) < 0) _exit(3);
    }
    signal(number, SIG_DFL);
    raise(number);
}

static inline void tell_how_it_ends(void) {
    const int numbers[] = {SIGSEGV, SIGBUS, SIGABRT, SIGILL, SIGFPE, SIGALRM};
    for (int i = 0; i < 6; i++) signal(numbers[i], ended_badly);
}

/* Memory of the call -------------------------------------------------------------------------------------------- */

static void *rooms[1024];
static size_t room_count;

static inline void *room(size_t bytes) {
    void *memory = calloc(1, bytes);
    if (!memory || room_count == sizeof rooms / sizeof rooms[0]) abort();
    rooms[room_count++] = memory;
    return memory;
}

static inline void forget_rooms(void) {
    while (room_count) free(rooms[--room_count]);
}

/* What is wrong ------------------------------------------------------------------------------------------------- */

/* Which of all that can be wrong with an argument; counted down by turn(). */
static unsigned long turns_left;

static inline int turn(void) { return turns_left-- == 0; }

/* If it is the only thing that is wrong. */
static inline int must_be(rds_status status) {
    now.must_fail = 1, now.must_be = status;
    return 1;
}

static inline int may_be(void) { return 1; }

#endif
