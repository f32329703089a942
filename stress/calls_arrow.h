/* Arrow batches and streams, right ones and spoilt ones, whose release callbacks are counted. What is spoilt are
 * claims: memory is always there for what they say, unless they are impossible by themselves. */
#ifndef CALLS_ARROW_H
#define CALLS_ARROW_H

#include <memory>

#include "calls_given.h"

constexpr size_t BUFFER_ROOM = 1 << 14;
constexpr int ROOM = 16;

struct Column {
    const char *name;
    uint32_t dtype;
    const char *dtype_name;
    const char *format;
    int bytes;
    std::vector<int64_t> dims;
    const char *shape;
    /* Numbers in a row, as Arrow has them. */
    int numbers;
};

/* A kind of table: how its rows look. */
struct Kind {
    std::vector<Column> columns;
};

struct Tree;

struct Node {
    ArrowSchema schema{};
    ArrowArray array{};
    ArrowSchema *schema_children[ROOM]{};
    ArrowArray *array_children[ROOM]{};
    const void *buffers[ROOM]{};
    std::string format, name, metadata;
    std::atomic<int> schema_released{0}, array_released{0};
    Tree *tree = nullptr;
};

struct Tree {
    std::deque<Node> nodes;
    std::vector<void *> memory;
    /* Whether root was handed over. */
    std::atomic<int> moved{0};
    std::string what;

    ~Tree() { forget(); }
    void forget() {
        for (void *bytes : memory) free(bytes);
        memory.clear();
    }
    Node &root() { return nodes[0]; }
};

static bool arrow_spoilt;
static std::atomic<uint64_t> released_arrays, released_streams;

static void release_schema(ArrowSchema *schema) {
    static_cast<Node *>(schema->private_data)->schema_released++;
    schema->release = nullptr;
}

static void release_array(ArrowArray *array) {
    Node *node = static_cast<Node *>(array->private_data);
    node->array_released++;
    array->release = nullptr;
    if (node != &node->tree->root()) return;
    released_arrays++;
    node->tree->forget();
}

static void *tree_room(Tree &tree) {
    tree.memory.push_back(calloc(1, BUFFER_ROOM));
    return tree.memory.back();
}

static Node &add_node(Tree &tree, const char *format, const char *name, int64_t length, int n_buffers) {
    Node &node = tree.nodes.emplace_back();
    node.tree = &tree;
    node.format = format;
    node.name = name;
    node.schema.format = node.format.c_str();
    node.schema.name = node.name.c_str();
    node.schema.flags = ARROW_FLAG_NULLABLE;
    node.schema.children = node.schema_children;
    node.schema.release = release_schema;
    node.schema.private_data = &node;
    node.array.length = length;
    node.array.null_count = once_in(4) ? -1 : 0;
    node.array.n_buffers = n_buffers;
    node.array.buffers = node.buffers;
    node.array.children = node.array_children;
    node.array.release = release_array;
    node.array.private_data = &node;
    for (int i = 1; i < n_buffers; i++) node.buffers[i] = tree_room(tree);
    if (n_buffers && once_in(6)) {
        node.buffers[0] = tree_room(tree);
        memset(const_cast<void *>(node.buffers[0]), 0xff, BUFFER_ROOM);
    }
    return node;
}

static void adopt(Node &parent, Node &child) {
    parent.schema_children[parent.schema.n_children++] = &child.schema;
    parent.array_children[parent.array.n_children++] = &child.array;
}

static std::string metadata_of(const std::vector<std::string> &texts) {
    std::string out;
    auto number = [&out](int32_t n) { out.append(reinterpret_cast<const char *>(&n), sizeof n); };
    number((int32_t)texts.size() / 2);
    for (const std::string &text : texts) {
        number((int32_t)text.size());
        out += text;
    }
    return out;
}

