/*
 * test_unpack.c: trees out of columns made here, with blocks that are stored as they are or by a codec of two bytes. What
 * is checked: files are whole and right whatever the number of threads, hostile numbers and names are refused, a run may
 * be stopped at any time, and no descriptor is left open.
 */
#define _GNU_SOURCE

#include "check.h"
#include "unpack.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { BLOCK = 4096, DIRS = 40, FILES = 30, ROWS = 1 + DIRS * (1 + FILES), WORDS = 4096, BIG_BLOCKS = 1100, FRAGMENT = 3000 };

/* The columns: a chain of directories, `d` inside of `d`, and FILES files in each. */
static struct {
    imgcore_unpack_spec spec;
    char names[ROWS * 8];
    uint64_t name_at[ROWS], sizes[ROWS], positions[ROWS], words_at[ROWS];
    uint32_t dirs[DIRS + 1], starts[DIRS + 2], parents[ROWS], modes[ROWS], ids[ROWS], fragments[ROWS], offsets[ROWS];
    uint8_t kinds[ROWS], made[DIRS + 1];
    int64_t mtimes[ROWS];
    uint32_t words[WORDS];
    uint64_t fragment_positions[1], devs[DIRS + 1], inos[DIRS + 1];
    uint32_t fragment_words[1];
    int dir_fd;
} t;

static char top[] = "/tmp/imgcore-test-XXXXXX";

/* The "codec": (count / 16, byte), as LZ4_decompress_safe is called. */
static int expand(const char *in, char *out, int in_size, int room)
{
    int size = in_size == 2 ? 16 * (uint8_t)in[0] + (in[0] == (char)0xff ? 16 : 0) : -1;

    if (size < 0 || size > room)
        return -1;
    memset(out, in[1], (size_t)size);
    return size;
}

static size_t open_descriptors(void)
{
    DIR *list = opendir("/proc/self/fd");
    size_t count = 0;

    CHECK(list);
    while (readdir(list))
        count++;
    closedir(list);
    return count;
}

/* Bytes of the image: three blocks of noise, a fragment, and two bytes for the codec, at these places. */
enum { AT_NOISE = 100, AT_FRAGMENT = AT_NOISE + 3 * BLOCK, AT_CODED = AT_FRAGMENT + FRAGMENT, IMAGE_SIZE = AT_CODED + 2 };

static uint8_t noise(size_t at)
{
    return (uint8_t)(at * 2654435761u >> 13);
}

static int make_image(void)
{
    static uint8_t image[IMAGE_SIZE];
    int fd = memfd_create("image", MFD_CLOEXEC);

    for (size_t i = 0; i < sizeof image; i++)
        image[i] = noise(i);
    image[AT_CODED] = 0xff; /* 16 * 255 + 16 is a block */
    image[AT_CODED + 1] = 'c';
    CHECK(fd >= 0 && write(fd, image, sizeof image) == (ssize_t)sizeof image);
    return fd;
}

static void add_row(uint64_t row, uint32_t parent, const char *name, uint8_t kind, size_t *names_size)
{
    t.parents[row] = parent;
    t.kinds[row] = kind;
    t.name_at[row] = *names_size;
    t.modes[row] = kind == IMGCORE_MAKE_DIR ? 0755 : 0640;
    t.mtimes[row] = (int64_t)row * 1000000007;
    t.fragments[row] = IMGCORE_NO_FRAGMENT;
    CHECK(*names_size + strlen(name) + 1 <= sizeof t.names);
    strcpy(t.names + *names_size, name);
    *names_size += strlen(name) + 1;
}

/* Files by number: empty, a tail, blocks, a block and a tail, a hole and a block, and coded. */
static void fill_file(uint64_t row, uint32_t number)
{
    static const uint32_t raw = BLOCK | IMGCORE_WORD_RAW;
    uint32_t *words = t.words;

    t.positions[row] = AT_NOISE;
    t.words_at[row] = number % 6 == 4 ? 4 : number % 6 == 5 ? 8 : 0;
    words[0] = words[1] = words[2] = raw;
    words[4] = 0, words[5] = raw, words[6] = 0;
    words[8] = 2, words[9] = 0, words[10] = 0;
    switch (number % 6) {
    case 1:
        t.sizes[row] = 100;
        t.fragments[row] = 0;
        t.offsets[row] = number;
        break;
    case 2:
        t.sizes[row] = 3 * BLOCK;
        break;
    case 3:
        t.sizes[row] = BLOCK + 7;
        t.fragments[row] = 0;
        break;
    case 4:
        t.sizes[row] = 3 * BLOCK - 1;
        break;
    case 5:
        t.sizes[row] = BLOCK;
        t.positions[row] = AT_CODED;
        break;
    default:
        break;
    }
}

