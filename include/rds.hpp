/**
 * @file rds.hpp
 * librds for C++17 and later: rds.h with handles that close themselves, checked types, and exceptions. Header only.
 *
 * @code{.cpp}
 * rds::Writer writer = rds::Writer::open("results");
 * std::vector<std::string> names = {"ngc-1", "ngc-2"};
 * std::vector<float> vectors = {1, 2, 3, 4, 5, 6};
 * std::vector<std::int32_t> labels = {7, 9};
 * writer.write(names, {{"vector", vectors, {2, 3}}, {"label", labels}});
 * writer.close();
 *
 * rds::Reader reader = rds::Reader::open("results");
 * rds::Column vector = reader.column("vector");
 * for (rds::span<const float> row : reader.rows<float>(vector)) use(row[0], row.size());
 * reader.read(vector, {1, 0}, vectors);
 *
 * rds::LoaderOptions options;
 * options.batch_rows = 256;
 * rds::Loader loader = rds::Loader::open(reader, options);
 * for (rds::LoaderBatch &batch : loader.batches()) train(batch.column<float>(0).values(), batch.size());
 * @endcode
 *
 * What a call does, blocks on and may fail with is said in rds.h, of the function that it calls; structs of results,
 * enums and constants are those of rds.h. Conventions, which the functions do not repeat:
 *
 * - Every call that can fail takes an `error *` as its last argument. Without one it throws rds::error. With one it
 *   throws no rds::error: it sets it, to no error if it succeeds, and returns an empty value if it fails. These are the
 *   two overloads of std::filesystem in one function: nothing is to be unwrapped where exceptions are used, as there
 *   would be with a result<T>, and every call is there for programs without them. Built with -fno-exceptions, a call
 *   that fails and was given no `error *` ends the program: see set_failure_handler().
 * - Operators and iterators, which have no place for an `error *`, have a named twin that takes one.
 * - After a failure the state is that which rds.h gives for the status.
 * - Writers, readers and loaders are moved, not copied. One that was moved from or closed is RDS_ERR_INVALID_HANDLE to
 *   every call, and may be assigned to or destroyed. A destructor closes, and never throws: only close() tells what
 *   failed.
 * - All calls on one writer, reader or loader but close(), abort(), assignment and destruction may be made by many
 *   threads at once.
 * - What is passed in is borrowed during the call. What a reader lends (spans, rows, ids) is valid until it is
 *   refreshed or closed, also if the Reader was moved meanwhile; what it exports (Arrow, DLPack) until it is released.
 *   What a loader lends is valid until its LoaderBatch is released or destroyed, or the loader is closed.
 * - A callback is any callable. What it throws ends the call that it was called by, which throws it on, also where
 *   there is an `error *`.
 * - Reading, gathering, asking for spans and going through batches allocates nothing, but for what fails.
 */

#ifndef RDS_HPP
#define RDS_HPP

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <complex>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <functional>
#include <initializer_list>
#include <iterator>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>
#if __has_include(<stdfloat>)
#include <stdfloat>
#endif

#include "rds.h"

