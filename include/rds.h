/**
 * @file rds.h
 * librds: storage of machine-learning inference results on Lance.
 *
 * A table holds one row per object: an id and one or more named tensors of fixed shape. It is an ordinary Lance
 * dataset.
 *
 * @code{.c}
 * rds_writer *writer = NULL;
 * rds_writer_options options = RDS_WRITER_OPTIONS_INIT;
 * options.mode = RDS_MODE_OVERWRITE;
 * if (rds_writer_open("results", &options, &writer) != RDS_OK) return fail();
 *
 * const char *names[2] = {"ngc-1", "ngc-2"};
 * float vectors[2][3] = {{1, 2, 3}, {4, 5, 6}};
 * int64_t shape[2] = {2, 3};
 * rds_ids ids = RDS_IDS_INIT;
 * ids.kind = RDS_IDS_CSTRINGS, ids.count = 2, ids.data = names;
 * rds_tensor tensor = RDS_TENSOR_INIT;
 * tensor.dtype = RDS_DTYPE_FLOAT32, tensor.ndim = 2, tensor.shape = shape, tensor.data = vectors;
 * if (rds_write_tensors(writer, &ids, &tensor, 1) != RDS_OK) return fail();
 * if (rds_writer_close(writer) != RDS_OK) return fail();
 *
 * rds_reader *reader = NULL;
 * uint64_t row = 1;
 * if (rds_reader_open("results", NULL, &reader) != RDS_OK) return fail();
 * if (rds_reader_read(reader, 0, &row, 1, vectors[0], sizeof vectors[0]) != RDS_OK) return fail();
 * if (rds_reader_close(reader) != RDS_OK) return fail();
 * @endcode
 *
 * where fail() prints rds_last_error_message().
 *
 * Conventions, which the functions do not repeat:
 *
 * - Every function that can fail returns an rds_status. RDS_OK is 0. The message of the last failed
 *   call on the thread says function, what and why.
 * - Parameters come in the order handle, inputs, options, outputs. Outputs are called out_*, are set
 *   to nothing first (NULL, 0, a released Arrow struct) and to the result only on success; bulk memory
 *   of the caller is only written.
 * - A handle is a token in the shape of a pointer. It is never dereferenced: NULL, a closed handle, one
 *   of another type, or garbage is RDS_ERR_INVALID_HANDLE.
 * - Structs that begin with struct_size are initialised with their RDS_*_INIT macro. Zero in a field
 *   means its default; NULL instead of options means all defaults.
 * - Strings are NUL-terminated UTF-8 unless a length stands beside them.
 * - A panic never crosses the boundary: it is RDS_ERR_PANIC, the process goes on, and the handle in use
 *   accepts nothing but being closed.
 * - After fork() the child may go on reading through readers of the parent; a writer belongs to the
 *   process that opened it.
 * - Nothing starts, reads or logs before the first call that needs it. A callback of the caller must not
 *   unwind or throw.
 */

#ifndef RDS_H
#define RDS_H

#include <stddef.h>
#include <stdint.h>

/** Stands before every function. A program may define it first, as it needs it. */
#ifndef RDS_API
#if defined(__GNUC__) || defined(__clang__)
#define RDS_API __attribute__((visibility("default")))
#else
#define RDS_API
#endif
#endif

/** Stands before every function whose status must be looked at. A program may define it first. */
#ifndef RDS_NODISCARD
#if defined(__GNUC__) || defined(__clang__)
#define RDS_NODISCARD __attribute__((warn_unused_result))
#else
#define RDS_NODISCARD
#endif
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* The Arrow C data interface and C stream interface, word by word as their specifications have them. */
/** @cond */

#ifndef ARROW_C_DATA_INTERFACE
#define ARROW_C_DATA_INTERFACE

#define ARROW_FLAG_DICTIONARY_ORDERED 1
#define ARROW_FLAG_NULLABLE 2
#define ARROW_FLAG_MAP_KEYS_SORTED 4

struct ArrowSchema {
  // Array type description
  const char* format;
  const char* name;
  const char* metadata;
  int64_t flags;
  int64_t n_children;
  struct ArrowSchema** children;
  struct ArrowSchema* dictionary;

  // Release callback
  void (*release)(struct ArrowSchema*);
  // Opaque producer-specific data
  void* private_data;
};

struct ArrowArray {
  // Array data description
  int64_t length;
  int64_t null_count;
  int64_t offset;
  int64_t n_buffers;
  int64_t n_children;
  const void** buffers;
  struct ArrowArray** children;
  struct ArrowArray* dictionary;

  // Release callback
  void (*release)(struct ArrowArray*);
  // Opaque producer-specific data
  void* private_data;
};

#endif  // ARROW_C_DATA_INTERFACE

#ifndef ARROW_C_STREAM_INTERFACE
#define ARROW_C_STREAM_INTERFACE

struct ArrowArrayStream {
  // Callback to get the stream type
  // (will be the same for all arrays in the stream).
  //
  // Return value: 0 if successful, an `errno`-compatible error code otherwise.
  //
  // If successful, the ArrowSchema must be released independently from the stream.
  int (*get_schema)(struct ArrowArrayStream*, struct ArrowSchema* out);

  // Callback to get the next array
  // (if no error and the array is released, the stream has ended)
  //
  // Return value: 0 if successful, an `errno`-compatible error code otherwise.
  //
  // If successful, the ArrowArray must be released independently from the stream.
  int (*get_next)(struct ArrowArrayStream*, struct ArrowArray* out);

  // Callback to get optional detailed error information.
  // This must only be called if the last stream operation failed
  // with a non-0 return code.
  //
  // Return value: pointer to a null-terminated character array describing
  // the last error, or NULL if no description is available.
  //
  // The returned pointer is only valid until the next operation on this stream
  // (including release).
  const char* (*get_last_error)(struct ArrowArrayStream*);

  // Release callback: release the stream's own resources.
  // Note that arrays returned by `get_next` must be individually released.
  void (*release)(struct ArrowArrayStream*);

  // Opaque producer-specific data
  void* private_data;
};

#endif  // ARROW_C_STREAM_INTERFACE

/* A tensor of DLPack 1.0: dlpack.h says what is in it. */
struct DLManagedTensorVersioned;
/** @endcond */

/* ---- Statuses and errors ---------------------------------------------------------------------- */

/**
 * What became of a call.
 *
 * Values are never renumbered; a later version may add to them.
 */
typedef enum rds_status {
  /**
   * Success.
   */
  RDS_OK = 0,
  /**
   * An argument is NULL, malformed, or outside what the function accepts.
   */
  RDS_ERR_INVALID_ARGUMENT = 1,
  /**
   * The handle is NULL, closed, of another type, or never was one.
   */
  RDS_ERR_INVALID_HANDLE = 2,
  /**
   * The call does not fit what was called before, or the process it is called in.
   */
  RDS_ERR_INVALID_STATE = 3,
  /**
   * No such table, version, row or file.
   */
  RDS_ERR_NOT_FOUND = 4,
  /**
   * The table exists, and the mode does not allow that.
   */
  RDS_ERR_ALREADY_EXISTS = 5,
  /**
   * Columns, dtype or shape are not those of the table or of librds.
   */
  RDS_ERR_SCHEMA_MISMATCH = 6,
  /**
   * A row, or a range of rows, lies outside the table.
   */
  RDS_ERR_OUT_OF_RANGE = 7,
  /**
   * The operating system or the object store refused.
   */
  RDS_ERR_IO = 8,
  /**
   * Another writer changed the table first.
   */
  RDS_ERR_COMMIT_CONFLICT = 9,
  /**
   * Valid, but not offered by this build or this version.
   */
  RDS_ERR_NOT_SUPPORTED = 10,
  /**
   * A file of the table is damaged.
   */
  RDS_ERR_CORRUPT = 11,
  /**
   * A callback of the caller asked to stop.
   */
  RDS_ERR_CANCELLED = 12,
  /**
   * A defect of librds was caught at the boundary; the handle in use is poisoned.
   */
  RDS_ERR_PANIC = 13,
  /**
   * A state that should not occur; please report it.
   */
  RDS_ERR_INTERNAL = 14,
  /**
   * Whether a version of the table landed cannot be known: the rows are kept, and are neither certainly
   * visible nor certainly not.
   */
  RDS_ERR_COMMIT_UNKNOWN = 15,
  /**
   * The queue of a writer is full, and the call was not to wait for room, or no longer: nothing was accepted.
   */
  RDS_ERR_NO_ROOM = 16,
  /**
   * A stream of the caller failed.
   */
  RDS_ERR_STREAM = 17,
} rds_status;

/**
 * Returns the name of a status, `RDS_ERR_IO`.
 *
 * @param[in] status an rds_status, or any other number.
 * @return a static string, never NULL; `RDS_ERR_UNKNOWN` for a number that is no status.
 *
 * @par Ownership
 * static; do not free.
 * @par Thread safety
 * any thread.
 * @par Blocking
 * never.
 * @since 0.1
 */
RDS_API const char *rds_status_name(uint32_t status);

/**
 * Returns the message of the last call that failed on this thread: the function, what, and why,
 * with names and values.
 *
 * Reading does not consume it, and a call that succeeds does not clear it.
 *
 * @return a NUL-terminated UTF-8 string, never NULL; empty if no call failed on this thread.
 *
 * @par Ownership
 * borrowed, until the next call that fails on this thread, or the thread ends.
 * @par Thread safety
 * any thread; each has its own.
 * @par Blocking
 * never.
 * @since 0.1
 */
RDS_API const char *rds_last_error_message(void);

/**
 * Returns the status of the last call that failed on this thread.
 *
 * @return that status; RDS_OK if no call failed on this thread.
 *
 * @par Ownership
 * nothing is passed.
 * @par Thread safety
 * any thread; each has its own.
 * @par Blocking
 * never.
 * @since 0.1
 */
RDS_API enum rds_status rds_last_error_status(void);

/**
 * What rds_last_error() tells. Initialise with RDS_ERROR_INIT.
 */
typedef struct rds_error {
  /**
   * sizeof(rds_error).
   */
  size_t struct_size;
  /**
   * As of rds_last_error_message().
   */
  const char *message;
  /**
   * An rds_status; RDS_OK if no call failed on this thread.
   */
  uint32_t status;
  /**
   * Which argument of the call is to blame, counted from 0; -1 if none is, or the status does not say.
   */
  int32_t argument;
  /**
   * 1 if the same call may succeed later: space, descriptors, memory or room in the queue were short, or others were
   * faster; else 0.
   */
  uint32_t may_pass;
  /**
   * 0.
   */
  uint32_t reserved;
} rds_error;

/**
 * An rds_error whose struct_size is set, with every other field at its default.
 */
#define RDS_ERROR_INIT {sizeof(rds_error), NULL, 0, 0, 0, 0}

/**
 * Tells all that is known of the last call that failed on this thread.
 *
 * @param[out] out_error initialised with RDS_ERROR_INIT. Written on success only.
 * @return RDS_OK out_error is filled in.
 * @return RDS_ERR_INVALID_ARGUMENT out_error is NULL or malformed; it is the last error then.
 * @return RDS_ERR_PANIC a defect of librds.
 *
 * @par Ownership
 * out_error stays the caller's; the message in it is borrowed, until the next call that fails on this
 * thread, or the thread ends.
 * @par Thread safety
 * any thread; each has its own.
 * @par Blocking
 * never.
 * @since 0.2
 */
RDS_API RDS_NODISCARD
enum rds_status rds_last_error(struct rds_error *out_error);

/* ---- Library and versions --------------------------------------------------------------------- */

/**
 * Major version of the library that this header came with.
 */
#define RDS_VERSION_MAJOR 0

/**
 * Minor version of the library that this header came with.
 */
#define RDS_VERSION_MINOR 2

/**
 * Patch version of the library that this header came with.
 */
#define RDS_VERSION_PATCH 0

/**
 * All three. rds_version() tells those of the library in use.
 */
#define RDS_VERSION_STRING "0.2.0"

/**
 * The version of the interface: major * 1000 + minor. Within one major version functions, fields
 * and values are only added.
 */
#define RDS_ABI_VERSION 1000

/**
 * Returns the version of the library, `0.2.0`.
 *
 * @return a static string, never NULL.
 *
 * @par Ownership
 * static; do not free.
 * @par Thread safety
 * any thread.
 * @par Blocking
 * never.
 * @since 0.1
 */
RDS_API const char *rds_version(void);

/**
 * Returns the version of the interface that the library has: compare it with RDS_ABI_VERSION of
 * the header, or let rds_check_abi() do it.
 *
 * @return major * 1000 + minor.
 *
 * @par Ownership
 * nothing is passed.
 * @par Thread safety
 * any thread.
 * @par Blocking
 * never.
 * @since 0.1
 */
RDS_API uint32_t rds_abi_version(void);

/**
 * Checks that a program built against a header runs with this library.
 *
 * @param[in] abi_version RDS_ABI_VERSION of the header the caller was compiled with.
 * @return RDS_OK the library has everything that header declares.
 * @return RDS_ERR_NOT_SUPPORTED the header is newer than the library, or of another major version.
 *
 * @par Ownership
 * nothing is passed.
 * @par Thread safety
 * any thread.
 * @par Blocking
 * never.
 * @since 0.1
 */
RDS_API RDS_NODISCARD enum rds_status rds_check_abi(uint32_t abi_version);

/**
 * Returns what the library was built from, one `name version` per line: librds, lance, arrow, rustc.
 *
 * @return a static string, never NULL.
 *
 * @par Ownership
 * static; do not free.
 * @par Thread safety
 * any thread.
 * @par Blocking
 * never.
 * @since 0.1
 */
RDS_API
const char *rds_build_info(void);

/* ---- Log and runtime -------------------------------------------------------------------------- */

/**
 * Severity of a log message.
 */
typedef enum rds_log_level {
  RDS_LOG_OFF = 0,
  RDS_LOG_ERROR = 1,
  RDS_LOG_WARN = 2,
  RDS_LOG_INFO = 3,
  RDS_LOG_DEBUG = 4,
  RDS_LOG_TRACE = 5,
} rds_log_level;

/**
 * Receives a log message. `level` is an rds_log_level, `target` names the part that logs, `message` is the text; both are
 * NUL-terminated UTF-8 and valid during the call only. Called from any thread, from several at
 * once. It must not unwind or throw, nor call into librds: such a call is refused by RDS_ERR_INVALID_STATE.
 */
typedef void (*rds_log_callback)(void *user_data,
                                 uint32_t level,
                                 const char *target,
                                 const char *message);

/**
 * Sets the callback that receives log messages up to a level. Without one nothing is logged.
 *
 * @param[in] level an rds_log_level: the most detailed level to receive; RDS_LOG_OFF for none.
 * @param[in] callback NULL for none. Called from any thread, from several at once; a message that
 * is being delivered while the callback is replaced may still arrive at the old one. Functions of readers,
 * writers and tables are refused inside it, by RDS_ERR_INVALID_STATE, and so is the next batch of a stream.
 * @param[in] user_data handed to the callback as it is; may be NULL. Not freed.
 * @return RDS_OK messages go to the callback from now on.
 * @return RDS_ERR_INVALID_ARGUMENT level is no rds_log_level; nothing changed.
 * @return RDS_ERR_INVALID_STATE the call is made inside a log callback; nothing changed.
 * @return RDS_ERR_PANIC a defect of librds.
 *
 * @par Ownership
 * user_data stays the caller's, and must live until another callback is set and no call of
 * this one runs any more; best as long as the process.
 * @par Thread safety
 * any thread.
 * @par Blocking
 * never.
 * @since 0.1
 */
RDS_API RDS_NODISCARD
enum rds_status rds_set_log_callback(uint32_t level,
                                     rds_log_callback callback,
                                     void *user_data);

/**
 * Options of rds_runtime_configure(). Zero means the default. Initialise with
 * RDS_RUNTIME_OPTIONS_INIT.
 */
typedef struct rds_runtime_options {
  /**
   * sizeof(rds_runtime_options).
   */
  size_t struct_size;
  /**
   * Worker threads, and how many threads one call uses at most; default the environment variable
   * RDS_THREADS, else the number of cores, at least 2 and at most 8.
   */
  uint64_t worker_threads;
} rds_runtime_options;

/**
 * An rds_runtime_options whose struct_size is set, with every other field at its default.
 */
#define RDS_RUNTIME_OPTIONS_INIT {sizeof(rds_runtime_options), 0}

/**
 * Sets how the runtime of the library runs. Optional; call it before the first call that opens a
 * table, which starts the runtime.
 *
 * @param[in] options NULL means all defaults. Copied.
 * @return RDS_OK the runtime will start so.
 * @return RDS_ERR_INVALID_ARGUMENT options are malformed, or worker_threads is above 1024.
 * @return RDS_ERR_NOT_SUPPORTED options have a field this version does not know.
 * @return RDS_ERR_INVALID_STATE the runtime runs already and goes on as it was.
 * @return RDS_ERR_PANIC a defect of librds.
 *
 * @par Ownership
 * options stay the caller's.
 * @par Thread safety
 * any thread.
 * @par Blocking
 * never.
 * @since 0.1
 */
RDS_API RDS_NODISCARD
enum rds_status rds_runtime_configure(const struct rds_runtime_options *options);

/* ---- Dtypes and batches ----------------------------------------------------------------------- */

/**
 * Type of one tensor element.
 *
 * The names are NumPy's. A value is inbound as `uint32_t` and checked.
 */
typedef enum rds_dtype {
  /**
   * One byte in memory, 0 or 1; one bit in the table. A row of more than 4092 is a multiple of 8: Lance has no page
   * for others.
   */
  RDS_DTYPE_BOOL = 1,
  RDS_DTYPE_INT8 = 2,
  RDS_DTYPE_INT16 = 3,
  RDS_DTYPE_INT32 = 4,
  RDS_DTYPE_INT64 = 5,
  RDS_DTYPE_UINT8 = 6,
  RDS_DTYPE_UINT16 = 7,
  RDS_DTYPE_UINT32 = 8,
  RDS_DTYPE_UINT64 = 9,
  RDS_DTYPE_FLOAT16 = 10,
  RDS_DTYPE_FLOAT32 = 11,
  RDS_DTYPE_FLOAT64 = 12,
  /**
   * The upper half of a float32.
   */
  RDS_DTYPE_BFLOAT16 = 13,
  /**
   * Two float32: real, imaginary.
   */
  RDS_DTYPE_COMPLEX64 = 14,
  /**
   * Two float64: real, imaginary.
   */
  RDS_DTYPE_COMPLEX128 = 15,
  /**
   * int64 since 1970-01-01T00:00:00, in the named unit; likewise the next three.
   */
  RDS_DTYPE_DATETIME64_S = 16,
  RDS_DTYPE_DATETIME64_MS = 17,
  RDS_DTYPE_DATETIME64_US = 18,
  RDS_DTYPE_DATETIME64_NS = 19,
  /**
   * int64, in the named unit; likewise the next three.
   */
  RDS_DTYPE_TIMEDELTA64_S = 20,
  RDS_DTYPE_TIMEDELTA64_MS = 21,
  RDS_DTYPE_TIMEDELTA64_US = 22,
  RDS_DTYPE_TIMEDELTA64_NS = 23,
} rds_dtype;

