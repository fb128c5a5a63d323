internal import Postgres
internal import Reactor

/// Where a request stands that has no run yet.
public struct RequestState: Sendable, Equatable {
    public let isTaken: Bool
    public let isConfigGone: Bool
    /// Why it has not begun; nil where it only needs a moment.
    public let reason: String?
}

extension Reports {
    /// Asks for a run; returns the id of the request.
    ///
    /// `parameters` is JSON as `timetable.run` takes it. Throws `NextFires.Misasked` for what that
    /// refuses.
    public func requestRun(of config: Int64, parameters: String?) async throws -> Int64 {
        let rows = try await asking(
            Statements.requestRun, [String(config), parameters], "the run can't be asked for")
        guard let request = rows.integer(0, 0) else {
            throw StartFailure(.other, "the server gave the request no id")
        }
        return request
    }

    /// Asks for a run to end; false when it has ended already.
    public func cancel(_ run: Int64, reason: String?) async throws -> Bool {
        try await asking(
            Statements.cancelRun, [String(run), reason], "the run can't be cancelled"
        ).boolean(0, 0) ?? false
    }

    public func state(ofRequest request: Int64) async throws(StartFailure) -> RequestState? {
        let rows = try await ask(
            Statements.requestState, [String(request)], "the request can't be read")
        guard rows.count > 0 else { return nil }
        return RequestState(
            isTaken: rows.boolean(0, 0) ?? false, isConfigGone: rows.boolean(0, 1) ?? false,
            reason: rows.text(0, 2))
    }

    /// As `ask`, where what the server refuses is a matter of what was typed.
    func asking(
        _ statement: Statement, _ parameters: [String?], _ what: String
    ) async throws -> Rows {
        do throws(PostgresError) {
            return try await session.run(statement, parameters, deadline: Self.deadline)
        } catch {
            // Data exceptions, broken constraints, and what only the state of things forbids.
            let state = error.sqlstate ?? ""
            guard state.hasPrefix("22") || state.hasPrefix("23") || state == "55000" else {
                throw failure(error, what)
            }
            let parts = [error.message, error.detail, error.hint].compactMap { $0 }
            throw NextFires.Misasked(message: parts.joined(separator: ". "))
        }
    }
}
