import Foundation
import TestSupport
import Testing

/// A crontab of some thirty lines as hosts have it, and when cron would run each.
struct CrontabFixtureTests {
    private static let crontab = """
        # /etc/crontab of a web host, and what its admins added over the years.
        SHELL=/bin/sh
        PATH=/usr/local/sbin:/usr/local/bin:/sbin:/bin:/usr/sbin:/usr/bin

        17 *    * * *   cd / && run-parts --report /etc/cron.hourly
        25 6    * * *   test -x /usr/sbin/anacron || run-parts /etc/cron.daily
        47 6    * * 7   test -x /usr/sbin/anacron || run-parts /etc/cron.weekly
        52 6    1 * *   test -x /usr/sbin/anacron || run-parts /etc/cron.monthly
        */5 * * * *     /usr/lib/sysstat/debian-sa1 1 1 >/dev/null
        59 23 * * *     /usr/lib/sysstat/debian-sa1 60 2
        0 */12 * * *    perl -e 'sleep int(rand(43200))' && certbot -q renew
        09,39 *  * * *  [ -x /usr/lib/php/sessionclean ] && /usr/lib/php/sessionclean
        30 3 * * 0      test -e /run/systemd/system || e2scrub_all_cron
        10 3 * * *      e2scrub_all -A -r
        57 0 * * 0      /usr/share/mdadm/checkarray --cron --all --idle --quiet
        0 0 13 * 5      /usr/local/bin/friday-or-the-13th
        0 0 */2 * 1     /usr/local/bin/odd-mondays
        0 0 1-7 * */7   /usr/local/bin/first-sunday
        15 2 * * mon-fri pg_dump -Fc shop > /srv/backup/shop-$(date +\\%a).dump
        45 2 1,15 * *   pg_dumpall | gzip > /srv/backup/all.sql.gz
        */7 8-18 * * 1-5 /usr/local/bin/queue --watch
        0 9-17/2 * jan,apr,jul,oct * /usr/local/bin/quarter
        5 4 29 2 *      /usr/local/bin/leap-day
        0 22 * * 1-5    mail -s "It's 10pm" joe%Joe,%%Where are your kids?%
        23 0-23/2 * * * echo "23 minutes after midnight, 2am, 4am ..., everyday"
        5 4 * * sun     echo "five after four every Sunday"
        0 0 31 * *      /usr/local/bin/long-months
        30 2 * * *      /usr/local/bin/nightly --quiet 2>&1 | logger -t nightly
        */20 5-6,20-22 1-10/3 * * /usr/local/bin/odd
        0,1,2,58-59 0 * * * /usr/local/bin/around-midnight
        @hourly         find /tmp/uploads -mmin +60 -delete
        @daily          /usr/bin/find /var/log/app -mtime +14 -delete
        @weekly         vacuumdb --all --analyze-only
        @monthly        /usr/local/bin/invoice
        @yearly         /usr/local/bin/calendar --new
        """

    /// What crontab(5) says, and nothing more: a look at each minute.
    private struct Entry {
        let sets: [Set<Int>]
        let isEitherDay: Bool

        init(_ line: String) {
            let names = [
                "@hourly": "0 * * * *", "@daily": "0 0 * * *", "@weekly": "0 0 * * 0",
                "@monthly": "0 0 1 * *", "@yearly": "0 0 1 1 *",
            ]
            let words = line.split { $0 == " " }.map(String.init)
            let fields = (names[words[0]]?.split(separator: " ").map(String.init) ?? words)
                .prefix(5)
            let ranges = [0...59, 0...23, 1...31, 1...12, 0...7]
            sets = zip(fields, ranges).map { Self.values(of: $0, in: $1) }
            isEitherDay = !fields[2].hasPrefix("*") && !fields[4].hasPrefix("*")
        }

        private static let words = [
            "jan": 1, "apr": 4, "jul": 7, "oct": 10, "sun": 0, "mon": 1, "fri": 5,
        ]

