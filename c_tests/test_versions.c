/* Versions of a table: a reader tells them, and each is opened by its number or by a time. */
#include "files.h"

#include <pthread.h>

enum { MADE = 4, MOST = 64 };

/* Versions 1 .. MADE, of rows 0 .. version * 10 - 1. */
static check_path_text make_versions(void) {
    check_path_text path = check_path();
    for (uint64_t i = 0; i < MADE; i++) {
        i ? table_append(path.text, i * 10, 10) : table_make(path.text, 10);
        /* So that there is a time between them. */
        sleep_ms(2);
    }
    return path;
}

/* All that there are; how many. */
static uint64_t tell(const rds_reader *reader, rds_version_info *infos) {
    const rds_version_info fresh = RDS_VERSION_INFO_INIT;
    uint64_t count = 0;
    for (int i = 0; i < MOST; i++) infos[i] = fresh;
    CHECK_OK(rds_reader_versions(reader, infos, MOST, &count));
    CHECK(count <= MOST);
    for (uint64_t i = 1; i < count; i++) {
        CHECK(infos[i].version > infos[i - 1].version);
        CHECK(infos[i].committed_at >= infos[i - 1].committed_at);
    }
    return count;
}

static rds_status open_at(const char *path, uint64_t version, int64_t until, rds_reader **reader) {
    rds_reader_options options = RDS_READER_OPTIONS_INIT;
    options.version = version, options.committed_until = until;
    rds_status status = rds_reader_open(path, &options, reader);
    CHECK((*reader != NULL) == (status == RDS_OK));
    return status;
}

/* Whoever opens the table so reads this version; none if it is 0. */
static void check_opened(const char *path, uint64_t version, int64_t until, uint64_t expected) {
    rds_reader *reader = NULL;
    if (!expected) {
        CHECK_STATUS(open_at(path, version, until, &reader), RDS_ERR_NOT_FOUND);
        CHECK_MESSAGE_HAS("rds_reader_open: ");
        return;
    }
    REQUIRE(CHECK_OK(open_at(path, version, until, &reader)));
    CHECK_NUMBER(table_info(reader).version, expected);
    table_check(reader, 0, expected * 10);
    CHECK_OK(rds_reader_close(reader));
}

TEST(every_version_is_told_with_its_rows_and_its_time) {
    struct timespec before, after;
    clock_gettime(CLOCK_REALTIME, &before);
    check_path_text path = make_versions();
    clock_gettime(CLOCK_REALTIME, &after);
    rds_reader *reader = table_reader(path.text);
    rds_version_info infos[MOST];
    REQUIRE(CHECK_NUMBER(tell(reader, infos), MADE));
    for (uint64_t i = 0; i < MADE; i++) {
        CHECK_NUMBER(infos[i].struct_size, sizeof infos[i]);
        CHECK_NUMBER(infos[i].version, i + 1);
        CHECK_NUMBER(infos[i].rows, (i + 1) * 10);
        CHECK(infos[i].committed_at >= (before.tv_sec - 1) * (int64_t)1000000000);
        CHECK(infos[i].committed_at <= (after.tv_sec + 1) * (int64_t)1000000000);
    }
    CHECK_NUMBER(infos[MADE - 1].committed_at, table_info(reader).committed_at);
    CHECK_OK(rds_reader_close(reader));
}

TEST(a_reader_tells_the_versions_that_there_are_now) {
    check_path_text path = make_versions();
    rds_reader *reader = NULL, *other = NULL;
    rds_version_info infos[MOST];
    REQUIRE(CHECK_OK(open_at(path.text, 2, 0, &reader)));
    CHECK_NUMBER(tell(reader, infos), MADE);
    CHECK_NUMBER(infos[1].committed_at, table_info(reader).committed_at);
    table_append(path.text, 40, 5);
    CHECK_NUMBER(tell(reader, infos), MADE + 1);
    CHECK_NUMBER(infos[MADE].rows, 45);
    CHECK_OK(rds_reader_clone(reader, &other));
    table_make(path.text, 3);
    CHECK_NUMBER(tell(other, infos), MADE + 2);
    CHECK_NUMBER(infos[MADE + 1].rows, 3);
    /* And reads its own. */
    table_check(reader, 0, 20);
    CHECK_OK(rds_reader_close(other));
    CHECK_OK(rds_reader_close(reader));
}

