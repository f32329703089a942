/* Whoever waits for a reader may stop: a call that takes long ends when its callback says so, the reader is as it was,
 * and the same call succeeds later. */
#define _GNU_SOURCE
#include "reader_waiting.h"

#include <fcntl.h>
#include <sys/mman.h>

/* Rows of one MiB each, and rows that have little but ids. */
enum { LARGE_ROWS = 256, LARGE_WIDTH = 1 << 18, ID_ROWS = 5 << 20 };
enum { MIB = 1 << 20, PHYSICAL_MIB = 64, GATHERED_MIB = 3072 };

/* Each float of a row is the number of the row. */
static check_path_text make_large(void) {
    enum { AT_ONCE = 16 };
    check_path_text path = check_path();
    rds_writer *writer = table_writer(path.text, RDS_MODE_CREATE, RDS_DURABILITY_COMMIT);
    float *values = (float *)malloc((size_t)AT_ONCE * MIB);
    const int64_t shape[2] = {AT_ONCE, LARGE_WIDTH};
    int64_t numbers[AT_ONCE];
    for (int first = 0; first < LARGE_ROWS; first += AT_ONCE) {
        for (int r = 0; r < AT_ONCE; r++) {
            numbers[r] = first + r;
            for (int c = 0; c < LARGE_WIDTH; c++) values[r * LARGE_WIDTH + c] = (float)(first + r);
        }
        const rds_ids ids = ids_of(RDS_IDS_INT64, AT_ONCE, numbers);
        const rds_tensor tensor = tensor_of(RDS_DTYPE_FLOAT32, 2, shape, values);
        CHECK_OK(rds_write_tensors(writer, &ids, &tensor, 1));
    }
    CHECK_OK(rds_commit(writer, NULL, NULL));
    CHECK_OK(rds_writer_close(writer));
    free(values);
    return path;
}

