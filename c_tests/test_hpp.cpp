// What is written through rds.hpp is what is read through it: every dtype, shape, layout and kind of id.
#include <cstring>
#include <string>
#include <vector>

#include "hpp.h"

namespace {

struct Record {
    std::int16_t before;
    std::array<std::array<float, 2>, 3> image;
    double score;
    std::int64_t label[2];
};

template <class T>
void fill(T &memory, bool is_bool) {
    auto *bytes = reinterpret_cast<unsigned char *>(&memory);
    for (std::size_t i = 0; i < sizeof memory; ++i) bytes[i] = static_cast<unsigned char>(is_bool ? i % 3 == 0 : i * 37 + 1);
}

template <class T>
bool is_same_memory(const T &a, const T &b) {
    return std::memcmp(static_cast<const void *>(&a), static_cast<const void *>(&b), sizeof a) == 0;
}

template <class T>
void comes_back(rds_dtype dtype, const char *name) {
    const check_path_text path = check_path();
    std::array<std::array<T, 3>, 5> in{}, out{}, some{};
    fill(in, dtype == RDS_DTYPE_BOOL);
    rds::Writer writer = rds::Writer::open(path.text);
    writer.write({0, 1, 2, 3, 4}, {{"x", in}});
    writer.close();

    const rds::Reader reader = rds::Reader::open(path.text);
    const rds::Column column = reader.column("x");
    CHECK_NUMBER(column.dtype(), dtype);
    CHECK_TEXT(column.dtype_name(), name);
    CHECK_TEXT(rds::dtype_name(dtype), name);
    CHECK(column.shape().size() == 1 && column.shape()[0] == 3 && column.elements() == 3);
    CHECK_NUMBER(column.row_bytes(), 3 * sizeof(T));
    CHECK_NUMBER(rds::detail::dtype(dtype).bytes, sizeof(T));
    reader.read(column, {0, 1, 2, 3, 4}, out);
    CHECK(is_same_memory(in, out));
    reader.read_range(column, 3, 2, some);
    CHECK(is_same_memory(some[0], in[3]) && is_same_memory(some[1], in[4]));
    reader.gather(rds::RowSet::range(4, 3, -2), {{column, some}});
    CHECK(is_same_memory(some[0], in[4]) && is_same_memory(some[2], in[0]));
    std::uint64_t row = 0;
    for (const rds::span<const T> values : reader.rows<T>(column)) {
        CHECK(values.size() == 3 && std::memcmp(values.data(), &in[row++], sizeof in[0]) == 0);
    }
    CHECK_NUMBER(row, 5);
    CHECK(reader.span<T>(column, 0).data() != nullptr || dtype == RDS_DTYPE_BOOL);
    // The bytes of any dtype.
    CHECK_NUMBER(reader.rows<std::byte>(column)[2].size(), sizeof in[0]);
    reader.read_row(column, 2, rds::span(reinterpret_cast<std::byte *>(&some[1]), sizeof some[1]));
    CHECK(is_same_memory(some[1], in[2]));
}

template <class Period>
using Time = std::chrono::time_point<std::chrono::system_clock, std::chrono::duration<std::int64_t, Period>>;
template <class Period>
using Span = std::chrono::duration<std::int64_t, Period>;

}  // namespace

