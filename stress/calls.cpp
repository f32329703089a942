/* Calls of every function with arguments right and wrong, from several threads on handles that they share and close.
 * No call may end the process, hang, panic or say RDS_ERR_INTERNAL; each says only what its header says.
 *
 *   calls DIRECTORY CALLS SEED THREADS ARROW [FUNCTION...]
 *
 * ARROW is 0 if batches of Arrow are not to be spoilt. It prints how often each function gave each status, and how many
 * batches and streams were released. calls.py compiles and runs it, and hands over in RDS_DOCUMENTED what the header
 * says that functions give. */
#include <algorithm>
#include <fstream>
#include <sstream>
#include <thread>

#include <sys/wait.h>

#include "calls_gather.h"
#include "calls_loaders.h"
#include "calls_readers.h"
#include "calls_tables.h"
#include "calls_writers.h"

constexpr int CALLS_IN_ROUND = 20000;
constexpr int64_t HANGS_MS = 150000;

static std::atomic<int64_t> calls_left;

struct Function {
    const char *name;
    void (*call)();
    int weight;
};

#define FUNCTION(name, weight) {#name, call_##name, weight}

static std::vector<Function> functions = {
    FUNCTION(rds_abi_version, 2), FUNCTION(rds_build_info, 2), FUNCTION(rds_check_abi, 4), FUNCTION(rds_commit, 12),
    FUNCTION(rds_commit_staged, 4), FUNCTION(rds_flush, 8), FUNCTION(rds_last_error, 6),
    FUNCTION(rds_last_error_message, 4),
    FUNCTION(rds_last_error_status, 2), FUNCTION(rds_list_parts, 6), FUNCTION(rds_loader_close, 8),
    FUNCTION(rds_loader_fd, 12),
    FUNCTION(rds_loader_next, 80), FUNCTION(rds_loader_open, 40), FUNCTION(rds_loader_release, 12),
    FUNCTION(rds_loader_seek, 20), FUNCTION(rds_loader_state, 20), FUNCTION(rds_loader_stats, 20),
    FUNCTION(rds_pack_parts, 6),
    FUNCTION(rds_reader_clone, 12), FUNCTION(rds_reader_close, 10),
    FUNCTION(rds_reader_column, 20), FUNCTION(rds_reader_column_info, 20), FUNCTION(rds_reader_dlpack, 40),
    FUNCTION(rds_reader_find, 60), FUNCTION(rds_reader_find_all, 40), FUNCTION(rds_reader_gather, 120),
    FUNCTION(rds_reader_get, 30), FUNCTION(rds_reader_id, 30), FUNCTION(rds_reader_ids, 30),
    FUNCTION(rds_reader_info, 20), FUNCTION(rds_reader_metadata, 12), FUNCTION(rds_reader_metadata_at, 12),
    FUNCTION(rds_reader_open, 30), FUNCTION(rds_reader_read, 50),
    FUNCTION(rds_reader_read_range, 40), FUNCTION(rds_reader_refresh, 8), FUNCTION(rds_reader_schema, 16),
    FUNCTION(rds_reader_span, 20), FUNCTION(rds_reader_stream, 60), FUNCTION(rds_reader_take, 40),
    FUNCTION(rds_reader_versions, 12),
    FUNCTION(rds_recover, 4), FUNCTION(rds_runtime_configure, 6), FUNCTION(rds_set_log_callback, 4),
    FUNCTION(rds_status_name, 4), FUNCTION(rds_vacuum, 4), FUNCTION(rds_version, 2), FUNCTION(rds_write_batch, 120),
    FUNCTION(rds_write_stream, 80), FUNCTION(rds_write_tensors, 120), FUNCTION(rds_writer_abort, 8),
    FUNCTION(rds_writer_close, 12), FUNCTION(rds_writer_open, 16), FUNCTION(rds_writer_stage, 10),
    FUNCTION(rds_writer_stats, 30),
};

