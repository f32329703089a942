// rds.hpp is compiled into the program, and calls rds.h: both may be used on one handle.
#include <cstdint>
#include <cstdio>
#include <exception>
#include <vector>

#include "rds.hpp"

int main() try {
    // First of all: does the library have what the headers declare?
    rds::check_abi();
    std::printf("header %u, library %u\n", unsigned{RDS_ABI_VERSION}, unsigned{rds::abi_version()});

    rds::WriterOptions options;
    options.mode = RDS_MODE_OVERWRITE;
    rds::Writer writer = rds::Writer::open("results", options);
    writer.write(std::vector<int>{1, 2, 3}, {{"score", std::vector<double>{0.5, 1.5, 2.5}}});
    writer.close();

    // A handle of C gets an owner, which lends it to functions of C.
    rds_reader *opened = nullptr;
    if (rds_reader_open("results", nullptr, &opened) != RDS_OK) throw rds::error::last();
    const rds::Reader reader(opened);
    rds_table_info info = RDS_TABLE_INFO_INIT;
    if (rds_reader_info(reader.handle(), &info) != RDS_OK) throw rds::error::last();
    std::printf("%llu rows by C, %llu by C++\n", static_cast<unsigned long long>(info.rows),
                static_cast<unsigned long long>(reader.size()));
    return 0;
} catch (const std::exception &error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
}
