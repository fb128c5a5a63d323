// Preloaded into a daemon, gives it a wall clock that a test can set. See FakeClock.c.
#pragma once
#include <stdint.h>

/// What the file holds that CARILLON_FAKE_CLOCK names: written by the test, mapped by the daemon.
struct fake_clock {
    /// Nanoseconds by which CLOCK_REALTIME and CLOCK_BOOTTIME are ahead of the true ones.
    int64_t real_ahead;
    int64_t boot_ahead;
    /// Counts the steps: written last.
    int64_t steps;
};
