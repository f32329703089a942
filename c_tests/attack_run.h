/* One call: right arguments, then wrong ones, the call, and what must hold behind it. */
#ifndef ATTACK_RUN_H
#define ATTACK_RUN_H

#include "attack_spoil.h"
#include "dlpack.h"
/* Written by attack.py, of what is above. */
#include "attack_calls.h"

enum { FUNCTIONS = sizeof functions / sizeof functions[0] };

/* Right arguments ----------------------------------------------------------------------------------------------- */

static int closes_writer(void) { return is_function("rds_writer_close") || is_function("rds_writer_abort"); }

/* Functions that close a handle, or need a writer of another mode, have one of their own; now and then one whose first
 * batch says what its columns are. */
static rds_writer *writer_for(void) {
    if (is_function("rds_writer_stage")) return staging;
    now.own_writer = closes_writer() || (various && strstr(now.function->name, "rds_write_") && below(32) == 0);
    if (!now.own_writer) return writer;
    return closes_writer() ? open_writer(published_path.text, RDS_MODE_STAGED)
                           : table_writer(published_path.text, RDS_MODE_STAGED, RDS_DURABILITY_COMMIT);
}

static rds_loader *loader_for(void) { return is_function("rds_loader_close") ? open_loader() : loader; }

static rds_reader *reader_for(void) {
    rds_reader *clone = various && below(8) == 0 ? decoding : reader;
    if (is_function("rds_reader_close")) CHECK_OK(rds_reader_clone(reader, &clone));
    return clone;
}

/* Nothing is behind the last of several: what does not look like a number of structs must not be taken for one. */
static void give_memory(size_t i, size_t step, size_t elements) {
    enum kind kind = now.function->parameters[i].kind;
    now.step[i] = step;
    now.spare[i] = (kind == STRUCT || kind == OUT_STRUCT || kind == PLAIN) && elements > 1 ? 0 : SPARE;
    now.bytes[i] = step * elements + now.spare[i];
    now.memory[i] = (unsigned char *)room(now.bytes[i]);
    now.value[i] = (uintptr_t)now.memory[i];
}

static void give(size_t i) {
    const struct parameter *parameter = &now.function->parameters[i];
    size_t elements = parameter->elements;
    switch (parameter->kind) {
    case NUMBER:
    case CLAIM:
        now.value[i] = parameter->valid;
        break;
    case TEXT:
    case BYTES:
        now.value[i] = (uintptr_t)parameter->make();
        break;
    case READER:
        now.value[i] = (uintptr_t)reader_for();
        break;
    case WRITER:
        now.value[i] = (uintptr_t)writer_for();
        break;
    case LOADER:
        now.value[i] = (uintptr_t)loader_for();
        break;
    case STRUCT:
    case PLAIN:
        give_memory(i, parameter->form->size, elements);
        for (size_t e = 0; e < elements; e++) parameter->form->make(now.memory[i] + e * now.step[i], e);
        break;
    case SCHEMA:
        tree = right_tree();
        now.value[i] = (uintptr_t)&tree->nodes[TREE_ROOT].schema;
        break;
    case ARRAY:
        now.value[i] = (uintptr_t)&tree->nodes[TREE_ROOT].array;
        break;
    case STREAM:
        producer = right_producer();
        now.value[i] = (uintptr_t)&producer->stream;
        break;
    case CALLBACK:
        now.value[i] = callback_of(0);
        break;
    case USER_DATA:
        now.value[i] = 0;
        break;
    case OUT_STRUCT:
        give_memory(i, parameter->form->size, elements);
        for (size_t e = 0; e < elements; e++) memcpy(now.memory[i] + e * now.step[i], &parameter->form->size, 8);
        break;
    case OUT_VALUE:
    case OUT_BULK:
    case OUT_SCHEMA:
    case OUT_ARRAY:
    case OUT_STREAM:
        /* Ids are as many as a batch has rows. */
        give_memory(i, parameter->size, parameter->kind == OUT_BULK && !parameter->has_count ? BATCH : elements);
        memset(now.memory[i], GUARD, now.bytes[i]);
        break;
    }
}