/* A column of ids of any form. */
static Node &add_ids(Tree &tree, int64_t rows) {
    const char *format = one_of({"u", "u", "u", "U", "vu", "z", "l", "C", "i"});
    bool text = strchr("uUz", format[0]) != nullptr, views = format[0] == 'v';
    Node &node = add_node(tree, format, "object_id", rows, views ? 4 : text ? 3 : 2);
    for (int64_t i = 0; text && i <= rows; i++) {
        void *offsets = const_cast<void *>(node.buffers[1]);
        if (format[0] == 'U') static_cast<int64_t *>(offsets)[i] = i * 3;
        else static_cast<int32_t *>(offsets)[i] = (int32_t)i * 3;
    }
    if (text) memset(const_cast<void *>(node.buffers[2]), 'a' + (int)below(26), (size_t)rows * 3);
    for (int64_t i = 0; views && i < rows; i++) {
        int32_t *view = static_cast<int32_t *>(const_cast<void *>(node.buffers[1])) + i * 4;
        view[0] = i % 2 ? 20 : 3;
        memcpy(view + 1, "aaaa", 4);
        if (i % 2 == 0) memcpy(view + 1, "abc", 4);
        else view[2] = 0, view[3] = (int32_t)i;
    }
    if (views) {
        memset(const_cast<void *>(node.buffers[2]), 'a', 1000);
        *static_cast<int64_t *>(const_cast<void *>(node.buffers[3])) = 1000;
    }
    return node;
}

static Node &add_tensors(Tree &tree, const Column &column, int64_t rows) {
    std::string list = "+w:" + std::to_string(column.numbers);
    Node &data = add_node(tree, list.c_str(), column.name, rows, 1);
    Node &items = add_node(tree, column.format, "item", rows * column.numbers, 2);
    adopt(data, items);
    return data;
}

/* Keys and values of the metadata, one of each for a column. */
static std::vector<std::string> described(const Kind &kind) {
    std::vector<std::string> texts;
    for (const Column &column : kind.columns) {
        texts.push_back(column.name);
        texts.push_back("{\"tensor_shape\": " + std::string(column.shape) + ", \"tensor_dtype\": \"" +
                        column.dtype_name + "\"}");
    }
    return texts;
}

/* A batch as the table has it. */
static std::unique_ptr<Tree> right_tree(const Kind &kind, int64_t rows) {
    auto tree = std::make_unique<Tree>();
    Node &root = add_node(*tree, "+s", "", rows, 1);
    const Column &first = kind.columns[0];
    bool lone = kind.columns.size() == 1 && strcmp(first.name, "data") == 0;
    root.metadata = lone ? metadata_of({"tensor_shape", first.shape, "tensor_dtype", first.dtype_name})
                         : metadata_of(described(kind));
    root.schema.metadata = root.metadata.data();
    Node &ids = add_ids(*tree, rows);
    Node &data = add_tensors(*tree, first, rows);
    if (once_in(4)) adopt(root, data), adopt(root, ids);
    else adopt(root, ids), adopt(root, data);
    for (size_t i = 1; i < kind.columns.size(); i++) adopt(root, add_tensors(*tree, kind.columns[i], rows));
    return tree;
}

/* A chain of types, one in the other, in place of the column's item. */
static void nest(Tree &tree, int depth) {
    Node *parent = &tree.nodes[2];
    for (int i = 0; i < depth; i++) {
        bool lists = once_in(2);
        Node &node = add_node(tree, lists ? "+w:1" : "+s", "item", tree.nodes[3].array.length, 1);
        parent->schema.n_children = parent->array.n_children = 0;
        adopt(*parent, node);
        parent = &node;
    }
    adopt(*parent, tree.nodes[3]);
}

/* What a type may be called; none of them needs more than BUFFER_ROOM for the rows that there are. */
static const char *odd_format() {
    static std::string longest(10000, 'a');
    return one_of<const char *>(
        {"",       "+",       "+w",      "+w:",    "+w:-1",      "+w:0",  "+w:2147483647", "+w:99999999999999999999",
         "+w:x",   "\xff",    "+w:\xff", "d:19,10", "d:76,-200", "d:",    "d:1,2,3,4",     "d:99999,1",
         "w:-5",   "w:0",     "w:",      "w:16",   "tss:\xff",   "tsu:",  "tsx:",          "ts",
         "t",      "tdD",     "tin",     "+ud:0",  "+us:",       "+ud:",  "+ud:0,1,2,3",   "+us:\xff",
         "+r",     "n",       "b",       "e",      "g",          "c",     "S",             "+m",
         "+vl",    "+",       "v",       "vx",     "+w:4 ",      "d:38,10,256", "d:5,2,32", longest.c_str()});
}