TEST(the_oldest_are_told_where_there_is_not_room_for_all) {
    check_path_text path = make_versions();
    rds_reader *reader = table_reader(path.text);
    for (uint64_t capacity = 0; capacity <= MADE + 3; capacity++) {
        rds_version_info infos[MOST];
        const rds_version_info fresh = RDS_VERSION_INFO_INIT;
        uint64_t count = 77, told = capacity < MADE ? capacity : MADE;
        for (int i = 0; i < MOST; i++) infos[i] = fresh, infos[i].rows = 12345;
        CHECK_OK(rds_reader_versions(reader, capacity ? infos : NULL, capacity, &count));
        CHECK_NUMBER(count, MADE);
        for (uint64_t i = 0; i < told; i++) CHECK_NUMBER(infos[i].version, i + 1);
        for (uint64_t i = told; i < MOST; i++) CHECK(infos[i].version == 0 && infos[i].rows == 12345);
    }
    CHECK_OK(rds_reader_close(reader));
}

TEST(structs_of_a_later_program_are_stepped_by_their_size) {
    check_path_text path = make_versions();
    rds_reader *reader = table_reader(path.text);
    unsigned char *memory = (unsigned char *)malloc(1 << 14);
    for (size_t step = sizeof(rds_version_info); step <= sizeof(rds_version_info) + 64; step += 8) {
        uint64_t count = 0;
        memset(memory, 0xa5, 1 << 14);
        for (int i = 0; i < MADE; i++) memcpy(memory + (size_t)i * step, &step, sizeof step);
        CHECK_OK(rds_reader_versions(reader, (rds_version_info *)memory, MADE, &count));
        CHECK_NUMBER(count, MADE);
        for (size_t i = 0; i < MADE; i++) {
            rds_version_info info;
            memcpy(&info, memory + i * step, sizeof info);
            CHECK_NUMBER(info.struct_size, step);
            CHECK_NUMBER(info.version, i + 1);
            CHECK_NUMBER(info.rows, (i + 1) * 10);
            /* What this version does not know of stays. */
            for (size_t at = sizeof info; at < step; at++) CHECK(memory[i * step + at] == 0xa5);
        }
        CHECK(memory[MADE * step] == 0xa5);
    }
    free(memory);
    CHECK_OK(rds_reader_close(reader));
}

TEST(malformed_structs_are_refused_and_nothing_is_written) {
    check_path_text path = make_versions();
    rds_reader *reader = table_reader(path.text);
    const size_t sizes[] = {0, 8, sizeof(rds_version_info) - 8, SIZE_MAX, SIZE_MAX / 2 + 1, 1 << 20};
    for (int which = 0; which < 3; which++) {
        for (int i = 0; i < 6; i++) {
            rds_version_info infos[3] = {RDS_VERSION_INFO_INIT, RDS_VERSION_INFO_INIT, RDS_VERSION_INFO_INIT};
            uint64_t count = 77;
            infos[which].struct_size = sizes[i];
            CHECK_STATUS(rds_reader_versions(reader, infos, 3, &count), RDS_ERR_INVALID_ARGUMENT);
            CHECK_MESSAGE_HAS("rds_reader_versions: out_versions");
            CHECK_NUMBER(count, 0);
            for (int k = 0; k < 3; k++) CHECK_NUMBER(infos[k].version + infos[k].rows, 0);
        }
    }
    /* Also where there is no version to be put. */
    for (int i = 0; i < 6; i++) {
        rds_version_info infos[MADE + 2];
        const rds_version_info fresh = RDS_VERSION_INFO_INIT;
        uint64_t count = 77;
        for (int k = 0; k < MADE + 2; k++) infos[k] = fresh;
        infos[MADE + 1].struct_size = sizes[i];
        CHECK_STATUS(rds_reader_versions(reader, infos, MADE + 2, &count), RDS_ERR_INVALID_ARGUMENT);
        CHECK_NUMBER(count + infos[0].version, 0);
    }
    rds_version_info info = RDS_VERSION_INFO_INIT;
    const uint64_t capacities[] = {UINT64_MAX, UINT64_MAX / sizeof info, UINT64_MAX / sizeof info + 1, 1ull << 60};
    uint64_t count = 77;
    for (int i = 0; i < 4; i++) {
        CHECK_STATUS(rds_reader_versions(reader, &info, capacities[i], &count), RDS_ERR_INVALID_ARGUMENT);
        CHECK_STATUS(rds_reader_versions(reader, NULL, capacities[i], &count), RDS_ERR_INVALID_ARGUMENT);
    }
    CHECK_OK(rds_reader_close(reader));
}