/**
 * The dimensions a row can have at most.
 */
#define RDS_MAX_NDIM 64

/**
 * Bytes of a text, UTF-8, not NUL-terminated.
 */
typedef struct rds_string {
  /**
   * NULL only if length is 0.
   */
  const char *data;
  /**
   * How many bytes.
   */
  size_t length;
} rds_string;

/**
 * The form of the ids in an rds_ids.
 */
typedef enum rds_ids_kind {
  /**
   * data: UTF-8 bytes of all ids; offsets: count + 1 of them.
   */
  RDS_IDS_UTF8 = 1,
  /**
   * data: `const char *const *`, count NUL-terminated UTF-8 strings.
   */
  RDS_IDS_CSTRINGS = 2,
  /**
   * data: NumPy `S`: item_bytes an id, UTF-8, padded with NUL.
   */
  RDS_IDS_NUMPY_S = 3,
  /**
   * data: NumPy `U`: item_bytes (a multiple of 4) an id, native UTF-32, padded with NUL.
   */
  RDS_IDS_NUMPY_U = 4,
  /**
   * data: `const int64_t *`; the id is the decimal number.
   */
  RDS_IDS_INT64 = 5,
  /**
   * data: `const uint64_t *`; the id is the decimal number.
   */
  RDS_IDS_UINT64 = 6,
  /**
   * data: `const rds_string *`, count strings, UTF-8.
   */
  RDS_IDS_STRINGS = 7,
} rds_ids_kind;

/**
 * Object ids in memory of the caller. Initialise with RDS_IDS_INIT.
 */
typedef struct rds_ids {
  /**
   * sizeof(rds_ids).
   */
  size_t struct_size;
  /**
   * An rds_ids_kind.
   */
  uint32_t kind;
  /**
   * Must be 0.
   */
  uint32_t flags;
  /**
   * How many ids.
   */
  uint64_t count;
  /**
   * As kind says. NULL only if count is 0, or if every id is empty.
   */
  const void *data;
  /**
   * RDS_IDS_UTF8: count + 1 ascending offsets into data; otherwise NULL.
   */
  const int64_t *offsets;
  /**
   * RDS_IDS_NUMPY_S, RDS_IDS_NUMPY_U: bytes of one id; otherwise 0.
   */
  size_t item_bytes;
} rds_ids;

/**
 * An rds_ids whose struct_size is set, with every other field at its default.
 */
#define RDS_IDS_INIT {sizeof(rds_ids), 0, 0, 0, NULL, NULL, 0}

/**
 * A stack of tensors in memory of the caller: shape[0] rows of one shape. Initialise with
 * RDS_TENSOR_INIT.
 */
typedef struct rds_tensor {
  /**
   * sizeof(rds_tensor).
   */
  size_t struct_size;
  /**
   * The column that they go to; NUL-terminated UTF-8; NULL means `data`.
   */
  const char *name;
  /**
   * An rds_dtype.
   */
  uint32_t dtype;
  /**
   * Dimensions, the one over rows included: 1 for scalars, at most RDS_MAX_NDIM + 1.
   */
  uint32_t ndim;
  /**
   * ndim lengths.
   */
  const int64_t *shape;
  /**
   * ndim distances in bytes, as NumPy has them, negative ones too; NULL means C order.
   */
  const int64_t *strides;
  /**
   * The first element. NULL only if shape[0] is 0.
   */
  const void *data;
  /**
   * RDS_TENSOR_BYTE_SWAPPED or 0.
   */
  uint32_t flags;
  /**
   * Must be 0.
   */
  uint32_t reserved;
} rds_tensor;

/**
 * rds_tensor.flags: the numbers in data have the byte order that is not this machine's.
 */
#define RDS_TENSOR_BYTE_SWAPPED 1u

/**
 * An rds_tensor whose struct_size is set, with every other field at its default.
 */
#define RDS_TENSOR_INIT {sizeof(rds_tensor), NULL, 0, 0, NULL, NULL, NULL, 0, 0}

/* ---- Writers ---------------------------------------------------------------------------------- */

/**
 * A writer: one run that writes one table. Opaque; made by rds_writer_open().
 */
typedef struct rds_writer rds_writer;

/**
 * What rds_writer_open() does with a table that exists, or does not.
 */
typedef enum rds_write_mode {
  /**
   * The table must not exist.
   */
  RDS_MODE_CREATE = 0,
  /**
   * The table must exist; rows are added after its last one. Also resumes an interrupted run.
   */
  RDS_MODE_APPEND = 1,
  /**
   * A table that exists is replaced by the first rds_flush(), rds_commit() or rds_writer_close(); readers of it
   * keep their snapshot.
   */
  RDS_MODE_OVERWRITE = 2,
  /**
   * Nothing is committed: rows go into tokens of rds_writer_stage(), which rds_commit_staged() publishes.
   * The durability is of no meaning then.
   */
  RDS_MODE_STAGED = 3,
} rds_write_mode;

/**
 * When accepted rows become durable: from then on they survive a kill of the process and a power failure.
 *
 * Visible to readers that open afterwards they become by rds_flush(), rds_commit() and rds_writer_close(), and by
 * time, as visible_ms says.
 */
typedef enum rds_durability {
  /**
   * Within checkpoint_ms of being accepted, as far as the disk keeps up.
   */
  RDS_DURABILITY_INTERVAL = 0,
  /**
   * Before the call that writes them returns. If that fails the batch may be durable all the same, like any
   * whose answer was not heard.
   */
  RDS_DURABILITY_BATCH = 1,
  /**
   * By rds_commit(), and not before; visible too.
   */
  RDS_DURABILITY_COMMIT = 2,
} rds_durability;

/**
 * A tensor column of a table to be made. Initialise with RDS_COLUMN_SPEC_INIT.
 */
typedef struct rds_column_spec {
  /**
   * sizeof(rds_column_spec).
   */
  size_t struct_size;
  /**
   * Its name; NUL-terminated UTF-8; NULL means `data`.
   */
  const char *name;
  /**
   * An rds_dtype.
   */
  uint32_t dtype;
  /**
   * Dimensions of a row: 0 for a scalar, at most RDS_MAX_NDIM.
   */
  uint32_t ndim;
  /**
   * ndim lengths.
   */
  const int64_t *shape;
} rds_column_spec;

/**
 * An rds_column_spec whose struct_size is set, with every other field at its default.
 */
#define RDS_COLUMN_SPEC_INIT {sizeof(rds_column_spec), NULL, 0, 0, NULL}

/**
 * A text under a key, both NUL-terminated UTF-8.
 */
typedef struct rds_metadata {
  /**
   * What it is about; not empty, and given once.
   */
  const char *key;
  /**
   * What is said.
   */
  const char *value;
} rds_metadata;

/**
 * Asked now and then by a call that waits, on the thread that made the call; one that does not wait asks nothing.
 * A non-zero return ends the wait: the call returns RDS_ERR_NO_ROOM if it waited for room in the queue of a
 * writer, else RDS_ERR_CANCELLED, and its description says what state that leaves. It may call rds_writer_stats(), and read rows; calls made in it do not ask,
 * and are refused by RDS_ERR_INVALID_STATE if they need ids that are being loaded or indexed. It must not unwind or throw.
 */
typedef int (*rds_waiting_callback)(void *user_data);

/**
 * Options of rds_writer_open(). Zero means the default. Initialise with RDS_WRITER_OPTIONS_INIT.
 */
typedef struct rds_writer_options {
  /**
   * sizeof(rds_writer_options).
   */
  size_t struct_size;
  /**
   * An rds_write_mode; default RDS_MODE_CREATE.
   */
  uint32_t mode;
  /**
   * An rds_durability; default RDS_DURABILITY_INTERVAL.
   */
  uint32_t durability;
  /**
   * RDS_DURABILITY_INTERVAL: milliseconds; default 1000.
   */
  uint64_t checkpoint_ms;
  /**
   * Bytes that may wait to be written before a call that writes has to wait too; default 64 MiB.
   * A single batch may exceed it.
   */
  uint64_t max_queued_bytes;
  /**
   * Milliseconds that rows may be durable and not visible, unless rds_flush() or rds_commit() is called; default
   * 10000. It grows to a tenth of the age of the run, up to ten minutes. An overwrite becomes visible
   * by these calls and rds_writer_close() only.
   */
  uint64_t visible_ms;
  /**
   * RDS_MODE_STAGED: the name of the job that the writer writes a part of; NUL-terminated UTF-8; default none.
   * Borrowed during the call. Such a writer has neither queue nor threads: a call that writes a batch has written it
   * to the file of the part when it returns, on the thread of its caller, and a failed one has accepted nothing of
   * it.
   */
  const char *job;
  /**
   * The number of that part. Of tokens with one part of one job, the first that is published counts, and the
   * others add nothing.
   */
  uint64_t part;
  /**
   * Or-ed RDS_WRITER_*, or 0.
   */
  uint32_t flags;
  /**
   * Must be 0.
   */
  uint32_t reserved;
  /**
   * Asked some twenty times a second by every call on the writer that waits, until the last one has returned;
   * default none.
   */
  rds_waiting_callback waiting;
  /**
   * Handed to waiting as it is.
   */
  void *user_data;
  /**
   * The tensor columns of the table, in its order; default those of the first batch. With them the table is made
   * even if no row is written. Borrowed during the call.
   */
  const struct rds_column_spec *columns;
  /**
   * How many.
   */
  size_t column_count;
  /**
   * Milliseconds that a call which writes waits for room in the queue at most, then RDS_ERR_NO_ROOM; default as long
   * as it takes.
   */
  uint64_t room_ms;
  /**
   * What the table is to say of this run: the model, its checkpoint, the configuration. It is visible with the first
   * version of the run, and rds_reader_metadata() reads it back; of several runs of a table the last one that gave a
   * key counts. Not for RDS_MODE_STAGED. Borrowed during the call.
   */
  const struct rds_metadata *metadata;
  /**
   * How many.
   */
  size_t metadata_count;
} rds_writer_options;

/**
 * rds_writer_options.flags: the tensors of Arrow batches are not copied but kept, and released when they are
 * written. The caller must not change them after the call. A release callback may run on any thread, as the rows are
 * written: a call on the same writer that would wait for that is RDS_ERR_INVALID_STATE there, and one that closes the
 * writer RDS_ERR_CANCELLED, by which it is closed in the background.
 */
#define RDS_WRITER_ALIAS_ARROW 1u

/**
 * rds_writer_options.flags: only calls of the main thread of the process ask waiting. It is where interpreters
 * handle signals, and the one thread that they do not end in the middle of a callback.
 */
#define RDS_WRITER_WAITING_MAIN_THREAD 2u

/**
 * rds_writer_options.flags: a call that writes never waits for room in the queue: where there is none it is
 * RDS_ERR_NO_ROOM, and may be tried again.
 */
#define RDS_WRITER_NO_WAIT 4u

/**
 * An rds_writer_options whose struct_size is set, with every other field at its default.
 */
#define RDS_WRITER_OPTIONS_INIT {sizeof(rds_writer_options), 0, 0, 0, 0, 0, NULL, 0, 0, 0, NULL, NULL, NULL, 0, 0, NULL, 0}

/**
 * Opens a writer for a table.
 *
 * Nothing is written yet: a table that does not exist appears with its first version. With RDS_MODE_APPEND runs that
 * died are finished: their durable rows become visible before those of this writer. The writer belongs to the
 * process that opened it.
 *
 * @param[in] path a result directory (the table is `lance_db/results.lance` in it), a path ending
 * in `.lance` (the table itself), or one of these as a `file://` URI; NUL-terminated UTF-8.
 * @param[in] options NULL means all defaults. Copied.
 * @param[out] out_writer the writer; NULL on failure.
 * @return RDS_OK the writer is open.
 * @return RDS_ERR_INVALID_ARGUMENT an argument is NULL, path is not UTF-8 or has a control character, options
 * are malformed, or the environment variable RDS_THREADS is no number of threads.
 * @return RDS_ERR_ALREADY_EXISTS mode is RDS_MODE_CREATE and the table exists, or durable rows of another run wait
 * there to become visible.
 * @return RDS_ERR_NOT_FOUND mode is RDS_MODE_APPEND and there is no table.
 * @return RDS_ERR_SCHEMA_MISMATCH mode is RDS_MODE_APPEND and options.columns are not those of the table, or it lacks columns or
 * tensor metadata, or has other columns too.
 * @return RDS_ERR_NOT_SUPPORTED the scheme of path or a field of options is not known to this build,
 * or the table is one that this version cannot add to.
 * @return RDS_ERR_CORRUPT the table cannot be read.
 * @return RDS_ERR_IO the operating system refused.
 * @return RDS_ERR_INVALID_STATE too many writers are open.
 * @return RDS_ERR_INTERNAL Lance failed in a way it should not.
 * @return RDS_ERR_PANIC a defect of librds. On any failure no writer is open.
 *
 * @par Ownership
 * out_writer is the caller's, to be closed with rds_writer_close().
 * @par Thread safety
 * any thread.
 * @par Blocking
 * reads the manifest of the table, if there is one.
 * @since 0.1
 */
RDS_API RDS_NODISCARD
enum rds_status rds_writer_open(const char *path,
                                const struct rds_writer_options *options,
                                struct rds_writer **out_writer);

/**
 * Writes a batch that lies in plain memory: ids, and for each column a stack of as many tensors.
 *
 * The batch is checked whole before any of it is accepted, then copied: the memory is the caller's
 * again when the call returns. The first batch of a table fixes the names, dtypes and shapes of its columns; later
 * ones have the same columns, in any order. An empty batch does nothing.
 *
 * @param[in] writer a writer.
 * @param[in] ids one id per row. Copied.
 * @param[in] tensors shape[0] rows of each column, initialised with RDS_TENSOR_INIT. Copied.
 * @param[in] tensor_count how many columns, at least 1.
 * @return RDS_OK the batch is accepted; durable as the durability of the writer says.
 * @return RDS_ERR_INVALID_HANDLE writer is no open writer.
 * @return RDS_ERR_INVALID_ARGUMENT a pointer is NULL, a struct is malformed, the numbers of ids and
 * rows differ, an id is not UTF-8, a dimension is below 1, Lance cannot store a column of that name, or there are
 * more columns than the process may have descriptors.
 * @return RDS_ERR_SCHEMA_MISMATCH a column is missing, occurs twice or is none of the table's, or its dtype or shape
 * are not those of the table. After these three the
 * writer is as it was.
 * @return RDS_ERR_NOT_SUPPORTED a field of ids or tensors is not known to this version; the writer is
 * as it was.
 * @return RDS_ERR_INVALID_STATE the process is a fork of the one that opened the writer, or another
 * thread closed the writer meanwhile; nothing of the batch is written.
 * @return RDS_ERR_NO_ROOM the queue is full, and options say not to wait, or the time of room_ms is over, or
 * rds_writer_options.waiting asked to stop waiting: nothing is accepted, and the writer is as it was.
 * @return RDS_ERR_CANCELLED rds_writer_options.waiting asked to stop waiting until the batch is durable: it is accepted,
 * and becomes durable in the background.
 * @return RDS_ERR_IO writing failed in a way that does not pass, perhaps that of an earlier batch: what was durable
 * stays so, and the writer accepts nothing more. Its durable rows wait for rds_recover() or the next writer that appends.
 * @return RDS_ERR_NOT_FOUND the directory of the table is gone; as above.
 * @return RDS_ERR_ALREADY_EXISTS another writer made the table first; as above.
 * @return RDS_ERR_COMMIT_CONFLICT the table was replaced, restored to before this run, or its columns changed so that
 * the rows do not fit, or the run was taken over by another process; as above.
 * @return RDS_ERR_COMMIT_UNKNOWN whether the version landed cannot be known; as above.
 * @return RDS_ERR_CORRUPT the table cannot be read any more; as above.
 * @return RDS_ERR_INTERNAL Lance failed in a way it should not; as above.
 * @return RDS_ERR_PANIC a defect of librds; the writer can only be closed.
 *
 * @par Ownership
 * ids, tensors and what they point to stay the caller's.
 * @par Thread safety
 * any thread; calls on one writer take turns.
 * @par Blocking
 * while more than max_queued_bytes wait to be written; with RDS_DURABILITY_BATCH until the
 * batch is durable.
 * @since 0.1
 */
RDS_API RDS_NODISCARD
enum rds_status rds_write_tensors(struct rds_writer *writer,
                                  const struct rds_ids *ids,
                                  const struct rds_tensor *tensors,
                                  size_t tensor_count);

