internal import Postgres
internal import Reactor

/// A session on which SQL is looked at and never run: our own, or that of a database_connection.
@LoopActor
final class CheckSession {
    let session: Connection
    /// Why a table that we do not find may be there for the daemon; as a sentence.
    let doubt: String?
    private var typeNames: [UInt32: String] = [:]
    private static let deadline: Duration = .seconds(30)
    /// Far below the 65,535 parameters of a message.
    private static let valuesAtOnce = 10_000

    init(_ session: Connection, doubt: String?) {
        self.session = session
        self.doubt = doubt
    }

    /// The right to become a role: it has a name of its own since version 16.
    var roleRight: String { session.serverVersion >= 160_000 ? "SET" : "MEMBER" }

    var conformingStrings: Bool {
        session.reportedSetting("standard_conforming_strings") != "off"
    }

    /// What a statement's parameters are, or why the server refuses it. In a transaction that is
    /// rolled back, which gives up the locks on what it names.
    func describe(_ sql: String, as role: String?) async -> Result<[UInt32], PostgresError> {
        var commands = [Command(Statements.beginLooking)]
        if let role { commands.append(Command(Statements.localRole(role))) }
        commands += [.describing(sql), Command(Statements.endLooking)]
        do throws(PostgresError) {
            let rows = try await session.run(commands, deadline: Self.deadline)
            return .success(rows.dropLast().last?.parameterTypes ?? [])
        } catch {
            await endLooking()
            return .failure(error)
        }
    }

    /// After a failure; a session that can't even do that says so at its next use.
    private func endLooking() async {
        guard session.ended == nil, session.isInTransaction else { return }
        do throws(PostgresError) {
            try await session.run(Statements.endLooking, deadline: Self.deadline)
        } catch {
            session.close()
        }
    }

    func role(_ name: String) async throws(PostgresError) -> (exists: Bool, isOurs: Bool) {
        let rows = try await session.run(
            Statements.roleThere, [name, roleRight], deadline: Self.deadline)
        return (rows.boolean(0, 0) == true, rows.boolean(0, 1) == true)
    }

    /// The first row whose values the server can't read as these types; nil when it can read all.
    func firstUnreadable(
        _ rows: [[String?]], as types: [UInt32]
    ) async throws(PostgresError) -> Int? {
        guard !types.isEmpty, !rows.isEmpty else { return nil }
        let names = try await names(of: types)
        var low = 0
        while low < rows.count {
            let count = min(rows.count - low, max(1, Self.valuesAtOnce / types.count))
            if try await !areReadable(rows[low..<low + count], names) {
                return try await search(rows, low, count, names)
            }
            low += count
        }
        return nil
    }

    /// One of `count` rows from `low` on is bad: by halves.
    private func search(
        _ rows: [[String?]], _ low: Int, _ count: Int, _ names: [String]
    ) async throws(PostgresError) -> Int {
        var (low, count) = (low, count)
        while count > 1 {
            let half = count / 2
            if try await areReadable(rows[low..<low + half], names) {
                low += half
                count -= half
            } else {
                count = half
            }
        }
        return low
    }

    private func areReadable(
        _ rows: ArraySlice<[String?]>, _ names: [String]
    ) async throws(PostgresError) -> Bool {
        let statement = Statements.reading(names, rows: rows.count)
        do throws(PostgresError) {
            try await session.run(statement, rows.flatMap { $0 }, deadline: Self.deadline)
            return true
        } catch {
            // Class 22, data exceptions: all else says nothing about the values.
            guard error.sqlstate?.hasPrefix("22") == true else { throw error }
            return false
        }
    }

    private func names(of types: [UInt32]) async throws(PostgresError) -> [String] {
        let new = Array(Set(types.filter { typeNames[$0] == nil }))
        if !new.isEmpty {
            let rows = try await session.run(
                Statements.typeNames, [new.map { Int64($0) }.arrayLiteral],
                deadline: Self.deadline)
            for (row, type) in new.enumerated() { typeNames[type] = rows.text(row, 0) ?? "text" }
        }
        return types.map { typeNames[$0] ?? "text" }
    }
}
