/// One line of the table, all of it text but the verdict.
struct TableRow {
    /// What the goal of the design says of a value; nil where the design names no goal.
    var meetsGoal: Bool?
    var name: String
    var measured: String
    var goal: String
    var floor: String
}

/// The one table that the bench prints.
struct Table {
    var rows: [TableRow] = []

    var rendered: String {
        let head = ["measure", "measured", "", "goal", "floor in this run"]
        let cells = rows.map { row in
            let verdict = row.meetsGoal.map { $0 ? "met" : "MISSED" } ?? ""
            return [row.name, row.measured, verdict, row.goal, row.floor]
        }
        let widths = head.indices.map { column in
            ([head] + cells).map { $0[column].count }.max() ?? 0
        }
        let rule = widths.map { String(repeating: "-", count: $0) }
        return ([head, rule] + cells).map { line in
            zip(line, widths).map { cell, width in
                cell + String(repeating: " ", count: width - cell.count)
            }
            .joined(separator: "  ").trimmedEnd
        }
        .joined(separator: "\n")
    }
}

extension String {
    fileprivate var trimmedEnd: String {
        String(self[..<(lastIndex { $0 != " " }.map(index(after:)) ?? startIndex)])
    }
}

/// Measured times in microseconds.
struct Sample {
    private(set) var microseconds: [Int64] = []

    mutating func add(_ value: Int64) {
        microseconds.append(value)
    }

    /// The value that a share of all does not exceed (nearest rank).
    func percentile(_ share: Double) -> Int64 {
        let sorted = microseconds.sorted()
        guard let last = sorted.last else { return 0 }
        let rank = Int((share * Double(sorted.count)).rounded(.up)) - 1
        return sorted.indices.contains(rank) ? sorted[rank] : last
    }

    var p50: Int64 { percentile(0.5) }
    var p99: Int64 { percentile(0.99) }
    var maximum: Int64 { microseconds.max() ?? 0 }

    /// `p50 0.41, p99 0.98 ms`.
    var text: String { "p50 \(Self.milliseconds(p50)), p99 \(Self.milliseconds(p99)) ms" }

    /// The same, as two numbers.
    var shortText: String { "\(Self.milliseconds(p50)) / \(Self.milliseconds(p99)) ms" }

    /// Milliseconds with two digits after the point.
    static func milliseconds(_ microseconds: Int64) -> String {
        decimal(Double(microseconds) / 1_000, digits: 2)
    }
}

/// `value` with so many digits after the point; three of a kind with a blank: `12 345.6`.
func decimal(_ value: Double, digits: Int) -> String {
    let scale = (0..<digits).reduce(1.0) { scale, _ in scale * 10 }
    guard let scaled = Int64(exactly: (value.magnitude * scale).rounded()) else {
        return "\(value)"
    }
    let whole = Array(String(scaled / Int64(scale)))
    let grouped = whole.enumerated().map { index, digit in
        index > 0 && (whole.count - index).isMultiple(of: 3) ? " \(digit)" : "\(digit)"
    }
    let sign = value < 0 && scaled > 0 ? "-" : ""
    guard digits > 0 else { return sign + grouped.joined() }
    let rest = String(scaled % Int64(scale))
    let padded = String(repeating: "0", count: digits - rest.count) + rest
    return "\(sign)\(grouped.joined()).\(padded)"
}
