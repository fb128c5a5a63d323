import Jobs
import Testing

@testable import Timetable

struct ParameterTests {
    @Test(arguments: [
        (#"{"Password": "secret", "a": 1}"#, #"{"Password": "***", "a": 1}"#),
        (#"{"a": [1, 2], "PASSWORD": "s\"e}c, \\"}"#, #"{"a": [1, 2], "PASSWORD": "***"}"#),
        (#"{"password":12345,"b":true}"#, #"{"password":"***","b":true}"#),
        (#"{"Password": ["a", "b"], "c": 1}"#, #"{"Password": ["***", "***"], "c": 1}"#),
        (
            #"{"Password": {"a": "b", "c": "d"}, "e": "f"}"#,
            #"{"Password": {"***": "***", "***": "***"}, "e": "f"}"#
        ),
        (#"{"passwort": "secret"}"#, #"{"passwort": "***"}"#),
        (#"{"PasswordFile": "/etc/p"}"#, #"{"PasswordFile": "/etc/p"}"#),
        (#"{"Subject": "Password", "x": "secret"}"#, #"{"Subject": "Password", "x": "secret"}"#),
        (#"{"a": {"Password": "x"}}"#, #"{"a": {"Password": "x"}}"#),
        (
            #"{"fileurls": ["ftp://u:p@h/a@b", "http://h/?a=b@c", "https://u@h"]}"#,
            #"{"fileurls": ["ftp://***@h/a@b", "http://h/?a=b@c", "https://***@h"]}"#
        ),
        (#"{"n": 12345678901234567890.10}"#, #"{"n": 12345678901234567890.10}"#),
        ("{}", "{}"),
    ])
    func aPasswordIsNotShown(json: String, shown: String) {
        #expect(Parameter(json: json, type: "object", values: nil).redacted == shown)
    }

    @Test func valuesForSQLAndProgramsAreShown() {
        let json = #"["Password", "http://u:p@h/"]"#
        #expect(Parameter(json: json, type: "array", values: []).redacted == json)
    }

    @Test(arguments: [
        ("null", JSON.null), ("true", .boolean(true)), ("-1.50e3", .number("-1.50e3")),
        (#""a\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00é""#, .text("a\"\\/\u{8}\u{C}\n\r\té😀é")),
        (" [1, [], {}] ", .array([.number("1"), .array([]), .object([])])),
        (
            #"{"a": 1, "b": [null]}"#,
            .object([
                JSON.Member(key: "a", value: .number("1")),
                JSON.Member(key: "b", value: .array([.null])),
            ])
        ),
    ])
    func jsonIsRead(text: String, value: JSON) {
        #expect(JSON(text) == value)
    }

    @Test(arguments: [
        "", "nul", "[1,", "[1 2]", #"{"a"}"#, #"{"a":}"#, #"{a: 1}"#, #""a"#, #""\x""#,
        #""\ud83d""#, #""\ude00""#, "1 2", "+1", "nan", ".5x", "\"\\",
        String(repeating: "[", count: 101),
    ])
    func whatIsNoJSONIsNone(text: String) {
        #expect(JSON(text) == nil)
    }
}