TEST(every_dtype_comes_back_as_its_type) {
    comes_back<bool>(RDS_DTYPE_BOOL, "bool");
    comes_back<std::int8_t>(RDS_DTYPE_INT8, "int8");
    comes_back<std::int16_t>(RDS_DTYPE_INT16, "int16");
    comes_back<std::int32_t>(RDS_DTYPE_INT32, "int32");
    comes_back<std::int64_t>(RDS_DTYPE_INT64, "int64");
    comes_back<long long>(RDS_DTYPE_INT64, "int64");
    comes_back<std::uint8_t>(RDS_DTYPE_UINT8, "uint8");
    comes_back<std::uint16_t>(RDS_DTYPE_UINT16, "uint16");
    comes_back<std::uint32_t>(RDS_DTYPE_UINT32, "uint32");
    comes_back<std::uint64_t>(RDS_DTYPE_UINT64, "uint64");
    comes_back<rds::float16>(RDS_DTYPE_FLOAT16, "float16");
    comes_back<float>(RDS_DTYPE_FLOAT32, "float32");
    comes_back<double>(RDS_DTYPE_FLOAT64, "float64");
    comes_back<rds::bfloat16>(RDS_DTYPE_BFLOAT16, "bfloat16");
    comes_back<std::complex<float>>(RDS_DTYPE_COMPLEX64, "complex64");
    comes_back<std::complex<double>>(RDS_DTYPE_COMPLEX128, "complex128");
    comes_back<Time<std::ratio<1>>>(RDS_DTYPE_DATETIME64_S, "datetime64[s]");
    comes_back<Time<std::milli>>(RDS_DTYPE_DATETIME64_MS, "datetime64[ms]");
    comes_back<Time<std::micro>>(RDS_DTYPE_DATETIME64_US, "datetime64[us]");
    comes_back<std::chrono::system_clock::time_point>(RDS_DTYPE_DATETIME64_NS, "datetime64[ns]");
    comes_back<std::chrono::seconds>(RDS_DTYPE_TIMEDELTA64_S, "timedelta64[s]");
    comes_back<Span<std::milli>>(RDS_DTYPE_TIMEDELTA64_MS, "timedelta64[ms]");
    comes_back<Span<std::micro>>(RDS_DTYPE_TIMEDELTA64_US, "timedelta64[us]");
    comes_back<std::chrono::nanoseconds>(RDS_DTYPE_TIMEDELTA64_NS, "timedelta64[ns]");
}

// A number of the program's own.
struct Half {
    std::uint16_t bits;
};
template <>
struct rds::dtype_of<Half> : rds::dtype_constant<RDS_DTYPE_FLOAT16> {};

TEST(memory_has_the_dtype_that_it_is_given) {
    const check_path_text path = check_path();
    const std::vector<std::uint8_t> mask = {1, 0, 0, 1};
    const std::vector<std::int64_t> days = {1, 2};
    const std::uint16_t swapped[2] = {0x0100, 0x0200};
    const std::vector<Half> halves = {{0x3c00}, {0x4000}};
    rds::Writer writer = rds::Writer::open(path.text);
    writer.write({1, 2}, {rds::Tensor("mask", mask, {2, 2}).as(RDS_DTYPE_BOOL),
                          rds::Tensor("day", days).as(RDS_DTYPE_DATETIME64_S),
                          rds::Tensor("swapped", swapped).byte_swapped(),
                          {"half", halves},
                          {"raw", RDS_DTYPE_FLOAT32, hpp_values(0, 2).data(), {2, 3}}});
    CHECK_THROWS(writer.write({3, 4}, {rds::Tensor("mask", days).as(RDS_DTYPE_BOOL)}), RDS_ERR_INVALID_ARGUMENT,
                 "tensor \"mask\": elements of 8 bytes are no bool");
    writer.close();
    const rds::Reader reader = rds::Reader::open(path.text);
    std::vector<std::uint8_t> bytes(4);
    reader.read(reader.column("mask"), {0, 1}, bytes);
    CHECK(bytes == mask && reader.column("mask").dtype() == RDS_DTYPE_BOOL);
    CHECK(reader.read<std::int64_t>(reader.column("day"), {1, 0}) == std::vector<std::int64_t>({2, 1}));
    CHECK(reader.read<std::uint16_t>(reader.column("swapped"), {0, 1}) == std::vector<std::uint16_t>({1, 2}));
    CHECK_NUMBER(reader.rows<Half>(reader.column("half"))[1][0].bits, 0x4000);
    CHECK(reader.read<float>(reader.column("raw"), {0, 1}) == hpp_values(0, 2));
}

