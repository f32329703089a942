/* Writers that are killed at any moment of writing, committing and closing, and those who finish what they
 * left, killed too: the table opens, and has all that was durable, in order, once, and a prefix of what was
 * accepted; the next run goes on from there. RDS_KILLS says how many writers are killed. */
#include "processes.h"

enum { BATCH = 3, KILLS = 24, COMMIT_AFTER = 40, CLOSE_AFTER = 60, MOST_RECOVERERS = 3 };

/* When a writer is killed. */
enum moment { WRITING, COMMITTING, CLOSING };

/* One writer: what it is to do, and how far it came, each row counted from the first of the table. */
struct run {
    check_path_text path;
    uint64_t mode, durability, closes, first;
    /* Asked to be written, accepted, durable. */
    uint64_t begun, accepted, durable;
    /* Commits that have begun, and that are done. */
    uint64_t committing, committed;
    uint64_t opened, closing, recovering;
};

static struct run *run;
static uint64_t state = 88172645463325252u;

static uint64_t random_below(uint64_t limit) {
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    return state % limit;
}

static int kills(void) {
    const char *given = getenv("RDS_KILLS");
    return given && *given ? atoi(given) : check_rounds(KILLS);
}

static void make_durable(rds_writer *writer, int batch) {
    uint64_t accepted = run->accepted;
    int commits = batch % COMMIT_AFTER == COMMIT_AFTER - 1;
    if (run->durability == RDS_DURABILITY_COMMIT) commits = batch % 5 == 4;
    if (commits) {
        shared_set(&run->committing, run->committing + 1);
        if (!CHECK_OK(rds_commit(writer, NULL, NULL))) _exit(1);
        shared_set(&run->committed, run->committing);
    } else if (run->durability == RDS_DURABILITY_INTERVAL && batch % 4 == 3) {
        if (!CHECK_OK(rds_flush(writer))) _exit(1);
    } else if (run->durability != RDS_DURABILITY_BATCH) {
        return;
    }
    shared_set(&run->durable, accepted);
}

/* Writes until it is killed, or closes and waits for that. */
static void write_on(void *data) {
    rds_writer *writer = NULL;
    rds_writer_options options = RDS_WRITER_OPTIONS_INIT;
    (void)data;
    options.mode = (uint32_t)run->mode, options.durability = (uint32_t)run->durability;
    options.checkpoint_ms = 20, options.visible_ms = 100;
    if (!CHECK_OK(rds_writer_open(run->path.text, &options, &writer))) _exit(1);
    shared_set(&run->opened, 1);
    for (int batch = 0; !run->closes || batch < CLOSE_AFTER; batch++) {
        uint64_t first = run->accepted;
        shared_set(&run->begun, first + BATCH);
        if (!CHECK_OK(table_write(writer, first, BATCH))) _exit(1);
        shared_set(&run->accepted, first + BATCH);
        make_durable(writer, batch);
    }
    shared_set(&run->closing, 1);
    if (!CHECK_OK(rds_writer_close(writer))) _exit(1);
    if (run->durability != RDS_DURABILITY_COMMIT) shared_set(&run->durable, run->accepted);
    for (;;) sleep_ms(1000);
}

/* Finishes what was left, in one way or the other. */
static void recover(void *by_opening) {
    shared_set(&run->recovering, run->recovering + 1);
    if (!by_opening) {
        rds_status status = rds_recover(run->path.text, NULL, NULL);
        /* The writer may have been killed before it made anything. */
        CHECK(status == RDS_OK || status == RDS_ERR_NOT_FOUND);
        return;
    }
    rds_writer *writer = NULL;
    rds_writer_options options = RDS_WRITER_OPTIONS_INIT;
    options.mode = RDS_MODE_APPEND;
    rds_status status = rds_writer_open(run->path.text, &options, &writer);
    if (status == RDS_ERR_NOT_FOUND) return;
    if (CHECK_STATUS(status, RDS_OK)) CHECK_OK(rds_writer_close(writer));
}

static uint64_t check_prefix(uint32_t access) {
    rds_reader *reader = NULL;
    rds_reader_options options = RDS_READER_OPTIONS_INIT;
    options.access = access;
    rds_status status = rds_reader_open(run->path.text, &options, &reader);
    if (status == RDS_ERR_NOT_FOUND) {
        CHECK_NUMBER(run->durable, 0);
        return 0;
    }
    if (!CHECK_STATUS(status, RDS_OK)) return 0;
    uint64_t rows = table_info(reader).rows;
    CHECK(rows >= run->durable);
    CHECK(rows <= run->begun);
    CHECK_NUMBER((rows - run->first) % BATCH, 0);
    table_check(reader, 0, rows);
    CHECK_OK(rds_reader_close(reader));
    return rows;
}

/* In a process of its own: the parent of all of them stays without librds. */
static void inspect(void *rows) {
    rds_recover_info info = RDS_RECOVER_INFO_INIT;
    uint64_t found = check_prefix(RDS_ACCESS_AUTO);
    CHECK_NUMBER(check_prefix(RDS_ACCESS_LANCE), found);
    if (access(run->path.text, F_OK) == 0 && rds_recover(run->path.text, NULL, &info) == RDS_OK) {
        /* Nothing waits any more, and nothing comes twice. */
        CHECK_NUMBER(info.recovered_rows + info.waiting_runs + info.live_runs, 0);
        rds_vacuum_options options = RDS_VACUUM_OPTIONS_INIT;
        options.older_than_ms = 1;
        sleep_ms(5);
        if (random_below(2)) CHECK_OK(rds_vacuum(run->path.text, &options, NULL));
        CHECK_NUMBER(check_prefix(RDS_ACCESS_AUTO), found);
    }
    shared_set((uint64_t *)rows, found);
}

