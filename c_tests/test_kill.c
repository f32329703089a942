/* Writers that are killed at any moment: the table opens, and has a prefix of what was accepted
 * that includes everything durable, and nothing else; the next run goes on from there. RDS_KILLS
 * says how many are killed. */
#include "processes.h"

enum { BATCH = 3, KILLS = 24, COMMIT_AFTER = 40 };

/* One writer: what it is to do, and how far it came, each row counted from the first of the table. */
struct run {
    check_path_text path;
    uint64_t mode, durability, first;
    /* Asked to be written, accepted, durable. */
    uint64_t begun, accepted, durable;
    /* Commits that have begun, and that are done. */
    uint64_t committing, committed;
    uint64_t opened;
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

/* Writes until it is killed. */
static void write_on(void *data) {
    rds_writer *writer = NULL;
    rds_writer_options options = RDS_WRITER_OPTIONS_INIT;
    (void)data;
    options.mode = (uint32_t)run->mode, options.durability = (uint32_t)run->durability;
    options.checkpoint_ms = 20;
    if (!CHECK_OK(rds_writer_open(run->path.text, &options, &writer))) _exit(1);
    shared_set(&run->opened, 1);
    for (int batch = 0;; batch++) {
        uint64_t first = run->accepted;
        shared_set(&run->begun, first + BATCH);
        if (!CHECK_OK(table_write(writer, first, BATCH))) _exit(1);
        shared_set(&run->accepted, first + BATCH);
        make_durable(writer, batch);
    }
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

static int all_files(const char *path) {
    return data_files(path) + files_named(path, "_versions", "", "") +
           files_named(path, "_transactions", "", "");
}

/* Data files of the dead go at once, whatever else they left when it is old. */
static void check_vacuum(const char *path) {
    rds_vacuum_options options = RDS_VACUUM_OPTIONS_INIT;
    rds_vacuum_info dry = RDS_VACUUM_INFO_INIT, info = RDS_VACUUM_INFO_INIT;
    int before = all_files(path), left_by_commits = files_named(path, "_transactions", "", "");
    left_by_commits += files_named(path, "_versions", "", "") - versions(path);
    options.flags = RDS_VACUUM_DRY_RUN;
    CHECK_OK(rds_vacuum(path, &options, &dry));
    CHECK_NUMBER(all_files(path), before);
    CHECK_OK(rds_vacuum(path, NULL, &info));
    CHECK(memcmp(&dry, &info, sizeof dry) == 0);
    CHECK_NUMBER(all_files(path), before - (int)info.removed_files);
    CHECK((int)info.kept_files <= left_by_commits);
    options.flags = 0, options.older_than_ms = 1;
    sleep_ms(5);
    CHECK_OK(rds_vacuum(path, &options, &info));
    CHECK_NUMBER(info.kept_files, 0);
    CHECK_OK(rds_vacuum(path, &options, &info));
    CHECK_NUMBER(info.removed_files + info.kept_files, 0);
}

/* In a process of its own: the parent of all of them stays without librds. */
static void inspect(void *rows) {
    uint64_t found = check_prefix(RDS_ACCESS_AUTO);
    CHECK_NUMBER(check_prefix(RDS_ACCESS_LANCE), found);
    if (access(run->path.text, F_OK) == 0 && rds_vacuum(run->path.text, NULL, NULL) == RDS_OK) {
        check_vacuum(run->path.text);
        CHECK_NUMBER(check_prefix(RDS_ACCESS_AUTO), found);
    }
    shared_set((uint64_t *)rows, found);
}

/* Starts a writer, and kills it at some moment of its life or, if `in_commit`, of a commit. */
static void kill_one(uint64_t durability, int in_commit) {
    run->durability = durability, run->first = run->accepted = run->begun = run->durable;
    run->committing = run->committed = run->opened = 0;
    pid_t child = child_start(write_on, NULL);
    if (in_commit) {
        shared_await(&run->committing, 1);
        sleep_ms((long)random_below(random_below(4) ? 5 : 60));
    } else {
        if (random_below(4)) shared_await(&run->opened, 1);
        sleep_ms((long)random_below(random_below(2) ? 30 : 400));
    }
    child_kill(child);
}

/* What was found: whether a table is there, and in which state the commits were. */
static int kills_in_commits;

static void check_one(uint64_t durability, int in_commit) {
    uint64_t *rows = (uint64_t *)shared_memory(sizeof *rows);
    int before = check_failures;
    kill_one(durability, in_commit);
    kills_in_commits += run->committing != run->committed;
    in_child(inspect, rows);
    if (check_failures != before) {
        fprintf(stderr, "    durability %llu, rows %llu: begun %llu, accepted %llu, durable %llu; "
                        "commits %llu of %llu\n",
                (unsigned long long)durability, (unsigned long long)*rows,
                (unsigned long long)run->begun, (unsigned long long)run->accepted,
                (unsigned long long)run->durable, (unsigned long long)run->committed,
                (unsigned long long)run->committing);
    }
    /* The next one goes on after what is there. */
    run->durable = *rows;
    run->mode = *rows ? RDS_MODE_APPEND : RDS_MODE_CREATE;
    munmap(rows, sizeof *rows);
}

/* A run that ends well, after those that did not. */
static void finish_clean(void *data) {
    rds_commit_options options = RDS_COMMIT_OPTIONS_INIT;
    rds_commit_info info = RDS_COMMIT_INFO_INIT;
    (void)data;
    options.flags = RDS_COMMIT_MERGE_ALL;
    rds_writer *writer = table_writer(run->path.text, (uint32_t)run->mode, RDS_DURABILITY_BATCH);
    CHECK_OK(table_write(writer, run->durable, BATCH));
    CHECK_OK(rds_commit(writer, &options, &info));
    CHECK_NUMBER(info.data_files, 1);
    CHECK_OK(rds_writer_close(writer));
    table_check_all(run->path.text, run->durable + BATCH);
}

static void check_kills(uint64_t durability, int in_commits, int count) {
    for (int done = 0; done < count && !check_failures;) {
        memset(run, 0, sizeof *run);
        run->path = check_path();
        for (int i = 0; i < 6 && done < count && !check_failures; i++, done++) {
            check_one(durability, in_commits && i % 2 == 1);
        }
        in_child(finish_clean, NULL);
    }
}

TEST(a_killed_writer_that_makes_each_batch_durable_loses_none) {
    run = (struct run *)shared_memory(sizeof *run);
    check_kills(RDS_DURABILITY_BATCH, 0, (kills() + 3) / 4);
}

TEST(a_writer_killed_while_it_merges_loses_nothing) {
    kills_in_commits = 0;
    run = (struct run *)shared_memory(sizeof *run);
    check_kills(RDS_DURABILITY_BATCH, 1, (kills() + 3) / 4);
    /* Half of them are aimed at a commit, and it takes its time. */
    CHECK(kills_in_commits > 0 || kills() < 8);
}

TEST(a_killed_writer_that_makes_checkpoints_keeps_what_it_flushed) {
    run = (struct run *)shared_memory(sizeof *run);
    check_kills(RDS_DURABILITY_INTERVAL, 1, (kills() + 3) / 4);
}

TEST(a_killed_writer_that_commits_keeps_what_it_committed) {
    run = (struct run *)shared_memory(sizeof *run);
    check_kills(RDS_DURABILITY_COMMIT, 1, (kills() + 3) / 4);
}

CHECK_MAIN(RUN(a_killed_writer_that_makes_each_batch_durable_loses_none),
           RUN(a_writer_killed_while_it_merges_loses_nothing),
           RUN(a_killed_writer_that_makes_checkpoints_keeps_what_it_flushed),
           RUN(a_killed_writer_that_commits_keeps_what_it_committed))
