/* Forks while other threads read, and lets each child read through every way. The last line says how many children
 * there were, how many did not end in time, and how many failed otherwise.
 *
 *   forks busy|first TABLE VERSION ROWS NEWEST_ROWS FORKS SEED
 *
 * The table holds rows of table.h. `busy` forks FORKS times beside threads that read for long; `first` at most FORKS
 * times while threads make the first calls of the process. */
#define _GNU_SOURCE
#include <errno.h>
#include <execinfo.h>
#include <pthread.h>
#include <signal.h>

#include "arrow_out.h"
#include "check.h"
#include <sys/wait.h>

enum { SECONDS = 10, STUCK = 7, MANY = 200, FRAMES = 40, WAYS = 6, FIRST_THREADS = 2 };

static const char *table;
static uint64_t version, rows, newest_rows;
static int stop;

/* What is being done, for whoever is stopped in the middle of it. */
static __thread const char *reader_name = "nothing", *doing = "nothing";

static void step(const char *what) { doing = what; }

static uint64_t random_below(uint64_t *state, uint64_t end) {
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (*state >> 33) % end;
}

static rds_reader *open_reader(uint32_t access, uint64_t wanted) {
    rds_reader *reader = NULL;
    rds_reader_options options = RDS_READER_OPTIONS_INIT;
    options.access = access;
    options.version = wanted;
    step("open");
    CHECK_OK(rds_reader_open(table, &options, &reader));
    return reader;
}

/* Ways of reading ---------------------------------------------------------------------------------------- */

static void gather(const rds_reader *reader, uint64_t seed, uint64_t count) {
    float values[MANY][TABLE_WIDTH];
    uint64_t chosen[MANY];
    long long wrong = 0;
    step("read");
    for (uint64_t i = 0; i < MANY; i++) chosen[i] = (i * 7919 + seed) % count;
    CHECK_OK(rds_reader_read(reader, 0, chosen, MANY, values, sizeof values));
    for (int i = 0; i < MANY; i++) wrong += values[i][1] != table_value(chosen[i], 1);
    step("read_range");
    uint64_t first = seed % (count - MANY);
    CHECK_OK(rds_reader_read_range(reader, 0, first, MANY, values, sizeof values));
    for (int i = 0; i < MANY; i++) wrong += values[i][3] != table_value(first + (uint64_t)i, 3);
    step("gather");
    rds_rows these = RDS_ROWS_INIT;
    rds_target target = RDS_TARGET_INIT;
    these.rows = chosen, these.count = MANY;
    target.data = values, target.bytes = sizeof values;
    CHECK_OK(rds_reader_gather(reader, &these, &target, 1));
    for (int i = 0; i < MANY; i++) wrong += values[i][2] != table_value(chosen[i], 2);
    CHECK_NUMBER(wrong, 0);
}

static void take(const rds_reader *reader, uint64_t seed, uint64_t count) {
    struct ArrowArray array;
    const uint64_t chosen[3] = {seed % count, count - 1 - seed % count, seed % count};
    step("get");
    if (CHECK_OK(rds_reader_get(reader, 0, chosen[0], &array))) {
        CHECK(list_row_is(&array, 0, chosen[0]));
        array.release(&array);
    }
    step("take");
    if (!CHECK_OK(rds_reader_take(reader, chosen, 3, NULL, NULL, &array))) return;
    for (int i = 0; i < 3; i++) {
        CHECK(string_is(array.children[0], i, chosen[i]));
        CHECK(list_row_is(array.children[1], i, chosen[i]));
    }
    array.release(&array);
}

static void find(const rds_reader *reader, uint64_t row) {
    char name[24];
    const char *pointer = name, *id = NULL;
    size_t length = 0;
    uint64_t found = 0, times = 0;
    const rds_ids ids = ids_of(RDS_IDS_CSTRINGS, 1, &pointer);
    snprintf(name, sizeof name, "id-%llu", (unsigned long long)row);
    step("find");
    CHECK_OK(rds_reader_find(reader, &ids, &found, NULL));
    CHECK_NUMBER(found, row);
    step("find_all");
    found = 0;
    CHECK_OK(rds_reader_find_all(reader, name, strlen(name), &found, 1, &times));
    CHECK(found == row && times == 1);
    step("id");
    CHECK_OK(rds_reader_id(reader, row, &id, &length));
    CHECK(id && id_is(id, (int64_t)length, row));
}

