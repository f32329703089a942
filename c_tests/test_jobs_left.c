/* Jobs that nobody publishes, parts that come late, children that inherit a writer, and disks that are full. */
#include "small_disk.h"

#include <utime.h>

#include "parts.h"

enum { OLD_SECONDS = 3600 };

static int make_older(const char *path, const struct stat *info, int kind, struct FTW *walk) {
    const struct utimbuf times = {time(NULL) - OLD_SECONDS, time(NULL) - OLD_SECONDS};
    (void)info, (void)kind, (void)walk;
    return utime(path, &times);
}

static rds_vacuum_info vacuum_jobs(const char *path, uint64_t older_than_ms, uint32_t flags) {
    rds_vacuum_options options = RDS_VACUUM_OPTIONS_INIT;
    rds_vacuum_info info = RDS_VACUUM_INFO_INIT;
    options.older_than_ms = older_than_ms, options.flags = flags;
    CHECK_OK(rds_vacuum(path, &options, &info));
    return info;
}

TEST(a_vacuum_removes_jobs_that_nobody_has_added_to) {
    check_path_text path = check_path();
    rds_token tokens[3] = {small_part(path.text, "failed", 0, 0, 10, 10),
                           small_part(path.text, "failed", 1, 10, 10, 10),
                           small_part(path.text, "young", 0, 0, 10, 10)};
    CHECK_NUMBER(pack_share(path.text, "failed", tokens, 2, 0, 1), 20);
    table_make(path.text, 3);
    check_path_text failed = job_directory(path.text, "failed");
    CHECK(nftw(failed.text, make_older, 16, FTW_DEPTH | FTW_PHYS) == 0);
    uint64_t bytes = (uint64_t)(size_of(job_file(path.text, "failed", "0-").text) +
                                size_of(job_file(path.text, "failed", "1-").text));
    /* Somebody who adds to it keeps all of it. */
    rds_token late = small_part(path.text, "failed", 2, 20, 10, 10);
    CHECK_NUMBER(vacuum_jobs(path.text, OLD_SECONDS * 500, 0).removed_files, 0);
    CHECK_NUMBER(parts_that_wait(path.text, "failed"), 3);
    CHECK(unlink(job_file(path.text, "failed", "2-").text) == 0);
    CHECK(nftw(failed.text, make_older, 16, FTW_DEPTH | FTW_PHYS) == 0);
    CHECK_NUMBER(vacuum_jobs(path.text, OLD_SECONDS * 2000, 0).removed_files, 0);
    /* Two parts, a file that was packed, and what says so. */
    rds_vacuum_info would = vacuum_jobs(path.text, OLD_SECONDS * 500, RDS_VACUUM_DRY_RUN);
    CHECK_NUMBER(would.removed_files, 4);
    CHECK(would.removed_bytes > bytes);
    CHECK_NUMBER(parts_that_wait(path.text, "failed"), 2);
    rds_vacuum_info did = vacuum_jobs(path.text, OLD_SECONDS * 500, 0);
    CHECK_NUMBER(did.removed_files, would.removed_files);
    CHECK_NUMBER(did.removed_bytes, would.removed_bytes);
    CHECK(access(failed.text, F_OK) != 0);
    CHECK_STATUS(commit_job(path.text, "failed", tokens, 2, RDS_MODE_OVERWRITE, NULL), RDS_ERR_NOT_FOUND);
    CHECK_OK(commit_job(path.text, "young", tokens + 2, 1, RDS_MODE_OVERWRITE, NULL));
    small_check(path.text, 10);
    token_free(late);
    tokens_free(tokens, 3);
}

static rds_recover_info recover_job(const char *path, const char *job, uint32_t flags) {
    rds_recover_options options = RDS_RECOVER_OPTIONS_INIT;
    rds_recover_info info = RDS_RECOVER_INFO_INIT;
    options.run = job, options.flags = flags;
    CHECK_OK(rds_recover(path, &options, &info));
    return info;
}

