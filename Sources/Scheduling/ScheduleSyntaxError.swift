/// Why a schedule was refused: the field, the column and what is allowed there.
///
/// `message` is complete by itself, e.g. `minute, column 1: 60 is not allowed; 0 to 59 are`.
public struct ScheduleSyntaxError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The field's name (`minute`, `day of week`, `run_at_hour` …); nil when it concerns the whole.
    public let field: String?
    /// Where in the text, in characters from 1; nil when there is no one place.
    public let column: Int?
    /// Field, column and reason in one line, without control characters.
    public let message: String

    public var description: String { message }

    init(field: String?, column: Int?, reason: String) {
        self.field = field
        self.column = column
        let place = [field, column.map { "column \($0)" }].compactMap { $0 }
        message = place.isEmpty ? reason : place.joined(separator: ", ") + ": " + reason
    }

    /// The same error with a sentence more.
    func adding(hint: String) -> ScheduleSyntaxError {
        ScheduleSyntaxError(field: field, column: column, complete: message + ". " + hint)
    }

    /// The same error told of other names, as the `run_at_*` columns have them.
    func naming(field: String) -> ScheduleSyntaxError {
        let reason = message.split(separator: ": ", maxSplits: 1).last.map { String($0) } ?? message
        return ScheduleSyntaxError(field: field, column: nil, reason: reason)
    }

    private init(field: String?, column: Int?, complete: String) {
        self.field = field
        self.column = column
        message = complete
    }
}