/**
 * Writes a batch that is an Arrow record batch.
 *
 * The batch is checked whole before any of it is accepted. The first batch of a table fixes the names, dtypes and
 * shapes of its tensors: from the schema metadata that a table of librds has, else from
 * the extension type `arrow.fixed_shape_tensor`, else the length of the list; a column of numbers is of scalars. Later
 * batches have the same columns, in any order. An empty batch does nothing.
 *
 * @param[in] writer a writer.
 * @param[in] schema of the batch: a struct with `object_id` (utf8, large_utf8, utf8_view, binary, or
 * an integer type), and tensors (fixed_size_list, or numbers), in any order. Borrowed.
 * @param[in,out] array the batch. Moved: marked released on return, and released by the library, whether
 * the call succeeds or fails. It is copied and released before the return; with RDS_WRITER_ALIAS_ARROW its tensors
 * are kept, and its release callback may run after the return, on another thread.
 * @return RDS_OK the batch is accepted; durable as the durability of the writer says.
 * @return RDS_ERR_INVALID_HANDLE writer is no open writer.
 * @return RDS_ERR_INVALID_ARGUMENT a pointer is NULL, array or schema are released or malformed, or an id
 * or a tensor is null.
 * @return RDS_ERR_SCHEMA_MISMATCH a column is missing, occurs twice, is no tensor or none of the table's, or its
 * dtype or shape are not those of the table. After these four the writer is as it was.
 * @return RDS_ERR_NOT_SUPPORTED the dtype is not one of librds; the writer is as it was.
 * @return RDS_ERR_INVALID_STATE the process is a fork of the one that opened the writer, or another
 * thread closed the writer meanwhile; nothing of the batch is written.
 * @return RDS_ERR_NO_ROOM the queue is full, and options say not to wait, or the time of room_ms is over, or
 * rds_writer_options.waiting asked to stop waiting: nothing is accepted, and the writer is as it was.
 * @return RDS_ERR_CANCELLED rds_writer_options.waiting asked to stop waiting until the batch is durable: it is accepted,
 * and becomes durable in the background.
 * @return RDS_ERR_IO writing failed in a way that does not pass, perhaps that of an earlier batch: what was durable
 * stays so, and the writer accepts nothing more. Its durable rows wait for rds_recover() or the next writer that appends.
 * @return RDS_ERR_NOT_FOUND the directory of the table is gone; as above.
 * @return RDS_ERR_ALREADY_EXISTS another writer made the table first; as above.
 * @return RDS_ERR_COMMIT_CONFLICT the table was replaced, restored to before this run, or its columns changed so that
 * the rows do not fit, or the run was taken over by another process; as above.
 * @return RDS_ERR_COMMIT_UNKNOWN whether the version landed cannot be known; as above.
 * @return RDS_ERR_CORRUPT the table cannot be read any more; as above.
 * @return RDS_ERR_INTERNAL Lance failed in a way it should not; as above.
 * @return RDS_ERR_PANIC a defect of librds; the writer can only be closed.
 *
 * @par Ownership
 * array is moved, schema stays the caller's.
 * @par Thread safety
 * any thread; calls on one writer take turns.
 * @par Blocking
 * while more than max_queued_bytes wait to be written; with RDS_DURABILITY_BATCH until the
 * batch is durable.
 * @since 0.1
 */
RDS_API RDS_NODISCARD
enum rds_status rds_write_batch(struct rds_writer *writer,
                                const struct ArrowSchema *schema,
                                struct ArrowArray *array);

/**
 * Called now and then by a long call, on the thread that made the call. `done` of `total` rows are
 * dealt with. A non-zero return asks the call to stop. It must not unwind or throw.
 */
typedef int (*rds_progress_callback)(void *user_data, uint64_t done, uint64_t total);

/**
 * Options of rds_write_stream(). Zero means the default. Initialise with RDS_WRITE_STREAM_OPTIONS_INIT.
 */
typedef struct rds_write_stream_options {
  /**
   * sizeof(rds_write_stream_options).
   */
  size_t struct_size;
  /**
   * Told after each batch how many rows of the stream are accepted; done and total are the same, as a
   * stream does not tell its length; default none.
   */
  rds_progress_callback progress;
  /**
   * Handed to progress as it is.
   */
  void *user_data;
} rds_write_stream_options;

/**
 * An rds_write_stream_options whose struct_size is set, with every other field at its default.
 */
#define RDS_WRITE_STREAM_OPTIONS_INIT {sizeof(rds_write_stream_options), NULL, NULL}

/**
 * Writes all batches of an Arrow stream, one after the other.
 *
 * Each is checked as by rds_write_batch(), the columns before the first one. What was accepted before a
 * failure stays accepted.
 *
 * @param[in] writer a writer.
 * @param[in,out] stream the batches. Moved: marked released on return, and released by the library, whether
 * the call succeeds or fails. Its callbacks are called on this thread; with RDS_WRITER_ALIAS_ARROW
 * release callbacks of its batches may run after the return, on another thread.
 * @param[in] options NULL means all defaults. Borrowed during the call.
 * @param[out] out_rows how many rows the stream had; NULL if the caller does not want it.
 * @return RDS_OK all batches are accepted; durable as the durability of the writer says.
 * @return RDS_ERR_INVALID_HANDLE writer is no open writer.
 * @return RDS_ERR_INVALID_ARGUMENT a pointer is NULL, the stream is released or malformed, an id or a tensor
 * is null, or options are malformed.
 * @return RDS_ERR_SCHEMA_MISMATCH a column is missing, occurs twice, is no tensor or none of the table's, or its
 * dtype or shape are not those of the table.
 * @return RDS_ERR_NOT_SUPPORTED the dtype is not one of librds, or options have a field this version does not
 * know. After these four the writer has what it had and the batches before, and goes on.
 * @return RDS_ERR_STREAM the stream failed, as its message says; as above.
 * @return RDS_ERR_NO_ROOM as of rds_write_batch(): nothing of the batch at hand is accepted; as above.
 * @return RDS_ERR_CANCELLED options.progress asked to stop, or rds_writer_options.waiting asked not to wait until the batch
 * at hand is durable, which it becomes in the background: it is accepted; as above.
 * @return RDS_ERR_INVALID_STATE the process is a fork of the one that opened the writer, or another
 * thread closed the writer meanwhile; nothing of the batch is written.
 * @return RDS_ERR_IO writing failed, perhaps that of an earlier batch: what was durable stays so, and the writer
 * accepts nothing more.
 * @return RDS_ERR_NOT_FOUND the directory of the table is gone: what was durable stays so, and the writer
 * accepts nothing more.
 * @return RDS_ERR_ALREADY_EXISTS another writer made the table first; as above.
 * @return RDS_ERR_COMMIT_CONFLICT the table was replaced, restored to before this run, or its columns changed so that
 * the rows do not fit, or the run was taken over by another process; as above.
 * @return RDS_ERR_COMMIT_UNKNOWN whether a version landed cannot be known; as above.
 * @return RDS_ERR_CORRUPT the table cannot be read any more; as above.
 * @return RDS_ERR_INTERNAL Lance failed in a way it should not; as above.
 * @return RDS_ERR_PANIC a defect of librds; the writer can only be closed.
 *
 * @par Ownership
 * stream is moved.
 * @par Thread safety
 * any thread; calls on one writer take turns batch by batch.
 * @par Blocking
 * as long as the stream takes, and while more than max_queued_bytes wait to be written.
 * @since 0.1
 */
RDS_API RDS_NODISCARD
enum rds_status rds_write_stream(struct rds_writer *writer,
                                 struct ArrowArrayStream *stream,
                                 const struct rds_write_stream_options *options,
                                 uint64_t *out_rows);

/**
 * Makes everything accepted durable, and visible to readers that open afterwards: one version of the table.
 *
 * With nothing new it does nothing. What fails and may pass is tried again until it succeeds; rds_writer_stats()
 * tells of it.
 *
 * @param[in] writer a writer.
 * @return RDS_OK everything accepted is durable and visible.
 * @return RDS_ERR_INVALID_HANDLE writer is no open writer.
 * @return RDS_ERR_CANCELLED rds_writer_options.waiting asked to stop waiting: what was accepted stays accepted, and
 * becomes durable and visible in the background.
 * @return RDS_ERR_INVALID_STATE the durability is RDS_DURABILITY_COMMIT or the mode RDS_MODE_STAGED, the
 * process is a fork of the one that opened the writer, or another thread closed the writer meanwhile;
 * nothing changed.
 * @return RDS_ERR_IO writing failed in a way that does not pass: what was durable before stays so, and the writer
 * accepts nothing more. Its durable rows wait for rds_recover() or the next writer that appends.
 * @return RDS_ERR_NOT_FOUND the directory of the table is gone; as above.
 * @return RDS_ERR_ALREADY_EXISTS another writer made the table first; as above.
 * @return RDS_ERR_COMMIT_CONFLICT the table was replaced, restored to before this run, or the run taken over by
 * another process; as above.
 * @return RDS_ERR_COMMIT_UNKNOWN whether the version landed cannot be known; as above.
 * @return RDS_ERR_CORRUPT the table cannot be read any more; as above.
 * @return RDS_ERR_INTERNAL Lance failed in a way it should not; as above.
 * @return RDS_ERR_PANIC a defect of librds; the writer can only be closed.
 *
 * @par Ownership
 * nothing is passed.
 * @par Thread safety
 * any thread; calls on one writer take turns.
 * @par Blocking
 * until everything accepted before the call is on disk.
 * @since 0.1
 */
RDS_API RDS_NODISCARD
enum rds_status rds_flush(struct rds_writer *writer);

/**
 * Options of rds_commit(). Zero means the default. Initialise with RDS_COMMIT_OPTIONS_INIT.
 */
typedef struct rds_commit_options {
  /**
   * sizeof(rds_commit_options).
   */
  size_t struct_size;
  /**
   * Told some forty times a second how many rows are durable, and how many of those that are merged
   * have been; default none.
   */
  rds_progress_callback progress;
  /**
   * Handed to progress as it is.
   */
  void *user_data;
  /**
   * RDS_COMMIT_MERGE_ALL or 0.
   */
  uint32_t flags;
  /**
   * Must be 0.
   */
  uint32_t reserved;
} rds_commit_options;

/**
 * rds_commit_options.flags: small data files of earlier runs and of other writers are merged too, not only
 * those of this writer, from the end of the table back to the last one that must be left alone: with deleted
 * rows, say. Versions that name them stay, and so do these files.
 */
#define RDS_COMMIT_MERGE_ALL 1u

/**
 * An rds_commit_options whose struct_size is set, with every other field at its default.
 */
#define RDS_COMMIT_OPTIONS_INIT {sizeof(rds_commit_options), NULL, NULL, 0, 0}

/**
 * What rds_commit() reports. Initialise with RDS_COMMIT_INFO_INIT.
 */
typedef struct rds_commit_info {
  /**
   * sizeof(rds_commit_info).
   */
  size_t struct_size;
  /**
   * Rows this writer has made durable since it was opened.
   */
  uint64_t rows;
  /**
   * Bytes of tensors in these rows, as in the caller's memory.
   */
  uint64_t tensor_bytes;
  /**
   * Version of the table that holds them; 0 if nothing was ever written.
   */
  uint64_t version;
  /**
   * Data files of that version.
   */
  uint64_t data_files;
} rds_commit_info;

/**
 * An rds_commit_info whose struct_size is set, with every other field at its default.
 */
#define RDS_COMMIT_INFO_INIT {sizeof(rds_commit_info), 0, 0, 0, 0}

/**
 * Makes everything accepted durable and visible, whatever the durability of the writer is, and merges small data files
 * of this writer until at most eight are left.
 *
 * Files that are full are not copied, and nothing is removed: versions before name what was merged, until
 * rds_vacuum(). It may be called again; with nothing new it only reports. The writer stays open. What fails
 * and may pass is tried again until it succeeds; rds_writer_stats() tells of it. If merging fails the rows are as visible,
 * and the call succeeds.
 *
 * @param[in] writer a writer.
 * @param[in] options NULL means all defaults. Borrowed during the call.
 * @param[out] out_info NULL if the caller does not want it; else initialised with
 * RDS_COMMIT_INFO_INIT. Written on success only.
 * @return RDS_OK everything accepted is durable and visible. If nothing was ever accepted, and no columns were declared, there is still no table.
 * @return RDS_ERR_INVALID_HANDLE writer is no open writer.
 * @return RDS_ERR_INVALID_ARGUMENT options or out_info are malformed; nothing changed.
 * @return RDS_ERR_NOT_SUPPORTED options have a field this version does not know; nothing changed.
 * @return RDS_ERR_CANCELLED options.progress or rds_writer_options.waiting asked to stop waiting: what was
 * accepted stays accepted, and becomes visible in the background or with the next call that waits for it; data
 * files that are not merged yet stay as they are.
 * @return RDS_ERR_INVALID_STATE the process is a fork of the one that opened the writer, another thread
 * closed the writer meanwhile, or its mode is RDS_MODE_STAGED; nothing changed.
 * @return RDS_ERR_IO writing failed in a way that does not pass: what was durable before stays so, and the writer
 * accepts nothing more. Its durable rows wait for rds_recover() or the next writer that appends.
 * @return RDS_ERR_NOT_FOUND the directory of the table is gone; as above.
 * @return RDS_ERR_ALREADY_EXISTS another writer made the table first; as above.
 * @return RDS_ERR_COMMIT_CONFLICT the table was replaced, restored to before this run, or the run taken over by
 * another process; as above.
 * @return RDS_ERR_COMMIT_UNKNOWN whether the version landed cannot be known; as above.
 * @return RDS_ERR_CORRUPT the table cannot be read any more; as above.
 * @return RDS_ERR_INTERNAL Lance failed in a way it should not; as above.
 * @return RDS_ERR_PANIC a defect of librds; the writer can only be closed.
 *
 * @par Ownership
 * out_info stays the caller's.
 * @par Thread safety
 * any thread; calls on one writer take turns.
 * @par Blocking
 * until everything accepted before the call is on disk and merged.
 * @since 0.1
 */
RDS_API RDS_NODISCARD
enum rds_status rds_commit(struct rds_writer *writer,
                           const struct rds_commit_options *options,
                           struct rds_commit_info *out_info);

/**
 * How a writer is: rds_write_stats.state.
 */
typedef enum rds_writer_state {
  RDS_WRITER_RUNNING = 0,
  /**
   * Something fails that may pass (no space, no descriptors, contention): what was accepted is kept, calls
   * that need room or wait for the disk wait, and the writer tries again.
   */
  RDS_WRITER_RETRYING = 1,
  /**
   * Nothing more is accepted. What was durable stays so.
   */
  RDS_WRITER_FAILED = 2,
} rds_writer_state;

/**
 * Bytes of rds_write_stats.failure_message.
 */
#define RDS_FAILURE_BYTES 512

/**
 * What rds_writer_stats() tells. Initialise with RDS_WRITE_STATS_INIT.
 */
typedef struct rds_write_stats {
  /**
   * sizeof(rds_write_stats).
   */
  size_t struct_size;
  /**
   * Rows accepted since the writer was opened.
   */
  uint64_t accepted_rows;
  /**
   * Bytes of their tensors, as in the caller's memory.
   */
  uint64_t accepted_bytes;
  /**
   * Those of the accepted rows that are durable.
   */
  uint64_t durable_rows;
  /**
   * Bytes of their tensors.
   */
  uint64_t durable_bytes;
  /**
   * Those that still wait to be written.
   */
  uint64_t queued_rows;
  /**
   * Bytes of their tensors and ids: what max_queued_bytes bounds.
   */
  uint64_t queued_bytes;
  /**
   * How often rows were made durable.
   */
  uint64_t checkpoints;
  /**
   * Nanoseconds that calls waited because the queue was full, all together.
   */
  uint64_t blocked_ns;
  /**
   * Those of the accepted rows that a version of the table shows.
   */
  uint64_t visible_rows;
  /**
   * Versions of the table that this writer made to show rows.
   */
  uint64_t versions;
  /**
   * An rds_writer_state.
   */
  uint32_t state;
  /**
   * The rds_status of what fails, or has failed; RDS_OK if nothing does.
   */
  uint32_t failure;
  /**
   * What fails, as in rds_last_error_message(), cut to fit; NUL-terminated.
   */
  char failure_message[RDS_FAILURE_BYTES];
  /**
   * Of a commit or a close that merges: rows that are merged already.
   */
  uint64_t merged_rows;
  /**
   * Rows that it merges; 0 if none does.
   */
  uint64_t to_merge_rows;
} rds_write_stats;

/**
 * An rds_write_stats whose struct_size is set, with every other field at its default.
 */
#define RDS_WRITE_STATS_INIT {sizeof(rds_write_stats), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, {0}, 0, 0}

/**
 * Tells how far a writer is.
 *
 * @param[in] writer a writer.
 * @param[out] out_stats initialised with RDS_WRITE_STATS_INIT.
 * @return RDS_OK out_stats is filled; also of a writer that failed.
 * @return RDS_ERR_INVALID_HANDLE writer is no open writer.
 * @return RDS_ERR_INVALID_ARGUMENT out_stats is NULL or malformed.
 * @return RDS_ERR_INVALID_STATE the process is a fork of the one that opened the writer.
 * @return RDS_ERR_PANIC a defect of librds; the writer can only be closed.
 *
 * @par Ownership
 * out_stats stays the caller's.
 * @par Thread safety
 * any thread, also while others write.
 * @par Blocking
 * no.
 * @since 0.1
 */
RDS_API RDS_NODISCARD
enum rds_status rds_writer_stats(const struct rds_writer *writer,
                                 struct rds_write_stats *out_stats);

/**
 * A token of rds_writer_stage(): bytes to be stored or sent as they are.
 */
typedef struct rds_token {
  /**
   * Its bytes, which whoever has them owns.
   */
  const uint8_t *data;
  /**
   * How many.
   */
  size_t length;
} rds_token;

/**
 * Makes durable what was written since the writer was opened or last staged, and gives a token for it, which carries
 * the part of the writer's options.
 *
 * No version of the table names these rows yet: rds_commit_staged() publishes them, in any process and on
 * any host that sees the same directory. If nothing was written, the token publishes nothing. The writer
 * stays open, and may stage again, unless options gave it a part of a job: a part has one token.
 *
 * A part of a job is there whole or not at all. It survives the death of its process at once, and a power failure when
 * the system has written it, on Linux within half a minute: what that damaged is found by its checksum. With
 * RDS_DURABILITY_BATCH it is on disk when this returns. Until it is published rds_list_parts() tells of it.
 *
 * @param[in] writer a writer whose mode is RDS_MODE_STAGED.
 * @param[out] out_token the token; below 64 KiB but for the list of data files and the name of the job. NULL and 0 on
 * failure.
 * @return RDS_OK the rows wait to be published, on disk unless they are a part of a job.
 * @return RDS_ERR_INVALID_HANDLE writer is no open writer.
 * @return RDS_ERR_INVALID_ARGUMENT out_token is NULL; nothing changed.
 * @return RDS_ERR_INVALID_STATE the mode is another one, the part of a job is staged already, the process is a fork of
 * the one that opened the writer, or another thread closed the writer meanwhile; nothing changed.
 * @return RDS_ERR_CANCELLED rds_writer_options.waiting asked to stop waiting: the token is made in the background,
 * and the next rds_writer_stage() gives it; what is written in between goes into the one after.
 * @return RDS_ERR_IO writing failed: the rows since the last token are lost, and the writer accepts nothing
 * more. Of a part nothing is lost, and the call may be made again.
 * @return RDS_ERR_NOT_FOUND the directory of the table is gone, as above; or that of the job, as it was committed or
 * vacuumed.
 * @return RDS_ERR_INTERNAL Lance failed in a way it should not; as above.
 * @return RDS_ERR_PANIC a defect of librds; the writer can only be closed.
 *
 * @par Ownership
 * the token is borrowed until the writer is closed.
 * @par Thread safety
 * any thread; calls on one writer take turns.
 * @par Blocking
 * until everything accepted before the call is on disk.
 * @since 0.1
 */