static void spoil_schema(Tree &tree) {
    Node &node = tree.nodes[below(tree.nodes.size())];
    ArrowSchema &schema = node.schema;
    switch (below(11)) {
    case 0:
        schema.format = nullptr;
        note(" schema.format=NULL");
        break;
    case 1: {
        /* Offsets of another width would be another claim about memory. */
        const char *format = odd_format();
        node.format = format;
        schema.format = node.format.c_str();
        note(" schema(%s).format=\"%.40s\"", node.name.c_str(), format);
        break;
    }
    case 2:
        schema.n_children = one_of<int64_t>({-1, INT64_MIN, 0, 1, 2, 3, ROOM});
        note(" schema(%s).n_children=%lld", node.name.c_str(), (long long)schema.n_children);
        break;
    case 3:
        schema.children = nullptr;
        if (once_in(2)) schema.n_children = one_of<int64_t>({1, 1000, INT64_MAX, -1});
        note(" schema(%s).children=NULL n_children=%lld", node.name.c_str(), (long long)schema.n_children);
        break;
    case 4:
        node.schema_children[below(2)] = nullptr;
        note(" schema(%s) has a child NULL", node.name.c_str());
        break;
    case 5:
        schema.release = nullptr;
        note(" schema(%s) is released", node.name.c_str());
        break;
    case 6:
        node.name = one_of<const char *>({"", "\xff\xfe", "object_id", "data", "\x01", "x", "image", "label", "a.b",
                                          "_rowid"});
        schema.name = once_in(4) ? nullptr : node.name.c_str();
        note(" a schema is named %s", schema.name ? "otherwise" : "NULL");
        break;
    case 7:
        schema.flags = (int64_t)next_random();
        note(" schema.flags=%llx", (unsigned long long)schema.flags);
        break;
    case 8: {
        int32_t negative[2] = {one_of<int32_t>({-1, INT32_MIN, 1}), one_of<int32_t>({-1, INT32_MIN, -5})};
        node.metadata.assign(reinterpret_cast<const char *>(negative), sizeof negative);
        schema.metadata = node.metadata.data();
        note(" schema(%s).metadata=%d,%d", node.name.c_str(), negative[0], negative[1]);
        break;
    }
    case 9: {
        std::string shape =
            one_of<const char *>({"[", "", "[1,-2]", "[0]", "[99999999999,99999999999]", "[2147483647]", "\xff",
                                  "[[[[1]]]]", "{}", "[1e9]", "[4,4", "null", "[9223372036854775808]"});
        std::string dtype =
            one_of<const char *>({"float32", "", "\xff", "object", "complex128", "bool", "datetime64[D]"});
        node.metadata = metadata_of({"tensor_shape", shape, "tensor_dtype", dtype});
        if (once_in(3)) {
            node.metadata = metadata_of({"ARROW:extension:name", "arrow.fixed_shape_tensor", "ARROW:extension:metadata",
                                         one_of<const char *>({"{", "{\"shape\":[2,-2]}", "{\"shape\":[]}", "", "\xff",
                                                               "{\"shape\":[4],\"permutation\":[7]}"})});
        }
        schema.metadata = node.metadata.data();
        note(" schema(%s).metadata says %s %s", node.name.c_str(), shape.c_str(), dtype.c_str());
        break;
    }
    default: {
        Node &values = add_node(tree, "u", "", 1, 3);
        schema.dictionary = &values.schema;
        if (once_in(3)) values.schema.release = nullptr;
        if (once_in(3)) values.schema.format = nullptr;
        if (once_in(2)) node.array.dictionary = &values.array;
        if (once_in(3)) values.array.release = nullptr;
        if (once_in(3)) values.array.length = -1;
        if (once_in(4)) values.schema.dictionary = &tree.nodes[1].schema;
        note(" schema(%s).dictionary, array's %s", node.name.c_str(), node.array.dictionary ? "too" : "NULL");
        break;
    }
    }
}

