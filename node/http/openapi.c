/* GET /openapi.yaml: docs/openapi.yaml, as it was when this program was built. */
#include "node/http/call.h"

__asm__(".pushsection .rodata\n"
        ".hidden fm_openapi_begin, fm_openapi_end\n"
        ".global fm_openapi_begin, fm_openapi_end\n"
        "fm_openapi_begin: .incbin \"" FM_OPENAPI_FILE "\"\n"
        "fm_openapi_end: .byte 0\n"
        ".popsection\n");

extern const uint8_t fm_openapi_begin[], fm_openapi_end[];

void fm_http_get_openapi(struct fm_http_call *call)
{
    fm_buf_put(&call->out, fm_openapi_begin, (size_t)(fm_openapi_end - fm_openapi_begin));
    call->type = "application/yaml";
    if (fm_buf_status(&call->out) != FM_OK)
        fm_http_fail(call, fm_buf_status(&call->out), NULL);
}
