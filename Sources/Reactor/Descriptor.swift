internal import Glibc

/// Owns one open file descriptor and closes it when the owner ends.
public struct Descriptor: ~Copyable {
    /// The number, for calls; never kept beyond the owner's life.
    public let number: Int32

    /// Takes ownership of `number`.
    public init(owning number: Int32) {
        self.number = number
    }

    deinit {
        // close(2): after EINTR the descriptor is gone on Linux, so it is never repeated.
        _ = close(number)
    }

    /// Gives the number away without closing it.
    public consuming func release() -> Int32 {
        let number = number
        discard self
        return number
    }
}

/// A system call that failed: its name and errno(3).
public struct SystemError: Error, Equatable, Sendable, CustomStringConvertible {
    public let call: String
    public let code: Int32

    public init(call: String, code: Int32) {
        self.call = call
        self.code = code
    }

    public var description: String {
        "\(call): \(unsafe String(cString: strerror(code)))"
    }
}

/// Makes a system call, repeats it on EINTR, and turns −1 into an error that names it.
@discardableResult
public func systemCall(
    _ name: String, _ call: () -> Int32
) throws(SystemError) -> Int32 {
    while true {
        let result = call()
        if result >= 0 { return result }
        let code = errno
        if code != EINTR { throw SystemError(call: name, code: code) }
    }
}
