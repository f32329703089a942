/* What is mapped into this process: for tests of who maps a file, how, and until when. */
#ifndef MAPS_H
#define MAPS_H

#include "check.h"

typedef struct {
    uintptr_t start, end;
    char permissions[8];
    /* Where in the file `start` is. */
    uintptr_t offset;
    char path[1400];
} memory_map;

/* Reads a line of /proc/self/maps; 0 at the end. */
static inline int map_next(FILE *file, memory_map *map) {
    char line[2000];
    unsigned long long start, end, offset;
    if (!file || !fgets(line, sizeof line, file)) return 0;
    map->path[0] = 0;
    if (sscanf(line, "%llx-%llx %7s %llx %*s %*s %1399[^\n]", &start, &end, map->permissions,
               &offset, map->path) < 4) {
        return 0;
    }
    map->start = (uintptr_t)start, map->end = (uintptr_t)end, map->offset = (uintptr_t)offset;
    return 1;
}

/* The map that holds `address`; one without permissions if none does. */
static inline memory_map map_at(const void *address) {
    memory_map map = {0}, none = {0};
    uintptr_t at = (uintptr_t)address;
    FILE *file = fopen("/proc/self/maps", "r");
    int found = 0;
    while (!found && map_next(file, &map)) found = at >= map.start && at < map.end;
    if (file) fclose(file);
    return found ? map : none;
}

/* How many maps are of files whose path has `part` in it. */
static inline int maps_of(const char *part) {
    memory_map map;
    int count = 0;
    FILE *file = fopen("/proc/self/maps", "r");
    while (map_next(file, &map)) count += strstr(map.path, part) != NULL;
    if (file) fclose(file);
    return count;
}

/* Whether `bytes` bytes from `address` on are bytes of a file, mapped read-only. */
static inline int lies_in_a_file(const void *address, uint64_t bytes) {
    struct stat info;
    memory_map map = map_at(address);
    if (map.permissions[0] != 'r' || map.permissions[3] != 'p') return 0;
    if (map.path[0] != '/' || stat(map.path, &info) != 0) return 0;
    uint64_t at = (uint64_t)((uintptr_t)address - map.start + map.offset);
    return bytes <= (uint64_t)info.st_size && at <= (uint64_t)info.st_size - bytes;
}

#endif
