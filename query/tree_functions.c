/* Functions that SQL may not call: they tell about the process, its settings and other statements,
 * run or bind SQL given as text, or hold a worker up. Everything else the engine offers computes
 * from its arguments; random(), uuid() and now() are let through. Names that reach files are table
 * functions, of which only three are allowed; they stand here for a clear answer. */
#include "query/tree.h"

#include <string.h>
#include <strings.h>

struct refusal {
    const char *name;
    const char *why;
};

#define OF_PROCESS "it tells about the server process"
#define OF_TEXT "it runs or binds SQL given as text"
#define OF_FILES "it reads files or the engine's own tables"
#define OF_STATE "it reads or changes state outside the statement"
#define OF_TIME "it only waits"

static const struct refusal names[] = {
    {"getenv", OF_PROCESS},
    {"current_setting", OF_PROCESS},
    {"set_config", OF_STATE},
    {"getvariable", OF_STATE},
    {"nextval", OF_STATE},
    {"currval", OF_STATE},
    {"setval", OF_STATE},
    {"lastval", OF_STATE},
    {"setseed", OF_STATE},
    {"write_log", OF_STATE},
    {"parse_duckdb_log_message", OF_STATE},
    {"txid_current", OF_STATE},
    {"current_query", OF_PROCESS},
    {"current_query_id", OF_PROCESS},
    {"current_connection_id", OF_PROCESS},
    {"current_transaction_id", OF_PROCESS},
    {"in_search_path", OF_PROCESS},
    {"get_block_size", OF_PROCESS},
    {"format_type", OF_PROCESS},
    {"stats", OF_PROCESS},
    {"vector_type", OF_PROCESS},
    {"json_serialize_sql", OF_TEXT},
    {"json_deserialize_sql", OF_TEXT},
    {"json_serialize_plan", OF_TEXT},
    {"json_execute_serialized_sql", OF_TEXT},
    {"query", OF_TEXT},
    {"query_table", OF_TEXT},
    {"sql_auto_complete", OF_TEXT},
    {"checkpoint", OF_STATE},
    {"force_checkpoint", OF_STATE},
    {"glob", OF_FILES},
    {"sniff_csv", OF_FILES},
    {"which_secret", OF_PROCESS},
    {"sleep_ms", OF_TIME},
    {"pg_sleep", OF_TIME},
};

static const struct refusal prefixes[] = {
    {"__internal_", OF_PROCESS}, {"duckdb_", OF_FILES},  {"pragma_", OF_FILES},
    {"read_", OF_FILES},         {"parquet_", OF_FILES}, {"pg_get_", OF_PROCESS},
    {"fm_", OF_PROCESS},
};

const char *tree_function_refused(const char *name)
{
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcasecmp(name, names[i].name) == 0)
            return names[i].why;
    }
    for (size_t i = 0; i < sizeof prefixes / sizeof prefixes[0]; i++) {
        if (strncasecmp(name, prefixes[i].name, strlen(prefixes[i].name)) == 0)
            return prefixes[i].why;
    }
    return NULL;
}
