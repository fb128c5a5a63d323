#pragma once
// signalfd(2).
#include <signal.h>
#include <sys/signalfd.h>

static inline int clinux_signalfd(const sigset_t *mask) {
    return signalfd(-1, mask, SFD_CLOEXEC | SFD_NONBLOCK);
}
