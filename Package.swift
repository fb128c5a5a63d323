// swift-tools-version: 6.2
import PackageDescription

/// One set of rules for all our targets: complete checking, and no warning survives a build.
let settings: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
    .enableUpcomingFeature("InferIsolatedConformances"),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .strictMemorySafety(),
    .treatAllWarnings(as: .error),
]

/// Of `sql/`, in the order in which they are run.
let schemaFiles = [
    "00_lock.sql",
    "10_types.sql",
    "20_tables.sql",
    "30_schedule.sql",
    "32_words.sql",
    "35_next_fires.sql",
    "40_checks.sql",
    "45_chain_gaps.sql",
    "50_notify.sql",
    "55_secrets.sql",
    "60_claims.sql",
    "65_ends.sql",
    "66_workers.sql",
    "67_retention.sql",
    "70_functions.sql",
    "72_rights.sql",
    "75_jobs.sql",
    "75_views.sql",
    "76_why_not_running.sql",
    "80_roles.sql",
    "85_grants.sql",
    "90_built_ins.sql",
    "demo.sql",
    "upgrade_4.sql",
    "upgrade_triggers.sql",
]

let logging = Target.Dependency.product(name: "Logging", package: "swift-log")
let deque = Target.Dependency.product(name: "DequeModule", package: "swift-collections")
let arguments = Target.Dependency.product(
    name: "ArgumentParser", package: "swift-argument-parser")

let package = Package(
    name: "carillon",
    products: [
        // Preloaded by tests alone.
        .library(name: "FakeClock", type: .dynamic, targets: ["FakeClock"])
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.0"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.0"),
        .package(url: "https://github.com/apple/swift-collections", from: "1.6.0"),
    ],
    targets: [
        // C edges: constants and calls that Swift's Glibc module does not carry.
        .target(name: "CLinux"),
        .systemLibrary(name: "CLibpq", pkgConfig: "libpq", providers: [.apt(["libpq-dev"])]),
        .systemLibrary(
            name: "CCurl", pkgConfig: "libcurl", providers: [.apt(["libcurl4-openssl-dev"])]),
        .systemLibrary(
            name: "CSystemd", pkgConfig: "libsystemd", providers: [.apt(["libsystemd-dev"])]),
        .systemLibrary(
            name: "CYaml", pkgConfig: "yaml-0.1", providers: [.apt(["libyaml-dev"])]),

        // Pure rooms.
        .target(name: "Timing", swiftSettings: settings),
        .target(name: "Scheduling", dependencies: ["Timing"], swiftSettings: settings),
        .target(name: "Jobs", dependencies: ["Scheduling", "Timing"], swiftSettings: settings),
        .target(
            name: "JobFiles", dependencies: ["Jobs", "Scheduling", "CYaml"],
            swiftSettings: settings),

        // Edges.
        .target(
            name: "Reactor", dependencies: ["Timing", "CLinux", deque], swiftSettings: settings),
        .target(
            name: "Postgres", dependencies: ["Reactor", "Timing", "CLibpq", deque],
            swiftSettings: settings),
        .target(
            name: "Programs", dependencies: ["Reactor", "Timing", "CLinux"], swiftSettings: settings
        ),
        .target(
            name: "Transfers", dependencies: ["Reactor", "Timing", "CCurl"],
            swiftSettings: settings),
        .target(name: "Systemd", dependencies: ["CSystemd"], swiftSettings: settings),
        .target(
            name: "TimetableSchema", path: "sql",
            resources: schemaFiles.map { .embedInCode($0) },
            swiftSettings: settings),

        .target(name: "Terminal", swiftSettings: settings),

        // The application and its command line.
        .target(
            name: "Timetable",
            dependencies: [
                "Jobs", "Scheduling", "Timing", "Reactor", "Postgres", "Programs", "Transfers",
                "Systemd",
                "TimetableSchema", logging, deque,
            ],
            swiftSettings: settings),
        .executableTarget(
            name: "carillon",
            dependencies: [
                "Timetable", "Jobs", "JobFiles", "Scheduling", "Timing", "Reactor", "Postgres",
                "Programs", "Systemd", "TimetableSchema", "Terminal", arguments, logging,
            ],
            swiftSettings: settings),

        // What several tests need: a private PostgreSQL, a running daemon, awaited conditions.
        .target(
            name: "TestSupport", dependencies: ["Timing", "Reactor", "CLinux"],
            path: "Tests/TestSupport", exclude: ["Servers"], swiftSettings: settings),
        .target(name: "FakeClock", path: "Tests/FakeClock"),
        .executableTarget(
            name: "carillon-bench",
            dependencies: ["TestSupport", "Postgres", "Reactor", "Timing", "Scheduling"],
            path: "Tests/Bench", swiftSettings: settings),
        .testTarget(
            name: "TestSupportTests", dependencies: ["TestSupport", "Timing"],
            swiftSettings: settings),

        .testTarget(
            name: "TidyTests", dependencies: ["TestSupport"], swiftSettings: settings),
        .testTarget(
            name: "ReadmeTests", dependencies: ["TestSupport"], swiftSettings: settings),

        .testTarget(name: "TerminalTests", dependencies: ["Terminal"], swiftSettings: settings),
        .testTarget(name: "TimingTests", dependencies: ["Timing"], swiftSettings: settings),
        .testTarget(
            name: "SchedulingTests", dependencies: ["Scheduling", "Timing", "TestSupport"],
            exclude: ["Vectors"], swiftSettings: settings),
        .testTarget(
            name: "JobsTests", dependencies: ["Jobs", "Scheduling", "Timing", "TestSupport"],
            swiftSettings: settings),
        .testTarget(
            name: "JobFilesTests", dependencies: ["JobFiles", "Jobs"], swiftSettings: settings),
        .testTarget(
            name: "ReactorTests", dependencies: ["Reactor", "Timing", "TestSupport"],
            swiftSettings: settings),
        .testTarget(
            name: "PostgresTests", dependencies: ["Postgres", "Reactor", "Timing", "TestSupport"],
            swiftSettings: settings),
        .testTarget(
            name: "ProgramsTests", dependencies: ["Programs", "Reactor", "TestSupport"],
            swiftSettings: settings),
        .testTarget(
            name: "TransfersTests", dependencies: ["Transfers", "Reactor", "TestSupport"],
            swiftSettings: settings),
        .testTarget(
            name: "SystemdTests", dependencies: ["Systemd", "TestSupport"],
            swiftSettings: settings),
        .testTarget(
            name: "TimetableTests",
            dependencies: [
                "Timetable", "Jobs", "JobFiles", "TimetableSchema", "Scheduling", "Timing",
                "TestSupport",
            ],
            exclude: ["Schemas"], swiftSettings: settings),
        .testTarget(
            name: "BootTests", dependencies: ["TestSupport"], exclude: ["boot.sh", "package.sh"],
            swiftSettings: settings),
        .testTarget(
            name: "CommandTests", dependencies: ["TestSupport"], exclude: ["Help"],
            swiftSettings: settings),
        .testTarget(
            name: "FaultTests", dependencies: ["TestSupport", "Timing"], swiftSettings: settings),
    ]
)
