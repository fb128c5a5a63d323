#pragma once
// timerfd_create(2): absolute timers, cancelled when the wall clock is set.
#include <stdint.h>
#include <sys/timerfd.h>
#include <time.h>

static inline int clinux_timerfd_create(int clock) {
    return timerfd_create(clock, TFD_CLOEXEC | TFD_NONBLOCK);
}

// An absolute expiry; 0 s and 0 ns disarms. cancel_on_set only with CLOCK_REALTIME.
static inline int clinux_timerfd_settime(int fd, int64_t seconds, int64_t nanoseconds,
                                         int cancel_on_set) {
    struct itimerspec spec = {.it_value = {.tv_sec = seconds, .tv_nsec = nanoseconds}};
    int flags = TFD_TIMER_ABSTIME | (cancel_on_set ? TFD_TIMER_CANCEL_ON_SET : 0);
    return timerfd_settime(fd, flags, &spec, 0);
}
