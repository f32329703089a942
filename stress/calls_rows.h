/* Ids and tensors in plain memory, right ones and spoilt ones. */
#ifndef CALLS_ROWS_H
#define CALLS_ROWS_H

#include "calls_shared.h"

static void right_ids(rds_ids &ids, uint64_t count) {
    ids.count = count;
    ids.kind = 1 + (uint32_t)below(7);
    uint64_t first = below(500);
    auto text = [first](uint64_t i) { return "id-" + std::to_string(first + i); };
    switch (ids.kind) {
    case RDS_IDS_UTF8: {
        int64_t *offsets = room<int64_t>(count + 1);
        char *bytes = room<char>(count * 12);
        for (uint64_t i = 0; i < count; i++) {
            std::string id = text(i);
            memcpy(bytes + offsets[i], id.data(), id.size());
            offsets[i + 1] = offsets[i] + (int64_t)id.size();
        }
        ids.data = bytes;
        ids.offsets = offsets;
        break;
    }
    case RDS_IDS_CSTRINGS: {
        const char **strings = room<const char *>(count);
        for (uint64_t i = 0; i < count; i++) {
            char *bytes = room<char>(16);
            snprintf(bytes, 16, "%s", text(i).c_str());
            strings[i] = bytes;
        }
        ids.data = strings;
        break;
    }
    case RDS_IDS_STRINGS: {
        rds_string *strings = room<rds_string>(count);
        for (uint64_t i = 0; i < count; i++) {
            std::string id = text(i);
            char *bytes = room<char>(id.size());
            memcpy(bytes, id.data(), id.size());
            strings[i] = {bytes, id.size()};
            if (once_in(9)) strings[i] = {nullptr, 0};
        }
        ids.data = strings;
        break;
    }
    case RDS_IDS_NUMPY_S: {
        ids.item_bytes = 12;
        char *bytes = room<char>(count * 12);
        for (uint64_t i = 0; i < count; i++) memcpy(bytes + i * 12, text(i).data(), text(i).size());
        ids.data = bytes;
        break;
    }
    case RDS_IDS_NUMPY_U: {
        ids.item_bytes = 40;
        uint32_t *units = room<uint32_t>(count * 10);
        for (uint64_t i = 0; i < count; i++) {
            std::string id = text(i);
            for (size_t c = 0; c < id.size(); c++) units[i * 10 + c] = (unsigned char)id[c];
        }
        ids.data = units;
        break;
    }
    default: {
        uint64_t *numbers = room<uint64_t>(count);
        for (uint64_t i = 0; i < count; i++) numbers[i] = once_in(9) ? next_random() : first + i;
        ids.data = numbers;
        break;
    }
    }
}

static void spoil_bytes(rds_ids &ids) {
    unsigned char *bytes = static_cast<unsigned char *>(const_cast<void *>(ids.data));
    int64_t *offsets = const_cast<int64_t *>(ids.offsets);
    uint64_t at = below(ids.count);
    switch (ids.kind) {
    case RDS_IDS_UTF8:
        if (once_in(2)) {
            offsets[at] = at ? one_of<int64_t>({-1, INT64_MIN, INT64_MAX, 1 << 30, offsets[at - 1] - 1}) : -1;
            WRONG(" an offset is %lld", (long long)offsets[at]);
        } else if (offsets[ids.count] > 0) {
            bytes[below((uint64_t)offsets[ids.count])] = 0xff;
            WRONG(" not UTF-8");
        }
        break;
    case RDS_IDS_CSTRINGS:
        static_cast<const char **>(const_cast<void *>(ids.data))[at] = once_in(2) ? nullptr : "\xc0\x80";
        WRONG(" an id is NULL or not UTF-8");
        break;
    case RDS_IDS_STRINGS: {
        rds_string &string = reinterpret_cast<rds_string *>(bytes)[at];
        string = one_of<rds_string>({{nullptr, 1}, {nullptr, SIZE_MAX}, {"\xc0\x80", 2}, {"a", SIZE_MAX}});
        WRONG(" an id is NULL, not UTF-8 or of no length");
        break;
    }
    case RDS_IDS_NUMPY_S:
        bytes[at * 12] = 0x80;
        WRONG(" not UTF-8");
        break;
    case RDS_IDS_NUMPY_U:
        reinterpret_cast<uint32_t *>(bytes)[at * 10] = one_of<uint32_t>({0xd800, 0x110000, UINT32_MAX});
        WRONG(" no code point");
        break;
    default:
        break;
    }
}

