internal import CLinux
internal import Glibc
public import Reactor

/// Makes this process the reaper of what its programs leave behind: PR_SET_CHILD_SUBREAPER of
/// prctl(2).
///
/// A child whose parent has ended comes to us in place of init. It lives on, as under cron; when it
/// ends it is waited for, so that no zombie stays, and no other child is.
@LoopActor
public final class Orphans {
    private var signals: Signals?

    /// SIGCHLD must have been blocked with `Signals.block` before any thread was started. All
    /// children of the process that are no `Program` count as orphans from now on.
    public init() throws(SystemError) {
        // Were it ignored by whoever started us, the kernel would keep no status for us.
        signal(SIGCHLD, SIG_DFL)
        try systemCall("prctl") { clinux_become_subreaper() }
        signals = try Signals([SIGCHLD]) { [unowned self] _ in reap() }
        reap()
    }

    /// No more orphans are waited for.
    public func cancel() {
        signals?.cancel()
        signals = nil
    }

    /// One signal may stand for many ends.
    private func reap() {
        while true {
            let pid = clinux_ended_child()
            guard pid > 0 else { return }
            if let program = Program.running[pid] {
                program.reap()
                // It hides all others as long as it was not waited for.
                if Program.running[pid] != nil { return }
            } else {
                var status: Int32 = 0
                guard unsafe waitpid(pid, &status, WNOHANG) == pid else { return }
            }
        }
    }
}
