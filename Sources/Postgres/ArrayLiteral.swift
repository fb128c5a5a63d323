/// Reads a one-dimensional PostgreSQL array literal such as `{a,"b c",NULL}`; nil when it is none.
///
/// Authority: PostgreSQL manual, 8.15.6, array input and output syntax.
public func parseArrayLiteral(_ text: String) -> [String?]? {
    var bytes = text.utf8.makeIterator()
    guard bytes.next() == UInt8(ascii: "{") else { return nil }
    var values: [String?] = []
    var value: [UInt8] = []
    var wasQuoted = false
    var isQuoted = false

    func finished() -> String? {
        let string = String(decoding: value, as: UTF8.self)
        return !wasQuoted && string == "NULL" ? nil : string
    }
    while let byte = bytes.next() {
        switch byte {
        case UInt8(ascii: "\\"):
            guard let escaped = bytes.next() else { return nil }
            value.append(escaped)
        case UInt8(ascii: "\""):
            isQuoted.toggle()
            wasQuoted = true
        case UInt8(ascii: ",") where !isQuoted:
            values.append(finished())
            value.removeAll(keepingCapacity: true)
            wasQuoted = false
        case UInt8(ascii: "}") where !isQuoted:
            guard bytes.next() == nil else { return nil }
            if !values.isEmpty || !value.isEmpty || wasQuoted { values.append(finished()) }
            return values
        default:
            value.append(byte)
        }
    }
    return nil
}