static void any_ids(In<rds_ids> &in, uint64_t count) {
    rds_ids &ids = in.value();
    right_ids(ids, count);
    note(" ids.kind=%u count=%llu", ids.kind, (unsigned long long)count);
    if (!once_in(3)) return;
    switch (below(10)) {
    case 0:
        ids.kind = one_of<uint32_t>({0, 8, UINT32_MAX});
        WRONG(" kind=%u", ids.kind);
        break;
    case 1:
        ids.flags = 1u << below(32);
        WRONG(" flags=%x", ids.flags);
        break;
    case 2:
        /* Nothing is there, which NULL says; ids of no bytes need no memory. */
        ids.count = huge();
        ids.data = ids.offsets = nullptr;
        if (ids.item_bytes && once_in(2)) ids.item_bytes = 0;
        WRONG(" count=%llx item_bytes=%llu data=NULL", (unsigned long long)ids.count,
              (unsigned long long)ids.item_bytes);
        break;
    case 3:
        ids.item_bytes = huge();
        if (ids.count) ids.data = nullptr;
        note(" item_bytes=%llx data=NULL", (unsigned long long)ids.item_bytes);
        break;
    case 4:
        ids.data = nullptr;
        note(" data=NULL");
        break;
    case 5:
        ids.offsets = nullptr;
        if (ids.kind == RDS_IDS_UTF8) WRONG(" offsets=NULL");
        break;
    case 6:
        if (ids.kind != RDS_IDS_NUMPY_U) break;
        ids.item_bytes = 1 + below(3);
        WRONG(" item_bytes=%llu", (unsigned long long)ids.item_bytes);
        break;
    case 7:
        in.spoil(false);
        break;
    default:
        if (ids.count) spoil_bytes(ids);
        break;
    }
}

/* Strides of any sign, in memory that they reach. */
static void any_strides(rds_tensor &tensor, const int64_t *shape, int bytes) {
    int64_t *strides = room<int64_t>(tensor.ndim);
    int64_t lowest = 0, highest = bytes;
    for (uint64_t i = 0; i < tensor.ndim; i++) {
        strides[i] = one_of<int64_t>({0, bytes, -bytes, 3, -64, 40, 128});
        int64_t reach = strides[i] * (shape[i] - 1);
        (reach < 0 ? lowest : highest) += reach;
        if (shape[i] == 1 && once_in(3)) strides[i] = odd_number();
    }
    if (shape[0] == 0) lowest = 0, highest = bytes;
    unsigned char *memory = room<unsigned char>((size_t)(highest - lowest));
    for (int64_t i = 0; i < highest - lowest; i += 7) memory[i] = (unsigned char)next_random();
    tensor.strides = strides;
    tensor.data = memory - lowest;
    note(" strides=%lld..", (long long)strides[0]);
}

