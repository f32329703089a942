/* Every function that rds.h declares, with each of its arguments wrong in every way that there is, one at a time; then
 * several at once. c_tests/attack.py reads the header. ATTACK_CALLS says how many calls have several wrong arguments,
 * ATTACK_SEED which, ATTACK_ONLY names a function. */
#define _DEFAULT_SOURCE
#include "attack_run.h"

enum { HEALTH_EVERY = 4096, MOST_WRONG = 3, RIGHT_CALLS = 3, MOST_VARIANTS = 1 << 16 };

/* How much can be wrong with each argument. */
static unsigned long variants[FUNCTIONS][MOST_PARAMETERS];

static uint64_t number_of(const char *name, uint64_t otherwise) {
    const char *text = getenv(name);
    return text && *text ? strtoull(text, NULL, 0) : otherwise;
}

static int is_chosen(const struct function *function) {
    const char *only = getenv("ATTACK_ONLY");
    return !only || !*only || strcmp(only, function->name) == 0;
}

static void check_health_now_and_then(void) {
    if (calls_made % HEALTH_EVERY == 0) check_health();
}

TEST(right_calls_succeed) {
    for (size_t f = 0; f < FUNCTIONS; f++) {
        for (int i = 0; i < RIGHT_CALLS && is_chosen(&functions[f]); i++) {
            prepare(&functions[f]);
            make_call();
        }
    }
}

/* One thing that is wrong; in valgrind only some. */
static void spoil_each(size_t f, size_t parameter, unsigned long step) {
    unsigned long which = 0;
    for (; which < MOST_VARIANTS; which++) {
        prepare(&functions[f]);
        int is_wrong = spoil(parameter, which);
        if (!is_wrong) break;
        if ((which + f) % step == 0) make_call();
        else drop_call();
        check_health_now_and_then();
    }
    drop_call();
    variants[f][parameter] = which;
}

TEST(one_wrong_argument) {
    unsigned long step = check_rounds(10) < 10 ? 7 : 1;
    for (size_t f = 0; f < FUNCTIONS; f++) {
        for (size_t i = 0; i < functions[f].parameter_count && is_chosen(&functions[f]); i++) spoil_each(f, i, step);
    }
    check_health();
}

/* Half of the time one with much that can be wrong. */
static size_t any_function(void) {
    uint64_t all = 0;
    if (below(2)) return below(FUNCTIONS);
    for (size_t f = 0; f < FUNCTIONS; f++) {
        for (size_t i = 0; i < MOST_PARAMETERS; i++) all += variants[f][i];
    }
    uint64_t at = all ? below(all) : 0;
    for (size_t f = 0; f < FUNCTIONS; f++) {
        for (size_t i = 0; i < MOST_PARAMETERS; i++) {
            if (at < variants[f][i]) return f;
            at -= variants[f][i];
        }
    }
    return 0;
}

/* A wrong handle hides all else. */
static size_t any_argument(const struct function *function) {
    size_t i = below(function->parameter_count);
    return i == 0 && below(8) ? below(function->parameter_count) : i;
}

TEST(several_wrong_arguments) {
    uint64_t calls = number_of("ATTACK_CALLS", (uint64_t)check_rounds(3000));
    various = 1;
    for (uint64_t n = 0; n < calls;) {
        size_t f = any_function();
        const struct function *function = &functions[f];
        if (!function->parameter_count || !is_chosen(function) || (function->is_slow && below(16))) continue;
        prepare(function);
        for (uint64_t wrong = 0, most = 1 + below(MOST_WRONG); wrong < most; wrong++) {
            size_t i = any_argument(function);
            if (variants[f][i]) (void)spoil(i, (unsigned long)below(variants[f][i]));
        }
        make_call();
        n++;
        check_health_now_and_then();
    }
    check_health();
}

TEST(there_is_a_table) {
    random_state = number_of("ATTACK_SEED", 1);
    verbose = (int)number_of("ATTACK_VERBOSE", 0);
    /* Relative paths are tried too. */
    CHECK(chdir(check_root) == 0);
    tell_how_it_ends();
    open_fixtures();
}

TEST(the_table_is_as_it_was) {
    close_fixtures();
    printf("calls %llu\nreports %llu\nnobody_blamed %llu\n", (unsigned long long)calls_made,
           (unsigned long long)reports_made, (unsigned long long)nobody_blamed);
    for (uint32_t i = 0; i < MOST_STATUSES; i++) {
        if (by_status[i]) printf("%s %llu\n", rds_status_name(i), (unsigned long long)by_status[i]);
    }
}

CHECK_MAIN(RUN(there_is_a_table), RUN(right_calls_succeed), RUN(one_wrong_argument), RUN(several_wrong_arguments),
           RUN(the_table_is_as_it_was))