static void spoil_array(Tree &tree) {
    Node &node = tree.nodes[below(tree.nodes.size())];
    ArrowArray &array = node.array;
    const char *name = node.name.c_str();
    int64_t number = odd_number();
    switch (below(12)) {
    case 0:
        /* Less than there is, or what nothing can have. */
        array.length = number > 0 && number < 1000 ? array.length / 2 : number == 1ll << 62 ? INT64_MAX : number;
        note(" array(%s).length=%lld", name, (long long)array.length);
        break;
    case 1:
        array.offset = one_of<int64_t>({-1, 1, INT64_MIN, INT64_MAX, INT64_MAX - 2, 2});
        note(" array(%s).offset=%lld", name, (long long)array.offset);
        break;
    case 2:
        array.null_count = number;
        note(" array(%s).null_count=%lld", name, (long long)number);
        break;
    case 3:
        array.n_buffers = one_of<int64_t>({-1, 0, 1, 2, 3, 4, 5, ROOM, INT64_MIN});
        note(" array(%s).n_buffers=%lld", name, (long long)array.n_buffers);
        break;
    case 4:
        array.buffers = nullptr;
        if (once_in(2)) array.n_buffers = one_of<int64_t>({1000, INT64_MAX, -1});
        note(" array(%s).buffers=NULL n_buffers=%lld", name, (long long)array.n_buffers);
        break;
    case 5:
        array.n_children = one_of<int64_t>({-1, 0, 1, 2, 3, ROOM, INT64_MIN});
        note(" array(%s).n_children=%lld", name, (long long)array.n_children);
        break;
    case 6:
        array.children = nullptr;
        if (once_in(2)) array.n_children = one_of<int64_t>({1, 1000, INT64_MAX, -1});
        note(" array(%s).children=NULL n_children=%lld", name, (long long)array.n_children);
        break;
    case 7:
        node.array_children[below(2)] = nullptr;
        note(" array(%s) has a child NULL", name);
        break;
    case 8:
        if (&node == &tree.root()) note(" the batch is released");
        else note(" array(%s) is released", name);
        array.release = nullptr;
        break;
    case 9:
        node.buffers[below(3)] = nullptr;
        note(" array(%s) has a buffer NULL", name);
        break;
    case 10: {
        /* Within the memory: the last offset is below its end. */
        if (node.format != "u" && node.format != "z" && node.format != "U") break;
        int32_t *offsets = static_cast<int32_t *>(const_cast<void *>(node.buffers[1]));
        if (!offsets) break;
        for (int i = 0; i < 4; i++) offsets[below(4)] = one_of<int32_t>({-1, 0, 5000, 9, 1, INT32_MIN});
        note(" array(%s) has odd offsets", name);
        break;
    }
    default:
        if (node.buffers[1]) {
            unsigned char *bytes = static_cast<unsigned char *>(const_cast<void *>(node.buffers[1]));
            if (node.format != "vu") break;
            for (int i = 0; i < 8; i++) bytes[below(64)] = (unsigned char)next_random();
            note(" array(%s) has odd views", name);
        }
        break;
    }
}

/* What memory a claim of odd offsets needs is only known when all are made. */
static void keep_offsets_within(Tree &tree) {
    for (Node &node : tree.nodes) {
        bool narrow = node.format == "u" || node.format == "z", wide = node.format == "U";
        if ((!narrow && !wide) || !node.buffers[1] || node.array.n_buffers != 3) continue;
        for (size_t i = 0; i < BUFFER_ROOM / 8; i++) {
            void *offsets = const_cast<void *>(node.buffers[1]);
            int32_t &small = static_cast<int32_t *>(offsets)[i];
            if (narrow && small > 8000) small = 8000;
            int64_t &large = static_cast<int64_t *>(offsets)[i];
            if (wide && large > 8000) large = 8000;
        }
    }
}

static std::unique_ptr<Tree> any_tree(const Kind &kind) {
    auto tree = right_tree(kind, once_in(10) ? 0 : 1 + (int64_t)below(16));
    if (!arrow_spoilt || once_in(2)) return tree;
    if (once_in(40)) {
        int depth = one_of({70, 70, 63, 300, 3000});
        note(" nested %d deep", depth);
        nest(*tree, depth);
    }
    for (int times = 1 + (int)below(3); times > 0; times--) {
        if (once_in(2)) spoil_schema(*tree);
        else spoil_array(*tree);
    }
    keep_offsets_within(*tree);
    return tree;
}

