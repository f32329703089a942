/* Tokens that say something else, with a checksum that fits: what somebody makes who wants to do harm. */
#ifndef FORGE_TOKEN_H
#define FORGE_TOKEN_H

#include "staging.h"

/* CRC-32. */
static inline uint32_t checksum(const uint8_t *bytes, size_t length) {
    uint32_t sum = 0xffffffffu;
    for (size_t i = 0; i < length; i++) {
        sum ^= bytes[i];
        for (int bit = 0; bit < 8; bit++) sum = (sum >> 1) ^ (0xedb88320u & (0u - (sum & 1)));
    }
    return ~sum;
}

/* Puts `to` in the place of `from`, wherever it is, and makes the checksum fit. */
static inline rds_token forged(rds_token token, const char *from, const char *to) {
    size_t size = strlen(from), grown = strlen(to), found = 0, length = 0, end = token.length - 4;
    uint8_t *bytes = (uint8_t *)malloc(token.length * (grown + 1));
    for (size_t at = 0; at < end;) {
        if (at + size <= end && memcmp(token.data + at, from, size) == 0) {
            memcpy(bytes + length, to, grown);
            length += grown, at += size, found++;
        } else {
            bytes[length++] = token.data[at++];
        }
    }
    CHECK(found > 0);
    uint32_t sum = checksum(bytes, length);
    for (int i = 0; i < 4; i++) bytes[length++] = (uint8_t)(sum >> 8 * i);
    return (rds_token){bytes, length};
}

#endif