namespace rds {
/* One program may be linked of parts with and without exceptions, or of other versions of this header, whose functions
 * differ: they must not be mixed up. */
static_assert(RDS_VERSION_MAJOR == 0 && RDS_VERSION_MINOR == 2, "the inline namespace has the name of the version");
#ifdef __cpp_exceptions
inline namespace throwing_0_2 {
#else
inline namespace aborting_0_2 {
#endif

/* ---- Errors ------------------------------------------------------------------------------------ */

/** Why a call failed; or, made without arguments, that none did. */
class error : public std::runtime_error {
public:
    error() : std::runtime_error(std::string()) {}
    error(rds_status status, const std::string &message, int argument = -1, bool may_pass = false)
        : std::runtime_error(message), status_(status), argument_(argument), may_pass_(may_pass) {}

    /** That of the last call of rds.h that failed on this thread. */
    static error last() {
        rds_error told = RDS_ERROR_INIT;
        if (rds_last_error(&told) != RDS_OK) return error(rds_last_error_status(), rds_last_error_message());
        return error(static_cast<rds_status>(told.status), told.message, told.argument, told.may_pass != 0);
    }

    /** Whether a call failed. */
    explicit operator bool() const noexcept { return status_ != RDS_OK; }
    rds_status status() const noexcept { return status_; }
    /** The function that failed: that of rds.h, or of this header if no other was called. */
    std::string_view function() const noexcept {
        const std::string_view message = what();
        return message.substr(0, std::min(message.find(": "), message.size()));
    }
    /** Which argument of that function is to blame, counted from 0; -1 if none is, or it is not known. Functions of
     *  rds.h count their handle. */
    int argument() const noexcept { return argument_; }
    /** Whether the same call may succeed later. */
    bool may_pass() const noexcept { return may_pass_; }

private:
    rds_status status_ = RDS_OK;
    int argument_ = -1;
    bool may_pass_ = false;
};

#ifndef __cpp_exceptions
/** Called where an exception would be thrown. The program is aborted if it returns. */
using failure_handler = void (*)(const error &);

namespace detail {
inline void print_failure(const error &what) { std::fprintf(stderr, "%s\n", what.what()); }
inline std::atomic<failure_handler> on_failure{print_failure};
}  // namespace detail

/** Sets what a failure calls in programs built with -fno-exceptions; nullptr sets the default, which prints the
 *  message. Any thread. */
inline void set_failure_handler(failure_handler handler) noexcept {
    detail::on_failure = handler ? handler : detail::print_failure;
}
#endif

/* ---- Callbacks --------------------------------------------------------------------------------- */

/**
 * Any callable with these arguments. What it returns, if anything, is whether to stop: true ends the call that it is
 * called by, as rds.h says.
 */
template <class... Args>
class Callback {
public:
    Callback() = default;
    Callback(std::nullptr_t) noexcept {}
    Callback(std::function<bool(Args...)> call) noexcept : call_(std::move(call)) {}
    template <class F, std::enable_if_t<std::is_invocable_v<F &, Args...> && !std::is_same_v<F, Callback> &&
                                            !std::is_same_v<F, std::function<bool(Args...)>>,
                                        int> = 0>
    Callback(F call)
        : call_([call = std::move(call)](Args... args) mutable -> bool {
              if constexpr (std::is_void_v<std::invoke_result_t<F &, Args...>>) {
                  call(args...);
                  return false;
              } else {
                  return static_cast<bool>(call(args...));
              }
          }) {}

    explicit operator bool() const noexcept { return static_cast<bool>(call_); }
    bool operator()(Args... args) const { return call_(args...); }

private:
    std::function<bool(Args...)> call_;
};

/** Asked by calls that wait: rds_waiting_callback. Several threads may ask at once. A writer, reader or loader keeps it
 *  as long as it lives; what it throws in a call of rds.h on the bare handle is thrown by the next call here that may
 *  ask. */
using Waiting = Callback<>;
/** Told how many rows of how many are dealt with: rds_progress_callback. */
using Progress = Callback<std::uint64_t, std::uint64_t>;

namespace detail {

#ifdef __cpp_exceptions
/* What a callback threw: it must not unwind through C, and is thrown when the call has returned. Callbacks run on the
 * thread of the call, so that each thread has its own. */
inline std::exception_ptr &thrown() noexcept {
    thread_local std::exception_ptr exception;
    return exception;
}
#endif

template <class... Args>
int invoke(const void *callback, Args... args) noexcept {
    const auto &call = *static_cast<const Callback<Args...> *>(callback);
#ifdef __cpp_exceptions
    if (thrown()) return 1;
    try {
        return call(args...);
    } catch (...) {
        thrown() = std::current_exception();
        return 1;
    }
#else
    return call(args...);
#endif
}

inline int ask(void *waiting) noexcept { return invoke<>(waiting); }
inline int tell(void *progress, std::uint64_t done, std::uint64_t total) noexcept {
    return invoke<std::uint64_t, std::uint64_t>(progress, done, total);
}
/* C takes its user data without const, and only hands it back. */
inline void *user_data(const void *data) noexcept { return const_cast<void *>(data); }

inline void forget_thrown() noexcept {
#ifdef __cpp_exceptions
    thrown() = nullptr;
#endif
}

inline void rethrow() {
#ifdef __cpp_exceptions
    if (thrown()) std::rethrow_exception(std::exchange(thrown(), nullptr));
#endif
}

inline void fail(const error &what, error *failure) {
    if (failure) {
        *failure = what;
        return;
    }
#ifdef __cpp_exceptions
    throw what;
#else
    on_failure.load()(what);
    std::abort();
#endif
}

[[gnu::cold]] inline bool fail_last(error *failure) {
    fail(error::last(), failure);
    return false;
}

/* How every call of rds.h ends. `asks`: it may have called callbacks. */
inline bool ok(rds_status status, error *failure, bool asks = false) {
    if (asks) rethrow();
    if (status != RDS_OK) return fail_last(failure);
    if (failure) *failure = error();
    return true;
}

inline std::string in_quotes(std::string_view name) { return '"' + std::string(name) + '"'; }

}  // namespace detail

/* ---- Memory of the caller ---------------------------------------------------------------------- */

/** A NUL-terminated string: a literal, or what has a c_str(), as std::string and std::filesystem::path have. */
class Text {
public:
    Text(const char *text) noexcept : text_(text) {}
    template <class S, class = std::enable_if_t<
                           std::is_same_v<decltype(std::declval<const S &>().c_str()), const char *>>>
    Text(const S &text) noexcept : text_(text.c_str()) {}

    const char *c_str() const noexcept { return text_; }

private:
    const char *text_;
};

namespace detail {

template <class R>
using item_of = std::remove_pointer_t<decltype(std::data(std::declval<R &>()))>;

template <class R, class = void>
inline constexpr bool is_contiguous = false;
template <class R>
inline constexpr bool is_contiguous<R, std::void_t<item_of<R>, decltype(std::size(std::declval<R &>()))>> =
    std::is_pointer_v<decltype(std::data(std::declval<R &>()))>;

/* Arrays of arrays are numbers, one behind the other: rows of a shape that is known at compile time. */
template <class T>
struct flat {
    using number = T;
    static constexpr std::size_t count = 1, rank = 0;
    static void lengths(std::int64_t *) noexcept {}
};
template <class T, std::size_t N>
struct flat<T[N]> {
    using number = typename flat<T>::number;
    static constexpr std::size_t count = N * flat<T>::count, rank = 1 + flat<T>::rank;
    static void lengths(std::int64_t *to) noexcept {
        *to = static_cast<std::int64_t>(N);
        flat<T>::lengths(to + 1);
    }
};
template <class T, std::size_t N>
struct flat<std::array<T, N>> : flat<T[N]> {
    static_assert(sizeof(std::array<T, N>) == N * sizeof(T), "arrays have no padding");
};

template <class T>
using number_of = typename flat<std::remove_cv_t<T>>::number;

}  // namespace detail

/**
 * A view of values in memory: std::span, for C++17 too, and made of a list of values where they are constant. It is a
 * type of its own with every standard, so that files compiled as different ones fit together; std::span converts from
 * and to it.
 */
template <class T>
class span {
public:
    using element_type = T;
    using value_type = std::remove_cv_t<T>;
    using size_type = std::size_t;
    using iterator = T *;

    constexpr span() noexcept = default;
    constexpr span(T *data, std::size_t size) noexcept : data_(data), size_(size) {}
    template <class R, std::enable_if_t<detail::is_contiguous<R> && !std::is_same_v<std::decay_t<R>, span> &&
                                            (std::is_lvalue_reference_v<R> || std::is_const_v<T>),
                                        int> = 0,
              class = std::enable_if_t<std::is_convertible_v<detail::item_of<R> (*)[], T (*)[]>>>
    constexpr span(R &&range) noexcept : data_(std::data(range)), size_(std::size(range)) {}
    /** Only as an argument: the list is gone with the statement. */
    template <class U = T, class = std::enable_if_t<std::is_const_v<U>>>
    constexpr span(std::initializer_list<std::remove_cv_t<U>> list) noexcept : span(std::data(list), list.size()) {}

    constexpr T *data() const noexcept { return data_; }
    constexpr std::size_t size() const noexcept { return size_; }
    constexpr std::size_t size_bytes() const noexcept { return size_ * sizeof(T); }
    constexpr bool empty() const noexcept { return size_ == 0; }
    constexpr T *begin() const noexcept { return data_; }
    constexpr T *end() const noexcept { return data_ + size_; }
    constexpr T &operator[](std::size_t i) const { return data_[i]; }
    constexpr T &front() const { return data_[0]; }
    constexpr T &back() const { return data_[size_ - 1]; }
    constexpr span first(std::size_t count) const { return span(data_, count); }
    constexpr span subspan(std::size_t offset) const { return span(data_ + offset, size_ - offset); }
    constexpr span subspan(std::size_t offset, std::size_t count) const { return span(data_ + offset, count); }

private:
    T *data_ = nullptr;
    std::size_t size_ = 0;
};
template <class R>
span(R &&) -> span<detail::item_of<R>>;

namespace detail {

/* The numbers in a contiguous range of them, or of arrays of them. */
template <class R>
auto numbers(R &range) noexcept {
    using item = item_of<R>;
    using number = std::conditional_t<std::is_const_v<item>, const number_of<item>, number_of<item>>;
    constexpr std::size_t each = flat<std::remove_cv_t<item>>::count;
    return span<number>(reinterpret_cast<number *>(std::data(range)), std::size(range) * each);
}

/* An array of C's structs for a call, which allocates only if there are many. */
template <class T>
class Few {
public:
    explicit Few(std::size_t size) : size_(size), data_(few_) {
        if (size > std::size(few_)) many_.resize(size), data_ = many_.data();
    }
    Few(const Few &) = delete;
    Few &operator=(const Few &) = delete;
    T &operator[](std::size_t i) { return data_[i]; }
    const T *data() const { return data_; }
    std::size_t size() const { return size_; }

private:
    T few_[16];
    std::vector<T> many_;
    std::size_t size_;
    T *data_;
};

}  // namespace detail

/* ---- Dtypes ------------------------------------------------------------------------------------ */

/** The bits of a number of IEEE's binary16. */
struct float16 {
    std::uint16_t bits;
};
/** The bits of the upper half of a float. */
struct bfloat16 {
    std::uint16_t bits;
};

/**
 * The dtype that an element type has: dtype_of<float>::value is RDS_DTYPE_FLOAT32. A program may specialise it for
 * numbers of its own, by deriving from dtype_constant; they must be trivially copyable and lie in memory as rds_dtype
 * says.
 *
 * bool, integers, floats and std::complex have one; so have std::chrono::duration (timedelta64) and time points of the
 * system clock (datetime64) of 64 bits, in seconds or a thousandth, millionth or billionth. std::byte stands for the
 * bytes of any dtype.
 */
template <class T, class = void>
struct dtype_of {};

template <rds_dtype D>
using dtype_constant = std::integral_constant<rds_dtype, D>;

namespace detail {

template <class T>
inline constexpr bool is_character = std::is_same_v<T, char> || std::is_same_v<T, wchar_t> ||
#ifdef __cpp_char8_t
                                     std::is_same_v<T, char8_t> ||
#endif
                                     std::is_same_v<T, char16_t> || std::is_same_v<T, char32_t>;
template <class T>
inline constexpr bool is_integer = std::is_integral_v<T> && !std::is_same_v<T, bool> && !is_character<T>;

constexpr rds_dtype integer_dtype(std::size_t bytes, bool is_signed) {
    const int size = bytes == 1 ? 0 : bytes == 2 ? 1 : bytes == 4 ? 2 : 3;
    return static_cast<rds_dtype>((is_signed ? RDS_DTYPE_INT8 : RDS_DTYPE_UINT8) + size);
}

template <class Period>
constexpr int time_unit() {
    return std::is_same_v<Period, std::ratio<1>> ? 0 : std::is_same_v<Period, std::milli> ? 1
           : std::is_same_v<Period, std::micro>  ? 2 : std::is_same_v<Period, std::nano>  ? 3 : -1;
}
template <class Rep, class Period>
inline constexpr bool is_time =
    is_integer<Rep> && sizeof(Rep) == 8 && std::is_signed_v<Rep> && time_unit<Period>() >= 0;

struct Dtype {
    const char *name;
    std::size_t bytes;
};
inline constexpr Dtype dtypes[] = {
    {"unknown", 0}, {"bool", 1}, {"int8", 1}, {"int16", 2}, {"int32", 4}, {"int64", 8}, {"uint8", 1}, {"uint16", 2},
    {"uint32", 4}, {"uint64", 8}, {"float16", 2}, {"float32", 4}, {"float64", 8}, {"bfloat16", 2}, {"complex64", 8},
    {"complex128", 16}, {"datetime64[s]", 8}, {"datetime64[ms]", 8}, {"datetime64[us]", 8}, {"datetime64[ns]", 8},
    {"timedelta64[s]", 8}, {"timedelta64[ms]", 8}, {"timedelta64[us]", 8}, {"timedelta64[ns]", 8}};
constexpr const Dtype &dtype(std::uint32_t number) { return dtypes[number < std::size(dtypes) ? number : 0]; }

}  // namespace detail

template <> struct dtype_of<bool> : dtype_constant<RDS_DTYPE_BOOL> {};
template <> struct dtype_of<float16> : dtype_constant<RDS_DTYPE_FLOAT16> {};
template <> struct dtype_of<bfloat16> : dtype_constant<RDS_DTYPE_BFLOAT16> {};
template <> struct dtype_of<float> : dtype_constant<RDS_DTYPE_FLOAT32> {};
template <> struct dtype_of<double> : dtype_constant<RDS_DTYPE_FLOAT64> {};
template <> struct dtype_of<std::complex<float>> : dtype_constant<RDS_DTYPE_COMPLEX64> {};
template <> struct dtype_of<std::complex<double>> : dtype_constant<RDS_DTYPE_COMPLEX128> {};
#ifdef __STDCPP_FLOAT16_T__
template <> struct dtype_of<std::float16_t> : dtype_constant<RDS_DTYPE_FLOAT16> {};
#endif
#ifdef __STDCPP_BFLOAT16_T__
template <> struct dtype_of<std::bfloat16_t> : dtype_constant<RDS_DTYPE_BFLOAT16> {};
#endif
template <class T>
struct dtype_of<T, std::enable_if_t<detail::is_integer<T>>>
    : dtype_constant<detail::integer_dtype(sizeof(T), std::is_signed_v<T>)> {};
template <class Rep, class Period>
struct dtype_of<std::chrono::duration<Rep, Period>, std::enable_if_t<detail::is_time<Rep, Period>>>
    : dtype_constant<static_cast<rds_dtype>(RDS_DTYPE_TIMEDELTA64_S + detail::time_unit<Period>())> {};
template <class Rep, class Period>
struct dtype_of<std::chrono::time_point<std::chrono::system_clock, std::chrono::duration<Rep, Period>>,
                std::enable_if_t<detail::is_time<Rep, Period>>>
    : dtype_constant<static_cast<rds_dtype>(RDS_DTYPE_DATETIME64_S + detail::time_unit<Period>())> {};

/** NumPy's name of a dtype, `float32`; `unknown` for a number that is none. Static. */
constexpr const char *dtype_name(std::uint32_t dtype) noexcept { return detail::dtype(dtype).name; }

namespace detail {

template <class T, class = void>
inline constexpr bool has_dtype = false;
template <class T>
inline constexpr bool has_dtype<T, std::void_t<decltype(dtype_of<T>::value)>> = true;

template <class R, class = void>
inline constexpr bool has_numbers = false;
template <class R>
inline constexpr bool has_numbers<R, std::enable_if_t<is_contiguous<R>>> = has_dtype<number_of<item_of<R>>>;

template <class T>
constexpr rds_dtype asked() {
    if constexpr (std::is_same_v<T, std::byte>) return static_cast<rds_dtype>(0);
    else return dtype_of<T>::value;
}

/* Whether elements of a dtype are read as T: by their own type, the integer that rds_dtype says they are, or bytes. */
template <class T>
constexpr bool reads_as(std::uint32_t dtype) {
    static_assert(has_dtype<T> || std::is_same_v<T, std::byte>, "rds::dtype_of has no dtype for this type");
    static_assert(std::is_trivially_copyable_v<T>, "elements are copied as bytes");
    constexpr std::uint32_t type = asked<T>();
    return type == dtype || type == 0 || (type == RDS_DTYPE_UINT8 && dtype == RDS_DTYPE_BOOL) ||
           (type == RDS_DTYPE_INT64 && dtype >= RDS_DTYPE_DATETIME64_S && dtype <= RDS_DTYPE_TIMEDELTA64_NS);
}

}  // namespace detail

/* ---- What is written --------------------------------------------------------------------------- */

/**
 * Ids, one per row, in memory of the caller. A contiguous range of
 * - integers: the ids are their decimal numbers;
 * - `const char *`, `rds_string`, std::string, std::string_view or what converts to it: UTF-8;
 * - `char[N]`, `std::array<char, N>`: UTF-8 padded with NUL; the same of char32_t: UTF-32.
 *
 * Integers of 64 bits, pointers, arrays and rds_string are passed on as they are; for others an array is made.
 */
class Ids {
public:
    template <class R, std::enable_if_t<detail::is_contiguous<const R>, int> = 0,
              class = std::enable_if_t<(detail::is_integer<std::remove_cv_t<detail::item_of<const R>>> ||
                                        std::is_same_v<std::remove_cv_t<detail::item_of<const R>>, rds_string> ||
                                        std::is_convertible_v<detail::item_of<const R> &, std::string_view> ||
                                        std::is_same_v<detail::number_of<detail::item_of<const R>>, char> ||
                                        std::is_same_v<detail::number_of<detail::item_of<const R>>, char32_t>) &&
                                       !detail::is_character<std::remove_cv_t<detail::item_of<const R>>>>>
    Ids(const R &range) {
        set(std::data(range), std::size(range));
    }
    /** `writer.write({"a", "b"}, ...)`. */
    template <class T, class = std::enable_if_t<detail::is_integer<T> || std::is_convertible_v<T, std::string_view>>>
    Ids(std::initializer_list<T> list) {
        set(std::data(list), list.size());
    }
    /** Any form of rds.h. */
    Ids(const rds_ids &ids) noexcept : ids_(ids) {}
    /** Arrow's way: bytes of all ids, and one offset more than there are ids. */
    Ids(span<const char> bytes, span<const std::int64_t> offsets) noexcept {
        set(RDS_IDS_UTF8, bytes.data(), offsets.empty() ? 0 : offsets.size() - 1);
        ids_.offsets = offsets.data();
    }
    Ids(Ids &&) = default;
    Ids &operator=(Ids &&) = default;

    std::size_t size() const noexcept { return static_cast<std::size_t>(ids_.count); }
    const rds_ids *get() const noexcept { return &ids_; }

private:
    void set(rds_ids_kind kind, const void *data, std::size_t count) noexcept {
        ids_.kind = kind;
        ids_.data = data;
        ids_.count = count;
    }

    template <class T>
    void set(const T *data, std::size_t count) {
        if constexpr (detail::is_integer<T> && sizeof(T) == 8) {
            set(std::is_signed_v<T> ? RDS_IDS_INT64 : RDS_IDS_UINT64, data, count);
        } else if constexpr (detail::is_integer<T>) {
            numbers_.assign(data, data + count);
            set(RDS_IDS_INT64, numbers_.data(), count);
        } else if constexpr (std::is_same_v<T, const char *> || std::is_same_v<T, char *>) {
            set(RDS_IDS_CSTRINGS, data, count);
        } else if constexpr (std::is_same_v<T, rds_string>) {
            set(RDS_IDS_STRINGS, data, count);
        } else if constexpr (detail::is_character<detail::number_of<T>>) {
            set(std::is_same_v<detail::number_of<T>, char> ? RDS_IDS_NUMPY_S : RDS_IDS_NUMPY_U, data, count);
            ids_.item_bytes = sizeof(T);
        } else {
            strings_.reserve(count);
            for (std::size_t i = 0; i < count; ++i) {
                const std::string_view id = data[i];
                strings_.push_back({id.data(), id.size()});
            }
            set(RDS_IDS_STRINGS, strings_.data(), count);
        }
    }

    rds_ids ids_ = RDS_IDS_INIT;
    std::vector<rds_string> strings_;
    std::vector<std::int64_t> numbers_;
};

/** Lengths of dimensions, or distances in bytes: `{rows, 3}`, or any contiguous range of integers. */
class Dims {
public:
    Dims() = default;
    template <class... N, std::enable_if_t<(sizeof...(N) > 0) && (std::is_integral_v<N> && ...), int> = 0>
    Dims(N... lengths) noexcept : data_{{static_cast<std::int64_t>(lengths)...}}, size_(sizeof...(N)) {}
    template <class R, std::enable_if_t<detail::is_contiguous<const R>, int> = 0,
              class = std::enable_if_t<std::is_integral_v<detail::item_of<const R>>>>
    Dims(const R &range) noexcept : size_(std::size(range)) {
        // More than there may be are refused by their number alone.
        const std::size_t kept = std::min(size_, data_.size());
        for (std::size_t i = 0; i < kept; ++i) data_[i] = static_cast<std::int64_t>(std::data(range)[i]);
    }

    const std::int64_t *data() const noexcept { return data_.data(); }
    std::size_t size() const noexcept { return size_; }
    std::int64_t operator[](std::size_t i) const { return data_[i]; }
    /** The product of all lengths; nothing if one is negative, or it is too large. */
    std::optional<std::size_t> product() const noexcept {
        std::size_t product = 1;
        for (std::size_t i = 0; i < std::min(size_, data_.size()); ++i) {
            if (data_[i] < 0) return std::nullopt;
            const auto length = static_cast<std::size_t>(data_[i]);
            if (length != 0 && product > SIZE_MAX / length) return std::nullopt;
            product *= length;
        }
        return product;
    }

private:
    friend class Tensor;
    std::array<std::int64_t, RDS_MAX_NDIM + 1> data_{};
    std::size_t size_ = 0;
};

/**
 * The rows of one column, in memory of the caller: a name, and what lies where. The element type is the dtype, the
 * first dimension that over rows.
 */
class Tensor {
public:
    /** The rows of a column called `data`, as below. */
    template <class R, std::enable_if_t<detail::has_numbers<const R>, int> = 0>
    Tensor(const R &rows) : Tensor(nullptr, rows) {}
    /** A contiguous range of numbers, which are scalars, or of arrays of them, whose lengths are the shape of a row. */
    template <class R, std::enable_if_t<detail::has_numbers<const R>, int> = 0>
    Tensor(Text name, const R &rows) : Tensor(name, detail::numbers(rows).data(), Dims(std::size(rows))) {
        using item = std::remove_cv_t<detail::item_of<const R>>;
        detail::flat<item>::lengths(shape_.data_.data() + 1);
        shape_.size_ += detail::flat<item>::rank;
    }
    /**
     * A contiguous range of as many numbers as are in the shape, in C order; or of which the shape takes some, from the
     * first one on, with distances in bytes, one for each dimension.
     */
    template <class R, std::enable_if_t<detail::has_numbers<const R>, int> = 0>
    Tensor(Text name, const R &range, const Dims &shape, const Dims &strides = {})
        : Tensor(name, detail::numbers(range).data(), shape, strides) {
        const std::size_t given = detail::numbers(range).size();
        if (strides.size() == 0 && shape.product() != given) {
            const auto wanted = shape.product();
            wrong_ = "its shape has " + (wanted ? std::to_string(*wanted) : "no possible number of") +
                     " elements, the range " + std::to_string(given);
        } else if (strides.size() != 0 && wrong_.empty() && !is_within(given * element_bytes_)) {
            wrong_ = "its shape and strides go beyond the range";
        }
    }
    /** Memory that holds the shape; with distances they may be negative too. */
    template <class P, std::enable_if_t<std::is_pointer_v<P>, int> = 0,
              class T = detail::number_of<std::remove_pointer_t<P>>, class = decltype(dtype_of<T>::value)>
    Tensor(Text name, const P &data, const Dims &shape, const Dims &strides = {})
        : Tensor(name, dtype_of<T>::value, data, shape, strides) {
        element_bytes_ = sizeof(T);
    }
    /** A member of records: a number or an array of them. */
    template <class R, class M, class Record, class = std::enable_if_t<std::is_convertible_v<
                                                   const std::remove_cv_t<detail::item_of<const R>> *, const Record *>>>
    Tensor(Text name, const R &records, M Record::*member)
        : Tensor(name, detail::asked<detail::number_of<M>>(),
                 std::size(records) ? &(std::data(records)->*member) : nullptr, Dims(std::size(records))) {
        element_bytes_ = sizeof(detail::number_of<M>);
        const std::size_t rank = detail::flat<M>::rank;
        detail::flat<M>::lengths(shape_.data_.data() + 1);
        shape_.size_ = strides_.size_ = 1 + rank;
        auto stride = static_cast<std::int64_t>(element_bytes_);
        for (std::size_t i = rank; i > 0; --i) {
            strides_.data_[i] = stride;
            stride *= shape_[i];
        }
        strides_.data_[0] = sizeof(detail::item_of<const R>);
    }
    /** A std::mdspan, or what is like it. Nothing of the standard library is needed here: Kokkos' own fits too. */
    template <class V, class = decltype(std::declval<const V &>().data_handle(), std::declval<const V &>().stride(0))>
    Tensor(Text name, const V &view) : Tensor(name, view.data_handle(), Dims()) {
        static_assert(V::is_always_strided(), "the layout has no strides");
        static_assert(V::rank() <= RDS_MAX_NDIM + 1, "more dimensions than a row can have");
        shape_.size_ = strides_.size_ = V::rank();
        for (std::size_t i = 0; i < V::rank(); ++i) {
            shape_.data_[i] = static_cast<std::int64_t>(view.extent(i));
            strides_.data_[i] = static_cast<std::int64_t>(view.stride(i)) * static_cast<std::int64_t>(element_bytes_);
        }
    }
    /** Memory of a dtype that is known when the program runs. */
    Tensor(Text name, rds_dtype dtype, const void *data, const Dims &shape, const Dims &strides = {})
        : name_(name.c_str()), dtype_(dtype), data_(data), shape_(shape), strides_(strides) {
        if (strides.size() != 0 && strides.size() != shape.size()) {
            wrong_ = "its shape has " + std::to_string(shape.size()) + " dimensions, there are " +
                     std::to_string(strides.size()) + " strides";
        }
    }

    /** The same memory as of another dtype with elements of the same size: `uint8_t` as RDS_DTYPE_BOOL. */
    Tensor &&as(rds_dtype dtype) && {
        if (element_bytes_ != 0 && detail::dtype(dtype).bytes != element_bytes_) {
            wrong_ = "elements of " + std::to_string(element_bytes_) + " bytes are no " + dtype_name(dtype);
        }
        dtype_ = dtype;
        return std::move(*this);
    }
    /** The same memory, whose numbers have the byte order that is not this machine's. */
    Tensor &&byte_swapped() && {
        flags_ = RDS_TENSOR_BYTE_SWAPPED;
        return std::move(*this);
    }

private:
    friend class Writer;

    bool is_within(std::size_t bytes) const noexcept {
        // A floating-point number cannot overflow here.
        long double first = 0, end = static_cast<long double>(element_bytes_);
        for (std::size_t i = 0; i < std::min(shape_.size(), shape_.data_.size()); ++i) {
            if (shape_[i] < 1) return true;
            const long double step = static_cast<long double>(shape_[i] - 1) * static_cast<long double>(strides_[i]);
            (step < 0 ? first : end) += step;
        }
        return first >= 0 && end <= static_cast<long double>(bytes);
    }

    rds_tensor get() const noexcept {
        rds_tensor tensor = RDS_TENSOR_INIT;
        tensor.name = name_;
        tensor.dtype = dtype_;
        tensor.ndim = static_cast<std::uint32_t>(std::min<std::size_t>(shape_.size(), UINT32_MAX));
        tensor.shape = shape_.data();
        tensor.strides = strides_.size() ? strides_.data() : nullptr;
        tensor.data = data_;
        tensor.flags = flags_;
        return tensor;
    }

    const char *name_;
    std::uint32_t dtype_, flags_ = 0;
    const void *data_;
    Dims shape_, strides_;
    std::size_t element_bytes_ = 0;
    // Told by the call that is to write it, which has a place to tell it.
    std::string wrong_;
};

/* ---- Arrow and DLPack -------------------------------------------------------------------------- */

/** Owns a struct of the Arrow C interfaces and releases it. Empty when made, moved from or released. */
template <class T>
class Arrow {
public:
    Arrow() noexcept = default;
    /** Moves the struct here: what was given is marked released. */
    explicit Arrow(T *moved) noexcept : struct_(*moved) { moved->release = nullptr; }
    Arrow(Arrow &&other) noexcept : struct_(other.release()) {}
    Arrow &operator=(Arrow &&other) noexcept {
        if (this != &other) {
            reset();
            struct_ = other.release();
        }
        return *this;
    }
    ~Arrow() { reset(); }

    explicit operator bool() const noexcept { return struct_.release != nullptr; }
    T *get() noexcept { return &struct_; }
    const T *get() const noexcept { return &struct_; }
    T *operator->() noexcept { return &struct_; }
    const T *operator->() const noexcept { return &struct_; }
    const T &operator*() const noexcept { return struct_; }
    /** Hands the struct over: `*out = array.release()`. */
    T release() noexcept {
        T released = struct_;
        struct_.release = nullptr;
        return released;
    }
    void reset() noexcept {
        if (struct_.release) struct_.release(&struct_);
        struct_.release = nullptr;
    }

private:
    T struct_{};
};

using Schema = Arrow<::ArrowSchema>;
using Array = Arrow<::ArrowArray>;

/** An array and what it is of. */
struct Batch {
    Schema schema;
    Array array;
};

/** A stream of record batches. For one thread at a time. */
class Stream : public Arrow<::ArrowArrayStream> {
public:
    using Arrow::Arrow;

    Schema schema(error *failure = nullptr) {
        Schema schema;
        if (!ok(*this ? get()->get_schema(get(), schema.get()) : 0, failure)) schema.release();
        return schema;
    }
    /** The next batch; an empty one at the end. */
    Array next(error *failure = nullptr) {
        Array batch;
        if (!ok(*this ? get()->get_next(get(), batch.get()) : 0, failure)) batch.release();
        return batch;
    }

private:
    bool ok(int code, error *failure) {
        if (code == 0) {
            if (failure) *failure = error();
            return true;
        }
        detail::rethrow();
        const char *text = get()->get_last_error(get());
        // A stream of librds makes its error that of the thread, which tells more.
        const error last = error::last();
        const bool same = text && std::string_view(text) == last.what();
        const error other(RDS_ERR_STREAM, text ? text : "the stream failed, and does not say why");
        detail::fail(same ? last : other, failure);
        return false;
    }
};

/** Calls the deleter of a tensor of DLPack. */
struct DlpackDelete {
    template <class T>
    void operator()(T *tensor) const noexcept {
        if (tensor->deleter) tensor->deleter(tensor);
    }
};

/* ---- Writers ----------------------------------------------------------------------------------- */

using Metadata = std::vector<std::pair<std::string, std::string>>;

/** A column of a table to be made: rds_column_spec. */
struct ColumnSpec {
    std::string name = "data";
    rds_dtype dtype = RDS_DTYPE_FLOAT32;
    /** Of a row; empty for a scalar. */
    std::vector<std::int64_t> shape{};
};

/** rds_writer_options, which says what each is; zero and empty are the defaults. */
struct WriterOptions {
    rds_write_mode mode = RDS_MODE_CREATE;
    rds_durability durability = RDS_DURABILITY_INTERVAL;
    std::chrono::milliseconds checkpoint{0};
    std::uint64_t max_queued_bytes = 0;
    std::chrono::milliseconds visible{0};
    std::string job{};
    std::uint64_t part = 0;
    /** Or-ed RDS_WRITER_*. */
    std::uint32_t flags = 0;
    Waiting waiting{};
    std::vector<ColumnSpec> columns{};
    std::chrono::milliseconds room{0};
    Metadata metadata{};
};

/** rds_commit_options. */
struct CommitOptions {
    Progress progress{};
    /** RDS_COMMIT_MERGE_ALL or 0. */
    std::uint32_t flags = 0;
};

namespace detail {

inline rds_status close(rds_writer *writer) noexcept { return rds_writer_close(writer); }
inline rds_status close(rds_reader *reader) noexcept { return rds_reader_close(reader); }
inline rds_status close(rds_loader *loader) noexcept { return rds_loader_close(loader); }

/* What writers, readers and loaders share: a handle that is closed once. */
template <class T>
class Handle {
public:
    Handle() noexcept = default;
    Handle(Handle &&other) noexcept
        : handle_(std::exchange(other.handle_, nullptr)), waiting_(std::move(other.waiting_)) {}
    Handle &operator=(Handle &&other) noexcept {
        if (this != &other) {
            drop();
            handle_ = std::exchange(other.handle_, nullptr);
            waiting_ = std::move(other.waiting_);
        }
        return *this;
    }
    ~Handle() { drop(); }

    explicit operator bool() const noexcept { return handle_ != nullptr; }
    /** For functions of rds.h. It stays this object's. */
    T *handle() const noexcept { return handle_; }
    /** Closes it, whatever is told. Once: a second time is RDS_ERR_INVALID_HANDLE. */
    void close(error *failure = nullptr) { ok(detail::close(std::exchange(handle_, nullptr)), failure); }

protected:
    explicit Handle(T *handle) noexcept : handle_(handle) {}

    bool ok(rds_status status, error *failure, bool asks = false) const {
        return detail::ok(status, failure, asks || waiting_);
    }
    void set_waiting(const Waiting &waiting) {
        if (waiting) waiting_ = std::make_shared<const Waiting>(waiting);
    }
    rds_waiting_callback waiting_callback() const noexcept { return waiting_ ? ask : nullptr; }
    void *waiting_data() const noexcept { return user_data(waiting_.get()); }

    T *handle_ = nullptr;
    // Readers share it with their clones.
    std::shared_ptr<const Waiting> waiting_;

private:
    void drop() noexcept {
        if (!handle_) return;
        const rds_status untold = detail::close(std::exchange(handle_, nullptr));
        static_cast<void>(untold);
        if (waiting_) forget_thrown();
    }
};

}  // namespace detail

/** A token of Writer::stage(): bytes to be stored or sent as they are. */
using Token = std::vector<std::uint8_t>;

/** One run that writes one table. */
class Writer : public detail::Handle<rds_writer> {
public:
    /** A closed one. */
    Writer() noexcept = default;
    /** Takes over a handle of rds_writer_open(). */
    explicit Writer(rds_writer *adopted) noexcept : Handle(adopted) {}

    /** rds_writer_open(). */
    static Writer open(Text path, const WriterOptions &options = {}, error *failure = nullptr) {
        std::vector<rds_column_spec> columns;
        for (const ColumnSpec &column : options.columns) {
            columns.push_back({sizeof(rds_column_spec), column.name.c_str(), column.dtype,
                               static_cast<std::uint32_t>(column.shape.size()), column.shape.data()});
        }
        std::vector<rds_metadata> metadata;
        for (const auto &[key, value] : options.metadata) metadata.push_back({key.c_str(), value.c_str()});
        Writer writer;
        writer.set_waiting(options.waiting);
        rds_writer_options c = RDS_WRITER_OPTIONS_INIT;
        c.mode = options.mode;
        c.durability = options.durability;
        c.checkpoint_ms = milliseconds(options.checkpoint);
        c.max_queued_bytes = options.max_queued_bytes;
        c.visible_ms = milliseconds(options.visible);
        c.job = options.job.empty() ? nullptr : options.job.c_str();
        c.part = options.part;
        c.flags = options.flags;
        c.waiting = writer.waiting_callback();
        c.user_data = writer.waiting_data();
        c.columns = columns.data();
        c.column_count = columns.size();
        c.room_ms = milliseconds(options.room);
        c.metadata = metadata.data();
        c.metadata_count = metadata.size();
        writer.ok(rds_writer_open(path.c_str(), &c, &writer.handle_), failure);
        return writer;
    }

    /** rds_write_tensors(): `write(ids, {{"vector", vectors, {rows, 3}}, {"label", labels}})`. */
    void write(const Ids &ids, span<const Tensor> tensors, error *failure = nullptr) {
        detail::Few<rds_tensor> c(tensors.size());
        for (std::size_t i = 0; i < tensors.size(); ++i) {
            const Tensor &tensor = tensors[i];
            if (!tensor.wrong_.empty()) {
                const std::string name = detail::in_quotes(tensor.name_ ? tensor.name_ : "data");
                return detail::fail(error(RDS_ERR_INVALID_ARGUMENT,
                                          "rds::Writer::write: tensor " + name + ": " + tensor.wrong_, 1),
                                    failure);
            }
            c[i] = tensor.get();
        }
        ok(rds_write_tensors(handle_, ids.get(), c.data(), c.size()), failure);
    }
    void write(const Ids &ids, std::initializer_list<Tensor> tensors, error *failure = nullptr) {
        write(ids, span<const Tensor>(std::data(tensors), tensors.size()), failure);
    }
    /** Of a table with one column. */
    void write(const Ids &ids, const Tensor &tensor, error *failure = nullptr) {
        write(ids, span<const Tensor>(&tensor, 1), failure);
    }
    /** rds_write_batch(). */
    void write_batch(const ::ArrowSchema &schema, Array batch, error *failure = nullptr) {
        ok(rds_write_batch(handle_, &schema, batch.get()), failure);
    }
    /** rds_write_stream(). Returns how many rows the stream had. */
    std::uint64_t write_stream(Stream stream, const Progress &progress = {}, error *failure = nullptr) {
        rds_write_stream_options options = RDS_WRITE_STREAM_OPTIONS_INIT;
        if (progress) options.progress = detail::tell, options.user_data = detail::user_data(&progress);
        std::uint64_t rows = 0;
        ok(rds_write_stream(handle_, stream.get(), &options, &rows), failure, true);
        return rows;
    }

    /** rds_flush(). */
    void flush(error *failure = nullptr) { ok(rds_flush(handle_), failure); }
    /** rds_commit(). */
    rds_commit_info commit(const CommitOptions &options = {}, error *failure = nullptr) {
        rds_commit_options c = RDS_COMMIT_OPTIONS_INIT;
        rds_commit_info info = RDS_COMMIT_INFO_INIT;
        c.flags = options.flags;
        if (options.progress) c.progress = detail::tell, c.user_data = detail::user_data(&options.progress);
        ok(rds_commit(handle_, &c, &info), failure, static_cast<bool>(options.progress));
        return info;
    }
    /** rds_writer_stage(). */
    Token stage(error *failure = nullptr) {
        rds_token token = {nullptr, 0};
        if (!ok(rds_writer_stage(handle_, &token), failure)) return {};
        return Token(token.data, token.data + token.length);
    }
    /** rds_writer_stats(). */
    rds_write_stats stats(error *failure = nullptr) const {
        rds_write_stats stats = RDS_WRITE_STATS_INIT;
        ok(rds_writer_stats(handle_, &stats), failure);
        return stats;
    }
    /** rds_writer_abort(): closes it, and drops what is not durable. */
    void abort(error *failure = nullptr) { ok(rds_writer_abort(std::exchange(handle_, nullptr)), failure); }

private:
    /* A negative time is no default: it is one that no call accepts. */
    static std::uint64_t milliseconds(std::chrono::milliseconds time) noexcept {
        return static_cast<std::uint64_t>(time.count());
    }
};

/* ---- Readers ----------------------------------------------------------------------------------- */

/** rds_reader_options, which says what each is; zero and empty are the defaults. */
struct ReaderOptions {
    std::uint64_t version = 0;
    rds_access access = RDS_ACCESS_AUTO;
    /** Or-ed RDS_READER_*. */
    std::uint32_t flags = 0;
    std::string id_column{};
    /** Since 1970-01-01T00:00:00 UTC. */
    std::chrono::nanoseconds committed_until{0};
    Waiting waiting{};
};

/** Which columns an Arrow export has: rds_select_options. */
struct Select {
    /** Their numbers; empty means all, unless there is RDS_SELECT_NO_TENSORS. */
    std::vector<std::uint32_t> columns{};
    /** Or-ed RDS_SELECT_*. */
    std::uint32_t flags = 0;
};

/** rds_stream_options. */
struct StreamOptions {
    Select select{};
    std::uint64_t first_row = 0;
    /** 0 means all that follow. */
    std::uint64_t row_count = 0;
    std::uint64_t batch_rows = 0;
    /** Instead of a range: these, in this order. That they are none is said by RDS_STREAM_ROWS among the flags. */
    std::vector<std::uint64_t> rows{};
};

/**
 * A tensor column, as its reader knows it: name, dtype and shape are looked up once, not for each row. It is good for
 * the reader that gave it, as long as that is open.
 */
class Column {
public:
    Column() = default;

    std::uint32_t number() const noexcept { return number_; }
    const std::string &name() const noexcept { return name_; }
    rds_dtype dtype() const noexcept { return static_cast<rds_dtype>(info_.dtype); }
    const char *dtype_name() const noexcept { return info_.dtype_name ? info_.dtype_name : "unknown"; }
    /** Of a row; empty for a scalar. */
    rds::span<const std::int64_t> shape() const noexcept { return {info_.shape, info_.ndim}; }
    /** Of a row. */
    std::size_t elements() const noexcept { return *Dims(shape()).product(); }
    std::size_t row_bytes() const noexcept { return info_.row_bytes; }
    /** When it was looked up. */
    std::uint64_t mapped_rows() const noexcept { return info_.mapped_rows; }

private:
    friend class Loader;
    friend class LoaderBatch;
    friend class Reader;
    friend class Target;

    rds_column_info info_ = RDS_COLUMN_INFO_INIT;
    std::string name_;
    std::uint32_t number_ = 0;
    const rds_reader *reader_ = nullptr;
};

namespace detail {

[[gnu::cold]] inline bool mismatch(const char *function, const Column &column, const std::string &what, int argument,
                                   error *failure) {
    const std::string text = std::string(function) + ": column " + in_quotes(column.name()) + ": " + what;
    fail(error(RDS_ERR_SCHEMA_MISMATCH, text, argument), failure);
    return false;
}
[[gnu::cold]] inline bool misread(const char *function, const Column &column, std::uint32_t asked, int argument,
                                  error *failure) {
    const std::string have = column.dtype_name(), want = rds::dtype_name(asked);
    return mismatch(function, column, "its dtype is " + have + ", asked for as " + want, argument, failure);
}

template <class T>
using memory_of = std::conditional_t<std::is_const_v<T>, const void, void>;

/* Over what has rows by number. */
template <class Source, class Value>
class RowIterator {
public:
    using iterator_category = std::input_iterator_tag;
    using value_type = Value;
    using difference_type = std::ptrdiff_t;
    using pointer = const Value *;
    using reference = Value;

    RowIterator() = default;
    RowIterator(Source *source, std::uint64_t row) noexcept : source_(source), row_(row) {}
    Value operator*() const { return (*source_)[row_]; }
    RowIterator &operator++() {
        ++row_;
        return *this;
    }
    RowIterator operator++(int) { return RowIterator(source_, row_++); }
    friend bool operator==(const RowIterator &a, const RowIterator &b) { return a.row_ == b.row_; }
    friend bool operator!=(const RowIterator &a, const RowIterator &b) { return a.row_ != b.row_; }

private:
    Source *source_ = nullptr;
    std::uint64_t row_ = 0;
};

}  // namespace detail

/**
 * Rows that lie in memory, one a stride behind the other. False, and without rows to look at, where there are none or
 * they do not lie aligned for T.
 */
template <class T>
class Strided {
public:
    using iterator = detail::RowIterator<const Strided, rds::span<T>>;

    Strided() = default;
    /** `size` rows of `row_bytes` each, the first one at `data`. */
    Strided(detail::memory_of<T> *data, std::uint64_t size, std::size_t row_bytes, std::size_t stride) noexcept
        : size_(size), elements_(row_bytes / sizeof(T)) {
        if ((reinterpret_cast<std::uintptr_t>(data) | stride) % alignof(T) == 0) {
            data_ = static_cast<byte *>(data);
            stride_ = stride;
        }
    }

    explicit operator bool() const noexcept { return data_ != nullptr; }
    /** How many rows. */
    std::uint64_t size() const noexcept { return size_; }
    /** Elements in a row. */
    std::size_t elements() const noexcept { return elements_; }
    /** Bytes from one row to the next. */
    std::size_t stride() const noexcept { return stride_; }
    /** The first row's; nullptr if there are none to look at. */
    T *data() const noexcept { return reinterpret_cast<T *>(data_); }
    /** The i-th of them. */
    rds::span<T> operator[](std::uint64_t i) const {
        byte *row = data_ + static_cast<std::size_t>(i) * stride_;
        return rds::span<T>(reinterpret_cast<T *>(row), elements_);
    }
    /** All rows, where nothing lies between them; else none. */
    rds::span<T> values() const noexcept {
        if (!data_ || stride_ != elements_ * sizeof(T)) return {};
        return rds::span<T>(data(), static_cast<std::size_t>(size_) * elements_);
    }
    /** Over the rows; over none if there are none to look at. */
    iterator begin() const { return {this, 0}; }
    iterator end() const { return {this, data_ ? size_ : 0}; }

private:
    using byte = std::conditional_t<std::is_const_v<T>, const char, char>;

    std::uint64_t size_ = 0;
    std::size_t elements_ = 0, stride_ = 0;
    byte *data_ = nullptr;
};

/**
 * A run of rows that lie in memory: the table's own memory, mapped. False, and without rows to look at, where they are
 * not mapped, are of bool, or do not lie aligned for T; first_row() and size() are those of the rows of which the same
 * holds.
 */
template <class T>
class RowSpan : public Strided<const T> {
public:
    RowSpan() = default;
    RowSpan(const rds_span &found, std::size_t row_bytes) noexcept
        : Strided<const T>(found.data, found.row_count, row_bytes, found.stride), first_row_(found.first_row) {}

    /** The row of the table that is the first of these. */
    std::uint64_t first_row() const noexcept { return first_row_; }
    /** A row by its number in the table, which is one of these. */
    rds::span<const T> row(std::uint64_t number) const { return (*this)[number - first_row_]; }

private:
    std::uint64_t first_row_ = 0;
};

/** The spans of a column, one after the other: every row is in one of them. Ends early if asking for one fails. */
template <class T>
class Spans {
public:
    class iterator {
    public:
        using iterator_category = std::input_iterator_tag;
        using value_type = RowSpan<T>;
        using difference_type = std::ptrdiff_t;
        using pointer = const value_type *;
        using reference = const value_type &;

        iterator() = default;
        reference operator*() const { return span_; }
        pointer operator->() const { return &span_; }
        iterator &operator++() {
            find(span_.first_row() + span_.size());
            return *this;
        }
        iterator operator++(int) {
            iterator before = *this;
            ++*this;
            return before;
        }
        friend bool operator==(const iterator &a, const iterator &b) {
            return a.spans_ == b.spans_ && a.span_.first_row() == b.span_.first_row();
        }
        friend bool operator!=(const iterator &a, const iterator &b) { return !(a == b); }

    private:
        friend class Spans;
        explicit iterator(const Spans *spans) : spans_(spans) { find(0); }
        void find(std::uint64_t row) {
            rds_span found = RDS_SPAN_INIT;
            if (row < spans_->rows_ &&
                detail::ok(rds_reader_span(spans_->reader_, spans_->column_, row, &found), spans_->failure_)) {
                span_ = RowSpan<T>(found, spans_->row_bytes_);
            } else {
                *this = iterator();
            }
        }

        const Spans *spans_ = nullptr;
        RowSpan<T> span_;
    };

    iterator begin() const { return iterator(this); }
    iterator end() const { return iterator(); }

private:
    friend class Reader;
    const rds_reader *reader_ = nullptr;
    std::uint32_t column_ = 0;
    std::size_t row_bytes_ = 0;
    std::uint64_t rows_ = 0;
    error *failure_ = nullptr;
};

/**
 * The rows of a column by number, and over all of them. It remembers the span it is in, so that a row costs what a
 * pointer to it would; rows that have no span are read into memory of its own, ever more at once while they are asked
 * for in order. For one thread at a time; each may have its own.
 */
template <class T>
class Rows {
public:
    using iterator = detail::RowIterator<Rows, rds::span<const T>>;

    Rows() = default;

    /** Of the table, when this was made. */
    std::uint64_t size() const noexcept { return rows_; }
    /** Elements in a row. */
    std::size_t elements() const noexcept { return row_bytes_ / sizeof(T); }
    /** A row: valid until another one is asked for, and one that is mapped as long as its reader lends it. */
    rds::span<const T> at(std::uint64_t row, error *failure = nullptr) {
        if (row - first_ >= size_) {
            if (!find(row, failure)) return {};
        } else if (failure) {
            *failure = error();
        }
        const char *data = data_ + static_cast<std::size_t>(row - first_) * stride_;
        return rds::span<const T>(reinterpret_cast<const T *>(data), elements());
    }
    rds::span<const T> operator[](std::uint64_t row) { return at(row); }
    iterator begin() { return {this, 0}; }
    iterator end() { return {this, rows_}; }

private:
    friend class Reader;

    [[gnu::cold]] bool find(std::uint64_t row, error *failure) {
        rds_span found = RDS_SPAN_INIT;
        if (!detail::ok(rds_reader_span(reader_, column_, row, &found), failure)) return false;
        const RowSpan<T> span(found, row_bytes_);
        if (!span) return read(row, found.first_row + found.row_count - row, failure);
        data_ = reinterpret_cast<const char *>(span.data());
        stride_ = span.stride();
        first_ = span.first_row();
        size_ = span.size();
        return true;
    }

    bool read(std::uint64_t row, std::uint64_t left, error *failure) {
        constexpr std::size_t most_bytes = 1 << 20;
        const std::uint64_t most = std::max<std::uint64_t>(most_bytes / row_bytes_, 1);
        ahead_ = row == first_ + size_ && ahead_ ? std::min(ahead_ * 2, most) : 1;
        const auto count = static_cast<std::size_t>(std::min(ahead_, left));
        if (room_ < count) {
            buffer_.reset(new T[count * elements()]);
            room_ = count;
        }
        // What the buffer holds after a failure is not known.
        size_ = 0;
        if (!detail::ok(rds_reader_read_range(reader_, column_, row, count, buffer_.get(), count * row_bytes_), failure,
                        asks_)) {
            return false;
        }
        data_ = reinterpret_cast<const char *>(buffer_.get());
        stride_ = row_bytes_;
        first_ = row;
        size_ = count;
        return true;
    }

    const rds_reader *reader_ = nullptr;
    std::uint32_t column_ = 0;
    bool asks_ = false;
    std::size_t row_bytes_ = 0, room_ = 0, stride_ = 0;
    std::uint64_t rows_ = 0, first_ = 0, size_ = 0, ahead_ = 0;
    const char *data_ = nullptr;
    std::unique_ptr<T[]> buffer_;
};

/** Which rows to gather: a list of them, in any order and also twice; or range(). Borrows the list. */
class RowSet {
public:
    template <class R, class = std::enable_if_t<std::is_constructible_v<rds::span<const std::uint64_t>, const R &>>>
    RowSet(const R &rows) noexcept : RowSet(rds::span<const std::uint64_t>(rows)) {}
    RowSet(std::initializer_list<std::uint64_t> rows) noexcept
        : RowSet(rds::span<const std::uint64_t>(std::data(rows), rows.size())) {}
    RowSet(rds::span<const std::uint64_t> rows) noexcept {
        rows_.rows = rows.data();
        rows_.count = rows.size();
    }
    /** first, first + step, ...; the step may be negative. */
    static RowSet range(std::uint64_t first, std::uint64_t count, std::int64_t step = 1) noexcept {
        RowSet set(rds::span<const std::uint64_t>{});
        set.rows_.first_row = first;
        set.rows_.count = count;
        set.rows_.step = step;
        return set;
    }
    const rds_rows *get() const noexcept { return &rows_; }

private:
    rds_rows rows_ = RDS_ROWS_INIT;
};

/** Where rows of a column are put by Reader::gather(). */
class Target {
public:
    /** A contiguous range with room for all rows, one behind the other. */
    template <class R, class = std::enable_if_t<!std::is_const_v<detail::item_of<R>>>>
    Target(const Column &column, R &&out)
        : Target(column, detail::numbers(out).data(), detail::numbers(out).size_bytes()) {
        check<detail::number_of<detail::item_of<R>>>(column);
    }
    /** A member of records: a number or an array of them. */
    template <class R, class M, class Record,
              class = std::enable_if_t<std::is_convertible_v<detail::item_of<R> *, Record *>>>
    Target(const Column &column, R &&records, M Record::*member)
        : Target(column, nullptr, 0, sizeof(detail::item_of<R>)) {
        check<detail::number_of<M>>(column);
        if (sizeof(M) != column.row_bytes()) wrong_bytes_ = sizeof(M);
        if (std::size(records) == 0) return;
        target_.data = &(std::data(records)->*member);
        const auto before = static_cast<char *>(target_.data) - reinterpret_cast<char *>(std::data(records));
        target_.bytes = std::size(records) * sizeof(detail::item_of<R>) - static_cast<std::size_t>(before);
    }
    /** Any memory: `bytes` of it, `stride` from one row to the next; 0 means those of a row. */
    Target(const Column &column, void *data, std::size_t bytes, std::size_t stride = 0) noexcept
        : reader_(column.reader_) {
        target_.data = data;
        target_.bytes = bytes;
        target_.stride = stride;
        target_.column = column.number();
    }

private:
    friend class Loader;
    friend class Reader;

    template <class T>
    void check(const Column &column) {
        if (!detail::reads_as<T>(column.info_.dtype)) wrong_type_ = detail::asked<T>();
    }

    rds_target target_ = RDS_TARGET_INIT;
    const rds_reader *reader_;
    // What does not fit, told by the call that has a place to tell it; else 0.
    std::uint32_t wrong_type_ = 0;
    std::size_t wrong_bytes_ = 0;
};

/** A snapshot of one table. */
class Reader : public detail::Handle<rds_reader> {
public:
    /** A closed one. */
    Reader() noexcept = default;
    /** Takes over a handle of rds_reader_open(). */
    explicit Reader(rds_reader *adopted) noexcept : Handle(adopted) {}

    /** rds_reader_open(). */
    static Reader open(Text path, const ReaderOptions &options = {}, error *failure = nullptr) {
        Reader reader;
        reader.set_waiting(options.waiting);
        rds_reader_options c = RDS_READER_OPTIONS_INIT;
        c.version = options.version;
        c.access = options.access;
        c.flags = options.flags;
        c.id_column = options.id_column.empty() ? nullptr : options.id_column.c_str();
        c.committed_until = options.committed_until.count();
        c.waiting = reader.waiting_callback();
        c.user_data = reader.waiting_data();
        reader.ok(rds_reader_open(path.c_str(), &c, &reader.handle_), failure);
        return reader;
    }
    /** rds_reader_refresh(). Returns whether it shows another version. What it lent is gone then; columns stay. */
    bool refresh(error *failure = nullptr) {
        std::uint32_t changed = 0;
        ok(rds_reader_refresh(handle_, &changed), failure);
        return changed != 0;
    }
    /** rds_reader_clone(). */
    Reader clone(error *failure = nullptr) const {
        Reader other;
        other.waiting_ = waiting_;
        ok(rds_reader_clone(handle_, &other.handle_), failure);
        return other;
    }

    /** rds_reader_info(). */
    rds_table_info info(error *failure = nullptr) const {
        rds_table_info info = RDS_TABLE_INFO_INIT;
        ok(rds_reader_info(handle_, &info), failure);
        return info;
    }
    /** How many rows. */
    std::uint64_t size(error *failure = nullptr) const { return info(failure).rows; }
    /** rds_reader_column_info(): by number, as a rule that of the only column. */
    Column column(std::uint32_t number = 0, error *failure = nullptr) const {
        Column column;
        if (!ok(rds_reader_column_info(handle_, number, &column.info_), failure)) return {};
        column.name_.assign(column.info_.name, column.info_.name_length);
        column.number_ = number;
        column.reader_ = handle_;
        return column;
    }
    /** rds_reader_column(): by name. */
    Column column(Text name, error *failure = nullptr) const {
        std::uint32_t number = 0;
        if (!ok(rds_reader_column(handle_, name.c_str(), &number), failure)) return {};
        return column(number, failure);
    }
    /** All of them, in the order of their numbers. */
    std::vector<Column> columns(error *failure = nullptr) const {
        std::vector<Column> columns(info(failure).column_count);
        for (std::size_t i = 0; i < columns.size(); ++i) {
            columns[i] = column(static_cast<std::uint32_t>(i), failure);
            if (failure && *failure) return {};
        }
        return columns;
    }
    /** rds_reader_metadata(); nothing if no run said anything under the key. */
    std::optional<std::string> metadata(Text key, error *failure = nullptr) const {
        rds_string value = {nullptr, 0};
        const rds_status status = rds_reader_metadata(handle_, key.c_str(), &value);
        if (!ok(status == RDS_ERR_NOT_FOUND ? RDS_OK : status, failure) || status != RDS_OK) return std::nullopt;
        return std::string(value.data, value.length);
    }
    /** rds_reader_metadata_at(): everything, sorted by key. */
    Metadata metadata(error *failure = nullptr) const {
        Metadata all(info(failure).metadata_count);
        for (std::size_t i = 0; i < all.size(); ++i) {
            rds_string key = {nullptr, 0}, value = {nullptr, 0};
            if (!ok(rds_reader_metadata_at(handle_, i, &key, &value), failure)) return {};
            all[i] = {std::string(key.data, key.length), std::string(value.data, value.length)};
        }
        return all;
    }
    /** rds_reader_versions(): all of them, oldest first. */
    std::vector<rds_version_info> versions(error *failure = nullptr) const {
        const rds_version_info none = RDS_VERSION_INFO_INIT;
        std::vector<rds_version_info> found;
        std::uint64_t count = 0;
        do {  // There may be more each time.
            found.assign(static_cast<std::size_t>(count), none);
            if (!ok(rds_reader_versions(handle_, found.data(), found.size(), &count), failure)) return {};
        } while (count > found.size());
        found.resize(static_cast<std::size_t>(count));
        return found;
    }

    /** rds_reader_span(): the run of rows around one. RDS_ERR_SCHEMA_MISMATCH if elements are no T, here and below. */
    template <class T>
    RowSpan<T> span(const Column &column, std::uint64_t row, error *failure = nullptr) const {
        rds_span found = RDS_SPAN_INIT;
        if (!usable<T>("rds::Reader::span", column, failure)) return {};
        if (!detail::ok(rds_reader_span(handle_, column.number(), row, &found), failure)) return {};
        return RowSpan<T>(found, column.row_bytes());
    }
    /** All spans of a column: `for (const auto &span : reader.spans<float>(column))`. A failure on the way ends it, and
     *  is told as that of this call would be: an `error` that was given must live as long. */
    template <class T>
    Spans<T> spans(const Column &column, error *failure = nullptr) const {
        Spans<T> spans;
        if (!usable<T>("rds::Reader::spans", column, failure)) return spans;
        spans.rows_ = size(failure);
        spans.reader_ = handle_;
        spans.column_ = column.number();
        spans.row_bytes_ = column.row_bytes();
        spans.failure_ = failure;
        return spans;
    }
    /** All rows of a column, whether they are mapped or not. */
    template <class T>
    Rows<T> rows(const Column &column, error *failure = nullptr) const {
        Rows<T> rows;
        if (!usable<T>("rds::Reader::rows", column, failure)) return rows;
        rows.rows_ = size(failure);
        rows.reader_ = handle_;
        rows.column_ = column.number();
        rows.row_bytes_ = column.row_bytes();
        rows.asks_ = waiting_ != nullptr;
        return rows;
    }
    /** rds_reader_read(): copies rows into a contiguous range of numbers, or of arrays of them, with room for all. */
    template <class Out>
    void read(const Column &column, rds::span<const std::uint64_t> rows, Out &&out, error *failure = nullptr) const {
        const auto to = detail::numbers(out);
        if (!usable<typename decltype(to)::element_type>("rds::Reader::read", column, failure)) return;
        ok(rds_reader_read(handle_, column.number(), rows.data(), rows.size(), to.data(), to.size_bytes()), failure);
    }
    /** The same into a new vector. */
    template <class T>
    std::vector<T> read(const Column &column, rds::span<const std::uint64_t> rows, error *failure = nullptr) const {
        static_assert(!std::is_same_v<T, bool>, "std::vector<bool> has no bytes: read uint8_t");
        if (!usable<T>("rds::Reader::read", column, failure)) return {};
        std::vector<T> out(rows.size() * column.row_bytes() / sizeof(T));
        const rds::span<T> to(out);
        const rds_status status =
            rds_reader_read(handle_, column.number(), rows.data(), rows.size(), to.data(), to.size_bytes());
        if (!ok(status, failure)) out.clear();
        return out;
    }
    /** The same of one row. */
    template <class Out>
    void read_row(const Column &column, std::uint64_t row, Out &&out, error *failure = nullptr) const {
        read(column, rds::span<const std::uint64_t>(&row, 1), out, failure);
    }
    /** rds_reader_read_range(). */
    template <class Out>
    void read_range(const Column &column, std::uint64_t first_row, std::uint64_t row_count, Out &&out,
                    error *failure = nullptr) const {
        const auto to = detail::numbers(out);
        if (!usable<typename decltype(to)::element_type>("rds::Reader::read_range", column, failure)) return;
        ok(rds_reader_read_range(handle_, column.number(), first_row, row_count, to.data(), to.size_bytes()), failure);
    }
    /** rds_reader_gather(): `gather(rows, {{vector, vectors}, {label, records, &Record::label}})`. */
    void gather(const RowSet &rows, rds::span<const Target> targets, error *failure = nullptr) const {
        detail::Few<rds_target> c(targets.size());
        if (!put("rds::Reader::gather", targets, c, failure)) return;
        ok(rds_reader_gather(handle_, rows.get(), c.data(), c.size()), failure);
    }
    void gather(const RowSet &rows, std::initializer_list<Target> targets, error *failure = nullptr) const {
        gather(rows, rds::span<const Target>(std::data(targets), targets.size()), failure);
    }
    /** rds_reader_dlpack(). The program includes dlpack.h (DLPack 1.0), of which nothing is needed otherwise. */
    template <class T = ::DLManagedTensorVersioned>
    std::unique_ptr<T, DlpackDelete> dlpack(const Column &column, std::uint64_t first_row, std::uint64_t row_count,
                                            error *failure = nullptr) const {
        T *tensor = nullptr;
        if (ours("rds::Reader::dlpack", column.reader_, 0, failure)) {
            ok(rds_reader_dlpack(handle_, column.number(), first_row, row_count, &tensor), failure);
        }
        return std::unique_ptr<T, DlpackDelete>(tensor);
    }

    /** rds_reader_schema(). */
    Schema schema(const Select &select = {}, error *failure = nullptr) const {
        const rds_select_options c = options(select);
        Schema schema;
        ok(rds_reader_schema(handle_, &c, schema.get()), failure);
        return schema;
    }
    /** rds_reader_take(). */
    Batch take(rds::span<const std::uint64_t> rows, const Select &select = {}, error *failure = nullptr) const {
        const rds_select_options c = options(select);
        Batch batch;
        ok(rds_reader_take(handle_, rows.data(), rows.size(), &c, batch.schema.get(), batch.array.get()), failure);
        return batch;
    }
    /** rds_reader_stream(). */
    Stream stream(const StreamOptions &options = {}, error *failure = nullptr) const {
        const rds_select_options select = Reader::options(options.select);
        rds_stream_options c = RDS_STREAM_OPTIONS_INIT;
        c.columns = select.columns;
        c.column_count = select.column_count;
        c.flags = select.flags | (options.rows.empty() ? 0 : RDS_STREAM_ROWS);
        c.first_row = options.first_row;
        c.row_count = options.rows.empty() ? options.row_count : options.rows.size();
        c.batch_rows = options.batch_rows;
        c.rows = options.rows.empty() ? nullptr : options.rows.data();
        Stream stream;
        ok(rds_reader_stream(handle_, &c, stream.get()), failure);
        return stream;
    }
    /** rds_reader_get(): one row of a column. */
    Array get(const Column &column, std::uint64_t row, error *failure = nullptr) const {
        Array array;
        if (ours("rds::Reader::get", column.reader_, 0, failure)) {
            ok(rds_reader_get(handle_, column.number(), row, array.get()), failure);
        }
        return array;
    }

    /** rds_reader_id(). Lent. */
    std::string_view id(std::uint64_t row, error *failure = nullptr) const {
        const char *id = nullptr;
        std::size_t length = 0;
        if (!ok(rds_reader_id(handle_, row, &id, &length), failure)) return {};
        return {id, length};
    }
    /** rds_reader_ids(): those of a range of rows, as large_utf8. */
    Batch ids(std::uint64_t first_row, std::uint64_t row_count, error *failure = nullptr) const {
        Batch batch;
        ok(rds_reader_ids(handle_, first_row, row_count, batch.schema.get(), batch.array.get()), failure);
        return batch;
    }
    /** rds_reader_find(): the first row with each id, or RDS_ROW_NONE. */
    std::vector<std::uint64_t> find(const Ids &ids, error *failure = nullptr) const {
        std::vector<std::uint64_t> rows(ids.size());
        if (!ok(rds_reader_find(handle_, ids.get(), rows.data(), nullptr), failure)) return {};
        return rows;
    }
    /** The same into memory with room for them, and how many rows have each, if that is wanted. */
    void find(const Ids &ids, rds::span<std::uint64_t> rows, rds::span<std::uint64_t> counts = {},
              error *failure = nullptr) const {
        if (rows.size() < ids.size() || (!counts.empty() && counts.size() < ids.size())) {
            const error wrong(RDS_ERR_INVALID_ARGUMENT, "rds::Reader::find: there are " + std::to_string(ids.size()) +
                                                            " ids, and room for fewer rows or counts", 1);
            return detail::fail(wrong, failure);
        }
        ok(rds_reader_find(handle_, ids.get(), rows.data(), counts.data()), failure);
    }
    /** The first row with an id. */
    std::optional<std::uint64_t> find_first(std::string_view id, error *failure = nullptr) const {
        const rds_string text = {id.data(), id.size()};
        const Ids one(rds::span<const rds_string>(&text, 1));
        std::uint64_t row = RDS_ROW_NONE;
        if (!ok(rds_reader_find(handle_, one.get(), &row, nullptr), failure)) return std::nullopt;
        return row == RDS_ROW_NONE ? std::nullopt : std::optional(row);
    }
    /** rds_reader_find_all(): all rows with an id. */
    std::vector<std::uint64_t> find_all(std::string_view id, error *failure = nullptr) const {
        std::vector<std::uint64_t> rows(16);
        std::uint64_t count = find_all(id, rds::span<std::uint64_t>(rows), failure);
        if (count > rows.size()) {
            rows.resize(static_cast<std::size_t>(count));
            count = find_all(id, rds::span<std::uint64_t>(rows), failure);
        }
        rows.resize(static_cast<std::size_t>(std::min<std::uint64_t>(count, rows.size())));
        return rows;
    }
    /** The first of them into memory of the caller; returns how many there are, which may be more than have room. */
    std::uint64_t find_all(std::string_view id, rds::span<std::uint64_t> rows, error *failure = nullptr) const {
        std::uint64_t count = 0;
        ok(rds_reader_find_all(handle_, id.data(), id.size(), rows.data(), rows.size(), &count), failure);
        return count;
    }

private:
    friend class Loader;

    static rds_select_options options(const Select &select) noexcept {
        rds_select_options c = RDS_SELECT_OPTIONS_INIT;
        c.columns = select.columns.empty() ? nullptr : select.columns.data();
        c.column_count = select.columns.size();
        c.flags = select.flags;
        return c;
    }

    /* Targets for a call that is to put rows there; false if one of them does not fit its column. */
    bool put(const char *function, rds::span<const Target> targets, detail::Few<rds_target> &c, error *failure) const {
        for (std::size_t i = 0; i < targets.size(); ++i) {
            const Target &target = targets[i];
            if (!ours(function, target.reader_, 1, failure)) return false;
            if (target.wrong_type_ || target.wrong_bytes_) return misput(function, target, failure);
            c[i] = target.target_;
        }
        return true;
    }
    [[gnu::cold]] bool misput(const char *function, const Target &target, error *failure) const {
        const Column column = this->column(target.target_.column, failure);
        if (target.wrong_type_) return detail::misread(function, column, target.wrong_type_, 1, failure);
        const std::string have = std::to_string(column.row_bytes()), want = std::to_string(target.wrong_bytes_);
        return detail::mismatch(function, column, "a row has " + have + " bytes, the member " + want, 1, failure);
    }
    /* A number of another reader may be of another column. A closed reader says so itself. */
    bool ours(const char *function, const rds_reader *reader, int argument, error *failure) const {
        if (reader == handle_ || !handle_) return true;
        const std::string what = std::string(function) + ": the column is one of another reader";
        detail::fail(error(RDS_ERR_INVALID_ARGUMENT, what, argument), failure);
        return false;
    }
    template <class T>
    bool usable(const char *function, const Column &column, error *failure) const {
        static_assert(!std::is_const_v<T>, "rows are read into memory that is not constant");
        if (!ours(function, column.reader_, 0, failure)) return false;
        if (detail::reads_as<T>(column.info_.dtype) || !handle_) return true;
        return detail::misread(function, column, detail::asked<T>(), 0, failure);
    }
};

/* ---- Loaders ----------------------------------------------------------------------------------- */

/** Another table that a loader mixes with its first: rds_loader_table. */
struct LoaderTable {
    /** Not needed any more when the loader is open. */
    const Reader *reader = nullptr;
    /** Nothing for a range. */
    std::optional<std::vector<std::uint64_t>> rows{};
    std::uint64_t first_row = 0;
    /** Of a range; 0 means all that follow. */
    std::uint64_t row_count = 0;
};

/** How often rows of each table come, from a position on: rds_loader_weights. */
struct LoaderWeights {
    std::uint64_t epoch = 0;
    std::uint64_t consumed = 0;
    /** One for each table, that of the reader first. */
    std::vector<std::uint64_t> weights{};
};

/** rds_loader_options, which says what each is; zero and empty are the defaults. One of the first two must be given. */
struct LoaderOptions {
    std::uint64_t batch_rows = 0;
    std::uint64_t global_batch_rows = 0;
    std::uint32_t rank = 0;
    std::uint32_t world_size = 0;
    std::uint32_t worker = 0;
    std::uint32_t worker_count = 0;
    rds_loader_order order = RDS_ORDER_SHUFFLED;
    rds_loader_tail tail = RDS_TAIL_SHORT;
    std::uint64_t clump_rows = 0;
    std::uint64_t seed = 0;
    std::uint64_t epoch = 0;
    /** Nothing for a range. */
    std::optional<std::vector<std::uint64_t>> rows{};
    std::uint64_t first_row = 0;
    /** Of a range; 0 means all that follow. */
    std::uint64_t row_count = 0;
    /** Their numbers; nothing means all, and a list without one that batches are numbers of rows. */
    std::optional<std::vector<std::uint32_t>> columns{};
    std::vector<LoaderTable> others{};
    std::vector<LoaderWeights> weights{};
    std::uint64_t epoch_rows = 0;
    /** Memory of the caller, which must live as long as the loader: as for Reader::gather(), for one batch, then for
     *  the next. */
    std::vector<Target> targets{};
    std::uint64_t max_bytes = 0;
    std::uint32_t ahead = 0;
    std::uint32_t threads = 0;
    /** Or-ed RDS_LOADER_*. */
    std::uint32_t flags = 0;
    Waiting waiting{};
};

namespace detail {

/* What a loader has of its reader, for batches that may be looked at by other threads. */
struct Loaded {
    std::vector<Column> columns;
    // Those of the caller.
    std::vector<rds_target> targets;

    std::size_t stride(std::size_t column, const void *data) const noexcept {
        for (std::size_t i = column; i < targets.size(); i += columns.size()) {
            if (targets[i].data == data && targets[i].stride) return targets[i].stride;
        }
        return columns[column].row_bytes();
    }
};

}  // namespace detail

/**
 * What a rank takes of a step: rows that lie in memory of the loader, or of its caller, and may be written to. The
 * memory goes back to the loader when this is destroyed, and must not be used when the loader is closed. False for
 * none, as it is at the end of an epoch; a batch without rows is true if others have rows of the step.
 */
class LoaderBatch {
public:
    /** None. */
    LoaderBatch() noexcept = default;
    LoaderBatch(LoaderBatch &&other) noexcept
        : batch_(std::exchange(other.batch_, none())), loader_(std::exchange(other.loader_, nullptr)),
          loaded_(std::move(other.loaded_)) {}
    LoaderBatch &operator=(LoaderBatch &&other) noexcept {
        if (this != &other) {
            drop();
            batch_ = std::exchange(other.batch_, none());
            loader_ = std::exchange(other.loader_, nullptr);
            loaded_ = std::move(other.loaded_);
        }
        return *this;
    }
    ~LoaderBatch() { drop(); }

    explicit operator bool() const noexcept { return batch_.step_rows != 0; }
    /** That of rds_loader_next(). */
    const rds_loader_batch &get() const noexcept { return batch_; }
    /** How many rows. */
    std::uint64_t size() const noexcept { return batch_.row_count; }
    bool empty() const noexcept { return batch_.row_count == 0; }
    /** Their numbers. */
    rds::span<const std::uint64_t> rows() const noexcept {
        return {batch_.rows, batch_.rows ? static_cast<std::size_t>(batch_.row_count) : 0};
    }
    /** Of which table each is; empty if the loader has but one. */
    rds::span<const std::uint32_t> tables() const noexcept {
        return {batch_.tables, batch_.tables ? static_cast<std::size_t>(batch_.row_count) : 0};
    }
    /** How many of them, at their end, fill the last step of the epoch up. */
    std::uint64_t pad_rows() const noexcept { return batch_.pad_rows; }
    /** Rows of the step over all ranks and workers. */
    std::uint64_t step_rows() const noexcept { return batch_.step_rows; }
    std::uint64_t epoch() const noexcept { return batch_.epoch; }
    /** Rows of the epoch that came before the step, over all ranks. */
    std::uint64_t consumed() const noexcept { return batch_.consumed; }
    /** The rows of a column, by its place among those of the loader. RDS_ERR_SCHEMA_MISMATCH if elements are no T. */
    template <class T>
    Strided<T> column(std::size_t i, error *failure = nullptr) const {
        static_assert(!std::is_const_v<T>, "rows of a batch may be written to");
        const std::size_t columns = loaded_ ? loaded_->columns.size() : 0;
        if (i >= columns) return misplaced(i, columns, failure), Strided<T>();
        const Column &column = loaded_->columns[i];
        if (!detail::reads_as<T>(column.dtype())) {
            detail::misread("rds::LoaderBatch::column", column, detail::asked<T>(), 0, failure);
            return {};
        }
        if (failure) *failure = error();
        if (empty()) return {nullptr, 0, column.row_bytes(), column.row_bytes()};
        void *data = batch_.columns[i];
        return {data, batch_.row_count, column.row_bytes(), loaded_->stride(i, data)};
    }
    /** rds_loader_release(): gives the memory back now. Nothing is left of the batch then. */
    void release(error *failure = nullptr) {
        const std::uint64_t buffer = std::exchange(batch_, none()).buffer;
        const rds_status status = buffer ? rds_loader_release(std::exchange(loader_, nullptr), buffer) : RDS_OK;
        loaded_.reset();
        detail::ok(status, failure);
    }

private:
    friend class Loader;

    static rds_loader_batch none() noexcept { return RDS_LOADER_BATCH_INIT; }
    void drop() noexcept {
        if (!batch_.buffer) return;
        const rds_status untold = rds_loader_release(loader_, std::exchange(batch_.buffer, 0));
        static_cast<void>(untold);
    }
    [[gnu::cold]] static void misplaced(std::size_t i, std::size_t columns, error *failure) {
        const std::string what = "rds::LoaderBatch::column: there is no column " + std::to_string(i) +
                                 " of the batch, which has " + std::to_string(columns);
        detail::fail(error(RDS_ERR_INVALID_ARGUMENT, what, 0), failure);
    }

    rds_loader_batch batch_ = none();
    rds_loader *loader_ = nullptr;
    std::shared_ptr<const detail::Loaded> loaded_;
};

/**
 * The batches of a loader, up to the end of the epoch: `for (rds::LoaderBatch &batch : loader.batches())`. Each is
 * released before the next one is asked for, unless it was moved away. Ends early if asking for one fails. For one
 * thread, once.
 */
class Batches {
public:
    class iterator {
    public:
        using iterator_category = std::input_iterator_tag;
        using value_type = LoaderBatch;
        using difference_type = std::ptrdiff_t;
        using pointer = LoaderBatch *;
        using reference = LoaderBatch &;

        iterator() = default;
        reference operator*() const { return batches_->batch_; }
        pointer operator->() const { return &batches_->batch_; }
        iterator &operator++() {
            if (!batches_->find()) batches_ = nullptr;
            return *this;
        }
        void operator++(int) { ++*this; }
        friend bool operator==(const iterator &a, const iterator &b) { return a.batches_ == b.batches_; }
        friend bool operator!=(const iterator &a, const iterator &b) { return !(a == b); }

    private:
        friend class Batches;
        explicit iterator(Batches *batches) noexcept : batches_(batches) {}
        Batches *batches_ = nullptr;
    };

    /** Asks for the first one. */
    iterator begin() { return iterator(find() ? this : nullptr); }
    iterator end() const noexcept { return iterator(); }

private:
    friend class Loader;
    Batches(class Loader *loader, error *failure) noexcept : loader_(loader), failure_(failure) {}
    inline bool find();

    class Loader *loader_;
    error *failure_;
    LoaderBatch batch_;
};

/** Goes through the rows of tables in batches, epoch after epoch. */
class Loader : public detail::Handle<rds_loader> {
public:
    /** A closed one. */
    Loader() noexcept = default;

    /** rds_loader_open(). The reader is not needed afterwards. */
    static Loader open(const Reader &reader, const LoaderOptions &options, error *failure = nullptr) {
        Loader loader;
        auto loaded = std::make_shared<detail::Loaded>();
        detail::Few<rds_target> targets(options.targets.size());
        if (!reader.put("rds::Loader::open", options.targets, targets, failure)) return loader;
        if (options.columns) {
            for (const std::uint32_t number : *options.columns) {
                loaded->columns.push_back(reader.column(number, failure));
                if (failure && *failure) return loader;
            }
        } else {
            loaded->columns = reader.columns(failure);
            if (failure && *failure) return loader;
        }
        loaded->targets.assign(targets.data(), targets.data() + targets.size());
        loader.open(reader.handle(), options, std::move(loaded), options.flags, failure);
        return loader;
    }
    /** Without a table: `row_count` numbers, of which batches are made. */
    static Loader open(const LoaderOptions &options, error *failure = nullptr) {
        Loader loader;
        loader.open(nullptr, options, std::make_shared<detail::Loaded>(), options.flags | RDS_LOADER_NO_TABLE, failure);
        return loader;
    }

    /** Those of its batches, in their order. Empty if these are numbers of rows. */
    rds::span<const Column> columns() const noexcept {
        if (!loaded_) return {};
        return loaded_->columns;
    }
    /** rds_loader_next(): `while (rds::LoaderBatch batch = loader.next())` ends with the epoch. */
    LoaderBatch next(error *failure = nullptr) {
        LoaderBatch batch;
        if (!ok(rds_loader_next(handle_, &batch.batch_), failure)) return {};
        batch.loader_ = handle_;
        batch.loaded_ = loaded_;
        return batch;
    }
    /** The batches that are left of the epoch. A failure on the way ends them, and is told as that of this call would
     *  be: an `error` that was given must live as long. */
    Batches batches(error *failure = nullptr) { return Batches(this, failure); }
    /** rds_loader_state(). */
    rds_position state(error *failure = nullptr) const {
        rds_position position{};
        ok(rds_loader_state(handle_, &position), failure);
        return position;
    }
    /** rds_loader_seek(): to where another one was, or this. */
    void seek(const rds_position &position, error *failure = nullptr) {
        ok(rds_loader_seek(handle_, &position, 0, 0), failure);
    }
    /** To where so many rows of an epoch are consumed, over all ranks. */
    void seek(std::uint64_t epoch, std::uint64_t consumed = 0, error *failure = nullptr) {
        ok(rds_loader_seek(handle_, nullptr, epoch, consumed), failure);
    }
    /** rds_loader_stats(). */
    rds_load_stats stats(error *failure = nullptr) const {
        rds_load_stats stats = RDS_LOAD_STATS_INIT;
        ok(rds_loader_stats(handle_, &stats), failure);
        return stats;
    }
    /** rds_loader_fd(): readable while next() would not wait. The loader's own. */
    int fd(error *failure = nullptr) {
        int fd = -1;
        ok(rds_loader_fd(handle_, &fd), failure);
        return fd;
    }

private:
    void open(const rds_reader *reader, const LoaderOptions &options, std::shared_ptr<const detail::Loaded> loaded,
              std::uint32_t flags, error *failure) {
        static const std::uint32_t no_columns = 0;
        std::vector<rds_loader_table> others;
        for (const LoaderTable &table : options.others) {
            rds_loader_table c = RDS_LOADER_TABLE_INIT;
            c.reader = table.reader ? table.reader->handle() : nullptr;
            c.rows = list(table.rows);
            c.first_row = table.first_row;
            c.row_count = table.rows ? table.rows->size() : table.row_count;
            others.push_back(c);
        }
        std::vector<rds_loader_weights> weights;
        for (const LoaderWeights &from : options.weights) {
            weights.push_back({sizeof(rds_loader_weights), from.epoch, from.consumed, from.weights.data(),
                               from.weights.size()});
        }
        set_waiting(options.waiting);
        rds_loader_options c = RDS_LOADER_OPTIONS_INIT;
        c.batch_rows = options.batch_rows;
        c.global_batch_rows = options.global_batch_rows;
        c.rank = options.rank;
        c.world_size = options.world_size;
        c.worker = options.worker;
        c.worker_count = options.worker_count;
        c.order = options.order;
        c.tail = options.tail;
        c.clump_rows = options.clump_rows;
        c.seed = options.seed;
        c.epoch = options.epoch;
        c.rows = list(options.rows);
        c.first_row = options.first_row;
        c.row_count = options.rows ? options.rows->size() : options.row_count;
        if (options.columns) {
            c.columns = options.columns->empty() ? &no_columns : options.columns->data();
            c.column_count = options.columns->size();
        }
        c.others = others.data();
        c.other_count = others.size();
        c.weights = weights.data();
        c.weights_count = weights.size();
        c.epoch_rows = options.epoch_rows;
        c.targets = loaded->targets.empty() ? nullptr : loaded->targets.data();
        c.target_count = loaded->targets.size();
        c.max_bytes = options.max_bytes;
        c.ahead = options.ahead;
        c.threads = options.threads;
        c.flags = flags;
        c.waiting = waiting_callback();
        c.user_data = waiting_data();
        if (ok(rds_loader_open(reader, &c, &handle_), failure)) loaded_ = std::move(loaded);
    }
    /* A list without a row is none of all rows. */
    static const std::uint64_t *list(const std::optional<std::vector<std::uint64_t>> &rows) noexcept {
        static const std::uint64_t none = 0;
        return !rows ? nullptr : rows->empty() ? &none : rows->data();
    }

    std::shared_ptr<const detail::Loaded> loaded_;
};

inline bool Batches::find() {
    batch_ = LoaderBatch();
    batch_ = loader_->next(failure_);
    return static_cast<bool>(batch_);
}

/* ---- Tables ------------------------------------------------------------------------------------ */

namespace detail {

template <class Tokens>
std::vector<rds_token> tokens_of(const Tokens &tokens) {
    std::vector<rds_token> c;
    for (const auto &token : tokens) {
        static_assert(sizeof(*std::data(token)) == 1, "a token is a range of bytes");
        c.push_back({reinterpret_cast<const std::uint8_t *>(std::data(token)), std::size(token)});
    }
    return c;
}

inline rds_commit_info commit_staged(Text path, const char *job, const std::vector<rds_token> &tokens,
                                     rds_write_mode mode, error *failure) {
    rds_commit_staged_options options = RDS_COMMIT_STAGED_OPTIONS_INIT;
    options.mode = mode;
    options.job = job;
    rds_commit_info info = RDS_COMMIT_INFO_INIT;
    ok(rds_commit_staged(path.c_str(), tokens.data(), tokens.size(), &options, &info), failure);
    return info;
}

}  // namespace detail

/** rds_commit_staged(). The tokens are a range of contiguous ranges of bytes: Token, std::string. */
template <class Tokens = std::initializer_list<Token>>
rds_commit_info commit_staged(Text path, const Tokens &tokens, rds_write_mode mode = RDS_MODE_CREATE,
                              error *failure = nullptr) {
    return detail::commit_staged(path, nullptr, detail::tokens_of(tokens), mode, failure);
}

/** rds_commit_staged() of a whole job, which the tokens are all parts of: what else there is of it is removed, and the
 *  call may be made again. */
template <class Tokens = std::initializer_list<Token>>
rds_commit_info commit_parts(Text path, Text job, const Tokens &tokens, rds_write_mode mode = RDS_MODE_CREATE,
                             error *failure = nullptr) {
    return detail::commit_staged(path, job.c_str(), detail::tokens_of(tokens), mode, failure);
}

/** rds_pack_parts(): how many rows the files of a share have. The commit that comes must be given the same tokens and
 *  mode. */
template <class Tokens = std::initializer_list<Token>>
std::uint64_t pack_parts(Text path, Text job, const Tokens &tokens, std::uint64_t share = 0, std::uint64_t shares = 1,
                         rds_write_mode mode = RDS_MODE_CREATE, error *failure = nullptr) {
    const std::vector<rds_token> c = detail::tokens_of(tokens);
    rds_pack_parts_options options = RDS_PACK_PARTS_OPTIONS_INIT;
    options.mode = mode;
    options.share = share;
    options.shares = shares;
    std::uint64_t rows = 0;
    detail::ok(rds_pack_parts(path.c_str(), job.c_str(), c.data(), c.size(), &options, &rows), failure);
    return rows;
}

/** Told parts of a job that follow each other, the first and the last: rds_part_callback. The token is empty if the
 *  newest version has them; else there is one part, which waits. Job and token are valid during the call. */
using PartCallback = Callback<std::string_view, std::uint64_t, std::uint64_t, span<const std::uint8_t>>;

namespace detail {

inline int tell_part(void *each, const char *job, std::uint64_t first, std::uint64_t last,
                     const rds_token *token) noexcept {
    using bytes = span<const std::uint8_t>;
    return invoke<std::string_view, std::uint64_t, std::uint64_t, bytes>(
        each, job, first, last, token ? bytes(token->data, token->length) : bytes());
}

}  // namespace detail

/** rds_list_parts(): those of all jobs or of one, all parts or one. */
inline void list_parts(Text path, const PartCallback &each, const char *job = nullptr,
                       std::optional<std::uint64_t> part = {}, error *failure = nullptr) {
    const rds_part_callback tell = each ? detail::tell_part : nullptr;
    const std::uint64_t *const number = part ? &*part : nullptr;
    detail::ok(rds_list_parts(path.c_str(), job, number, tell, detail::user_data(&each)), failure, true);
}

/** rds_recover(): every run, or the one that is named; flags are or-ed RDS_RECOVER_*. */
inline rds_recover_info recover(Text path, std::uint32_t flags = 0, const char *run = nullptr,
                                error *failure = nullptr) {
    rds_recover_options options = RDS_RECOVER_OPTIONS_INIT;
    options.run = run;
    options.flags = flags;
    rds_recover_info info = RDS_RECOVER_INFO_INIT;
    detail::ok(rds_recover(path.c_str(), &options, &info), failure);
    return info;
}

/** rds_vacuum(): from an age on, 0 meaning the default; flags are or-ed RDS_VACUUM_*. */
inline rds_vacuum_info vacuum(Text path, std::chrono::milliseconds older_than = {}, std::uint32_t flags = 0,
                              error *failure = nullptr) {
    rds_vacuum_options options = RDS_VACUUM_OPTIONS_INIT;
    options.older_than_ms = static_cast<std::uint64_t>(older_than.count());
    options.flags = flags;
    rds_vacuum_info info = RDS_VACUUM_INFO_INIT;
    detail::ok(rds_vacuum(path.c_str(), &options, &info), failure);
    return info;
}

/* ---- Library ----------------------------------------------------------------------------------- */

/** rds_version(): that of the library in use. */
inline const char *version() noexcept { return rds_version(); }
/** rds_abi_version(). */
inline std::uint32_t abi_version() noexcept { return rds_abi_version(); }
/** rds_check_abi(): whether the library has all that this header declares. */
inline void check_abi(error *failure = nullptr) { detail::ok(rds_check_abi(RDS_ABI_VERSION), failure); }
/** rds_build_info(). */
inline const char *build_info() noexcept { return rds_build_info(); }
/** rds_status_name(). */
inline const char *status_name(rds_status status) noexcept { return rds_status_name(status); }

/** rds_runtime_configure(); 0 means the default. */
inline void runtime_configure(std::uint64_t worker_threads, error *failure = nullptr) {
    rds_runtime_options options = RDS_RUNTIME_OPTIONS_INIT;
    options.worker_threads = worker_threads;
    detail::ok(rds_runtime_configure(&options), failure);
}

/** Receives a message, and the part of the library that logs it. */
using LogCallback = std::function<void(rds_log_level level, std::string_view target, std::string_view message)>;

/**
 * rds_set_log_callback(). Called from any thread, from several at once. What it throws is dropped: no call of the
 * program is there to throw it on. It is kept until the process ends: a message may arrive after another one is set.
 */
inline void set_log_callback(rds_log_level level, LogCallback callback, error *failure = nullptr) {
    static std::mutex mutex;
    // Never freed: threads of the library may log while the process ends.
    static auto &kept = *new std::vector<std::unique_ptr<const LogCallback>>;
    const rds_log_callback call = [](void *user_data, std::uint32_t severity, const char *target, const char *message) {
        const auto &receive = *static_cast<const LogCallback *>(user_data);
#ifdef __cpp_exceptions
        try {
            receive(static_cast<rds_log_level>(severity), target, message);
        } catch (...) {
        }
#else
        receive(static_cast<rds_log_level>(severity), target, message);
#endif
    };
    auto next = callback ? std::make_unique<const LogCallback>(std::move(callback)) : nullptr;
    const std::lock_guard<std::mutex> lock(mutex);
    if (!detail::ok(rds_set_log_callback(level, next ? call : nullptr, detail::user_data(next.get())), failure)) return;
    if (next) kept.push_back(std::move(next));
}

}  // inline namespace
}  // namespace rds

#endif  // RDS_HPP
