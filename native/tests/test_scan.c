/*
 * test_scan.c: a directory as columns: order, columns, what is left out, what cannot be read, and stopping in the middle.
 */
#define _GNU_SOURCE

#include "check.h"
#include "scan.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char top[64] = "/tmp/imgcore-scan-XXXXXX";

static const char *in_top(const char *name)
{
    static char path[4][256];
    static int turn;
    char *place = path[turn++ % 4];

    snprintf(place, sizeof path[0], "%s/%s", top, name);
    return place;
}

static void make_dir(const char *name)
{
    CHECK(mkdir(in_top(name), 0755) == 0);
}

static void make_file(const char *name, const char *content)
{
    FILE *stream = fopen(in_top(name), "w");

    CHECK(stream && fputs(content, stream) >= 0 && fclose(stream) == 0);
}

static imgcore_scanned run(imgcore_scan *scan)
{
    imgcore_scanned found;

    CHECK(scan);
    do
        imgcore_scan_wait(scan, &found);
    while (!found.done && !found.error);
    return found;
}

/* The names of all rows, one behind the other. */
static void require_names(const imgcore_scanned *found, const char *expected)
{
    char names[512] = "";
    const char *at = found->names;

    for (uint64_t row = 0; row < found->rows; row++, at += strlen(at) + 1) {
        strcat(names, at);
        strcat(names, "|");
    }
    CHECK(at == found->names + found->names_size);
    CHECK(strcmp(names, expected) == 0);
}

static void rows_are_in_order(void)
{
    const char *const expected = "|a|b|z|link|sub|x|inner|y|f|";

    for (uint32_t jobs = 1; jobs < 5; jobs++) {
        imgcore_scan *scan = imgcore_scan_open(top, jobs, 1, NULL, 0);
        imgcore_scanned found = run(scan);

        CHECK(found.done && !found.error && found.rows == 10 && found.dir_count == 5);
        require_names(&found, expected);
        /* The walk: top, a, a/sub (with x), b (with y, inner), b/inner. */
        CHECK(found.dirs[0] == 0 && found.dirs[1] == 1 && found.dirs[2] == 5 && found.dirs[3] == 2 && found.dirs[4] == 7);
        CHECK(found.children[0] == 3 && found.children[1] == 2 && found.children[2] == 1 && found.children[3] == 2);
        CHECK(found.children[4] == 1);
        CHECK(S_ISDIR(found.mode[0]) && S_ISREG(found.mode[3]) && S_ISLNK(found.mode[4]) && S_ISREG(found.mode[9]));
        CHECK(found.size[3] == 5 && found.nlink[3] == 2 && found.ino[3] == found.ino[6]);
        CHECK(found.targets_size == 8 && strcmp(found.targets, "nowhere") == 0);
        imgcore_scan_close(scan);
    }
}

static void names_are_left_out(void)
{
    struct stat is;
    imgcore_scan *scan;
    imgcore_scanned found;

    CHECK(stat(in_top("b"), &is) == 0);
    imgcore_skip skip[] = {{(uint64_t)is.st_dev, (uint64_t)is.st_ino, "inner"}, {(uint64_t)is.st_dev, 1, "a"}};

    scan = imgcore_scan_open(top, 2, 0, skip, 2);
    found = run(scan);
    require_names(&found, "|a|b|z|link|sub|x|y|");
    imgcore_scan_close(scan);
}

static void problems_are_named(void)
{
    char longest[4200];
    imgcore_scan *scan = imgcore_scan_open(in_top("none"), 2, 1, NULL, 0);
    imgcore_scanned found = run(scan);

    CHECK(found.error == IMGCORE_SCAN_DIRECTORY && found.system_error == ENOENT && strcmp(found.path, in_top("none")) == 0);
    imgcore_scan_close(scan);
    scan = imgcore_scan_open(in_top("z"), 2, 1, NULL, 0);
    found = run(scan);
    CHECK(found.error == IMGCORE_SCAN_DIRECTORY && found.system_error == ENOTDIR);
    imgcore_scan_close(scan);
    snprintf(longest, sizeof longest, "%s%*s", top, 4010, "");
    for (char *at = longest + strlen(top); *at; at++)
        *at = '/';
    scan = imgcore_scan_open(longest, 2, 1, NULL, 0);
    found = run(scan);
    CHECK(found.error == IMGCORE_SCAN_LONG);
    imgcore_scan_close(scan);
}

/* Paths that grow beyond what a system call takes are told, not cut. */
static void deep_paths_are_told(void)
{
    char name[201];
    int at = open(top, O_RDONLY | O_DIRECTORY), next;
    imgcore_scan *scan;
    imgcore_scanned found;

    memset(name, 'd', 200);
    name[200] = 0;
    for (int i = 0; i < 21; i++) {
        CHECK(mkdirat(at, name, 0755) == 0);
        next = openat(at, name, O_RDONLY | O_DIRECTORY);
        CHECK(next >= 0);
        close(at);
        at = next;
    }
    close(at);
    scan = imgcore_scan_open(top, 2, 1, NULL, 0);
    found = run(scan);
    CHECK(found.error == IMGCORE_SCAN_LONG && found.path && strlen(found.path) > 3800);
    imgcore_scan_close(scan);
}

static void closing_early_is_fine(void)
{
    for (int i = 0; i < 50; i++)
        imgcore_scan_close(imgcore_scan_open("/usr/include", 4, 1, NULL, 0));
    imgcore_scan_close(NULL);
}

int main(void)
{
    void (*const tests[])(void) = {
        rows_are_in_order, names_are_left_out, problems_are_named, closing_early_is_fine, deep_paths_are_told};
    char command[128];

    CHECK(mkdtemp(top));
    make_dir("a");
    make_dir("b");
    make_file("z", "hello");
    CHECK(symlink("nowhere", in_top("a/link")) == 0);
    make_dir("a/sub");
    CHECK(link(in_top("z"), in_top("a/sub/x")) == 0);
    make_dir("b/inner");
    make_file("b/inner/f", "");
    make_file("b/y", "y");
    RUN(tests);
    snprintf(command, sizeof command, "rm -rf %s", top);
    CHECK(system(command) == 0);
    return 0;
}