static void all_ids(const rds_reader *reader, uint64_t count) {
    struct ArrowArray array;
    long long wrong = 0;
    step("ids");
    if (!CHECK_OK(rds_reader_ids(reader, 0, count, NULL, &array))) return;
    for (uint64_t row = 0; row < count; row++) wrong += !large_string_is(&array, (int64_t)row, row);
    CHECK_NUMBER(wrong, 0);
    array.release(&array);
}

static void drain(struct ArrowArrayStream *stream, uint64_t row, uint64_t count) {
    struct ArrowArray batch;
    step("a batch of a stream");
    while (CHECK_NUMBER(stream->get_next(stream, &batch), 0) && batch.release) {
        for (int64_t i = 0; i < batch.length; i++, row++) {
            if (!CHECK(string_is(batch.children[0], i, row) && list_row_is(batch.children[1], i, row))) break;
        }
        batch.release(&batch);
    }
    CHECK_NUMBER(row, count);
}

static void begin(struct ArrowArrayStream *stream, const rds_reader *reader, uint64_t batch_rows) {
    rds_stream_options options = RDS_STREAM_OPTIONS_INIT;
    options.batch_rows = batch_rows;
    step("stream");
    memset(stream, 0, sizeof *stream);
    CHECK_OK(rds_reader_stream(reader, &options, stream));
}

static void stream_all(const rds_reader *reader, uint64_t count) {
    struct ArrowArrayStream stream;
    begin(&stream, reader, 300);
    REQUIRE(stream.release);
    drain(&stream, 0, count);
    stream.release(&stream);
}

static void read_clone(const rds_reader *reader, uint64_t row) {
    rds_reader *other = NULL;
    step("clone");
    if (!CHECK_OK(rds_reader_clone(reader, &other))) return;
    CHECK(table_row_is(other, row, row));
    CHECK_OK(rds_reader_close(other));
}

static void refresh(rds_reader *reader, uint32_t expected, uint64_t count) {
    uint32_t changed = 2;
    step("refresh");
    CHECK_OK(rds_reader_refresh(reader, &changed));
    CHECK_NUMBER(changed, expected);
    CHECK_NUMBER(table_info(reader).rows, count);
}

/* All of them; `old` readers show the version before the newest. */
static void use(rds_reader *reader, uint64_t seed, int old, const char *name) {
    uint64_t count = old ? rows : newest_rows;
    reader_name = name;
    gather(reader, seed, count);
    take(reader, seed, count);
    find(reader, seed % count);
    all_ids(reader, count);
    stream_all(reader, count);
    read_clone(reader, seed % count);
    refresh(reader, (uint32_t)old, newest_rows);
    gather(reader, seed, newest_rows);
    find(reader, newest_rows - 1 - seed % 100);
}

/* A child ------------------------------------------------------------------------------------------------ */

static void on_alarm(int number) {
    void *frames[FRAMES];
    char text[200];
    signal(SIGALRM, SIG_DFL);
    alarm(2);
    int length = snprintf(text, sizeof text, "stuck (signal %d): %s, %s\n", number, reader_name, doing);
    if (write(2, text, (size_t)length) == length) {
        backtrace_symbols_fd(frames, backtrace(frames, FRAMES), 2);
    }
    _exit(STUCK);
}

struct inherited {
    rds_reader *reader;
    int old;
    const char *name;
};

