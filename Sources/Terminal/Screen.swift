/// Where output goes, and so what it may look like.
public struct Screen: Sendable, Equatable {
    public enum Colour: String, Sendable {
        case red = "31"
        case green = "32"
        case yellow = "33"
        case faint = "2"
        case bold = "1"
    }

    /// Columns; nil off a terminal: then nothing is cut off.
    public let width: Int?
    public let usesColour: Bool

    /// A file, a pipe, or what a test looks at.
    public static let plain = Screen(width: nil, usesColour: false)

    public init(width: Int?, usesColour: Bool) {
        self.width = width
        self.usesColour = usesColour
    }

    /// SGR sequences of ECMA-48 around a text.
    public func paint(_ text: String, _ colour: Colour?) -> String {
        guard usesColour, let colour, !text.isEmpty else { return text }
        return "\u{1B}[\(colour.rawValue)m\(text)\u{1B}[0m"
    }

    /// A text of several lines, as it may be shown here. Off a terminal it stays as it is.
    public func block(_ text: String) -> String {
        width == nil ? text : Plain.block(text)
    }
}
