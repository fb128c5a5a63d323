internal import Postgres
public import Reactor

/// What has happened since the last look, as daemons tell it.
public struct News: Sendable, Equatable {
    /// Runs that began, ended, or had a task end.
    public var runs: Set<Int64> = []
    /// Those of them of which all has been written: the end, and what every task did.
    public var ended: Set<Int64> = []
    /// There are new lines in the log.
    public var lines = false
    /// Too much to name: look at everything.
    public var all = false
    /// Configs or workers have changed.
    public var configs = false

    public var isEmpty: Bool { runs.isEmpty && !lines && !all && !configs }

    mutating func add(_ payload: String) {
        for word in payload.split(separator: " ") {
            switch word {
            case "all": all = true
            case "lines": lines = true
            default:
                let hasEnded = word.hasSuffix("!")
                guard let run = Int64(hasEnded ? word.dropLast() : word) else { continue }
                runs.insert(run)
                if hasEnded { ended.insert(run) }
            }
        }
    }

    public func concerns(_ run: Int64) -> Bool { all || runs.contains(run) }
}

/// Hears what daemons tell those who follow, on a session of `Reports`. `Followers` says how.
@LoopActor
public final class Following {
    private let reports: Reports
    private var news = News()
    private var arrived = Gate()

    init(_ reports: Reports) {
        self.reports = reports
    }

    fileprivate func hear(_ notification: Notification) {
        if notification.channel == "timetable_news" {
            news.add(notification.payload)
        } else if !notification.payload.hasPrefix("follower") {
            news.configs = true
        }
        if !news.isEmpty { arrived.open() }
    }

    fileprivate func end() {
        arrived.open()
    }

    /// Lets `next` return with what there is, be it nothing.
    public func wake() {
        arrived.open()
    }

    /// Waits for news; empty after `wake`. Throws when the connection is lost.
    public func next() async throws(StartFailure) -> News {
        if news.isEmpty { await arrived.waitUninterrupted() }
        arrived = Gate()
        if let error = reports.session.ended {
            throw StartFailure(error, doing: "the connection is lost")
        }
        defer { news = News() }
        return news
    }
}

extension Reports {
    /// Begins to hear: what happens from here on is told, whatever has happened before is there to
    /// be read. `withConfigs`: also changes of configs, and workers that come and go.
    public func follow(withConfigs: Bool = false) async throws(StartFailure) -> Following {
        let following = Following(self)
        session.onNotification = { [weak following] in following?.hear($0) }
        session.onEnd = { [weak following] _ in following?.end() }
        do throws(PostgresError) {
            _ = try await session.run(
                Statements.followNews(withConfigs: withConfigs).map { Command($0) },
                deadline: Self.deadline)
        } catch {
            throw failure(error, "runs can't be followed")
        }
        return following
    }
}
