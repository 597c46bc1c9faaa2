#include "query/worker/ingest.h"
enum fm_status ingest_run(struct worker *worker, struct fm_error *err)
{
    (void)worker;
    return fm_fail(err, FM_UNSUPPORTED, "ingest");
}
