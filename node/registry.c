#include "node/registry.h"

#include "core/assert.h"
#include "core/codec.h"

#include <pthread.h>
#include <stdio.h>

#define ENTRIES_MAX 65536u
/* Of one kind: a node can sign any number of records of its domains. */
#define ENTRIES_PER_WRITER_MAX 512u

struct entry {
    struct gossip_record record;
    struct fm_buf body;
    /* NODE_CERT */
    struct fm_node_cert *cert;
    /* CONTRACT; spans in `contract` point into `body`. */
    struct fm_contract *contract;
    struct fm_schema **schemas;
    /* STATISTICS */
    struct fm_statistics *statistics;
};

struct fm_registry {
    const struct fm_identity *self;
    struct fm_store *store;
    pthread_mutex_t lock;
    uint32_t count;
    uint32_t cap;
    struct fm_registry_version version;
    struct entry **entries; /* In order of arrival: stable. */
};

static void entry_free(struct entry *entry)
{
    if (entry == NULL)
        return;
    for (uint32_t i = 0; entry->schemas != NULL && i < entry->contract->table_count; i++)
        fm_schema_free(entry->schemas[i]);
    free(entry->schemas);
    free(entry->contract);
    if (entry->statistics != NULL)
        fm_statistics_deinit(entry->statistics);
    free(entry->statistics);
    free(entry->cert);
    fm_buf_free(&entry->body);
    free(entry);
}
FM_DEFINE_FREEP(entry_freep, struct entry, entry_free)

static void lock(struct fm_registry *registry)
{
    fm_assert(pthread_mutex_lock(&registry->lock) == 0);
}

static void unlock_p(struct fm_registry **registry)
{
    fm_assert(pthread_mutex_unlock(&(*registry)->lock) == 0);
}

#define LOCKED(registry)                                                                           \
    lock(registry);                                                                                \
    FM_AUTO(unlock_p) __attribute__((unused)) struct fm_registry *locked_ = (registry)

static int64_t now_seconds(void)
{
    return fm_seconds(fm_now_us());
}

static struct entry *find(const struct fm_registry *registry, const struct gossip_record_key *key)
{
    for (uint32_t i = 0; i < registry->count; i++) {
        struct entry *entry = registry->entries[i];
        if (entry->record.key.kind == key->kind &&
            memcmp(&entry->record.key.writer, &key->writer, sizeof key->writer) == 0 &&
            memcmp(entry->record.key.name, key->name, sizeof key->name) == 0)
            return entry;
    }
    return NULL;
}

static struct entry *find_cert(const struct fm_registry *registry, const struct fm_node_id *node)
{
    struct gossip_record_key key = {.kind = GOSSIP_RECORD_NODE_CERT, .writer = *node};
    struct entry *entry = find(registry, &key);
    if (entry == NULL || entry->cert->not_after < now_seconds())
        return NULL;
    return entry;
}

static void name_hash(const char *domain, const char *name, struct fm_hash *out)
{
    struct fm_span parts[] = {fm_span_str(domain), fm_span("\0", 1), fm_span_str(name)};

    fm_sha256(out, parts, 3);
}

/* ---- Parsing bodies ------------------------------------------------------------------------ */

static enum fm_status parse_cert(struct fm_registry *registry, struct entry *entry,
                                 struct fm_error *err)
{
    entry->cert = calloc(1, sizeof *entry->cert);
    if (entry->cert == NULL)
        return FM_NOMEM;
    enum fm_status status = fm_node_cert_open(&registry->self->charter, fm_buf_span(&entry->body),
                                              now_seconds(), entry->cert, err);
    if (status != FM_OK)
        return status;
    entry->record.key.writer = entry->cert->node;
    entry->record.version = (uint64_t)entry->cert->not_before;
    return FM_OK;
}

/* Which certified node signed the contract; its key is inside the envelope. */
static const struct fm_node_cert *signer_of(struct fm_registry *registry,
                                            const struct fm_envelope *envelope)
{
    for (uint32_t i = 0; i < registry->count; i++) {
        struct fm_node_cert *cert = registry->entries[i]->cert;
        if (cert == NULL || cert->not_after < now_seconds())
            continue;
        if (fm_public_key_equal(&cert->sign_key, &envelope->signatures[0].key))
            return cert;
    }
    if (fm_public_key_equal(&registry->self->node.sign_key, &envelope->signatures[0].key))
        return &registry->self->node;
    return NULL;
}

static enum fm_status parse_schemas(struct entry *entry, struct fm_error *err)
{
    struct fm_contract *contract = entry->contract;

