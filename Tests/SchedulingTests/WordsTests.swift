import Foundation
import Scheduling
import TestSupport
import Testing

/// Schedules in words: sentences that read naturally, and the same of Swift and of SQL.
@Suite struct WordsTests {
    /// schedule, then its sentence
    static let sentences: [(String, String)] = [
        ("30 2 * * *", "at 02:30 every day"),
        ("* * * * *", "every minute"),
        ("*/10 9-17 * * 1-5", "every 10 minutes from 09:00 to 17:59 on Monday to Friday"),
        ("0 0 L * *", "at 00:00 on the last day of the month"),
        // Either day is enough, unless one field begins with * or the weekday with +.
        ("0 0 15 * 1", "at 00:00 on the 15th of the month or on Monday"),
        ("0 0 15 * +1", "at 00:00 on the 15th of the month, if that is Monday"),
        (
            "0 0 */2 * 1",
            "at 00:00 on every 2nd day from the 1st to the 31st of the month, if that is Monday"
        ),
        ("0 0 1-31 * 1", "at 00:00 every day"),
        ("0 0 1 4 sat,sun", "at 00:00 on the 1st of April or on Saturday and Sunday in April"),
        ("0 0 1-7 * +MON", "at 00:00 on the 1st to the 7th of the month, if that is Monday"),
        ("0 12 * * mon,wed-fri", "at 12:00 on Monday and Wednesday to Friday"),
        ("0 9 * * 5#2", "at 09:00 on the second Friday of the month"),
        ("0 9 * 3,9 5L", "at 09:00 on the last Friday of March and September"),
        ("0 9 * 3 1,5L", "at 09:00 on Monday and the last Friday of the month in March"),
        (
            "0 0 15W,LW,L-3 * *",

            "at 00:00 on the workday nearest the 15th, the last workday and the "
                + "4th-last day of the month"
        ),
        (
            "0 0 1,2,3,22 12,1,2 *",
            "at 00:00 on the 1st to the 3rd and the 22nd of December to February"
        ),
        ("0 8 * 6 *", "at 08:00 every day in June"),
        ("0 * * * *", "every hour"),
        ("0 * * 6 *", "every hour in June"),
        ("1 * * * *", "at 1 minute past every hour"),
        ("30 15 * * * *", "at 15 minutes and 30 seconds past every hour"),
        ("0,30 * * * *", "every 30 minutes"),
        ("5,20 * * * *", "at minutes 5 and 20 of every hour"),
        ("5/10 * * * *", "every 10 minutes from minute 5 of every hour"),
        ("5/10 9-17 * * *", "every 10 minutes from 09:05 to 17:59 every day"),
        ("0 9-17 * * *", "every hour from 09:00 to 17:00 every day"),
        ("15 1-23/2 * * *", "every 2 hours from 01:15 to 23:15 every day"),
        ("0 */6 * * *", "at 00:00, 06:00, 12:00 and 18:00 every day"),
        ("*/10 22-6 * * *", "every 10 minutes from 22:00 to 06:59 every day"),
        // The night after a Monday is no part of it.
        (
            "*/10 22-6 * * 1",
            "every 10 minutes from 00:00 to 06:59 and from 22:00 to 23:59 on Monday"
        ),
        ("0-29 2 * * *", "every minute from 02:00 to 02:29 every day"),
        ("*/7 * * * *", "at minutes 0, 7, 14, 21, 28, 35, 42, 49 and 56 of every hour"),
        ("1,2 1,3,5,7,9 * * *", "at minutes 1 and 2 of hours 1, 3, 5, 7 and 9 every day"),
        ("* 1,3,5,7 * * *", "every minute of hours 1, 3, 5 and 7 every day"),
        ("* * * * * *", "every second"),
        ("*/10 * * * * *", "every 10 seconds"),
        ("5/10 * * * * *", "every 10 seconds from second 5 of every minute"),
        ("7,8 * * * * *", "at seconds 7 and 8 of every minute"),
        ("15 * * * * *", "every minute at second 15"),
        ("15 30 2 * * *", "at 02:30:15 every day"),
        ("*/10 30 2 * * *", "every 10 seconds from 02:30:00 to 02:30:59 every day"),
        ("*/10 1,5 * * * *", "every 10 seconds of minutes 1 and 5 of every hour"),
        ("@daily", "at 00:00 every day"), ("@weekly", "at 00:00 on Sunday"),
        ("@monthly", "at 00:00 on the 1st of the month"),
        ("@yearly", "at 00:00 on the 1st of January"), ("@hourly", "every hour"),
        ("@every 90s", "every 90 seconds"), ("@every 1h", "every hour"),
        ("@every 1h30m", "every 90 minutes"), ("@every 250ms", "every 250 milliseconds"),
        ("@every 1d", "every 24 hours"), ("@every 1w", "every 7 days of 24 hours"),
        ("@every 20h 5m 1s", "every 20 hours, 5 minutes and 1 second"),
        ("@after 5m", "5 minutes after the end of the run before"),
        ("@after 1h", "1 hour after the end of the run before"),
        ("@at 2027-01-31 09:00", "once, on 31 January 2027 at 09:00"),
        ("@at 2027-01-31 09:00:30.5+02", "once, on 31 January 2027 at 07:00:30.500000 UTC"),
        ("@at 0001-01-01 01:00+05:00", "once, on 31 December 1 BC at 20:00 UTC"),
        ("@reboot", "once when a daemon becomes ready"), ("@manual", "only when it is asked for"),
        ("H H * * *", "at a fixed time every day (H: chosen by the config's id)"),
        ("H * * * *", "at a fixed minute of every hour (H: chosen by the config's id)"),
        (
            "H 2 * * mon",
            "at a fixed time from 02:00 to 02:59 on Monday (H: chosen by the config's id)"
        ),
        (
            "h(0-29)/10 * 1 * H",

            "when the minute is H(0-29)/10 and either the day is 1 or the day "
                + "of week is H (H: chosen by the config's id)"
        ),
    ]

