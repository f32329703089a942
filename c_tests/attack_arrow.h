/* Arrow batches and streams, right ones and spoilt ones, whose release callbacks are counted. Children are released by
 * what the producer knows, not by what their parents were made to say. */
#ifndef ATTACK_ARROW_H
#define ATTACK_ARROW_H

#include "attack_fixtures.h"

enum { TREE_NODES = 7, DEEPEST = 100, ROOM = 8, BUFFER_BYTES = 4096 };
enum { TREE_ROOT, TREE_IDS, TREE_DATA, TREE_ITEM, TREE_LABEL, TREE_MASK, TREE_BIT };

struct node {
    struct ArrowSchema schema;
    struct ArrowArray array;
    struct ArrowSchema *schema_children[ROOM];
    struct ArrowArray *array_children[ROOM];
    const void *buffers[ROOM];
    int schema_released, array_released;
};

struct tree {
    struct node nodes[TREE_NODES + DEEPEST];
    int count;
    char metadata[1024];
};

struct producer {
    struct ArrowArrayStream stream;
    struct tree *columns, *batch;
    int next, batches, code, fails_at, calls_back, gives_released_schema, released;
    const char *error_text;
};

static struct tree *tree;
static struct producer *producer;
static int schemas_given, arrays_given;

static void release_node_schema(struct ArrowSchema *schema) {
    ((struct node *)schema->private_data)->schema_released++;
    schema->release = NULL;
}

static void release_node_array(struct ArrowArray *array) {
    ((struct node *)array->private_data)->array_released++;
    array->release = NULL;
}

static struct node *add_node(struct tree *to, struct node *parent, const char *format, const char *name,
                             int64_t length, int64_t buffers) {
    struct node *node = &to->nodes[to->count++];
    node->schema = (struct ArrowSchema){format, name, NULL, ARROW_FLAG_NULLABLE, 0, node->schema_children, NULL,
                                        release_node_schema, node};
    node->array = (struct ArrowArray){length, 0, 0, buffers, 0, node->buffers, node->array_children, NULL,
                                      release_node_array, node};
    for (int64_t i = 1; i < buffers; i++) node->buffers[i] = room(BUFFER_BYTES);
    if (!parent) return node;
    parent->schema_children[parent->schema.n_children++] = &node->schema;
    parent->array_children[parent->array.n_children++] = &node->array;
    return node;
}

/* BATCH rows of the table. */
static struct tree *right_tree(void) {
    struct tree *made = (struct tree *)room(sizeof *made);
    struct node *root = add_node(made, NULL, "+s", "", BATCH, 1);
    struct node *ids = add_node(made, root, "u", "object_id", BATCH, 3);
    struct node *data = add_node(made, root, "+w:4", "data", BATCH, 1);
    add_node(made, data, "f", "item", 4 * BATCH, 2);
    add_node(made, root, "l", "label", BATCH, 2);
    struct node *mask = add_node(made, root, "+w:3", "mask", BATCH, 1);
    add_node(made, mask, "b", "item", 3 * BATCH, 2);
    int32_t *offsets = (int32_t *)(uintptr_t)ids->buffers[1];
    for (int32_t i = 0; i < 64; i++) offsets[i] = 4 * (i < BATCH + 2 ? i : BATCH + 2);
    memcpy((void *)(uintptr_t)ids->buffers[2], "id-0id-1id-2id-3id-4", 20);
    return made;
}

/* Makes a node the only child of another. */
static void adopt(struct node *parent, struct node *child, int schema, int array) {
    if (schema) parent->schema_children[0] = &child->schema, parent->schema.n_children = 1;
    if (array) parent->array_children[0] = &child->array, parent->array.n_children = 1;
}

/* A column of lists of one list of one list ..., in the place of the items of `data`. */
static void nest(struct tree *of, int depth, int only_schema) {
    struct node *parent = &of->nodes[TREE_DATA], *item = &of->nodes[TREE_ITEM];
    parent->schema.format = "+w:1";
    for (int i = 0; i < depth; i++) {
        struct node *node = add_node(of, NULL, i % 2 ? "+s" : "+w:1", "item", 4 * BATCH, 1);
        adopt(parent, node, 1, !only_schema);
        parent = node;
    }
    adopt(parent, item, 1, 1);
}