TEST(a_job_is_given_up_by_its_name) {
    check_path_text path = check_path();
    rds_token tokens[3] = {small_part(path.text, "a/b", 0, 0, 10, 10), small_part(path.text, "a/b", 1, 10, 10, 10),
                           small_part(path.text, "other", 0, 0, 10, 10)};
    CHECK_NUMBER(recover_job(path.text, NULL, 0).staged_runs, 2);
    CHECK_NUMBER(recover_job(path.text, "a/b", 0).staged_runs, 1);
    CHECK_NUMBER(recover_job(path.text, "a/b", RDS_RECOVER_DROP | RDS_RECOVER_DRY_RUN).dropped_runs, 0);
    CHECK_NUMBER(parts_that_wait(path.text, "a/b"), 2);
    /* Without a name no token is touched. */
    CHECK_NUMBER(recover_job(path.text, NULL, RDS_RECOVER_DROP).dropped_runs, 0);
    rds_recover_info info = recover_job(path.text, "a/b", RDS_RECOVER_DROP);
    CHECK_NUMBER(info.dropped_runs, 1);
    CHECK_NUMBER(info.dropped_rows, 20);
    CHECK_NUMBER(parts_that_wait(path.text, NULL), 1);
    rds_recover_options options = RDS_RECOVER_OPTIONS_INIT;
    options.run = "a/b";
    CHECK_STATUS(rds_recover(path.text, &options, NULL), RDS_ERR_NOT_FOUND);
    CHECK_STATUS(commit_job(path.text, "a/b", tokens, 2, RDS_MODE_CREATE, NULL), RDS_ERR_NOT_FOUND);
    CHECK_OK(commit_job(path.text, "other", tokens + 2, 1, RDS_MODE_CREATE, NULL));
    small_check(path.text, 10);
    tokens_free(tokens, 3);
}

/* While a part is written its job is published by others, or given up. */
TEST(a_part_that_is_late_is_told_that_its_job_is_gone) {
    check_path_text path = check_path();
    rds_token token = small_part(path.text, "job", 0, 0, 10, 10), none = {NULL, 7};
    rds_writer *writer = part_writer(path.text, "job", 0);
    CHECK_OK(small_write(writer, 10, 100000));
    CHECK_OK(commit_job(path.text, "job", &token, 1, RDS_MODE_CREATE, NULL));
    CHECK_STATUS(rds_writer_stage(writer, &none), RDS_ERR_NOT_FOUND);
    CHECK_MESSAGE_HAS("part 0");
    CHECK(none.data == NULL && none.length == 0);
    CHECK_OK(rds_writer_close(writer));
    CHECK_NUMBER(parts_that_wait(path.text, "job"), 0);
    check_nothing_waits(path.text);
    token_free(token);
}

/* Batches of five rows of 32 KiB, and of one. */
static void write_on_full_disk(void *data) {
    check_path_text results = path_below((const char *)data, "results");
    if (!mount_small_disk((const char *)data)) return;
    check_path_text ballast = take_room((const char *)data, 44);
    rds_writer *writer = part_writer(results.text, "job", 0);
    uint64_t rows = 0, step = 64;
    rds_status status = RDS_OK;
    while (status == RDS_OK && rows < 4096) {
        status = write_wide(writer, rows, step);
        rows += status == RDS_OK ? step : 0;
    }
    CHECK_NUMBER(status, RDS_ERR_IO);
    CHECK_MESSAGE_HAS("o space left");
    CHECK_NUMBER(stats_of(writer).accepted_rows, rows);
    CHECK_STATUS(write_wide(writer, rows, step), RDS_ERR_IO);
    /* Small batches wait to be written together; what was refused is not among them. */
    for (step = 1, status = RDS_OK; status == RDS_OK && rows < 4096; rows += status == RDS_OK) {
        status = write_wide(writer, rows, step);
    }
    CHECK_NUMBER(status, RDS_ERR_IO);
    rds_token token = {NULL, 0};
    rds_status staged = rds_writer_stage(writer, &token);
    CHECK_NUMBER(staged, RDS_ERR_IO);
    CHECK(token.data == NULL);
    CHECK(unlink(ballast.text) == 0);
    CHECK_OK(write_wide(writer, rows, 3));
    token = stage(writer);
    CHECK_NUMBER(stats_of(writer).durable_rows, rows + 3);
    CHECK_OK(rds_writer_close(writer));
    /* There is room for it once more. */
    CHECK_OK(commit_job(results.text, "job", &token, 1, RDS_MODE_CREATE, NULL));
    check_wide(results.text, rows + 3);
    token_free(token);
}

