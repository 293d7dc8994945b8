/* A disk that does not answer: fdatasync hangs while the file that HANGING_DISK names is there. */
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

int fdatasync(int fd)
{
    const char *name = getenv("HANGING_DISK");
    while (name && access(name, F_OK) == 0)
        usleep(10000);
    return (int)syscall(SYS_fdatasync, fd);
}
