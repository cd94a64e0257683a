/* A host whose clock is wrong by CLOCK_OFFSET_S seconds, and whose quartz is right: preloaded into its processes.
 *
 * libfaketime (Debian 12) either shifts the clock of durations too, and waits of Python's then do not end, or breaks
 * clock_nanosleep(2), with which Python sleeps. Here durations are not touched, and no call leads to a library.
 */
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static long offset_s(void)
{
    static int known;
    static long offset;
    if (!known) {
        const char *text = getenv("CLOCK_OFFSET_S");
        offset = text ? atol(text) : 0;
        known = 1;
    }
    return offset;
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    int result = (int)syscall(SYS_clock_gettime, clock, now);
    if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        now->tv_sec += offset_s();
    return result;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    int result = (int)syscall(SYS_gettimeofday, now, zone);
    if (result == 0)
        now->tv_sec += offset_s();
    return result;
}

time_t time(time_t *stored)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (stored)
        *stored = now.tv_sec;
    return now.tv_sec;
}