static pid_t fork_child(const struct inherited *inherited, int count, struct ArrowArrayStream *streams,
                        int stream_count, uint64_t seed) {
    static const uint32_t accesses[] = {RDS_ACCESS_AUTO, RDS_ACCESS_LANCE};
    pid_t child = fork();
    if (child != 0) return child;
    signal(SIGALRM, on_alarm);
    alarm(SECONDS);
    check_failures = 0;
    /* What is its own first, or what it inherited. */
    for (int turn = 0; turn < 2; turn++) {
        if (turn == (int)(seed & 1)) {
            for (int i = 0; i < count; i++) {
                const struct inherited *one = &inherited[i];
                if (one->reader) use(one->reader, seed, one->old, one->name);
            }
            reader_name = "inherited stream";
            for (int i = 0; i < stream_count; i++) drain(&streams[i], 10, newest_rows);
            continue;
        }
        for (int i = 0; i < 4; i++) {
            reader_name = "its own";
            rds_reader *own = open_reader(accesses[i % 2], i < 2 ? 0 : version);
            use(own, seed, i >= 2, "its own");
            step("close");
            CHECK_OK(rds_reader_close(own));
        }
    }
    for (int i = 0; i < count; i++) {
        if (inherited[i].reader) CHECK_OK(rds_reader_close(inherited[i].reader));
    }
    for (int i = 0; i < stream_count; i++) streams[i].release(&streams[i]);
    _exit(check_failures ? 1 : 0);
}

static int stuck, failed, children;

static void wait_child(pid_t child) {
    int status = 0;
    pid_t waited;
    do {
        waited = waitpid(child, &status, 0);
    } while (waited < 0 && errno == EINTR);
    children++;
    int timed_out = WIFSIGNALED(status) ? WTERMSIG(status) == SIGALRM : WEXITSTATUS(status) == STUCK;
    if (child < 0 || waited != child) {
        failed++;
    } else if (timed_out) {
        stuck++;
    } else if (status) {
        failed++;
        fprintf(stderr, "a child ended with the status 0x%x\n", (unsigned)status);
    }
}

/* Threads that read for long ------------------------------------------------------------------------------- */

static rds_reader *mapped, *through_lance;

static void load(int way, uint64_t seed) {
    rds_reader *reader = NULL;
    reader_name = "a thread";
    switch (way) {
    case 0:
        gather(mapped, seed, newest_rows);
        return;
    case 1:
        take(through_lance, seed, newest_rows);
        gather(through_lance, seed, newest_rows);
        return;
    case 2:
        /* Ids are loaded, and the index built, on first use. */
        reader = open_reader(seed % 2 ? RDS_ACCESS_AUTO : RDS_ACCESS_LANCE, 0);
        find(reader, seed % newest_rows);
        all_ids(reader, newest_rows);
        break;
    case 3:
        stream_all(seed % 2 ? mapped : through_lance, newest_rows);
        return;
    case 4:
        reader = open_reader(seed % 2 ? RDS_ACCESS_AUTO : RDS_ACCESS_LANCE, version);
        refresh(reader, 1, newest_rows);
        break;
    default:
        reader = open_reader(seed % 2 ? RDS_ACCESS_AUTO : RDS_ACCESS_LANCE, 0);
    }
    CHECK_OK(rds_reader_close(reader));
}

struct thread {
    pthread_t id;
    int way;
    uint64_t seed, calls;
    rds_reader *reader;
    int over;
};

static void *load_until_stopped(void *data) {
    struct thread *thread = (struct thread *)data;
    while (!__atomic_load_n(&stop, __ATOMIC_SEQ_CST)) {
        load(thread->way, random_below(&thread->seed, 1u << 30));
        __atomic_add_fetch(&thread->calls, 1, __ATOMIC_SEQ_CST);
    }
    return NULL;
}

static void fork_beside_busy_threads(int forks, uint64_t seed) {
    struct thread threads[WAYS] = {{0}};
    struct ArrowArrayStream begun[2];
    struct ArrowArray batch;
    mapped = open_reader(RDS_ACCESS_AUTO, 0);
    through_lance = open_reader(RDS_ACCESS_LANCE, 0);
    for (int i = 0; i < WAYS; i++) {
        threads[i].way = i;
        threads[i].seed = seed + (uint64_t)i;
        pthread_create(&threads[i].id, NULL, load_until_stopped, &threads[i]);
    }
    for (int i = 0; i < forks && !check_failures && !stuck && !failed; i++) {
        /* Nobody has used the others. */
        const struct inherited inherited[] = {
            {mapped, 0, "inherited, in use"},
            {through_lance, 0, "inherited, in use, through Lance"},
            {open_reader(RDS_ACCESS_AUTO, version), 1, "inherited, unused"},
            {open_reader(RDS_ACCESS_LANCE, version), 1, "inherited, unused, through Lance"},
        };
        for (int s = 0; s < 2; s++) {
            begin(&begun[s], s ? through_lance : mapped, 10);
            CHECK_NUMBER(begun[s].get_next(&begun[s], &batch), 0);
            batch.release(&batch);
        }
        usleep((useconds_t)random_below(&seed, 1000));
        wait_child(fork_child(inherited, 4, begun, 2, random_below(&seed, 1u << 30)));
        /* What the child did, it did to its own. */
        for (int s = 0; s < 2; s++) {
            drain(&begun[s], 10, newest_rows);
            begun[s].release(&begun[s]);
        }
        CHECK_OK(rds_reader_close(inherited[2].reader));
        CHECK_OK(rds_reader_close(inherited[3].reader));
    }
    __atomic_store_n(&stop, 1, __ATOMIC_SEQ_CST);
    for (int i = 0; i < WAYS; i++) {
        pthread_join(threads[i].id, NULL);
        CHECK(threads[i].calls > 0);
    }
}