static std::vector<const Function *> choices;

/* Where a thread that has used up its stack can tell of it. */
static void set_signal_stack() {
    static thread_local char memory[1 << 16];
    const stack_t stack = {memory, 0, sizeof memory};
    sigaltstack(&stack, nullptr);
}

static void work(int number, uint64_t round_seed) {
    self = threads[number];
    set_signal_stack();
    self->state = round_seed;
    while (calls_left-- > 0) {
        const Function &chosen = *choices[below(choices.size())];
        begin(chosen.name);
        chosen.call();
    }
    self->function = nullptr;
    self->memory.clear();
}

static void must(rds_status status, const char *what) {
    if (status == RDS_OK) return;
    fprintf(stderr, "%s: %s\n", what, rds_last_error_message());
    exit(1);
}

static void write_rows(rds_writer *writer, const Kind &kind, uint64_t rows) {
    rds_ids ids = RDS_IDS_INIT;
    std::vector<uint64_t> numbers(rows), data(rows * 16);
    for (uint64_t i = 0; i < rows; i++) numbers[i] = i;
    std::vector<std::vector<int64_t>> shapes;
    std::vector<rds_tensor> tensors;
    for (const Column &column : kind.columns) {
        std::vector<int64_t> &shape = shapes.emplace_back(column.dims);
        shape.insert(shape.begin(), (int64_t)rows);
        rds_tensor tensor = RDS_TENSOR_INIT;
        tensor.name = column.name, tensor.dtype = column.dtype, tensor.ndim = (uint32_t)shape.size();
        tensor.data = data.data();
        tensors.push_back(tensor);
    }
    for (size_t i = 0; i < tensors.size(); i++) tensors[i].shape = shapes[i].data();
    ids.kind = RDS_IDS_UINT64, ids.count = rows, ids.data = numbers.data();
    must(rds_write_tensors(writer, &ids, tensors.data(), tensors.size()), "a first batch");
}

static std::string table_of(size_t kind) {
    return table_root + "/t" + std::to_string(kind) + (kind % 2 ? "" : ".lance");
}

/* In a process of its own: runs that end with rows that are durable and not visible. */
static void die_with_rows() {
    for (size_t i = 0; i < kinds.size(); i++) {
        rds_writer_options options = RDS_WRITER_OPTIONS_INIT;
        rds_writer *writer = nullptr;
        options.mode = i % 3 == 2 ? RDS_MODE_OVERWRITE : RDS_MODE_APPEND;
        options.durability = RDS_DURABILITY_BATCH;
        must(rds_writer_open(table_of(i).c_str(), &options, &writer), "a run that dies");
        write_rows(writer, kinds[i], 3);
    }
    _exit(0);
}

/* A handle of each type for the table, so that calls find some from the beginning. */
static void open_table(const char *path, int kind) {
    rds_reader *reader = nullptr;
    rds_writer *writer = nullptr;
    rds_writer_options options = RDS_WRITER_OPTIONS_INIT;
    options.mode = RDS_MODE_APPEND;
    must(rds_reader_open(path, nullptr, &reader), "a reader");
    must(rds_writer_open(path, &options, &writer), "an appending writer");
    share(readers, opened_readers, reader, kind, kind % SLOTS);
    share(writers, opened_writers, writer, kind, kind % SLOTS);
}

static void let_runs_die() {
    pid_t child = fork();
    if (child == 0) {
        execl("/proc/self/exe", "calls", table_root.c_str(), nullptr);
        _exit(127);
    }
    int status = 0;
    waitpid(child, &status, 0);
    if (status == 0) return;
    fprintf(stderr, "the process whose runs die ended with %d\n", status);
    exit(1);
}

