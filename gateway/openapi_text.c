// Nothing but the description's octets. OPENAPI_JSON is the file that the Makefile joins of gateway/openapi/.
#include "api_openapi.h"

__asm__(".section .rodata\n"
        ".globl openapi_text\n"
        ".globl openapi_text_end\n"
        "openapi_text:\n"
        ".incbin \"" OPENAPI_JSON "\"\n"
        "openapi_text_end:\n"
        ".byte 0\n"
        ".previous\n");