/* The first one says how far they are apart, so all have to say the same. */
TEST(sizes_that_differ_are_refused_by_number) {
    check_path_text path = make_versions();
    rds_reader *reader = table_reader(path.text);
    enum { STEP = sizeof(rds_version_info) + 16 };
    const size_t others[] = {STEP - 8, STEP + 8, sizeof(rds_version_info)};
    for (size_t which = 1; which < 3; which++) {
        for (int i = 0; i < 3; i++) {
            unsigned char memory[3 * STEP + 64] = {0};
            const size_t step = STEP;
            uint64_t count = 77;
            char name[32];
            for (size_t k = 0; k < 3; k++) memcpy(memory + k * STEP, k == which ? &others[i] : &step, sizeof step);
            CHECK_STATUS(rds_reader_versions(reader, (rds_version_info *)memory, 3, &count), RDS_ERR_INVALID_ARGUMENT);
            snprintf(name, sizeof name, "out_versions[%d]", (int)which);
            CHECK_MESSAGE_HAS(name);
            CHECK_NUMBER(count, 0);
        }
    }
    CHECK_OK(rds_reader_close(reader));
}

TEST(a_version_is_opened_by_its_number) {
    check_path_text path = make_versions();
    for (uint64_t version = 1; version <= MADE; version++) check_opened(path.text, version, 0, version);
    check_opened(path.text, 0, 0, MADE);
    check_opened(path.text, MADE + 1, 0, 0);
    check_opened(path.text, UINT64_MAX, 0, 0);
}

TEST(the_newest_version_of_a_time_is_opened) {
    check_path_text path = make_versions();
    rds_reader *reader = table_reader(path.text);
    rds_version_info infos[MOST];
    REQUIRE(CHECK_NUMBER(tell(reader, infos), MADE));
    for (uint64_t i = 0; i < MADE; i++) {
        int64_t at = infos[i].committed_at;
        check_opened(path.text, 0, at, i + 1);
        check_opened(path.text, 0, at - 1, i);
        check_opened(path.text, 0, at + 1, i + 1);
        if (i + 1 < MADE) check_opened(path.text, 0, at + (infos[i + 1].committed_at - at) / 2, i + 1);
    }
    check_opened(path.text, 0, INT64_MAX, MADE);
    const int64_t before[] = {1, -1, INT64_MIN, 1000000000};
    for (int i = 0; i < 4; i++) check_opened(path.text, 0, before[i], 0);
    CHECK_OK(rds_reader_close(reader));
}

TEST(a_version_and_a_time_are_one_too_many) {
    check_path_text path = make_versions();
    rds_reader *reader = NULL;
    CHECK_STATUS(open_at(path.text, 1, INT64_MAX, &reader), RDS_ERR_INVALID_ARGUMENT);
    CHECK_MESSAGE_HAS("rds_reader_open: options.");
    CHECK_MESSAGE_HAS("committed_until");
    CHECK_STATUS(open_at(path.text, MADE, 1, &reader), RDS_ERR_INVALID_ARGUMENT);
}

TEST(a_reader_of_a_time_goes_on_to_the_newest_version) {
    check_path_text path = make_versions();
    rds_reader *reader = table_reader(path.text), *then = NULL;
    rds_version_info infos[MOST];
    uint32_t changed = 0;
    REQUIRE(CHECK_NUMBER(tell(reader, infos), MADE));
    REQUIRE(CHECK_OK(open_at(path.text, 0, infos[1].committed_at, &then)));
    table_check(then, 0, 20);
    CHECK_OK(rds_reader_refresh(then, &changed));
    CHECK_NUMBER(changed, 1);
    table_check(then, 0, MADE * 10);
    CHECK_OK(rds_reader_close(then));
    CHECK_OK(rds_reader_close(reader));
}

/* Another table at the same place has versions of its own. */
TEST(a_table_that_was_made_anew_tells_its_own_versions) {
    check_path_text path = make_versions();
    rds_reader *reader = table_reader(path.text);
    rds_version_info infos[MOST];
    check_remove(path.text);
    CHECK_NUMBER(tell(reader, infos), 0);
    table_make(path.text, 7);
    CHECK_NUMBER(tell(reader, infos), 1);
    CHECK_NUMBER(infos[0].rows, 7);
    table_check(reader, 0, MADE * 10);
    CHECK_OK(rds_reader_close(reader));
}

static int logged;

static void count(void *user_data, uint32_t level, const char *target, const char *message) {
    (void)user_data, (void)level, (void)target;
    logged += strstr(message, "version") != NULL;
}