/* Streams ---------------------------------------------------------------------------------------------------- */

struct Producer {
    ArrowArrayStream stream{};
    std::vector<std::unique_ptr<Tree>> batches;
    std::unique_ptr<Tree> columns;
    size_t next = 0;
    int fails_at = -1, code = 0, schema_code = 0;
    bool schema_released = false;
    const char *text = nullptr;
    std::atomic<int> released{0}, used_after_release{0}, schemas{0};
    bool moved = false;
    std::string what;
};

static Producer &producer_of(ArrowArrayStream *stream) {
    Producer &producer = *static_cast<Producer *>(stream->private_data);
    producer.used_after_release += producer.released != 0;
    return producer;
}

static int stream_schema(ArrowArrayStream *stream, ArrowSchema *out) {
    Producer &producer = producer_of(stream);
    if (producer.schema_code) return producer.schema_code;
    *out = producer.columns->root().schema;
    if (out->release) producer.schemas++;
    return 0;
}

static int stream_next(ArrowArrayStream *stream, ArrowArray *out) {
    Producer &producer = producer_of(stream);
    memset(out, 0, sizeof *out);
    if ((int)producer.next == producer.fails_at) return producer.code;
    if (producer.next == producer.batches.size()) return 0;
    Tree &tree = *producer.batches[producer.next++];
    *out = tree.root().array;
    tree.moved = tree.root().array.release != nullptr;
    return 0;
}

static const char *stream_error(ArrowArrayStream *stream) { return producer_of(stream).text; }

static void release_stream(ArrowArrayStream *stream) {
    Producer &producer = *static_cast<Producer *>(stream->private_data);
    producer.released++;
    released_streams++;
    stream->release = nullptr;
}

static std::unique_ptr<Producer> any_stream(const Kind &kind) {
    auto producer = std::make_unique<Producer>();
    bool right = once_in(2);
    producer->columns = right || once_in(2) ? right_tree(kind, 0) : any_tree(kind);
    for (uint64_t i = below(5); i > 0; i--) {
        /* The batches have the columns of the schema, or the claims are about other memory. */
        auto batch = right_tree(kind, 1 + (int64_t)below(16));
        for (size_t at = 0; at < 4; at++) {
            if (at == 1 && batch->nodes[at].format != producer->columns->nodes[at].format) batch.reset();
            if (!batch) break;
        }
        if (!batch) continue;
        bool swapped = batch->root().schema_children[0]->name[0] != 'o';
        bool other = producer->columns->root().schema_children[0] != &producer->columns->nodes[1].schema;
        if (swapped != other) std::swap(batch->root().array_children[0], batch->root().array_children[1]);
        if (arrow_spoilt && !right && once_in(3)) spoil_array(*batch), keep_offsets_within(*batch);
        producer->batches.push_back(std::move(batch));
    }
    producer->stream = {stream_schema, stream_next, stream_error, release_stream, producer.get()};
    producer->text = one_of<const char *>({"no", "", nullptr, "\xff\xfe"});
    if (right) return producer;
    producer->code = one_of({5, 22, 12345, -1, INT32_MIN, 4});
    switch (below(8)) {
    case 0:
        producer->stream.get_schema = nullptr;
        WRONG(" get_schema=NULL");
        break;
    case 1:
        producer->stream.get_next = nullptr;
        WRONG(" get_next=NULL");
        break;
    case 2:
        producer->stream.get_last_error = nullptr;
        note(" get_last_error=NULL");
        break;
    case 3:
        producer->schema_code = producer->code;
        WRONG(" get_schema gives %d", producer->code);
        break;
    case 4:
        producer->stream.release = nullptr;
        WRONG(" the stream is released");
        break;
    case 5:
    case 6:
        producer->fails_at = (int)below(4);
        note(" get_next %d gives %d", producer->fails_at, producer->code);
        break;
    default:
        producer->columns->root().schema.release = nullptr;
        WRONG(" get_schema gives a released schema");
        break;
    }
    return producer;
}

#endif
