// Which passwords are good enough: 12 to 256 characters of any kind, but none that everybody would try first. Pure.
#pragma once

// NULL: it is. Else a sentence, lent for ever. user: whose it is to be; may be "".
const char *password_rule(const char *password, const char *user);