static void spoil_tensor(rds_tensor &tensor, int64_t *shape) {
    uint64_t dim = below(tensor.ndim);
    switch (below(10)) {
    case 0:
        tensor.dtype = one_of<uint32_t>({0, 24, 255, UINT32_MAX});
        WRONG(" dtype=%u", tensor.dtype);
        break;
    case 1:
        tensor.flags = 1u << (1 + below(31));
        WRONG(" flags=%x", tensor.flags);
        break;
    case 2:
        tensor.ndim = one_of<uint32_t>({0, RDS_MAX_NDIM + 2, 1 << 20, UINT32_MAX});
        WRONG(" ndim=%u", tensor.ndim);
        break;
    case 3:
        tensor.shape = nullptr;
        WRONG(" shape=NULL");
        break;
    case 4:
        tensor.data = nullptr;
        if (shape[0] > 0) WRONG(" data=NULL");
        break;
    case 5:
        shape[dim] = one_of<int64_t>({-1, INT64_MIN, dim ? 0 : -2});
        WRONG(" shape[%llu]=%lld", (unsigned long long)dim, (long long)shape[dim]);
        break;
    case 6: {
        /* One element says all that there is. */
        int64_t *strides = room<int64_t>(tensor.ndim);
        shape[dim] = one_of<int64_t>({1ll << 50, (1ll << 61) + 1, 1ll << 62, INT64_MAX});
        tensor.strides = strides;
        WRONG(" shape[%llu]=%llx, strides 0", (unsigned long long)dim, (unsigned long long)shape[dim]);
        break;
    }
    case 7: {
        int64_t *strides = room<int64_t>(tensor.ndim);
        shape[dim] = 5;
        strides[dim] = one_of<int64_t>({INT64_MAX, INT64_MIN, INT64_MIN + 1, INT64_MAX - 7});
        tensor.strides = strides;
        WRONG(" strides[%llu]=%lld", (unsigned long long)dim, (long long)strides[dim]);
        break;
    }
    case 8:
        tensor.reserved = 1u << below(32);
        WRONG(" reserved=%x", tensor.reserved);
        break;
    default:
        tensor.name = one_of<const char *>({"", "a.b", "`", "_rowid", "object_id", "\xff", "\xc3"});
        WRONG(" name=\"%s\"", tensor.name);
        break;
    }
}

static rds_tensor any_tensor(const Column &kind, uint64_t rows) {
    rds_tensor tensor = RDS_TENSOR_INIT;
    int64_t *shape = room<int64_t>(RDS_MAX_NDIM + 1);
    size_t bytes = (size_t)kind.bytes * rows;
    shape[0] = (int64_t)rows;
    for (size_t i = 0; i < kind.dims.size(); i++) {
        shape[i + 1] = kind.dims[i];
        bytes *= (size_t)kind.dims[i];
    }
    tensor.name = strcmp(kind.name, "data") == 0 && once_in(2) ? nullptr : kind.name;
    tensor.dtype = kind.dtype;
    tensor.ndim = (uint32_t)kind.dims.size() + 1;
    tensor.shape = shape;
    tensor.flags = once_in(8) ? RDS_TENSOR_BYTE_SWAPPED : 0;
    unsigned char *data = room<unsigned char>(bytes + 8);
    for (size_t i = 0; i < bytes; i++) data[i] = (unsigned char)next_random();
    tensor.data = data + (once_in(8) ? below(8) : 0);
    note(" %s:%s[%llu]", kind.name, kind.dtype_name, (unsigned long long)rows);
    if (once_in(4)) any_strides(tensor, shape, kind.bytes);
    if (once_in(12)) {
        /* Dimensions of 1 change nothing but the shape. */
        for (uint64_t i = tensor.ndim; i <= RDS_MAX_NDIM; i++) shape[i] = 1;
        if (!tensor.strides) tensor.ndim = RDS_MAX_NDIM + 1, note(" of 65 dimensions");
    }
    if (once_in(4)) spoil_tensor(tensor, shape);
    return tensor;
}

/* A tensor for each column, in any order; once in some times one less, one more, or one twice. */
static void any_tensors(Array<rds_tensor> &tensors, const Kind &kind, uint64_t rows) {
    size_t count = kind.columns.size(), turn = below(count), missing = count > 1 && once_in(16);
    if (missing) note(" without one");
    for (size_t i = 0; i < count - missing; i++) {
        const Column &column = kind.columns[(i + turn) % count];
        tensors.add(any_tensor(column, once_in(16) ? rows + 1 : rows));
    }
    switch (below(16)) {
    case 0:
        tensors.add(any_tensor({"surplus", RDS_DTYPE_INT8, "int8", "c", 1, {}, "[]", 1}, rows));
        break;
    case 1:
        tensors.add(rds_tensor(tensors.elements[0]));
        if (rows) WRONG(" one twice");
        break;
    case 2:
        tensors.elements.clear();
        WRONG(" none");
        break;
    default:
        break;
    }
    tensors.spread();
}

#endif