/* Streams ------------------------------------------------------------------------------------------------------- */

static int give_schema(struct ArrowArrayStream *stream, struct ArrowSchema *out) {
    struct producer *of = (struct producer *)stream->private_data;
    if (of->calls_back) call_back_in();
    if (of->code) return of->code;
    *out = of->columns->nodes[TREE_ROOT].schema;
    if (of->gives_released_schema) out->release = NULL;
    else if (out->release) schemas_given++;
    return 0;
}

static int give_next(struct ArrowArrayStream *stream, struct ArrowArray *out) {
    struct producer *of = (struct producer *)stream->private_data;
    if (of->calls_back) call_back_in();
    memset(out, 0, sizeof *out);
    if (of->next == of->fails_at) return 5;
    if (of->next++ < of->batches) {
        struct ArrowArray *array = &of->batch->nodes[TREE_ROOT].array;
        *out = *array;
        array->release = NULL;
        arrays_given += out->release != NULL;
    }
    return 0;
}

static const char *give_error(struct ArrowArrayStream *stream) {
    return ((struct producer *)stream->private_data)->error_text;
}

static void release_stream(struct ArrowArrayStream *stream) {
    ((struct producer *)stream->private_data)->released++;
    stream->release = NULL;
}

static struct producer *right_producer(void) {
    struct producer *made = (struct producer *)room(sizeof *made);
    made->columns = right_tree(), made->batch = right_tree();
    made->batches = 1, made->fails_at = -1;
    made->stream = (struct ArrowArrayStream){give_schema, give_next, give_error, release_stream, made};
    return made;
}

/* Spoiling ------------------------------------------------------------------------------------------------------ */

static const int64_t odd_numbers[] = {-1, 0, 1, -2, INT64_MIN, INT64_MAX, INT64_MAX / 2 + 1, INT64_MIN + 1};
enum { ODD_NUMBERS = sizeof odd_numbers / sizeof odd_numbers[0] };

static int spoil_count(int64_t *number, const char *name, int node, int64_t more) {
    for (int i = 0; i < ODD_NUMBERS; i++) {
        if (turn()) return *number = odd_numbers[i], note(" [%d].%s=%lld", node, name, (long long)*number), 1;
    }
    if (more && turn()) {
        *number = (int64_t)((uint64_t)*number + (uint64_t)more);
        return note(" [%d].%s+=%lld", node, name, (long long)more), 1;
    }
    return 0;
}

/* Encoded metadata: numbers in front of bytes. */
static const char *metadata_of(struct tree *of, int32_t pairs, int32_t key, const char *texts, int32_t value) {
    char *at = of->metadata;
    const int32_t numbers[] = {pairs, key, value};
    size_t length = key > 0 ? (size_t)key : 0;
    memcpy(at, &numbers[0], 4), memcpy(at + 4, &numbers[1], 4), memcpy(at + 8, texts, length);
    memcpy(at + 8 + length, &numbers[2], 4), memcpy(at + 12 + length, texts + length, strlen(texts + length));
    return at;
}

