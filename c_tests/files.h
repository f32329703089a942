/* The files of a table, for tests that damage them. */
#ifndef FILES_H
#define FILES_H

#include <dirent.h>

#include "table.h"

/* The path of the one file in `directory` of the table whose name ends in `suffix` and that is not
 * `known`. */
static inline check_path_text other_file_in(const char *path, const char *directory,
                                            const char *suffix, const check_path_text *known) {
    check_path_text found = {""};
    char parent[1300];
    snprintf(parent, sizeof parent, "%s/lance_db/results.lance/%s", path, directory);
    DIR *entries = opendir(parent);
    for (struct dirent *entry; entries && (entry = readdir(entries));) {
        size_t length = strlen(entry->d_name), end = strlen(suffix);
        if (length < end || strcmp(entry->d_name + length - end, suffix) != 0) continue;
        check_path_text file;
        CHECK(snprintf(file.text, sizeof file.text, "%s/%s", parent, entry->d_name) > 0);
        if (!known || strcmp(file.text, known->text) != 0) found = file;
    }
    if (entries) closedir(entries);
    CHECK(found.text[0] != 0);
    return found;
}

static inline check_path_text file_in(const char *path, const char *directory, const char *suffix) {
    return other_file_in(path, directory, suffix, NULL);
}

static inline long size_of(const char *path) {
    struct stat info = {0};
    CHECK(stat(path, &info) == 0);
    return (long)info.st_size;
}

#endif
