// What goes wrong is thrown, or told where a call is given an error to set; the writer goes on.
#include <cstdint>
#include <cstdio>
#include <vector>

#include "rds.hpp"

static void show(const rds::error &error) {
    std::printf("%s, argument %d, %s\n    %s\n", rds::status_name(error.status()), error.argument(),
                error.may_pass() ? "may pass" : "will not pass", error.what());
}

int main() try {
    const std::vector<std::int64_t> ids = {1, 2};
    const std::vector<float> vectors(2 * 3);
    rds::WriterOptions options;
    options.mode = RDS_MODE_OVERWRITE;
    rds::Writer writer = rds::Writer::open("results", options);
    writer.write(ids, {{"vector", vectors, {2, 3}}});

    // Refused whole; the writer is as it was.
    try {
        writer.write(ids, {{"vector", std::vector<double>(2 * 3), {2, 3}}});
    } catch (const rds::error &error) {
        show(error);
    }
    // The same without exceptions. Memory that is not of the shape is not read.
    rds::error failure;
    writer.write(ids, {{"vector", vectors, {2, 4}}}, &failure);
    if (failure) show(failure);
    writer.write(ids, {{"vector", vectors, {2, 3}}}, &failure);
    if (!failure) writer.close(&failure);
    if (!failure) std::printf("written\n");

    rds::Reader reader = rds::Reader::open("results");
    const rds::Column vector = reader.column("vector");
    std::vector<float> row(3);
    std::vector<double> row_of_doubles(3);
    reader.read_row(vector, 4, row, &failure);
    show(failure);
    reader.read_row(vector, 3, row_of_doubles, &failure);
    show(failure);
    reader.close();
    reader.read_row(vector, 3, row, &failure);
    show(failure);
    return 0;
} catch (const rds::error &error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
}