static uint8_t byte_of(uint32_t number, uint64_t size, uint64_t at)
{
    switch (number % 6) {
    case 1:
        return noise(AT_FRAGMENT + number + at);
    case 3:
        return at < BLOCK ? noise(AT_NOISE + at) : noise(AT_FRAGMENT + at - BLOCK);
    case 4:
        return at / BLOCK == 1 ? noise(AT_NOISE + at - BLOCK) : 0;
    case 5:
        return 'c';
    default:
        CHECK(at < size);
        return noise(AT_NOISE + at);
    }
}

static void set_up(void)
{
    size_t names_size = 0, row = 1;
    char name[16];

    memset(&t, 0, sizeof t);
    add_row(0, 0, "", IMGCORE_MAKE_DIR, &names_size);
    for (uint32_t dir = 0; dir <= DIRS; dir++) {
        t.starts[dir] = (uint32_t)row;
        if (dir == DIRS)
            break;
        t.dirs[dir + 1] = (uint32_t)row;
        add_row(row++, t.dirs[dir], "d", IMGCORE_MAKE_DIR, &names_size);
        for (uint32_t file = 0; file < FILES; file++, row++) {
            snprintf(name, sizeof name, "f%u", file);
            add_row(row, t.dirs[dir], name, IMGCORE_MAKE_FILE, &names_size);
            fill_file(row, file);
        }
    }
    CHECK(row == ROWS);
    t.starts[DIRS + 1] = ROWS;
    t.fragment_positions[0] = AT_FRAGMENT;
    t.fragment_words[0] = FRAGMENT | IMGCORE_WORD_RAW;
    strcpy(top + sizeof top - 7, "XXXXXX");
    CHECK(mkdtemp(top));
    t.dir_fd = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    t.spec = (imgcore_unpack_spec){
        .image_fd = make_image(), .root_fd = t.dir_fd, .jobs = 3, .block_size = BLOCK, .most_dirs = 4,
        .image_size = IMAGE_SIZE, .decoder = {IMGCORE_UNLZ4, 0, {(uintptr_t)expand}}, .rows = ROWS, .dir_count = DIRS + 1,
        .dirs = t.dirs, .starts = t.starts, .parents = t.parents, .kinds = t.kinds, .names = t.names, .name_at = t.name_at,
        .modes = t.modes, .uids = t.ids, .gids = t.ids, .mtimes_ns = t.mtimes, .sizes = t.sizes, .positions = t.positions,
        .words_at = t.words_at, .words = t.words, .word_count = WORDS, .fragments = t.fragments, .offsets = t.offsets,
        .fragment_positions = t.fragment_positions, .fragment_words = t.fragment_words, .fragment_count = 1,
        .made = t.made, .devs = t.devs, .inos = t.inos,
    };
    CHECK(t.dir_fd >= 0);
}

static void tear_down(void)
{
    char command[64];

    close(t.spec.image_fd);
    close(t.dir_fd);
    snprintf(command, sizeof command, "rm -rf %s", top);
    CHECK(system(command) == 0);
}

/* Do it all; returns how it ended. */
static imgcore_unpack_state unpack_all(void)
{
    imgcore_unpack *run = imgcore_unpack_open(&t.spec);
    imgcore_unpack_state state = {0};

    CHECK(run);
    while (!state.walked && !state.error)
        imgcore_unpack_walk(run, NULL, 0, &state);
    while (!state.finished && !state.error)
        imgcore_unpack_finish(run, 1, NULL, 0, &state);
    imgcore_unpack_close(run);
    return state;
}

