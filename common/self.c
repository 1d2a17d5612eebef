#include "self.h"
#include <dirent.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include "clock.h"

// The second number of /proc/self/statm, in pages.
static uint64_t resident(void)
{
    char text[128];
    uint64_t pages = 0;
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof text);
    if (fd >= 0)
        close(fd);
    ssize_t i = 0;
    while (i < n && text[i] != ' ')
        i++;
    for (i++; i < n && text[i] >= '0' && text[i] <= '9'; i++)
        pages = pages * 10 + (uint64_t)(text[i] - '0');
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

// Linux 6.2 and later say it as the directory's size; before that it has to be walked.
static uint64_t descriptors(void)
{
    struct stat st;
    uint64_t n = 0;
    if (stat("/proc/self/fd", &st) == 0 && st.st_size > 0)
        return (uint64_t)st.st_size;
    DIR *d = opendir("/proc/self/fd");
    if (!d)
        return 0;
    for (const struct dirent *e; (e = readdir(d));)
        n += e->d_name[0] != '.';
    closedir(d);
    return n ? n - 1 : 0; // without the one that walked it
}

void self_look(struct self *ret)
{
    static uint64_t start_ms;
    struct rusage u;
    if (!start_ms)
        start_ms = clock_wall_ms();
    *ret = (struct self){ .resident = resident(), .fds = descriptors(), .start_ms = start_ms };
    if (getrusage(RUSAGE_SELF, &u) == 0)
        ret->cpu_us = (uint64_t)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000 + (uint64_t)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}
