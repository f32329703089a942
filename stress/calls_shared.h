/* What the threads share: handles that any of them closes, what was exported and is used later, tokens; and the
 * callbacks and paths that calls are given. */
#ifndef CALLS_SHARED_H
#define CALLS_SHARED_H

#include <filesystem>
#include <functional>

#include "calls_arrow.h"

namespace fs = std::filesystem;

constexpr int SLOTS = 8;
constexpr int CLOSED = 64;

static const std::vector<Kind> kinds = {
    {{{"data", RDS_DTYPE_FLOAT32, "float32", "f", 4, {4}, "[4]", 4}}},
    {{{"data", RDS_DTYPE_BOOL, "bool", "b", 1, {8}, "[8]", 8}}},
    {{{"data", RDS_DTYPE_INT64, "int64", "l", 8, {}, "[]", 1}}},
    {{{"data", RDS_DTYPE_COMPLEX64, "complex64", "f", 8, {2, 2}, "[2, 2]", 8}}},
    {{{"data", RDS_DTYPE_DATETIME64_US, "datetime64[us]", "tsu:", 8, {3}, "[3]", 3}}},
    {{{"data", RDS_DTYPE_BOOL, "bool", "b", 1, {3}, "[3]", 3}}},
    {{{"image", RDS_DTYPE_FLOAT32, "float32", "f", 4, {2, 3}, "[2, 3]", 6},
      {"label", RDS_DTYPE_INT64, "int64", "l", 8, {}, "[]", 1},
      {"mask", RDS_DTYPE_BOOL, "bool", "b", 1, {3}, "[3]", 3}}},
    {{{"tensor_shape", RDS_DTYPE_UINT8, "uint8", "C", 1, {5}, "[5]", 5},
      {"data", RDS_DTYPE_COMPLEX64, "complex64", "f", 8, {}, "[]", 2}}},
};

static std::string place, table_root;

/* What threads share ------------------------------------------------------------------------------------------ */

struct Slots {
    std::atomic<void *> live[SLOTS]{};
    /* An index into kinds; a hint, as another thread may put in another handle at any moment. */
    std::atomic<int> kind[SLOTS]{};
    std::atomic<void *> closed[CLOSED]{};
    std::atomic<unsigned> closings{0};

    void was_closed(void *handle) { closed[closings++ % CLOSED] = handle; }
};

static Slots readers, writers;

static std::mutex sharing;
static std::vector<void *> opened_readers, opened_writers;
static std::vector<std::vector<uint8_t>> tokens;
static std::vector<std::function<void()>> kept;
static std::vector<std::unique_ptr<Tree>> trees;
static std::vector<std::unique_ptr<Producer>> producers;
static std::atomic<uint64_t> logged;

/* A handle, wrong in one of `wrong_in` calls. */
static void *any_handle(Slots &own, Slots &other, uint64_t wrong_in, int *slot) {
    *slot = (int)below(SLOTS);
    void *handle = own.live[*slot];
    if (!once_in(wrong_in)) {
        note(" handle=%d", *slot);
        if (!handle) WRONG(" (NULL)");
        return handle;
    }
    switch (below(4)) {
    case 0:
        WRONG(" handle=NULL");
        return nullptr;
    case 1:
        handle = reinterpret_cast<void *>(once_in(2) ? next_random() : below(4096));
        WRONG(" handle=%p", handle);
        return handle;
    case 2:
        handle = own.closed[below(CLOSED)];
        WRONG(" handle=%p, closed", handle);
        return handle;
    default:
        handle = other.live[below(SLOTS)];
        WRONG(" handle=%p, of another type", handle);
        return handle;
    }
}

/* Puts in a handle, and gives the one that was there. */
static void *share(Slots &slots, std::vector<void *> &opened, void *handle, int kind, int slot) {
    {
        std::lock_guard<std::mutex> lock(sharing);
        opened.push_back(handle);
    }
    slots.kind[slot] = kind;
    return slots.live[slot].exchange(handle);
}

static rds_reader *any_reader(uint64_t wrong_in = 24) {
    int slot;
    return static_cast<rds_reader *>(any_handle(readers, writers, wrong_in, &slot));
}

