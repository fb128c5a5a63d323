import Jobs
import Testing

struct SpanTests {
    @Test(
        arguments: [
            ("90s", "1 minute 30 seconds"), ("10 minutes", "10 minutes"),
            ("1h30m", "1 hour 30 minutes"),
            ("1 day", "1 day"), ("1 day 02:03:04.5", "1 day 2 hours 3 minutes 4500 milliseconds"),
            ("00:10:00", "10 minutes"), ("1 mon", "1 month"), ("1 year 2 mons", "14 months"),
            ("2 weeks", "14 days"), ("250 ms", "250 milliseconds"), ("0", nil), ("0s", "0 seconds"),
            ("1.5 hours", "1 hour 30 minutes"), ("00:00:00", "0 seconds"),
            ("100:00:00", "100 hours"),
            ("", nil), (" ", nil), ("ten", nil), ("-1 day", nil), ("1.5 days", nil),
            ("1 parsec", nil),
            ("99999999999 s", nil), ("999999999 h", nil), ("1:60:00", nil), ("10:", nil),
            ("'1 s'", nil),
        ] as [(String, String?)])
    func oneForm(text: String, canonical: String?) {
        #expect(Span(text)?.description == canonical)
        if let canonical { #expect(Span(canonical)?.description == canonical) }
    }

    @Test(
        arguments: [
            ("starts_at", "2027-01-31T09:00:00Z", "2027-01-31T09:00:00Z"),
            ("starts_at", "2027-01-31 09:00:00.25+02:00", "2027-01-31T07:00:00.25Z"),
            ("ends_at", "infinity", "infinity"), ("ends_at", "2027-01-31 09:00", nil),
            ("starts_at", "0001-01-01T00:00:00+00", "0001-01-01T00:00:00Z"),
            ("starts_at", "2024-02-29T23:59:59-05:30", "2024-03-01T05:29:59Z"),
            ("live", "true", "true"), ("live", "yes", nil), ("retries", "3", "3"),
            ("retries", "3.0", nil), ("retries", "99999999999", nil), ("overlap", "wait", "WAIT"),
            ("overlap", "maybe", nil), ("timeout", "90 s", "1 minute 30 seconds"),
        ] as [(String, String, String?)])
    func columns(name: String, text: String, canonical: String?) throws {
        #expect(try #require(ConfigColumn.named(name)).canonical(text) == canonical)
    }

    @Test(arguments: [
        (
            "postgresql://u:secret@h:5432/d?sslmode=require",
            "postgresql://u:***@h:5432/d?sslmode=require"
        ),
        ("postgres://u@h/d?password=secret&x=1", "postgres://u@h/d?password=***&x=1"),
        ("host=h password=secret dbname=d", "host=h password=*** dbname=d"),
        ("host=h password = 'sec ret\\'s' dbname=d", "host=h password=*** dbname=d"),
        ("PASSWORD=secret", "PASSWORD=***"), ("host=h", "host=h"), ("", ""),
        ("postgresql://u:sec/ret@h/d", "postgresql://u:***@h/d"),
        ("host='a b' user=u", "host='a b' user=u"), ("nonsense", "nonsense"),
        ("sslpassword=secret dbname='x", "sslpassword=*** dbname='x"),
        (
            "postgresql:///d?host=/run&sslpassword=secret",
            "postgresql:///d?host=/run&sslpassword=***"
        ),
    ])
    func passwords(text: String, redacted: String) {
        let string = ConnectString(text)
        #expect(string.redacted == redacted)
        #expect(!string.identity.contains("secret") && !string.identity.contains("***"))
        #expect(string.hasPassword == redacted.contains("***"))
        #expect(ConnectString(redacted).hasPlaceholder == string.hasPassword)
        #expect(ConnectString(redacted).identity == string.identity)
    }
}
