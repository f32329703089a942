// Three processes write parts of a job, and one is killed. What is missing is written, and one call publishes all.
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

#include <sys/wait.h>
#include <unistd.h>

#include "rds.hpp"

static constexpr std::uint64_t parts = 3, rows = 100;
using Tokens = std::map<std::uint64_t, std::string>;

// What a worker does, on any machine that sees the directory.
static void infer(std::uint64_t part, bool dies = false) {
    rds::WriterOptions options;
    options.mode = RDS_MODE_STAGED;
    options.job = "night-1";
    options.part = part;
    rds::Writer writer = rds::Writer::open("results", options);
    std::vector<std::uint64_t> numbers;
    std::vector<double> squares;
    for (std::uint64_t number = rows * part; number < rows * (part + 1); ++number) {
        numbers.push_back(number);
        squares.push_back(static_cast<double>(number * number));
    }
    writer.write(numbers, {{"square", squares}});
    if (dies) std::raise(SIGKILL);
    writer.stage();
    writer.close();
}

// Called for each part that waits: keeps its token.
static int keep(void *user_data, const char *, std::uint64_t first, std::uint64_t, const rds_token *token) noexcept {
    if (token != nullptr) {
        auto *data = reinterpret_cast<const char *>(token->data);
        static_cast<Tokens *>(user_data)->insert_or_assign(first, std::string(data, token->length));
    }
    return 0;
}

// There is no class for it: what begins with rds_ is as in C.
static Tokens waiting() {
    Tokens tokens;
    if (rds_list_parts("results", "night-1", nullptr, keep, &tokens) != RDS_OK) {
        throw std::runtime_error(rds_last_error_message());
    }
    return tokens;
}

int main() try {
    for (std::uint64_t part = 0; part < parts; ++part) {
        if (fork() == 0) {
            infer(part, part == 1);
            std::exit(0);
        }
    }
    while (wait(nullptr) > 0) continue;

    const Tokens there = waiting();
    std::printf("parts that wait:");
    for (const auto &[part, token] : there) std::printf(" %llu", static_cast<unsigned long long>(part));
    std::printf("\n");
    for (std::uint64_t part = 0; part < parts; ++part) {
        if (there.count(part) == 0) infer(part);
    }
    std::vector<std::string> tokens;
    for (const auto &[part, token] : waiting()) tokens.push_back(token);
    const rds_commit_info done = rds::commit_staged("results", tokens);
    std::printf("%llu rows in version %llu\n", static_cast<unsigned long long>(done.rows),
                static_cast<unsigned long long>(done.version));

    const rds::Reader reader = rds::Reader::open("results");
    const double square = reader.rows<double>(reader.column("square"))[250][0];
    std::printf("row 250 is object %s with %.1f\n", std::string(reader.id(250)).c_str(), square);
    return 0;
} catch (const std::exception &error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
}
