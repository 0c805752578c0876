/* What a job can reach, a line for each argument: 0, or the errno as a number.
 *
 *   64:NUMBER:ARGUMENT   a system call with this first argument; the others are -1
 *   32:NUMBER:ARGUMENT   the same as a program of 32 bits would make it (x86_64)
 *   abstract:NAME        connect to an abstract UNIX socket
 *   tcp:PORT             connect to a port of 127.0.0.1
 *   loopback:            listen on a port of 127.0.0.1 and connect to it
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int outcome(long result)
{
    return result < 0 ? errno : 0;
}

static int call_32(long number, long argument)
{
#ifdef __x86_64__
    long result;
    __asm__ volatile("int $0x80"
                     : "=a"(result)
                     : "a"(number), "b"(argument), "c"(-1L), "d"(-1L), "S"(-1L), "D"(-1L)
                     : "memory", "r8", "r9", "r10", "r11");
    return (int)result < 0 ? -(int)result : 0;
#else
    (void)number, (void)argument;
    return ENOSYS;
#endif
}

static int connect_abstract(const char *name)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    memcpy(to.sun_path + 1, name, strlen(name));
    socklen_t length = offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name);
    return outcome(connect(socket(AF_UNIX, SOCK_STREAM, 0), (struct sockaddr *)&to, length));
}

static int connect_tcp(int port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return outcome(connect(socket(AF_INET, SOCK_STREAM, 0), (struct sockaddr *)&to, sizeof to));
}

static int connect_to_myself(void)
{
    struct sockaddr_in here = {.sin_family = AF_INET};
    socklen_t length = sizeof here;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(listener, (struct sockaddr *)&here, length) < 0 || listen(listener, 1) < 0)
        return errno;
    getsockname(listener, (struct sockaddr *)&here, &length);
    return connect_tcp(ntohs(here.sin_port));
}

static int try(const char *what)
{
    long number, argument;
    if (sscanf(what, "64:%li:%li", &number, &argument) == 2)
        return outcome(syscall(number, argument, -1L, -1L, -1L, -1L, -1L));
    if (sscanf(what, "32:%li:%li", &number, &argument) == 2)
        return call_32(number, argument);
    if (strncmp(what, "abstract:", 9) == 0)
        return connect_abstract(what + 9);
    if (strncmp(what, "tcp:", 4) == 0)
        return connect_tcp(atoi(what + 4));
    if (strcmp(what, "loopback:") == 0)
        return connect_to_myself();
    exit(2);
}

int main(int count, char **arguments)
{
    for (int i = 1; i < count; i++)
        printf("%d\n", try(arguments[i]));
    return 0;
}
