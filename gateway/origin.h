// Which site a browser's request comes from (against forged requests: Fetch 3.2, Fetch Metadata 2.4). Pure.
#pragma once
#include <stdbool.h>
#include "exchange.h"

enum origin {
    ORIGIN_NONE,  // nothing says so: not a browser, or a very old one
    ORIGIN_OWN,   // our own pages
    ORIGIN_OTHER
};

// origin, site: the fields Origin and Sec-Fetch-Site, {NULL, 0} when absent. tls, host: as the client asked us.
enum origin origin_judge(struct text origin, struct text site, bool tls, struct text host);
// Of a request; a field that stands there twice is another's.
enum origin origin_of(const struct exchange *x);
