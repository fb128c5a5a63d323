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

        // Pure rooms.
        .target(name: "Timing", swiftSettings: settings),
        .target(name: "Scheduling", dependencies: ["Timing"], swiftSettings: settings),

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
            resources: [
                .embedInCode("00_lock.sql"),
                .embedInCode("10_types.sql"), .embedInCode("20_tables.sql"),
                .embedInCode("30_schedule.sql"), .embedInCode("32_words.sql"),
                .embedInCode("35_next_fires.sql"),
                .embedInCode("40_checks.sql"), .embedInCode("45_chain_gaps.sql"),
                .embedInCode("50_notify.sql"), .embedInCode("55_secrets.sql"),
                .embedInCode("60_claims.sql"), .embedInCode("65_ends.sql"),
                .embedInCode("66_workers.sql"), .embedInCode("67_retention.sql"),
                .embedInCode("70_functions.sql"),
                .embedInCode("90_built_ins.sql"), .embedInCode("upgrade_4.sql"),
                .embedInCode("upgrade_triggers.sql"),
            ],
            swiftSettings: settings),

        // The application and its command line.
        .target(
            name: "Timetable",
            dependencies: [
                "Scheduling", "Timing", "Reactor", "Postgres", "Programs", "Transfers", "Systemd",
                "TimetableSchema", logging, deque,
            ],
            swiftSettings: settings),
        .executableTarget(
            name: "carillon",
            dependencies: [
                "Timetable", "Scheduling", "Timing", "Reactor", "Postgres", "Programs", "Systemd",
                "TimetableSchema", arguments, logging,
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

        .testTarget(name: "TimingTests", dependencies: ["Timing"], swiftSettings: settings),
        .testTarget(
            name: "SchedulingTests", dependencies: ["Scheduling", "Timing", "TestSupport"],
            exclude: ["Vectors"], swiftSettings: settings),
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
            dependencies: ["Timetable", "TimetableSchema", "Scheduling", "Timing", "TestSupport"],
            exclude: ["Schemas"], swiftSettings: settings),
        .testTarget(
            name: "FaultTests", dependencies: ["TestSupport", "Timing"], swiftSettings: settings),
    ]
)
