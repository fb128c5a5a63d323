import TestSupport
import Testing

@Suite struct EventuallyTests {
    @Test func itEndsAsSoonAsTheConditionHolds() async throws {
        var looks = 0
        try await eventually("the third look") {
            looks += 1
            return looks == 3
        }
        #expect(looks == 3)
    }

    @Test func itFailsWithWhatAndWhereAfterTheLimit() async throws {
        let error = await #expect(throws: NotReached.self) {
            try await eventually(within: .milliseconds(30), "the moon is blue") { false }
        }
        let text = error?.description ?? ""
        #expect(text.contains("the moon is blue"))
        #expect(text.contains("EventuallyTests.swift:"))
    }

    @Test func whatTheConditionThrowsEndsIt() async throws {
        struct Broken: Error {}
        await #expect(throws: Broken.self) {
            try await eventually("never looked at twice") { throw Broken() }
        }
    }
}
