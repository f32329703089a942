/* Runs that lost their process, with rows that wait. */
#ifndef DEAD_RUNS_H
#define DEAD_RUNS_H

#include "processes.h"
#include "staging.h"

/* A run that writes `rows` rows from `first` on, in batches of `batch` rows, each durable with its call. */
typedef struct {
    check_path_text path;
    uint64_t mode, first, rows, batch;
} dead_run;

static inline void die_with_rows(void *data) {
    const dead_run *run = (const dead_run *)data;
    rds_writer *writer = table_writer(run->path.text, (uint32_t)run->mode, RDS_DURABILITY_BATCH);
    for (uint64_t done = 0; done < run->rows && !check_failures; done += run->batch) {
        uint64_t left = run->rows - done;
        CHECK_OK(table_write(writer, run->first + done, left < run->batch ? left : run->batch));
    }
    if (!check_failures) kill(getpid(), SIGKILL);
}

/* Leaves such a run behind. */
static inline void leave_rows(check_path_text path, uint32_t mode, uint64_t first, uint64_t rows,
                              uint64_t batch) {
    dead_run run = {path, mode, first, rows, batch};
    int status = 0;
    pid_t child = child_start(die_with_rows, &run);
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static inline rds_recover_info recover(const char *path, const char *run, uint32_t flags,
                                       rds_status status) {
    rds_recover_info info = RDS_RECOVER_INFO_INIT;
    rds_recover_options options = RDS_RECOVER_OPTIONS_INIT;
    options.run = run, options.flags = flags;
    CHECK_STATUS(rds_recover(path, &options, &info), status);
    return info;
}

/* The name of a run of the table that is not one of these. */
static inline check_path_text run_but(const char *path, const char *const *known, int count) {
    check_path_text runs = path_below(path, "lance_db/results.lance/_rds"), found = {""};
    DIR *entries = opendir(runs.text);
    for (struct dirent *entry; entries && (entry = readdir(entries));) {
        int is_known = strlen(entry->d_name) != 32;
        for (int i = 0; i < count; i++) is_known |= strcmp(entry->d_name, known[i]) == 0;
        if (!is_known) snprintf(found.text, sizeof found.text, "%s", entry->d_name);
    }
    if (entries) closedir(entries);
    CHECK(found.text[0] != 0);
    return found;
}

#endif