TEST(ranges_arrays_and_pointers_are_tensors) {
    const check_path_text path = check_path();
    const std::vector<float> flat = hpp_values(0, 4);
    const std::vector<std::array<float, 3>> nested = {{{0, 1, 2}}, {{10, 11, 12}}, {{20, 21, 22}}, {{30, 31, 32}}};
    float plain[4][3][1];
    std::memcpy(plain, flat.data(), sizeof plain);
    const std::vector<int> dims = {4, 1, 3};
    rds::Writer writer = rds::Writer::open(path.text);
    writer.write({0, 1, 2, 3}, {{"flat", flat, {4, 3}},
                                {"nested", nested},
                                {"plain", plain},
                                {"pointer", flat.data(), {4, 3}},
                                {"span", rds::span(flat.data(), 12), {4, 3}},
                                {std::string("dims"), flat, dims},
                                {"scalar", rds::span(flat).first(4)}});
    const rds::Tensor kept[] = {{"scalar", flat.data(), 1}, {"dims", flat.data(), {1, 1, 3}}, {"span", flat.data(), {1, 3}},
                                {"plain", flat.data(), {1, 3, 1}}, {"nested", flat.data(), {1, 3}},
                                {"pointer", flat.data(), {1, 3}}, {"flat", flat.data(), {1, 3}}};
    writer.write({4}, kept);
    writer.close();
    const rds::Reader reader = rds::Reader::open(path.text);
    CHECK_NUMBER(reader.size(), 5);
    for (const rds::Column &column : reader.columns()) {
        if (column.name() == "scalar") {
            CHECK(column.shape().empty() && column.elements() == 1);
            CHECK(reader.read<float>(column, {0, 1, 2, 3, 4}) == std::vector<float>({0, 1, 2, 10, 0}));
            continue;
        }
        CHECK_NUMBER(column.shape().size(), column.name() == "plain" || column.name() == "dims" ? 2 : 1);
        std::vector<std::array<float, 3>> out(5);
        reader.read(column, hpp_rows(0, 5), out);
        CHECK(std::vector(out.begin(), out.end() - 1) == nested && out[4] == nested[0]);
    }
    CHECK_NUMBER(reader.column("dims").shape()[1], 3);
}

// As far as a tensor is made of it, a std::mdspan with a layout of strides.
struct View {
    const double *data;
    std::ptrdiff_t step;
    static constexpr std::size_t rank() { return 2; }
    static constexpr bool is_always_strided() { return true; }
    std::size_t extent(std::size_t i) const { return i == 0 ? 2 : 3; }
    std::ptrdiff_t stride(std::size_t i) const { return i == 0 ? 1 : step; }
    const double *data_handle() const { return data; }
};

TEST(strided_memory_is_written_as_it_is_seen) {
    const check_path_text path = check_path();
    const double columns[6] = {0, 3, 1, 4, 2, 5};  // The transpose of what is meant.
    const double *last = columns + 5;
    rds::Writer writer = rds::Writer::open(path.text);
    writer.write({"a", "b"}, {{"mdspan", View{columns, 2}},
                              {"transposed", columns, {2, 3}, {8, 16}},
                              {"backwards", last, {2, 3}, {-8, -16}}});
    writer.close();
    const rds::Reader reader = rds::Reader::open(path.text);
    const std::vector<double> forth = {0, 1, 2, 3, 4, 5}, back = {5, 4, 3, 2, 1, 0};
    CHECK(reader.read<double>(reader.column("mdspan"), {0, 1}) == forth);
    CHECK(reader.read<double>(reader.column("transposed"), {0, 1}) == forth);
    CHECK(reader.read<double>(reader.column("backwards"), {0, 1}) == back);
}

TEST(members_of_records_are_written_and_gathered) {
    const check_path_text path = check_path();
    std::vector<Record> in(6), out(3);
    for (std::size_t i = 0; i < in.size(); ++i) {
        const auto f = static_cast<float>(i);
        in[i] = {-1, {{{{f, f + 1}}, {{f + 2, f + 3}}, {{f + 4, f + 5}}}}, f * 0.5, {static_cast<std::int64_t>(i), 7}};
    }
    rds::Writer writer = rds::Writer::open(path.text);
    const std::vector<Record> none;
    for (const std::vector<Record> &records : {in, none}) {
        writer.write(hpp_rows(0, records.size()), {{"image", records, &Record::image},
                                                   {"score", records, &Record::score},
                                                   {"label", records, &Record::label}});
    }
    writer.close();
    const rds::Reader reader = rds::Reader::open(path.text);
    const rds::Column image = reader.column("image"), score = reader.column("score"), label = reader.column("label");
    CHECK(image.shape().size() == 2 && image.shape()[0] == 3 && image.shape()[1] == 2 && label.shape()[0] == 2);
    out[1].before = 5;
    std::array<std::int64_t, 6> apart{};
    reader.gather({5, 0, 5}, {{image, out, &Record::image}, {score, out, &Record::score}, {label, out, &Record::label},
                              {label, apart.data(), sizeof apart}});
    CHECK(out[0].image == in[5].image && out[1].image == in[0].image && out[2].image == in[5].image);
    CHECK(out[0].score == 2.5 && out[1].score == 0 && out[1].label[1] == 7 && out[2].label[0] == 5 && out[1].before == 5);
    CHECK(apart == (std::array<std::int64_t, 6>{5, 7, 0, 7, 5, 7}));
    reader.gather(hpp_rows(0, 0), {{image, out, &Record::image}});
    reader.gather({1}, {});
}