RDS_API RDS_NODISCARD
enum rds_status rds_writer_stage(struct rds_writer *writer,
                                 struct rds_token *out_token);

/**
 * Closes a writer: makes visible what was accepted, leaves one data file per 2^20 rows or GiB, and frees it.
 *
 * The handle is gone whatever is returned. With RDS_DURABILITY_COMMIT what was not committed is
 * dropped. What fails and may pass is tried again for some seconds.
 *
 * @param[in] writer a writer.
 * @return RDS_OK everything accepted is durable and visible (RDS_DURABILITY_COMMIT: everything committed).
 * @return RDS_ERR_INVALID_HANDLE writer is no open writer; NULL and a second close are that too.
 * @return RDS_ERR_INVALID_STATE the process is a fork of the one that opened the writer, whose rows
 * are not touched.
 * @return RDS_ERR_CANCELLED rds_writer_options.waiting asked to stop waiting: the writer is closed, in the
 * background. If the process ends before that is done, or it fails, what was durable stays so and, if it is not
 * visible, waits for rds_recover() or the next writer that appends; the rest is lost.
 * @return RDS_ERR_IO writing failed: what was durable before stays so and, if it is not visible, waits for
 * rds_recover() or the next writer that appends; the rest is lost.
 * @return RDS_ERR_NOT_FOUND the directory of the table is gone; as above.
 * @return RDS_ERR_ALREADY_EXISTS another writer made the table first; as above.
 * @return RDS_ERR_COMMIT_CONFLICT the table was replaced, restored to before this run, or the run taken over by
 * another process; as above.
 * @return RDS_ERR_COMMIT_UNKNOWN whether the version landed cannot be known; as above.
 * @return RDS_ERR_CORRUPT the table cannot be read any more; as above.
 * @return RDS_ERR_INTERNAL Lance failed in a way it should not; as above.
 * @return RDS_ERR_PANIC a defect of librds; as above.
 *
 * @par Ownership
 * the writer is freed.
 * @par Thread safety
 * any thread; a call that is inside the writer ends first.
 * @par Blocking
 * until everything accepted is on disk.
 * @since 0.1
 */
RDS_API RDS_NODISCARD
enum rds_status rds_writer_close(struct rds_writer *writer);

/**
 * Closes a writer and drops what is not durable.
 *
 * The handle is gone whatever is returned. What is durable stays and becomes visible, if that can be done at once;
 * otherwise it waits for rds_recover() or the next writer that appends. What a token of rds_writer_stage() names stays.
 *
 * @param[in] writer a writer.
 * @return RDS_OK nothing is left of what was not durable.
 * @return RDS_ERR_INVALID_HANDLE writer is no open writer; NULL and a second close are that too.
 * @return RDS_ERR_INVALID_STATE the process is a fork of the one that opened the writer, whose rows
 * are not touched.
 * @return RDS_ERR_CANCELLED rds_writer_options.waiting asked to stop waiting: the writer is closed, in the
 * background.
 * @return RDS_ERR_IO writing had failed before, which no call has told yet; what was durable stays so.
 * @return RDS_ERR_NOT_FOUND the directory of the table is gone; as above.
 * @return RDS_ERR_ALREADY_EXISTS another writer made the table first; as above.
 * @return RDS_ERR_COMMIT_CONFLICT the table was replaced, or the run taken over; as above.
 * @return RDS_ERR_COMMIT_UNKNOWN whether a version landed cannot be known; as above.
 * @return RDS_ERR_CORRUPT the table cannot be read any more; as above.
 * @return RDS_ERR_INTERNAL Lance failed in a way it should not; as above.
 * @return RDS_ERR_PANIC a defect of librds; as above.
 *
 * @par Ownership
 * the writer is freed.
 * @par Thread safety
 * any thread; a call that is inside the writer ends first.
 * @par Blocking
 * until a checkpoint that has begun is done.
 * @since 0.1
 */
RDS_API RDS_NODISCARD
enum rds_status rds_writer_abort(struct rds_writer *writer);

/* ---- Tables ----------------------------------------------------------------------------------- */

/**
 * Options of rds_commit_staged(). Zero means the default. Initialise with
 * RDS_COMMIT_STAGED_OPTIONS_INIT.
 */
typedef struct rds_commit_staged_options {
  /**
   * sizeof(rds_commit_staged_options).
   */
  size_t struct_size;
  /**
   * An rds_write_mode but RDS_MODE_STAGED; default RDS_MODE_CREATE.
   */
  uint32_t mode;
  /**
   * Must be 0.
   */
  uint32_t flags;
  /**
   * The job that the tokens are all parts of; NUL-terminated UTF-8; default none. What else lies beside the table of
   * these parts, of tasks that ran twice or were killed, is removed with the commit; parts of the job without a token
   * stay. And the call may have been made before, by a process that died: if the newest version has the parts, it is
   * RDS_OK, with 0 rows.
   */
  const char *job;
} rds_commit_staged_options;

/**
 * An rds_commit_staged_options whose struct_size is set, with every other field at its default.
 */
#define RDS_COMMIT_STAGED_OPTIONS_INIT {sizeof(rds_commit_staged_options), 0, 0, NULL}

/**
 * Publishes what tokens name in one version: rows come in the order of the tokens, those with a part of a job
 * in the order of the parts. Of tokens with the same part of a job, the first counts.
 *
 * Files of tokens without a job become files of the table as they are. Parts of a job are packed: their rows are
 * copied into as few data files as they fill, each of 2^20 rows or a gibibyte, as one writer would have made them; a
 * processor makes a file at a time.
 *
 * @param[in] path as in rds_writer_open(): the table that the writers staged for.
 * @param[in] tokens the tokens. Borrowed during the call.
 * @param[in] token_count how many.
 * @param[in] options NULL means all defaults. Copied.
 * @param[out] out_info NULL if the caller does not want it; else initialised with
 * RDS_COMMIT_INFO_INIT: the rows published. Written on success only.
 * @return RDS_OK all rows are durable and visible. If the tokens name none, there is no commit.
 * @return RDS_ERR_INVALID_ARGUMENT a pointer is NULL, a struct or a mode is malformed, or one of tokens is
 * no token, or none of the job that options name.
 * @return RDS_ERR_CORRUPT a token or a file that it names is damaged, or the table cannot be read.
 * @return RDS_ERR_NOT_FOUND a token is of another table, or its files were removed; or mode is
 * RDS_MODE_APPEND and there is no table.
 * @return RDS_ERR_ALREADY_EXISTS a token was published already or is given twice, or mode is RDS_MODE_CREATE
 * and the table exists.
 * @return RDS_ERR_SCHEMA_MISMATCH the tokens differ in dtype or shape, or the table differs in these, in its type
 * of strings or its file version.
 * @return RDS_ERR_COMMIT_CONFLICT another call published one of the tokens at the same time, or another writer
 * replaced the table meanwhile.
 * @return RDS_ERR_NOT_SUPPORTED a token, options or the table are of a kind that this version does not know.
 * @return RDS_ERR_IO the operating system refused.
 * @return RDS_ERR_INTERNAL Lance failed in a way it should not.
 * @return RDS_ERR_PANIC a defect of librds. After these failures nothing is published, and the tokens are as
 * they were; the message says which one is to blame, counted from 0.
 * @return RDS_ERR_COMMIT_UNKNOWN the disk failed when the version had got its name: all rows are visible, or none.
 * Publishing the tokens again is RDS_ERR_ALREADY_EXISTS in the first case.
 *
 * @par Ownership
 * nothing is passed.
 * @par Thread safety
 * any thread.
 * @par Blocking
 * until the version is on disk.
 * @since 0.1
 */
RDS_API RDS_NODISCARD
enum rds_status rds_commit_staged(const char *path,
                                  const struct rds_token *tokens,
                                  size_t token_count,
                                  const struct rds_commit_staged_options *options,
                                  struct rds_commit_info *out_info);

/**
 * Options of rds_pack_parts(). Zero means the default. Initialise with RDS_PACK_PARTS_OPTIONS_INIT.
 */
typedef struct rds_pack_parts_options {
  /**
   * sizeof(rds_pack_parts_options).
   */
  size_t struct_size;
  /**
   * As it will be in rds_commit_staged_options.
   */
  uint32_t mode;
  /**
   * Or-ed RDS_PACK_PARTS_*, or 0.
   */
  uint32_t flags;
  /**
   * The number of this share, below shares; default 0.
   */
  uint64_t share;
  /**
   * How many calls share the files; default 1.
   */
  uint64_t shares;
  /**
   * Rows of the first parts that are in files of other calls: a number of whole files before it.
   */
  uint64_t first_row;
} rds_pack_parts_options;

/**
 * rds_pack_parts_options.flags: other parts follow these. Files that are full are made, and what is left is the
 * beginning of one that a later call goes on with.
 */
#define RDS_PACK_PARTS_MORE 1u

/**
 * An rds_pack_parts_options whose struct_size is set, with every other field at its default.
 */
#define RDS_PACK_PARTS_OPTIONS_INIT {sizeof(rds_pack_parts_options), 0, 0, 0, 0, 0}

/**
 * Makes a share of the data files of a job, for the commit that comes: it finds them, and makes what it does not find.
 *
 * Packing copies every row once. With this many machines do it, each with a call for a share of its own, when all
 * parts are written; rds_commit_staged() with the same tokens, mode and job then does little but name the files. Or they
 * do it while parts are still written: a call with the tokens of parts that follow each other, and with
 * RDS_PACK_PARTS_MORE, makes the files that these fill, and begins the next one with what is left, unless another call
 * works on that. The next call is given all parts of a file that is not full once more. A call that is made twice, or
 * dies, is no harm. It uses one thread. Rows of large files do not stay in the page cache when they are on disk.
 *
 * @param[in] path as in rds_writer_open().
 * @param[in] job the job that the tokens are all of. Borrowed during the call.
 * @param[in] tokens the tokens of all parts of the job, or of some that follow each other, in any order. Borrowed
 * during the call.
 * @param[in] token_count how many.
 * @param[in] options NULL means all defaults: all files. Copied.
 * @param[out] out_rows how many rows the whole files of this share have; NULL if the caller does not want it.
 * @return RDS_OK the files are on disk.
 * @return RDS_ERR_INVALID_ARGUMENT a pointer is NULL, a struct or a mode is malformed, the share is not below their
 * number, or one of tokens is no token, or none of the job.
 * @return RDS_ERR_CORRUPT a token or a part is damaged, or the table cannot be read.
 * @return RDS_ERR_NOT_FOUND a part was removed.
 * @return RDS_ERR_ALREADY_EXISTS a token is given twice.
 * @return RDS_ERR_SCHEMA_MISMATCH the parts differ in dtype or shape, or for RDS_MODE_APPEND the table does in these.
 * @return RDS_ERR_NOT_SUPPORTED a token, options or the table are of a kind that this version does not know.
 * @return RDS_ERR_IO the operating system refused.
 * @return RDS_ERR_INTERNAL Lance failed in a way it should not.
 * @return RDS_ERR_PANIC a defect of librds. After all failures the parts are as they were, and the call may be made
 * again.
 *
 * @par Ownership
 * nothing is passed.
 * @par Thread safety
 * any thread, and beside calls for the same share.
 * @par Blocking
 * until the files are on disk. A file that another call makes is waited for: for ten seconds, then this one
 * makes it too.
 * @since 0.2
 */
RDS_API RDS_NODISCARD
enum rds_status rds_pack_parts(const char *path,
                               const char *job,
                               const struct rds_token *tokens,
                               size_t token_count,
                               const struct rds_pack_parts_options *options,
                               uint64_t *out_rows);

/**
 * Called with parts of a job that follow each other, from `first` to `last`. `token` is NULL if the newest version of
 * the table has them; else there is one, which waits to be published, and this is its token. All pointers are valid
 * during the call only. A non-zero return ends the list. It must not unwind or throw.
 */
typedef int (*rds_part_callback)(void *user_data,
                                 const char *job,
                                 uint64_t first,
                                 uint64_t last,
                                 const struct rds_token *token);

/**
 * Lists the parts of jobs that the newest version of a table has, and those that wait to be published.
 *
 * A part waits from the time its rds_writer_stage() returns, also if its process dies then, until it is published by
 * rds_commit_staged() or removed by rds_recover() or rds_vacuum(). Of what several tasks wrote of one part one token is
 * told, the same one each time. What is damaged is left out: its part has to be written again.
 *
 * @param[in] path as in rds_writer_open().
 * @param[in] job the name of one job; NULL means all of them. Borrowed during the call.
 * @param[in] part the number of one part; NULL means all of them. Borrowed during the call.
 * @param[in] each called for each, first with those that a version has, in the order of the parts of a job.
 * @param[in] user_data passed on to each.
 * @return RDS_OK all were told, or each asked to stop.
 * @return RDS_ERR_INVALID_ARGUMENT path or each is NULL, or a text is malformed.
 * @return RDS_ERR_NOT_FOUND there is nothing at path.
 * @return RDS_ERR_CORRUPT the table cannot be read.
 * @return RDS_ERR_NOT_SUPPORTED the scheme of path is not known to this build.
 * @return RDS_ERR_IO the operating system refused.
 * @return RDS_ERR_INTERNAL Lance failed in a way it should not.
 * @return RDS_ERR_PANIC a defect of librds.
 *
 * @par Ownership
 * nothing is passed.
 * @par Thread safety
 * any thread, and beside any number of writers: what they stage meanwhile may be told or not.
 * @par Blocking
 * while it lists the directories of jobs, and reads the end of one file for each part that waits.
 * @since 0.2
 */
RDS_API RDS_NODISCARD
enum rds_status rds_list_parts(const char *path,
                               const char *job,
                               const uint64_t *part,
                               rds_part_callback each,
                               void *user_data);

/**
 * Options of rds_recover(). Zero means the default. Initialise with RDS_RECOVER_OPTIONS_INIT.
 */
typedef struct rds_recover_options {
  /**
   * sizeof(rds_recover_options).
   */
  size_t struct_size;
  /**
   * One run, by its name in the directory `_rds` of the table; NUL-terminated; default all.
   */
  const char *run;
  /**
   * Or-ed RDS_RECOVER_*, or 0.
   */
  uint32_t flags;
  /**
   * Must be 0.
   */
  uint32_t reserved;
} rds_recover_options;

/**
 * rds_recover_options.flags: rows whose table was replaced meanwhile go behind the rows of the one that took its
 * place, if its tensors are of the same kind.
 */
#define RDS_RECOVER_ONTO_REPLACED 1u

/**
 * rds_recover_options.flags: the rows that wait are given up. With a run named, its tokens too.
 */
#define RDS_RECOVER_DROP 2u

/**
 * rds_recover_options.flags: the owner of a run is taken for dead whatever it seems; if it goes on, it is told
 * RDS_ERR_COMMIT_CONFLICT before it acknowledges anything.
 */
#define RDS_RECOVER_TAKE_OVER 4u

/**
 * rds_recover_options.flags: nothing is done, only counted.
 */
#define RDS_RECOVER_DRY_RUN 8u

/**
 * An rds_recover_options whose struct_size is set, with every other field at its default.
 */
#define RDS_RECOVER_OPTIONS_INIT {sizeof(rds_recover_options), NULL, 0, 0}

/**
 * What rds_recover() reports. Initialise with RDS_RECOVER_INFO_INIT.
 */
typedef struct rds_recover_info {
  /**
   * sizeof(rds_recover_info).
   */
  size_t struct_size;
  /**
   * Runs whose rows became visible.
   */
  uint64_t recovered_runs;
  /**
   * These rows.
   */
  uint64_t recovered_rows;
  /**
   * Runs that were given up.
   */
  uint64_t dropped_runs;
  /**
   * Their rows.
   */
  uint64_t dropped_rows;
  /**
   * Runs that died and whose rows still wait.
   */
  uint64_t waiting_runs;
  /**
   * These rows.
   */
  uint64_t waiting_rows;
  /**
   * Runs that go on.
   */
  uint64_t live_runs;
  /**
   * Runs with tokens that were not published, and jobs with such parts.
   */
  uint64_t staged_runs;
} rds_recover_info;

/**
 * An rds_recover_info whose struct_size is set, with every other field at its default.
 */
#define RDS_RECOVER_INFO_INIT {sizeof(rds_recover_info), 0, 0, 0, 0, 0, 0, 0, 0}

/**
 * Makes the rows of runs visible that were durable when their process died, in order, each once.
 *
 * A writer that opens with RDS_MODE_APPEND does the same. A run is dead if its process is gone; if that ran on
 * another host or in another container, after thirty seconds without a sign of it.
 *
 * @param[in] path as in rds_writer_open().
 * @param[in] options NULL means all defaults. Copied.
 * @param[out] out_info NULL if the caller does not want it; else initialised with
 * RDS_RECOVER_INFO_INIT. Written on success only.
 * @return RDS_OK done; there may have been nothing to do.
 * @return RDS_ERR_INVALID_ARGUMENT a pointer is NULL or a struct is malformed; nothing changed.
 * @return RDS_ERR_NOT_FOUND there is nothing at path, or no such run; nothing changed.
 * @return RDS_ERR_NOT_SUPPORTED the scheme of path or a field of options is not known to this build, or a journal
 * is of a later version; nothing changed.
 * @return RDS_ERR_COMMIT_CONFLICT the table of a run was replaced, or its owner took it back. This and what
 * follows is told of the first run that failed: its rows wait as before, and all other runs are dealt with.
 * @return RDS_ERR_ALREADY_EXISTS a run was to make a table that another one made.
 * @return RDS_ERR_SCHEMA_MISMATCH the columns of the table changed so that the rows do not fit.
 * @return RDS_ERR_CORRUPT a journal, a file that it names, or the table is damaged.
 * @return RDS_ERR_COMMIT_UNKNOWN whether a version of a run landed cannot be known.
 * @return RDS_ERR_IO the operating system refused.
 * @return RDS_ERR_INTERNAL Lance failed in a way it should not.
 * @return RDS_ERR_PANIC a defect of librds.
 *
 * @par Ownership
 * nothing is passed.
 * @par Thread safety
 * any thread, and beside any number of writers and readers.
 * @par Blocking
 * while it reads what is durable and copies files that were not finished; half a minute for an owner
 * elsewhere.
 * @since 0.2
 */
