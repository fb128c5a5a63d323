import Glibc
import Reactor
import TestSupport

/// `carillon-bench [line …]`: measures the daemon beside this program, and each floor with it.
///
/// Exit codes: 0 when all lines were measured, whether or not they meet their goals; 1 when one
/// could not be measured; 64 for an unknown line; 128 + n after signal n.
@main
enum Main {
    static func main() {
        // Before any thread is started, so that all of them inherit it.
        Signals.block([SIGINT, SIGTERM])
        signal(SIGPIPE, SIG_IGN)
        let words = CommandLine.arguments.dropFirst()
        if words.first == BareListener.word, let server = words.dropFirst().first {
            exit(EventLoop.shared.run { await BareListener.serve(server) })
        }
        let unknown = words.filter { word in !Bench.lines.contains { $0.name == word } }
        guard unknown.isEmpty else {
            let names = Bench.lines.map(\.name).joined(separator: ", ")
            say("carillon-bench: no line \(unknown.joined(separator: ", ")); there are \(names)")
            exit(64)
        }
        let wanted = Set(words)
        // exit(3) and not a return: what is registered with atexit(3) ends the private server.
        exit(EventLoop.shared.run { await Bench.run(wanted) })
    }
}

/// Writes a line of progress, or a complaint, to standard error.
func say(_ text: String) {
    let line = Array("\(text)\n".utf8)
    _ = unsafe line.withUnsafeBytes { unsafe write(STDERR_FILENO, $0.baseAddress, $0.count) }
}

/// A measurement that can't be trusted or could not be made.
struct BenchFailure: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) {
        self.description = description
    }
}

/// Throws when what a measurement rests on does not hold: a smaller number would look like one.
func require(_ condition: Bool, _ otherwise: @autoclosure () -> String) throws(BenchFailure) {
    guard condition else { throw BenchFailure(otherwise()) }
}
