/* Runs a fuzzer where libFuzzer is not linked: replays every file of the fuzzer's folder of
 * vectors, then a bounded number of pseudo-random mutations of them.
 *
 *   fuzz_NAME [--runs N] [--seconds S] [--first N] [PATH...]
 *
 * PATH is a file or a folder; a folder that does not exist is empty. Run number n draws everything
 * from (seed, n): FM_SEED=SEED repeats a failing sequence and `--first n --runs 1` its last step.
 * --runs 0 only replays. --seconds ends the mutations early, which a slow machine may need; it
 * never changes what a run does. FM_LONG multiplies both. When the fuzzer fails, the input is left
 * in the working directory as failed-<fuzzer>-<n>, to be given back as PATH.
 * Threads: one. Exit status: 0, 1 when PATH cannot be read, 2 for wrong arguments; a failing
 * fuzzer aborts. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#include <sanitizer/common_interface_defs.h>
#define HAS_SANITIZER 1
#else
#define HAS_SANITIZER 0
#endif

#define SEED_DEFAULT UINT64_C(1)
#define RUNS_DEFAULT 20000u
#define INPUTS_MAX 4096u
#define INPUT_BYTES_MAX (1u << 20)   /* Larger files are refused. */
#define MUTANT_BYTES_MAX (64u << 10) /* Mutations stop growing an input here. */
#define MUTATIONS_MAX 6u             /* Applied to one input, one after the other. */
#define RUN_SECONDS_MAX 20u          /* One run longer than this hangs. */
#define LONG_FACTOR 20               /* What FM_LONG does to runs and seconds. */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv) __attribute__((weak));

struct input {
    char *path;
    uint8_t *bytes;
    size_t size;
};

struct corpus {
    struct input *inputs; /* Sorted by path. */
    size_t count;
};

struct options {
    uint64_t seed;
    uint64_t first;
    uint64_t run_count;
    time_t seconds; /* 0: no limit. */
};

/* What the handlers below report. Handlers have no other way to learn it, hence file scope. */
static struct {
    const char *fuzzer;
    const char *path; /* The file replayed, NULL for a mutation. */
    const uint8_t *bytes;
    size_t size;
    uint64_t seed;
    uint64_t run;
    volatile sig_atomic_t reported;
} current;

/* Only functions that a signal handler may call from here to on_signal(). */
static void write_text(int fd, const char *text)
{
    size_t left = strlen(text);

    while (left > 0) {
        ssize_t done = write(fd, text, left);
        if (done <= 0)
            return;
        text += done;
        left -= (size_t)done;
    }
}

static void append_text(char *out, size_t capacity, const char *text)
{
    size_t used = strlen(out);

    while (*text != '\0' && used + 1 < capacity)
        out[used++] = *text++;
    out[used] = '\0';
}

static void append_number(char *out, size_t capacity, uint64_t value)
{
    char digits[24];
    size_t at = sizeof digits - 1;

    digits[at] = '\0';
    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    append_text(out, capacity, digits + at);
}

static void save_failed_input(char *message, size_t capacity)
{
    char name[160] = "failed-";
    const uint8_t *bytes = current.bytes;
    size_t left = current.size;
    int fd;

    append_text(name, sizeof name, current.fuzzer);
    append_text(name, sizeof name, "-");
    append_number(name, sizeof name, current.run);
    fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0)
        return;
    while (left > 0) {
        ssize_t done = write(fd, bytes, left);
        if (done <= 0)
            break;
        bytes += done;
        left -= (size_t)done;
    }
    (void)close(fd); /* A diagnostic: there is nothing to do about a failure. */
    append_text(message, capacity, "; input saved as ");
    append_text(message, capacity, name);
}

static void report(void)
{
    char message[512] = "";

    if (current.reported || current.bytes == NULL)
        return;
    current.reported = 1;
    append_text(message, sizeof message, current.fuzzer);
    append_text(message, sizeof message, ": FAILED at ");
    if (current.path != NULL) {
        append_text(message, sizeof message, current.path);
    } else {
        append_text(message, sizeof message, "run ");
        append_number(message, sizeof message, current.run);
        append_text(message, sizeof message, ": replay with FM_SEED=");
        append_number(message, sizeof message, current.seed);
        append_text(message, sizeof message, " and --first ");
        append_number(message, sizeof message, current.run);
        append_text(message, sizeof message, " --runs 1");
        save_failed_input(message, sizeof message);
    }
    append_text(message, sizeof message, "\n");
    write_text(STDERR_FILENO, message);
}