/* Starts a writer, and kills it at some moment of its life, of a commit or of its close. */
static void kill_writer(uint64_t durability, enum moment moment) {
    run->durability = durability, run->first = run->accepted = run->begun = run->durable;
    run->committing = run->committed = run->opened = run->closing = 0;
    run->closes = moment == CLOSING;
    pid_t child = child_start(write_on, NULL);
    if (moment == COMMITTING) {
        shared_await(&run->committing, 1);
        sleep_ms((long)random_below(random_below(4) ? 5 : 60));
    } else if (moment == CLOSING) {
        shared_await(&run->closing, 1);
        sleep_ms((long)random_below(random_below(4) ? 10 : 60));
    } else {
        if (random_below(4)) shared_await(&run->opened, 1);
        sleep_ms((long)random_below(random_below(2) ? 30 : 400));
    }
    child_kill(child);
}

/* What was found: kills in the middle of commits, and of recoveries. */
static int kills_in_commits, kills_in_recoveries;

/* Some who recover are killed too; the last one comes to its end. */
static void recover_all(void) {
    for (uint64_t left = random_below(MOST_RECOVERERS + 1); left > 0; left--) {
        uint64_t before = run->recovering;
        pid_t child = child_start(recover, random_below(2) ? run : NULL);
        shared_await(&run->recovering, before + 1);
        sleep_ms((long)random_below(random_below(3) ? 12 : 60));
        int status = 0;
        int ended = waitpid(child, &status, WNOHANG) == child;
        if (ended) CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        if (!ended) child_kill(child);
        kills_in_recoveries += !ended;
    }
    in_child(recover, random_below(2) ? run : NULL);
}

static void check_one(uint64_t durability, enum moment moment) {
    uint64_t *rows = (uint64_t *)shared_memory(sizeof *rows);
    int before = check_failures;
    kill_writer(durability, moment);
    kills_in_commits += run->committing != run->committed;
    recover_all();
    in_child(inspect, rows);
    if (check_failures != before) {
        fprintf(stderr, "    durability %llu, moment %d, rows %llu: first %llu, begun %llu, accepted "
                        "%llu, durable %llu; commits %llu of %llu; %s\n",
                (unsigned long long)durability, (int)moment, (unsigned long long)*rows,
                (unsigned long long)run->first, (unsigned long long)run->begun,
                (unsigned long long)run->accepted, (unsigned long long)run->durable,
                (unsigned long long)run->committed, (unsigned long long)run->committing,
                run->path.text);
    }
    /* The next one goes on after what is there. */
    run->durable = *rows;
    run->mode = *rows ? RDS_MODE_APPEND : RDS_MODE_CREATE;
    munmap(rows, sizeof *rows);
}

/* A run that ends well, after those that did not. */
static void finish_clean(void *data) {
    (void)data;
    rds_writer *writer = table_writer(run->path.text, (uint32_t)run->mode, RDS_DURABILITY_BATCH);
    CHECK_OK(table_write(writer, run->durable, BATCH));
    CHECK_OK(rds_commit(writer, NULL, NULL));
    CHECK_OK(rds_writer_close(writer));
    table_check_all(run->path.text, run->durable + BATCH);
}

static void check_kills(uint64_t durability, const enum moment *moments, int moment_count) {
    int count = (kills() + 3) / 4;
    for (int done = 0; done < count && !check_failures;) {
        memset(run, 0, sizeof *run);
        run->path = check_path();
        for (int i = 0; i < 6 && done < count && !check_failures; i++, done++) {
            check_one(durability, moments[done % moment_count]);
        }
        in_child(finish_clean, NULL);
    }
}

TEST(a_killed_writer_that_makes_each_batch_durable_loses_none) {
    const enum moment moments[] = {WRITING};
    run = (struct run *)shared_memory(sizeof *run);
    check_kills(RDS_DURABILITY_BATCH, moments, 1);
}

TEST(a_writer_killed_while_it_commits_or_closes_loses_nothing) {
    const enum moment moments[] = {COMMITTING, CLOSING};
    kills_in_commits = 0;
    run = (struct run *)shared_memory(sizeof *run);
    check_kills(RDS_DURABILITY_BATCH, moments, 2);
    /* Half of them are aimed at a commit, and it takes its time. */
    CHECK(kills_in_commits > 0 || kills() < 8);
}

TEST(a_killed_writer_that_makes_checkpoints_keeps_what_it_flushed) {
    const enum moment moments[] = {WRITING, COMMITTING, CLOSING};
    run = (struct run *)shared_memory(sizeof *run);
    check_kills(RDS_DURABILITY_INTERVAL, moments, 3);
}

TEST(a_killed_writer_that_commits_keeps_what_it_committed) {
    const enum moment moments[] = {WRITING, COMMITTING, CLOSING};
    run = (struct run *)shared_memory(sizeof *run);
    check_kills(RDS_DURABILITY_COMMIT, moments, 3);
}

TEST(some_of_those_that_recovered_were_killed_in_the_middle) {
    CHECK(kills_in_recoveries > 0 || kills() < 24);
}

CHECK_MAIN(RUN(a_killed_writer_that_makes_each_batch_durable_loses_none),
           RUN(a_writer_killed_while_it_commits_or_closes_loses_nothing),
           RUN(a_killed_writer_that_makes_checkpoints_keeps_what_it_flushed),
           RUN(a_killed_writer_that_commits_keeps_what_it_committed),
           RUN(some_of_those_that_recovered_were_killed_in_the_middle))
