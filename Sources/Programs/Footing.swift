internal import Glibc
internal import Reactor

/// Where a program is, as whom it runs and in which folder: found out before it is started.
public struct Footing: Sendable, Equatable {
    /// The file to execute: absolute, and without links where folders bind.
    public let file: String
    /// The home of its user, or `/` when there is none: cron(8).
    public let folder: String
    /// Its user; nil when our own number has no entry in passwd(5).
    public let account: Account?
    /// The path of setpriv(1), when it has to become `account` first.
    let setpriv: String?

    /// Whether it runs as a user that is not ours.
    public var isOtherUser: Bool { setpriv != nil }

    /// What setpriv(1) said instead of becoming the program; nil when it did.
    ///
    /// The program itself may end with the same code, but hardly with these words.
    public func refusal(by completion: Completion) -> String? {
        guard let account, isOtherUser, [126, 127].contains(completion.ending.code) else {
            return nil
        }
        let text = completion.error.text
        guard text.hasPrefix("setpriv: ") else { return nil }
        let reason = text.dropFirst("setpriv: ".count).prefix { $0 != "\n" }
        return "could not be run as user '\(account.name)' (by setpriv; no shell is used): "
            + reason
    }

    /// What is asked for.
    public struct Wish: Sendable {
        /// A path, or a name that is looked up in `searchPath`. A relative path starts at `folder`.
        public var program: String
        /// A user's name or number; nil: ours.
        public var user: String?
        /// Our own home, where the environment says it; else passwd(5) does.
        public var home: String?
        /// As PATH in environ(7); only its absolute folders count.
        public var searchPath: String
        /// The program must be in one of these or below; absolute, without links. Nil: anywhere.
        public var allowedFolders: [String]?

        public init(_ program: String, searchPath: String?) {
            self.program = program
            self.searchPath = searchPath ?? "/usr/bin:/bin"
        }
    }

    /// How long the databases of users and the file systems may take.
    private static let patience: Duration = .seconds(10)

    /// Looks at users and files, on a thread of its own: both may block.
    @LoopActor
    public static func find(_ wish: Wish) async throws(Refusal) -> Footing {
        let answer: Result<Footing, Refusal>
        do throws(NoAnswer) {
            answer = try await blockingCall(within: patience) {
                Result { () throws(Refusal) in try look(wish) }
            }
        } catch {
            let reason = error == .inTime ? "no answer within \(patience)" : "no thread is free"
            throw .notLookedUp(wish.user.map { "user '\($0)'" } ?? wish.program, reason)
        }
        return try answer.get()
    }

    private static func look(_ wish: Wish) throws(Refusal) -> Footing {
        let account = try account(wish.user)
        let isOther = wish.user != nil && account?.uid != geteuid()
        let home = wish.user == nil ? wish.home ?? account?.home : account?.home
        let folder = home.flatMap { isFolder($0) ? $0 : nil } ?? "/"
        var file = try Executable.find(wish.program, in: wish.searchPath, from: folder)
        if let allowed = wish.allowedFolders {
            file = try Executable.resolve(file, of: wish.program, within: allowed)
        }
        var setpriv: String?
        if isOther {
            // It would take to a shell what has no format of its own: execvp(3).
            try Executable.checkFormat(file, of: wish.program)
            let places = "/usr/bin:/bin:" + wish.searchPath
            setpriv = try? Executable.find("setpriv", in: places, from: "/")
            if setpriv == nil { throw .noSetpriv(account?.name ?? "") }
        }
        return Footing(file: file, folder: folder, account: account, setpriv: setpriv)
    }

    private static func account(_ user: String?) throws(Refusal) -> Account? {
        let ours = geteuid()
        guard let user else { return try? Account.numbered(ours).get() }
        let found: Account?
        do throws(AccountLookUpFailed) {
            found = try Account.named(user).get()
        } catch {
            throw .notLookedUp("user '\(user)'", unsafe String(cString: strerror(error.code)))
        }
        guard let found else { throw .noUser(user) }
        guard found.uid == ours || ours == 0 else {
            let own = try? Account.numbered(ours).get()
            throw .notRoot(own?.name ?? "user \(ours)", wanted: found.name)
        }
        return found
    }

    /// A folder for `Wish.allowedFolders`: without links and `..`. Nil when it is relative or none.
    public static func resolveFolder(_ path: String) -> String? {
        guard !path.utf8.contains(0), isFolder(path) else { return nil }
        guard let resolved = unsafe realpath(path, nil) else { return nil }
        defer { unsafe free(resolved) }
        return unsafe String(cString: resolved)
    }

    private static func isFolder(_ path: String) -> Bool {
        var status = stat()
        guard path.hasPrefix("/"), unsafe stat(path, &status) == 0,
            status.st_mode & S_IFMT == S_IFDIR
        else { return false }
        return unsafe access(path, X_OK) == 0
    }
}

/// Why a program is not even tried.
public enum Refusal: Error, Sendable, Equatable, CustomStringConvertible {
    case notStartable(SpawnError)
    case noUser(String)
    case notLookedUp(String, String)
    case notRoot(String, wanted: String)
    case noSetpriv(String)
    case notAllowed(String, file: String, folders: [String])

    public var description: String {
        switch self {
        case .notStartable(let error):
            "\(error)"
        case .noUser(let user):
            "there is no user '\(user)' on this host (run_uid takes a name or a number)"
        case .notLookedUp(let what, let reason):
            "\(what) can't be looked up: \(reason)"
        case .notRoot(let own, let wanted):
            "the daemon runs as \(own); only root can run programs as another user, here "
                + "'\(wanted)': see run_uid in the README"
        case .noSetpriv(let user):
            "to run a program as user '\(user)', setpriv(1) of util-linux must be installed"
        case .notAllowed(let program, let file, let folders):
            "program '\(program)'" + (file == program ? "" : " (\(file))")
                + " may not be run: it is in no folder of --program-folder "
                + "(\(folders.joined(separator: ", ")))"
        }
    }
}