    entry->schemas = calloc(contract->table_count, sizeof *entry->schemas);
    if (entry->schemas == NULL)
        return FM_NOMEM;
    for (uint32_t i = 0; i < contract->table_count; i++) {
        enum fm_status status = fm_schema_decode(contract->schemas[i], &entry->schemas[i], err);
        if (status != FM_OK)
            return status;
        if (strcmp(entry->schemas[i]->domain, contract->domain) != 0)
            return fm_fail(err, FM_FORGED, "contract of %s carries a table of %s", contract->domain,
                           entry->schemas[i]->domain);
    }
    return FM_OK;
}

/* The signature and the node that made it; what it may speak of is looked at afterwards. */
static enum fm_status open_signed(struct fm_registry *registry, struct entry *entry,
                                  enum fm_envelope_type type, struct fm_envelope *envelope,
                                  const struct fm_node_cert **signer, struct fm_error *err)
{
    const char *text = fm_envelope_type_text(type);
    enum fm_status status = fm_envelope_open(fm_buf_span(&entry->body), envelope);

    if (status != FM_OK)
        return fm_fail(err, status, "%s record does not decode", text);
    *signer = signer_of(registry, envelope);
    if (*signer == NULL)
        return fm_fail(err, FM_NOTFOUND, "no certificate of the %s's signer is known", text);
    status =
        fm_envelope_verify(envelope, type, &registry->self->charter.mesh, &(*signer)->sign_key);
    return status == FM_OK ? FM_OK
                           : fm_fail(err, status, "%s record of node %s", text, (*signer)->name);
}

/* The domain's own node speaks, and the record is named by (domain, name). */
static enum fm_status set_key(struct entry *entry, const struct fm_node_cert *signer,
                              const char *domain, uint32_t epoch, const char *name,
                              struct fm_error *err)
{
    const struct fm_domain_grant *grant = fm_node_cert_domain(signer, domain);
    struct fm_hash hash;

    if (grant == NULL || grant->epoch != epoch)
        return fm_fail(err, FM_FORGED, "node %s does not own domain %s", signer->name, domain);
    name_hash(domain, name, &hash);
    memcpy(entry->record.key.name, hash.bytes, sizeof entry->record.key.name);
    entry->record.key.writer = signer->node;
    return FM_OK;
}

static enum fm_status parse_contract(struct fm_registry *registry, struct entry *entry,
                                     struct fm_error *err)
{
    const struct fm_node_cert *signer = NULL;
    struct fm_envelope envelope;

    entry->contract = calloc(1, sizeof *entry->contract);
    if (entry->contract == NULL)
        return FM_NOMEM;
    enum fm_status status = open_signed(registry, entry, FM_ENV_CONTRACT, &envelope, &signer, err);
    if (status != FM_OK)
        return status;
    status = fm_contract_decode(envelope.body, entry->contract);
    if (status != FM_OK)
        return fm_fail(err, status, "contract record of node %s", signer->name);
    status = set_key(entry, signer, entry->contract->domain, entry->contract->epoch,
                     entry->contract->product, err);
    if (status != FM_OK)
        return status;
    entry->record.version = entry->contract->version;
    return parse_schemas(entry, err);
}

static enum fm_status parse_statistics(struct fm_registry *registry, struct entry *entry,
                                       struct fm_error *err)
{
    const struct fm_node_cert *signer = NULL;
    struct fm_envelope envelope;

    entry->statistics = calloc(1, sizeof *entry->statistics);
    if (entry->statistics == NULL)
        return FM_NOMEM;
    enum fm_status status =
        open_signed(registry, entry, FM_ENV_STATISTICS, &envelope, &signer, err);
    if (status != FM_OK)
        return status;
    status = fm_statistics_decode(envelope.body, entry->statistics);
    if (status != FM_OK)
        return fm_fail(err, status, "statistics record of node %s", signer->name);
    entry->record.version = entry->statistics->version;
    return set_key(entry, signer, entry->statistics->domain, entry->statistics->epoch,
                   entry->statistics->table, err);
}

static enum fm_status parse(struct fm_registry *registry, enum gossip_record_kind kind,
                            struct fm_span body, struct entry **out, struct fm_error *err)
{
    FM_AUTO(entry_freep) struct entry *entry = calloc(1, sizeof *entry);
    enum fm_status status;

