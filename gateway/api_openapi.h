// The description's octets, without a NUL behind them.
#pragma once

extern const char openapi_text[], openapi_text_end[];
