internal import Glibc
internal import Logging
internal import Postgres
internal import Programs
internal import Reactor
internal import Timing

/// A private PostgreSQL server: made on first use, started and stopped with the daemon.
///
/// It takes connections on a unix socket only, and no passwords: the kernel says who calls. It is a
/// process group of its own, so Ctrl-C at a terminal reaches the daemon alone, which stops it
/// last; were the daemon killed, the kernel would stop it (setpriv --pdeathsig).
@LoopActor
final class EmbeddedServer {
    static let role = "scheduler"
    static let database = "timetable"
    private static let superuser = "postgres"
    private static let port = "5432"

    /// initdb writes 40 MB and waits for the disk.
    private static let initializeLimit: Duration = .seconds(300)
    /// After a crash the server first repeats what was not on disk yet.
    private static let readyLimit: Duration = .seconds(900)
    /// The script that waits for a server to stop gives up after 60 s by itself.
    private static let reclaimLimit: Duration = .seconds(90)
    private static let statementLimit: Duration = .seconds(60)
    private static let readyLook: Duration = .milliseconds(10)
    /// The modes of pg_ctl(1), from kind to brutal, and how long each may take.
    private static let stopSignals: [(signal: Int32, patience: Duration)] = [
        (SIGINT, .seconds(60)), (SIGQUIT, .seconds(10)), (SIGKILL, .seconds(5)),
    ]

    private let folder: EmbeddedFolder
    private let postgres: InstalledPostgres
    private let logger: Logger
    private let options: [String]
    private var program: Program?

    private init(
        _ folder: EmbeddedFolder, _ postgres: InstalledPostgres, _ logger: Logger,
        options: [String]
    ) {
        self.folder = folder
        self.postgres = postgres
        self.logger = logger
        self.options = options
    }

    /// Makes the cluster in `directory` if there is none, starts its server, and sees to role and
    /// database. `sessions` is how many connections the daemon may need.
    ///
    /// Throws why it can't be, and when `stopping` opens; nothing runs on then.
    static func start(
        in directory: String, sessions: Int, logger: Logger, until stopping: Gate
    ) async throws(StartFailure) -> EmbeddedServer {
        let installed = try await InstalledPostgres.all(until: stopping)
        // Before anything is made: without PostgreSQL no empty directory stays behind.
        _ = try InstalledPostgres.choose(from: installed, wanted: nil, for: directory)
        let folder = try await EmbeddedFolder.open(directory, until: stopping)
        let postgres = try InstalledPostgres.choose(
            from: installed, wanted: folder.major, for: folder.path)
        var options = [
            "listen_addresses=", "port=\(port)", "unix_socket_directories=/proc/self/fd/8",
            "unix_socket_permissions=0777", "logging_collector=off", "log_destination=stderr",
            "cluster_name=carillon",
        ]
        // Else what postgresql.conf says, 100 by default, is enough.
        if sessions > 60 { options.append("max_connections=\(sessions + 40)") }
        let server = EmbeddedServer(
            folder, postgres, logger, options: options.flatMap { ["-c", $0] })
        try folder.makeFolder(folder.socket)
        if folder.major == nil { try await server.makeCluster(until: stopping) }
        try await server.reclaim(until: stopping)
        do throws(StartFailure) {
            try await server.launch(until: stopping)
            try await server.prepareDatabase()
            if stopping.isOpen { throw .stopped }
        } catch {
            await server.stop()
            throw error
        }
        logger.info(
            """
            serving the private PostgreSQL \(postgres.version) in \(folder.path); \
            connect to it with: psql '\(server.connectionString)'
            """)
        return server
    }

    // MARK: Reaching it

    /// Keywords for psql and all others that use libpq.
    private var connectionString: String {
        connection.keywords.map { "\($0.key)=\($0.value)" }.joined(separator: " ")
    }

    var connection: ConnectionParameters { connection(Self.role, Self.database) }

    private func connection(_ role: String, _ database: String) -> ConnectionParameters {
        ConnectionParameters([
            ("host", folder.socketHost), ("port", Self.port), ("dbname", database), ("user", role),
        ])
    }

    // MARK: Making the cluster

    private func makeCluster(until stopping: Gate) async throws(StartFailure) {
        logger.info(
            """
            making a database cluster in \(folder.path) with PostgreSQL \(postgres.version), \
            as user \(folder.user.name)
            """)
        do throws(StartFailure) {
            // What a start that was cut short left behind.
            try await removeUnfinished(until: stopping)
            try folder.makeFolder(folder.unfinished)
            try await step(
                EmbeddedScripts.initialize, [postgres.programs], in: folder.unfinished,
                limit: Self.initializeLimit
            ).succeed("the database cluster in \(folder.path) can't be made", until: stopping)
            try await step(EmbeddedScripts.configure, [], in: folder.unfinished).succeed(
                "pg_hba.conf can't be written in \(folder.unfinished)", until: stopping)
            try folder.finish()
        } catch {
            try? await removeUnfinished(until: Gate())
            throw error
        }
    }