    @Test(arguments: sentences)
    func aSentence(schedule: String, expected: String) {
        #expect(ScheduleInWords.of(schedule) == expected)
    }

    @Test func aConfigDecidesH() {
        #expect(ScheduleInWords.of("H H * * *", config: 7) == "at 03:17 every day")
        #expect(ScheduleInWords.of("0 0 31 2 *") == nil)
    }

    @Test func swiftAndSQLSayTheSame() async throws {
        // A third of what both read: words cost SQL some milliseconds.
        let corpus = try TwoReadersTests.corpus().enumerated()
            .filter { $0.offset % 3 == 0 || TwoReadersTests.corners.contains($0.element) }
        let texts = corpus.map(\.element) + Self.sentences.map(\.0)
        let database = try await PrivateCluster.database("words")
        let folder = URL(filePath: #filePath).deletingLastPathComponent()
            .appending(path: "../../sql").standardized.path
        try await database.psql(
            ["10_types", "20_tables", "30_schedule", "32_words", "35_next_fires"]
                .map { "\\i \(folder)/\($0).sql\n" }.joined())
        let output = try await database.psql(
            """
            CREATE TEMPORARY TABLE texts (n serial, text text);
            COPY texts (text) FROM STDIN;
            \(texts.map(TwoReadersTests.copyLine).joined(separator: "\n"))
            \\.
            SELECT coalesce(timetable.schedule_in_words(text), '-'),
                coalesce(timetable.schedule_in_words(text, 5), '-') FROM texts ORDER BY n
            """, limit: .seconds(120))
        let answers = output.split(separator: "\n").map { $0.split(separator: "|") }
        try #require(answers.count == texts.count)
        var told: Set<String> = []
        for (text, answer) in zip(texts, answers) {
            let shown = text.debugDescription
            let words = ScheduleInWords.of(text)
            try #require(answer.count == 2, "\(shown): \(answer)")
            #expect(words ?? "-" == answer[0], "\(shown)")
            #expect(ScheduleInWords.of(text, config: 5) ?? "-" == answer[1], "\(shown), config 5")
            if let words { told.insert(words) }
        }
        print("words: \(texts.count) schedules, \(told.count) different sentences")
        #expect(told.count > 1000)
    }
}
