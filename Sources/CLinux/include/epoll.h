#pragma once
// epoll(7) and eventfd(2), which Swift's Glibc module does not carry.
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

static const uint32_t clinux_EPOLLIN = EPOLLIN;
static const uint32_t clinux_EPOLLOUT = EPOLLOUT;
static const uint32_t clinux_EPOLLERR = EPOLLERR;
static const uint32_t clinux_EPOLLHUP = EPOLLHUP;
static const uint32_t clinux_EPOLLRDHUP = EPOLLRDHUP;

static inline int clinux_eventfd(void) { return eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK); }
static inline int clinux_epoll_create(void) { return epoll_create1(EPOLL_CLOEXEC); }

// epoll_event is packed on x86-64; Swift reads its union through these.
static inline int clinux_epoll_ctl(int ep, int op, int fd, uint32_t events, uint64_t token) {
    struct epoll_event event = {.events = events, .data = {.u64 = token}};
    return epoll_ctl(ep, op, fd, &event);
}
static inline uint64_t clinux_epoll_token(const struct epoll_event *event) {
    return event->data.u64;
}