static void check_file(int dir, uint32_t number, uint64_t row)
{
    static uint8_t got[4 * BLOCK];
    char name[16];
    struct stat found;
    ssize_t size;
    int fd;

    snprintf(name, sizeof name, "f%u", number);
    fd = openat(dir, name, O_RDONLY | O_NOFOLLOW);
    CHECK(fd >= 0 && fstat(fd, &found) == 0);
    size = read(fd, got, sizeof got);
    CHECK((uint64_t)size == t.sizes[row] && (found.st_mode & 07777) == 0640);
    CHECK(found.st_mtim.tv_sec * INT64_C(1000000000) + found.st_mtim.tv_nsec == t.mtimes[row]);
    for (ssize_t i = 0; i < size; i++)
        CHECK(got[i] == byte_of(number, t.sizes[row], (uint64_t)i));
    close(fd);
}

static void everything_is_right(void)
{
    for (uint32_t jobs = 1; jobs <= 4; jobs += 3) {
        size_t before;
        imgcore_unpack_state state;
        int dir;

        set_up();
        before = open_descriptors();
        t.spec.jobs = jobs;
        state = unpack_all();
        CHECK(!state.error && state.files == DIRS * FILES && !state.left && open_descriptors() == before);
        dir = dup(t.dir_fd);
        for (uint32_t i = 0; i < DIRS; i++) {
            int below = openat(dir, "d", O_RDONLY | O_DIRECTORY);

            for (uint32_t number = 0; number < FILES; number++)
                check_file(dir, number, t.starts[i] + 1 + number);
            CHECK(below >= 0);
            close(dir);
            dir = below;
        }
        close(dir);
        tear_down();
    }
}

static void a_big_file_is_shared(void)
{
    imgcore_unpack_state state;
    struct stat found;
    uint64_t row = 2;

    set_up();
    for (uint32_t i = 0; i < BIG_BLOCKS; i++)
        t.words[16 + i] = i % 7 == 6 ? 0 : 2;
    t.sizes[row] = (uint64_t)BIG_BLOCKS * BLOCK;
    t.words_at[row] = 16;
    /* The same two bytes cannot lie one behind the other: so they are, in an image that is longer. */
    for (uint32_t i = 0; i < BIG_BLOCKS; i++)
        CHECK(pwrite(t.spec.image_fd, "\xff" "b", 2, IMAGE_SIZE + 2 * i) == 2);
    t.positions[row] = IMAGE_SIZE;
    t.spec.image_size = IMAGE_SIZE + 2 * BIG_BLOCKS;
    state = unpack_all();
    CHECK(!state.error && fstatat(t.dir_fd, "f0", &found, 0) == 0 && (uint64_t)found.st_size == t.sizes[row]);
    for (uint32_t i = 0; i < BIG_BLOCKS; i++) {
        int fd = openat(t.dir_fd, "f0", O_RDONLY);
        char byte = 1;

        CHECK(pread(fd, &byte, 1, (off_t)(i + 1) * BLOCK - 1) == 1 && byte == (i % 7 == 6 ? 0 : 'b'));
        close(fd);
    }
    tear_down();
}

/* Run with what `row` is now; it has to fail with `code`, and leave no such file. */
static void refuse(uint64_t row, const char *name, uint32_t code)
{
    size_t before = open_descriptors();
    imgcore_unpack_state state = unpack_all();
    struct stat found;

    CHECK(state.error == code && state.row == row);
    CHECK(!name || fstatat(t.dir_fd, name, &found, AT_SYMLINK_NOFOLLOW) != 0);
    CHECK(open_descriptors() == before);
    tear_down();
}

