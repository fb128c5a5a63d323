import Foundation
import Glibc
import Synchronization

/// The process that owns a private server: a shell that takes orders, a line each, on its stdin.
struct ClusterKeeper {
    /// What the keeper has to know.
    struct Server {
        var folder: String
        var programs: String
        var settings: [String]
        /// Of the server alone; values without blanks.
        var environment: [String: String] = [:]
        /// A script that runs its arguments in place of itself: in a namespace, for example.
        var wrapper: String?
        /// The socket folder of a server of which this one becomes a hot standby.
        var primary: String?
    }

    private let pid: pid_t
    private let folder: String
    private var orders: Int32
    private let answers: Int32

    /// initdb is run by the keeper too: were the tests killed during it, nothing would stay.
    ///
    /// `exec` and setpriv(1) keep the process id, so `$!` is the server itself. The parent-death
    /// signal ends the server even when the keeper itself is killed.
    private static let script = #"""
        folder=$1 programs=$2
        shift 2
        cd "$folder" || exit 1
        exec 2>server.log
        as_user=
        if [ "$(id -u)" = 0 ]; then
            user=postgres
            id postgres >/dev/null 2>&1 || user=nobody
            group=$(id -g "$user")
            as_user="--reuid=$user --regid=$group --clear-groups"
            chown "$user:$group" "$folder"
        fi
        start() {
            $SERVER_WRAPPER setpriv $as_user --pdeathsig QUIT env $SERVER_ENVIRONMENT \
                "$programs/postgres" -D "$folder/data" "$@" >&2 </dev/null &
            server=$!
        }
        stop() {
            kill -"$1" "$server"
            wait "$server"
        }
        if [ -n "$PRIMARY" ]; then
            setpriv $as_user "$programs/pg_basebackup" --pgdata="$folder/data" --host="$PRIMARY" \
                --username=postgres --checkpoint=fast --write-recovery-conf --no-sync \
                >&2 </dev/null || exit 1
        else
            setpriv $as_user "$programs/initdb" --pgdata="$folder/data" --username=postgres \
                --auth=trust --encoding=UTF8 --locale=C.UTF-8 --no-sync >&2 </dev/null || exit 1
        fi
        server=
        while read -r order; do
            case $order in
                start) start "$@" ;;
                stop-fast) stop INT ;;
                stop-immediate) stop QUIT ;;
            esac
            echo "$server"
        done
        [ -z "$server" ] || stop QUIT
        cd / && rm -rf "$folder"
        """#

    init(_ server: Server) throws {
        let toKeeper = try Pipe(nonBlocking: .writing)
        let fromKeeper = try Pipe(nonBlocking: .reading)
        defer {
            close(toKeeper.reading)
            close(fromKeeper.writing)
        }
        let variables = server.environment.map { "\($0.key)=\($0.value)" }
        let options = server.settings.flatMap { ["-c", $0] }
        pid = try Spawn(
            path: "/bin/sh",
            arguments: ["-c", Self.script, "keeper", server.folder, server.programs] + options,
            environment: cleanEnvironment(adding: [
                "LC_ALL": "C.UTF-8", "SERVER_ENVIRONMENT": variables.joined(separator: " "),
                "SERVER_WRAPPER": server.wrapper ?? "", "PRIMARY": server.primary ?? "",
            ]),
            input: toKeeper.reading, output: fromKeeper.writing, errors: STDERR_FILENO
        ).start()
        folder = server.folder
        orders = toKeeper.writing
        answers = fromKeeper.reading
    }

    /// Starts the server and waits until it takes connections; returns what `end` needs.
    mutating func start() throws -> (orders: Int32, pid: pid_t) {
        let server = try order("start")
        let status = "\(folder)/data/postmaster.pid"
        let deadline = ContinuousClock.now + .seconds(60)
        // The server writes "ready" into its lock file; psql in a loop would cost far more.
        while !((try? String(contentsOfFile: status, encoding: .utf8))?.contains("ready") ?? false)
        {
            guard Self.isAlive(server), ContinuousClock.now < deadline else {
                throw failure("did not become ready")
            }
            usleep(5_000)
        }
        return (orders, pid)
    }

    /// Gives an order, waits until it was carried out, and returns the server's process id.
    @discardableResult
    mutating func order(_ name: String) throws -> String {
        let line = Array("\(name)\n".utf8)
        guard unsafe write(orders, line, line.count) == line.count else {
            throw failure("took no order: \(CallFailed(call: "write", code: errno))")
        }
        var answer: [UInt8] = []
        let deadline = ContinuousClock.now + .seconds(60)
        while answer.last != UInt8(ascii: "\n") {
            var polls = [pollfd(fd: answers, events: Int16(POLLIN), revents: 0)]
            _ = unsafe poll(&polls, 1, 1_000)
            guard readAvailable(answers, into: &answer) else { throw failure("ended") }
            guard ContinuousClock.now < deadline else { throw failure("hangs at \(name)") }
        }
        return String(decoding: answer.dropLast(), as: UTF8.self)
    }

    /// Whether the process runs; an ended one that the keeper has not waited for is a zombie.
    private static func isAlive(_ pid: String) -> Bool {
        let stat = try? String(contentsOfFile: "/proc/\(pid)/stat", encoding: .utf8)
        return stat.map { !$0.contains(") Z ") } ?? false
    }

    /// Ends the server and removes the folder; returns when both are gone.
    mutating func end() {
        guard orders >= 0 else { return }
        Self.unended.withLock { all in all.removeAll { $0.pid == pid } }
        Self.end(orders: orders, pid: pid)
        close(answers)
        orders = -1
    }

    private func failure(_ what: String) -> NotReached {
        let log = (try? String(contentsOfFile: "\(folder)/server.log", encoding: .utf8)) ?? ""
        return NotReached("the private cluster \(what); its log ends:\n\(log.suffix(2_000))")
    }

    private static let unended = Mutex<[(orders: Int32, pid: pid_t)]>([])

    /// A process that exits by itself waits for its clusters: the folder is gone when it is.
    /// One that is killed does not wait, and the keepers do the same a moment later.
    static func endAllAtExit(adding new: (orders: Int32, pid: pid_t)) {
        let isFirst = unended.withLock { all in
            all.append(new)
            return all.count == 1
        }
        guard isFirst else { return }
        atexit {
            for (orders, pid) in ClusterKeeper.unended.withLock({ $0 }) {
                ClusterKeeper.end(orders: orders, pid: pid)
            }
        }
    }

    private static func end(orders: Int32, pid: pid_t) {
        close(orders)
        var status: Int32 = 0
        while unsafe waitpid(pid, &status, 0) < 0, errno == EINTR {}
    }
}
