import Foundation
import Scheduling
import Testing
import Timing

/// Zone files against the C library's reading of the same files, and rules written by hand.
@Suite struct ZoneRulesTests {
    static let names = [
        "Europe/Berlin", "Europe/Dublin", "Europe/London", "America/New_York", "America/Sao_Paulo",
        "America/St_Johns", "America/Havana", "America/Caracas", "America/Nuuk", "Asia/Kathmandu",
        "Asia/Tehran", "Asia/Pyongyang", "Asia/Gaza", "Asia/Beirut", "Africa/Cairo",
        "Africa/Casablanca", "Africa/Monrovia", "Australia/Lord_Howe", "Antarctica/Troll",
        "Antarctica/Casey", "Pacific/Apia", "Pacific/Kwajalein", "Pacific/Kiritimati",
        "Pacific/Chatham", "Pacific/Norfolk", "Etc/GMT+12", "UTC", "EST5EDT", "MST", "Asia/Manila",
    ]

    /// `zdump -v` prints each second before and at a change, with the offset there.
    @Test(arguments: names) func agreesWithTheCLibrary(_ name: String) throws {
        let zone = try TestZones.named(name)
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/zdump")
        process.arguments = ["-v", "-c", "1700,2600", name]
        let pipe = Pipe()
        process.standardOutput = pipe
        try process.run()
        let output = try pipe.fileHandleForReading.readToEnd() ?? Data()
        process.waitUntilExit()
        let months = [
            "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
        ]
        var compared = 0
        for line in String(decoding: output, as: UTF8.self).split(separator: "\n") {
            let words = line.split(separator: " ").map(String.init)
            guard words.count > 8, words[6] == "UT", let month = months.firstIndex(of: words[2]),
                let day = Int(words[3]), let year = Int(words[5]), (1...9999).contains(year),
                let offset = words.last.flatMap({ Int($0.dropFirst("gmtoff=".count)) })
            else { continue }
            let time = words[4].split(separator: ":").compactMap { Int($0) }
            try #require(time.count == 3)
            let second =
                PlainCalendar.days(year, month + 1, day) * 86_400 + time[0] * 3600 + time[1] * 60
                + time[2]
            #expect(zone.offset(at: WallInstant(seconds: Int64(second))) == offset, "\(line)")
            compared += 1
        }
        #expect(compared > 0 || ["UTC", "Etc/GMT+12", "MST"].contains(name))
    }

    @Test func everyFileOfTheSystemIsRead() throws {
        let root = "/usr/share/zoneinfo/"
        let files = try #require(FileManager.default.enumerator(atPath: root))
        var read = 0
        while let file = files.nextObject() as? String {
            let url = URL(filePath: root + file)
            guard let bytes = try? Data(contentsOf: url), bytes.starts(with: Array("TZif".utf8))
            else {
                continue
            }
            _ = try ZoneRules(name: file, tzif: Array(bytes))
            read += 1
        }
        #expect(read > 300)
    }

    /// Files under `right/` count leap seconds, our instants do not.
    @Test func leapSecondsAreTakenOut() throws {
        guard FileManager.default.fileExists(atPath: "/usr/share/zoneinfo/right/Europe/Berlin")
        else { return }
        let (plain, right) = (
            try TestZones.named("Europe/Berlin"), try TestZones.named("right/Europe/Berlin")
        )
        for text in ["2026-03-29T00:59:59Z", "2026-03-29T01:00Z", "1980-04-06T01:00Z"] {
            let instant = try WallInstant(text)
            #expect(plain.offset(at: instant) == right.offset(at: instant), "\(text)")
        }
    }

    /// A version 2 file without transitions: only its footer counts.
    private func zone(footer: String, version: UInt8 = UInt8(ascii: "3")) throws -> ZoneRules {
        var bytes: [UInt8] = []
        for _ in 0..<2 {
            bytes += Array("TZif".utf8) + [version] + Array(repeating: 0, count: 15)
            bytes += [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 4]
            bytes += [0, 0, 0, 0, 0, 0] + Array("UTC\0".utf8)
        }
        return try ZoneRules(name: footer, tzif: bytes + Array("\n\(footer)\n".utf8))
    }

    @Test(arguments: [
        ("CET-1CEST,M3.5.0,M10.5.0/3", "2026-03-29T00:59:59Z", 3600),
        ("CET-1CEST,M3.5.0,M10.5.0/3", "2026-03-29T01:00Z", 7200),
        ("CET-1CEST,M3.5.0,M10.5.0/3", "9999-07-01T00:00Z", 7200),
        ("CET-1CEST,M3.5.0,M10.5.0/3", "0002-07-01T00:00Z", 7200),
        ("IST-1GMT0,M10.5.0,M3.5.0/1", "2026-01-01T00:00Z", 0),
        ("IST-1GMT0,M10.5.0,M3.5.0/1", "2026-07-01T00:00Z", 3600),
        ("EST5EDT,0/0,J365/25", "2026-12-31T23:59:59Z", -14_400),
        ("EST5EDT,0/0,J365/25", "2027-01-01T04:30Z", -14_400),
        ("EST5EDT", "2026-03-08T06:59:59Z", -18_000),
        ("EST5EDT", "2026-03-08T07:00Z", -14_400),
        ("<-02>2<-01>,M3.5.0/-1,M10.5.0/0", "2026-03-29T00:59:59Z", -7200),
        ("<-02>2<-01>,M3.5.0/-1,M10.5.0/0", "2026-03-29T01:00Z", -3600),
        ("IST-2IDT,M3.4.4/26,M10.5.0", "2026-03-26T23:59:59Z", 7200),
        ("IST-2IDT,M3.4.4/26,M10.5.0", "2026-03-27T00:00Z", 10_800),
        ("XXX0YYY,J60/0,J61/0", "2024-02-29T12:00Z", 0),
        ("XXX0YYY,J60/0,J61/0", "2024-03-01T12:00Z", 3600),
        ("XXX0YYY,59/0,60/0", "2024-02-29T12:00Z", 3600),
        ("<+1130>-11:30:15", "2024-02-29T12:00Z", 41_415),
    ])
    func footer(_ rule: String, _ instant: String, _ offset: Int) throws {
        #expect(try zone(footer: rule).offset(at: WallInstant(instant)) == offset)
    }

    @Test(arguments: [
        "CE-1", "CET", "CET-25", "CET-1CEST,M3.6.0,M10.5.0", "CET-1CEST,M3.5.0", "<CET-1",
        "CET-1CEST,M13.5.0,M10.5.0", "CET-1CEST,M3.5.0/168,M10.5.0", "CET-1 ", "CET-1CEST,J0,J366",
    ])
    func badFooter(_ rule: String) {
        #expect(throws: ZoneFileError.self) { try zone(footer: rule) }
    }

    @Test func everyCutOffFileIsRefusedOrRead() throws {
        for name in ["Europe/Berlin", "Africa/Casablanca"] {
            let bytes = try TestZones.bytes(name)
            for length in stride(from: 0, to: bytes.count, by: 7) {
                #expect(throws: ZoneFileError.self) {
                    try ZoneRules(name: name, tzif: Array(bytes.prefix(length)))
                }
            }
        }
    }
}