static void hostile_numbers_are_refused(void)
{
    enum { BLOCKS = 2 + 2, TAIL = 2 + 1, CODED = 2 + 5 }; /* rows in the root */
    static const uint32_t bad_words[] = {BLOCK - 1, 0xffff, 1 << 25, UINT32_MAX, BLOCK + 1, (BLOCK - 1) | IMGCORE_WORD_RAW,
                                         IMGCORE_WORD_RAW};

    for (size_t i = 0; i < sizeof bad_words / sizeof *bad_words; i++) {
        set_up();
        t.words_at[BLOCKS] = 16;
        t.words[16] = t.words[17] = BLOCK | IMGCORE_WORD_RAW;
        t.words[18] = bad_words[i];
        refuse(BLOCKS, "f2", IMGCORE_UNPACK_CORRUPT);
    }
    set_up();
    t.positions[BLOCKS] = UINT64_MAX - 5;
    refuse(BLOCKS, "f2", IMGCORE_UNPACK_CORRUPT);
    set_up();
    t.positions[BLOCKS] = IMAGE_SIZE - BLOCK + 1;
    refuse(BLOCKS, "f2", IMGCORE_UNPACK_CORRUPT);
    set_up();
    t.fragments[TAIL] = 1;
    refuse(TAIL, "f1", IMGCORE_UNPACK_CORRUPT);
    set_up();
    t.offsets[TAIL] = UINT32_MAX;
    refuse(TAIL, "f1", IMGCORE_UNPACK_CORRUPT);
    set_up();
    t.offsets[TAIL] = FRAGMENT - 99;
    refuse(TAIL, "f1", IMGCORE_UNPACK_CORRUPT);
    set_up();
    t.sizes[TAIL] = BLOCK;
    refuse(TAIL, "f1", IMGCORE_UNPACK_CORRUPT);
    set_up();
    t.sizes[CODED] = BLOCK - 16; /* the block gives more than the file says */
    refuse(CODED, "f5", IMGCORE_UNPACK_CORRUPT);
    set_up();
    CHECK(ftruncate(t.spec.image_fd, AT_NOISE + BLOCK) == 0); /* the image says more than there is */
    for (uint64_t row = 1; row < ROWS; row++)
        t.kinds[row] = row == BLOCKS ? IMGCORE_MAKE_FILE : t.kinds[row] == IMGCORE_MAKE_FILE ? IMGCORE_NOT_MADE : t.kinds[row];
    refuse(BLOCKS, "f2", IMGCORE_UNPACK_READ);
}

static void hostile_names_are_refused(void)
{
    static const char *const names[] = {"..", ".", "", "a/", "/x"};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        set_up();
        strcpy(t.names + t.name_at[2], names[i]);
        refuse(2, NULL, IMGCORE_UNPACK_MAKE);
    }
    set_up();
    strcpy(t.names + t.name_at[1], "/");
    refuse(1, NULL, IMGCORE_UNPACK_MAKE_DIR);
}

static void what_is_in_the_way_stays(void)
{
    char link[8] = "";

    set_up();
    CHECK(symlinkat("/tmp", t.dir_fd, "d") == 0);
    refuse(1, NULL, IMGCORE_UNPACK_NOT_DIR);
    set_up();
    CHECK(symlinkat("/dev/null", t.dir_fd, "f3") == 0);
    CHECK(unpack_all().error == IMGCORE_UNPACK_EXISTS);
    CHECK(readlinkat(t.dir_fd, "f3", link, sizeof link) > 0);
    tear_down();
    set_up();
    CHECK(symlinkat("/dev/null", t.dir_fd, "f3") == 0);
    t.spec.replace = 1;
    CHECK(!unpack_all().error);
    check_file(t.dir_fd, 3, 2 + 3);
    tear_down();
}

static void a_run_may_end_at_any_time(void)
{
    for (int turn = 0; turn < 6; turn++) {
        imgcore_unpack_state state = {0};
        imgcore_unpack *run;
        size_t before;

        set_up();
        before = open_descriptors();
        run = imgcore_unpack_open(&t.spec);
        CHECK(run);
        for (int i = 0; i < turn / 2 && !state.walked; i++)
            imgcore_unpack_walk(run, NULL, 0, &state);
        imgcore_unpack_close(run);
        CHECK(open_descriptors() == before);
        tear_down();
    }
    imgcore_unpack_close(NULL);
}

static void the_child_of_a_fork_may_close(void)
{
    imgcore_unpack_state state;
    imgcore_unpack *run;
    int status;
    pid_t child;

    set_up();
    run = imgcore_unpack_open(&t.spec);
    CHECK(run);
    child = fork();
    if (!child) {
        imgcore_unpack_close(run);
        _exit(0);
    }
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    do
        imgcore_unpack_walk(run, NULL, 0, &state);
    while (!state.walked && !state.error);
    CHECK(!state.error && state.files == DIRS * FILES);
    imgcore_unpack_close(run);
    tear_down();
}

int main(void)
{
    void (*tests[])(void) = {everything_is_right,       a_big_file_is_shared,     hostile_numbers_are_refused,
                             hostile_names_are_refused, what_is_in_the_way_stays, a_run_may_end_at_any_time,
                             the_child_of_a_fork_may_close};

    RUN(tests);
    return 0;
}
