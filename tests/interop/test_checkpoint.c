/* Heads are C2SP checkpoints: a program that shares no code with Folkmoot (verify_note.js, on
 * Node.js' own crypto) accepts them, and refuses changed ones. */
#include "core/hash.h"
#include "core/keys.h"
#include "core/note.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define LEAVES 7u

struct fixture {
    char path[64];
    char key[65];
    char leaves[LEAVES][17];
    struct fm_buf note;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct fm_mesh_id mesh = {{1, 2, 3}};
    struct fm_head head = {.size = LEAVES, .time = 1700000000000000};
    struct fm_key *key = NULL;
    struct fm_error err;
    struct fm_tree tree;

    assert_non_null(f);
    assert_int_equal(fm_core_init(&err), FM_OK);
    assert_int_equal(fm_key_generate(FM_KEY_SIGN, &key), FM_OK);
    fm_hex(fm_key_public(key)->bytes, 32, f->key);
    fm_tree_init(&tree);
    for (uint32_t i = 0; i < LEAVES; i++) {
        uint64_t leaf = 0x0123456789abcdefu * (i + 1);
        struct fm_hash hash;
        fm_hex(&leaf, sizeof leaf, f->leaves[i]);
        fm_leaf_hash(&hash, fm_span(&leaf, sizeof leaf));
        fm_tree_append(&tree, &hash);
    }
    fm_tree_root(&tree, &head.root);
    fm_head_origin(&mesh, "flights", "delays", 1, head.origin);
    assert_int_equal(fm_head_seal(&head, key, &f->note), FM_OK);
    fm_key_free(key);
    (void)snprintf(f->path, sizeof f->path, "/tmp/folkmoot-note-%ld", (long)getpid());
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    (void)unlink(f->path); /* It may never have been written. */
    fm_buf_free(&f->note);
    free(f);
    return 0;
}

/* Exit status of the other program for the note as it stands. */
static int verdict(struct fixture *f)
{
    char script[4096];
    char *argv[4 + LEAVES + 1] = {(char *)(uintptr_t) "node", script, f->path, f->key};
    FILE *file = fopen(f->path, "w");
    int status = -1;

    assert_non_null(file);
    assert_int_equal(fwrite(f->note.data, 1, f->note.len, file), f->note.len);
    assert_int_equal(fclose(file), 0);
    (void)snprintf(script, sizeof script, "%s/tests/interop/verify_note.js", FM_SOURCE_DIR);
    for (uint32_t i = 0; i < LEAVES; i++)
        argv[4 + i] = f->leaves[i];
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        if (freopen("/dev/null", "w", stderr) == NULL)
            _exit(126);
        (void)execvp("node", argv);
        _exit(127);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_not_equal(WEXITSTATUS(status), 127); /* Node.js is there: npm needs it. */
    return WEXITSTATUS(status);
}

static void another_program_accepts_a_head(void **state)
{
    assert_int_equal(verdict(*state), 0);
}

static void another_program_refuses_a_changed_head(void **state)
{
    struct fixture *f = *state;
    const size_t places[] = {12, f->note.len / 2, f->note.len - 10};

    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        f->note.data[places[i]] ^= 1;
        assert_int_not_equal(verdict(f), 0);
        f->note.data[places[i]] ^= 1;
    }
    f->leaves[3][0] = f->leaves[3][0] == '1' ? '2' : '1';
    assert_int_not_equal(verdict(f), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(another_program_accepts_a_head, setup, teardown),
        cmocka_unit_test_setup_teardown(another_program_refuses_a_changed_head, setup, teardown),
    };
    return cmocka_run_group_tests_name("checkpoint", tests, NULL, NULL);
}
