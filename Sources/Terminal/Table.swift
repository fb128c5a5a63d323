/// Rows under headings, aligned; in the width of a terminal where there is one.
public struct Table: Sendable {
    public struct Column: Sendable {
        let heading: String
        let isRight: Bool
        /// May be cut down to so many columns where the screen is narrow; nil: never.
        let least: Int?

        /// Text, from the left.
        public static func text(_ heading: String, least: Int? = nil) -> Column {
            Column(heading: heading, isRight: false, least: least)
        }

        /// Numbers and lengths, to the right.
        public static func right(_ heading: String) -> Column {
            Column(heading: heading, isRight: true, least: nil)
        }
    }

    public struct Cell: Sendable, ExpressibleByStringLiteral {
        let text: String
        let colour: Screen.Colour?

        /// nil is shown as `-`.
        public init(_ text: String?, _ colour: Screen.Colour? = nil) {
            self.text = text.map(Plain.line) ?? "-"
            self.colour = colour
        }

        public init(stringLiteral text: String) {
            self.init(text)
        }
    }

    private let columns: [Column]
    private var rows: [[Cell]] = []

    public init(_ columns: [Column]) {
        self.columns = columns
    }

    /// A cell for each column; what is missing is empty.
    public mutating func add(_ cells: [Cell]) {
        let missing = max(0, columns.count - cells.count)
        rows.append(cells.prefix(columns.count) + Array(repeating: Cell(""), count: missing))
    }

    /// The lines, headings first; none without rows.
    public func lines(on screen: Screen) -> [String] {
        guard !rows.isEmpty else { return [] }
        let widths = widths(on: screen)
        let head = columns.map { Cell($0.heading, .bold) }
        return ([head] + rows).map { line($0, widths, screen) }
    }

    private static let gap = 2

    private func widths(on screen: Screen) -> [Int] {
        var widths = columns.indices.map { index in
            rows.reduce(Plain.width(columns[index].heading)) {
                max($0, Plain.width($1[index].text))
            }
        }
        guard let width = screen.width else { return widths }
        var excess = widths.reduce(0, +) + Self.gap * (columns.count - 1) - width
        // The widest of those that may gives first.
        while excess > 0 {
            let candidates = columns.indices.filter { index in
                columns[index].least.map { widths[index] > $0 } ?? false
            }
            guard let widest = candidates.max(by: { widths[$0] < widths[$1] }) else { break }
            let least = columns[widest].least ?? 0
            let second =
                candidates.filter { $0 != widest }.map { widths[$0] }.max() ?? least
            let step = max(1, min(excess, widths[widest] - max(second, least)))
            widths[widest] -= step
            excess -= step
        }
        return widths
    }

    private func line(_ cells: [Cell], _ widths: [Int], _ screen: Screen) -> String {
        var line = ""
        var room = screen.width ?? .max
        for (index, cell) in cells.enumerated() {
            let before = index == 0 ? 0 : Self.gap
            guard room > before else { break }
            let text = Plain.fit(cell.text, min(widths[index], room - before))
            let padding = String(
                repeating: " ",
                count: max(0, min(widths[index], room - before) - Plain.width(text)))
            let isLast = index == cells.count - 1
            let painted = screen.paint(text, cell.colour)
            line += String(repeating: " ", count: before)
            if columns[index].isRight {
                line += padding + painted
            } else {
                line += painted + (isLast ? "" : padding)
            }
            room -= before + widths[index]
        }
        return line
    }
}