TEST(a_damaged_version_is_left_out_and_logged) {
    check_path_text path = check_path(), first = {""};
    table_make(path.text, 10);
    first = file_in(path.text, "_versions", ".manifest");
    table_append(path.text, 10, 10);
    rds_reader *reader = table_reader(path.text);
    rds_version_info infos[MOST];
    CHECK_NUMBER(tell(reader, infos), 2);
    FILE *file = fopen(first.text, "w");
    fputs("this is no manifest, nor is it anything else that a table has", file);
    fclose(file);
    CHECK_OK(rds_set_log_callback(RDS_LOG_WARN, count, NULL));
    CHECK_NUMBER(tell(reader, infos), 1);
    CHECK_NUMBER(infos[0].version, 2);
    CHECK(logged > 0);
    CHECK_OK(rds_set_log_callback(RDS_LOG_OFF, NULL, NULL));
    CHECK_OK(rds_reader_close(reader));
}

static rds_vacuum_info vacuum(const char *path) {
    rds_vacuum_info info = RDS_VACUUM_INFO_INIT;
    rds_vacuum_options options = RDS_VACUUM_OPTIONS_INIT;
    options.older_than_ms = 1;
    sleep_ms(5);
    CHECK_OK(rds_vacuum(path, &options, &info));
    return info;
}

TEST(versions_that_a_vacuum_removed_are_gone) {
    check_path_text path = make_versions();
    rds_reader *reader = table_reader(path.text);
    rds_version_info infos[MOST], left[MOST];
    REQUIRE(CHECK_NUMBER(tell(reader, infos), MADE));
    CHECK_NUMBER(vacuum(path.text).removed_versions, MADE - 1);
    CHECK_NUMBER(tell(reader, left), 1);
    CHECK(memcmp(&left[0], &infos[MADE - 1], sizeof left[0]) == 0);
    for (uint64_t i = 0; i + 1 < MADE; i++) {
        check_opened(path.text, infos[i].version, 0, 0);
        check_opened(path.text, 0, infos[i].committed_at, 0);
    }
    check_opened(path.text, 0, infos[MADE - 1].committed_at, MADE);
    CHECK_OK(rds_reader_close(reader));
}

struct beside {
    const rds_reader *reader;
    int done;
    uint64_t told;
};

static void *tell_on(void *data) {
    struct beside *beside = (struct beside *)data;
    rds_version_info infos[MOST];
    while (!__atomic_load_n(&beside->done, __ATOMIC_SEQ_CST)) {
        uint64_t count = tell(beside->reader, infos);
        if (!CHECK(count > 0)) break;
        __atomic_add_fetch(&beside->told, 1, __ATOMIC_SEQ_CST);
    }
    return NULL;
}

TEST(versions_are_told_while_others_make_and_remove_some) {
    check_path_text path = make_versions();
    rds_reader *reader = table_reader(path.text);
    struct beside beside = {reader, 0, 0};
    pthread_t threads[2];
    rds_writer *writer = table_writer(path.text, RDS_MODE_APPEND, RDS_DURABILITY_INTERVAL);
    for (int i = 0; i < 2; i++) pthread_create(&threads[i], NULL, tell_on, &beside);
    for (uint64_t i = 0; i < (uint64_t)check_rounds(60); i++) {
        CHECK_OK(table_write(writer, 40 + i, 1));
        CHECK_OK(rds_flush(writer));
        if (i % 10 == 9) vacuum(path.text);
    }
    while (__atomic_load_n(&beside.told, __ATOMIC_SEQ_CST) < 10) sleep_ms(1);
    __atomic_store_n(&beside.done, 1, __ATOMIC_SEQ_CST);
    for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
    CHECK_OK(rds_writer_close(writer));
    CHECK_OK(rds_reader_close(reader));
}

CHECK_MAIN(RUN(every_version_is_told_with_its_rows_and_its_time), RUN(a_reader_tells_the_versions_that_there_are_now),
           RUN(the_oldest_are_told_where_there_is_not_room_for_all),
           RUN(structs_of_a_later_program_are_stepped_by_their_size),
           RUN(malformed_structs_are_refused_and_nothing_is_written),
           RUN(sizes_that_differ_are_refused_by_number), RUN(a_version_is_opened_by_its_number),
           RUN(the_newest_version_of_a_time_is_opened), RUN(a_version_and_a_time_are_one_too_many),
           RUN(a_reader_of_a_time_goes_on_to_the_newest_version),
           RUN(a_table_that_was_made_anew_tells_its_own_versions), RUN(a_damaged_version_is_left_out_and_logged),
           RUN(versions_that_a_vacuum_removed_are_gone), RUN(versions_are_told_while_others_make_and_remove_some))
