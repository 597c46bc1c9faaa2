/* The settings of a session: SET, SHOW, RESET, what the startup packet gives. Those that a client
 * may rely on are known; those of the mesh (core/settings.h) are the same as everywhere; other
 * names with a point are kept for who set them; all others are refused, as PostgreSQL does.
 * Threads: one at a time. Ownership: fm_pg_settings_deinit(). */
#ifndef FM_NODE_PG_SETTING_H
#define FM_NODE_PG_SETTING_H

#include "core/settings.h"
#include "node/pg/wire.h"

struct fm_pg_settings {
    char **values; /* Of the known ones; NULL: the default. Owned, as all below. */
    uint32_t custom_count;
    char **custom_names;
    char **custom_values;
    struct fm_settings mesh;
};

FM_MUST_USE enum fm_status fm_pg_settings_init(struct fm_pg_settings *settings);
void fm_pg_settings_deinit(struct fm_pg_settings *settings);

/* The value, NULL: no such setting, or one of the mesh. Case of names does not matter. */
const char *fm_pg_setting_get(const struct fm_pg_settings *settings, const char *name);
/* Append the value, also of one of the mesh. FM_NOTFOUND: no such setting. */
FM_MUST_USE enum fm_status fm_pg_setting_print(const struct fm_pg_settings *settings,
                                               const char *name, struct fm_buf *out);
/* FM_NOTFOUND: no such setting; FM_INVALID: no such value, or it cannot be changed; FM_LIMIT.
 * `value` NULL: back to the default. */
FM_MUST_USE enum fm_status fm_pg_setting_set(struct fm_pg_settings *settings, const char *name,
                                             const char *value, struct fm_error *err);
/* Set one that no client may set. */
FM_MUST_USE enum fm_status fm_pg_settings_own(struct fm_pg_settings *settings, const char *name,
                                              const char *value);
void fm_pg_settings_reset(struct fm_pg_settings *settings);
/* Tell the client (ParameterStatus) of `name`, or of all that are always told. */
void fm_pg_settings_tell(const struct fm_pg_settings *settings, const char *name,
                         struct fm_buf *out);
/* Setting `i` of all, for SHOW ALL; its value is appended. False at the end. */
bool fm_pg_settings_at(const struct fm_pg_settings *settings, uint32_t i, const char **name,
                       struct fm_buf *value, const char **description);
/* The shorter of statement_timeout and the mesh's time_limit in ms, 0: none. */
uint32_t fm_pg_settings_timeout(const struct fm_pg_settings *settings);

#endif