    if (entry == NULL)
        return fm_fail(err, FM_NOMEM, "keep a record");
    entry->body.max = FM_RECORD_BYTES_MAX;
    fm_buf_put_span(&entry->body, body);
    if (fm_buf_status(&entry->body) != FM_OK)
        return fm_fail(err, fm_buf_status(&entry->body), "keep a record");
    entry->record.key.kind = kind;
    entry->record.bytes = (uint32_t)body.len;
    fm_sha256_one(&entry->record.hash, body);
    if (kind == GOSSIP_RECORD_NODE_CERT)
        status = parse_cert(registry, entry, err);
    else if (kind == GOSSIP_RECORD_CONTRACT)
        status = parse_contract(registry, entry, err);
    else if (kind == GOSSIP_RECORD_STATISTICS)
        status = parse_statistics(registry, entry, err);
    else
        status = fm_fail(err, FM_UNSUPPORTED, "record kind %d", (int)kind);
    if (status == FM_OK)
        *out = FM_TAKE(entry);
    return status;
}

const char *fm_registry_kind_text(enum gossip_record_kind kind)
{
    switch (kind) {
#define X(name, number, text)                                                                      \
    case GOSSIP_RECORD_##name:                                                                     \
        return text;
        GOSSIP_RECORD_MAP(X)
#undef X
    }
    return "unknown";
}

/* ---- Keeping --------------------------------------------------------------------------------- */

static bool has_room(const struct fm_registry *registry, const struct gossip_record_key *key)
{
    uint32_t same = 0;

    for (uint32_t i = 0; i < registry->count; i++)
        if (registry->entries[i]->record.key.kind == key->kind &&
            memcmp(&registry->entries[i]->record.key.writer, &key->writer, sizeof key->writer) == 0)
            same++;
    return find(registry, key) != NULL ||
           (registry->count < ENTRIES_MAX && same < ENTRIES_PER_WRITER_MAX);
}

static enum fm_status insert(struct fm_registry *registry, struct entry *entry)
{
    struct entry *old = find(registry, &entry->record.key);

    if (entry->record.key.kind == GOSSIP_RECORD_STATISTICS)
        registry->version.statistics++;
    else
        registry->version.catalog++;
    if (old != NULL) {
        for (uint32_t i = 0; i < registry->count; i++)
            if (registry->entries[i] == old)
                registry->entries[i] = entry;
        entry_free(old);
        return FM_OK;
    }
    if (registry->count == registry->cap) {
        uint32_t cap = registry->cap == 0 ? 64 : registry->cap * 2;
        struct entry **entries = realloc(registry->entries, cap * sizeof *entries);
        if (entries == NULL)
            return FM_NOMEM;
        registry->entries = entries;
        registry->cap = cap;
    }
    registry->entries[registry->count++] = entry;
    return FM_OK;
}

/* Store key: "catalog/" kind writer name. */
static void store_key(const struct gossip_record_key *key, struct fm_buf *out)
{
    fm_buf_put_str(out, "catalog/");
    fm_buf_put_u8(out, (uint8_t)key->kind);
    fm_buf_put(out, &key->writer, sizeof key->writer);
    fm_buf_put(out, key->name, sizeof key->name);
}

enum fm_status fm_registry_put(struct fm_registry *registry, enum gossip_record_kind kind,
                               struct fm_span body, struct gossip_record *out, bool *is_new,
                               struct fm_error *err)
{
    LOCKED(registry);
    FM_AUTO(entry_freep) struct entry *entry = NULL;
    FM_AUTO(fm_buf_free) struct fm_buf key = FM_BUF_INIT(256);

    enum fm_status status = parse(registry, kind, body, &entry, err);
    if (status != FM_OK)
        return status;
    *is_new = false;
    *out = entry->record;
    struct entry *old = find(registry, &entry->record.key);
    if (old != NULL && old->record.version > entry->record.version) {
        *out = old->record;
        return FM_OK;
    }
    if (old != NULL && old->record.version == entry->record.version) {
        if (fm_hash_equal(&old->record.hash, &entry->record.hash))
            return FM_OK;
        return fm_fail(err, FM_CONFLICT, "version %llu of a %s record exists with other content",
                       (unsigned long long)entry->record.version, fm_registry_kind_text(kind));
    }
    if (!has_room(registry, &entry->record.key))
        return fm_fail(err, FM_LIMIT, "too many records of one node, or in all");
    store_key(&entry->record.key, &key);
    status = fm_buf_status(&key);
    if (status == FM_OK)
        status = fm_store_put_record(registry->store, fm_buf_span(&key), body, err);
    if (status == FM_OK)
        status = insert(registry, entry);
    if (status != FM_OK)
        return fm_wrap(err, status, "keep a record");
    *is_new = true;
    (void)FM_TAKE(entry);
    return FM_OK;
}

