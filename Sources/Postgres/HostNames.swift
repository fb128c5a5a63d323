internal import CLibpq
internal import Glibc
internal import Reactor
internal import Timing

extension ConnectionParameters {
    /// The same parameters with the addresses of host names filled in as `hostaddr`.
    ///
    /// libpq asks the resolver inside PQconnectPoll and blocks there, for as long as a name server
    /// is silent. So names are looked up on a thread of their own before. A name with several
    /// addresses becomes several hosts, tried in order, as libpq would have done; one without any
    /// is left out, and an error when there is no other.
    @LoopActor
    func withAddresses(until end: MonotonicInstant) async throws(PostgresError)
        -> ConnectionParameters
    {
        let (host, port) = effectiveHost
        guard let host, !host.isEmpty else { return self }
        let hosts = host.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
        guard hosts.contains(where: \.needsLookUp) else { return self }
        let ports = port.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
        var names: [String] = []
        var addresses: [String] = []
        var portOfEach: [String] = []
        var failure: PostgresError?
        for (index, name) in hosts.enumerated() {
            let found: [String]
            do throws(PostgresError) {
                found = name.needsLookUp ? try await lookUp(name, until: end) : [""]
            } catch {
                failure = error
                continue
            }
            for address in found {
                names.append(name)
                addresses.append(address)
                portOfEach.append(
                    ports.count > 1 && index < ports.count ? ports[index] : ports.first ?? "")
            }
        }
        if names.isEmpty, let failure { throw failure }
        return with("host", names.joined(separator: ","))
            .with("hostaddr", addresses.joined(separator: ","))
            .with("port", portOfEach.joined(separator: ","))
    }

    /// `host` and `port` after the environment; nil host when addresses or a service are given.
    private var effectiveHost: (host: String?, port: String) {
        var values: [String: String] = [:]
        for (key, value) in keywords {
            if key == "dbname", value.contains("=") || value.contains("://") {
                for (inner, text) in Self.parse(value) ?? [] { values[inner] = text }
            } else {
                values[key] = value
            }
        }
        func setting(_ key: String, _ variable: String) -> String? {
            if let value = values[key], !value.isEmpty { return value }
            return unsafe getenv(variable).map { unsafe String(cString: $0) }
        }
        guard setting("hostaddr", "PGHOSTADDR") == nil, setting("service", "PGSERVICE") == nil
        else { return (nil, "") }
        return (setting("host", "PGHOST"), setting("port", "PGPORT") ?? "")
    }

    /// The keywords of a URI or keyword string with their values; nil when it is neither.
    static func parse(_ string: String) -> [(String, String)]? {
        guard let options = unsafe PQconninfoParse(string, nil) else { return nil }
        defer { unsafe PQconninfoFree(options) }
        var found: [(String, String)] = []
        var index = 0
        while let keyword = unsafe options[index].keyword {
            if let value = unsafe options[index].val {
                unsafe found.append((String(cString: keyword), String(cString: value)))
            }
            index += 1
        }
        return found
    }
}

extension String {
    /// Whether libpq would ask the resolver: no socket folder, no numeric address.
    fileprivate var needsLookUp: Bool {
        guard let first, first != "/", first != "@" else { return false }
        var buffer = in6_addr()
        let numeric = [AF_INET, AF_INET6].contains { unsafe inet_pton($0, self, &buffer) == 1 }
        return !numeric
    }
}

/// The addresses of `name`, in the order of getaddrinfo(3): one at least.
@LoopActor
private func lookUp(
    _ name: String, until end: MonotonicInstant
) async throws(PostgresError) -> [String] {
    let found: Result<[String], PostgresError>
    do throws(NoAnswer) {
        found = try await blockingCall(within: end.duration(since: .now())) {
            numericAddresses(of: name)
        }
    } catch {
        throw switch error {
        case .inTime: PostgresError(.timedOut, "the name \"\(name)\" was not looked up in time")
        case .noThread: PostgresError(.connection, "no thread to look up \"\(name)\"")
        }
    }
    return try found.get()
}

private func numericAddresses(
    of name: String
) -> Result<[String], PostgresError> {
    var hints = unsafe addrinfo()
    unsafe hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
    var list: UnsafeMutablePointer<addrinfo>?
    let code = unsafe getaddrinfo(name, nil, &hints, &list)
    guard code == 0 else {
        let reason = unsafe String(cString: gai_strerror(code))
        return .failure(
            PostgresError(
                .connection, "could not translate host name \"\(name)\" to address: \(reason)"))
    }
    defer { unsafe freeaddrinfo(list) }
    var found: [String] = []
    var entry = unsafe list
    while let current = unsafe entry {
        var text = [CChar](repeating: 0, count: 64)
        let result = unsafe getnameinfo(
            current.pointee.ai_addr, current.pointee.ai_addrlen, &text,
            socklen_t(text.count), nil, 0, NI_NUMERICHOST)
        if result == 0 {
            let bytes = text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
            found.append(String(decoding: bytes, as: UTF8.self))
        }
        unsafe entry = unsafe current.pointee.ai_next
    }
    return .success(found)
}
