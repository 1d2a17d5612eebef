// `mc-broker --check`: the whole store looked at, while no broker works on it. Nothing is changed.
#pragma once

// Prints what it does and what it finds. The exit status: 0 all is whole, 1 damaged (or cannot be read), 2 it cannot be checked now
// (no store there, a broker works on it, or it is of another layout).
int check_main(const char *data);
