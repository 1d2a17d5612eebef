#include "dir_sync.h"
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

bool dir_sync(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return errno == EACCES || errno == EPERM;
    bool ok = fsync(fd) == 0 || errno == EINVAL || errno == EROFS;
    int why = errno;
    (void)close(fd);
    errno = why;
    return ok;
}
