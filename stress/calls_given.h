/* What calls are given: choices of one seed, memory with guards around it, structs of right and wrong sizes, and a
 * note of all that, which a report prints. */
#ifndef CALLS_GIVEN_H
#define CALLS_GIVEN_H

#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <initializer_list>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include <unistd.h>

#include "rds.h"

constexpr int MOST_THREADS = 16;
constexpr int MOST_REPORTS = 3;
constexpr unsigned char GUARD = 0xa5;

/* What a thread does at the moment. Others read it when the program ends before its time. */
struct Thread {
    uint64_t state;
    int number;
    char note[4096];
    size_t noted;
    /* An argument that no call accepts. */
    bool wrong;
    std::atomic<const char *> function;
    std::atomic<int64_t> since;
    std::deque<std::vector<unsigned char>> memory;
};

/* How often, by status. */
using Count = std::array<uint64_t, RDS_ERR_STREAM + 1>;

static Thread *threads[MOST_THREADS];
static thread_local Thread *self;
static std::mutex counting;
static std::map<std::string, Count> counts;
static std::map<std::string, int> reports;
static std::atomic<int> failures;
static std::map<std::string, uint32_t> documented;
static uint64_t seed;

static int64_t now_ms() {
    using namespace std::chrono;
    return duration_cast<milliseconds>(steady_clock::now().time_since_epoch()).count();
}

/* Choices ---------------------------------------------------------------------------------------------------- */

