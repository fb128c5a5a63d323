internal import Jobs

/// The JSON object that a built-in has as its parameter, taken apart key by key.
///
/// Keys are compared without regard to case. No error repeats a value: it may be a secret.
struct NamedParameters {
    private let builtIn: String
    private var left: [(key: String, value: JSON)] = []

    init(_ parameter: Parameter?, of builtIn: String) throws(TaskFailure) {
        try self.init(parameter.map { JSON($0.json) } ?? nil, of: builtIn)
    }

    private init(_ value: JSON?, of builtIn: String) throws(TaskFailure) {
        self.builtIn = builtIn
        guard case .object(let members) = value else {
            throw TaskFailure(
                "the parameter of \(builtIn) must be a JSON object; "
                    + "this is \(value.map(\.kind) ?? "none")")
        }
        for member in members {
            let key = member.key.lowercased()
            guard !left.contains(where: { $0.key.lowercased() == key }) else {
                throw TaskFailure("\(builtIn): the key \"\(member.key)\" is there twice")
            }
            // As if it was not there.
            if member.value != .null { left.append((member.key, member.value)) }
        }
    }

    /// Throws when there is a key that nobody has asked for.
    func finish() throws(TaskFailure) {
        guard let first = left.first else { return }
        throw TaskFailure("\(builtIn) knows no key \"\(first.key)\"")
    }

    private mutating func take(_ key: String) -> JSON? {
        let lower = key.lowercased()
        guard let index = left.firstIndex(where: { $0.key.lowercased() == lower }) else {
            return nil
        }
        return left.remove(at: index).value
    }

    private func wrong(_ key: String, _ wanted: String, _ value: JSON) -> TaskFailure {
        TaskFailure("\(builtIn): \"\(key)\" must be \(wanted); this is \(value.kind)")
    }

    private func missing(_ key: String) -> TaskFailure {
        TaskFailure("\(builtIn): the key \"\(key)\" is missing")
    }

    mutating func text(_ key: String) throws(TaskFailure) -> String? {
        guard let value = take(key) else { return nil }
        guard case .text(let text) = value else { throw wrong(key, "a text", value) }
        return text
    }

    mutating func requiredText(_ key: String) throws(TaskFailure) -> String {
        guard let text = try text(key), !text.isEmpty else { throw missing(key) }
        return text
    }

    mutating func texts(_ key: String) throws(TaskFailure) -> [String] {
        guard let value = take(key) else { return [] }
        guard case .array(let values) = value else {
            throw wrong(key, "an array of texts", value)
        }
        var texts: [String] = []
        for value in values {
            guard case .text(let text) = value else {
                throw TaskFailure(
                    "\(builtIn): \"\(key)\" must be an array of texts; "
                        + "there is \(value.kind) in it")
            }
            texts.append(text)
        }
        return texts
    }

    mutating func requiredTexts(_ key: String) throws(TaskFailure) -> [String] {
        let texts = try texts(key)
        guard !texts.isEmpty else { throw missing(key) }
        return texts
    }

    /// A whole number in `range`.
    mutating func integer(
        _ key: String, in range: ClosedRange<Int64>
    ) throws(TaskFailure) -> Int64? {
        guard let value = take(key) else { return nil }
        guard case .number(let text) = value, let number = Int64(text), range.contains(number)
        else {
            throw wrong(key, "a whole number \(range.lowerBound) to \(range.upperBound)", value)
        }
        return number
    }

    /// A time of more than 0 seconds.
    mutating func seconds(_ key: String) throws(TaskFailure) -> Duration? {
        guard let value = take(key) else { return nil }
        guard case .number(let text) = value, let number = Double(text), number > 0, number <= 1e9
        else { throw wrong(key, "a number of seconds, up to 1000000000", value) }
        return .seconds(number)
    }

    /// An array of objects, to be taken apart alike.
    mutating func objects(_ key: String) throws(TaskFailure) -> [NamedParameters] {
        guard let value = take(key) else { return [] }
        guard case .array(let values) = value else {
            throw wrong(key, "an array of objects", value)
        }
        var objects: [NamedParameters] = []
        for value in values {
            objects.append(try NamedParameters(value, of: "\(builtIn), \(key)"))
        }
        return objects
    }
}
