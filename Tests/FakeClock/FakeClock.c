// A wall clock that a test can set, at the seam to the kernel: for LD_PRELOAD, ld.so(8).
//
// No namespace has a CLOCK_REALTIME of its own, and the machine's must not be set. So the calls are
// taken over with which the daemon reads and awaits it. After a step, timers of timerfd_create(2)
// are readable and read(2) fails with ECANCELED, as the kernel has it for TFD_TIMER_CANCEL_ON_SET.

#define _GNU_SOURCE
#include "FakeClock.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum { bound = 1024, second = 1000000000 };

static volatile struct fake_clock *fake;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
/// Timers of the wall clock, by descriptor: when they expire by the faked clock, in nanoseconds.
static struct {
    int is_wall, is_cancelled;
    int64_t at;
} timers[bound];

static int64_t ahead(clockid_t clock) {
    if (!fake) return 0;
    if (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE) return fake->real_ahead;
    return clock == CLOCK_BOOTTIME ? fake->boot_ahead : 0;
}

static int64_t nanoseconds(struct timespec time) {
    return time.tv_sec * (int64_t)second + time.tv_nsec;
}

static struct timespec timespec_of(int64_t nanoseconds) {
    return (struct timespec){nanoseconds / second, nanoseconds % second};
}

int clock_gettime(clockid_t clock, struct timespec *time) {
    if (syscall(SYS_clock_gettime, clock, time) != 0) return -1;
    *time = timespec_of(nanoseconds(*time) + ahead(clock));
    return 0;
}

static int set(int timer, int64_t at) {
    struct itimerspec spec = {.it_value = timespec_of(at < 1 ? 1 : at)};
    return (int)syscall(
        SYS_timerfd_settime, timer, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &spec, 0);
}

int timerfd_create(int clock, int flags) {
    int timer = (int)syscall(SYS_timerfd_create, clock, flags);
    if (timer >= 0 && timer < bound) {
        pthread_mutex_lock(&lock);
        timers[timer].is_wall = clock == CLOCK_REALTIME;
        timers[timer].is_cancelled = 0;
        timers[timer].at = 0;
        pthread_mutex_unlock(&lock);
    }
    return timer;
}

int timerfd_settime(
    int timer, int flags, const struct itimerspec *spec, struct itimerspec *before) {
    if (timer < 0 || timer >= bound || !timers[timer].is_wall || !(flags & TFD_TIMER_ABSTIME)) {
        return (int)syscall(SYS_timerfd_settime, timer, flags, spec, before);
    }
    pthread_mutex_lock(&lock);
    timers[timer].at = nanoseconds(spec->it_value);
    int result = set(timer, timers[timer].at - ahead(CLOCK_REALTIME));
    pthread_mutex_unlock(&lock);
    return result;
}

ssize_t read(int file, void *buffer, size_t count) {
    if (file >= 0 && file < bound && timers[file].is_wall) {
        pthread_mutex_lock(&lock);
        int is_cancelled = timers[file].is_cancelled;
        timers[file].is_cancelled = 0;
        // Still armed, for the same reading of the clock.
        if (is_cancelled) set(file, timers[file].at - ahead(CLOCK_REALTIME));
        pthread_mutex_unlock(&lock);
        if (is_cancelled) {
            errno = ECANCELED;
            return -1;
        }
    }
    return syscall(SYS_read, file, buffer, count);
}

static void *watch(void *steps) {
    int64_t known = (int64_t)(intptr_t)steps;
    for (;; usleep(1000)) {
        if (fake->steps == known) continue;
        known = fake->steps;
        pthread_mutex_lock(&lock);
        for (int timer = 0; timer < bound; timer++) {
            if (!timers[timer].is_wall || timers[timer].at == 0) continue;
            timers[timer].is_cancelled = 1;
            set(timer, 1);
        }
        pthread_mutex_unlock(&lock);
    }
    return 0;
}

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("CARILLON_FAKE_CLOCK");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) return;
    void *map = mmap(0, sizeof(struct fake_clock), PROT_READ, MAP_SHARED, file, 0);
    close(file);
    if (map == MAP_FAILED) return;
    fake = map;
    // The daemon hears its signals by signalfd(2): no thread may take them.
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_t thread;
    pthread_create(&thread, 0, watch, (void *)(intptr_t)fake->steps);
    pthread_sigmask(SIG_SETMASK, &before, 0);
}