enum fm_status fm_registry_body(struct fm_registry *registry, const struct gossip_record_key *key,
                                struct fm_buf *out)
{
    LOCKED(registry);
    const struct entry *entry = find(registry, key);
    if (entry == NULL)
        return FM_NOTFOUND;
    fm_buf_put_span(out, fm_buf_span(&entry->body));
    return fm_buf_status(out);
}

struct fm_registry_version fm_registry_version(struct fm_registry *registry)
{
    LOCKED(registry);
    return registry->version;
}

enum fm_status fm_registry_each(struct fm_registry *registry,
                                enum fm_status (*each)(void *context,
                                                       const struct gossip_record *record),
                                void *context)
{
    LOCKED(registry);
    for (uint32_t i = 0; i < registry->count; i++) {
        enum fm_status status = each(context, &registry->entries[i]->record);
        if (status != FM_OK)
            return status;
    }
    return FM_OK;
}

/* ---- Starting -------------------------------------------------------------------------------- */

static enum fm_status load_one(void *context, struct fm_span key, struct fm_span value)
{
    struct fm_registry *registry = context;
    struct entry *entry = NULL;

    if (key.len < 9)
        return FM_OK;
    /* What does not verify any more is left out; the mesh will bring what is valid. */
    if (parse(registry, (enum gossip_record_kind)key.data[8], value, &entry, NULL) != FM_OK)
        return FM_OK;
    enum fm_status status = FM_OK;
    if (has_room(registry, &entry->record.key))
        status = insert(registry, entry);
    else
        entry_free(entry);
    if (status != FM_OK)
        entry_free(entry);
    return status;
}

enum fm_status fm_registry_new(const struct fm_identity *self, struct fm_store *store,
                               struct fm_registry **out, struct fm_error *err)
{
    FM_AUTO(fm_registry_freep) struct fm_registry *registry = calloc(1, sizeof *registry);
    struct gossip_record own;
    bool is_new;

    if (registry == NULL)
        return fm_fail(err, FM_NOMEM, "open the registry");
    if (pthread_mutex_init(&registry->lock, NULL) != 0) {
        free(FM_TAKE(registry));
        return fm_fail(err, FM_NOMEM, "open the registry");
    }
    registry->self = self;
    registry->store = store;
    /* The kind is part of the key, so certificates come before the contracts they sign. */
    enum fm_status status =
        fm_store_each_record(store, fm_span_str("catalog/"), load_one, registry);
    if (status != FM_OK)
        return fm_fail(err, status, "load the catalog: %s", fm_status_text(status));
    status = fm_registry_put(registry, GOSSIP_RECORD_NODE_CERT, fm_buf_span(&self->cert_bytes),
                             &own, &is_new, err);
    if (status == FM_OK)
        *out = FM_TAKE(registry);
    return status;
}

void fm_registry_free(struct fm_registry *registry)
{
    if (registry == NULL)
        return;
    for (uint32_t i = 0; i < registry->count; i++)
        entry_free(registry->entries[i]);
    free(registry->entries);
    (void)pthread_mutex_destroy(&registry->lock);
    free(registry);
}

/* ---- Looking up ------------------------------------------------------------------------------ */

enum fm_status fm_registry_cert(struct fm_registry *registry, const struct fm_node_id *node,
                                struct fm_node_cert *out, struct fm_buf *envelope)
{
    LOCKED(registry);
    const struct entry *entry = find_cert(registry, node);
    if (entry == NULL)
        return FM_NOTFOUND;
    *out = *entry->cert;
    if (envelope == NULL)
        return FM_OK;
    fm_buf_put_span(envelope, fm_buf_span(&entry->body));
    return fm_buf_status(envelope);
}

enum fm_status fm_registry_cert_by_key(struct fm_registry *registry,
                                       const struct fm_public_key *key, struct fm_node_cert *out)
{
    LOCKED(registry);
    for (uint32_t i = 0; i < registry->count; i++) {
        const struct fm_node_cert *cert = registry->entries[i]->cert;
        if (cert == NULL || cert->not_after < now_seconds() ||
            !fm_public_key_equal(&cert->sign_key, key))
            continue;
        *out = *cert;
        return FM_OK;
    }
    return FM_NOTFOUND;
}

enum fm_status fm_registry_owner(struct fm_registry *registry, const char *domain,
                                 struct fm_node_id *out)
{
    LOCKED(registry);
    uint32_t best = 0;