    private func removeUnfinished(until stopping: Gate) async throws(StartFailure) {
        try await ClusterStep("/bin/rm", ["-rf", "--", folder.unfinished], limit: .seconds(60))
            .succeed("\(folder.unfinished) can't be removed", until: stopping)
    }

    /// Role and database, where they are missing.
    private func prepareDatabase() async throws(StartFailure) {
        do throws(PostgresError) {
            let session = try await Connection.open(connection(Self.superuser, "postgres"))
            defer { session.close() }
            let state = try await session.run(
                Statements.embeddedState, [Self.role, Self.database], deadline: Self.statementLimit)
            if state.boolean(0, 0) != true {
                try await session.run(
                    Statements.createRole(Self.role), deadline: Self.statementLimit)
            }
            if state.boolean(0, 1) != true {
                try await session.run(
                    Statements.createDatabase(Self.database, owner: Self.role),
                    deadline: Self.statementLimit)
            }
        } catch {
            throw StartFailure(error, doing: "the private server in \(folder.path) can't be set up")
        }
    }

    // MARK: Running

    /// A script that runs as the server's user, with `cluster` as its descriptor 9.
    private func step(
        _ script: String, _ arguments: [String], in cluster: String, limit: Duration = .seconds(30)
    ) -> ClusterStep {
        let asUser =
            folder.user.privileges
            // Were we killed, the kernel would end it: postgres takes this as a fast shutdown.
            + ["--pdeathsig", "INT", "/bin/sh", "-c", script, "carillon"] + arguments
        return ClusterStep(
            "/bin/sh", ["-c", EmbeddedScripts.enter, "carillon", folder.socket, cluster] + asUser,
            limit: limit)
    }

    private func reclaim(until stopping: Gate) async throws(StartFailure) {
        let completion = try await step(
            EmbeddedScripts.reclaim, [], in: folder.data, limit: Self.reclaimLimit
        ).run(until: stopping)
        let process = completion.output.text.prefix { $0 != "\n" }
        guard completion.ending == .exited(code: 0) else {
            throw StartFailure(
                .unreachable,
                process.isEmpty
                    ? "what an earlier server left in \(folder.path) can't be tidied: "
                        + completion.lastWords
                    : "the server that still runs in \(folder.path) (process \(process)) does not "
                        + "stop")
        }
        if !process.isEmpty {
            logger.notice(
                "stopped the server (process \(process)) that was left running in \(folder.path)")
        }
    }

    /// Starts the server and waits until it takes connections.
    private func launch(until stopping: Gate) async throws(StartFailure) {
        let arguments = [postgres.programs, folder.user.identMap(to: [Self.superuser, Self.role])]
        let started = try step(EmbeddedScripts.serve, arguments + options, in: folder.data).start()
        program = started
        let began = MonotonicInstant.now()
        let deadline = began.advanced(by: Self.readyLimit)
        var isSlow = false
        while !folder.isReady(started.pid) {
            if stopping.isOpen { throw .stopped }
            if started.ended.isOpen {
                throw StartFailure(
                    .unreachable,
                    "the private server in \(folder.path) did not start: "
                        + folder.named(await started.completion().lastWords))
            }
            let now = MonotonicInstant.now()
            guard now < deadline else {
                throw StartFailure(
                    .unreachable,
                    "the private server in \(folder.path) is not ready after \(Self.readyLimit)")
            }
            if !isSlow, now > began.advanced(by: .seconds(5)) {
                isSlow = true
                logger.notice("the private server is still starting; after a crash that takes time")
            }
            // The server has no other sign that all builds of it give.
            await started.ended.wait(atMost: Self.readyLook)
        }
    }

    /// Keeps the server running until `stopping` opens: one that ends by itself is started again.
    func watch(until stopping: Gate) async {
        var delay: Duration = .milliseconds(100)
        while true {
            if let program {
                await stopping.wait(orFor: program.ended)
                if stopping.isOpen { return }
                let words = folder.named(await program.completion().lastWords)
                logger.error("the private server ended (\(words)); starting it again")
            }
            do throws(StartFailure) {
                try await reclaim(until: stopping)
                try await launch(until: stopping)
                delay = .milliseconds(100)
            } catch {
                if stopping.isOpen { return }
                logger.error("\(error.message); trying again")
                await stop()
                program = nil
                await stopping.wait(atMost: delay)
                if stopping.isOpen { return }
                delay = min(delay * 2, .seconds(5))
            }
        }
    }

    /// Stops the server and returns when it has ended: fast, and by force if it does not listen.
    func stop() async {
        guard let program else { return }
        for (signal, patience) in Self.stopSignals where !program.ended.isOpen {
            program.send(signal)
            await program.ended.wait(atMost: patience)
            if !program.ended.isOpen {
                logger.error("the private server did not end within \(patience) after a signal")
            }
        }
    }
}

extension ServerUser {
    /// Lines of pg_ident.conf by which the server's user and ours may log in as `roles`.
    fileprivate func identMap(to roles: [String]) -> String {
        let names = Set([name, Self.ourselves?.name].compactMap(\.self)).sorted()
        return names.filter { !$0.contains("\"") }.flatMap { name in
            roles.map { "carillon \"\(name)\" \($0)" }
        }.joined(separator: "\n")
    }
}