TEST(a_part_on_a_full_disk_has_no_row_of_a_refused_batch_and_goes_on) {
    check_path_text path = check_path();
    in_child(write_on_full_disk, path.text);
}

static void publish_on_full_disk(void *data) {
    check_path_text results = path_below((const char *)data, "results");
    if (!mount_small_disk((const char *)data)) return;
    rds_writer *writer = part_writer(results.text, "job", 0);
    CHECK_OK(write_wide(writer, 0, 900));
    rds_token token = stage(writer);
    CHECK_OK(rds_writer_close(writer));
    check_path_text ballast = take_room((const char *)data, 20);
    for (int i = 0; i < 2; i++) {
        CHECK_STATUS(rds_pack_parts(results.text, "job", &token, 1, NULL, NULL), RDS_ERR_IO);
        CHECK_STATUS(commit_job(results.text, "job", &token, 1, RDS_MODE_CREATE, NULL), RDS_ERR_IO);
        CHECK_NUMBER(versions(results.text), 0);
        CHECK_NUMBER(data_files(results.text), 0);
    }
    CHECK(unlink(ballast.text) == 0);
    CHECK_OK(commit_job(results.text, "job", &token, 1, RDS_MODE_CREATE, NULL));
    check_wide(results.text, 900);
    token_free(token);
}

TEST(a_job_that_has_no_room_is_published_when_there_is_some) {
    check_path_text path = check_path();
    in_child(publish_on_full_disk, path.text);
}

struct inherited {
    rds_writer *writer;
    uint64_t number;
};

static void use_inherited(void *data) {
    const struct inherited *own = (const struct inherited *)data;
    rds_token token = {NULL, 0};
    rds_write_stats stats = RDS_WRITE_STATS_INIT;
    CHECK_STATUS(small_write(own->writer, 900, 1), RDS_ERR_INVALID_STATE);
    CHECK_STATUS(rds_writer_stage(own->writer, &token), RDS_ERR_INVALID_STATE);
    CHECK_STATUS(rds_writer_stats(own->writer, &stats), RDS_ERR_INVALID_STATE);
    CHECK_STATUS(own->number ? rds_writer_abort(own->writer) : rds_writer_close(own->writer), RDS_ERR_INVALID_STATE);
}

TEST(a_forked_child_does_not_touch_the_part_of_its_parent) {
    check_path_text path = check_path();
    struct inherited own = {.writer = part_writer(path.text, "job", 0)};
    CHECK_OK(small_write(own.writer, 0, 200000));
    CHECK_OK(small_write(own.writer, 200000, 100));
    for (own.number = 0; own.number < 2; own.number++) {
        in_child(use_inherited, &own);
        CHECK_NUMBER(files_named(path.text, "_rds/jobs/job/0", "0-", ".writing"), 1);
    }
    CHECK_OK(small_write(own.writer, 200000 + 100, 100));
    rds_token token = stage(own.writer);
    CHECK_OK(rds_writer_close(own.writer));
    CHECK_OK(commit_job(path.text, "job", &token, 1, RDS_MODE_CREATE, NULL));
    small_check(path.text, 200000 + 2 * 100);
    token_free(token);
}

CHECK_MAIN(RUN(a_part_on_a_full_disk_has_no_row_of_a_refused_batch_and_goes_on),
           RUN(a_job_that_has_no_room_is_published_when_there_is_some),
           RUN(a_vacuum_removes_jobs_that_nobody_has_added_to), RUN(a_job_is_given_up_by_its_name),
           RUN(a_part_that_is_late_is_told_that_its_job_is_gone),
           RUN(a_forked_child_does_not_touch_the_part_of_its_parent))
