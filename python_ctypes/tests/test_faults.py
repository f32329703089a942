"""File systems that lack something, and disks that fail: what a call says is what is there."""

import errno
import json
from pathlib import Path

import pytest
from killed import ids_of, put, table_path
from preload import preloadable, run_with

import rds
from rds import _errors

PUT = """
import json, sys
import numpy as np
import rds
where = sys.argv[1]
def put(writer, first, rows=3):
    ids = np.arange(first, first + rows)
    writer.write_batch(ids, np.repeat(ids[:, None], 64, axis=1).astype("f4"))
def stage(first):
    with rds.ResultDatasetWriter(where, mode="staged") as writer:
        put(writer, first)
        return writer.stage()
"""

NO_SYNC_OF_DIRECTORIES = r"""
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
static int fails(int fd) {
  const char *number = getenv("DIRECTORY_ERRNO");
  struct stat status;
  if (!number || fstat(fd, &status) || !S_ISDIR(status.st_mode)) return 0;
  errno = atoi(number);
  return 1;
}
int fsync(int fd) { return fails(fd) ? -1 : (int)syscall(SYS_fsync, fd); }
int fdatasync(int fd) { return fails(fd) ? -1 : (int)syscall(SYS_fdatasync, fd); }
"""

WRITE_IN_EVERY_WAY = PUT + """
with rds.ResultDatasetWriter(where) as writer:
    put(writer, 0)
with rds.ResultDatasetWriter(where, mode="append", durability="batch") as writer:
    put(writer, 3)
rds.vacuum(where)
rds.commit_staged(where, [stage(6), stage(9)], mode="append")
print(rds.ResultDataset({}, where).ids())
"""


@pytest.mark.parametrize("name", ["EINVAL", "EIO"])
def test_directories_that_have_no_fsync_are_fine_and_those_that_fail_it_are_not(tmp_path, result_dir, name):
    library = preloadable(tmp_path, NO_SYNC_OF_DIRECTORIES)
    run = run_with(library, WRITE_IN_EVERY_WAY, result_dir, DIRECTORY_ERRNO=str(getattr(errno, name)))
    if name == "EINVAL":
        assert run.returncode == 0, run.stderr
        assert ids_of(result_dir) == list(range(12))
    else:
        assert run.returncode == 1 and "Error: " in run.stderr


NO_LOCKS = r"""
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
int flock(int fd, int operation) {
  (void)fd, (void)operation;
  errno = atoi(getenv("FLOCK_ERRNO"));
  return -1;
}
"""


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EBADF, 524])
def test_locks_are_not_needed(tmp_path, result_dir, number):
    """Lustre without flock, NFS without lockd, NFS as Linux does it, and DVS."""
    run = run_with(preloadable(tmp_path, NO_LOCKS), WRITE_IN_EVERY_WAY, result_dir, FLOCK_ERRNO=str(number))
    assert run.returncode == 0, run.stderr
    assert ids_of(result_dir) == list(range(12))


NO_HARD_LINKS = r"""
#define _GNU_SOURCE
#include <errno.h>
#include <unistd.h>
int link(const char *from, const char *to) { (void)from, (void)to; errno = EPERM; return -1; }
int linkat(int a, const char *from, int b, const char *to, int flags) {
  (void)a, (void)from, (void)b, (void)to, (void)flags;
  errno = EPERM;
  return -1;
}
"""


def test_hard_links_are_not_needed(tmp_path, result_dir):
    run = run_with(preloadable(tmp_path, NO_HARD_LINKS), WRITE_IN_EVERY_WAY, result_dir)
    assert run.returncode == 0, run.stderr
    assert {path.stat().st_nlink for path in Path(table_path(result_dir)).rglob("*") if path.is_file()} == {1}
    assert ids_of(result_dir) == list(range(12))


FAILED_SYNC_OF_MANIFESTS = r"""
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
static int fails(int fd) {
  char link[64], path[4096];
  struct stat status;
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length <= 0 || fstat(fd, &status)) return 0;
  path[length] = 0;
  int of_files = !strcmp(getenv("SYNC_OF"), "files");
  errno = EIO;
  return of_files ? S_ISREG(status.st_mode) && strstr(path, "/_versions/") != NULL
                  : S_ISDIR(status.st_mode) && strstr(path, "/_versions") != NULL;
}
int fsync(int fd) { return fails(fd) ? -1 : (int)syscall(SYS_fsync, fd); }
int fdatasync(int fd) { return fails(fd) ? -1 : (int)syscall(SYS_fdatasync, fd); }
"""