static int spoil_schema_node(struct tree *of, int number) {
    /* None of them takes the buffers for more than they are. */
    static const char *const formats[] = {
        "", "?", "\xff", "+", "+w", "+w:", "+w:-1", "+w:0", "+w:2", "+w:4", "+w:99999999999999999999",
        "+w:2147483647", "+s", "+l", "+L", "+m", "+r", "+ud:0,1", "+us:0", "+vl", "n", "b", "c", "e", "f", "g", "l",
        "z", "vu", "vz", "w:4", "w:0", "w:-1", "d:38,10", "d:1,1,256", "d:x", "tdD", "tsn:UTC", "tsn:Nowhere/At/All",
        "tss:", "tin", "tt", "td?"};
    struct node *node = &of->nodes[number];
    struct ArrowSchema *schema = &node->schema;
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++) {
        if (turn()) return schema->format = formats[i], note(" [%d].format=\"%s\"", number, formats[i]), 1;
    }
    if (turn()) return schema->format = NULL, note(" [%d].format=NULL", number), must_be(0);
    static const char *const names[] = {NULL, "", "\xff", "object_id", "data", "label", "a.b", "none", "\x01"};
    for (int i = 0; i < 9; i++) {
        if (turn()) return schema->name = names[i], note(" [%d].name=\"%s\"", number, names[i] ? names[i] : "NULL"), 1;
    }
    if (turn()) return schema->children = NULL, note(" [%d].children=NULL", number), 1;
    if (turn()) return schema->release = NULL, note(" [%d] is released", number), must_be(RDS_ERR_INVALID_ARGUMENT);
    if (turn()) {
        schema->dictionary = &of->nodes[TREE_LABEL].schema;
        return note(" [%d].dictionary=", number), must_be(0);
    }
    if (schema->n_children) {
        if (turn()) return node->schema_children[0] = NULL, note(" [%d].children[0]=NULL", number), must_be(0);
        if (turn()) {
            node->schema_children[0] = (struct ArrowSchema *)((uintptr_t)node->schema_children[0] + 1);
            return note(" [%d].children[0]=misaligned", number), must_be(0);
        }
        if (number == TREE_ROOT && turn()) {
            node->schema_children[2] = node->schema_children[1];
            return note(" [%d].children[2] is the one before", number), must_be(0);
        }
    }
    if (spoil_count(&schema->n_children, "n_children", number, 1)) return 1;
    if (spoil_count(&schema->n_children, "n_children", number, 65537)) return 1;
    if (spoil_count(&schema->flags, "flags", number, 0)) return 1;
    static const struct {
        int32_t pairs, key;
        const char *texts;
        int32_t value;
    } said[] = {{-1, 0, "", 0}, {INT32_MAX, 0, "", 0}, {1, -1, "", 0}, {1, 1, "k", -1},
                {0, 0, "", 0}, {1, 1, "\xff\xfe", 1}, {1, 12, "tensor_shape[5]", 3},
                {1, 12, "tensor_shape[", 1}, {1, 12, "tensor_dtype?", 1},
                {1, 20, "ARROW:extension:name????", 4}, {1, 20, "ARROW:extension:namearrow.fixed_shape_tensor", 24},
                {1, 4, "data{\"tensor_shape\": [4], \"tensor_dtype\": \"int8\"}", 47},
                {1, 4, "data{\"tensor_shape\": 1e999}", 22}, {1, 4, "data[[[[[[[[[[[[[[[[", 16}};
    for (size_t i = 0; i < sizeof said / sizeof said[0]; i++) {
        if (!turn()) continue;
        schema->metadata = metadata_of(of, said[i].pairs, said[i].key, said[i].texts, said[i].value);
        return note(" [%d].metadata %zu", number, i), 1;
    }
    return 0;
}

static int spoil_array_node(struct tree *of, int number) {
    struct node *node = &of->nodes[number];
    struct ArrowArray *array = &node->array;
    if (spoil_count(&array->length, "length", number, -1)) return 1;
    if (spoil_count(&array->null_count, "null_count", number, BATCH)) return 1;
    if (spoil_count(&array->offset, "offset", number, 2)) return 1;
    if (spoil_count(&array->n_buffers, "n_buffers", number, 1)) return 1;
    if (spoil_count(&array->n_children, "n_children", number, 1)) return 1;
    if (turn()) return array->buffers = NULL, note(" [%d].buffers=NULL", number), 1;
    if (turn()) return array->children = NULL, note(" [%d].children=NULL", number), 1;
    if (turn()) {
        /* Of a stream it is the end. */
        int is_end = producer && number == TREE_ROOT;
        return array->release = NULL, note(" [%d] is released", number), is_end || must_be(RDS_ERR_INVALID_ARGUMENT);
    }
    if (turn()) return array->dictionary = &of->nodes[TREE_LABEL].array, note(" [%d].dictionary=", number), must_be(0);
    for (int64_t i = 0; i < 3 && i < array->n_buffers; i++) {
        if (turn()) return node->buffers[i] = NULL, note(" [%d].buffers[%d]=NULL", number, (int)i), 1;
        /* All of them null. */
        if (turn()) return node->buffers[i] = room(BUFFER_BYTES), note(" [%d].buffers[%d]=0", number, (int)i), 1;
        if (node->buffers[i] && turn()) {
            unsigned char *moved = (unsigned char *)room(BUFFER_BYTES + 1) + 1;
            node->buffers[i] = memcpy(moved, node->buffers[i], BUFFER_BYTES);
            return note(" [%d].buffers[%d]=misaligned", number, (int)i), 1;
        }
    }
    if (number == TREE_IDS && node->buffers[1] && node->buffers[2]) {
        int32_t *offsets = (int32_t *)(uintptr_t)node->buffers[1];
        if (turn()) return offsets[1] = -4, note(" offsets[1]=-4"), must_be(0);
        if (turn()) return offsets[BATCH] = INT32_MIN, note(" offsets[3]=INT32_MIN"), must_be(0);
        if (turn()) return offsets[1] = 9, offsets[2] = 8, note(" offsets descend"), must_be(0);
        if (turn()) {
            memset((void *)(uintptr_t)node->buffers[2], 0xff, 20);
            return note(" ids are not UTF-8"), must_be(0);
        }
    }
    if (array->n_children) {
        if (turn()) return node->array_children[0] = NULL, note(" [%d].children[0]=NULL", number), must_be(0);
        if (turn()) {
            node->array_children[0] = (struct ArrowArray *)((uintptr_t)node->array_children[0] + 1);
            return note(" [%d].children[0]=misaligned", number), must_be(0);
        }
    }
    return 0;
}