    for (uint32_t i = 0; i < registry->count; i++) {
        const struct fm_node_cert *cert = registry->entries[i]->cert;
        if (cert == NULL || cert->not_after < now_seconds())
            continue;
        const struct fm_domain_grant *grant = fm_node_cert_domain(cert, domain);
        if (grant == NULL || grant->epoch <= best)
            continue;
        best = grant->epoch;
        *out = cert->node;
    }
    return best == 0 ? FM_NOTFOUND : FM_OK;
}

/* The entry of the contract that has this table or product; of several (an old epoch's node), the
 * one of the highest epoch. */
static const struct entry *find_contract(const struct fm_registry *registry, const char *domain,
                                         const char *name, uint32_t *table)
{
    const struct entry *best = NULL;

    for (uint32_t i = 0; i < registry->count; i++) {
        const struct entry *entry = registry->entries[i];
        if (entry->contract == NULL || strcmp(entry->contract->domain, domain) != 0)
            continue;
        if (best != NULL && best->contract->epoch >= entry->contract->epoch)
            continue;
        uint32_t at = UINT32_MAX;
        for (uint32_t t = 0; t < entry->contract->table_count; t++)
            if (strcmp(entry->schemas[t]->table, name) == 0)
                at = t;
        bool is_product =
            table == NULL && (name[0] == '\0' || strcmp(entry->contract->product, name) == 0);
        if (at == UINT32_MAX && !is_product)
            continue;
        best = entry;
        if (table != NULL)
            *table = at;
    }
    return best;
}

enum fm_status fm_registry_table(struct fm_registry *registry, const char *domain,
                                 const char *table, struct fm_schema **schema,
                                 struct fm_node_id *owner)
{
    LOCKED(registry);
    char base[FM_NAME_MAX + 1];
    bool is_facts = fm_facts_name(table, base);
    uint32_t at = 0;
    const struct entry *entry = find_contract(registry, domain, is_facts ? base : table, &at);

    if (entry == NULL)
        return FM_NOTFOUND;
    *owner = entry->record.key.writer;
    if (!is_facts)
        return fm_schema_copy(entry->schemas[at], schema);
    enum fm_status status = fm_schema_facts(entry->schemas[at], schema, NULL);
    return status == FM_UNSUPPORTED ? FM_NOTFOUND : status;
}

enum fm_status fm_registry_statistics(struct fm_registry *registry, const char *domain,
                                      const char *table, const struct fm_node_id *owner,
                                      struct fm_statistics *out)
{
    LOCKED(registry);
    struct gossip_record_key key = {.kind = GOSSIP_RECORD_STATISTICS, .writer = *owner};
    struct fm_hash name;

    name_hash(domain, table, &name);
    memcpy(key.name, name.bytes, sizeof key.name);
    const struct entry *entry = find(registry, &key);
    return entry == NULL ? FM_NOTFOUND : fm_statistics_copy(entry->statistics, out);
}

enum fm_status fm_registry_contract(struct fm_registry *registry, const char *domain,
                                    const char *name, struct fm_buf *envelope,
                                    struct fm_node_id *owner)
{
    LOCKED(registry);
    const struct entry *entry = find_contract(registry, domain, name, NULL);

    if (entry == NULL)
        return FM_NOTFOUND;
    *owner = entry->record.key.writer;
    fm_buf_put_span(envelope, fm_buf_span(&entry->body));
    return fm_buf_status(envelope);
}

enum fm_status fm_registry_products(struct fm_registry *registry, struct fm_buf *out)
{
    LOCKED(registry);
    struct fm_product_list list = {0};

    list.items = calloc(registry->count + 1, sizeof *list.items);
    if (list.items == NULL)
        return FM_NOMEM;
    for (uint32_t i = 0; i < registry->count && list.count < FM_PRODUCTS_LISTED_MAX; i++) {
        const struct entry *entry = registry->entries[i];
        if (entry->contract == NULL)
            continue;
        struct fm_product_entry *item = &list.items[list.count++];
        memcpy(item->domain, entry->contract->domain, sizeof item->domain);
        memcpy(item->product, entry->contract->product, sizeof item->product);
        memcpy(item->product_version, entry->contract->product_version,
               sizeof item->product_version);
        item->owner = entry->record.key.writer;
        item->table_count = entry->contract->table_count;
        for (uint32_t t = 0; t < item->table_count; t++)
            item->tables[t] = fm_span_str(entry->schemas[t]->table);
    }
    fm_product_list_encode(out, &list);
    fm_product_list_deinit(&list);
    return fm_buf_status(out);
}