/* With everything right. */
static void prepare(const struct function *function) {
    memset(&now, 0, sizeof now);
    now.function = function;
    tree = NULL, producer = NULL, schemas_given = arrays_given = 0;
    for (size_t i = 0; i < function->parameter_count; i++) give(i);
    now.handle = now.value[0];
}

/* Closes the handle that only this call has. */
static void drop_handle(void) {
    if (now.own_writer) CHECK_OK(rds_writer_abort((rds_writer *)(uintptr_t)now.handle));
    if (is_function("rds_reader_close")) (void)!rds_reader_close((rds_reader *)(uintptr_t)now.handle);
    if (is_function("rds_loader_close")) (void)!rds_loader_close((rds_loader *)(uintptr_t)now.handle);
}

/* Instead of the call. */
static void drop_call(void) {
    drop_handle();
    forget_rooms();
}

/* What must hold behind it -------------------------------------------------------------------------------------- */

static int is_output(const struct parameter *parameter) { return parameter->after_failure != NO_OUTPUT; }

/* Whether the library could have written to it. */
static int is_there(size_t i) { return now.memory[i] && now.value[i] == (uintptr_t)now.memory[i]; }

static int all_are(const unsigned char *at, size_t bytes, unsigned char value) {
    for (size_t i = 0; i < bytes; i++) {
        if (at[i] != value) return 0;
    }
    return 1;
}

static int is_arrow(enum kind kind) { return kind == OUT_SCHEMA || kind == OUT_ARRAY || kind == OUT_STREAM; }

static int is_released(size_t i) {
    const void *at = now.memory[i];
    switch (now.function->parameters[i].kind) {
    case OUT_SCHEMA:
        return ((const struct ArrowSchema *)at)->release == NULL;
    case OUT_ARRAY:
        return ((const struct ArrowArray *)at)->release == NULL;
    default:
        return ((const struct ArrowArrayStream *)at)->release == NULL;
    }
}

static void check_output(size_t i, rds_status status) {
    const struct parameter *parameter = &now.function->parameters[i];
    size_t whole = parameter->kind == OUT_STRUCT ? now.step[i] * parameter->elements : now.bytes[i] - now.spare[i];
    char what[128];
    if (!is_there(i)) return;
    snprintf(what, sizeof what, "memory behind %s is written to", parameter->name);
    if (memcmp(now.memory[i] + whole, now.before[i] + whole, now.bytes[i] - whole) != 0) report(what);
    for (size_t e = 0; parameter->kind == OUT_STRUCT && e < parameter->elements; e++) {
        size_t known = e * now.step[i] + parameter->form->size, unknown = (e + 1) * now.step[i] - known;
        if (memcmp(now.memory[i] + known, now.before[i] + known, unknown) != 0) report(what);
    }
    snprintf(what, sizeof what, "struct_size of %s is written to", parameter->name);
    if (parameter->kind == OUT_STRUCT && memcmp(now.memory[i], now.before[i], 8) != 0) report(what);
    if (status == RDS_OK) return;
    snprintf(what, sizeof what, "%s is not as it was after a failure", parameter->name);
    if (parameter->after_failure == UNCHANGED && memcmp(now.memory[i], now.before[i], whole) != 0) report(what);
    if (parameter->after_failure != NOTHING && parameter->after_failure != MINUS_ONE) return;
    snprintf(what, sizeof what, "%s is not nothing after a failure", parameter->name);
    unsigned char nothing = parameter->after_failure == MINUS_ONE ? 0xff : 0;
    if (is_arrow(parameter->kind) ? !is_released(i) : !all_are(now.memory[i], whole, nothing)) report(what);
}