RDS_API RDS_NODISCARD
enum rds_status rds_recover(const char *path,
                            const struct rds_recover_options *options,
                            struct rds_recover_info *out_info);

/**
 * Options of rds_vacuum(). Zero means the default. Initialise with RDS_VACUUM_OPTIONS_INIT.
 */
typedef struct rds_vacuum_options {
  /**
   * sizeof(rds_vacuum_options).
   */
  size_t struct_size;
  /**
   * The age in milliseconds from which versions that were replaced, and files that no version names, are
   * removed; default 7 days. Whoever opened the table longer ago, and commits on top of what it read,
   * may do so without seeing what came in between. What a commit under way needs is kept for a minute at least.
   */
  uint64_t older_than_ms;
  /**
   * Or-ed RDS_VACUUM_*, or 0.
   */
  uint32_t flags;
  /**
   * Must be 0.
   */
  uint32_t reserved;
} rds_vacuum_options;

/**
 * rds_vacuum_options.flags: nothing is removed, only counted.
 */
#define RDS_VACUUM_DRY_RUN 1u

/**
 * rds_vacuum_options.flags: all versions stay, and what they name.
 */
#define RDS_VACUUM_KEEP_VERSIONS 2u

/**
 * An rds_vacuum_options whose struct_size is set, with every other field at its default.
 */
#define RDS_VACUUM_OPTIONS_INIT {sizeof(rds_vacuum_options), 0, 0, 0}

/**
 * What rds_vacuum() reports. Initialise with RDS_VACUUM_INFO_INIT.
 */
typedef struct rds_vacuum_info {
  /**
   * sizeof(rds_vacuum_info).
   */
  size_t struct_size;
  /**
   * Files removed, or that would be; manifests of versions too.
   */
  uint64_t removed_files;
  /**
   * Their bytes.
   */
  uint64_t removed_bytes;
  /**
   * Files that no version names and that were left, because they are too young.
   */
  uint64_t kept_files;
  /**
   * Versions removed, or that would be.
   */
  uint64_t removed_versions;
} rds_vacuum_info;

/**
 * An rds_vacuum_info whose struct_size is set, with every other field at its default.
 */
#define RDS_VACUUM_INFO_INIT {sizeof(rds_vacuum_info), 0, 0, 0, 0}

/**
 * Removes versions of a table that were replaced, and files that no version names, from an age on.
 *
 * Versions that tags or branches refer to and detached ones stay, with what they name; the newest one too.
 * Runs whose rows wait, and tokens without a job, stay at any age: rds_recover() deals with them. Parts of jobs that
 * were not published go, if none of their job was written for that age.
 *
 * @param[in] path as in rds_writer_open().
 * @param[in] options NULL means all defaults. Copied.
 * @param[out] out_info NULL if the caller does not want it; else initialised with
 * RDS_VACUUM_INFO_INIT. Written on success only.
 * @return RDS_OK done.
 * @return RDS_ERR_INVALID_ARGUMENT a pointer is NULL or a struct is malformed; nothing changed.
 * @return RDS_ERR_NOT_FOUND there is nothing at path.
 * @return RDS_ERR_CORRUPT a version of the table cannot be read, so what it names is not known; nothing
 * changed.
 * @return RDS_ERR_NOT_SUPPORTED the scheme of path or a field of options is not known to this build; nothing
 * changed.
 * @return RDS_ERR_IO the operating system refused; some files may be removed.
 * @return RDS_ERR_INTERNAL Lance failed in a way it should not; nothing changed.
 * @return RDS_ERR_PANIC a defect of librds; some files may be removed.
 *
 * @par Ownership
 * nothing is passed.
 * @par Thread safety
 * any thread, and beside any number of writers and readers. With an age below that of what
 * others of Lance are about to commit, their files are removed too.
 * @par Blocking
 * while it reads every version of the table.
 * @since 0.1
 */
RDS_API RDS_NODISCARD
enum rds_status rds_vacuum(const char *path,
                           const struct rds_vacuum_options *options,
                           struct rds_vacuum_info *out_info);

/* ---- Readers ---------------------------------------------------------------------------------- */

/**
 * A reader: a snapshot of one table. Opaque; made by rds_reader_open().
 */
typedef struct rds_reader rds_reader;

/**
 * How a reader reads the tensors of rows. Ids are always decoded, once.
 */
typedef enum rds_access {
  /**
   * From mapped files where the rows lie plain, decoded by Lance where they do not or cannot be mapped.
   */
  RDS_ACCESS_AUTO = 0,
  /**
   * From mapped files only: a table that has other rows is not opened.
   */
  RDS_ACCESS_MAPPED = 1,
  /**
   * Decoded by Lance only: no file is mapped.
   */
  RDS_ACCESS_LANCE = 2,
} rds_access;

/**
 * Options of rds_reader_open(). Zero means the default. Initialise with RDS_READER_OPTIONS_INIT.
 */
typedef struct rds_reader_options {
  /**
   * sizeof(rds_reader_options).
   */
  size_t struct_size;
  /**
   * The version of the table to read; default the newest.
   */
  uint64_t version;
  /**
   * An rds_access; default RDS_ACCESS_AUTO.
   */
  uint32_t access;
  /**
   * Or-ed RDS_READER_*, or 0.
   */
  uint32_t flags;
  /**
   * The column of ids, of strings or integers; NUL-terminated UTF-8; default `object_id`, if there is one. Borrowed
   * during the call.
   */
  const char *id_column;
  /**
   * The newest version that was committed then or before: nanoseconds since 1970-01-01T00:00:00 UTC; default any.
   * Not together with version.
   */
  int64_t committed_until;
  /**
   * Asked some twenty times a second by the open, and by every call on the reader that takes long: it
   * loads or indexes ids, decodes or copies many rows. A non-zero return ends the call with RDS_ERR_CANCELLED; the
   * reader is as it was. Default none.
   */
  rds_waiting_callback waiting;
  /**
   * Handed to waiting as it is. Both must live as long as the reader and its clones.
   */
  void *user_data;
} rds_reader_options;

/**
 * rds_reader_options.flags: rows of a gather that are not in memory are read from disk one after the
 * other, as they are reached, instead of all at once.
 */
#define RDS_READER_NO_PREFETCH 1u

/**
 * rds_reader_options.flags: only calls of the main thread of the process ask waiting, as with
 * RDS_WRITER_WAITING_MAIN_THREAD.
 */
#define RDS_READER_WAITING_MAIN_THREAD 2u

/**
 * An rds_reader_options whose struct_size is set, with every other field at its default.
 */
#define RDS_READER_OPTIONS_INIT {sizeof(rds_reader_options), 0, 0, 0, NULL, 0, NULL, NULL}

/**
 * Opens a reader: a snapshot of a table, which later writes do not change.
 *
 * Every data file is opened once, its end checked, and read on whatever becomes of its name: a commit, a clean-up
 * or a removal changes nothing of an open reader. Files with plain rows are mapped into memory where the system
 * allows it, unless access is RDS_ACCESS_LANCE; maps are private, so what is written to a row stays in the process.
 * Lance never changes a file. If somebody else cuts a mapped one short, reading a mapped row that is gone
 * ends the process (SIGBUS), and so do a disk that fails and a server of NFS that has removed the file; what
 * is decoded gives RDS_ERR_IO or RDS_ERR_CORRUPT. Opening never does.
 *
 * @param[in] path a result directory (the table is `lance_db/results.lance` in it), a path ending
 * in `.lance` (the table itself), or one of these as a `file://` URI; NUL-terminated UTF-8.
 * @param[in] options NULL means all defaults. Copied.
 * @param[out] out_reader the reader; NULL on failure.
 * @return RDS_OK the reader is open.
 * @return RDS_ERR_INVALID_ARGUMENT an argument is NULL, path is not UTF-8 or has a control character, options
 * are malformed, or the environment variable RDS_THREADS is no number of threads.
 * @return RDS_ERR_NOT_FOUND there is no table, it has no such version or none that old, or a file of it is gone.
 * @return RDS_ERR_SCHEMA_MISMATCH the table has no tensors, its metadata do not fit its columns, or id_column is none
 * of its columns or one of neither strings nor integers.
 * @return RDS_ERR_NOT_SUPPORTED the scheme of path or a field of options is not known to this build,
 * or the dtype or the format of the table is not; or access is RDS_ACCESS_MAPPED, and not every row
 * can be mapped.
 * @return RDS_ERR_CORRUPT a file of the table is damaged.
 * @return RDS_ERR_IO the operating system refused.
 * @return RDS_ERR_INVALID_STATE too many readers are open.
 * @return RDS_ERR_INTERNAL Lance failed in a way it should not.
 * @return RDS_ERR_CANCELLED rds_reader_options.waiting asked to stop.
 * @return RDS_ERR_PANIC a defect of librds. On any failure no reader is open.
 *
 * @par Ownership
 * out_reader is the caller's, to be closed with rds_reader_close().
 * @par Thread safety
 * any thread.
 * @par Blocking
 * reads the manifest of the table and the end of each of its data files.
 * @since 0.1
 */
RDS_API RDS_NODISCARD
enum rds_status rds_reader_open(const char *path,
                                const struct rds_reader_options *options,
                                struct rds_reader **out_reader);

/**
 * Moves a reader to the newest version of its table, if that is another one, also a reader that was opened
 * with an older version. Files that did not change stay mapped, and columns keep their numbers; new ones get
 * higher ones. Ids that were loaded are kept if rows were only added; others are loaded when they are next asked for.
 *
 * @param[in] reader a reader.
 * @param[out] out_changed 1 if the reader shows another version now, 0 if it was the newest already; 0 on
 * failure. NULL if the caller does not want it.
 * @return RDS_OK the reader shows the newest version.
 * @return RDS_ERR_INVALID_HANDLE reader is no open reader.
 * @return RDS_ERR_INVALID_ARGUMENT out_changed is not aligned.
 * @return RDS_ERR_NOT_FOUND the table or a file of it is gone.
 * @return RDS_ERR_SCHEMA_MISMATCH a column of the newest version is of another dtype or shape, or gone, or it has
 * no tensors or ids any more.
 * @return RDS_ERR_NOT_SUPPORTED the reader was opened with RDS_ACCESS_MAPPED, and not every row of the
 * newest version can be mapped; or its format is not known to this build.
 * @return RDS_ERR_CORRUPT a file of the table is damaged.
 * @return RDS_ERR_IO the operating system refused.
 * @return RDS_ERR_INTERNAL Lance failed in a way it should not.
 * @return RDS_ERR_CANCELLED rds_reader_options.waiting asked to stop; the reader is as it was.
 * @return RDS_ERR_PANIC a defect of librds; the reader can only be closed. On any other failure the
 * reader shows what it showed before.
 *
 * @par Ownership
 * if the version changed, what rds_reader_id() and rds_reader_span() lent is freed; what was
 * exported stays valid.
 * @par Thread safety
 * any thread; a call that is inside the reader goes on with the version it began with.
 * @par Blocking
 * reads the manifest of the table and the end of each new data file.
 * @since 0.1
 */
RDS_API RDS_NODISCARD
enum rds_status rds_reader_refresh(struct rds_reader *reader,
                                   uint32_t *out_changed);

/**
 * Opens another reader of the same version: it shares maps and ids, and is refreshed and closed on its own.
 *
 * @param[in] reader a reader.
 * @param[out] out_reader the other one; NULL on failure.
 * @return RDS_OK the other reader is open.
 * @return RDS_ERR_INVALID_HANDLE reader is no open reader.
 * @return RDS_ERR_INVALID_ARGUMENT out_reader is NULL.
 * @return RDS_ERR_INVALID_STATE too many readers are open.
 * @return RDS_ERR_PANIC a defect of librds; the reader can only be closed. On any failure no other reader is open.
 *
 * @par Ownership
 * out_reader is the caller's, to be closed with rds_reader_close().
 * @par Thread safety
 * any thread, many at once.
 * @par Blocking
 * never.
 * @since 0.2
 */
RDS_API RDS_NODISCARD
enum rds_status rds_reader_clone(const struct rds_reader *reader,
                                 struct rds_reader **out_reader);

/**
 * Closes a reader. What was exported from it stays valid; what was borrowed does not.
 *
 * @param[in] reader a reader.
 * @return RDS_OK the reader is closed.
 * @return RDS_ERR_INVALID_HANDLE reader is no open reader; NULL and a second close are that too.
 * @return RDS_ERR_PANIC a defect of librds.
 *
 * @par Ownership
 * the reader is freed, and with it what rds_reader_id() and rds_reader_span() lent.
 * @par Thread safety
 * any thread; a call that is inside the reader ends unharmed.
 * @par Blocking
 * never.
 * @since 0.1
 */
RDS_API RDS_NODISCARD enum rds_status rds_reader_close(struct rds_reader *reader);

/**
 * How a table says which of its columns are tensors: rds_table_info.form.
 */
typedef enum rds_table_form {
  /**
   * It has one, called `data`, and the metadata `tensor_shape` and `tensor_dtype`.
   */
  RDS_FORM_DATA = 1,
  /**
   * It has metadata for each, under its name.
   */
  RDS_FORM_NAMED = 2,
  /**
   * By types alone: each fixed-size list of numbers is a tensor, and each column of numbers, bool, timestamps or
   * durations a scalar.
   */
  RDS_FORM_TYPES = 3,
} rds_table_form;

/**
 * What rds_reader_info() tells. Initialise with RDS_TABLE_INFO_INIT.
 */
typedef struct rds_table_info {
  /**
   * sizeof(rds_table_info).
   */
  size_t struct_size;
  /**
   * Rows of the snapshot.
   */
  uint64_t rows;
  /**
   * Version of the table that the snapshot shows.
   */
  uint64_t version;
  /**
   * When the version was committed: nanoseconds since 1970-01-01T00:00:00 UTC. Two tables that were
   * at one place, one after the other, may have the same version, but not this.
   */
  int64_t committed_at;
  /**
   * Tensor columns: they are numbered from 0 on.
   */
  uint32_t column_count;
  /**
   * An rds_table_form.
   */
  uint32_t form;
  /**
   * 1 if rows have ids, else 0.
   */
  uint32_t has_ids;
  /**
   * Keys of rds_reader_metadata_at().
   */
  uint32_t metadata_count;
} rds_table_info;

/**
 * An rds_table_info whose struct_size is set, with every other field at its default.
 */
#define RDS_TABLE_INFO_INIT {sizeof(rds_table_info), 0, 0, 0, 0, 0, 0, 0}

/**
 * Tells rows, version, and how many tensor columns there are.
 *
 * @param[in] reader a reader.
 * @param[out] out_info initialised with RDS_TABLE_INFO_INIT. Written on success only.
 * @return RDS_OK out_info is filled in.
 * @return RDS_ERR_INVALID_HANDLE reader is no open reader.
 * @return RDS_ERR_INVALID_ARGUMENT out_info is NULL or malformed.
 * @return RDS_ERR_PANIC a defect of librds; the reader can only be closed.
 *
 * @par Ownership
 * out_info stays the caller's.
 * @par Thread safety
 * any thread, many at once.
 * @par Blocking
 * never.
 * @since 0.1
 */
RDS_API RDS_NODISCARD
enum rds_status rds_reader_info(const struct rds_reader *reader,
                                struct rds_table_info *out_info);

/**
 * Finds the number of a tensor column.
 *
 * Numbers count from 0 in the order of the table, and stay as they are as long as the reader is open.
 *
 * @param[in] reader a reader.
 * @param[in] name of the column; NUL-terminated UTF-8.
 * @param[out] out_column the number; 0 on failure.
 * @return RDS_OK out_column is the number.
 * @return RDS_ERR_INVALID_HANDLE reader is no open reader.
 * @return RDS_ERR_INVALID_ARGUMENT an argument is NULL, or name is not UTF-8.
 * @return RDS_ERR_NOT_FOUND no tensor column is called so.
 * @return RDS_ERR_PANIC a defect of librds; the reader can only be closed.
 *
 * @par Ownership
 * nothing is passed.
 * @par Thread safety
 * any thread, many at once.
 * @par Blocking
 * never.
 * @since 0.2
 */
RDS_API RDS_NODISCARD
enum rds_status rds_reader_column(const struct rds_reader *reader,
                                  const char *name,
                                  uint32_t *out_column);

/**
 * What rds_reader_column_info() tells. Initialise with RDS_COLUMN_INFO_INIT.
 */
typedef struct rds_column_info {
  /**
   * sizeof(rds_column_info).
   */
  size_t struct_size;
  /**
   * Its name, NUL-terminated UTF-8. Borrowed, until the reader is closed or refreshed.
   */
  const char *name;
  /**
   * Its bytes, without the NUL.
   */
  size_t name_length;
  /**
   * NumPy's name of the dtype, `float32`. Static: valid forever.
   */
  const char *dtype_name;
  /**
   * An rds_dtype.
   */
  uint32_t dtype;
  /**
   * Dimensions of a row; 0 for a scalar.
   */
  uint32_t ndim;
  /**
   * ndim lengths; the rest is 0.
   */
  int64_t shape[RDS_MAX_NDIM];
  /**
   * Bytes of one row in the caller's memory: the product of shape times the bytes of an element.
   */
  size_t row_bytes;
  /**
   * Rows that are read through a mapped file, without a call into Lance; also those of bool, which
   * have no span.
   */
  uint64_t mapped_rows;
} rds_column_info;

/**
 * An rds_column_info whose struct_size is set, with every other field at its default.
 */
#define RDS_COLUMN_INFO_INIT {sizeof(rds_column_info), NULL, 0, NULL, 0, 0, {0}, 0, 0}

/**
 * Tells name, dtype and shape of a tensor column.
 *
 * @param[in] reader a reader.
 * @param[in] column the number of a tensor column, from 0 on.
 * @param[out] out_info initialised with RDS_COLUMN_INFO_INIT. Written on success only.
 * @return RDS_OK out_info is filled in.
 * @return RDS_ERR_INVALID_HANDLE reader is no open reader.
 * @return RDS_ERR_INVALID_ARGUMENT out_info is NULL or malformed, or there is no such column.
 * @return RDS_ERR_PANIC a defect of librds; the reader can only be closed.
 *
 * @par Ownership
 * out_info stays the caller's; the name of the column in it is borrowed, until the reader is closed or
 * refreshed, that of the dtype is static.
 * @par Thread safety
 * any thread, many at once.
 * @par Blocking
 * never.
 * @since 0.2
 */
