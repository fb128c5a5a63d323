extension Command {
    /// Why it can't be sent at all; nil when it can.
    var refusal: PostgresError? {
        // The protocol counts them in 16 bits.
        guard parameters.count <= 65_535 else {
            return PostgresError(
                .unsupported, "\(parameters.count) parameters; a statement takes 65535 at most")
        }
        // A C string would end there, and say less than was meant.
        let holdsNUL = parameters.contains { $0?.utf8.contains(0) ?? false }
        guard !holdsNUL, !statement.sql.utf8.contains(0) else {
            return PostgresError(
                .unsupported, "the statement or a parameter holds a NUL, which no text can")
        }
        return nil
    }

    /// Calls `body` with the parameters as C strings.
    ///
    /// All of them lie in one buffer: two allocations a command, however many values.
    func withParameters<Value>(
        _ body: (Int32, UnsafePointer<UnsafePointer<CChar>?>?) -> Value
    ) -> Value {
        guard !parameters.isEmpty else { return body(0, nil) }
        var bytes: [CChar] = []
        bytes.reserveCapacity(parameters.reduce(0) { $0 + ($1?.utf8.count ?? 0) + 1 })
        var offsets: [Int?] = []
        offsets.reserveCapacity(parameters.count)
        for parameter in parameters {
            guard let parameter else {
                offsets.append(nil)
                continue
            }
            offsets.append(bytes.count)
            bytes.append(contentsOf: parameter.utf8.lazy.map { CChar(bitPattern: $0) })
            bytes.append(0)
        }
        return unsafe bytes.withUnsafeBufferPointer { buffer in
            let pointers = unsafe offsets.map { offset in
                unsafe offset.flatMap { offset in
                    unsafe buffer.baseAddress.map { unsafe $0 + offset }
                }
            }
            return unsafe pointers.withUnsafeBufferPointer { list in
                unsafe body(Int32(pointers.count), list.baseAddress)
            }
        }
    }
}