static int spoil_tree(struct tree *of, int schema) {
    for (int i = 0; i < TREE_NODES; i++) {
        if (schema ? spoil_schema_node(of, i) : spoil_array_node(of, i)) return 1;
    }
    static const int depths[] = {1, 62, 63, 64, 65, DEEPEST};
    for (int i = 0; i < 6 && of->count == TREE_NODES; i++) {
        if (turn()) return nest(of, depths[i], schema), note(" %d levels deep", depths[i]), must_be(0);
    }
    return 0;
}

static int spoil_producer(struct producer *of) {
    struct ArrowArrayStream *stream = &of->stream;
    if (turn()) return stream->get_schema = NULL, note(" get_schema=NULL"), must_be(RDS_ERR_INVALID_ARGUMENT);
    if (turn()) return stream->get_next = NULL, note(" get_next=NULL"), must_be(RDS_ERR_INVALID_ARGUMENT);
    if (turn()) return stream->get_last_error = NULL, note(" get_last_error=NULL"), may_be();
    if (turn()) return stream->release = NULL, note(" is released"), must_be(RDS_ERR_INVALID_ARGUMENT);
    static const int codes[] = {5, -1, INT32_MAX, INT32_MIN};
    static const char *const texts[] = {NULL, "no sensor", "\xff\xfe", ""};
    for (int i = 0; i < 16; i++) {
        if (turn()) {
            of->code = codes[i / 4], of->error_text = texts[i % 4];
            return note(" get_schema gives %d", of->code), must_be(RDS_ERR_STREAM);
        }
    }
    for (int i = 0; i < 4; i++) {
        if (turn()) {
            of->fails_at = i % 2, of->error_text = texts[i];
            return note(" get_next fails at %d", i % 2), must_be(RDS_ERR_STREAM);
        }
    }
    if (turn()) return of->gives_released_schema = 1, note(" schema is released"), must_be(0);
    if (turn()) return of->batches = 0, note(" no batches"), may_be();
    if (turn()) return of->calls_back = 1, note(" calls back"), may_be();
    note(" columns:");
    if (spoil_tree(of->columns, 1)) return 1;
    now.noted -= strlen(" columns:");
    note(" batch:");
    if (spoil_tree(of->batch, 0)) return 1;
    now.noted -= strlen(" batch:");
    now.note[now.noted] = 0;
    return 0;
}

/* After the call: what was moved is released, once, and what was lent is not. */
static void check_tree(struct tree *of, int array_moved, int schemas) {
    struct node *root = &of->nodes[TREE_ROOT];
    if (root->array_released != array_moved) report("a batch is not released once");
    if (root->schema_released != schemas) report("a schema is not released as often as it was given");
    for (int i = 1; i < of->count; i++) {
        if (of->nodes[i].array_released > 1 || of->nodes[i].schema_released > 1) report("a child is released twice");
    }
}

#endif
