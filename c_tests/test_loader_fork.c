/* A forked child goes on through the loaders of its parent from where they were, with threads and memory of its own. */
#define _DEFAULT_SOURCE
#include <poll.h>
#include <pthread.h>

#include "child.h"
#include "loader.h"
#include "loader_order.h"

enum { ROWS = 500, BATCH = 8, SEED = 21, FORKS = 200, SOON_MS = 20000 };

struct family {
    rds_loader *loader;
    uint64_t consumed;
    rds_loader_batch lent;
    int fd, stop;
};

static rds_reader *open_table(void) {
    check_path_text path = check_path();
    table_make(path.text, ROWS);
    return table_reader(path.text);
}

static rds_loader *open_kind(const rds_reader *reader, int kind) {
    rds_loader_options options = loader_options(BATCH), numbers = loader_numbers(ROWS, BATCH);
    if (kind == 3) options = numbers;
    options.seed = SEED, options.ahead = 4;
    if (kind == 0) options.flags = RDS_LOADER_NO_THREADS;
    if (kind == 1) options.threads = 2;
    return loader_open(kind == 3 ? NULL : reader, &options);
}

/* The rest of the first epoch, and the begin of the second one. */
static void check_goes_on(rds_loader *loader, uint64_t consumed) {
    rds_loader_batch batch;
    for (uint64_t epoch = 0; epoch < 2; epoch++, consumed = 0) {
        uint64_t *order = order_all(ROWS, 1, (order_key){SEED, epoch, 0, 0}), wrong = 0;
        check_at(loader, epoch, consumed);
        for (; loader_next(loader, &batch); consumed += batch.row_count) {
            wrong += batch.consumed != consumed || batch.epoch != epoch;
            wrong += memcmp(batch.rows, order + consumed, batch.row_count * sizeof *order) != 0;
            wrong += batch.column_count && !batch_is_right(&batch);
            loader_release(loader, &batch);
        }
        CHECK_NUMBER(consumed, ROWS);
        CHECK_NUMBER(wrong, 0);
        free(order);
    }
}

static void go_on_and_close(void *data) {
    const struct family *family = (const struct family *)data;
    check_goes_on(family->loader, family->consumed);
    CHECK_OK(rds_loader_close(family->loader));
    CHECK_STATUS(rds_loader_close(family->loader), RDS_ERR_INVALID_HANDLE);
}

TEST(a_child_goes_on_where_its_parent_was) {
    rds_reader *reader = open_table();
    for (int kind = 0; kind < 4; kind++) {
        for (uint64_t steps = 0; steps < 30; steps += 7) {
            rds_loader_batch batch;
            struct family family = {.loader = open_kind(reader, kind), .consumed = steps * BATCH};
            for (uint64_t i = 0; i < steps; i++) {
                CHECK(loader_next(family.loader, &batch));
                loader_release(family.loader, &batch);
            }
            in_child(go_on_and_close, &family);
            /* What the child took and closed was its own. */
            check_goes_on(family.loader, family.consumed);
            CHECK_OK(rds_loader_close(family.loader));
        }
    }
    CHECK_OK(rds_reader_close(reader));
}

static void go_on_in_a_grandchild(void *data) {
    const struct family *family = (const struct family *)data;
    rds_loader_batch batch;
    struct family next = *family;
    CHECK(loader_next(next.loader, &batch) && batch.consumed == family->consumed);
    loader_release(next.loader, &batch);
    next.consumed += BATCH;
    in_child(go_on_and_close, &next);
    go_on_and_close(&next);
}

TEST(a_grandchild_goes_on_too) {
    rds_reader *reader = open_table();
    for (int kind = 0; kind < 4; kind++) {
        struct family family = {.loader = open_kind(reader, kind)};
        in_child(go_on_in_a_grandchild, &family);
        check_goes_on(family.loader, 0);
        CHECK_OK(rds_loader_close(family.loader));
    }
    CHECK_OK(rds_reader_close(reader));
}

/* Batches of the parent stay readable, and none of its names is one of a batch of the child. */
static void use_what_is_lent(void *data) {
    const struct family *family = (const struct family *)data;
    rds_loader_batch kept, batch;
    CHECK(batch_is_right(&family->lent));
    CHECK(loader_next(family->loader, &kept) && kept.consumed == BATCH);
    CHECK(kept.buffer != family->lent.buffer && kept.columns[0] != family->lent.columns[0]);
    CHECK_OK(rds_loader_release(family->loader, family->lent.buffer));
    for (int i = 0; i < 30; i++) {
        CHECK(loader_next(family->loader, &batch) && batch_is_right(&batch));
        CHECK(batch.columns[0] != kept.columns[0] && batch_is_right(&kept));
        loader_release(family->loader, &batch);
    }
    loader_release(family->loader, &kept);
    CHECK_OK(rds_loader_close(family->loader));
}

TEST(what_a_parent_was_lent_is_no_batch_of_the_child) {
    rds_reader *reader = open_table();
    for (int kind = 0; kind < 3; kind++) {
        struct family family = {.loader = open_kind(reader, kind)};
        CHECK(loader_next(family.loader, &family.lent));
        in_child(use_what_is_lent, &family);
        CHECK(batch_is_right(&family.lent));
        loader_release(family.loader, &family.lent);
        check_goes_on(family.loader, BATCH);
        CHECK_OK(rds_loader_close(family.loader));
    }
    CHECK_OK(rds_reader_close(reader));
}

