internal import Glibc

/// A user of the operating system, passwd(5).
public struct Account: Sendable, Equatable {
    public let uid: UInt32
    public let gid: UInt32
    public let name: String
    public let home: String
    public let shell: String

    /// What login(1) and cron(8) tell a program about its user.
    public static let variableNames = ["HOME", "USER", "LOGNAME", "SHELL"]

    /// The value of one of `variableNames`; nil for any other.
    public func variable(_ name: String) -> String? {
        switch name {
        case "HOME": home
        case "USER", "LOGNAME": self.name
        case "SHELL": shell
        default: nil
        }
    }

    /// How getpwnam_r(3) may answer; nil: there is no such user.
    typealias Answer = Result<Account?, AccountLookUpFailed>

    /// A user by name, else by number, as chown(1) takes them. May block.
    static func named(_ text: String) -> Answer {
        // A C string would end at a NUL, at another user's name perhaps.
        guard !text.isEmpty, !text.utf8.contains(0) else { return .success(nil) }
        let byName = unsafe look { entry, buffer, count, found in
            unsafe getpwnam_r(text, entry, buffer, count, found)
        }
        if case .success(nil) = byName, let uid = number(text) { return numbered(uid) }
        return byName
    }

    /// A user by number. May block.
    static func numbered(_ uid: UInt32) -> Answer {
        unsafe look { entry, buffer, count, found in
            unsafe getpwuid_r(uid, entry, buffer, count, found)
        }
    }

    /// Digits alone: no sign, no blank. The last number is no user, setreuid(2).
    private static func number(_ text: String) -> UInt32? {
        guard text.utf8.allSatisfy({ (48...57).contains($0) }) else { return nil }
        return UInt32(text).flatMap { $0 == .max ? nil : $0 }
    }

    private typealias LookUp = (
        UnsafeMutablePointer<passwd>, UnsafeMutablePointer<CChar>, Int,
        UnsafeMutablePointer<UnsafeMutablePointer<passwd>?>
    ) -> Int32

    /// The buffer grows as long as the entry does not fit, up to 1 MiB.
    private static func look(_ call: LookUp) -> Answer {
        var size = 1_024
        while true {
            var entry = unsafe passwd()
            var found: UnsafeMutablePointer<passwd>?
            var buffer = [CChar](repeating: 0, count: size)
            let result = unsafe buffer.withUnsafeMutableBufferPointer { buffer -> Answer? in
                guard let base = buffer.baseAddress else { return nil }
                let code = unsafe call(&entry, base, buffer.count, &found)
                switch code {
                case 0:
                    return .success(unsafe found.map { unsafe Account($0.pointee) })
                case ENOENT, ESRCH, EBADF, EPERM:
                    // So some systems say that there is none.
                    return .success(nil)
                case EINTR:
                    return nil
                case ERANGE where size < 1_048_576:
                    size *= 2
                    return nil
                default:
                    return .failure(AccountLookUpFailed(code: code))
                }
            }
            if let result { return result }
        }
    }

    private init(_ entry: passwd) {
        func text(_ pointer: UnsafeMutablePointer<CChar>?) -> String {
            unsafe pointer.map { unsafe String(cString: $0) } ?? ""
        }
        unsafe uid = entry.pw_uid
        unsafe gid = entry.pw_gid
        unsafe name = text(entry.pw_name)
        unsafe home = text(entry.pw_dir)
        unsafe shell = text(entry.pw_shell)
    }
}

/// The databases of users gave no answer.
struct AccountLookUpFailed: Error, Sendable, Equatable {
    /// errno(3).
    let code: Int32
}
