// Writes a table of three objects, and reads it back by row and by id.
#include <cstdint>
#include <cstdio>
#include <exception>
#include <string>
#include <vector>

#include "rds.hpp"

int main() try {
    const std::vector<std::string> names = {"ngc-1", "ngc-2", "ngc-3"};
    const std::vector<float> embedding = {0.5F, 1.5F, 2.5F, 3.5F, 4.5F, 5.5F, 6.5F, 7.5F, 8.5F};
    const std::vector<std::int32_t> label = {7, 9, 7};

    rds::WriterOptions options;
    options.mode = RDS_MODE_OVERWRITE;
    rds::Writer writer = rds::Writer::open("results", options);
    writer.write(names, {{"embedding", embedding, {3, 3}}, {"label", label}});
    writer.close();

    const rds::Reader reader = rds::Reader::open("results");
    std::printf("%llu rows\n", static_cast<unsigned long long>(reader.size()));
    for (const rds::Column &column : reader.columns()) {
        std::printf("%s: %s [", column.name().c_str(), column.dtype_name());
        const char *before = "";
        for (const std::int64_t length : column.shape()) {
            std::printf("%s%lld", before, static_cast<long long>(length));
            before = ", ";
        }
        std::printf("]\n");
    }

    const std::uint64_t row = reader.find_first("ngc-2").value();
    std::printf("ngc-2 is row %llu\n", static_cast<unsigned long long>(row));
    const auto numbers = reader.read<float>(reader.column("embedding"), std::vector<std::uint64_t>{row});
    std::printf("embedding: %g %g %g\n", numbers[0], numbers[1], numbers[2]);
    const auto labels = reader.read<std::int32_t>(reader.column("label"), std::vector<std::uint64_t>{row});
    std::printf("label: %ld\n", static_cast<long>(labels[0]));
    return 0;
} catch (const std::exception &error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
}
