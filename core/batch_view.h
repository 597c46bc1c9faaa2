/* Between batch_view.c and batch_check.c. Not for others. */
#ifndef FM_CORE_BATCH_VIEW_H
#define FM_CORE_BATCH_VIEW_H

#include "core/batch_internal.h"

/* What is known of a vector beside its entry. */
struct fm_vector_note {
    const struct fm_type *type; /* NULL: any will do. Of entries: the map's. */
    bool is_entries;            /* The struct of key and value below a map. */
    bool is_key;                /* The first child of such a struct. */
    bool below_list;            /* Below a list or map, at any depth. */
};

/* Check the contents of a vector's sections, whose bounds and sizes hold. */
FM_MUST_USE enum fm_status fm_vector_check(const struct fm_batch *batch,
                                           const struct fm_vector_entry *vector,
                                           const struct fm_vector_note *note,
                                           const struct fm_dictionary *outside);

#endif