static uint64_t next_random() {
    uint64_t z = self->state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static uint64_t below(uint64_t end) { return next_random() % end; }
static bool once_in(uint64_t times) { return below(times) == 0; }

template <typename T> static T one_of(std::initializer_list<T> values) {
    return values.begin()[below(values.size())];
}

static uint64_t huge() {
    return one_of<uint64_t>({1ull << 50, (1ull << 61) + 1, 1ull << 62, (1ull << 63) - 1, 1ull << 63, UINT64_MAX});
}

static int64_t odd_number() {
    return one_of<int64_t>({-1, 0, 1, -17, INT32_MIN, INT64_MIN, INT64_MAX, INT64_MIN + 1, 7, 1ll << 62});
}

/* Notes ------------------------------------------------------------------------------------------------------ */

__attribute__((format(printf, 1, 2))) static void note(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    size_t left = sizeof self->note - self->noted;
    int length = vsnprintf(self->note + self->noted, left, format, arguments);
    va_end(arguments);
    if (length > 0) self->noted += (size_t)length < left ? (size_t)length : left - 1;
}

/* Says what is wrong with the call, which must not succeed. */
#define WRONG(...) (self->wrong = true, note(__VA_ARGS__))

static void report(const char *reason) {
    std::lock_guard<std::mutex> lock(counting);
    const char *function = self->function.load();
    failures++;
    if (++reports[std::string(function) + reason] > MOST_REPORTS) return;
    fprintf(stderr, "%s: %s\n    thread %d, given:%s\n    last error: %s\n", function, reason, self->number,
            self->note, rds_last_error_message());
}

/* A crash or a hang: what every thread was doing, with nothing but write(). */
static void tell(const char *text) {
    if (write(STDERR_FILENO, text, strlen(text)) < 0) _exit(3);
}

static void tell_all(const char *what) {
    tell(what);
    for (Thread *thread : threads) {
        const char *function = thread ? thread->function.load() : nullptr;
        if (!function) continue;
        tell(thread == self ? "  here: " : "  beside: ");
        tell(function);
        tell(":");
        tell(thread->note);
        tell("\n");
    }
}

static void crashed(int signal) {
    tell_all(signal == SIGABRT ? "CRASH: SIGABRT\n" : signal == SIGSEGV ? "CRASH: SIGSEGV\n" : "CRASH\n");
    std::signal(signal, SIG_DFL);
    raise(signal);
}

/* Memory ----------------------------------------------------------------------------------------------------- */

/* Until the call ends. */
template <typename T> static T *room(size_t count) {
    self->memory.emplace_back(count * sizeof(T) + 1);
    return reinterpret_cast<T *>(self->memory.back().data());
}

/* Memory that the library writes to, and what must not change behind it. */
struct Buffer {
    std::vector<unsigned char> bytes;
    size_t size;

    explicit Buffer(size_t size) : bytes(size + 64, GUARD), size(size) {}
    void *data() { return bytes.data(); }
    bool untouched_from(size_t at) const {
        for (; at < bytes.size(); at++) {
            if (bytes[at] != GUARD) return false;
        }
        return true;
    }
};

/* A struct that begins with struct_size, in more memory than that may say. */
template <typename T> struct Sized {
    alignas(16) unsigned char bytes[4096 + 64];
    size_t size = sizeof(T);
    bool given = true;

    explicit Sized(const T &initial) {
        memset(bytes, 0, sizeof bytes);
        memcpy(bytes, &initial, sizeof initial);
    }
    T &value() { return *reinterpret_cast<T *>(bytes); }
    void say(size_t says) {
        size = says;
        memcpy(bytes, &size, sizeof size);
    }
    T *pointer() { return given ? reinterpret_cast<T *>(bytes) : nullptr; }

    void spoil_size() {
        say(one_of<size_t>({0, 1, 7, 8, sizeof bytes, 5000, SIZE_MAX, SIZE_MAX / 2}));
        WRONG(" struct_size=%zu", size);
    }
};

/* Options, once in some times wrong ones; NULL where that means defaults. */
template <typename T> struct In : Sized<T> {
    explicit In(const T &initial) : Sized<T>(initial) {}

    void spoil(bool null_is_default) {
        switch (below(16)) {
        case 0:
            this->spoil_size();
            break;
        case 1:
            this->say(sizeof(T) + 1 + below(4096 - sizeof(T)));
            this->bytes[sizeof(T) + below(this->size - sizeof(T))] = 1;
            WRONG(" unknown byte set");
            break;
        case 2:
            this->say(sizeof(T) + below(4096 - sizeof(T)));
            note(" struct_size=%zu", this->size);
            break;
        case 3:
            this->given = false;
            if (null_is_default) note(" options=NULL");
            else WRONG(" NULL");
            break;
        default:
            break;
        }
    }
};

/* An array of sized structs, as far apart as the first one says; right, or with a size, a tail or a count that is
 * wrong. */
template <typename T> struct Array {
    std::vector<T> elements;
    std::vector<unsigned char> memory;
    size_t step = sizeof(T), count = 0;
    bool given = true, is_output = false;

    void add(const T &element) { elements.push_back(element); }

    /* To be called when all are there. */
    void spread() {
        count = elements.size();
        if (once_in(6)) step += 8 * below(9), note(" struct_size=%zu", step);
        memory.assign(step * count + 64, 0);
        for (size_t i = 0; i < count; i++) {
            memcpy(at(i), &elements[i], sizeof(T));
            memcpy(at(i), &step, sizeof step);
        }
        if (count && once_in(10)) spoil();
    }
    void spoil() {
        size_t which = below(count), size = one_of<size_t>({0, 1, 8, step - 8, step + 8, 5000, SIZE_MAX});
        switch (below(5)) {
        case 0:
            memcpy(at(which), &size, sizeof size);
            /* A first one that says more is one that the others, and what lies behind them, must agree with. */
            if (which == 0 && size == step + 8) memcpy(at(0), &step, sizeof step);
            else if (count == 1 && size == step - 8 && size >= sizeof(T)) note(" one of struct_size=%zu", size);
            else WRONG(" [%zu].struct_size=%zu", which, size);
            break;
        case 1:
            if (step == sizeof(T)) break;
            at(which)[sizeof(T) + below(step - sizeof(T))] = 1;
            note(" unknown byte of [%zu] set", which);
            /* Of what is filled in, nobody reads it. */
            if (!is_output) WRONG(", which is wrong");
            break;
        case 2:
            count = (size_t)huge();
            WRONG(" count=%zx", count);
            break;
        case 3:
            given = false;
            WRONG(" NULL");
            break;
        default:
            given = false;
            count = (size_t)huge();
            WRONG(" NULL, count=%zx", count);
            break;
        }
    }
    unsigned char *at(size_t i) { return memory.data() + i * step; }
    const T *pointer() const { return given ? reinterpret_cast<const T *>(memory.data()) : nullptr; }
};

/* A struct that is filled in. `keeps` says that a failure leaves it as it is. */
template <typename T> struct Out : Sized<T> {
    unsigned char before[sizeof(Sized<T>::bytes)];
    bool in_place = true;

    explicit Out(const T &initial, bool null_is_fine) : Sized<T>(initial) {
        memset(this->bytes + sizeof(T), GUARD, sizeof this->bytes - sizeof(T));
        switch (below(12)) {
        case 0:
            this->spoil_size();
            break;
        case 1:
            this->say(sizeof(T) + below(4097 - sizeof(T)));
            break;
        case 2:
            this->given = false;
            if (null_is_fine) note(" out=NULL");
            else WRONG(" out=NULL");
            break;
        default:
            break;
        }
        memcpy(before, this->bytes, sizeof before);
    }
    void check(rds_status status) {
        size_t from = status == RDS_OK ? sizeof(T) : 0;
        if (memcmp(before + from, this->bytes + from, sizeof before - from) != 0) report("memory of an output changed");
        if (memcmp(before, this->bytes, sizeof(size_t)) != 0) report("struct_size of an output changed");
    }
};

/* An output of one value, which is nothing after a failure. */
template <typename T> struct Value {
    T value;
    T *place = &value;

    explicit Value(bool null_is_fine = false) {
        memset(static_cast<void *>(&value), GUARD, sizeof value);
        if (!once_in(24)) return;
        place = nullptr;
        if (null_is_fine) note(" out=NULL");
        else WRONG(" out=NULL");
    }
    void check(rds_status status) {
        if (place && status != RDS_OK && value != T{}) report("an output is set after a failure");
    }
};

template <typename T> struct Moved {
    T value;
    T *place = &value;

    explicit Moved(bool null_is_fine = false) {
        memset(&value, GUARD, sizeof value);
        if (!once_in(24)) return;
        place = nullptr;
        if (null_is_fine) note(" out=NULL");
        else WRONG(" out=NULL");
    }
    bool holds(rds_status status) {
        if (place && status != RDS_OK && value.release) report("an Arrow output is not released after a failure");
        if (place && status == RDS_OK && !value.release) report("an Arrow output is released after success");
        return place && status == RDS_OK;
    }
};

/* Calls ------------------------------------------------------------------------------------------------------ */

static bool is_utf8(const char *text) {
    const unsigned char *at = reinterpret_cast<const unsigned char *>(text);
    while (*at) {
        int more = *at < 0x80 ? 0 : *at < 0xc2 ? -1 : *at < 0xe0 ? 1 : *at < 0xf0 ? 2 : *at < 0xf5 ? 3 : -1;
        if (more < 0) return false;
        for (at++; more > 0; more--, at++) {
            if ((*at & 0xc0) != 0x80) return false;
        }
    }
    return true;
}

static void begin(const char *function) {
    self->noted = 0;
    self->note[0] = 0;
    self->wrong = false;
    self->memory.clear();
    self->since = now_ms();
    self->function = function;
}

/* What rds_last_error() tells of the call that just failed. */
static void check_error(rds_status status) {
    constexpr int MOST_ARGUMENTS = 6;
    rds_error error = RDS_ERROR_INIT;
    if (rds_last_error(&error) != RDS_OK) report("rds_last_error() fails");
    if (error.status != (uint32_t)status) report("rds_last_error() has another status");
    if (error.message != rds_last_error_message()) report("rds_last_error() has another message");
    if (error.argument < -1 || error.argument >= MOST_ARGUMENTS) report("there is no such argument");
    if (status == RDS_ERR_INVALID_HANDLE && error.argument != 0) report("the handle is not the argument to blame");
    if (error.may_pass > 1 || error.reserved) report("rds_last_error() is malformed");
    if (error.may_pass && status == RDS_ERR_INVALID_ARGUMENT) report("what is malformed may not pass");
}

static void count_call(rds_status status) {
    std::lock_guard<std::mutex> lock(counting);
    counts[self->function.load()].at((size_t)status)++;
}

/* Looks at what came back, which every call hands in right after it. */
static rds_status ended(rds_status status) {
    const char *function = self->function.load();
    count_call(status);
    if (status == RDS_OK) {
        if (self->wrong) report("a wrong call succeeded");
        return status;
    }
    const char *message = rds_last_error_message();
    size_t length = strlen(function);
    if (status == RDS_ERR_PANIC || status == RDS_ERR_INTERNAL || !(documented[function] >> status & 1)) {
        report(rds_status_name((uint32_t)status));
    }
    if (rds_last_error_status() != status) report("rds_last_error_status() is another one");
    check_error(status);
    if (strncmp(message, function, length) != 0 || strncmp(message + length, ": ", 2) != 0 || !message[length + 2]) {
        report("the message does not begin with the function, or says nothing");
    }
    if (!is_utf8(message)) report("the message is not UTF-8");
    return status;
}

#define CALL(function, ...) ended(function(__VA_ARGS__))

#endif
