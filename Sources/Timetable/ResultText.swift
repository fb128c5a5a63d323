internal import Postgres

/// Results as text for `execution_log.output`: rows like psql's unaligned form, then the tag.
enum ResultText {
    /// What is kept of the rows of one task.
    static let limit = 8_192

    static func render(_ results: [Rows]) -> String {
        var text = ""
        for rows in results {
            append(rows, to: &text)
            if !text.isEmpty, !text.hasSuffix("\n") { text += "\n" }
            text += rows.commandTag
        }
        return text
    }

    private static func append(_ rows: Rows, to text: inout String) {
        guard rows.count > 0 else { return }
        let columns = rows.columns
        if !text.isEmpty { text += "\n" }
        text += columns.joined(separator: "|")
        for row in 0..<rows.count {
            guard text.utf8.count < limit else {
                text += "\n… \(rows.count - row) rows left out …"
                return
            }
            let values = columns.indices.map { column in
                String((rows.text(row, column) ?? "").prefix(limit))
            }
            text += "\n" + values.joined(separator: "|")
        }
    }
}
