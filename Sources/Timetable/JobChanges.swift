internal import Postgres
internal import Reactor
public import Timing

/// What `timetable.add_job` is given; nil leaves a thing as it is.
public struct JobChange: Sendable, Equatable {
    public var schedule: String?
    public var command: String?
    public var program: String?
    public var arguments: [String]?
    public var chain: Int64?
    public var parameters: String?
    public var isSecret: Bool?
    public var isLive: Bool?
    public var zone: String?
    public var startsAt: String?
    public var endsAt: String?
    public var jitter: String?
    public var maxInstances: Int32?
    public var overlap: String?
    public var misfire: String?
    public var misfireWindow: String?
    public var misfireGrace: String?
    public var retries: Int32?
    public var retryDelay: String?
    public var timeout: String?
    public var onFailure: String?
    public var worker: String?
    public var selfDestructs: Bool?
    public var isExclusive: Bool?
    public var excluded: [String]?
    public var runsAs: String?
    public var database: String?
    public var isAutonomous: Bool?

    public init() {}

    /// In the order of the statement.
    fileprivate var values: [String?] {
        func list(_ texts: [String]?) -> String? {
            texts.map { $0.map { $0 as String? }.arrayLiteral }
        }
        return [
            schedule, command, program, list(arguments), chain.map { String($0) }, parameters,
            isSecret?.description, isLive?.description, zone, startsAt, endsAt, jitter,
            maxInstances.map { String($0) }, overlap, misfire, misfireWindow, misfireGrace,
            retries.map { String($0) }, retryDelay, timeout, onFailure, worker,
            selfDestructs?.description, isExclusive?.description, list(excluded), runsAs, database,
            isAutonomous?.description,
        ]
    }
}

extension Reports {
    /// Makes a job, or changes one; returns its config's id. Nil where `isThere` is wrong: then
    /// nothing was done.
    public func change(
        _ name: String, isThere: Bool, _ change: JobChange
    ) async throws -> Int64? {
        try await asking(
            Statements.changeJob, [name, isThere.description] + change.values,
            "the job can't be written"
        ).integer(0, 0)
    }

    /// With its chain and base tasks, where no other config needs them.
    public func delete(_ name: String) async throws {
        _ = try await asking(Statements.deleteJob, [name], "the job can't be removed")
    }

    /// nil: until it is resumed.
    public func pause(_ name: String, note: String?, until: WallInstant?) async throws {
        _ = try await asking(
            Statements.pauseJob, [name, note, until.map { String($0.microseconds) }],
            "the job can't be paused")
    }

    /// False when it was not paused.
    public func resume(_ name: String) async throws -> Bool {
        try await asking(Statements.resumeJob, [name], "the job can't be resumed")
            .boolean(0, 0) ?? false
    }
}