RDS_API RDS_NODISCARD
enum rds_status rds_reader_column_info(const struct rds_reader *reader,
                                       uint32_t column,
                                       struct rds_column_info *out_info);

/**
 * Lends what a run said under a key: rds_writer_options.metadata.
 *
 * @param[in] reader a reader.
 * @param[in] key NUL-terminated UTF-8.
 * @param[out] out_value the value; nothing on failure.
 * @return RDS_OK out_value is the value.
 * @return RDS_ERR_INVALID_HANDLE reader is no open reader.
 * @return RDS_ERR_INVALID_ARGUMENT an argument is NULL, or key is not UTF-8.
 * @return RDS_ERR_NOT_FOUND no run said anything under this key.
 * @return RDS_ERR_PANIC a defect of librds; the reader can only be closed.
 *
 * @par Ownership
 * out_value is borrowed, until the reader is closed or refreshed.
 * @par Thread safety
 * any thread, many at once.
 * @par Blocking
 * never.
 * @since 0.2
 */
RDS_API RDS_NODISCARD
enum rds_status rds_reader_metadata(const struct rds_reader *reader,
                                    const char *key,
                                    struct rds_string *out_value);

/**
 * Lends a key and what a run said under it, by number: keys are sorted.
 *
 * @param[in] reader a reader.
 * @param[in] index from 0 to rds_table_info.metadata_count - 1.
 * @param[out] out_key the key; nothing on failure.
 * @param[out] out_value the value; nothing on failure.
 * @return RDS_OK out_key and out_value are what was said.
 * @return RDS_ERR_INVALID_HANDLE reader is no open reader.
 * @return RDS_ERR_INVALID_ARGUMENT out_key or out_value are NULL.
 * @return RDS_ERR_OUT_OF_RANGE there are not as many keys.
 * @return RDS_ERR_PANIC a defect of librds; the reader can only be closed.
 *
 * @par Ownership
 * out_key and out_value are borrowed, until the reader is closed or refreshed.
 * @par Thread safety
 * any thread, many at once.
 * @par Blocking
 * never.
 * @since 0.2
 */
RDS_API RDS_NODISCARD
enum rds_status rds_reader_metadata_at(const struct rds_reader *reader,
                                       uint64_t index,
                                       struct rds_string *out_key,
                                       struct rds_string *out_value);

/**
 * What rds_reader_versions() tells of each. Initialise with RDS_VERSION_INFO_INIT.
 */
typedef struct rds_version_info {
  /**
   * sizeof(rds_version_info).
   */
  size_t struct_size;
  /**
   * Its number.
   */
  uint64_t version;
  /**
   * When it was committed: nanoseconds since 1970-01-01T00:00:00 UTC.
   */
  int64_t committed_at;
  /**
   * Its rows; RDS_ROW_NONE if it does not say.
   */
  uint64_t rows;
} rds_version_info;

/**
 * An rds_version_info whose struct_size is set, with every other field at its default.
 */
#define RDS_VERSION_INFO_INIT {sizeof(rds_version_info), 0, 0, 0}

/**
 * Tells which versions the table of a reader has now, oldest first. One that is damaged is left out, and logged.
 *
 * @param[in] reader a reader.
 * @param[out] out_versions room for capacity of them, each initialised with RDS_VERSION_INFO_INIT: the oldest. NULL
 * only if capacity is 0. Written on success only.
 * @param[in] capacity how many there is room for.
 * @param[out] out_count how many versions there are, which may be more; 0 on failure.
 * @return RDS_OK out_versions and out_count are filled in.
 * @return RDS_ERR_INVALID_HANDLE reader is no open reader.
 * @return RDS_ERR_INVALID_ARGUMENT an argument is NULL or malformed.
 * @return RDS_ERR_NOT_SUPPORTED a version is of a format that this build does not know.
 * @return RDS_ERR_IO the operating system refused.
 * @return RDS_ERR_INTERNAL Lance failed in a way it should not.
 * @return RDS_ERR_PANIC a defect of librds; the reader can only be closed.
 *
 * @par Ownership
 * out_versions stay the caller's.
 * @par Thread safety
 * any thread, many at once.
 * @par Blocking
 * reads the manifests of all versions.
 * @since 0.2
 */
RDS_API RDS_NODISCARD
enum rds_status rds_reader_versions(const struct rds_reader *reader,
                                    struct rds_version_info *out_versions,
                                    uint64_t capacity,
                                    uint64_t *out_count);

/* ---- Rows ------------------------------------------------------------------------------------- */

/**
 * What rds_reader_span() tells. Initialise with RDS_SPAN_INIT.
 */
typedef struct rds_span {
  /**
   * sizeof(rds_span).
   */
  size_t struct_size;
  /**
   * The first row of the span.
   */
  uint64_t first_row;
  /**
   * How many rows it has, at least 1.
   */
  uint64_t row_count;
  /**
   * The tensor of first_row; row i is at data + (i - first_row) * stride. NULL if these rows are
   * not mapped.
   */
  const void *data;
  /**
   * Bytes from one row to the next; 0 if these rows are not mapped.
   */
  size_t stride;
} rds_span;

/**
 * An rds_span whose struct_size is set, with every other field at its default.
 */
#define RDS_SPAN_INIT {sizeof(rds_span), 0, 0, NULL, 0}

/**
 * Tells where rows lie in memory: the run of rows around one that lie one after the other in a mapped
 * file. It is the table's own memory, without a call for each row and without a copy.
 *
 * A walk over all rows: `for (row = 0; row < rows; row = span.first_row + span.row_count)`.
 *
 * @param[in] reader a reader.
 * @param[in] column the number of a tensor column, from 0 on; rds_reader_column() finds it by name.
 * @param[in] row from 0 to rows - 1.
 * @param[out] out_span initialised with RDS_SPAN_INIT. Its data is NULL if the row is not mapped, or of
 * bool, which the table packs into bits: first_row and row_count are then the rows around it of which the
 * same holds, and rds_reader_read() reads them. Written on success only.
 * @return RDS_OK out_span is filled in.
 * @return RDS_ERR_INVALID_HANDLE reader is no open reader.
 * @return RDS_ERR_INVALID_ARGUMENT out_span is NULL or malformed, or there is no such column.
 * @return RDS_ERR_OUT_OF_RANGE the table has no such row.
 * @return RDS_ERR_PANIC a defect of librds; the reader can only be closed.
 *
 * @par Ownership
 * data is borrowed, until the reader is closed or refreshed. It is for reading: what is written to it changes
 * neither the file nor other processes, but what this process reads of it.
 * @par Thread safety
 * any thread, many at once.
 * @par Blocking
 * never; what data points to is read from disk when it is touched, if it is not in memory.
 * @since 0.1
 */
RDS_API RDS_NODISCARD
enum rds_status rds_reader_span(const struct rds_reader *reader,
                                uint32_t column,
                                uint64_t row,
                                struct rds_span *out_span);

/**
 * Exports one row of a column: an array of length 1 and of the type that the column has in
 * rds_reader_schema(). No copy if the row is mapped.
 *
 * @param[in] reader a reader.
 * @param[in] column the number of a tensor column, from 0 on; rds_reader_column() finds it by name.
 * @param[in] row from 0 to rows - 1.
 * @param[out] out_array marked released on failure.
 * @return RDS_OK out_array holds the row.
 * @return RDS_ERR_INVALID_HANDLE reader is no open reader.
 * @return RDS_ERR_INVALID_ARGUMENT out_array is NULL, or there is no such column.
 * @return RDS_ERR_OUT_OF_RANGE the table has no such row.
 * @return RDS_ERR_CORRUPT a file of the table is damaged.
 * @return RDS_ERR_NOT_FOUND a file of the table is gone.
 * @return RDS_ERR_NOT_SUPPORTED Lance cannot read the files of the table.
 * @return RDS_ERR_IO the operating system refused.
 * @return RDS_ERR_INTERNAL Lance failed in a way it should not.
 * @return RDS_ERR_PANIC a defect of librds; the reader can only be closed.
 *
 * @par Ownership
 * out_array is the caller's, to be released by its release callback; it may outlive the
 * reader.
 * @par Thread safety
 * any thread, many at once.
 * @par Blocking
 * reads the row from disk if it is not in memory.
 * @since 0.1
 */
RDS_API RDS_NODISCARD
enum rds_status rds_reader_get(const struct rds_reader *reader,
                               uint32_t column,
                               uint64_t row,
                               struct ArrowArray *out_array);

/**
 * Copies the tensors of rows into memory of the caller, one after the other in C order, in the order
 * asked for; a row may be asked for twice. rds_reader_gather() fills several columns in one call.
 *
 * @param[in] reader a reader.
 * @param[in] column the number of a tensor column, from 0 on; rds_reader_column() finds it by name.
 * @param[in] rows count rows, each from 0 to the table's rows - 1. NULL only if count is 0.
 * @param[in] count how many.
 * @param[out] out_data room for count * row_bytes bytes, any alignment. Unspecified on failure.
 * @param[in] out_bytes how many bytes out_data has room for.
 * @return RDS_OK the first count * row_bytes bytes of out_data are the tensors.
 * @return RDS_ERR_INVALID_HANDLE reader is no open reader.
 * @return RDS_ERR_INVALID_ARGUMENT rows or out_data are NULL, out_bytes is too small, or there is no such column.
 * @return RDS_ERR_OUT_OF_RANGE the table has no such row.
 * @return RDS_ERR_NOT_SUPPORTED the tensor of a row is null, or Lance cannot read the files of the table.
 * @return RDS_ERR_CORRUPT a file of the table is damaged.
 * @return RDS_ERR_NOT_FOUND a file of the table is gone.
 * @return RDS_ERR_IO the operating system refused.
 * @return RDS_ERR_INTERNAL Lance failed in a way it should not.
 * @return RDS_ERR_CANCELLED rds_reader_options.waiting asked to stop; the reader is as it was.
 * @return RDS_ERR_PANIC a defect of librds; the reader can only be closed.
 *
 * @par Ownership
 * rows and out_data stay the caller's.
 * @par Thread safety
 * any thread, many at once, into different memory. A large gather uses several threads
 * itself.
 * @par Blocking
 * reads the rows from disk if they are not in memory.
 * @since 0.1
 */
RDS_API RDS_NODISCARD
enum rds_status rds_reader_read(const struct rds_reader *reader,
                                uint32_t column,
                                const uint64_t *rows,
                                uint64_t count,
                                void *out_data,
                                size_t out_bytes);

/**
 * Which rows to gather. Initialise with RDS_ROWS_INIT.
 */
typedef struct rds_rows {
  /**
   * sizeof(rds_rows).
   */
  size_t struct_size;
  /**
   * count rows, in any order, also twice; NULL if they are first_row, first_row + step, and so on.
   */
  const uint64_t *rows;
  /**
   * How many.
   */
  uint64_t count;
  /**
   * Without rows: the first one. With rows 0.
   */
  uint64_t first_row;
  /**
   * Without rows: from one to the next; 0 means 1. With rows 0.
   */
  int64_t step;
} rds_rows;

/**
 * An rds_rows whose struct_size is set, with every other field at its default.
 */
#define RDS_ROWS_INIT {sizeof(rds_rows), NULL, 0, 0, 0}

/**
 * Where rows of one column are put: row i of those gathered at data + i * stride. Initialise with RDS_TARGET_INIT.
 */
typedef struct rds_target {
  /**
   * sizeof(rds_target).
   */
  size_t struct_size;
  /**
   * Memory of the caller, of any alignment.
   */
  void *data;
  /**
   * How many bytes there are. The last row needs its own bytes only.
   */
  size_t bytes;
  /**
   * Bytes from one row to the next; 0 means those of a row.
   */
  size_t stride;
  /**
   * The number of the column.
   */
  uint32_t column;
  /**
   * Must be 0.
   */
  uint32_t flags;
} rds_target;

/**
 * An rds_target whose struct_size is set, with every other field at its default.
 */
#define RDS_TARGET_INIT {sizeof(rds_target), NULL, 0, 0, 0, 0}

/**
 * Copies the same rows of several columns into memory of the caller, each to places that are a distance apart: into
 * an array for each column, or into records that have one behind the other.
 *
 * @param[in] reader a reader.
 * @param[in] rows which, in the order wanted, also twice: a list, or a first row with a step. Borrowed during the call.
 * @param[in] targets where each column is put, each initialised with RDS_TARGET_INIT. One column may be put twice, and
 * places of one target may lie between those of another. Borrowed during the call; the memory is unspecified on failure.
 * @param[in] target_count how many; 0 copies nothing.
 * @return RDS_OK row i of column c is at data + i * stride of its target.
 * @return RDS_ERR_INVALID_HANDLE reader is no open reader.
 * @return RDS_ERR_INVALID_ARGUMENT rows or targets are NULL or malformed, a target is too small, its stride is
 * below the bytes of a row, or there is no such column.
 * @return RDS_ERR_OUT_OF_RANGE the table does not have all the rows asked for; no memory was written.
 * @return RDS_ERR_NOT_SUPPORTED a tensor is null, or Lance cannot read the files of the table.
 * @return RDS_ERR_CORRUPT a file of the table is damaged.
 * @return RDS_ERR_NOT_FOUND a file of the table is gone.
 * @return RDS_ERR_IO the operating system refused.
 * @return RDS_ERR_INTERNAL Lance failed in a way it should not.
 * @return RDS_ERR_CANCELLED rds_reader_options.waiting asked to stop; the reader is as it was.
 * @return RDS_ERR_PANIC a defect of librds; the reader can only be closed.
 *
 * @par Ownership
 * rows, targets and their memory stay the caller's.
 * @par Thread safety
 * any thread, many at once, into different memory. A large gather uses several threads
 * itself.
 * @par Blocking
 * reads the rows from disk if they are not in memory.
 * @since 0.2
 */
RDS_API RDS_NODISCARD
enum rds_status rds_reader_gather(const struct rds_reader *reader,
                                  const struct rds_rows *rows,
                                  const struct rds_target *targets,
                                  size_t target_count);

/**
 * Copies the tensors of a range of rows into memory of the caller, one after the other in C order.
 *
 * @param[in] reader a reader.
 * @param[in] column the number of a tensor column, from 0 on; rds_reader_column() finds it by name.
 * @param[in] first_row the first row.
 * @param[in] row_count how many; 0 copies nothing.
 * @param[out] out_data room for row_count * row_bytes bytes, any alignment. Unspecified on failure.
 * @param[in] out_bytes how many bytes out_data has room for.
 * @return RDS_OK the first row_count * row_bytes bytes of out_data are the tensors.
 * @return RDS_ERR_INVALID_HANDLE reader is no open reader.
 * @return RDS_ERR_INVALID_ARGUMENT out_data is NULL, out_bytes is too small, or there is no such column.
 * @return RDS_ERR_OUT_OF_RANGE the table does not have all the rows asked for.
 * @return RDS_ERR_NOT_SUPPORTED the tensor of a row is null, or Lance cannot read the files of the table.
 * @return RDS_ERR_CORRUPT a file of the table is damaged.
 * @return RDS_ERR_NOT_FOUND a file of the table is gone.
 * @return RDS_ERR_IO the operating system refused.
 * @return RDS_ERR_INTERNAL Lance failed in a way it should not.
 * @return RDS_ERR_CANCELLED rds_reader_options.waiting asked to stop; the reader is as it was.
 * @return RDS_ERR_PANIC a defect of librds; the reader can only be closed.
 *
 * @par Ownership
 * out_data stays the caller's.
 * @par Thread safety
 * any thread, many at once, into different memory.
 * @par Blocking
 * reads the rows from disk if they are not in memory.
 * @since 0.1
 */
RDS_API RDS_NODISCARD
enum rds_status rds_reader_read_range(const struct rds_reader *reader,
                                      uint32_t column,
                                      uint64_t first_row,
                                      uint64_t row_count,
                                      void *out_data,
                                      size_t out_bytes);

/**
 * Exports a range of rows as one DLPack tensor: the rows first, then the shape of a row, in C order, on
 * the CPU. No copy if one span holds the rows: the tensor has DLPACK_FLAG_BITMASK_READ_ONLY then, else
 * DLPACK_FLAG_BITMASK_IS_COPIED.
 *
 * @param[in] reader a reader.
 * @param[in] column the number of a tensor column, from 0 on; rds_reader_column() finds it by name.
 * @param[in] first_row the first row.
 * @param[in] row_count how many; 0 gives an empty tensor.
 * @param[out] out_tensor the tensor, as dlpack.h declares it (DLPack 1.0); NULL on failure.
 * @return RDS_OK out_tensor is the tensor.
 * @return RDS_ERR_INVALID_HANDLE reader is no open reader.
 * @return RDS_ERR_INVALID_ARGUMENT out_tensor is NULL, or there is no such column.
 * @return RDS_ERR_OUT_OF_RANGE the table does not have all the rows asked for.
 * @return RDS_ERR_NOT_SUPPORTED DLPack has no such dtype (datetime64, timedelta64), the tensor of a row is
 * null, or Lance cannot read the files of the table.
 * @return RDS_ERR_CORRUPT a file of the table is damaged.
 * @return RDS_ERR_NOT_FOUND a file of the table is gone.
 * @return RDS_ERR_IO the operating system refused.
 * @return RDS_ERR_INTERNAL Lance failed in a way it should not.
 * @return RDS_ERR_CANCELLED rds_reader_options.waiting asked to stop; the reader is as it was.
 * @return RDS_ERR_PANIC a defect of librds; the reader can only be closed.
 *
 * @par Ownership
 * out_tensor is the caller's, to be released by its deleter; it may outlive the reader.
 * @par Thread safety
 * any thread, many at once. The deleter may be called on any thread.
 * @par Blocking
 * reads the rows from disk if they are to be copied and not in memory.
 * @since 0.1
 */
RDS_API RDS_NODISCARD
enum rds_status rds_reader_dlpack(const struct rds_reader *reader,
                                  uint32_t column,
                                  uint64_t first_row,
                                  uint64_t row_count,
                                  struct DLManagedTensorVersioned **out_tensor);

/* ---- Rows as Arrow ---------------------------------------------------------------------------- */

/**
 * Which columns an Arrow export has: ids first, then tensors. Zero means the default: all. Initialise with
 * RDS_SELECT_OPTIONS_INIT.
 */
