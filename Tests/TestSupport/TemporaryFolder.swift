import Glibc
import Synchronization

/// Makes a folder under /tmp, whose name is short enough for the path of a socket. It goes with the
/// test process at the latest, however that ends.
public func makeTemporaryFolder(_ name: String) throws -> String {
    let folder = try makeFolder(name)
    try FolderKeeper.shared.get().add(folder)
    return folder
}

/// The same, for whoever removes it himself in any case.
func makeFolder(_ name: String) throws -> String {
    var template = Array("/tmp/\(name)-XXXXXX".utf8CString)
    guard unsafe mkdtemp(&template) != nil else { throw CallFailed(call: "mkdtemp", code: errno) }
    return String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
}

/// A shell that is told of folders and removes them when the pipe from us closes.
private final class FolderKeeper: Sendable {
    static let shared = Result { try FolderKeeper() }

    private static let script = """
        while read -r folder; do set -- "$@" "$folder"; done
        cd / && rm -rf -- "$@"
        """

    private let orders: Mutex<Int32>

    private init() throws {
        let toKeeper = try Pipe(nonBlocking: .writing)
        defer { close(toKeeper.reading) }
        _ = try Spawn(
            path: "/bin/sh", arguments: ["-c", Self.script],
            environment: cleanEnvironment(adding: [:]),
            input: toKeeper.reading, output: STDERR_FILENO, errors: STDERR_FILENO
        ).start()
        orders = Mutex(toKeeper.writing)
    }

    func add(_ folder: String) throws {
        let line = Array("\(folder)\n".utf8)
        try orders.withLock { pipe in
            guard unsafe write(pipe, line, line.count) == line.count else {
                throw CallFailed(call: "write", code: errno)
            }
        }
    }
}