/* What the caller owns now is given back. */
static void dispose(size_t i) {
    void *at = now.memory[i], *handle;
    const char *name = now.function->parameters[i].name;
    enum kind kind = now.function->parameters[i].kind;
    if (!is_there(i)) return;
    memcpy(&handle, at, sizeof handle);
    DLManagedTensorVersioned *tensor = (DLManagedTensorVersioned *)handle;
    if (strcmp(name, "out_reader") == 0) CHECK_OK(rds_reader_close((rds_reader *)handle));
    if (strcmp(name, "out_writer") == 0) (void)!rds_writer_abort((rds_writer *)handle);
    if (strcmp(name, "out_loader") == 0) CHECK_OK(rds_loader_close((rds_loader *)handle));
    if (strcmp(name, "out_batch") == 0) CHECK_OK(rds_loader_release(loader, ((rds_loader_batch *)at)->buffer));
    if (strcmp(name, "out_tensor") == 0) tensor->deleter(tensor);
    struct ArrowSchema *schema = (struct ArrowSchema *)at;
    struct ArrowArray *array = (struct ArrowArray *)at;
    struct ArrowArrayStream *stream = (struct ArrowArrayStream *)at;
    if (is_arrow(kind) && is_released(i)) report("an Arrow output is released after success");
    else if (kind == OUT_SCHEMA) schema->release(schema);
    else if (kind == OUT_ARRAY) array->release(array);
    if (kind != OUT_STREAM || !stream->release) return;
    for (int batch = 0; batch < 4; batch++) {
        struct ArrowArray given = {0};
        if (stream->get_next(stream, &given) != 0 || !given.release) break;
        given.release(&given);
    }
    stream->release(stream);
}

/* Statuses that say which argument is to blame. */
static int blames(rds_status status) {
    return status == RDS_ERR_INVALID_ARGUMENT || status == RDS_ERR_INVALID_HANDLE || status == RDS_ERR_NOT_SUPPORTED;
}

/* The argument that was spoilt; a number and what it counts are to blame for each other, and so are tokens and the job
 * that they are of. */
static int is_to_blame(int argument) {
    if (argument < 0 || argument >= (int)now.function->parameter_count) return 0;
    int is_of_job = strcmp(now.function->parameters[argument].name, "tokens") == 0;
    for (int i = 0; i < (int)now.function->parameter_count; i++) {
        enum kind kind = now.function->parameters[i].kind;
        int has_others = kind == NUMBER || kind == CLAIM || kind == SCHEMA || kind == ARRAY;
        int says_job = strcmp(now.function->parameters[i].name, "job") == 0 ||
                       now.function->parameters[i].form == &form_rds_commit_staged_options;
        if (now.wrong[i] && (i == argument || has_others || (is_of_job && says_job))) return 1;
    }
    return 0;
}

static void check_error(rds_status status) {
    rds_error error = RDS_ERROR_INIT;
    const char *name = now.function->name;
    char what[256];
    if (rds_last_error(&error) != RDS_OK) report("rds_last_error() fails");
    if (error.status != (uint32_t)status) report("rds_last_error() has another status");
    if (rds_last_error_status() != status) report("rds_last_error_status() is another one");
    if (!error.message || error.message != rds_last_error_message()) report("rds_last_error() has another message");
    size_t length = strlen(name);
    if (strncmp(error.message, name, length) != 0 || strncmp(error.message + length, ": ", 2) != 0 ||
        !error.message[length + 2]) {
        report("the message does not begin with the function, or says nothing");
    }
    if (error.may_pass > 1 || error.reserved) report("rds_last_error() is malformed");
    if (error.may_pass && blames(status)) report("what is wrong may not pass");
    /* That of another table is in the options. */
    int in_options = is_function("rds_loader_open") && error.argument == 1;
    if (status == RDS_ERR_INVALID_HANDLE && error.argument != 0 && !in_options) report("the handle is not to blame");
    if (now.all_wrong != 1 || !blames(status) || is_to_blame(error.argument)) return;
    /* Where several arguments do not fit each other it need not say which. */
    if (error.argument == -1 && !now.must_be) {
        nobody_blamed++;
        if (verbose) fprintf(stderr, "nobody: %s:%s: %s\n", name, now.note, error.message);
        return;
    }
    snprintf(what, sizeof what, "%s, and argument %d is to blame", rds_status_name((uint32_t)status), error.argument);
    report(what);
}