        private static func values(of field: String, in range: ClosedRange<Int>) -> Set<Int> {
            var result: Set<Int> = []
            for item in field.split(separator: ",") {
                let parts = item.split(separator: "/")
                let ends = parts[0].split(separator: "-").map { words[String($0)] ?? Int($0) ?? -1 }
                let first = parts[0] == "*" ? range.lowerBound : ends[0]
                let last = parts[0] == "*" ? range.upperBound : ends[ends.count - 1]
                let step = parts.count > 1 ? Int(parts[1]) ?? 1 : 1
                result.formUnion(stride(from: first, through: last, by: step))
            }
            if range == 0...7, result.contains(7) { result.insert(0) }
            return result
        }

        func matches(_ minute: Int, _ hour: Int, _ day: Int, _ month: Int, _ weekday: Int) -> Bool {
            guard sets[0].contains(minute), sets[1].contains(hour), sets[3].contains(month) else {
                return false
            }
            let (isDay, isWeekday) = (sets[2].contains(day), sets[4].contains(weekday))
            return isEitherDay ? isDay || isWeekday : isDay && isWeekday
        }

        /// The next fires in UTC, of which there are so many within four years.
        func next(after start: Date, _ count: Int) throws -> [String] {
            var calendar = Calendar(identifier: .gregorian)
            calendar.timeZone = try #require(TimeZone(identifier: "UTC"))
            var found: [String] = []
            for day in 0..<(4 * 366) {
                let date = start.addingTimeInterval(Double(day) * 86_400)
                let parts = calendar.dateComponents([.year, .month, .day, .weekday], from: date)
                let (year, month) = (try #require(parts.year), try #require(parts.month))
                let (of, weekday) = (try #require(parts.day), try #require(parts.weekday) - 1)
                for minute in 0..<1440 where matches(minute % 60, minute / 60, of, month, weekday) {
                    // Strictly later than the start, a midnight.
                    if day == 0, minute == 0 { continue }
                    found.append(
                        String(
                            format: "%04d-%02d-%02dT%02d:%02d:00Z", year, month, of, minute / 60,
                            minute % 60))
                    if found.count == count { return found }
                }
            }
            return found
        }
    }

    @Test func eachLineFiresAsUnderCron() async throws {
        let jobs = try await JobDatabase("fixture")
        let said = try await jobs.lines(
            ["import", "crontab", "--zone", "UTC", "-"], stdin: Self.crontab)
        #expect(!said.contains { $0.contains("cron would not run it") })
        let lines = Self.crontab.split(separator: "\n").map(String.init).filter {
            !$0.hasPrefix("#") && !$0.hasPrefix("SHELL=") && !$0.hasPrefix("PATH=")
        }
        #expect(lines.count == 31)
        let ids = try await jobs.psql(
            """
            SELECT chain_execution_config FROM timetable.chain_execution_config ORDER BY 1
            """
        ).split(separator: "\n").map(String.init)
        #expect(ids.count == lines.count)
        let start = try Date("2026-12-01T00:00:00Z", strategy: .iso8601)
        for (line, id) in zip(lines, ids) {
            let wanted = try Entry(line).next(after: start, 5)
            #expect(!wanted.isEmpty, "\(line)")
            let found = try await jobs.lines([
                "next", "--name", id, "--utc", "--after", "2026-12-01T00:00:00Z", "--count",
                "\(wanted.count)",
            ])
            #expect(found == wanted, "\(line)")
        }
    }

    /// On 28 March 2027 there is no 02:30 in Berlin: cron runs such a line at 03:00.
    @Test func aLineInAGapOfTheClockFiresRightAfterIt() async throws {
        let jobs = try await JobDatabase("fixture_gap")
        _ = try await jobs.lines(["import", "crontab", "-"], stdin: "30 2 * * * /bin/nightly\n")
        let found = try await jobs.lines([
            "next", "nightly", "--after", "2027-03-27T12:00:00Z", "--count", "2",
        ])
        #expect(found == ["2027-03-28T03:00:00+02:00", "2027-03-29T02:30:00+02:00"])
    }
}