/* A table of each kind, some tokens for it, and files in the way. */
static void make_tables() {
    fs::create_directory(table_root);
    for (const char *name : {"/plain", "/plain.lance"}) std::ofstream(table_root + name) << "no table";
    if (const char *fixtures = getenv("RDS_FIXTURES")) {
        std::string types = std::string(fixtures) + "/foreign/types.lance";
        fs::copy(types, table_root + "/types.lance", fs::copy_options::recursive);
    }
    for (size_t i = 0; i < kinds.size(); i++) {
        std::string path = table_of(i);
        rds_writer *writer = nullptr;
        const rds_metadata said[] = {{"model", "cnn-7"}, {"note", ""}};
        rds_writer_options made = RDS_WRITER_OPTIONS_INIT;
        made.metadata = said, made.metadata_count = i % 3;
        must(rds_writer_open(path.c_str(), &made, &writer), "a table");
        write_rows(writer, kinds[i], 50);
        must(rds_flush(writer), "its first rows");
        write_rows(writer, kinds[i], 30);
        must(rds_writer_close(writer), "its close");
        rds_writer_options options = RDS_WRITER_OPTIONS_INIT;
        options.mode = RDS_MODE_STAGED;
        options.job = i % 2 ? "job" : nullptr;
        must(rds_writer_open(path.c_str(), &options, &writer), "a staging writer");
        /* A part of a job is one token. */
        for (int k = options.job ? 2 : 0; k < 3; k++) {
            rds_token token;
            if (k) write_rows(writer, kinds[i], 5);
            must(rds_writer_stage(writer, &token), "a token");
            tokens.emplace_back(token.data, token.data + token.length);
        }
        must(rds_writer_close(writer), "the staging writer's close");
    }
    /* Writers that append finish the runs of the dead; some are opened before there are any. */
    for (size_t i = 0; i < kinds.size(); i++) {
        if (i == kinds.size() / 2) let_runs_die();
        open_table(table_of(i).c_str(), (int)i);
    }
}

static void close_all() {
    for (Slots *slots : {&loaders, &readers, &writers}) {
        for (auto &live : slots->live) live = nullptr;
        for (auto &closed : slots->closed) closed = nullptr;
    }
    for (void *handle : opened_loaders) close_loader(handle);
    for (void *handle : opened_readers) close_reader(handle);
    for (void *handle : opened_writers) close_writer(handle);
    opened_loaders.clear();
    opened_readers.clear();
    opened_writers.clear();
    /* Using one may keep another. */
    while (!kept.empty()) {
        std::function<void()> what = std::move(kept.back());
        kept.pop_back();
        what();
    }
    tokens.clear();
}

static std::string unreleased(const Tree &tree) {
    const Node &root = tree.nodes[0];
    std::ostringstream out;
    if (root.array_released != tree.moved) {
        out << "a batch that was moved " << tree.moved << " times was released " << root.array_released
            << " times:" << tree.what;
    }
    for (const Node &node : tree.nodes) {
        if (node.array_released > 1) out << "a child was released " << node.array_released << " times:" << tree.what;
    }
    return out.str();
}

static std::string unreleased(const Producer &producer) {
    std::ostringstream out;
    if (producer.released != (producer.moved ? 1 : 0)) {
        out << "a stream that was " << (producer.moved ? "" : "not ") << "moved was released " << producer.released
            << " times:" << producer.what;
    }
    if (producer.used_after_release) out << "a stream was used after its release:" << producer.what;
    if (producer.columns->root().schema_released != producer.schemas) {
        out << "a schema was given " << producer.schemas << " times and released "
            << producer.columns->root().schema_released << " times:" << producer.what;
    }
    for (const auto &batch : producer.batches) {
        if (out.str().empty()) out << unreleased(*batch);
    }
    return out.str();
}

