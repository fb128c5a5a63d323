#pragma once
// Processes: pidfd_open(2), wait status macros of wait(2), pipe2(2), spawn flags.
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static inline int clinux_pidfd_open(int pid) { return (int)syscall(SYS_pidfd_open, pid, 0); }

static inline int clinux_pidfd_send_signal(int pidfd, int signal) {
    return (int)syscall(SYS_pidfd_send_signal, pidfd, signal, (void *)0, 0);
}

// A child that has ended and was not waited for, left as it is; 0: none, −1: no child at all.
static inline int clinux_ended_child(void) {
    siginfo_t about = {.si_pid = 0};
    if (waitid(P_ALL, 0, &about, WEXITED | WNOHANG | WNOWAIT) != 0) return -1;
    return about.si_pid;
}

// pipe2 by its number: its prototype hides behind _GNU_SOURCE.
// Both ends close-on-exec; the read end does not block.
static inline int clinux_pipe(int ends[2]) {
    if (syscall(SYS_pipe2, ends, O_CLOEXEC) != 0) return -1;
    return fcntl(ends[0], F_SETFL, O_NONBLOCK);
}

// FIONREAD of pipe(7): what lies in it.
static inline int clinux_bytes_in_pipe(int fd) {
    int count = 0;
    return ioctl(fd, FIONREAD, &count) == 0 ? count : -1;
}

// Its prototype may hide behind _DEFAULT_SOURCE; in glibc since 2.34.
extern int posix_spawn_file_actions_addclosefrom_np(posix_spawn_file_actions_t *actions, int from);
static inline int clinux_spawn_closes_from(posix_spawn_file_actions_t *actions, int from) {
    return posix_spawn_file_actions_addclosefrom_np(actions, from);
}

extern int posix_spawn_file_actions_addchdir_np(posix_spawn_file_actions_t *actions,
                                                const char *path);
static inline int clinux_spawn_changes_folder(posix_spawn_file_actions_t *actions,
                                              const char *path) {
    return posix_spawn_file_actions_addchdir_np(actions, path);
}

static inline int clinux_exited(int status) { return WIFEXITED(status); }
static inline int clinux_exit_code(int status) { return WEXITSTATUS(status); }
static inline int clinux_term_signal(int status) { return WTERMSIG(status); }

static inline int clinux_become_subreaper(void) {
    return prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
}
static inline int clinux_die_with_parent(int signal) {
    return prctl(PR_SET_PDEATHSIG, signal, 0, 0, 0);
}