static void check_status_of(rds_status status) {
    char what[128];
    const char *name = rds_status_name((uint32_t)status);
    if ((uint32_t)status >= MOST_STATUSES || !(now.function->documented >> status & 1)) {
        snprintf(what, sizeof what, "%s is not documented", name);
        report(what);
    }
    if (status == RDS_ERR_PANIC || status == RDS_ERR_INTERNAL) report(name);
    if (!now.all_wrong && status != RDS_OK && !is_function("rds_runtime_configure")) {
        snprintf(what, sizeof what, "%s of a right call", name);
        report(what);
    }
    if (now.all_wrong != 1 || !now.must_fail) return;
    if (status == RDS_OK) report("a wrong call succeeded");
    snprintf(what, sizeof what, "%s, expected %s", name, rds_status_name((uint32_t)now.must_be));
    if (status != RDS_OK && now.must_be && status != now.must_be) report(what);
}

static void check_moved(const int *released_before) {
    if (tree) {
        int moved = released_before[0] && now.value[2] == (uintptr_t)&tree->nodes[TREE_ROOT].array;
        check_tree(tree, moved, 0);
    }
    if (!producer) return;
    int moved = released_before[1] && now.value[1] == (uintptr_t)&producer->stream;
    if (producer->released != moved) report("the stream is not released once");
    check_tree(producer->columns, 0, schemas_given);
    check_tree(producer->batch, arrays_given, 0);
}

/* Rows that writer has accepted. */
static uint64_t accepted_rows(void) {
    rds_write_stats stats = RDS_WRITE_STATS_INIT;
    CHECK_OK(rds_writer_stats(writer, &stats));
    return stats.accepted_rows;
}

static void after(rds_status status, uint64_t accepted) {
    if (is_function("rds_set_log_callback")) CHECK_OK(rds_set_log_callback(RDS_LOG_OFF, NULL, NULL));
    int is_gone = status == RDS_OK || status == RDS_ERR_ALREADY_EXISTS || status == RDS_ERR_NOT_FOUND;
    if (is_function("rds_commit_staged") && is_gone) token_is_used = 1;
    if (status != RDS_OK && status != RDS_ERR_CANCELLED && (tree || is_function("rds_write_tensors")) &&
        accepted != accepted_rows()) {
        report("rows of a call that failed are accepted");
    }
    if (!closes_writer() || status == RDS_ERR_INVALID_HANDLE) drop_handle();
}

/* Makes the call that was prepared, and forgets it. */
static rds_status make_call(void) {
    const struct function *function = now.function;
    const int right[2] = {tree && tree->nodes[TREE_ROOT].array.release, producer && producer->stream.release};
    uint64_t accepted = accepted_rows();
    for (size_t i = 0; i < function->parameter_count; i++) {
        if (now.memory[i]) now.before[i] = (unsigned char *)memcpy(room(now.bytes[i]), now.memory[i], now.bytes[i]);
    }
    if (verbose) fprintf(stderr, "%s:%s\n", function->name, now.note);
    /* Another one fails first: what it says cannot pass for what this one does. */
    if (rds_check_abi(0) != RDS_ERR_NOT_SUPPORTED) report("rds_check_abi");
    alarm(SECONDS);
    rds_status status = function->call(now.value);
    alarm(0);
    calls_made++;
    if ((uint32_t)status < MOST_STATUSES) by_status[status]++;
    if (status != RDS_OK) check_error(status);
    check_status_of(status);
    for (size_t i = 0; i < function->parameter_count; i++) {
        if (is_output(&function->parameters[i])) check_output(i, status);
        if (is_output(&function->parameters[i]) && status == RDS_OK) dispose(i);
    }
    check_moved(right);
    after(status, accepted);
    forget_rooms();
    return status;
}

#endif
