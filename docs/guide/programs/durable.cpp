// A writer is killed; what it had made durable becomes visible afterwards.
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <string>
#include <vector>

#include <sys/wait.h>
#include <unistd.h>

#include "rds.hpp"

static void write_and_die() {
    rds::WriterOptions options;
    options.mode = RDS_MODE_OVERWRITE;
    options.durability = RDS_DURABILITY_BATCH;
    rds::Writer writer = rds::Writer::open("results", options);
    std::vector<int> numbers(10);
    std::vector<double> scores(10);
    for (int first = 0; first < 30; first += 10) {
        for (std::size_t i = 0; i < 10; ++i) {
            numbers[i] = first + static_cast<int>(i);
            scores[i] = numbers[i] / 2.0;
        }
        writer.write(numbers, {{"score", scores}});  // durable when it returns
    }
    std::raise(SIGKILL);
}

static void recover(std::uint32_t flags) {
    const rds_recover_info info = rds::recover("results", flags);
    std::printf("%llu rows wait, %llu recovered\n", static_cast<unsigned long long>(info.waiting_rows),
                static_cast<unsigned long long>(info.recovered_rows));
}

int main() try {
    int status = 0;
    const pid_t child = fork();
    if (child == 0) write_and_die();
    if (waitpid(child, &status, 0) != child || !WIFSIGNALED(status)) return 1;
    std::printf("ended by signal %d\n", WTERMSIG(status));

    recover(RDS_RECOVER_DRY_RUN);
    recover(0);

    const rds::Reader reader = rds::Reader::open("results");
    const std::uint64_t last = reader.size() - 1;
    const double score = reader.rows<double>(reader.column("score"))[last][0];
    std::printf("%llu rows, the last is %s with %g\n", static_cast<unsigned long long>(reader.size()),
                std::string(reader.id(last)).c_str(), score);
    return 0;
} catch (const std::exception &error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
}
