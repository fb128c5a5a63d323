internal import ArgumentParser
internal import Glibc
internal import Postgres

/// How to reach the database: the seed's options, before the PG* variables, before the seed's
/// defaults.
struct ConnectionOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "A libpq URI or keyword string; then the other connection options are not allowed.",
            valueName: "uri"))
    var connection: String?

    @Option(
        name: [.customShort("h"), .long],
        help: "Server host or socket folder (as psql's; for serve localhost).")
    var host: String?

    @Option(name: .shortAndLong, help: "Server port (5432).")
    var port: UInt16?

    @Option(name: .shortAndLong, help: "Database (timetable).")
    var dbname: String?

    @Option(name: .shortAndLong, help: "Database role (as psql's; for serve scheduler).")
    var user: String?

    @Option(
        help: """
            Password. Better: a password file (~/.pgpass), PGPASSFILE or PGPASSWORD; others may \
            see a command line for a moment.
            """)
    var password: String?

    private var parts: [String?] { [host, port.map { "\($0)" }, dbname, user, password] }

    /// Whether the command line says anything about a connection.
    var isGiven: Bool { connection != nil || parts.contains { $0 != nil } }

    mutating func validate() throws {
        if connection != nil, parts.contains(where: { $0 != nil }) {
            throw ValidationError(
                "--connection says it all: leave out --host, --port, --dbname, --user, --password")
        }
    }

    /// The parameters for libpq, which adds PG* variables, password and service files and its own
    /// defaults; only the database is ours where nothing says otherwise.
    var parameters: ConnectionParameters { parameters(fallbacks: ["dbname": "timetable"]) }

    /// The same with the seed's defaults for a daemon.
    var daemonParameters: ConnectionParameters {
        parameters(fallbacks: [
            "dbname": "timetable", "port": "5432", "user": "scheduler",
            "host": Self.variable("PGHOSTADDR") == nil ? "localhost" : nil,
        ])
    }

    private func parameters(fallbacks: [String: String?]) -> ConnectionParameters {
        if let connection { return ConnectionParameters(string: connection) }
        var keywords: [(key: String, value: String)] = []
        // With a service file, what it says beats our defaults.
        let hasService = Self.variable("PGSERVICE") != nil
        func add(_ key: String, _ option: String?, _ variable: String) {
            if let option {
                keywords.append((key, option))
            } else if let fallback = fallbacks[key] ?? nil, !hasService,
                Self.variable(variable) == nil
            {
                keywords.append((key, fallback))
            }
        }
        add("dbname", dbname, "PGDATABASE")
        add("host", host, "PGHOST")
        add("port", port.map { "\($0)" }, "PGPORT")
        add("user", user, "PGUSER")
        add("password", password, "PGPASSWORD")
        return ConnectionParameters(keywords)
    }

    /// Takes libpq's variables out of the environment: none of them is meant for a private server.
    static func forgetVariables() {
        var names: [String] = []
        var position = unsafe environ
        while let entry = unsafe position.pointee {
            let text = unsafe String(cString: entry)
            if text.hasPrefix("PG"), let end = text.firstIndex(of: "=") {
                names.append(String(text[..<end]))
            }
            unsafe position += 1
        }
        for name in names { unsafe unsetenv(name) }
    }

    private static func variable(_ name: String) -> String? {
        guard let value = unsafe getenv(name) else { return nil }
        return unsafe String(cString: value)
    }

    /// Overwrites passwords, connection strings and parameters in the memory that ps(1) shows; they
    /// have been read by then.
    static func hidePassword() {
        let arguments = unsafe CommandLine.unsafeArgv
        var isSecret = false
        for index in 0..<Int(CommandLine.argc) {
            guard let argument = unsafe arguments[index] else { continue }
            let text = unsafe String(cString: argument)
            // Of a connection string, which part is secret is libpq's to know.
            let name = secretOptions.first(where: text.hasPrefix)
            if isSecret || (name == nil && text.contains("://")) {
                unsafe overwrite(argument, from: 0)
                isSecret = false
            } else if let name {
                isSecret = text == name
                unsafe overwrite(argument, from: name.utf8.count + 1)
            }
        }
    }

    private static let secretOptions = ["--password", "--connection", "--from", "--parameters"]

    private static func overwrite(_ argument: UnsafeMutablePointer<CChar>, from start: Int) {
        let length = unsafe strlen(argument)
        for index in start..<max(start, length) { unsafe argument[index] = 42 }
    }
}
