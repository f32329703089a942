/* The runtime: nothing before the first use, then as configured. The process of these tests never
 * uses the library itself; each case does in a child. */
#include <dirent.h>

#include "child.h"
#include "table.h"

/* Threads of this process whose name begins with `name`. */
static int threads_named(const char *name) {
    char path[400], comm[64];
    int count = 0;
    DIR *tasks = opendir("/proc/self/task");
    for (struct dirent *task; tasks && (task = readdir(tasks));) {
        snprintf(path, sizeof path, "/proc/self/task/%s/comm", task->d_name);
        FILE *file = task->d_name[0] == '.' ? NULL : fopen(path, "r");
        if (!file) continue;
        if (fgets(comm, sizeof comm, file)) count += strncmp(comm, name, strlen(name)) == 0;
        fclose(file);
    }
    if (tasks) closedir(tasks);
    return count;
}

/* A writer starts it. One that writes nothing needs few threads beside the workers. */
static rds_status start_runtime(void) {
    check_path_text path = check_path();
    rds_writer *writer = NULL;
    rds_status status = rds_writer_open(path.text, NULL, &writer);
    if (status == RDS_OK) CHECK_OK(rds_writer_close(writer));
    return status;
}

TEST(no_thread_runs_before_the_first_use) {
    rds_runtime_options options = RDS_RUNTIME_OPTIONS_INIT;
    rds_reader *reader = NULL;
    int before = threads_named("");
    CHECK_NUMBER(before, 1);
    CHECK(rds_version() && rds_build_info() && rds_abi_version());
    CHECK_OK(rds_check_abi(RDS_ABI_VERSION));
    CHECK_STATUS(rds_reader_close(NULL), RDS_ERR_INVALID_HANDLE);
    CHECK_STATUS(rds_reader_open("", NULL, &reader), RDS_ERR_INVALID_ARGUMENT);
    CHECK_OK(rds_set_log_callback(RDS_LOG_OFF, NULL, NULL));
    CHECK_OK(rds_runtime_configure(&options));
    CHECK_NUMBER(threads_named(""), before);
}

static void check_workers(int expected) {
    int workers = 0;
    CHECK_OK(start_runtime());
    /* A thread takes its name when it runs for the first time. */
    for (int waited = 0; waited < 5000; waited += 10) {
        workers = threads_named("rds-worker");
        if (workers >= expected) break;
        sleep_ms(10);
    }
    CHECK(workers >= expected);
    /* Threads that block for a moment on files bear the same name: the bound tells the configured
     * number from others. */
    CHECK(workers < expected + 6);
}

static void configure_one(void *data) {
    rds_runtime_options options = RDS_RUNTIME_OPTIONS_INIT;
    (void)data;
    options.worker_threads = 1;
    CHECK_OK(rds_runtime_configure(&options));
    check_workers(1);
}

static void configure_thirteen(void *data) {
    rds_runtime_options options = RDS_RUNTIME_OPTIONS_INIT;
    (void)data;
    options.worker_threads = 13;
    CHECK_OK(rds_runtime_configure(&options));
    check_workers(13);
}

static void configure_twice(void *data) {
    rds_runtime_options options = RDS_RUNTIME_OPTIONS_INIT;
    (void)data;
    options.worker_threads = 13;
    CHECK_OK(rds_runtime_configure(&options));
    options.worker_threads = 2;
    CHECK_OK(rds_runtime_configure(&options));
    check_workers(2);
}

TEST(the_runtime_has_the_threads_it_was_configured_with) {
    in_child(configure_one, NULL);
    in_child(configure_thirteen, NULL);
    in_child(configure_twice, NULL);
}

static void take_from_environment(void *data) {
    setenv("RDS_THREADS", (const char *)data, 1);
    check_workers(atoi((const char *)data));
}

static void configuration_wins(void *data) {
    rds_runtime_options options = RDS_RUNTIME_OPTIONS_INIT;
    (void)data;
    setenv("RDS_THREADS", "13", 1);
    options.worker_threads = 2;
    CHECK_OK(rds_runtime_configure(&options));
    check_workers(2);
}

TEST(the_environment_sets_the_threads_where_the_program_does_not) {
    in_child(take_from_environment, (void *)"13");
    in_child(take_from_environment, (void *)"1");
    in_child(configuration_wins, NULL);
}

static void bad_environment(void *data) {
    setenv("RDS_THREADS", (const char *)data, 1);
    CHECK_STATUS(start_runtime(), RDS_ERR_INVALID_ARGUMENT);
    CHECK_MESSAGE_HAS("RDS_THREADS");
}

TEST(a_number_of_threads_that_is_none_is_refused) {
    in_child(bad_environment, (void *)"many");
    in_child(bad_environment, (void *)"0");
    in_child(bad_environment, (void *)"-2");
    in_child(bad_environment, (void *)"1025");
}

static void too_many(void *data) {
    rds_runtime_options options = RDS_RUNTIME_OPTIONS_INIT;
    (void)data;
    options.worker_threads = 1025;
    CHECK_STATUS(rds_runtime_configure(&options), RDS_ERR_INVALID_ARGUMENT);
    options.worker_threads = UINT64_MAX;
    CHECK_STATUS(rds_runtime_configure(&options), RDS_ERR_INVALID_ARGUMENT);
}

static void configure_late(void *data) {
    rds_runtime_options options = RDS_RUNTIME_OPTIONS_INIT;
    (void)data;
    CHECK_OK(start_runtime());
    int before = threads_named("rds-worker");
    options.worker_threads = 50;
    CHECK_STATUS(rds_runtime_configure(&options), RDS_ERR_INVALID_STATE);
    CHECK_OK(start_runtime());
    CHECK(threads_named("rds-worker") < before + 40);
    options.worker_threads = 0;
    CHECK_STATUS(rds_runtime_configure(&options), RDS_ERR_INVALID_STATE);
    CHECK_STATUS(rds_runtime_configure(NULL), RDS_ERR_INVALID_STATE);
}

TEST(a_running_runtime_is_not_configured) {
    in_child(too_many, NULL);
    in_child(configure_late, NULL);
}

static void use_in_child_again(void *data) {
    CHECK_OK(start_runtime());
    in_child(configure_thirteen, data);
}

TEST(a_child_configures_its_own_runtime) { in_child(use_in_child_again, NULL); }

CHECK_MAIN(RUN(no_thread_runs_before_the_first_use),
           RUN(the_runtime_has_the_threads_it_was_configured_with),
           RUN(the_environment_sets_the_threads_where_the_program_does_not),
           RUN(a_number_of_threads_that_is_none_is_refused),
           RUN(a_running_runtime_is_not_configured), RUN(a_child_configures_its_own_runtime))