typedef struct rds_select_options {
  /**
   * sizeof(rds_select_options).
   */
  size_t struct_size;
  /**
   * Numbers of tensor columns, in the order wanted, each once; NULL means all in the order of their numbers; with
   * column_count 0 and not NULL, none.
   */
  const uint32_t *columns;
  /**
   * How many.
   */
  size_t column_count;
  /**
   * Or-ed RDS_SELECT_*, or 0.
   */
  uint32_t flags;
  /**
   * Must be 0.
   */
  uint32_t reserved;
} rds_select_options;

/**
 * rds_select_options.flags: without ids. A table that has none is exported without them anyway.
 */
#define RDS_SELECT_NO_IDS 1u

/**
 * rds_select_options.flags: ids alone.
 */
#define RDS_SELECT_NO_TENSORS 2u

/**
 * rds_select_options.flags: tensors carry the extension type `arrow.fixed_shape_tensor`, which tells
 * the shape of a row. A complex number adds a dimension, of its two floats.
 */
#define RDS_SELECT_FIXED_SHAPE_TENSOR 4u

/**
 * An rds_select_options whose struct_size is set, with every other field at its default.
 */
#define RDS_SELECT_OPTIONS_INIT {sizeof(rds_select_options), NULL, 0, 0, 0}

/**
 * Exports the schema of the table: a struct with the ids and the tensors (fixed_size_list), and the metadata that say
 * what these are.
 *
 * @param[in] reader a reader.
 * @param[in] options which columns; NULL means all. Copied.
 * @param[out] out_schema marked released on failure.
 * @return RDS_OK out_schema is the schema.
 * @return RDS_ERR_INVALID_HANDLE reader is no open reader.
 * @return RDS_ERR_INVALID_ARGUMENT out_schema is NULL, options are malformed, or there is no such column.
 * @return RDS_ERR_NOT_SUPPORTED options have a field this version does not know.
 * @return RDS_ERR_SCHEMA_MISMATCH ids are asked for alone, and the table has none.
 * @return RDS_ERR_PANIC a defect of librds; the reader can only be closed.
 *
 * @par Ownership
 * out_schema is the caller's, to be released by its release callback; it may outlive the
 * reader.
 * @par Thread safety
 * any thread, many at once.
 * @par Blocking
 * never.
 * @since 0.1
 */
RDS_API RDS_NODISCARD
enum rds_status rds_reader_schema(const struct rds_reader *reader,
                                  const struct rds_select_options *options,
                                  struct ArrowSchema *out_schema);

/**
 * Exports rows as one struct array, in the order asked for; a row may be asked for twice.
 *
 * @param[in] reader a reader.
 * @param[in] rows count rows, each from 0 to the table's rows - 1. NULL only if count is 0.
 * @param[in] count how many; 0 gives an empty array.
 * @param[in] options which columns; NULL means all. Copied.
 * @param[out] out_schema NULL if the caller does not want it; marked released on failure.
 * @param[out] out_array marked released on failure.
 * @return RDS_OK out_array holds the rows.
 * @return RDS_ERR_INVALID_HANDLE reader is no open reader.
 * @return RDS_ERR_INVALID_ARGUMENT rows or out_array are NULL, options are malformed, or there is no such column.
 * @return RDS_ERR_SCHEMA_MISMATCH ids are asked for alone, and the table has none.
 * @return RDS_ERR_OUT_OF_RANGE the table has no such row.
 * @return RDS_ERR_CORRUPT a file of the table is damaged.
 * @return RDS_ERR_NOT_FOUND a file of the table is gone.
 * @return RDS_ERR_NOT_SUPPORTED Lance cannot read the files of the table.
 * @return RDS_ERR_IO the operating system refused.
 * @return RDS_ERR_INTERNAL Lance failed in a way it should not.
 * @return RDS_ERR_CANCELLED rds_reader_options.waiting asked to stop; the reader is as it was.
 * @return RDS_ERR_PANIC a defect of librds; the reader can only be closed.
 *
 * @par Ownership
 * out_schema and out_array are the caller's, to be released by their release callbacks;
 * they may outlive the reader.
 * @par Thread safety
 * any thread, many at once.
 * @par Blocking
 * reads the rows from disk if they are not in memory.
 * @since 0.1
 */
RDS_API RDS_NODISCARD
enum rds_status rds_reader_take(const struct rds_reader *reader,
                                const uint64_t *rows,
                                uint64_t count,
                                const struct rds_select_options *options,
                                struct ArrowSchema *out_schema,
                                struct ArrowArray *out_array);

/**
 * Options of rds_reader_stream(). Zero means the default. Initialise with RDS_STREAM_OPTIONS_INIT.
 */
typedef struct rds_stream_options {
  /**
   * sizeof(rds_stream_options).
   */
  size_t struct_size;
  /**
   * As in rds_select_options.
   */
  const uint32_t *columns;
  /**
   * How many.
   */
  size_t column_count;
  /**
   * Or-ed RDS_SELECT_* and RDS_STREAM_*, or 0.
   */
  uint32_t flags;
  /**
   * Must be 0.
   */
  uint32_t reserved;
  /**
   * First row; default 0.
   */
  uint64_t first_row;
  /**
   * How many rows; default all that follow, with RDS_STREAM_ROWS none.
   */
  uint64_t row_count;
  /**
   * Rows in a batch at most; default 8192.
   */
  uint64_t batch_rows;
  /**
   * RDS_STREAM_ROWS: row_count rows, each from 0 to the table's rows - 1; otherwise NULL. Copied.
   */
  const uint64_t *rows;
} rds_stream_options;

/**
 * rds_stream_options.flags: not a range of rows but those that rows names, in that order; a row may be named
 * twice. first_row must be 0. Each batch is a copy, as of rds_reader_take().
 */
#define RDS_STREAM_ROWS 256u

/**
 * An rds_stream_options whose struct_size is set, with every other field at its default.
 */
#define RDS_STREAM_OPTIONS_INIT {sizeof(rds_stream_options), NULL, 0, 0, 0, 0, 0, 0, NULL}

/**
 * Exports a range of rows as a stream of record batches, in row order, or with RDS_STREAM_ROWS any rows in any
 * order. A batch of mapped rows of a range is the
 * memory of the file, not a copy of it, and does not cross the end of a span: tensors without ids, with batch_rows
 * large enough, come as one batch for each span. Ids are of the type that the table has.
 *
 * @param[in] reader a reader.
 * @param[in] options NULL means all defaults: every row, all columns. Copied.
 * @param[out] out_stream marked released on failure.
 * @return RDS_OK out_stream is the stream. It reports its own errors, as the Arrow C stream interface
 * says; they become the last error of the thread too, and a stream that failed goes on failing.
 * @return RDS_ERR_INVALID_HANDLE reader is no open reader.
 * @return RDS_ERR_INVALID_ARGUMENT out_stream is NULL, options are malformed, or there is no such column.
 * @return RDS_ERR_SCHEMA_MISMATCH ids are asked for alone, and the table has none.
 * @return RDS_ERR_NOT_SUPPORTED options have a field this version does not know.
 * @return RDS_ERR_OUT_OF_RANGE the table does not have all the rows asked for.
 * @return RDS_ERR_PANIC a defect of librds; the reader can only be closed.
 *
 * @par Ownership
 * out_stream is the caller's, to be released by its release callback; it and its batches may
 * outlive the reader.
 * @par Thread safety
 * any thread, many at once. The stream may be moved between threads, and is for one at
 * a time.
 * @par Blocking
 * never; the stream blocks while it reads from disk.
 * @since 0.1
 */
RDS_API RDS_NODISCARD
enum rds_status rds_reader_stream(const struct rds_reader *reader,
                                  const struct rds_stream_options *options,
                                  struct ArrowArrayStream *out_stream);

/* ---- Ids -------------------------------------------------------------------------------------- */

/**
 * Lends the id of a row.
 *
 * @param[in] reader a reader.
 * @param[in] row from 0 to rows - 1.
 * @param[out] out_id the bytes of the id, UTF-8, not NUL-terminated; NULL on failure.
 * @param[out] out_length how many bytes; 0 on failure.
 * @return RDS_OK out_id and out_length are the id.
 * @return RDS_ERR_INVALID_HANDLE reader is no open reader.
 * @return RDS_ERR_INVALID_ARGUMENT out_id or out_length are NULL.
 * @return RDS_ERR_SCHEMA_MISMATCH the table has no ids.
 * @return RDS_ERR_OUT_OF_RANGE the table has no such row.
 * @return RDS_ERR_NOT_SUPPORTED the id of the row is null, or Lance cannot read the files of the table.
 * @return RDS_ERR_CORRUPT a file of the table is damaged.
 * @return RDS_ERR_NOT_FOUND a file of the table is gone.
 * @return RDS_ERR_IO the operating system refused.
 * @return RDS_ERR_INTERNAL Lance failed in a way it should not.
 * @return RDS_ERR_CANCELLED rds_reader_options.waiting asked to stop; the reader is as it was.
 * @return RDS_ERR_INVALID_STATE called inside of waiting by a call that loads or indexes the ids; as above.
 * @return RDS_ERR_PANIC a defect of librds; the reader can only be closed.
 *
 * @par Ownership
 * out_id is borrowed, until the reader is closed or refreshed.
 * @par Thread safety
 * any thread, many at once.
 * @par Blocking
 * the first call on a reader loads all its ids; later ones never.
 * @since 0.1
 */
RDS_API RDS_NODISCARD
enum rds_status rds_reader_id(const struct rds_reader *reader,
                              uint64_t row,
                              const char **out_id,
                              size_t *out_length);

/**
 * Exports the ids of a range of rows as one Arrow array of large_utf8, whatever the layout of strings
 * or integers in the table: no copy, but of rows that a refresh added together with others.
 *
 * @param[in] reader a reader.
 * @param[in] first_row the first row.
 * @param[in] row_count how many; 0 gives an empty array.
 * @param[out] out_schema NULL if the caller does not want it; marked released on failure.
 * @param[out] out_array marked released on failure.
 * @return RDS_OK out_array holds the ids; one that is null in the table is null in it.
 * @return RDS_ERR_INVALID_HANDLE reader is no open reader.
 * @return RDS_ERR_INVALID_ARGUMENT out_array is NULL.
 * @return RDS_ERR_SCHEMA_MISMATCH the table has no ids.
 * @return RDS_ERR_OUT_OF_RANGE the table does not have all the rows asked for.
 * @return RDS_ERR_NOT_SUPPORTED Lance cannot read the files of the table.
 * @return RDS_ERR_CORRUPT a file of the table is damaged.
 * @return RDS_ERR_NOT_FOUND a file of the table is gone.
 * @return RDS_ERR_IO the operating system refused.
 * @return RDS_ERR_INTERNAL Lance failed in a way it should not.
 * @return RDS_ERR_CANCELLED rds_reader_options.waiting asked to stop; the reader is as it was.
 * @return RDS_ERR_INVALID_STATE called inside of waiting by a call that loads or indexes the ids; as above.
 * @return RDS_ERR_PANIC a defect of librds; the reader can only be closed.
 *
 * @par Ownership
 * out_schema and out_array are the caller's, to be released by their release callbacks;
 * they may outlive the reader.
 * @par Thread safety
 * any thread, many at once.
 * @par Blocking
 * the first call on a reader loads all its ids; later ones never.
 * @since 0.1
 */
RDS_API RDS_NODISCARD
enum rds_status rds_reader_ids(const struct rds_reader *reader,
                               uint64_t first_row,
                               uint64_t row_count,
                               struct ArrowSchema *out_schema,
                               struct ArrowArray *out_array);

/**
 * What rds_reader_find() gives for an id that no row carries.
 */
#define RDS_ROW_NONE UINT64_MAX

/**
 * Finds the rows that carry ids.
 *
 * @param[in] reader a reader.
 * @param[in] ids the ids to find. Borrowed during the call.
 * @param[out] out_rows room for ids.count rows: the first row with the id, RDS_ROW_NONE if no row has
 * it. Written on success only.
 * @param[out] out_counts NULL if the caller does not want it; room for ids.count numbers: how many rows
 * carry the id. Written on success only.
 * @return RDS_OK out_rows and out_counts are filled in; that an id is absent is no error.
 * @return RDS_ERR_INVALID_HANDLE reader is no open reader.
 * @return RDS_ERR_INVALID_ARGUMENT ids is NULL, out_rows is NULL with ids.count above 0, ids is malformed, or an id is
 * not UTF-8.
 * @return RDS_ERR_SCHEMA_MISMATCH the table has no ids.
 * @return RDS_ERR_NOT_SUPPORTED a field of ids is not known to this version, or Lance cannot read the
 * files of the table.
 * @return RDS_ERR_CORRUPT a file of the table is damaged.
 * @return RDS_ERR_NOT_FOUND a file of the table is gone.
 * @return RDS_ERR_IO the operating system refused.
 * @return RDS_ERR_INTERNAL Lance failed in a way it should not.
 * @return RDS_ERR_CANCELLED rds_reader_options.waiting asked to stop; the reader is as it was.
 * @return RDS_ERR_INVALID_STATE called inside of waiting by a call that loads or indexes the ids; as above.
 * @return RDS_ERR_PANIC a defect of librds; the reader can only be closed.
 *
 * @par Ownership
 * everything stays the caller's.
 * @par Thread safety
 * any thread, many at once, into different memory.
 * @par Blocking
 * the first call on a reader loads all its ids and builds the index; later ones never.
 * @since 0.1
 */
RDS_API RDS_NODISCARD
enum rds_status rds_reader_find(const struct rds_reader *reader,
                                const struct rds_ids *ids,
                                uint64_t *out_rows,
                                uint64_t *out_counts);

/**
 * Finds all rows that carry an id.
 *
 * @param[in] reader a reader.
 * @param[in] id its bytes, UTF-8. NULL only if length is 0. Borrowed during the call.
 * @param[in] length how many.
 * @param[out] out_rows room for capacity rows: the first ones, in order. NULL only if capacity is 0.
 * @param[in] capacity how many rows there is room for.
 * @param[out] out_count how many rows carry the id, which may be more than there is room for; 0 on failure.
 * @return RDS_OK out_count and out_rows are filled in; that no row carries the id is no error.
 * @return RDS_ERR_INVALID_HANDLE reader is no open reader.
 * @return RDS_ERR_INVALID_ARGUMENT a pointer is NULL, or id is not UTF-8.
 * @return RDS_ERR_SCHEMA_MISMATCH the table has no ids.
 * @return RDS_ERR_NOT_SUPPORTED Lance cannot read the files of the table.
 * @return RDS_ERR_CORRUPT a file of the table is damaged.
 * @return RDS_ERR_NOT_FOUND a file of the table is gone.
 * @return RDS_ERR_IO the operating system refused.
 * @return RDS_ERR_INTERNAL Lance failed in a way it should not.
 * @return RDS_ERR_CANCELLED rds_reader_options.waiting asked to stop; the reader is as it was.
 * @return RDS_ERR_INVALID_STATE called inside of waiting by a call that loads or indexes the ids; as above.
 * @return RDS_ERR_PANIC a defect of librds; the reader can only be closed.
 *
 * @par Ownership
 * everything stays the caller's.
 * @par Thread safety
 * any thread, many at once, into different memory.
 * @par Blocking
 * the first call on a reader loads all its ids and builds the index; later ones never.
 * @since 0.2
 */
RDS_API RDS_NODISCARD
enum rds_status rds_reader_find_all(const struct rds_reader *reader,
                                    const char *id,
                                    size_t length,
                                    uint64_t *out_rows,
                                    uint64_t capacity,
                                    uint64_t *out_count);

/* ---- Loaders ---------------------------------------------------------------------------------- */

/**
 * A loader: goes through the rows of tables in batches, epoch after epoch. Opaque; made by rds_loader_open().
 */
typedef struct rds_loader rds_loader;

/**
 * In which order a loader goes through the rows of an epoch.
 */
typedef enum rds_loader_order {
  /**
   * Shuffled: each row once, in an order that seed and epoch say. See the page on the order of rows.
   */
  RDS_ORDER_SHUFFLED = 0,
  /**
   * As they are numbered, or listed.
   */
  RDS_ORDER_IN_ORDER = 1,
} rds_loader_order;

/**
 * What a loader does with the rows at the end of an epoch that fill no step.
 */
typedef enum rds_loader_tail {
  /**
   * They are a step with fewer rows, shared evenly: a rank may have none of them.
   */
  RDS_TAIL_SHORT = 0,
  /**
   * The step is filled up with the first rows of the same epoch: rds_loader_batch.pad_rows.
   */
  RDS_TAIL_PAD = 1,
  /**
   * They are left out.
   */
  RDS_TAIL_DROP = 2,
} rds_loader_tail;

/**
 * Another table that a loader mixes with its first. Initialise with RDS_LOADER_TABLE_INIT.
 */
typedef struct rds_loader_table {
  /**
   * sizeof(rds_loader_table).
   */
  size_t struct_size;
  /**
   * It has the columns chosen, by name, of the same dtype and shape.
   */
  const struct rds_reader *reader;
  /**
   * As in rds_loader_options.
   */
  const uint64_t *rows;
  /**
   * As in rds_loader_options.
   */
  uint64_t first_row;
  /**
   * As in rds_loader_options.
   */
  uint64_t row_count;
} rds_loader_table;

/**
 * An rds_loader_table whose struct_size is set, with every other field at its default.
 */
#define RDS_LOADER_TABLE_INIT {sizeof(rds_loader_table), NULL, NULL, 0, 0}

/**
 * How often rows of each table come, from a position on. Initialise with RDS_LOADER_WEIGHTS_INIT.
 */
typedef struct rds_loader_weights {
  /**
   * sizeof(rds_loader_weights).
   */
  size_t struct_size;
  /**
   * The epoch from which on.
   */
  uint64_t epoch;
  /**
   * The rows of that epoch that all ranks together have consumed before.
   */
  uint64_t consumed;
  /**
   * One for each table, that of the reader first; 0 for none of it. Not all 0.
   */
  const uint64_t *weights;
  /**
   * How many: as many as there are tables.
   */
  size_t weight_count;
} rds_loader_weights;

/**
 * An rds_loader_weights whose struct_size is set, with every other field at its default.
 */
#define RDS_LOADER_WEIGHTS_INIT {sizeof(rds_loader_weights), 0, 0, NULL, 0}

/**
 * Options of rds_loader_open(). Zero means the default. Initialise with RDS_LOADER_OPTIONS_INIT.
 */
