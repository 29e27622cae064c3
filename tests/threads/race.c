/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Two threads that write one number without a lock: tests/threads/run sees by it that races are found. */
#include <pthread.h>

static int number;

static void *number_raise(void *context)
{
    for (int i = 0; i < 1000; i++) {
        number++;
    }
    return context;
}

int main(void)
{
    pthread_t threads[2];
    for (int i = 0; i < 2; i++) {
        if (pthread_create(&threads[i], NULL, number_raise, NULL) != 0) {
            return 1;
        }
    }
    for (int i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
    }
    return 0;
}
