#include "storage/check_parts.h"

#include "core/assert.h"
#include "storage/folder.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#define PART_STORE "store"
#define PART_SLOTS "slots"
#define PART_COMMITS "commits"

/* ---- Findings -------------------------------------------------------------------------------- */

void check_report(struct check *check, enum fm_check_severity severity, const char *part,
                  const char *advice, const char *format, ...)
{
    struct fm_check_finding finding = {.severity = severity, .part = part, .advice = advice};
    char text[FM_ERROR_TEXT_MAX];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args); /* A cut text still says what. */
    va_end(args);
    finding.text = text;
    if (severity == FM_CHECK_DAMAGE)
        check->result.damage_count++;
    else
        check->result.note_count++;
    if (check->options.finding != NULL)
        check->options.finding(check->options.context, &finding);
}

enum fm_status check_failed(struct check *check, enum fm_status status, const char *part)
{
    if (status == FM_OK || status == FM_NOMEM)
        return status;
    check_report(check, FM_CHECK_DAMAGE, part, CHECK_RESTORE, "%s",
                 check->err.text[0] != '\0' ? check->err.text : fm_status_text(status));
    check->err = (struct fm_error){0};
    return FM_OK;
}

/* ---- Opening --------------------------------------------------------------------------------- */

static void close_fd(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd); /* Nothing was written through it. */
    *fd = -1;
}

/* Whose folder it is, and whether both slots are whole. */
static enum fm_status look_at_slots(struct check *check, struct fm_error *err)
{
    struct slot_value slots[SLOT_COUNT] = {0};
    bool whole[SLOT_COUNT] = {false};
    FM_AUTO(close_fd) int dir = -1;
    enum fm_status status = folder_open(check->options.dir, false, &dir, err);

    if (status != FM_OK)
        return status;
    status = slots_look(dir, slots, whole, err);
    if (status == FM_NOTFOUND && !folder_has_store(dir))
        return fm_fail(err, FM_NOTFOUND, "there is no store in %s", check->options.dir);
    for (unsigned i = 0; status == FM_OK && i < SLOT_COUNT; i++) {
        if (whole[i]) {
            check->result.mesh = slots[i].mesh;
            check->result.node = slots[i].node;
            continue;
        }
        check_report(check, FM_CHECK_DAMAGE, PART_SLOTS,
                     "nothing if the other one is whole: the next commit writes this one anew",
                     "slot %u of 2 fails its checksum", i + 1);
    }
    return status == FM_NOMEM ? status : FM_OK; /* The rest is for the opening to say. */
}

enum fm_status check_open(struct check *check, const struct fm_check_options *options,
                          struct fm_error *err)
{
    struct fm_store_options open = {.dir = options->dir, .read_only = true};
    enum fm_status status;

    *check = (struct check){.options = *options};
    status = look_at_slots(check, err);
    if (status != FM_OK)
        return status;
    open.mesh = options->mesh != NULL ? *options->mesh : check->result.mesh;
    open.node = options->node != NULL ? *options->node : check->result.node;
    status = fm_store_open(&open, &check->store, &check->err);
    if (status == FM_CORRUPT || status == FM_IO)
        return check_failed(check, status, PART_STORE);
    if (status == FM_OK)
        return FM_OK;
    return fm_fail(err, status, "%s", check->err.text);
}

void check_close(struct check *check)
{
    fm_store_close(check->store);
    check->store = NULL;
}

/* ---- Every value ----------------------------------------------------------------------------- */

/* Values that check_table() reads are left to it, as are kinds of keys that are not known here. */
static bool is_sealed(enum rocks_family family, struct fm_span key)
{
    if (family == ROCKS_META)
        return key.len > 0 && key.data[0] >= KEYS_META_FORMAT && key.data[0] <= KEYS_META_STAGED;
    if (family == ROCKS_SEGMENTS)
        return key.len > 0 &&
               (key.data[0] == KEYS_SEGMENT_RECORD || key.data[0] == KEYS_SEGMENT_WINDOW ||
                key.data[0] == KEYS_SEGMENT_TREE || key.data[0] == KEYS_SEGMENT_SPANS ||
                key.data[0] == KEYS_SEGMENT_TILES);
    return family != ROCKS_KEYS;
}

static void check_value(struct check *check, enum rocks_family family, const char *name,
                        struct fm_span key, struct fm_span value)
{
    char hex[2 * 24 + 1];
    struct index_value entry;
    struct fm_span content;
    bool is_good = true;

    if (family == ROCKS_KEYS)
        is_good = index_decode(value, &entry) == FM_OK;
    else if (is_sealed(family, key))
        is_good = value_open(value, &content) == FM_OK;
    if (is_good)
        return;
    fm_hex(key.data, key.len < 24 ? key.len : 24, hex);
    check_report(check, FM_CHECK_DAMAGE, PART_STORE, CHECK_RESTORE,
                 "the value of key %s of `%s` fails its checksum", hex, name);
}

