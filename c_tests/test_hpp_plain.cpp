// rds.hpp in a program without exceptions and run-time types: every call has a place for its error, and a failure that is
// not asked for ends the program by the handler that it set.
#include <signal.h>
#include <sys/wait.h>

#include <string>
#include <vector>

#include "hpp.h"

#if defined(__cpp_exceptions) || defined(__cpp_rtti)
#error "compile with -fno-exceptions -fno-rtti, as run.py does"
#endif

TEST(a_failure_that_is_asked_for_is_a_value) {
    const check_path_text path = check_path();
    rds::error failure;
    CHECK(!rds::Reader::open(path.text, {}, &failure) && failure.status() == RDS_ERR_NOT_FOUND);
    CHECK_CONTAINS(failure.what(), path.text);
    const rds::Reader reader = hpp_table(path.text, 20);
    const rds::Column column = reader.column("data", &failure);
    CHECK(!failure && column.elements() == 3);
    std::vector<float> out(6);
    reader.read(column, {19, 0}, out, &failure);
    CHECK(!failure && out[0] == 190 && out[3] == 0);
    std::vector<double> wrong(3);
    reader.read(column, {0}, wrong, &failure);
    CHECK(failure.status() == RDS_ERR_SCHEMA_MISMATCH && failure.function() == "rds::Reader::read");
    std::uint64_t row = 0;
    for (const rds::span<const float> values : reader.rows<float>(column, &failure)) {
        row += values[0] == static_cast<float>(row * 10);
    }
    CHECK(!failure && row == 20);
    CHECK(reader.rows<float>(column).at(20, &failure).empty() && failure.status() == RDS_ERR_OUT_OF_RANGE);
}

TEST(a_callback_stops_a_call) {
    const check_path_text path = check_path();
    rds::Writer writer = rds::Writer::open(path.text);
    int calls = 0;
    const auto stop = [&](std::uint64_t, std::uint64_t) { return ++calls > 0; };
    rds::error failure;
    const std::uint64_t rows = writer.write_stream(hpp_table(check_path().text, 3).stream(), stop, &failure);
    CHECK(failure.status() == RDS_ERR_CANCELLED && calls == 1 && rows == 0);
    writer.close();
}

static void leave(const rds::error &error) {
    _exit(error.status() == RDS_ERR_NOT_FOUND && error.function() == "rds_reader_open" ? 42 : 1);
}

static void come_back(const rds::error &) {}

// How a child ends that opens what is not there; what it prints there goes nowhere.
static int end_of(rds::failure_handler handler) {
    const check_path_text path = check_path();
    const pid_t child = fork();
    if (child == 0) {
        fclose(stderr);
        rds::set_failure_handler(handler);
        rds::Reader::open(path.text);
        _exit(0);
    }
    int status = 0;
    CHECK(child > 0 && waitpid(child, &status, 0) == child);
    return status;
}

TEST(a_failure_that_is_not_asked_for_ends_the_program) {
    CHECK_NUMBER(WEXITSTATUS(end_of(leave)), 42);
    CHECK_NUMBER(WTERMSIG(end_of(come_back)), SIGABRT);
    CHECK_NUMBER(WTERMSIG(end_of(nullptr)), SIGABRT);
}

CHECK_MAIN(RUN(a_failure_that_is_not_asked_for_ends_the_program), RUN(a_failure_that_is_asked_for_is_a_value),
           RUN(a_callback_stops_a_call))
