/* The files of a table, for tests that damage or count them. */
#ifndef FILES_H
#define FILES_H

#include <dirent.h>

#include "table.h"

static inline check_path_text path_below(const char *path, const char *name) {
    check_path_text file;
    CHECK(snprintf(file.text, sizeof file.text, "%s/%s", path, name) > 0);
    return file;
}

/* The path of the one file in `directory` of the table whose name ends in `suffix` and that is not
 * `known`. */
static inline check_path_text other_file_in(const char *path, const char *directory,
                                            const char *suffix, const check_path_text *known) {
    check_path_text found = {""};
    char parent[1300];
    CHECK(snprintf(parent, sizeof parent, "%s/lance_db/results.lance/%s", path, directory) > 0);
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

/* How many files in `directory` of the table have names that begin with `prefix` and end in
 * `suffix`; 0 if the directory is not there. */
static inline int files_named(const char *path, const char *directory, const char *prefix,
                              const char *suffix) {
    char parent[1300];
    int count = 0;
    CHECK(snprintf(parent, sizeof parent, "%s/lance_db/results.lance/%s", path, directory) > 0);
    DIR *entries = opendir(parent);
    for (struct dirent *entry; entries && (entry = readdir(entries));) {
        size_t length = strlen(entry->d_name), end = strlen(suffix);
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        if (length < end) continue;
        count += strncmp(entry->d_name, prefix, strlen(prefix)) == 0 &&
                 strcmp(entry->d_name + length - end, suffix) == 0;
    }
    if (entries) closedir(entries);
    return count;
}

static inline int data_files(const char *path) { return files_named(path, "data", "", ""); }

static inline int versions(const char *path) {
    return files_named(path, "_versions", "", ".manifest");
}

/* The data files that the newest version names: what a writer reports that has written nothing. */
static inline long long named_files(const char *path) {
    rds_commit_info info = RDS_COMMIT_INFO_INIT;
    rds_writer *writer = table_writer(path, RDS_MODE_APPEND, RDS_DURABILITY_COMMIT);
    CHECK_OK(rds_commit(writer, NULL, &info));
    CHECK_OK(rds_writer_close(writer));
    return (long long)info.data_files;
}

static inline long size_of(const char *path) {
    struct stat info = {0};
    CHECK(stat(path, &info) == 0);
    return (long)info.st_size;
}

#endif
