/* Whoever waits for a batch may stop: the loader is closed or moved elsewhere, the callback says so, or a descriptor
 * tells when there is nothing to wait for. */
#define _DEFAULT_SOURCE
#include <fcntl.h>
#include <poll.h>

#include "loader_gate.h"
#include "reader_waiting.h"

enum { ROWS = 64, SOON_MS = 5000 };

static rds_reader *open_table(void) {
    check_path_text path = check_path();
    table_make(path.text, ROWS);
    return table_reader(path.text);
}

static void *close_loader(void *data) {
    struct gate_call *call = (struct gate_call *)data;
    call->status = rds_loader_close(call->loader);
    __atomic_store_n(&call->is_done, 1, __ATOMIC_SEQ_CST);
    return NULL;
}

/* Those who wait are told at once; the memory of the caller is his when the close returns, and not before. */
TEST(a_close_ends_those_who_wait) {
    enum { CALLS = 3 };
    rds_reader *reader = open_table();
    rds_loader_options options;
    struct gate_call calls[CALLS], closing;
    gate_options(&options, 2, 2);
    rds_loader *loader = loader_open(reader, &options);
    REQUIRE(gate_await(loader, 1));
    for (int i = 0; i < CALLS; i++) gate_call(&calls[i], loader);
    sleep_ms(50);
    for (int i = 0; i < CALLS; i++) CHECK(!gate_is_done(&calls[i], 0));
    closing.loader = loader, closing.is_done = 0;
    pthread_create(&closing.thread, NULL, close_loader, &closing);
    for (int i = 0; i < CALLS; i++) {
        CHECK(gate_is_done(&calls[i], SOON_MS));
        CHECK_STATUS(calls[i].status, RDS_ERR_CANCELLED);
        CHECK_NUMBER(calls[i].batch.buffer, 0);
    }
    CHECK(!gate_is_done(&closing, 50));
    gate_open();
    CHECK(gate_is_done(&closing, SOON_MS));
    for (int i = 0; i < CALLS; i++) pthread_join(calls[i].thread, NULL);
    pthread_join(closing.thread, NULL);
    CHECK_OK(closing.status);
    CHECK_STATUS(rds_loader_close(loader), RDS_ERR_INVALID_HANDLE);
    CHECK_OK(rds_reader_close(reader));
}

/* What they wait for is left behind. */
TEST(a_seek_gives_those_who_wait_another_batch) {
    rds_reader *reader = open_table();
    rds_loader_options options;
    rds_loader_batch batch;
    struct gate_call call;
    gate_options(&options, 2, 1);
    rds_loader *loader = loader_open(reader, &options);
    REQUIRE(gate_await(loader, 1));
    gate_call(&call, loader);
    CHECK(!gate_is_done(&call, 50));
    CHECK_OK(rds_loader_seek(loader, NULL, 3, 40));
    CHECK(gate_is_done(&call, SOON_MS));
    pthread_join(call.thread, NULL);
    CHECK_OK(call.status);
    CHECK(call.batch.epoch == 3 && call.batch.consumed == 40 && batch_is_right(&call.batch));
    check_at(loader, 3, 44);
    loader_release(loader, &call.batch);
    gate_open();
    uint64_t next = 44;
    for (; loader_next(loader, &batch); next += batch.row_count) {
        CHECK(batch.epoch == 3 && batch.consumed == next && batch_is_right(&batch));
        loader_release(loader, &batch);
    }
    CHECK_NUMBER(next, ROWS);
    CHECK_OK(rds_loader_close(loader));
    CHECK_OK(rds_reader_close(reader));
}

