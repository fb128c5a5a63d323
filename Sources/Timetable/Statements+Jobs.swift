internal import Postgres

/// What the command line changes.
extension Statements {
    /// The parameters of `timetable.add_job` after the name, in the order of `JobChange.values`.
    private static let jobParameters: [(name: String, type: String)] = [
        ("schedule", "text"), ("command", "text"), ("program", "text"), ("arguments", "text[]"),
        ("chain", "bigint"), ("parameters", "jsonb"), ("secret", "boolean"), ("live", "boolean"),
        ("time_zone", "text"), ("starts_at", "timestamptz"), ("ends_at", "timestamptz"),
        ("jitter", "interval"), ("max_instances", "integer"), ("overlap", "text"),
        ("misfire", "text"), ("misfire_window", "interval"), ("misfire_grace", "interval"),
        ("retries", "integer"), ("retry_delay", "interval"), ("timeout", "interval"),
        ("on_failure", "text"), ("client_name", "text"), ("self_destruct", "boolean"),
        ("exclusive", "boolean"), ("excluded", "text[]"), ("run_uid", "text"),
        ("database_connection", "text"), ("autonomous", "boolean"),
    ]

    /// Makes the job $1, or changes it: nothing where $2 says otherwise than whether it is there.
    static let changeJob: Statement = {
        let arguments = jobParameters.enumerated().map { index, parameter in
            "\(parameter.name) := $\(index + 3)::\(parameter.type)"
        }
        return Statement(
            nil,
            """
            SELECT timetable.add_job($1, \(arguments.joined(separator: ", ")))
            WHERE $2::boolean = EXISTS (
                SELECT FROM timetable.chain_execution_config c WHERE c.chain_name = $1)
            """)
    }()
    static let deleteJob = Statement(nil, "SELECT timetable.delete_job($1)")
    /// $3: microseconds since 1970; NULL: until it is resumed.
    static let pauseJob = Statement(
        nil,
        """
        SELECT timetable.pause_job($1, $2, coalesce(timetable.instant($3::bigint), 'infinity'))
        """)
    static let resumeJob = Statement(nil, "SELECT timetable.resume_job($1)")
}
