/* Takes memory until there is none, a megabyte at a time, and uses it. */

#include <stdlib.h>
#include <string.h>

int main(void)
{
    for (;;) {
        char *block = malloc(1 << 20);
        if (block != NULL)
            memset(block, 'x', 1 << 20);
    }
}
