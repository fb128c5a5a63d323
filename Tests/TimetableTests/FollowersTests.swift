import Testing
import Timing

@testable import Timetable

@Suite struct FollowersTests {
    private let begin = MonotonicInstant(nanoseconds: 1_000_000_000)

    @Test func anEndIsToldAfterItsTasks() {
        var followers = Followers()
        followers.changed(run: 7, hasEnded: false, position: 0)
        followers.wrote(through: 0, of: [])
        let told1 = followers.takeNews(at: begin)
        #expect(told1?.payload == "7")
        // Its second task and its end, while one invocation is not yet written.
        followers.changed(run: 7, hasEnded: true, position: 2)
        followers.wrote(through: 1, of: [7])
        let told2 = followers.takeNews(at: begin)
        #expect(told2?.payload == "7")
        #expect(!followers.hasNews)
        followers.wrote(through: 2, of: [7])
        followers.wroteLines()
        let told3 = followers.takeNews(at: begin)
        #expect(told3?.payload == "7! lines")
        let told4 = followers.takeNews(at: begin)
        #expect(told4 == nil)
    }

    @Test func twentyTimesASecond() {
        var followers = Followers()
        followers.wroteLines()
        #expect(followers.delay(at: begin) == .zero)
        _ = followers.takeNews(at: begin)
        #expect(followers.delay(at: begin) == nil)
        followers.wroteLines()
        #expect(followers.delay(at: begin) == .milliseconds(50))
        #expect(followers.delay(at: begin.advanced(by: .milliseconds(50))) == .zero)
    }

    @Test func aLostConnectionLosesNoNews() throws {
        var followers = Followers()
        followers.changed(run: 7, hasEnded: true, position: 0)
        followers.wrote(through: 0, of: [])
        let lost = followers.takeNews(at: begin)
        let asked = try #require(lost)
        #expect(asked.payload == "7!")
        followers.couldNotTell()
        let again = followers.takeNews(at: begin)
        #expect(again?.payload == "all lines")
        followers.foundNobody(joins: asked.joins)
        followers.couldNotTell()
        #expect(!followers.hasNews)
    }

    @Test func nobody() throws {
        var followers = Followers()
        followers.changed(run: 1, hasEnded: true, position: 0)
        followers.wrote(through: 0, of: [])
        let foundasked = followers.takeNews(at: begin)
        let asked = try #require(foundasked)
        // Somebody came after the question: its answer says nothing about him.
        followers.joined()
        followers.foundNobody(joins: asked.joins)
        followers.wroteLines()
        let foundagain = followers.takeNews(at: begin)
        let again = try #require(foundagain)
        #expect(again.payload == "lines")
        followers.changed(run: 9, hasEnded: true, position: 3)
        followers.foundNobody(joins: again.joins)
        followers.changed(run: 2, hasEnded: true, position: 0)
        followers.wroteLines()
        followers.wrote(through: 5, of: [2])
        #expect(!followers.hasNews)
        followers.joined()
        followers.wroteLines()
        let told5 = followers.takeNews(at: begin)
        #expect(told5?.payload == "lines")
    }

    @Test func aPayloadHasRoomForAll() throws {
        var followers = Followers()
        for run in 0..<300 {
            followers.changed(run: .max - Int64(run), hasEnded: true, position: 0)
        }
        followers.wrote(through: 0, of: [])
        followers.wroteLines()
        let foundnews = followers.takeNews(at: begin)
        let news = try #require(foundnews)
        #expect(news.payload.utf8.count < 7_900)
        #expect(news.payload.split(separator: " ").count == 301)
        // More than fit, and not before they have been written.
        for run in 0..<5_000 { followers.changed(run: Int64(run), hasEnded: true, position: run) }
        followers.wrote(through: 4_000, of: [])
        let told6 = followers.takeNews(at: begin)
        #expect(told6?.payload != "all")
        followers.wrote(through: 4_999, of: [])
        let told7 = followers.takeNews(at: begin)
        #expect(told7?.payload == "all")
    }
}