static rds_writer *any_writer(int *kind, uint64_t wrong_in = 24) {
    int slot;
    void *handle = any_handle(writers, readers, wrong_in, &slot);
    *kind = once_in(30) ? (int)below(kinds.size()) : writers.kind[slot].load();
    return static_cast<rds_writer *>(handle);
}

/* Uses something exported, at once, later or on another thread. */
static void use(std::function<void()> what) {
    if (once_in(2)) return what();
    std::function<void()> other;
    {
        std::lock_guard<std::mutex> lock(sharing);
        kept.push_back(std::move(what));
        if (kept.size() < 32) return;
        std::swap(kept[below(kept.size())], kept.back());
        other = std::move(kept.back());
        kept.pop_back();
    }
    other();
}

template <typename T> static void release_later(const T &moved) {
    use([copy = moved]() mutable { copy.release(&copy); });
}

/* Callbacks ---------------------------------------------------------------------------------------------------- */

static void logs(void *, uint32_t, const char *target, const char *message) {
    logged += strlen(target) + strlen(message);
}

static int stops(void *user_data, uint64_t, uint64_t) { return (int)(*static_cast<uint64_t *>(user_data)) & 1; }

/* Asked on the thread that made the call, by every call on the writer or the reader that waits. */
static int waits(void *) {
    int kind;
    if (once_in(3)) {
        char note[sizeof self->note];
        memcpy(note, self->note, sizeof note);
        size_t noted = self->noted;
        bool wrong = self->wrong;
        rds_write_stats stats = RDS_WRITE_STATS_INIT;
        rds_status status = rds_writer_stats(any_writer(&kind), &stats);
        if (status == RDS_ERR_PANIC || status == RDS_ERR_INTERNAL) report("rds_writer_stats in a callback");
        memcpy(self->note, note, sizeof note);
        self->noted = noted;
        self->wrong = wrong;
    }
    return once_in(40);
}

/* Places ------------------------------------------------------------------------------------------------------- */

/* The path of a table, and its kind. `NEW` ones are made and replaced by the calls. */
static std::string table_path(int *kind) {
    if (once_in(12)) {
        /* A table of others, without ids. */
        *kind = 0;
        return table_root + "/types.lance";
    }
    *kind = (int)below(kinds.size());
    std::string name = (once_in(6) ? "new" : "t") + std::to_string(*kind);
    std::string path = table_root + "/" + name + (*kind % 2 ? "" : ".lance");
    return once_in(6) ? "file://" + path : path;
}

static const char *any_path(int *kind, uint64_t wrong_in = 8) {
    static const std::string longest(6000, 'x');
    if (!once_in(wrong_in)) {
        std::string path = table_path(kind);
        char *text = room<char>(path.size() + 1);
        memcpy(text, path.c_str(), path.size() + 1);
        note(" path=%s", text + (path.size() > table_root.size() ? table_root.size() : 0));
        return text;
    }
    *kind = 0;
    switch (below(8)) {
    case 0:
        WRONG(" path=NULL");
        return nullptr;
    case 1:
        WRONG(" path=not UTF-8");
        return one_of<const char *>({"\xff\xfe", "t\xc3.lance", "file:///tmp/\x80"});
    case 2:
        WRONG(" path=control characters");
        return one_of<const char *>({"a\nb.lance", "\x01", "t\x7f.lance", "file:///tmp/\x1b[0m", "a\tb"});
    case 3: {
        const char *path =
            one_of<const char *>({"s3://bucket/t.lance", "memory://t.lance", "http://localhost:1/t", "az://x"});
        WRONG(" path=%s", path);
        return path;
    }
    case 4: {
        std::string path = table_root + one_of<const char *>({"/plain", "/plain.lance", "/plain/t.lance", "/plain/"});
        char *text = room<char>(path.size() + 1);
        memcpy(text, path.c_str(), path.size() + 1);
        WRONG(" path=%s, a file", text);
        return text;
    }
    case 5:
        WRONG(" path of 6000 bytes");
        return longest.c_str();
    default: {
        const char *path = one_of<const char *>({"", ".", "..", "file://", "file:", "file://host/x.lance", "%2e.lance",
                                                 "nowhere/at/all.lance", "no?a=b#c.lance", ".lance", "://",
                                                 "file:%zz.lance"});
        note(" path=%s", path);
        return path;
    }
    }
}

#endif
