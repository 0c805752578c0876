/* Takes memory by many small processes, none of which holds as much as a supervisor. */

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(void)
{
    for (;;) {
        if (fork() == 0) {
            char *block = malloc(4 << 20);
            if (block != NULL)
                memset(block, 'x', 4 << 20);
            pause();
        }
        usleep(2000);
    }
}
