// Four processes write one table: each stages a part of a job, and one call publishes them all.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include <sys/wait.h>
#include <unistd.h>

#include "rds.hpp"

// What a worker does; its token is bytes, to be sent or stored.
static void infer(std::uint64_t part) {
    rds::WriterOptions options;
    options.mode = RDS_MODE_STAGED;
    options.job = "night-1";
    options.part = part;
    rds::Writer writer = rds::Writer::open("results", options);
    std::vector<std::uint64_t> numbers;
    std::vector<double> squares;
    for (std::uint64_t number = 100 * part; number < 100 * (part + 1); ++number) {
        numbers.push_back(number);
        squares.push_back(static_cast<double>(number * number));
    }
    writer.write(numbers, {{"square", squares}});
    const rds::Token token = writer.stage();
    writer.close();
    std::ofstream file("token-" + std::to_string(part), std::ios::binary);
    file.write(reinterpret_cast<const char *>(token.data()), static_cast<std::streamsize>(token.size()));
}

int main() try {
    for (std::uint64_t part = 0; part < 4; ++part) {
        if (fork() == 0) {
            infer(part);
            std::exit(0);
        }
    }
    for (int status = 0; wait(&status) > 0;) {
        if (status != 0) return 1;
    }
    std::vector<std::string> tokens;
    for (int part = 0; part < 4; ++part) {
        std::ifstream file("token-" + std::to_string(part), std::ios::binary);
        tokens.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
    }
    const rds_commit_info done = rds::commit_parts("results", "night-1", tokens, RDS_MODE_OVERWRITE);
    std::printf("%llu rows in one version\n", static_cast<unsigned long long>(done.rows));

    const rds::Reader reader = rds::Reader::open("results");
    const double square = reader.rows<double>(reader.column("square"))[250][0];
    std::printf("row 250 is object %s with %.1f\n", std::string(reader.id(250)).c_str(), square);
    return 0;
} catch (const std::exception &error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
}
