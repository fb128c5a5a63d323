extension Command {
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
