internal import Glibc
internal import Reactor

/// Finds the file that a program's name means. All of it may block on slow file systems.
enum Executable {
    /// A name without a slash is looked up in the absolute folders of `path`; a relative path
    /// starts at `folder`. The file is one that somebody may execute.
    static func find(
        _ program: String, in path: String, from folder: String
    ) throws(Refusal) -> String {
        func refuse(_ code: Int32) -> Refusal {
            .notStartable(
                SpawnError(program: program, cause: SystemError(call: "execve", code: code)))
        }
        // A C string would end there, silently.
        if program.utf8.contains(0) { throw refuse(EINVAL) }
        if program.isEmpty { throw refuse(ENOENT) }
        if program.utf8.contains(UInt8(ascii: "/")) {
            let file = program.hasPrefix("/") ? program : folder + "/" + program
            if let code = obstacle(file) { throw refuse(code) }
            return file
        }
        // As execvp(3): a file that may not be run is passed over, and named only without another.
        var isForbidden = false
        for place in path.split(separator: ":") where place.hasPrefix("/") {
            let file = place + "/" + program
            let code = obstacle(file)
            if code == nil { return file }
            if code == EACCES { isForbidden = true }
        }
        throw refuse(isForbidden ? EACCES : ENOENT)
    }

    /// Why a file can't be executed, as errno(3); nil when nothing speaks against it.
    private static func obstacle(_ file: String) -> Int32? {
        var status = stat()
        guard unsafe stat(file, &status) == 0 else { return errno }
        guard status.st_mode & S_IFMT == S_IFREG else { return EACCES }
        return unsafe access(file, X_OK) == 0 ? nil : errno
    }

    /// The file without links and `..`, which must be in one of `folders` or below.
    ///
    /// This path is to be executed, not the one that led to it: links may change meanwhile.
    static func resolve(
        _ file: String, of program: String, within folders: [String]
    ) throws(Refusal) -> String {
        guard let resolved = unsafe realpath(file, nil) else {
            throw .notStartable(
                SpawnError(program: program, cause: SystemError(call: "realpath", code: errno)))
        }
        defer { unsafe free(resolved) }
        let path = unsafe String(cString: resolved)
        let isInside = folders.contains { folder in
            path.hasPrefix(folder.hasSuffix("/") ? folder : folder + "/")
        }
        guard isInside else { throw .notAllowed(program, file: path, folders: folders) }
        return path
    }

    /// Throws for a file that is neither an ELF program nor a script with `#!`. One that we can't
    /// read is let through.
    static func checkFormat(_ file: String, of program: String) throws(Refusal) {
        let number = unsafe open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard number >= 0 else { return }
        let descriptor = Descriptor(owning: number)
        var bytes = [UInt8](repeating: 0, count: 4)
        let count = unsafe read(descriptor.number, &bytes, bytes.count)
        guard count >= 0 else { return }
        let start = bytes.prefix(count)
        guard start == [0x7F, 0x45, 0x4C, 0x46] || start.starts(with: [0x23, 0x21]) else {
            throw .notStartable(
                SpawnError(program: program, cause: SystemError(call: "execve", code: ENOEXEC)))
        }
    }
}
