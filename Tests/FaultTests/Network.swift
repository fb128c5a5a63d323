import Foundation
import TestSupport

/// A network of our own: a client and a server on either side of a router, each in a namespace.
///
/// When the router stops to forward, packets are lost without a word: no RST, no ICMP. The
/// namespaces end with the processes that hold them.
struct Network {
    static let serverAddress = "10.213.2.2"
    static let clientAddress = "10.213.1.2"

    private let client: DaemonProcess
    private let router: DaemonProcess
    private let server: DaemonProcess

    init() async throws {
        client = try await Self.namespace()
        router = try await Self.namespace()
        server = try await Self.namespace()
        try await Self.link(client, Self.clientAddress, router, "10.213.1.1", "left")
        try await Self.link(server, Self.serverAddress, router, "10.213.2.1", "right")
        try await setForwarding(true)
    }

    /// Whether packets pass.
    func setForwarding(_ passes: Bool) async throws {
        try await Self.run(
            router, "sh", "-c", "echo \(passes ? 1 : 0) > /proc/sys/net/ipv4/ip_forward")
    }

    /// What a program has to be started by to live at the client's place, or the server's.
    var clientEntrance: [String] { ["--net=/proc/\(client.pid)/ns/net"] }
    var serverEntrance: String { "nsenter --net=/proc/\(server.pid)/ns/net" }

    private static func namespace() async throws -> DaemonProcess {
        let own = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/ns/net")
        let holder = try DaemonProcess(["--net", "sleep", "infinity"], program: "unshare")
        try await eventually("the namespace is there") {
            let path = "/proc/\(holder.pid)/ns/net"
            return try FileManager.default.destinationOfSymbolicLink(atPath: path) != own
        }
        try await run(holder, "ip", "link", "set", "lo", "up")
        return holder
    }

    private static func link(
        _ host: DaemonProcess, _ address: String, _ router: DaemonProcess, _ gateway: String,
        _ name: String
    ) async throws {
        // Made in the host's namespace: nothing of it is ever seen in ours.
        try await run(
            host, "ip", "link", "add", name, "type", "veth", "peer", "name", name, "netns",
            String(router.pid))
        for (end, own) in [(host, address), (router, gateway)] {
            try await run(end, "ip", "address", "add", "\(own)/24", "dev", name)
            try await run(end, "ip", "link", "set", name, "up")
        }
        try await run(host, "ip", "route", "add", "default", "via", gateway)
    }

    private static func run(_ place: DaemonProcess, _ command: String...) async throws {
        let result = try await runProgram("nsenter", ["--net=/proc/\(place.pid)/ns/net"] + command)
        guard result.end == .exited(0) else {
            throw NotReached("\(command.joined(separator: " ")): \(result.stderr)")
        }
    }
}
