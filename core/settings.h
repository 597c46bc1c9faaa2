/* Settings of a session, and the statements that read and change them: SET name = value (or TO),
 * SHOW name, SHOW ALL, RESET name, RESET ALL; each name also as folkmoot.name, as clients of
 * PostgreSQL write those that are not its own. No engine sees these. A setting becomes part of each
 * later request of the session, where the request does not say otherwise itself; so whoever checks
 * an answer finds there how it was asked for.
 * Ownership: fm_settings_deinit() ends what was set; zeroed settings are the defaults.
 * Threads: plain data. */
#ifndef FM_CORE_SETTINGS_H
#define FM_CORE_SETTINGS_H

#include "core/records.h"
#include "core/rows.h"

/* X(NAME, name in SQL, what it does) */
#define FM_SETTING_MAP(X)                                                                          \
    X(AT_HEADS, "at_heads", "signed heads that tables are read at; empty: as they are")            \
    X(ON_UNAVAILABLE, "on_unavailable", "what an owner that cannot be had means: fail or skip")    \
    X(PARTIAL_AGGREGATES, "allow_partial_aggregates", "skip it also where values change by that")  \
    X(RULES_OFF, "rules_off", "rules that the planner leaves out, with commas between them")       \
    X(TIME_LIMIT, "time_limit", "of a query, in ms; 0: the program's own")

enum fm_setting {
#define X(name, text, description) FM_SETTING_##name,
    FM_SETTING_MAP(X)
#undef X
        FM_SETTING_ALL /* Of SHOW and RESET. */
};

/* The setting of that name, with or without the prefix, in any case; false: there is none. */
bool fm_setting_find(struct fm_span name, enum fm_setting *out);
const char *fm_setting_name(enum fm_setting setting); /* Without the prefix. */
const char *fm_setting_description(enum fm_setting setting);

struct fm_settings {
    struct fm_buf notes; /* Of at_heads, one after another: */
    uint32_t head_count;
    struct fm_span heads[FM_QUERY_TABLES_MAX]; /* each, borrowed from `notes`. */
    enum fm_on_unavailable on_unavailable;
    bool allows_partial_aggregates;
    uint64_t rules_off;
    uint32_t time_limit_ms;
};

void fm_settings_deinit(struct fm_settings *settings);

enum fm_settings_verb {
    FM_SETTINGS_NONE = 0,
    FM_SETTINGS_SET,
    FM_SETTINGS_SHOW,
    FM_SETTINGS_RESET
};

struct fm_settings_statement {
    enum fm_settings_verb verb;
    enum fm_setting setting;
    struct fm_buf value; /* Of SET; freed by who read it. */
};

/* What `sql` is; verb NONE: something else, for others to understand. FM_INVALID: an unknown name,
 * which `err` names beside the known ones, or not one whole statement. */
FM_MUST_USE enum fm_status fm_settings_read(struct fm_span sql, struct fm_settings_statement *out,
                                            struct fm_error *err);

/* The value is not heads but the id of a query in mesh.receipts, whose heads are meant: whoever
 * keeps the session finds them, and puts them in its place. */
bool fm_settings_names_query(const struct fm_settings_statement *statement);
/* Append the statement that finds them: its rows are a fragment's state and its heads, NULL where
 * it did not end whole. */
void fm_settings_ask_heads(const struct fm_settings_statement *statement, struct fm_buf *sql);

/* Carry SET or RESET out. FM_INVALID, and nothing changed: the value does not fit. */
FM_MUST_USE enum fm_status fm_settings_change(struct fm_settings *settings,
                                              const struct fm_settings_statement *statement,
                                              struct fm_error *err);
/* Append the value, as SHOW gives it. */
void fm_settings_print(const struct fm_settings *settings, enum fm_setting setting,
                       struct fm_buf *out);
/* The rows of SHOW: one column of the setting's name, or name, value and description of all. */
FM_MUST_USE enum fm_status fm_settings_show(const struct fm_settings *settings,
                                            enum fm_setting setting, struct fm_rows **out);

#endif
