import Foundation
import Testing

/// The files of units, which `BootTests` starts.
struct UnitTests {
    private static let folder =
        URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().appending(path: "systemd")

    private static func lines(_ name: String) throws -> [String] {
        try String(contentsOf: folder.appending(path: name), encoding: .utf8)
            .components(separatedBy: "\n")
    }

    @Test func anInstanceDiffersInItsPlacesAlone() throws {
        let one = try Self.lines("carillon.service")
        let instance = try Self.lines("carillon@.service")
        let places = [
            ("for PostgreSQL", "for PostgreSQL (%i)"),
            ("/etc/carillon/carillon.conf", "/etc/carillon/%i.conf"),
            ("/etc/carillon/pgpass", "/etc/carillon/%i.pgpass"),
            ("%t/carillon/", "%t/carillon-%i/"),
            ("RuntimeDirectory=carillon", "RuntimeDirectory=carillon-%i"),
            ("StateDirectory=carillon", "StateDirectory=carillon/%i"),
            ("%S/carillon", "%S/carillon/%i"),
        ]
        let expected = one.map { line in
            places.reduce(line) { line, place in
                line.hasPrefix("#") ? line : line.replacingOccurrences(of: place.0, with: place.1)
            }
        }
        #expect(instance == expected)
        #expect(zip(one, instance).count { $0 != $1 } == 8)
    }
}