static enum fm_status check_family(struct check *check, enum rocks_family family, const char *name)
{
    FM_AUTO(rocks_iterator_freep) struct rocks_iterator *iterator = NULL;
    enum fm_status status = rocks_iterator_new(check->store->rocks, NULL, family, fm_span("", 0),
                                               fm_span("", 0), &iterator);

    while (status == FM_OK) {
        struct fm_span key, value;

        status = rocks_iterator_next(iterator, &key, &value, &check->err);
        if (status == FM_OK)
            check_value(check, family, name, key, value);
    }
    return status == FM_NOTFOUND ? FM_OK : check_failed(check, status, PART_STORE);
}

static enum fm_status check_families(struct check *check)
{
    enum fm_status status = FM_OK;

#define X(name, text)                                                                              \
    if (status == FM_OK)                                                                           \
        status = check_family(check, ROCKS_##name, text);
    ROCKS_FAMILY_MAP(X)
#undef X
    return status;
}

/* ---- The chain of commits -------------------------------------------------------------------- */

static enum fm_status read_commit(struct check *check, uint64_t number, struct fm_hash *out)
{
    FM_AUTO(fm_buf_free) struct fm_buf value = FM_BUF_INIT(0);
    struct key key = key_commit(number);
    enum fm_status status =
        rocks_get(check->store->rocks, NULL, ROCKS_META, key_span(&key), &value, NULL);

    return status == FM_OK ? commit_decode(fm_buf_span(&value), out) : status;
}

/* A slot that is whole speaks of this history, and not of more than there is. */
static enum fm_status check_slot(struct check *check, unsigned index, const struct slot_value *slot)
{
    const struct tip_value *tip = &check->store->tip;
    struct fm_hash digest = {0};
    enum fm_status status;

    if (slot->number == 0 || slot->number + KEYS_COMMITS_KEPT <= tip->number)
        return FM_OK;
    status = slot->number > tip->number ? FM_NOTFOUND : read_commit(check, slot->number, &digest);
    if (status == FM_NOMEM)
        return status;
    if (status != FM_OK || !fm_hash_equal(&digest, &slot->digest))
        check_report(check, FM_CHECK_DAMAGE, PART_SLOTS, CHECK_RESTORE,
                     "slot %u speaks of another commit %llu than the store has", index + 1,
                     (unsigned long long)slot->number);
    return FM_OK;
}

static enum fm_status check_commits(struct check *check)
{
    const struct tip_value *tip = &check->store->tip;
    struct slot_value slots[SLOT_COUNT] = {0};
    bool whole[SLOT_COUNT] = {false};
    uint64_t first = tip->number > KEYS_COMMITS_KEPT ? tip->number - KEYS_COMMITS_KEPT + 1 : 1;
    enum fm_status status = FM_OK;
    struct fm_hash digest = {0};

    for (uint64_t number = first; number <= tip->number; number++) {
        status = read_commit(check, number, &digest);
        if (status == FM_NOMEM)
            return status;
        if (status != FM_OK)
            check_report(check, FM_CHECK_DAMAGE, PART_COMMITS, CHECK_RESTORE,
                         "the digest of commit %llu is missing or damaged",
                         (unsigned long long)number);
    }
    if (status == FM_OK && tip->number > 0 && !fm_hash_equal(&digest, &tip->digest))
        check_report(check, FM_CHECK_DAMAGE, PART_COMMITS, CHECK_RESTORE,
                     "the last commit, %llu, has another digest than is kept for it",
                     (unsigned long long)tip->number);
    status = slots_look(check->store->dir_fd, slots, whole, &check->err);
    for (unsigned i = 0; status == FM_OK && i < SLOT_COUNT; i++)
        status = whole[i] ? check_slot(check, i, &slots[i]) : FM_OK;
    return check_failed(check, status, PART_SLOTS);
}

/* ---- All of it ------------------------------------------------------------------------------- */

enum fm_status check_content(struct check *check, struct fm_error *err)
{
    enum fm_status status;

    if (check->store == NULL)
        return FM_OK; /* Said already. */
    check->result.mesh = check->store->mesh;
    check->result.node = check->store->node;
    check->result.commit = check->store->tip.number;
    check->result.digest = check->store->tip.digest;
    check->result.table_count = check->store->table_count;
    status = check_families(check);
    if (status == FM_OK)
        status = check_commits(check);
    for (uint32_t i = 0; status == FM_OK && i < check->store->table_count; i++)
        status = check_table(check, check->store->tables[i]->state, err);
    return status;
}

enum fm_status fm_store_check(const struct fm_check_options *options, struct fm_check_result *out,
                              struct fm_error *err)
{
    struct check check = {0};
    enum fm_status status = check_open(&check, options, err);

    if (status == FM_OK)
        status = check_content(&check, err);
    check_close(&check);
    if (status == FM_OK)
        *out = check.result;
    return status;
}
