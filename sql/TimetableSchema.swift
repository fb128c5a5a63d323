/// The schema that this program installs, embedded: its files in the order in which they are run.
public enum TimetableSchema {
    /// What `timetable.schema_version` holds after them.
    public static let version: Int64 = 4

    public struct File: Sendable {
        public let name: String
        public let sql: String

        init(_ name: String, _ bytes: [UInt8]) {
            self.name = name
            sql = String(decoding: bytes, as: UTF8.self)
        }
    }

    // SwiftPM turns the first digit of a name into an underscore.
    public static var files: [File] {
        [
            File("10_types.sql", PackageResources._0_types_sql),
            File("20_tables.sql", PackageResources._0_tables_sql),
            File("30_schedule.sql", PackageResources._0_schedule_sql),
            File("35_next_fires.sql", PackageResources._5_next_fires_sql),
            File("40_checks.sql", PackageResources._0_checks_sql),
            File("45_chain_gaps.sql", PackageResources._5_chain_gaps_sql),
            File("50_notify.sql", PackageResources._0_notify_sql),
            File("55_secrets.sql", PackageResources._5_secrets_sql),
            File("60_claims.sql", PackageResources._0_claims_sql),
            File("65_ends.sql", PackageResources._5_ends_sql),
            File("66_workers.sql", PackageResources._6_workers_sql),
            File("70_functions.sql", PackageResources._0_functions_sql),
            File("90_built_ins.sql", PackageResources._0_built_ins_sql),
        ]
    }
}
