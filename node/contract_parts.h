/* What the files of the contract compiler share; nobody else includes this. */
#ifndef FM_NODE_CONTRACT_PARTS_H
#define FM_NODE_CONTRACT_PARTS_H

#include "node/contract.h"
#include "node/yaml.h"

struct fm_contract_reader {
    const struct fm_yaml *yaml;
    struct fm_error *err;
};

/* contract_read.c: values with their complaints. */

/* The text at `key` of `map` into `out`; a number or boolean written without quotes counts as its
 * text. Missing or null: FM_INVALID when `is_required`, else `out` becomes empty. */
FM_MUST_USE enum fm_status fm_contract_text(const struct fm_contract_reader *reader,
                                            const struct fm_yaml_node *map, const char *key,
                                            bool is_required, char *out, size_t size);
/* true/false at `key`; missing: `otherwise`. */
FM_MUST_USE enum fm_status fm_contract_bool(const struct fm_contract_reader *reader,
                                            const struct fm_yaml_node *map, const char *key,
                                            bool otherwise, bool *out);
/* The list at `key`, NULL when missing. Its items must be mappings. */
FM_MUST_USE enum fm_status fm_contract_list(const struct fm_contract_reader *reader,
                                            const struct fm_yaml_node *map, const char *key,
                                            uint32_t max, const struct fm_yaml_node **out);
/* The value of the custom property `name`, NULL when there is none. A property that begins with
 * "folkmoot." and is not in `known` (NULL-terminated) is refused: it would be a mistyped one. */
FM_MUST_USE enum fm_status fm_contract_custom(const struct fm_contract_reader *reader,
                                              const struct fm_yaml_node *map,
                                              const char *const *known, const char *name,
                                              const struct fm_yaml_node **out);
/* `description` into a new string, NULL when missing. */
FM_MUST_USE enum fm_status fm_contract_description(const struct fm_contract_reader *reader,
                                                   const struct fm_yaml_node *map, char **out);

/* contract_types.c: the type of a property (or of a list's items). */
FM_MUST_USE enum fm_status fm_contract_type(const struct fm_contract_reader *reader,
                                            const struct fm_yaml_node *property, unsigned depth,
                                            struct fm_type *out);

/* contract_table.c: one entry of `schema`. `earlier`: its published schema or NULL. */
FM_MUST_USE enum fm_status fm_contract_table(const struct fm_contract_reader *reader,
                                             const struct fm_yaml_node *object, const char *domain,
                                             const struct fm_schema *earlier,
                                             struct fm_schema **out);

/* contract_retention.c: the retention in `slaProperties` of the table, 0 when there is none. */
FM_MUST_USE enum fm_status fm_contract_retention(const struct fm_contract_reader *reader,
                                                 const char *table, uint32_t *days);
/* Every retention is of a table that is in the contract. */
FM_MUST_USE enum fm_status fm_contract_check_retention(const struct fm_contract_reader *reader,
                                                       const struct fm_compiled_contract *contract);

/* contract_diff.c: sets change, schema version and lines of table `i`. */
FM_MUST_USE enum fm_status fm_contract_compare(const struct fm_contract_reader *reader,
                                               const struct fm_yaml_node *object,
                                               const struct fm_schema *earlier,
                                               struct fm_compiled_contract *contract, uint32_t i);

#endif
