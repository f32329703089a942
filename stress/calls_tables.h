/* Calls of the functions that have no handle. */
#ifndef CALLS_TABLES_H
#define CALLS_TABLES_H

#include <algorithm>

#include "calls_shared.h"

static void call_rds_version() {
    if (!strlen(rds_version())) report("empty");
    count_call(RDS_OK);
}

static void call_rds_build_info() {
    if (!strlen(rds_build_info())) report("empty");
    count_call(RDS_OK);
}

static void call_rds_abi_version() {
    if (rds_abi_version() < RDS_ABI_VERSION) report("it is too small");
    count_call(RDS_OK);
}

static void call_rds_check_abi() {
    uint32_t version = one_of<uint32_t>({RDS_ABI_VERSION, RDS_ABI_VERSION, 0, 1, 1001, UINT32_MAX});
    if (version != RDS_ABI_VERSION) WRONG(" abi_version=%u", version);
    CALL(rds_check_abi, version);
}

static void call_rds_status_name() {
    uint32_t status = once_in(2) ? (uint32_t)below(20) : (uint32_t)next_random();
    const char *name = rds_status_name(status);
    if ((strcmp(name, "RDS_ERR_UNKNOWN") == 0) != (status > RDS_ERR_STREAM)) report(name);
    count_call(RDS_OK);
}

static void call_rds_last_error_message() {
    if (!is_utf8(rds_last_error_message())) report("not UTF-8");
    count_call(RDS_OK);
}

static void call_rds_last_error_status() {
    if ((uint32_t)rds_last_error_status() > RDS_ERR_STREAM) report("no status");
    count_call(RDS_OK);
}

static void call_rds_last_error() {
    Out<rds_error> error(RDS_ERROR_INIT, false);
    /* It tells of the call before it. */
    if (once_in(2)) (void)!rds_check_abi(0);
    error.check(CALL(rds_last_error, error.pointer()));
}

static void call_rds_set_log_callback() {
    uint32_t level = once_in(4) ? one_of<uint32_t>({6, 77, UINT32_MAX}) : (uint32_t)below(5);
    if (level > RDS_LOG_TRACE) WRONG(" level=%u", level);
    CALL(rds_set_log_callback, level, once_in(3) ? nullptr : logs, nullptr);
}

static void call_rds_runtime_configure() {
    In<rds_runtime_options> options(RDS_RUNTIME_OPTIONS_INIT);
    options.value().worker_threads = once_in(2) ? below(9) : huge();
    options.spoil(true);
    /* The runtime runs. */
    WRONG(" worker_threads=%llx", (unsigned long long)options.value().worker_threads);
    CALL(rds_runtime_configure, options.pointer());
}

static void call_rds_vacuum() {
    int kind;
    In<rds_vacuum_options> options(RDS_VACUUM_OPTIONS_INIT);
    Out<rds_vacuum_info> info(RDS_VACUUM_INFO_INIT, true);
    const char *path = any_path(&kind, 2);
    options.value().older_than_ms = once_in(3) ? one_of<uint64_t>({1, 100, UINT64_MAX, 1ull << 62}) : 0;
    options.value().flags = (uint32_t)below(4);
    if (once_in(3)) options.value().flags = 4u << below(30), WRONG(" flags=%x", options.value().flags);
    if (once_in(6)) options.value().reserved = 1, WRONG(" reserved=1");
    options.spoil(true);
    if (!options.given && !path) self->wrong = true;
    bool wrong = self->wrong;
    /* Without options there are no wrong ones. */
    if (!options.given) self->wrong = wrong && !path;
    info.check(CALL(rds_vacuum, path, options.pointer(), info.pointer()));
}

/* The name of a run, of the table if there is one. */
static const char *any_run(const char *path) {
    std::error_code none;
    std::string table = path ? path : "";
    if (table.rfind("file://", 0) == 0) table.erase(0, 7);
    if (table.size() < 6 || table.substr(table.size() - 6) != ".lance") table += "/lance_db/results.lance";
    std::vector<std::string> names = {"", ".", "..", "../x", "\xff", "a/b", "00000000", "a\nb", "x"};
    for (fs::directory_iterator at(table + "/_rds", none), end; !none && at != end; at.increment(none)) {
        names.push_back(at->path().filename());
    }
    const std::string &name = names[below(names.size())];
    char *text = room<char>(name.size() + 1);
    memcpy(text, name.c_str(), name.size() + 1);
    return text;
}

static void call_rds_recover() {
    int kind;
    In<rds_recover_options> options(RDS_RECOVER_OPTIONS_INIT);
    Out<rds_recover_info> info(RDS_RECOVER_INFO_INIT, true);
    const char *path = any_path(&kind, 3);
    options.value().flags = (uint32_t)below(16);
    if ((options.value().flags & 3) == 3) WRONG(" both DROP and ONTO_REPLACED");
    if (once_in(8)) options.value().flags = 16u << below(28), WRONG(" flags=%x", options.value().flags);
    if (once_in(8)) options.value().reserved = 1, WRONG(" reserved=1");
    if (once_in(4)) {
        options.value().run = any_run(path);
        note(" run=%s", options.value().run);
    }
    note(" flags=%x", options.value().flags);
    options.spoil(true);
    if (!options.given) self->wrong = false;
    info.check(CALL(rds_recover, path, options.pointer(), info.pointer()));
}