static void on_signal(int number)
{
    if (number == SIGALRM)
        write_text(STDERR_FILENO, "the fuzzer hangs\n");
    report();
    (void)signal(number, SIG_DFL);
    (void)raise(number == SIGALRM ? SIGABRT : number);
}

static void catch_failures(void)
{
    static const int always[] = {SIGABRT, SIGALRM};
    static const int without_sanitizer[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL};

    for (size_t i = 0; i < sizeof always / sizeof always[0]; i++)
        (void)signal(always[i], on_signal);
    /* A sanitizer's own handlers print where it happened, then call report(). */
    for (size_t i = 0; !HAS_SANITIZER && i < sizeof without_sanitizer / sizeof(int); i++)
        (void)signal(without_sanitizer[i], on_signal);
#if HAS_SANITIZER
    __sanitizer_set_death_callback(report);
#endif
}

static void *allocate(size_t size)
{
    void *memory = malloc(size > 0 ? size : 1);

    if (memory == NULL) {
        fprintf(stderr, "out of memory\n");
        exit(1);
    }
    return memory;
}

/* splitmix64 (Steele, Lea, Flood 2014): good enough, and the same everywhere. */
static uint64_t draw(uint64_t *state)
{
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* 0..bound-1; 0 when `bound` is 0. */
static size_t draw_below(uint64_t *state, size_t bound)
{
    return bound == 0 ? 0 : (size_t)(draw(state) % bound);
}

/* Lengths are mostly short. */
static size_t draw_length(uint64_t *state, size_t most)
{
    size_t bound = (draw(state) & 7) == 0 ? most : (most < 16 ? most : 16);

    return bound == 0 ? 0 : 1 + draw_below(state, bound);
}

/* Input under mutation; `bytes` has room for MUTANT_BYTES_MAX. */
struct mutant {
    uint8_t *bytes;
    size_t size;
};

static void flip_bit(struct mutant *m, uint64_t *state)
{
    if (m->size > 0) {
        size_t bit = draw_below(state, m->size * 8);
        m->bytes[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    }
}

static void set_byte(struct mutant *m, uint64_t *state)
{
    static const uint8_t edges[] = {0x00, 0x01, 0x7f, 0x80, 0xff, 0xc0, 0xdf, 0xdd, ' ', '"', '\n'};

    if (m->size > 0) {
        size_t at = draw_below(state, m->size);
        m->bytes[at] =
            (draw(state) & 1) ? edges[draw_below(state, sizeof edges)] : (uint8_t)draw(state);
    }
}

/* Numbers near the limits of their width, in either byte order: lengths, counts, offsets. */
static void set_number(struct mutant *m, uint64_t *state)
{
    static const uint64_t edges[] = {0,          1,          0x7f,      0x80,
                                     0xff,       0x7fff,     0xffff,    0x7fffffff,
                                     0x80000000, 0xffffffff, INT64_MAX, UINT64_MAX};
    size_t width = (size_t)1 << draw_below(state, 4);
    uint64_t value = edges[draw_below(state, sizeof edges / sizeof edges[0])];
    bool big = (draw(state) & 1) != 0;
    size_t at;

    if (m->size < width)
        return;
    at = draw_below(state, m->size - width + 1);
    for (size_t i = 0; i < width; i++)
        m->bytes[at + (big ? width - 1 - i : i)] = (uint8_t)(value >> (8 * i));
}

static void add_to_byte(struct mutant *m, uint64_t *state)
{
    if (m->size > 0) {
        size_t at = draw_below(state, m->size);
        m->bytes[at] = (uint8_t)(m->bytes[at] + draw_below(state, 17) - 8);
    }
}

static void remove_range(struct mutant *m, uint64_t *state)
{
    size_t length = draw_length(state, m->size);
    size_t at = draw_below(state, m->size - length + 1);

    memmove(m->bytes + at, m->bytes + at + length, m->size - at - length);
    m->size -= length;
}

static void cut_end(struct mutant *m, uint64_t *state)
{
    m->size = draw_below(state, m->size + 1);
}

/* Open a gap of `length` bytes at `at`; what it holds is left to the caller. */
static void open_gap(struct mutant *m, size_t at, size_t length)
{
    memmove(m->bytes + at + length, m->bytes + at, m->size - at);
    m->size += length;
}

static void insert_random(struct mutant *m, uint64_t *state)
{
    size_t length = draw_length(state, MUTANT_BYTES_MAX - m->size);
    size_t at = draw_below(state, m->size + 1);
    bool same = (draw(state) & 1) != 0;
    uint8_t value = (uint8_t)draw(state);

    open_gap(m, at, length);
    for (size_t i = 0; i < length; i++)
        m->bytes[at + i] = same ? value : (uint8_t)draw(state);
}

/* Copy a piece of `from` into the mutant: over what is there, or between. */
static void take_piece(struct mutant *m, const uint8_t *from, size_t from_size, uint64_t *state)
{
    size_t length = draw_length(state, from_size);
    size_t source = draw_below(state, from_size - length + 1);
    size_t at = draw_below(state, m->size + 1);

    if ((draw(state) & 1) != 0) {
        length = length < m->size - at ? length : m->size - at;
    } else {
        length = length < MUTANT_BYTES_MAX - m->size ? length : MUTANT_BYTES_MAX - m->size;
        open_gap(m, at, length);
    }
    memcpy(m->bytes + at, from + source, length);
}

static void mutate_once(struct mutant *m, const struct input *other, uint64_t *state)
{
    static void (*const simple[])(struct mutant *, uint64_t *) = {
        flip_bit, set_byte, set_number, add_to_byte, remove_range, cut_end, insert_random,
    };
    size_t choice = draw_below(state, sizeof simple / sizeof simple[0] + 1);

    if (choice < sizeof simple / sizeof simple[0])
        simple[choice](m, state);
    else
        take_piece(m, other->bytes, other->size, state);
}

/* Run the fuzzer on a block of exactly `size` bytes, so that a sanitizer sees each byte too far. */
static void run_one(const uint8_t *bytes, size_t size)
{
    uint8_t *copy = allocate(size);

    memcpy(copy, bytes, size);
    current.bytes = copy;
    current.size = size;
    (void)alarm(RUN_SECONDS_MAX);
    (void)LLVMFuzzerTestOneInput(copy, size); /* -1 means: not worth keeping. */
    (void)alarm(0);
    current.bytes = NULL;
    free(copy);
}

static void replay(const struct corpus *corpus)
{
    for (size_t i = 0; i < corpus->count; i++) {
        current.path = corpus->inputs[i].path;
        run_one(corpus->inputs[i].bytes, corpus->inputs[i].size);
    }
    current.path = NULL;
}

static time_t seconds_now(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now); /* Cannot fail with this clock. */
    return now.tv_sec;
}

/* Returns the number of runs done. */
static uint64_t run_mutations(const struct corpus *corpus, const struct options *options)
{
    const struct input empty = {.bytes = (uint8_t[1]){0}};
    struct mutant mutant = {.bytes = allocate(MUTANT_BYTES_MAX)};
    time_t end = seconds_now() + options->seconds;
    uint64_t run = options->first;

    current.seed = options->seed;
    for (; run - options->first < options->run_count; run++) {
        uint64_t state = options->seed + run * UINT64_C(0xd1342543de82ef95);
        size_t count = corpus->count;
        const struct input *base = count > 0 ? &corpus->inputs[draw_below(&state, count)] : &empty;
        const struct input *other = count > 0 ? &corpus->inputs[draw_below(&state, count)] : &empty;
        size_t times = 1 + draw_below(&state, MUTATIONS_MAX);

        if (options->seconds > 0 && seconds_now() >= end)
            break;
        mutant.size = base->size < MUTANT_BYTES_MAX ? base->size : MUTANT_BYTES_MAX;
        memcpy(mutant.bytes, base->bytes, mutant.size);
        for (size_t i = 0; i < times; i++)
            mutate_once(&mutant, other, &state);
        current.run = run;
        run_one(mutant.bytes, mutant.size);
    }
    free(mutant.bytes);
    return run - options->first;
}

static bool read_file(const char *path, size_t size, uint8_t *out)
{
    FILE *file = fopen(path, "rbe");
    bool whole;

    if (file == NULL)
        return false;
    whole = fread(out, 1, size, file) == size;
    (void)fclose(file); /* Opened for reading: nothing can be lost. */
    return whole;
}

static bool add_file(struct corpus *corpus, const char *path, off_t size)
{
    struct input *input = &corpus->inputs[corpus->count];

    if (corpus->count == INPUTS_MAX || size > (off_t)INPUT_BYTES_MAX) {
        fprintf(stderr, "%s: too large, or one file too many\n", path);
        return false;
    }
    input->size = (size_t)size;
    input->bytes = allocate(input->size);
    input->path = strdup(path);
    corpus->count++;
    if (input->path == NULL || !read_file(path, input->size, input->bytes)) {
        fprintf(stderr, "%s: cannot be read\n", path);
        return false;
    }
    return true;
}

static bool add_folder(struct corpus *corpus, const char *path)
{
    DIR *folder = opendir(path);
    struct dirent *entry;
    bool fine = true;

    if (folder == NULL) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        return false;
    }
    while (fine && (entry = readdir(folder)) != NULL) {
        char inside[4096];
        struct stat status;
        int length = snprintf(inside, sizeof inside, "%s/%s", path, entry->d_name);

        if (length < 0 || (size_t)length >= sizeof inside || stat(inside, &status) != 0)
            fine = false;
        else if (S_ISREG(status.st_mode))
            fine = add_file(corpus, inside, status.st_size);
    }
    (void)closedir(folder); /* Read only. */
    return fine;
}

