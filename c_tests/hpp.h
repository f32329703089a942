// What tests of rds.hpp share: errors as values, and a table in two lines.
#ifndef HPP_H
#define HPP_H

#include "check.h"

#include "rds.hpp"

// Status and a part of the message of a failure; an `rds::error` that is none fails too.
inline int check_error(const rds::error &got, rds_status status, const char *part, const char *file, int line) {
    return check_status(got.status(), status, "the call", file, line) && check_text(got.what(), part, 0, file, line);
}

// The error that a call tells, given its place for it.
#define CHECK_TELLS(call, status, part) \
    do { \
        rds::error failure; \
        static_cast<void>(call); \
        check_error(failure, (status), (part), __FILE__, __LINE__); \
    } while (0)

#ifdef __cpp_exceptions
template <class Call>
rds::error thrown_by(Call call) {
    try {
        call();
    } catch (const rds::error &error) {
        return error;
    }
    return {};
}

#define CHECK_THROWS(call, status, part) \
    check_error(thrown_by([&] { static_cast<void>(call); }), (status), (part), __FILE__, __LINE__)
#endif

// Row r of `data` is r * 10, r * 10 + 1, r * 10 + 2; its id is the number.
inline std::vector<float> hpp_values(std::uint64_t first, std::uint64_t count) {
    std::vector<float> values;
    for (std::uint64_t row = first; row < first + count; ++row) {
        for (std::uint64_t c = 0; c < 3; ++c) values.push_back(static_cast<float>(row * 10 + c));
    }
    return values;
}

inline std::vector<std::uint64_t> hpp_rows(std::uint64_t first, std::uint64_t count) {
    std::vector<std::uint64_t> rows;
    for (std::uint64_t row = first; row < first + count; ++row) rows.push_back(row);
    return rows;
}

inline void hpp_write(rds::Writer &writer, std::uint64_t first, std::uint64_t count) {
    writer.write(hpp_rows(first, count), {{"data", hpp_values(first, count), {count, 3}}});
}

// Adds rows, as a data file of their own.
inline void hpp_add(const char *path, std::uint64_t first, std::uint64_t count) {
    rds::WriterOptions options;
    options.mode = first ? RDS_MODE_APPEND : RDS_MODE_OVERWRITE;
    rds::Writer writer = rds::Writer::open(path, options);
    hpp_write(writer, first, count);
    writer.close();
}

inline rds::Reader hpp_table(const char *path, std::uint64_t count) {
    hpp_add(path, 0, count);
    return rds::Reader::open(path);
}

#endif
