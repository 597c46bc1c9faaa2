/* Between views.c and pg/catalog.c: how the rows of a view are put. Not for others. */
#ifndef FM_NODE_VIEWS_INTERNAL_H
#define FM_NODE_VIEWS_INTERNAL_H

#include "client/catalog.h"
#include "core/hash.h"
#include "node/views.h"

struct view_writer {
    struct fm_server *server;
    const struct fm_view_asker *asker;
    const struct view *view;
    const uint32_t *fields;
    uint32_t field_count;
    struct fm_rows *rows; /* Of the batch at hand. */
    struct fm_kept *kept;
    struct fm_tree tree;
};

struct view {
    const char *table;
    const struct fm_rows_column *columns;
    uint32_t count;
    enum fm_status (*put)(struct view_writer *writer);
};

/* Behind the last cell of each row. */
FM_MUST_USE enum fm_status view_end_row(struct view_writer *writer);
/* Call `put` for each product that the node knows. */
FM_MUST_USE enum fm_status view_each_product(
    struct view_writer *writer,
    enum fm_status (*put)(struct view_writer *writer, const struct fm_product_entry *product));

#endif