/* Threads that make the first calls ------------------------------------------------------------------------ */

static void *make_first_calls(void *data) {
    struct thread *thread = (struct thread *)data;
    int old = thread->seed / 8 % 2;
    reader_name = "a thread";
    rds_reader *reader = open_reader(thread->seed % 2 ? RDS_ACCESS_AUTO : RDS_ACCESS_LANCE, old ? version : 0);
    __atomic_store_n(&thread->reader, reader, __ATOMIC_SEQ_CST);
    uint64_t count = old ? rows : newest_rows;
    switch (thread->way) {
    case 0:
        gather(reader, thread->seed, count);
        break;
    case 1:
        take(reader, thread->seed, count);
        break;
    case 2:
        find(reader, thread->seed % count);
        break;
    case 3:
        all_ids(reader, count);
        break;
    case 4:
        stream_all(reader, count);
        break;
    default:
        /* Not the one that children take to show what it shows. */
        reader = open_reader(RDS_ACCESS_AUTO, version);
        refresh(reader, 1, newest_rows);
    }
    __atomic_store_n(&thread->over, 1, __ATOMIC_SEQ_CST);
    return NULL;
}

static void fork_during_the_first_calls(int forks, uint64_t seed) {
    struct thread threads[FIRST_THREADS] = {{0}};
    pid_t child[64];
    int forked = 0, used = 1 + (int)random_below(&seed, FIRST_THREADS);
    uint64_t pause = 50 + random_below(&seed, 1000);
    for (int i = 0; i < used; i++) {
        threads[i].seed = random_below(&seed, 1u << 30);
        threads[i].way = (int)random_below(&seed, WAYS);
        pthread_create(&threads[i].id, NULL, make_first_calls, &threads[i]);
    }
    for (int over = 0; !over && forked < forks && forked < 64; forked++) {
        struct inherited inherited[FIRST_THREADS] = {{0}};
        usleep((useconds_t)random_below(&seed, pause));
        over = 1;
        for (int i = 0; i < used; i++) {
            over &= __atomic_load_n(&threads[i].over, __ATOMIC_SEQ_CST);
            rds_reader *reader = __atomic_load_n(&threads[i].reader, __ATOMIC_SEQ_CST);
            inherited[i] = (struct inherited){reader, threads[i].seed / 8 % 2, "inherited"};
        }
        if (over) break;
        child[forked] = fork_child(inherited, used, NULL, 0, random_below(&seed, 1u << 30));
    }
    for (int i = 0; i < used; i++) pthread_join(threads[i].id, NULL);
    for (int i = 0; i < forked; i++) wait_child(child[i]);
}

int main(int count, char **argument) {
    void *frames[1];
    if (count != 8) return 2;
    table = argument[2];
    version = strtoull(argument[3], NULL, 10);
    rows = strtoull(argument[4], NULL, 10);
    newest_rows = strtoull(argument[5], NULL, 10);
    int forks = atoi(argument[6]);
    uint64_t seed = strtoull(argument[7], NULL, 10);
    /* The first one allocates. */
    backtrace(frames, 1);
    if (strcmp(argument[1], "busy") == 0) {
        fork_beside_busy_threads(forks, seed);
    } else {
        fork_during_the_first_calls(forks, seed);
    }
    failed += check_failures;
    printf("%d %d %d\n", children, stuck, failed);
    return 0;
}
