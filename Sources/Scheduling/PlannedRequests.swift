import Timing

/// Requests that are to be claimed, are being claimed, or wait for the end of a run.
struct PlannedRequests: Sendable {
    private var queue = FireQueue<Int64, WallInstant>()
    /// By the config of which a run has to end; nil for any.
    private var waiting: [Int64?: [Int64]] = [:]
    /// Those whose claim is under way, with the number of that claim, and configs of which a run
    /// ended meanwhile, with the number of the last claim before. A claim may have counted that
    /// run: a request that it found WAITING then has to look again, once.
    private var inFlight: [Int64: Int] = [:]
    private var ended: [Int64: Int] = [:]
    private var claims = 0

    /// From when on the first of them may be claimed.
    var next: WallInstant? { queue.next }

    /// They may be claimed from an instant on; nil for at once.
    mutating func add(_ list: [(request: Int64, from: WallInstant?)]) {
        for (request, from) in list { queue.set(request, at: from ?? .distantPast) }
    }

    /// Takes those that are to be claimed now.
    mutating func popDue(_ now: WallInstant) -> [Int64] {
        let due = queue.popDue(now).map(\.id)
        guard !due.isEmpty else { return [] }
        claims += 1
        for request in due { inFlight[request] = claims }
        return due
    }

    mutating func answered(_ list: [Int64], waiting waiters: [(request: Int64, config: Int64?)]) {
        for (request, config) in waiters {
            let end = config.map { ended[$0] } ?? ended.values.max()
            if let end, let claim = inFlight[request], claim <= end {
                queue.set(request, at: .distantPast)
            } else {
                waiting[config, default: []].append(request)
            }
        }
        for request in list { inFlight[request] = nil }
        if inFlight.isEmpty { ended.removeAll() }
    }

    mutating func runEnded(_ config: Int64) {
        if !inFlight.isEmpty { ended[config] = claims }
        for key in [config, nil] {
            for request in waiting.removeValue(forKey: key) ?? [] {
                queue.set(request, at: .distantPast)
            }
        }
    }
}