static bool add_path(struct corpus *corpus, const char *path)
{
    struct stat status;

    if (stat(path, &status) != 0) {
        if (errno == ENOENT)
            return true; /* A fuzzer without vectors. */
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        return false;
    }
    return S_ISDIR(status.st_mode) ? add_folder(corpus, path)
                                   : add_file(corpus, path, status.st_size);
}

static int by_path(const void *a, const void *b)
{
    return strcmp(((const struct input *)a)->path, ((const struct input *)b)->path);
}

static bool parse_number(const char *text, uint64_t *out)
{
    char *end = NULL;

    if (text == NULL || *text < '0' || *text > '9')
        return false;
    errno = 0;
    *out = strtoull(text, &end, 0);
    return errno == 0 && *end == '\0';
}

/* Take the options off the front of `argv`. Returns the index of the first path, -1 when wrong. */
static int parse_options(int argc, char **argv, struct options *options)
{
    const char *seed = getenv("FM_SEED");
    int at = 1;

    if (seed != NULL && !parse_number(seed, &options->seed))
        return -1;
    for (; at < argc && strncmp(argv[at], "--", 2) == 0; at += 2) {
        uint64_t value = 0;

        if (at + 1 >= argc || !parse_number(argv[at + 1], &value))
            return -1;
        if (strcmp(argv[at], "--runs") == 0)
            options->run_count = value;
        else if (strcmp(argv[at], "--first") == 0)
            options->first = value;
        else if (strcmp(argv[at], "--seconds") == 0 && value <= 1000000)
            options->seconds = (time_t)value;
        else
            return -1;
    }
    if (getenv("FM_LONG") != NULL) {
        options->run_count *= LONG_FACTOR;
        options->seconds *= LONG_FACTOR;
    }
    return at;
}