TEST(a_callback_ends_the_wait_and_nothing_is_lost) {
    rds_reader *reader = open_table();
    rds_loader_options options;
    rds_loader_batch batch = RDS_LOADER_BATCH_INIT;
    struct asked asked = {.caller = pthread_self()};
    gate_options(&options, 2, 2);
    options.waiting = ask, options.user_data = &asked;
    rds_loader *loader = loader_open(reader, &options);
    REQUIRE(gate_await(loader, 1));
    CHECK_NUMBER(asked.calls, 0);
    asked.stops_at = 10;
    double since = seconds();
    CHECK_STATUS(rds_loader_next(loader, &batch), RDS_ERR_CANCELLED);
    CHECK_MESSAGE_HAS("rds_loader_next: ");
    const double took = seconds() - since;
    CHECK(asked.calls == 10 && asked.of_others == 0 && took > 0.3 && took < 5);
    CHECK(batch.buffer == 0 && batch.rows == NULL);
    check_at(loader, 0, 0);
    gate_open();
    asked.stops_at = 0;
    uint64_t next = 0;
    for (; loader_next(loader, &batch); next += batch.row_count) {
        CHECK(batch.consumed == next && batch_is_right(&batch));
        loader_release(loader, &batch);
    }
    CHECK_NUMBER(next, ROWS);
    CHECK_NUMBER(asked.of_others, 0);
    CHECK_OK(rds_loader_close(loader));
    CHECK_OK(rds_reader_close(reader));
}

/* A call of another thread asks on that one, or with the flag nobody. */
TEST(the_thread_that_waits_is_asked_or_the_main_thread_alone) {
    for (int main_alone = 0; main_alone < 2; main_alone++) {
        rds_reader *reader = open_table();
        rds_loader_options options;
        struct asked asked = {.caller = pthread_self(), .stops_at = 3};
        struct gate_call call;
        gate_options(&options, 2, 2);
        options.waiting = ask, options.user_data = &asked;
        options.flags = main_alone ? RDS_LOADER_WAITING_MAIN_THREAD : 0;
        rds_loader *loader = loader_open(reader, &options);
        REQUIRE(gate_await(loader, 1));
        gate_call(&call, loader);
        CHECK_NUMBER(gate_is_done(&call, main_alone ? 500 : SOON_MS), !main_alone);
        gate_open();
        pthread_join(call.thread, NULL);
        CHECK_STATUS(call.status, main_alone ? RDS_OK : RDS_ERR_CANCELLED);
        CHECK_NUMBER(asked.calls, main_alone ? 0 : 3);
        CHECK_NUMBER(asked.of_others, asked.calls);
        CHECK_OK(rds_loader_close(loader));
        CHECK_OK(rds_reader_close(reader));
    }
}

/* Closes the loader whose call asks. */
static int close_what_asks(void *user_data) {
    rds_loader **loader = (rds_loader **)user_data;
    if (*loader) CHECK_OK(rds_loader_close(*loader));
    *loader = NULL;
    return 0;
}