/* Addresses for so many MiB, with less memory behind them: what is written later lies over what was before. */
static void *wide_memory(size_t mebibytes) {
    char name[1100];
    snprintf(name, sizeof name, "%s/memory", check_root);
    int file = open(name, O_RDWR | O_CREAT, 0666);
    CHECK(file >= 0 && ftruncate(file, (off_t)PHYSICAL_MIB * MIB) == 0);
    char *memory = (char *)mmap(NULL, mebibytes * MIB, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(memory != MAP_FAILED);
    for (size_t at = 0; at < mebibytes; at += PHYSICAL_MIB) {
        void *part = mmap(memory + at * MIB, (size_t)PHYSICAL_MIB * MIB, PROT_READ | PROT_WRITE,
                          MAP_SHARED | MAP_FIXED, file, 0);
        CHECK(part != MAP_FAILED);
    }
    close(file);
    return memory;
}

static uint64_t gathered[GATHERED_MIB];

static rds_status read_rows(rds_reader *reader, void *memory) {
    return rds_reader_read(reader, 0, gathered, GATHERED_MIB, memory, (size_t)GATHERED_MIB * MIB);
}

static rds_status gather_rows(rds_reader *reader, void *memory) {
    rds_rows rows = RDS_ROWS_INIT;
    rds_target target = RDS_TARGET_INIT;
    rows.rows = gathered, rows.count = GATHERED_MIB;
    target.data = memory, target.bytes = (size_t)GATHERED_MIB * MIB;
    return rds_reader_gather(reader, &rows, &target, 1);
}

static rds_status read_few(rds_reader *reader, void *memory) {
    return rds_reader_read(reader, 0, gathered, LARGE_ROWS, memory, (size_t)LARGE_ROWS * MIB);
}

static rds_status read_all(rds_reader *reader, void *memory) {
    return rds_reader_read_range(reader, 0, 0, LARGE_ROWS, memory, (size_t)LARGE_ROWS * MIB);
}

static rds_status gather_all(rds_reader *reader, void *memory) {
    rds_rows rows = RDS_ROWS_INIT;
    rds_target target = RDS_TARGET_INIT;
    rows.count = LARGE_ROWS, target.data = memory, target.bytes = (size_t)LARGE_ROWS * MIB;
    return rds_reader_gather(reader, &rows, &target, 1);
}

static rds_status take_all(rds_reader *reader, void *memory) {
    struct ArrowArray array;
    (void)memory;
    rds_status status = rds_reader_take(reader, gathered, LARGE_ROWS, NULL, NULL, &array);
    CHECK((array.release != NULL) == (status == RDS_OK));
    if (array.release) array.release(&array);
    return status;
}

/* The last of the physical memory has the last rows. */
static void check_gathered(const float *memory) {
    long long wrong = 0;
    for (int i = 0; i < PHYSICAL_MIB; i++) {
        float row = (float)gathered[GATHERED_MIB - PHYSICAL_MIB + i];
        wrong += memory[(size_t)i * LARGE_WIDTH] != row || memory[(size_t)(i + 1) * LARGE_WIDTH - 1] != row;
    }
    CHECK_NUMBER(wrong, 0);
}

TEST(copies_of_mapped_rows_are_stopped) {
    check_path_text path = make_large();
    struct asked asked = {.stops_at = 0};
    rds_reader *reader = NULL;
    for (uint64_t i = 0; i < GATHERED_MIB; i++) gathered[i] = i * 7 % LARGE_ROWS;
    void *memory = wide_memory(GATHERED_MIB);
    REQUIRE(CHECK_OK(open_asking(path.text, RDS_ACCESS_MAPPED, 0, 0, &asked, &reader)));
    check_stops(reader, &asked, "rds_reader_read", read_rows, memory);
    check_gathered((const float *)memory);
    memset(memory, 0, (size_t)PHYSICAL_MIB * MIB);
    check_stops(reader, &asked, "rds_reader_gather", gather_rows, memory);
    check_gathered((const float *)memory);
    munmap(memory, (size_t)GATHERED_MIB * MIB);
    CHECK_OK(rds_reader_close(reader));
    check_remove(path.text);
}

TEST(reads_that_are_decoded_are_stopped) {
    check_path_text path = make_large();
    struct asked asked = {.stops_at = 0};
    rds_reader *reader = NULL;
    const struct {
        const char *name;
        call *call;
    } calls[] = {{"rds_reader_read_range", read_all},
                 {"rds_reader_read", read_few},
                 {"rds_reader_gather", gather_all},
                 {"rds_reader_take", take_all}};
    float *memory = (float *)malloc((size_t)LARGE_ROWS * MIB);
    for (uint64_t i = 0; i < LARGE_ROWS; i++) gathered[i] = LARGE_ROWS - 1 - i;
    REQUIRE(CHECK_OK(open_asking(path.text, RDS_ACCESS_LANCE, 0, 0, &asked, &reader)));
    for (int i = 0; i < 4; i++) check_stops(reader, &asked, calls[i].name, calls[i].call, memory);
    CHECK_OK(read_few(reader, memory));
    for (int row = 0; row < LARGE_ROWS; row++) {
        CHECK(memory[(size_t)row * LARGE_WIDTH] == (float)(LARGE_ROWS - 1 - row));
    }
    free(memory);
    CHECK_OK(rds_reader_close(reader));
    check_remove(path.text);
}

/* Integers as ids, which are loaded as their texts. */
static check_path_text make_ids(void) {
    enum { AT_ONCE = 1 << 20 };
    check_path_text path = check_path();
    rds_writer *writer = table_writer(path.text, RDS_MODE_CREATE, RDS_DURABILITY_COMMIT);
    int64_t *numbers = (int64_t *)malloc(AT_ONCE * sizeof *numbers);
    const int64_t shape[1] = {AT_ONCE};
    for (int64_t first = 0; first < ID_ROWS; first += AT_ONCE) {
        for (int64_t i = 0; i < AT_ONCE; i++) numbers[i] = first + i;
        const rds_ids ids = ids_of(RDS_IDS_INT64, AT_ONCE, numbers);
        const rds_tensor tensor = tensor_of(RDS_DTYPE_INT64, 1, shape, numbers);
        CHECK_OK(rds_write_tensors(writer, &ids, &tensor, 1));
    }
    CHECK_OK(rds_commit(writer, NULL, NULL));
    CHECK_OK(rds_writer_close(writer));
    free(numbers);
    return path;
}

static rds_status last_id(rds_reader *reader, void *unused) {
    const char *id = NULL;
    size_t length = 0;
    (void)unused;
    rds_status status = rds_reader_id(reader, ID_ROWS - 1, &id, &length);
    CHECK(status == RDS_OK ? length == 7 && memcmp(id, "5242879", 7) == 0 : id == NULL && length == 0);
    return status;
}

static rds_status all_ids(rds_reader *reader, void *unused) {
    struct ArrowArray array;
    (void)unused;
    rds_status status = rds_reader_ids(reader, 0, ID_ROWS, NULL, &array);
    CHECK((array.release != NULL) == (status == RDS_OK));
    if (array.release) array.release(&array);
    return status;
}

static rds_status find_one(rds_reader *reader, void *unused) {
    const int64_t number = ID_ROWS - 2;
    const rds_ids ids = ids_of(RDS_IDS_INT64, 1, &number);
    uint64_t row = 77;
    (void)unused;
    rds_status status = rds_reader_find(reader, &ids, &row, NULL);
    CHECK_NUMBER(row, status == RDS_OK ? ID_ROWS - 2 : 77);
    return status;
}

static rds_status find_all(rds_reader *reader, void *unused) {
    uint64_t row = 77, count = 77;
    (void)unused;
    rds_status status = rds_reader_find_all(reader, "12345", 5, &row, 1, &count);
    CHECK_NUMBER(row, status == RDS_OK ? 12345 : 77);
    CHECK_NUMBER(count, status == RDS_OK ? 1 : 0);
    return status;
}

TEST(loading_and_indexing_ids_is_stopped) {
    check_path_text path = make_ids();
    const struct {
        const char *name;
        call *first, *call;
    } calls[] = {{"rds_reader_id", NULL, last_id},        {"rds_reader_ids", NULL, all_ids},
                 {"rds_reader_find", NULL, find_one},     {"rds_reader_find_all", NULL, find_all},
                 /* Of ids that are there it is the index that takes long. */
                 {"rds_reader_find", last_id, find_one}, {"rds_reader_find_all", last_id, find_all}};
    for (int i = 0; i < 6; i++) {
        struct asked asked = {.stops_at = 0};
        rds_reader *reader = NULL;
        REQUIRE(CHECK_OK(open_asking(path.text, RDS_ACCESS_AUTO, 0, 0, &asked, &reader)));
        if (calls[i].first) CHECK_OK(calls[i].first(reader, NULL));
        check_stops(reader, &asked, calls[i].name, calls[i].call, NULL);
        /* What is loaded takes no time. */
        asked.calls = 0, asked.stops_at = 1;
        CHECK_OK(calls[i].call(reader, NULL));
        CHECK_NUMBER(asked.calls, 0);
        CHECK_OK(rds_reader_close(reader));
    }
}

static rds_status read_scattered(rds_reader *reader, void *memory) {
    enum { SCATTERED = 1 << 20 };
    uint64_t *rows = (uint64_t *)malloc(SCATTERED * sizeof *rows);
    const int64_t *values = (const int64_t *)memory;
    long long wrong = 0;
    for (uint64_t i = 0; i < SCATTERED; i++) rows[i] = i * 2654435761u % ID_ROWS;
    rds_status status = rds_reader_read(reader, 0, rows, SCATTERED, memory, SCATTERED * sizeof *values);
    for (uint64_t i = 0; i < SCATTERED && status == RDS_OK; i++) wrong += values[i] != (int64_t)rows[i];
    CHECK_NUMBER(wrong, 0);
    free(rows);
    return status;
}

/* It is rows that take the time, however few bytes they have. */
TEST(reads_of_many_small_rows_are_stopped) {
    check_path_text path = make_ids();
    struct asked asked = {.stops_at = 0};
    rds_reader *reader = NULL;
    void *memory = malloc(8 * MIB);
    REQUIRE(CHECK_OK(open_asking(path.text, RDS_ACCESS_LANCE, 0, 0, &asked, &reader)));
    check_stops(reader, &asked, "rds_reader_read", read_scattered, memory);
    free(memory);
    CHECK_OK(rds_reader_close(reader));
}

CHECK_MAIN(RUN(copies_of_mapped_rows_are_stopped), RUN(reads_that_are_decoded_are_stopped),
           RUN(loading_and_indexing_ids_is_stopped), RUN(reads_of_many_small_rows_are_stopped))
