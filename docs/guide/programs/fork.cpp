// One reader for many threads and for a forked child; a writer stays with the process that opened it.
#include <cstdint>
#include <cstdio>
#include <exception>
#include <future>
#include <numeric>
#include <vector>

#include <sys/wait.h>
#include <unistd.h>

#include "rds.hpp"

constexpr std::uint64_t kThreads = 4;

// Every kThreads-th row. The reader is shared; its rows know where they are, and each thread has its own.
static std::int64_t add_rows(const rds::Reader &reader, std::uint64_t first) {
    rds::Rows<std::int64_t> rows = reader.rows<std::int64_t>(reader.column("count"));
    std::int64_t sum = 0;
    for (std::uint64_t row = first; row < rows.size(); row += kThreads) sum += rows[row][0];
    return sum;
}

static long long sum_by_threads(const rds::Reader &reader) {
    std::vector<std::future<std::int64_t>> parts;
    for (std::uint64_t i = 0; i < kThreads; ++i) {
        parts.push_back(std::async(std::launch::async, add_rows, std::cref(reader), i));
    }
    long long sum = 0;
    for (std::future<std::int64_t> &part : parts) sum += part.get();
    return sum;
}

int main() try {
    std::vector<std::int64_t> numbers(1000);
    std::iota(numbers.begin(), numbers.end(), 0);
    rds::WriterOptions options;
    options.mode = RDS_MODE_OVERWRITE;
    rds::Writer writer = rds::Writer::open("results", options);
    writer.write(numbers, {{"count", numbers}});
    writer.flush();
    const rds::Reader reader = rds::Reader::open("results");
    std::printf("threads: %lld\n", sum_by_threads(reader));
    std::fflush(stdout);

    const pid_t child = fork();
    if (child == 0) {
        std::printf("threads of the child: %lld\n", sum_by_threads(reader));
        rds::error failure;
        writer.write(numbers, {{"count", numbers}}, &failure);
        std::printf("its write: %s\n", rds::status_name(failure.status()));
        return 0;
    }
    int status = 0;
    if (waitpid(child, &status, 0) != child || status != 0) return 1;
    writer.close();
    return 0;
} catch (const std::exception &error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
}