typedef struct rds_loader_options {
  /**
   * sizeof(rds_loader_options).
   */
  size_t struct_size;
  /**
   * Rows of a step that one rank takes. This or global_batch_rows must be given.
   */
  uint64_t batch_rows;
  /**
   * Rows of a step over all ranks; ranks take even shares of it, though they need not be equal. Instead of
   * batch_rows, which are multiplied by world_size.
   */
  uint64_t global_batch_rows;
  /**
   * Which rank this is, below world_size.
   */
  uint32_t rank;
  /**
   * Ranks that share each step; default 1.
   */
  uint32_t world_size;
  /**
   * Which worker of the rank this is, below worker_count.
   */
  uint32_t worker;
  /**
   * Workers that share what the rank takes of a step, or with RDS_LOADER_WHOLE_STEPS take steps in turn; default 1.
   */
  uint32_t worker_count;
  /**
   * An rds_loader_order; default RDS_ORDER_SHUFFLED.
   */
  uint32_t order;
  /**
   * An rds_loader_tail; default RDS_TAIL_SHORT.
   */
  uint32_t tail;
  /**
   * Rows that follow each other and stay together in a shuffled order, for disks that are slow at single rows; default 1, at
   * most 2^62.
   */
  uint64_t clump_rows;
  /**
   * Says with the epoch what the shuffled order is.
   */
  uint64_t seed;
  /**
   * The first epoch; default 0.
   */
  uint64_t epoch;
  /**
   * row_count rows of the table, of which an epoch consists; a row that is listed twice comes twice. NULL for a
   * range. Copied.
   */
  const uint64_t *rows;
  /**
   * Without rows: the first row of the range. With rows 0.
   */
  uint64_t first_row;
  /**
   * How many rows: of a list those that are listed, of a range default all from first_row on.
   */
  uint64_t row_count;
  /**
   * Numbers of tensor columns of the reader, each once; NULL means all; with column_count 0 and not NULL, none:
   * then batches are numbers of rows.
   */
  const uint32_t *columns;
  /**
   * How many.
   */
  size_t column_count;
  /**
   * Other tables, whose rows are mixed with those of the reader. NULL only if other_count is 0. Copied.
   */
  const struct rds_loader_table *others;
  /**
   * How many.
   */
  size_t other_count;
  /**
   * With others: how often rows of each come, each from its position on, in the order of positions; before the first,
   * and without any, as often as each table has rows. NULL only if weights_count is 0. Copied.
   */
  const struct rds_loader_weights *weights;
  /**
   * How many.
   */
  size_t weights_count;
  /**
   * With others: rows of an epoch; default those of all tables together. A table that is through begins anew.
   */
  uint64_t epoch_rows;
  /**
   * Memory of the caller that batches are put into: the targets of one buffer, one for each column chosen in that
   * order, then those of the next. Each has room for the rows of the largest batch. NULL for memory of the loader.
   */
  const struct rds_target *targets;
  /**
   * How many: a multiple of the columns chosen.
   */
  size_t target_count;
  /**
   * Bytes of buffers at most, those that are lent too; default 256 MiB, or those of two batches if that is more. With
   * targets 0.
   */
  uint64_t max_bytes;
  /**
   * Batches that are gathered before they are asked for, if there are buffers; default 8.
   */
  uint32_t ahead;
  /**
   * Threads that gather; default half of the cores, 1 to 4.
   */
  uint32_t threads;
  /**
   * Or-ed RDS_LOADER_*, or 0.
   */
  uint32_t flags;
  /**
   * Must be 0.
   */
  uint32_t reserved;
  /**
   * Asked some twenty times a second by rds_loader_next() while it waits. A non-zero return ends the wait with
   * RDS_ERR_CANCELLED; nothing is lost. It may close the loader. Default none.
   */
  rds_waiting_callback waiting;
  /**
   * Handed to waiting as it is. Both must live as long as the loader.
   */
  void *user_data;
} rds_loader_options;

/**
 * rds_loader_options.flags: there is no table. The reader is NULL, row_count is given, and batches are numbers of rows.
 */
#define RDS_LOADER_NO_TABLE 1u

/**
 * rds_loader_options.flags: no threads: rds_loader_next() gathers on the thread that calls it.
 */
#define RDS_LOADER_NO_THREADS 2u

/**
 * rds_loader_options.flags: workers do not share a step but take whole steps in turn, as those of PyTorch's DataLoader
 * do. The position of a worker is then that before the round of steps in which its next one is.
 */
#define RDS_LOADER_WHOLE_STEPS 4u

/**
 * rds_loader_options.flags: only calls of the main thread of the process ask waiting, as with
 * RDS_WRITER_WAITING_MAIN_THREAD.
 */
#define RDS_LOADER_WAITING_MAIN_THREAD 8u

/**
 * An rds_loader_options whose struct_size is set, with every other field at its default.
 */
#define RDS_LOADER_OPTIONS_INIT {sizeof(rds_loader_options), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, NULL, 0, 0, NULL, 0, NULL, 0, NULL, 0, 0, NULL, 0, 0, 0, 0, 0, 0, NULL, NULL}

/**
 * Opens a loader: it gives the rows of a table, or of several that it mixes, batch by batch and epoch after epoch, and
 * each row of an epoch once. It keeps the snapshots that the readers show now, whatever becomes of these.
 *
 * @param[in] reader a reader; NULL with RDS_LOADER_NO_TABLE only. It is not needed afterwards.
 * @param[in] options how many rows a batch has, in which order, of which columns; a batch size must be given. Copied.
 * @param[out] out_loader the loader; NULL on failure.
 * @return RDS_OK the loader stands before the first row of options.epoch.
 * @return RDS_ERR_INVALID_HANDLE reader or one of options.others is no open reader.
 * @return RDS_ERR_INVALID_ARGUMENT out_loader or options are NULL or malformed; there is no such column, rank or
 * worker; the tail is dropped and leaves no step; memory of the caller is too small; or a batch needs more than
 * options.max_bytes.
 * @return RDS_ERR_OUT_OF_RANGE a table does not have all the rows asked for.
 * @return RDS_ERR_SCHEMA_MISMATCH another table lacks a column chosen, or has it with another dtype or shape.
 * @return RDS_ERR_NOT_SUPPORTED a field of options is not known to this build.
 * @return RDS_ERR_INVALID_STATE too many loaders are open.
 * @return RDS_ERR_IO there is no memory for the list of rows.
 * @return RDS_ERR_PANIC a defect of librds. On any failure no loader is open.
 *
 * @par Ownership
 * out_loader is the caller's, to be closed with rds_loader_close(). Memory of options.targets is written
 * to by other threads until then.
 * @par Thread safety
 * any thread. In a forked child a loader of the parent goes on from where it was there, with threads and
 * buffers of its own; memory of options.targets is written to by both.
 * @par Blocking
 * never; nothing is read, and no thread starts, before the first batch is asked for.
 * @since 0.2
 */
RDS_API RDS_NODISCARD
enum rds_status rds_loader_open(const struct rds_reader *reader,
                                const struct rds_loader_options *options,
                                struct rds_loader **out_loader);

/**
 * What rds_loader_next() gives: the rows of a step that this rank and worker take. Initialise with
 * RDS_LOADER_BATCH_INIT.
 */
typedef struct rds_loader_batch {
  /**
   * sizeof(rds_loader_batch).
   */
  size_t struct_size;
  /**
   * Their numbers, row_count of them. NULL if there are none.
   */
  const uint64_t *rows;
  /**
   * Of which table each is: 0 for that of the reader, 1 for the first of the others. NULL without others.
   */
  const uint32_t *tables;
  /**
   * For each column chosen, in that order, where its row_count rows lie, one after the other in C order, or at the
   * stride of its target. Memory of the loader is aligned to 64 bytes. NULL if there are none.
   */
  void *const *columns;
  /**
   * How many.
   */
  size_t column_count;
  /**
   * Rows of the batch; 0 at the end of an epoch, and for who has no share of a short step.
   */
  uint64_t row_count;
  /**
   * How many of them, at their end, fill the last step of the epoch up, and came in this epoch before.
   */
  uint64_t pad_rows;
  /**
   * Rows of the step over all ranks and workers, those that fill it up too; 0 if the epoch is over: the next batch is
   * the first of the next one.
   */
  uint64_t step_rows;
  /**
   * The epoch.
   */
  uint64_t epoch;
  /**
   * Rows of the epoch that came before the step, over all ranks.
   */
  uint64_t consumed;
  /**
   * Names the memory, for rds_loader_release(); 0 if there is none to release.
   */
  uint64_t buffer;
} rds_loader_batch;

/**
 * An rds_loader_batch whose struct_size is set, with every other field at its default.
 */
#define RDS_LOADER_BATCH_INIT {sizeof(rds_loader_batch), NULL, NULL, NULL, 0, 0, 0, 0, 0, 0, 0}

/**
 * Gives the next batch: what this rank and worker take of the next step, gathered.
 *
 * A loop over an epoch: `while (rds_loader_next(loader, &batch) == RDS_OK && batch.step_rows != 0)`, with
 * rds_loader_release() at the end of its body. After the last step of an epoch one call gives a batch with step_rows 0;
 * the next one begins the next epoch.
 *
 * @param[in] loader a loader.
 * @param[out] out_batch initialised with RDS_LOADER_BATCH_INIT. Written on success only.
 * @return RDS_OK out_batch is the batch, and the loader stands behind its step.
 * @return RDS_ERR_INVALID_HANDLE loader is no open loader.
 * @return RDS_ERR_INVALID_ARGUMENT out_batch is NULL or malformed.
 * @return RDS_ERR_NO_ROOM all buffers are lent; release one. The loader is as it was.
 * @return RDS_ERR_CANCELLED rds_loader_options.waiting asked to stop, or the loader was closed meanwhile; as above.
 * @return RDS_ERR_NOT_SUPPORTED the tensor of a row is null, or Lance cannot read the files of the table; as above.
 * @return RDS_ERR_CORRUPT a file of the table is damaged; as above.
 * @return RDS_ERR_NOT_FOUND a file of the table is gone; as above.
 * @return RDS_ERR_IO the operating system refused, or there is no memory for a buffer; as above.
 * @return RDS_ERR_INTERNAL Lance failed in a way it should not; as above.
 * @return RDS_ERR_PANIC a defect of librds; the loader can only be closed.
 *
 * @par Ownership
 * what out_batch points to is lent, until it is released or the loader is closed; it may be written to.
 * @par Thread safety
 * any thread, many at once: each gets another batch. One of them is told of the end of the epoch, and the
 * others go on into the next one.
 * @par Blocking
 * until the batch is gathered. It is ready, as a rule, if the caller was slower than memory or disk.
 * @since 0.2
 */
RDS_API RDS_NODISCARD
enum rds_status rds_loader_next(struct rds_loader *loader,
                                struct rds_loader_batch *out_batch);

/**
 * Gives the memory of a batch back, for another one.
 *
 * @param[in] loader a loader.
 * @param[in] buffer rds_loader_batch.buffer; 0 does nothing.
 * @return RDS_OK the memory is not the caller's any more.
 * @return RDS_ERR_INVALID_HANDLE loader is no open loader.
 * @return RDS_ERR_INVALID_ARGUMENT no batch has that buffer: it was released.
 * @return RDS_ERR_PANIC a defect of librds; the loader can only be closed.
 *
 * @par Ownership
 * what the batch pointed to must not be used any more.
 * @par Thread safety
 * any thread.
 * @par Blocking
 * never.
 * @since 0.2
 */
RDS_API RDS_NODISCARD
enum rds_status rds_loader_release(struct rds_loader *loader,
                                   uint64_t buffer);

/**
 * The bytes of a position.
 */
#define RDS_POSITION_BYTES 64

/**
 * Where a loader is, equal on all ranks. Its bytes may be stored, and mean the same everywhere: the page on the order
 * of rows has their layout.
 */
typedef struct rds_position {
  /**
   * As rds_loader_state() wrote them.
   */
  uint8_t bytes[RDS_POSITION_BYTES];
} rds_position;

/**
 * Tells where a loader is: behind the last step that rds_loader_next() gave, whatever was gathered ahead.
 *
 * @param[in] loader a loader.
 * @param[out] out_position the position; zeros on failure.
 * @return RDS_OK out_position is the position, the same on all ranks that are behind the same step.
 * @return RDS_ERR_INVALID_HANDLE loader is no open loader.
 * @return RDS_ERR_INVALID_ARGUMENT out_position is NULL.
 * @return RDS_ERR_PANIC a defect of librds; the loader can only be closed.
 *
 * @par Ownership
 * nothing is passed.
 * @par Thread safety
 * any thread.
 * @par Blocking
 * never.
 * @since 0.2
 */
RDS_API RDS_NODISCARD
enum rds_status rds_loader_state(const struct rds_loader *loader,
                                 struct rds_position *out_position);

/**
 * Moves a loader to a position, of its own or of another loader over the same rows in the same order: ranks, workers,
 * batch size and tail may be others.
 *
 * @param[in] loader a loader.
 * @param[in] position as of rds_loader_state(). Its seed becomes that of the loader. NULL for the two that follow.
 * @param[in] epoch without position: the epoch. With one 0.
 * @param[in] consumed without position: how many rows of the epoch come before. With one 0.
 * @return RDS_OK the next batch is of the step behind the position.
 * @return RDS_ERR_INVALID_HANDLE loader is no open loader.
 * @return RDS_ERR_INVALID_ARGUMENT position is none, or damaged; or it is of another table, version, list of rows,
 * order or weights, which the message names; or an epoch has fewer rows than are consumed.
 * @return RDS_ERR_NOT_SUPPORTED position is of a format that this version does not know.
 * @return RDS_ERR_PANIC a defect of librds; the loader can only be closed. On any other failure it is where it was.
 *
 * @par Ownership
 * batches that are lent stay so.
 * @par Thread safety
 * any thread.
 * @par Blocking
 * never.
 * @since 0.2
 */
RDS_API RDS_NODISCARD
enum rds_status rds_loader_seek(struct rds_loader *loader,
                                const struct rds_position *position,
                                uint64_t epoch,
                                uint64_t consumed);

/**
 * What rds_loader_stats() tells. Initialise with RDS_LOAD_STATS_INIT.
 */
typedef struct rds_load_stats {
  /**
   * sizeof(rds_load_stats).
   */
  size_t struct_size;
  /**
   * Where the loader is: the epoch.
   */
  uint64_t epoch;
  /**
   * Rows of it that all ranks together have consumed, by what rds_loader_next() gave.
   */
  uint64_t consumed;
  /**
   * Rows of an epoch, without those that fill it up.
   */
  uint64_t epoch_rows;
  /**
   * Steps of a whole epoch, of which a worker of whole steps takes a part.
   */
  uint64_t epoch_steps;
  /**
   * Rows of the largest batch of this rank and worker.
   */
  uint64_t batch_rows;
  /**
   * Batches given so far.
   */
  uint64_t batches;
  /**
   * How many of them were not ready when they were asked for.
   */
  uint64_t stalls;
  /**
   * Nanoseconds that rds_loader_next() has waited for them.
   */
  uint64_t stalled_ns;
  /**
   * Batches that are ready now.
   */
  uint64_t ready;
  /**
   * How many may be.
   */
  uint64_t ahead;
  /**
   * Buffers that were given and not released.
   */
  uint64_t lent;
  /**
   * Bytes of the buffers that the loader has made so far; 0 with memory of the caller.
   */
  uint64_t bytes;
} rds_load_stats;

/**
 * An rds_load_stats whose struct_size is set, with every other field at its default.
 */
#define RDS_LOAD_STATS_INIT {sizeof(rds_load_stats), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}

/**
 * Tells where a loader is, how long it was waited for, and what memory it has.
 *
 * @param[in] loader a loader.
 * @param[out] out_stats initialised with RDS_LOAD_STATS_INIT. Written on success only.
 * @return RDS_OK out_stats is filled in.
 * @return RDS_ERR_INVALID_HANDLE loader is no open loader.
 * @return RDS_ERR_INVALID_ARGUMENT out_stats is NULL or malformed.
 * @return RDS_ERR_PANIC a defect of librds; the loader can only be closed.
 *
 * @par Ownership
 * out_stats stays the caller's.
 * @par Thread safety
 * any thread.
 * @par Blocking
 * never.
 * @since 0.2
 */
RDS_API RDS_NODISCARD
enum rds_status rds_loader_stats(const struct rds_loader *loader,
                                 struct rds_load_stats *out_stats);

/**
 * Gives a file descriptor for poll(), select() or epoll: it is readable while a batch is ready, or the end of an epoch or
 * an error is. Nothing becomes ready while all buffers are lent. The first call has the loader gather from now on.
 *
 * @param[in] loader a loader that has threads.
 * @param[out] out_fd the descriptor; -1 on failure.
 * @return RDS_OK out_fd is the descriptor, the same each time.
 * @return RDS_ERR_INVALID_HANDLE loader is no open loader.
 * @return RDS_ERR_INVALID_ARGUMENT out_fd is NULL.
 * @return RDS_ERR_INVALID_STATE the loader has no threads, so that nothing is ready before it is asked for.
 * @return RDS_ERR_IO the process has no descriptor left.
 * @return RDS_ERR_PANIC a defect of librds; the loader can only be closed.
 *
 * @par Ownership
 * out_fd is the loader's, until it is closed; it is to be waited for, and neither read nor closed. A forked
 * child has one of its own, for which it asks again.
 * @par Thread safety
 * any thread.
 * @par Blocking
 * never.
 * @since 0.2
 */
RDS_API RDS_NODISCARD
enum rds_status rds_loader_fd(struct rds_loader *loader,
                              int *out_fd);

/**
 * Closes a loader. A call that waits in it ends with RDS_ERR_CANCELLED.
 *
 * @param[in] loader a loader.
 * @return RDS_OK the loader is closed.
 * @return RDS_ERR_INVALID_HANDLE loader is no open loader; NULL and a second close are that too.
 * @return RDS_ERR_PANIC a defect of librds.
 *
 * @par Ownership
 * what batches point to is freed, also of those that were not released; memory of the caller is not
 * written to any more. The descriptor of rds_loader_fd() is closed.
 * @par Thread safety
 * any thread; a call that is inside the loader ends unharmed.
 * @par Blocking
 * until the batches that are being gathered are.
 * @since 0.2
 */
RDS_API RDS_NODISCARD
enum rds_status rds_loader_close(struct rds_loader *loader);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* RDS_H */
