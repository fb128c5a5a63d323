/// The schema that this program installs and upgrades to, embedded as the scripts that do it.
public enum TimetableSchema {
    /// What `timetable.schema_version` holds after them.
    public static let version: Int64 = 4
    /// The first version that was released: upgrades begin at it.
    public static let firstVersion: Int64 = 3

    public struct File: Sendable {
        public let name: String
        public let sql: String

        init(_ name: String, _ bytes: [UInt8]) {
            self.name = name
            sql = String(decoding: bytes, as: UTF8.self)
        }
    }

    // SwiftPM turns the first digit of a name into an underscore.

    /// To be run first, in the transaction of the others: one installs or upgrades at a time.
    public static let lock = File("00_lock.sql", PackageResources._0_lock_sql)

    /// Makes all of it, to be run in this order.
    public static var installation: [File] {
        [
            File("10_types.sql", PackageResources._0_types_sql),
            File("20_tables.sql", PackageResources._0_tables_sql),
        ] + code + [File("90_built_ins.sql", PackageResources._0_built_ins_sql)]
    }

    /// Brings a schema of an earlier version to ours, to be run in this order; nil when that
    /// version can't be upgraded.
    public static func upgrade(from old: Int64) -> [File]? {
        guard (firstVersion..<version).contains(old) else { return nil }
        return [File("upgrade_triggers.sql", PackageResources.upgrade_triggers_sql)]
            + steps.filter { $0.to > old }.map(\.file) + code
    }

    /// What changes in tables and types, by the version that it leads to.
    private static var steps: [(to: Int64, file: File)] {
        [(4, File("upgrade_4.sql", PackageResources.upgrade_4_sql))]
    }

    /// Functions, views and triggers: run again by every upgrade.
    private static var code: [File] {
        [
            File("30_schedule.sql", PackageResources._0_schedule_sql),
            File("32_words.sql", PackageResources._2_words_sql),
            File("35_next_fires.sql", PackageResources._5_next_fires_sql),
            File("40_checks.sql", PackageResources._0_checks_sql),
            File("45_chain_gaps.sql", PackageResources._5_chain_gaps_sql),
            File("50_notify.sql", PackageResources._0_notify_sql),
            File("55_secrets.sql", PackageResources._5_secrets_sql),
            File("60_claims.sql", PackageResources._0_claims_sql),
            File("65_ends.sql", PackageResources._5_ends_sql),
            File("66_workers.sql", PackageResources._6_workers_sql),
            File("67_retention.sql", PackageResources._7_retention_sql),
            File("70_functions.sql", PackageResources._0_functions_sql),
            File("72_rights.sql", PackageResources._2_rights_sql),
            File("75_jobs.sql", PackageResources._5_jobs_sql),
            File("75_views.sql", PackageResources._5_views_sql),
            File("76_why_not_running.sql", PackageResources._6_why_not_running_sql),
        ]
    }

    /// Makes the four roles, and what they may do, by the owner of the schema; to be run again too.
    public static let roles = File("80_roles.sql", PackageResources._0_roles_sql)
    public static let grants = File("85_grants.sql", PackageResources._5_grants_sql)

    /// The jobs of `carillon demo`.
    public static let demo = File("demo.sql", PackageResources.demo_sql)

    /// All of it as one script for psql(1) or a reader: a transaction that installs the schema, or
    /// upgrades it. Nil when that version can't be upgraded.
    public static func script(from old: Int64?, withRoles: Bool) -> String? {
        let what =
            old.map { "Upgrades the schema timetable from version \($0) to" } ?? """
                Installs the schema timetable, version
                """
        guard let files = old.map(upgrade(from:)) ?? installation else { return nil }
        let intro = """
            -- \(what) \(version).
            -- Run it as the role that owns the schema and serves it, by psql -X -v ON_ERROR_STOP=1.

            BEGIN;


            """
        return ([lock] + files + (withRoles ? [roles, grants] : [])).reduce(into: intro) {
            script, file in
            script += "-- \(file.name)\n\n\(file.sql)\n"
        } + "COMMIT;\n"
    }
}