TELL_STATUSES = PUT + """
def status(call):
    try:
        call()
        return 0
    except rds.RdsError as error:
        return error.status
if sys.argv[2] == "staged":
    token = stage(0)
    told = status(lambda: rds.commit_staged(where, [token]))
else:
    writer = rds.ResultDatasetWriter(where, mode="create", durability="batch")
    told = status(lambda: put(writer, 0)) or status(writer.commit)
print(json.dumps(told))
"""


@pytest.mark.parametrize("how", ["staged", "commit"])
@pytest.mark.parametrize("sync_of", ["files", "directory"])
def test_a_version_that_may_or_may_not_have_landed_is_told_as_unknown(tmp_path, result_dir, how, sync_of):
    library = preloadable(tmp_path, FAILED_SYNC_OF_MANIFESTS)
    run = run_with(library, TELL_STATUSES, result_dir, how, SYNC_OF=sync_of)
    assert run.returncode == 0, run.stderr
    told = json.loads(run.stdout)
    assert told != 0, "success, though the disk failed"
    try:
        rows = len(rds.ResultDataset({}, result_dir))
    except FileNotFoundError:
        rows = 0
    assert told == _errors.CommitUnknownError.status or rows == 0
    if sync_of == "directory":
        assert told == _errors.CommitUnknownError.status


def test_an_unknown_outcome_is_settled_later_and_rows_come_once(tmp_path, result_dir):
    library = preloadable(tmp_path, FAILED_SYNC_OF_MANIFESTS)
    run = run_with(library, TELL_STATUSES, result_dir, "commit", SYNC_OF="directory")
    assert json.loads(run.stdout) == _errors.CommitUnknownError.status
    rds.recover(result_dir)
    assert ids_of(result_dir) == [0, 1, 2]
    with rds.ResultDatasetWriter(result_dir, mode="append") as writer:
        put(writer, 3)
    assert ids_of(result_dir) == list(range(6))


NOTE_SYNCS = r"""
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
static int has_name(const char *directory, ino_t inode) {
  DIR *entries = opendir(directory);
  struct dirent *entry;
  struct stat status;
  int found = 0;
  while (entries && (entry = readdir(entries))) {
    size_t length = strlen(entry->d_name);
    if (length < 9 || strcmp(entry->d_name + length - 9, ".manifest")) continue;
    if (!fstatat(dirfd(entries), entry->d_name, &status, 0) && status.st_ino == inode) found = 1;
  }
  if (entries) closedir(entries);
  return found;
}
static void note(int fd) {
  char link[64], path[4096], line[200];
  struct stat status;
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length <= 0 || fstat(fd, &status) || !S_ISREG(status.st_mode)) return;
  path[length] = 0;
  *strrchr(path, '/') = 0;
  int named = strstr(path, "/_versions") && has_name(path, status.st_ino);
  int written = snprintf(line, sizeof line, "%lu %ld %d\n", (unsigned long)status.st_ino, (long)status.st_size, named);
  int out = open(getenv("SYNC_LOG"), O_WRONLY | O_APPEND | O_CREAT, 0600);
  if (write(out, line, (size_t)written) != written) abort();
  close(out);
}
int fsync(int fd) { note(fd); return (int)syscall(SYS_fsync, fd); }
int fdatasync(int fd) { note(fd); return (int)syscall(SYS_fdatasync, fd); }
"""


def test_a_manifest_is_on_disk_before_it_has_its_name(tmp_path, result_dir):
    log = tmp_path / "log"
    run = run_with(preloadable(tmp_path, NOTE_SYNCS), WRITE_IN_EVERY_WAY, result_dir, SYNC_LOG=str(log))
    assert run.returncode == 0, run.stderr
    synced = [tuple(map(int, line.split())) for line in log.read_text().splitlines()]
    manifests = [path.stat() for path in Path(table_path(result_dir), "_versions").glob("*.manifest")]
    assert len(manifests) >= 3
    for manifest in manifests:
        assert (manifest.st_ino, manifest.st_size, 0) in synced