/* A call that gathers itself takes as long as the disk: it asks too, and not the callback of a reader that is gone. */
TEST(a_call_that_gathers_asks_the_callback_of_the_loader) {
    enum { LARGE_ROWS = 64, WIDTH = 1 << 20 };
    check_path_text path = check_path();
    float *values = (float *)calloc(WIDTH, sizeof *values);
    const int64_t shape[2] = {1, WIDTH};
    rds_writer *writer = table_writer(path.text, RDS_MODE_CREATE, RDS_DURABILITY_COMMIT);
    for (int64_t row = 0; row < LARGE_ROWS; row++) {
        const rds_ids ids = ids_of(RDS_IDS_INT64, 1, &row);
        const rds_tensor tensor = tensor_of(RDS_DTYPE_FLOAT32, 2, shape, values);
        CHECK_OK(rds_write_tensors(writer, &ids, &tensor, 1));
    }
    CHECK_OK(rds_commit(writer, NULL, NULL));
    CHECK_OK(rds_writer_close(writer));
    free(values);
    rds_reader *reader = NULL;
    rds_reader_options lance = RDS_READER_OPTIONS_INIT;
    lance.access = RDS_ACCESS_LANCE;
    struct asked asked_of_reader = {.calls = 0}, asked = {.caller = pthread_self(), .stops_at = 1};
    CHECK_OK(open_asking(path.text, RDS_ACCESS_LANCE, 0, 0, &asked_of_reader, &reader));
    rds_loader_options options = loader_options(LARGE_ROWS);
    rds_loader_batch batch = RDS_LOADER_BATCH_INIT;
    options.flags = RDS_LOADER_NO_THREADS, options.waiting = ask, options.user_data = &asked;
    rds_loader *loader = loader_open(reader, &options);
    CHECK_OK(rds_reader_close(reader));
    asked_of_reader.calls = 0;
    CHECK_STATUS(rds_loader_next(loader, &batch), RDS_ERR_CANCELLED);
    CHECK_NUMBER(asked.calls, 1);
    asked.stops_at = 0;
    CHECK(loader_next(loader, &batch) && batch.row_count == LARGE_ROWS && batch.consumed == 0);
    CHECK_NUMBER(asked.of_others, 0);
    CHECK_NUMBER(asked_of_reader.calls, 0);
    CHECK_OK(rds_loader_close(loader));
    /* The callback may close the loader: nobody waits for the step that it is asked in. */
    CHECK_OK(rds_reader_open(path.text, &lance, &reader));
    options.waiting = close_what_asks, options.user_data = &loader;
    loader = loader_open(reader, &options);
    CHECK_STATUS(rds_loader_next(loader, &batch), RDS_ERR_CANCELLED);
    CHECK(loader == NULL);
    CHECK_OK(rds_reader_close(reader));
    check_remove(path.text);
}

static int is_readable(int fd, int within_ms) {
    struct pollfd entry = {fd, POLLIN, 0};
    const int count = poll(&entry, 1, within_ms);
    CHECK(count >= 0 && !(entry.revents & ~POLLIN));
    return count == 1;
}

TEST(a_descriptor_is_readable_while_a_batch_is_ready) {
    rds_reader *reader = open_table();
    rds_loader_options options;
    rds_loader_batch first, second, batch;
    int fd = -1, again = -1;
    gate_options(&options, 2, 2);
    options.ahead = 2;
    rds_loader *loader = loader_open(reader, &options);
    CHECK_OK(rds_loader_fd(loader, &fd));
    CHECK_OK(rds_loader_fd(loader, &again));
    CHECK(fd >= 0 && fd == again);
    REQUIRE(gate_await(loader, 1));
    CHECK(!is_readable(fd, 50));
    gate_open();
    CHECK(is_readable(fd, SOON_MS) && is_readable(fd, 0));
    CHECK(loader_next(loader, &first) && is_readable(fd, SOON_MS));
    CHECK(loader_next(loader, &second));
    /* Both buffers are lent: the next batch begins when one is released. */
    loader_release(loader, &first);
    CHECK(is_readable(fd, SOON_MS));
    loader_release(loader, &second);
    for (int calls = 2; is_readable(fd, SOON_MS); calls++) {
        const int is_step = loader_next(loader, &batch);
        CHECK_NUMBER(is_step, calls < ROWS / GATE_ROWS);
        loader_release(loader, &batch);
        if (!is_step) break;
    }
    check_at(loader, 1, 0);
    /* What is ready for one position is not for another, and comes for that, too. */
    CHECK(is_readable(fd, SOON_MS));
    CHECK_OK(rds_loader_seek(loader, NULL, 7, 8));
    CHECK(is_readable(fd, SOON_MS) && loader_next(loader, &batch) && batch.epoch == 7 && batch.consumed == 8);
    CHECK_OK(rds_loader_close(loader));
    CHECK(fcntl(fd, F_GETFD) == -1);
    CHECK_OK(rds_reader_close(reader));
}