template <class Ids>
static void ids_are(const Ids &ids, const char *first, const char *second) {
    const check_path_text path = check_path();
    const std::vector<float> values = {1, 2};
    rds::Writer writer = rds::Writer::open(path.text);
    writer.write(ids, values);
    writer.close();
    const rds::Reader reader = rds::Reader::open(path.text);
    CHECK(reader.id(0) == first && reader.id(1) == second);
    CHECK(reader.find(ids) == std::vector<std::uint64_t>({0, 1}));
    CHECK(reader.find_first(second) == 1 && !reader.find_first("none"));
    CHECK_TEXT(reader.column().name().c_str(), "data");
}

TEST(ids_of_every_kind_are_what_they_say) {
    const char *const pointers[] = {"a", "bc"};
    char letters[] = "a", more[] = "bc";
    char *const changeable[] = {letters, more};
    const char padded[2][4] = {"a", "bc"};
    ids_are(std::vector<std::string>{"a", "bc"}, "a", "bc");
    ids_are(std::array<std::string_view, 2>{"a", std::string_view("bcd", 2)}, "a", "bc");
    ids_are(std::vector<const char *>{"a", "bc"}, "a", "bc");
    ids_are(pointers, "a", "bc");
    ids_are(rds::span(changeable), "a", "bc");
    ids_are(padded, "a", "bc");
    ids_are(std::vector<std::array<char, 2>>{{'a'}, {'b', 'c'}}, "a", "bc");
    ids_are(std::vector<std::array<char32_t, 3>>{{U'\u00e4'}, {U'b', U'c'}}, "\u00e4", "bc");
    ids_are(std::vector<rds_string>{{"a", 1}, {"bcd", 2}}, "a", "bc");
    ids_are(std::vector<std::int64_t>{-1, INT64_MAX}, "-1", "9223372036854775807");
    ids_are(std::vector<long long>{-1, 2}, "-1", "2");
    ids_are(std::vector<std::uint64_t>{0, UINT64_MAX}, "0", "18446744073709551615");
    ids_are(std::vector<int>{-7, 8}, "-7", "8");
    ids_are(std::array<std::uint8_t, 2>{{0, 255}}, "0", "255");
    ids_are(std::vector<std::uint32_t>{1, UINT32_MAX}, "1", "4294967295");
    ids_are(rds::Ids({"a", "bc"}), "a", "bc");
    ids_are(rds::Ids({0, 12}), "0", "12");
    const std::int64_t offsets[] = {0, 1, 3};
    const rds::Ids arrow(rds::span("abc", 3), offsets);
    ids_are(arrow, "a", "bc");
    ids_are(*arrow.get(), "a", "bc");
    std::vector<std::string> strings = {"a", "bc"};
    rds::Ids from(strings);
    const rds::Ids moved = std::move(from);
    ids_are(moved, "a", "bc");
}

TEST(an_empty_batch_does_nothing) {
    const check_path_text path = check_path();
    rds::Writer writer = rds::Writer::open(path.text);
    writer.write(std::vector<std::string>{}, {{"data", std::vector<float>{}, {0, 3}}});
    writer.write(std::vector<int>{}, {{"data", std::vector<std::array<float, 3>>{}}});
    CHECK_NUMBER(writer.stats().accepted_rows, 0);
    hpp_write(writer, 0, 2);
    hpp_write(writer, 2, 0);
    writer.close();
    const rds::Reader reader = rds::Reader::open(path.text);
    CHECK_NUMBER(reader.size(), 2);
    std::vector<float> out;
    reader.read(reader.column(), rds::span<const std::uint64_t>(), out);
    reader.read_range(reader.column(), 2, 0, out);
    CHECK(reader.read<float>(reader.column(), {}).empty() && reader.find(std::vector<int>{}).empty());
}

CHECK_MAIN(RUN(every_dtype_comes_back_as_its_type), RUN(memory_has_the_dtype_that_it_is_given),
           RUN(ranges_arrays_and_pointers_are_tensors), RUN(strided_memory_is_written_as_it_is_seen),
           RUN(members_of_records_are_written_and_gathered), RUN(ids_of_every_kind_are_what_they_say),
           RUN(an_empty_batch_does_nothing))