/* Tokens as they are, cut short, damaged, doubled and made up. */
static rds_token any_token() {
    std::vector<uint8_t> bytes;
    {
        std::lock_guard<std::mutex> lock(sharing);
        if (!tokens.empty()) bytes = tokens[below(tokens.size())];
    }
    switch (below(8)) {
    case 0:
        bytes.resize(below(bytes.size() + 1));
        note(" token cut to %zu", bytes.size());
        break;
    case 1:
        for (uint64_t i = below(3); i < 3 && !bytes.empty(); i++) {
            bytes[below(bytes.size())] ^= (uint8_t)(1 + below(255));
        }
        note(" token damaged");
        break;
    case 2:
        bytes.resize(below(300));
        for (uint8_t &byte : bytes) byte = (uint8_t)next_random();
        note(" token made up");
        break;
    case 3: {
        size_t length = once_in(2) ? (size_t)huge() : 5;
        WRONG(" token of %zx bytes at NULL", length);
        return {nullptr, length};
    }
    case 4:
        bytes.resize(bytes.size() + 1 + below(20));
        note(" token with a tail");
        break;
    default:
        note(" token of %zu bytes", bytes.size());
        break;
    }
    uint8_t *memory = room<uint8_t>(bytes.size());
    std::copy(bytes.begin(), bytes.end(), memory);
    return {memory, bytes.size()};
}

static rds_token *any_tokens(size_t *count) {
    *count = below(4);
    rds_token *given = room<rds_token>(*count);
    for (size_t i = 0; i < *count; i++) given[i] = any_token();
    if (*count > 1 && once_in(6)) given[1] = given[0], note(" twice");
    if (!once_in(10)) return given;
    *count = once_in(2) ? 3 : (size_t)huge();
    WRONG(" tokens=NULL count=%zx", *count);
    return nullptr;
}

/* The name of a job: mostly that of tokens, never NULL. */
static const char *any_job() {
    static const std::string longest(3000, '/');
    const char *job = once_in(2) ? "job" : one_of({"", ".", "..", "a/b", "\n", "%", "JOB", longest.c_str()});
    if (once_in(12)) job = "\xed\xa0\x80", WRONG(" job=not UTF-8");
    else note(" job=%.20s", job);
    return job;
}

/* What options of publishing and of packing have in common, and the flags that they know. */
template <typename T> static void any_mode(T *options, uint32_t known) {
    options->mode = (uint32_t)below(3);
    if (once_in(8)) options->mode = one_of({3u, 4u, UINT32_MAX}), WRONG(" mode=%u", options->mode);
    if (!once_in(8)) return;
    options->flags = 1u << below(32);
    if (options->flags & known) note(" flags=%x", options->flags);
    else WRONG(" flags=%x", options->flags);
}

static void call_rds_commit_staged() {
    int kind;
    In<rds_commit_staged_options> options(RDS_COMMIT_STAGED_OPTIONS_INIT);
    Out<rds_commit_info> info(RDS_COMMIT_INFO_INIT, true);
    const char *path = any_path(&kind);
    size_t count;
    rds_token *given = any_tokens(&count);
    any_mode(&options.value(), 0);
    if (once_in(3)) options.value().job = any_job();
    bool before = self->wrong;
    options.spoil(true);
    if (!options.given) self->wrong = before && !given && count;
    info.check(CALL(rds_commit_staged, path, given, count, options.pointer(), info.pointer()));
}

static void call_rds_pack_parts() {
    int kind;
    In<rds_pack_parts_options> options(RDS_PACK_PARTS_OPTIONS_INIT);
    Value<uint64_t> rows(true);
    const char *path = any_path(&kind), *job = any_job();
    size_t count;
    if (once_in(16)) job = nullptr, WRONG(" job=NULL");
    rds_token *given = any_tokens(&count);
    bool before = self->wrong;
    any_mode(&options.value(), RDS_PACK_PARTS_MORE);
    options.value().shares = once_in(4) ? huge() : below(4);
    uint64_t shares = std::max<uint64_t>(options.value().shares, 1);
    options.value().share = once_in(6) ? UINT64_MAX : below(shares);
    note(" share=%llx of %llx", (unsigned long long)options.value().share, (unsigned long long)shares);
    if (options.value().share >= shares) WRONG(", which is none");
    options.spoil(true);
    /* Without options there are no wrong ones. */
    if (!options.given) self->wrong = before;
    rows.check(CALL(rds_pack_parts, path, job, given, count, options.pointer(), rows.place));
}

static int lists(void *user_data, const char *job, uint64_t first, uint64_t last, const rds_token *token) {
    if (!is_utf8(job)) report("the name of a job is not UTF-8");
    if (first > last || (token && (first != last || !token->length))) report("these are no parts");
    if (user_data) return 1;
    if (!token) return 0;
    /* It is as good as those that writers gave. */
    std::lock_guard<std::mutex> lock(sharing);
    if (tokens.size() < 64) tokens.emplace_back(token->data, token->data + token->length);
    return 0;
}

static void call_rds_list_parts() {
    int kind;
    const char *path = any_path(&kind), *job = once_in(2) ? nullptr : any_job();
    uint64_t *part = once_in(2) ? nullptr : room<uint64_t>(1);
    if (part) *part = once_in(3) ? huge() : below(3), note(" part=%llx", (unsigned long long)*part);
    rds_part_callback each = lists;
    if (once_in(16)) each = nullptr, WRONG(" each=NULL");
    CALL(rds_list_parts, path, job, part, each, once_in(3) ? self : nullptr);
}

#endif
