internal import Logging
internal import Postgres
internal import Reactor

extension Daemon {
    /// Opens a session and writes its server process down, so that a successor can end it.
    func openSession(
        _ purpose: String, isForTasks: Bool = false
    ) async throws(PostgresError) -> Connection {
        let session = try await openUnregistered(purpose, isForTasks: isForTasks)
        do throws(PostgresError) {
            _ = try await register(session)
        } catch {
            session.close()
            throw error
        }
        return session
    }

    /// Returns when its server process started.
    func register(_ session: Connection) async throws(PostgresError) -> String {
        let rows = try await session.run(
            Statements.registerBackend, [settings.name], deadline: .seconds(10))
        guard let start = rows.text(0, 0) else {
            throw PostgresError(.connection, "this worker was declared dead meanwhile")
        }
        return start
    }

    func openUnregistered(
        _ purpose: String, isForTasks: Bool = false
    ) async throws(PostgresError) -> Connection {
        // As options of the session they survive RESET ALL. Blanks and backslashes are escaped.
        let name = settings.name.reduce(into: "") { text, character in
            if character == " " || character == "\\" { text.append("\\") }
            text.append(character)
        }
        var options = ProcessID.variable("PGOPTIONS").map { $0 + " " } ?? ""
        options += "-c timetable.client_name=\(name)"
        // The server, too, finds out soon that we are gone: it would keep our locks for hours.
        options += " -c tcp_user_timeout=10s -c tcp_keepalives_idle=5"
        options += " -c tcp_keepalives_interval=2 -c tcp_keepalives_count=3"
        if isForTasks {
            // Else a statement goes on, maybe for hours, when we are gone.
            if serverChecksClients { options += " -c client_connection_check_interval=1s" }
        } else {
            // Our own statements: planned once a session, not at each of their first five uses. By
            // index: a plan made while the tables are empty has to suit full ones.
            options += " -c plan_cache_mode=force_generic_plan -c enable_seqscan=off -c jit=off"
            // What limits a role holds for tasks; these sessions have deadlines of their own.
            options += " -c statement_timeout=0 -c lock_timeout=0"
            options += " -c idle_in_transaction_session_timeout=0"
        }
        let session = try await Connection.open(
            (embedded?.connection ?? settings.connection)
                .with("application_name", "carillon \(settings.name) \(purpose)")
                .with("options", options))
        if !isForTasks {
            do throws(PostgresError) {
                try await session.run(Statements.neverIdleOut, deadline: .seconds(10))
            } catch {
                session.close()
                throw error
            }
        }
        let backend = session.backend
        backends.insert(backend)
        session.onEnd = { [weak self] _ in self?.backends.remove(backend) }
        session.onNotice = { [weak self] severity, message in
            self?.logger.debug("\(purpose) session: \(severity): \(message)")
        }
        return session
    }

    /// A session was closed: takes its server process off the list.
    func forget(_ session: Connection) {
        link?.claims.send(
            [Command(Statements.forgetBackend, [settings.name, String(session.backend)])]
        ) { _ in }  // left on the list it does no harm: processes are known by their start too
    }

    /// Whether the server can notice by itself that a client is gone: PostgreSQL 14 and newer, on
    /// systems that can tell.
    func checksClients(_ control: Connection) async -> Bool {
        do throws(PostgresError) {
            return try await control.run(Statements.checkClient, deadline: .seconds(10)).count > 0
        } catch {
            return false
        }
    }
}