static int is_readable(int fd, int within_ms) {
    struct pollfd entry = {fd, POLLIN, 0};
    return poll(&entry, 1, within_ms) == 1 && entry.revents == POLLIN;
}

static void poll_own(void *data) {
    const struct family *family = (const struct family *)data;
    rds_loader_batch batch;
    int fd = -1;
    CHECK_OK(rds_loader_fd(family->loader, &fd));
    for (int i = 0; i < 100; i++) {
        CHECK(is_readable(fd, SOON_MS));
        loader_next(family->loader, &batch);
        loader_release(family->loader, &batch);
    }
    CHECK_OK(rds_loader_close(family->loader));
}

TEST(a_child_has_a_descriptor_of_its_own) {
    rds_reader *reader = open_table();
    struct family family = {.loader = open_kind(reader, 1), .fd = -1};
    CHECK_OK(rds_loader_fd(family.loader, &family.fd));
    CHECK(is_readable(family.fd, SOON_MS));
    for (int i = 0; i < 10; i++) in_child(poll_own, &family);
    CHECK(is_readable(family.fd, 0));
    check_goes_on(family.loader, 0);
    CHECK(is_readable(family.fd, SOON_MS));
    CHECK_OK(rds_loader_close(family.loader));
    CHECK_OK(rds_reader_close(reader));
}

/* The parent is in the middle of it: where exactly, only the loader knows. */
static void go_on_from_anywhere(void *data) {
    const struct family *family = (const struct family *)data;
    rds_loader_batch batch;
    const rds_load_stats stats = loader_stats(family->loader);
    uint64_t epoch = stats.epoch, consumed = stats.consumed;
    for (int i = 0; i < 100; i++) {
        const int is_step = loader_next(family->loader, &batch);
        CHECK(batch.epoch == epoch && batch.consumed == consumed && is_step == (consumed < ROWS));
        CHECK(!is_step || batch_is_right(&batch));
        epoch += !is_step, consumed = is_step ? consumed + batch.row_count : 0;
        loader_release(family->loader, &batch);
    }
    CHECK_OK(rds_loader_close(family->loader));
}

static void *ask_until_stopped(void *data) {
    struct family *family = (struct family *)data;
    rds_loader_batch batch;
    for (uint64_t i = 0; !__atomic_load_n(&family->stop, __ATOMIC_SEQ_CST); i++) {
        loader_next(family->loader, &batch);
        CHECK(!batch.step_rows || batch_is_right(&batch));
        loader_release(family->loader, &batch);
        if (i % 16 == 0) CHECK_OK(rds_loader_seek(family->loader, NULL, i % 9, i % (ROWS / BATCH) * BATCH));
    }
    return NULL;
}

TEST(children_of_a_process_that_gathers_at_that_moment_go_on) {
    rds_reader *reader = open_table();
    for (int kind = 0; kind < 2; kind++) {
        struct family family = {.loader = open_kind(reader, kind)};
        pthread_t threads[3];
        for (int i = 0; i < 3; i++) pthread_create(&threads[i], NULL, ask_until_stopped, &family);
        for (int i = 0; i < check_rounds(FORKS); i++) in_child(go_on_from_anywhere, &family);
        __atomic_store_n(&family.stop, 1, __ATOMIC_SEQ_CST);
        for (int i = 0; i < 3; i++) pthread_join(threads[i], NULL);
        CHECK_OK(rds_loader_close(family.loader));
    }
    CHECK_OK(rds_reader_close(reader));
}

TEST(many_children_go_on_at_once) {
    enum { CHILDREN = 8 };
    rds_reader *reader = open_table();
    struct family family = {.loader = open_kind(reader, 1)};
    pid_t children[CHILDREN];
    CHECK(loader_next(family.loader, &family.lent));
    family.consumed = BATCH;
    for (int i = 0; i < CHILDREN; i++) children[i] = child_start(go_on_and_close, &family);
    for (int i = 0; i < CHILDREN; i++) child_wait(children[i]);
    CHECK_OK(rds_loader_close(family.loader));
    CHECK_OK(rds_reader_close(reader));
}

static void load_own(void *data) {
    const rds_reader *reader = (const rds_reader *)data;
    rds_loader *loader = open_kind(reader, 1);
    check_goes_on(loader, 0);
    CHECK_OK(rds_loader_close(loader));
}

TEST(a_child_opens_loaders_of_its_own) {
    rds_reader *reader = open_table();
    rds_loader *loader = open_kind(reader, 1);
    check_goes_on(loader, 0);
    for (int i = 0; i < 10; i++) in_child(load_own, reader);
    CHECK_OK(rds_loader_close(loader));
    CHECK_OK(rds_reader_close(reader));
}

CHECK_MAIN(RUN(a_child_goes_on_where_its_parent_was), RUN(a_grandchild_goes_on_too),
           RUN(what_a_parent_was_lent_is_no_batch_of_the_child), RUN(a_child_has_a_descriptor_of_its_own),
           RUN(children_of_a_process_that_gathers_at_that_moment_go_on), RUN(many_children_go_on_at_once),
           RUN(a_child_opens_loaders_of_its_own))