/* Batches of writers that went on in the background are released when these are done. */
static void check_released() {
    std::string wrong;
    for (int64_t end = now_ms() + 60000;; std::this_thread::sleep_for(std::chrono::milliseconds(50))) {
        wrong.clear();
        for (const auto &tree : trees) wrong = wrong.empty() ? unreleased(*tree) : wrong;
        for (const auto &producer : producers) wrong = wrong.empty() ? unreleased(*producer) : wrong;
        if (wrong.empty() || now_ms() > end) break;
    }
    if (!wrong.empty()) {
        fprintf(stderr, "%s\n", wrong.c_str());
        failures++;
    }
    for (auto &tree : trees) tree->forget();
    trees.clear();
    producers.clear();
}

static void play_round(int thread_count, uint64_t round_seed) {
    table_root = place + "/tables";
    make_tables();
    std::vector<std::thread> started;
    for (int i = 1; i < thread_count; i++) started.emplace_back(work, i, round_seed + (uint64_t)i);
    work(0, round_seed);
    for (auto &thread : started) thread.join();
    self->note[0] = 0;
    close_all();
    check_released();
    fs::remove_all(table_root);
}

static void watch() {
    for (;;) {
        std::this_thread::sleep_for(std::chrono::seconds(1));
        for (Thread *thread : threads) {
            if (!thread || !thread->function || now_ms() - thread->since < HANGS_MS) continue;
            tell_all("HANG: a call has not come back\n");
            _exit(2);
        }
    }
}

static void configure() {
    std::istringstream text(getenv("RDS_DOCUMENTED") ? getenv("RDS_DOCUMENTED") : "");
    for (std::string name, statuses; std::getline(text, name, ':') && std::getline(text, statuses, ' ');) {
        documented[name] = (uint32_t)std::stoul(statuses);
    }
    rds_runtime_options options = RDS_RUNTIME_OPTIONS_INIT;
    options.worker_threads = 1025;
    begin("rds_runtime_configure");
    WRONG(" worker_threads=1025");
    CALL(rds_runtime_configure, &options);
    options.worker_threads = 3;
    begin("rds_runtime_configure");
    CALL(rds_runtime_configure, &options);
    struct sigaction action {};
    action.sa_handler = crashed;
    action.sa_flags = SA_ONSTACK | SA_RESETHAND;
    for (int signal : {SIGSEGV, SIGABRT, SIGBUS, SIGILL, SIGFPE}) sigaction(signal, &action, nullptr);
}

int main(int argc, char **argv) {
    if (argc == 2) {
        table_root = argv[1];
        die_with_rows();
    }
    if (argc < 6) return 64;
    place = argv[1];
    int64_t calls = std::atoll(argv[2]);
    seed = std::strtoull(argv[3], nullptr, 10);
    int thread_count = std::min(std::atoi(argv[4]), MOST_THREADS);
    arrow_spoilt = std::atoi(argv[5]) != 0;
    for (int i = 0; i < thread_count; i++) threads[i] = new Thread{};
    for (int i = 0; i < thread_count; i++) threads[i]->number = i;
    self = threads[0];
    if (chdir(place.c_str()) != 0) return 1;
    configure();
    for (const Function &function : functions) {
        bool named = argc == 6;
        for (int i = 6; i < argc; i++) named |= strcmp(argv[i], function.name) == 0;
        if (named) choices.insert(choices.end(), (size_t)function.weight, &function);
    }
    std::thread(watch).detach();
    for (uint64_t round = 0; calls > 0; round++, calls -= CALLS_IN_ROUND) {
        calls_left = std::min<int64_t>(calls, CALLS_IN_ROUND);
        play_round(thread_count, seed * 1000003 + round * 101);
    }
    for (const auto &[name, count] : counts) {
        printf("%s", name.c_str());
        for (uint64_t times : count) printf(" %llu", (unsigned long long)times);
        printf("\n");
    }
    printf("released %llu %llu\n", (unsigned long long)released_arrays, (unsigned long long)released_streams);
    fflush(stdout);
    for (Thread *thread : threads) delete thread;
    return failures ? 1 : 0;
}