static void free_corpus(struct corpus *corpus)
{
    for (size_t i = 0; i < corpus->count; i++) {
        free(corpus->inputs[i].path);
        free(corpus->inputs[i].bytes);
    }
    free(corpus->inputs);
}

int main(int argc, char **argv)
{
    struct options options = {.seed = SEED_DEFAULT, .run_count = RUNS_DEFAULT};
    struct corpus corpus = {.inputs = allocate(INPUTS_MAX * sizeof(struct input))};
    const char *slash = strrchr(argv[0], '/');
    bool fine = true;
    int at;

    current.fuzzer = slash != NULL ? slash + 1 : argv[0];
    at = parse_options(argc, argv, &options);
    if (at < 0) {
        fprintf(stderr, "usage: [FM_SEED=N] %s [--runs N] [--seconds S] [--first N] [PATH...]\n",
                current.fuzzer);
        free_corpus(&corpus);
        return 2;
    }
    if (LLVMFuzzerInitialize != NULL)
        (void)LLVMFuzzerInitialize(&argc, &argv); /* By convention always 0. */
    for (; at < argc && fine; at++)
        fine = add_path(&corpus, argv[at]);
    if (fine) {
        uint64_t done;

        qsort(corpus.inputs, corpus.count, sizeof corpus.inputs[0], by_path);
        printf("%s: seed %" PRIu64 "\n", current.fuzzer, options.seed);
        (void)fflush(stdout); /* Before a failure can swallow it. */
        catch_failures();
        replay(&corpus);
        done = run_mutations(&corpus, &options);
        printf("%s: %zu files replayed, %" PRIu64 " mutations run\n", current.fuzzer, corpus.count,
               done);
    }
    free_corpus(&corpus);
    return fine ? 0 : 1;
}
