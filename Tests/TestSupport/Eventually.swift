/// What a wait waited for, and how long, when it did not come true.
public struct NotReached: Error, CustomStringConvertible {
    public let description: String

    public init(_ description: String) {
        self.description = description
    }
}

/// Waits until `condition` holds, looking every 5 ms.
///
/// This is the one permitted wait of the tests: it ends as soon as the condition holds, and a
/// condition that never holds fails with `what` and the place of the call.
///
/// - Throws: `NotReached` after `limit`, and 20 looks at least: a busy machine may let ten seconds
///   pass between two of them, which says nothing about the condition. What `condition` throws
///   ends the wait at once.
public func eventually(
    within limit: Duration = .seconds(30), _ what: String,
    file: String = #fileID, line: Int = #line,
    condition: () async throws -> Bool
) async throws {
    let deadline = ContinuousClock.now + limit
    for look in 1... {
        if try await condition() { return }
        guard look < 20 || ContinuousClock.now < deadline else {
            throw NotReached("not within \(limit): \(what) (\(file):\(line))")
        }
        try await Task.sleep(for: .milliseconds(5))
    }
}
