/* The order of rows of a loader, a second time: written from the page on it, and slow. */
#ifndef LOADER_ORDER_H
#define LOADER_ORDER_H

#include <stdint.h>
#include <stdlib.h>

__extension__ typedef unsigned __int128 order_wide;

#define ORDER_GOLDEN 0x9e3779b97f4a7c15u

static inline uint64_t order_mix(uint64_t x) {
    x ^= x >> 30, x *= 0xbf58476d1ce4e5b9u;
    x ^= x >> 27, x *= 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

/* What an order follows from. */
typedef struct {
    uint64_t seed, epoch, table, pass;
} order_key;

/* What becomes of a number below n. */
static inline uint64_t order_permuted(uint64_t n, order_key key, uint64_t number) {
    const uint64_t parts[] = {key.seed, key.epoch, key.table, key.pass};
    uint64_t hash = 0, a = 0;
    if (n <= 1) return number;
    for (int i = 0; i < 4; i++) hash = order_mix(hash + parts[i] + ORDER_GOLDEN);
    while ((order_wide)a * a < n) a += 2;
    const uint64_t b = (n + a - 1) / a;
    do {
        uint64_t left = number / b, right = number % b;
        for (uint64_t round = 0; round < (n < 65536 ? 24 : 8); round++) {
            uint64_t round_key = order_mix(hash + (round + 1) * ORDER_GOLDEN);
            if (round % 2 == 0) left = (left + (uint64_t)((order_wide)order_mix(right + round_key) * a >> 64)) % a;
            else right = (right + (uint64_t)((order_wide)order_mix(left + round_key) * b >> 64)) % b;
        }
        number = left * b + right;
    } while (number >= n);
    return number;
}

/* All rows of an epoch of n, in clumps; the caller's to free. */
static inline uint64_t *order_all(uint64_t n, uint64_t clump, order_key key) {
    uint64_t *rows = (uint64_t *)malloc((n + 1) * sizeof *rows), at = 0;
    const uint64_t clumps = (n + clump - 1) / clump;
    for (uint64_t place = 0; place < clumps; place++) {
        uint64_t first = order_permuted(clumps, key, place) * clump;
        for (uint64_t row = first; row < first + clump && row < n; row++) rows[at++] = row;
    }
    return rows;
}

/* A mixture: tables of so many rows, and weights of each from positions on. */
enum { ORDER_TABLES = 4, ORDER_CHANGES = 6 };
typedef struct {
    uint64_t tables, rows[ORDER_TABLES], epoch_rows, seed, changes;
    struct {
        uint64_t epoch, consumed, weights[ORDER_TABLES];
    } change[ORDER_CHANGES];
} order_mixture;

/* Rows of each table among the first `count` since the weights changed. */
static inline void order_counts(const order_mixture *mixture, const uint64_t *weights, uint64_t count,
                                uint64_t *counts) {
    uint64_t sums[ORDER_TABLES + 1] = {0};
    for (uint64_t i = 0; i < mixture->tables; i++) sums[i + 1] = sums[i] + weights[i];
    for (uint64_t i = mixture->tables; i-- > 0;) {
        uint64_t fewer = sums[i + 1] ? (uint64_t)((order_wide)count * sums[i] / sums[i + 1]) : 0;
        counts[i] = count - fewer;
        count = fewer;
    }
}

/* Table and row of each position of an epoch. */
static inline void order_mixed(const order_mixture *mixture, uint64_t epoch, uint32_t *tables, uint64_t *rows) {
    uint64_t before[ORDER_TABLES] = {0}, began = 0;
    const uint64_t *weights = mixture->rows;
    for (uint64_t at = 0; at < mixture->epoch_rows; at++) {
        const uint64_t *found = mixture->rows;
        uint64_t counts[ORDER_TABLES], next[ORDER_TABLES];
        for (uint64_t c = 0; c < mixture->changes; c++) {
            int is_later = mixture->change[c].epoch > epoch ||
                           (mixture->change[c].epoch == epoch && mixture->change[c].consumed > at);
            if (!is_later) found = mixture->change[c].weights;
        }
        if (found != weights) {
            order_counts(mixture, weights, at - began, counts);
            for (uint64_t i = 0; i < mixture->tables; i++) before[i] += counts[i];
            weights = found, began = at;
        }
        order_counts(mixture, weights, at - began, counts);
        order_counts(mixture, weights, at - began + 1, next);
        for (uint64_t i = 0; i < mixture->tables; i++) {
            if (next[i] == counts[i]) continue;
            const uint64_t index = before[i] + counts[i], n = mixture->rows[i];
            const order_key key = {mixture->seed, epoch, i, index / n};
            tables[at] = (uint32_t)i, rows[at] = order_permuted(n, key, index % n);
        }
    }
}

#endif