/* A seek away from what is ready: the descriptor says that there is something to wait for. */
TEST(a_seek_takes_back_what_a_descriptor_said) {
    rds_reader *reader = open_table();
    rds_loader_options options;
    rds_loader_batch batch;
    int fd = -1;
    gate_options(&options, 3, 0);
    options.ahead = 2;
    rds_loader *loader = loader_open(reader, &options);
    CHECK_OK(rds_loader_fd(loader, &fd));
    CHECK(is_readable(fd, SOON_MS));
    for (int i = 0; i < 1000 && loader_stats(loader).ready < 2; i++) sleep_ms(1);
    CHECK_NUMBER(loader_stats(loader).ready, 2);
    mprotect(gate.memory, GATE_BUFFERS * GATE_BYTES, PROT_READ);
    CHECK_OK(rds_loader_seek(loader, NULL, 1, 0));
    for (int i = 0; i < SOON_MS && !__atomic_load_n(&gate.waiting, __ATOMIC_SEQ_CST); i++) sleep_ms(1);
    CHECK(!is_readable(fd, 50));
    CHECK_NUMBER(loader_stats(loader).ready, 0);
    gate_open();
    CHECK(is_readable(fd, SOON_MS) && loader_next(loader, &batch) && batch.epoch == 1 && batch_is_right(&batch));
    CHECK_OK(rds_loader_close(loader));
    CHECK_OK(rds_reader_close(reader));
}

TEST(without_threads_there_is_no_descriptor) {
    rds_reader *reader = open_table();
    rds_loader_options options = loader_options(4), numbers = loader_numbers(10, 4);
    options.flags = RDS_LOADER_NO_THREADS;
    rds_loader *const loaders[] = {loader_open(reader, &options), loader_open(NULL, &numbers)};
    for (int i = 0; i < 2; i++) {
        int fd = 7;
        CHECK_STATUS(rds_loader_fd(loaders[i], &fd), RDS_ERR_INVALID_STATE);
        CHECK_MESSAGE_HAS("rds_loader_fd: ");
        CHECK_NUMBER(fd, -1);
        CHECK(loader_drain(loaders[i], NULL, 0) > 0);
        CHECK_OK(rds_loader_close(loaders[i]));
    }
    CHECK_OK(rds_reader_close(reader));
}

/* How long callers waited, and for how much. */
TEST(stalls_are_counted) {
    rds_reader *reader = open_table();
    rds_loader_options options;
    struct gate_call call;
    rds_loader_batch batch;
    gate_options(&options, 3, 1);
    options.ahead = 3;
    rds_loader *loader = loader_open(reader, &options);
    REQUIRE(gate_await(loader, 1));
    gate_call(&call, loader);
    sleep_ms(100);
    gate_open();
    pthread_join(call.thread, NULL);
    CHECK_OK(call.status);
    rds_load_stats stats = loader_stats(loader);
    CHECK(stats.stalls == 1 && stats.batches == 1 && stats.lent == 1 && stats.ahead == 3);
    CHECK(stats.stalled_ns >= 50 * 1000000ull && stats.stalled_ns < SOON_MS * 1000000ull);
    for (int i = 0; i < SOON_MS && loader_stats(loader).ready < 2; i++) sleep_ms(1);
    CHECK_NUMBER(loader_stats(loader).ready, 2);
    CHECK(loader_next(loader, &batch));
    CHECK_NUMBER(loader_stats(loader).stalls, 1);
    CHECK_OK(rds_loader_close(loader));
    CHECK_OK(rds_reader_close(reader));
}

CHECK_MAIN(RUN(a_close_ends_those_who_wait), RUN(a_seek_gives_those_who_wait_another_batch),
           RUN(a_callback_ends_the_wait_and_nothing_is_lost),
           RUN(the_thread_that_waits_is_asked_or_the_main_thread_alone),
           RUN(a_call_that_gathers_asks_the_callback_of_the_loader),
           RUN(a_descriptor_is_readable_while_a_batch_is_ready), RUN(a_seek_takes_back_what_a_descriptor_said),
           RUN(without_threads_there_is_no_descriptor), RUN(stalls_are_counted))
