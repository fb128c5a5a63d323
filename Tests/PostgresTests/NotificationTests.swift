import Postgres
import Reactor
import TestSupport
import Testing

struct NotificationTests {
    @Test func payloadAndSenderArriveWhileIdleAndWhileBusy() async throws {
        try await withSession { session, database in
            let inbox = Inbox<Postgres.Notification>()
            session.onNotification = { inbox.send($0) }
            try await session.ask(#"LISTEN "Ünï ""x""""#)
            let sender = try await database.open()
            let notify = Statement(nil, #"SELECT pg_notify('Ünï "x"', $1)"#)
            for payload in ["", "a'b\\c", "ü", String(repeating: "y", count: 7_999)] {
                try await sender.run(notify, [payload])
                let notification = await inbox.next()
                #expect(notification.payload == payload)
                #expect(notification.sender == sender.backend)
                #expect(notification.channel == #"Ünï "x""#)
            }
            // The server sends it between the answers of a session at work.
            async let working = session.ask("SELECT 1", "SELECT pg_sleep(0.05)", "SELECT 2")
            try await sender.run(notify, ["busy"])
            #expect(try await working == ["2"])
            #expect(await inbox.next().payload == "busy")
            // Its own arrive too, and are known by their sender.
            try await session.run(notify, ["own"])
            #expect(await inbox.next().sender == session.backend)
            sender.close()
        }
    }

    @Test func manyThousandsAtOnceComeInTheirOrder() async throws {
        try await withSession { session, database in
            let inbox = Inbox<String>()
            session.onNotification = { inbox.send($0.payload) }
            try await session.ask("LISTEN many")
            let sender = try await database.open()
            async let sent: Void = {
                _ = try await sender.run(
                    Statement(
                        nil, "SELECT pg_notify('many', n::text) FROM generate_series(1, 20000) n"))
            }()
            for number in 1...20_000 { #expect(await inbox.next() == String(number)) }
            try await sent
            #expect(inbox.poll() == nil)
            sender.close()
        }
    }

    @Test func aScriptAndAHandlerThatAsksDeliverThemToo() async throws {
        try await withSession { session, _ in
            let inbox = Inbox<String>()
            session.onNotification = { notification in
                session.send([Command(sql: "SELECT 1")]) { _ in inbox.send(notification.payload) }
            }
            _ = try await session.runScript("LISTEN c; NOTIFY c, 'one'; SELECT 1; NOTIFY c, 'two'")
            #expect(await inbox.next() == "one")
            #expect(await inbox.next() == "two")
        }
    }

    @Test func aHandlerMayCloseTheSession() async throws {
        try await withSession { session, _ in
            let log = Log<String>()
            session.onNotification = {
                log.all.append($0.payload)
                session.close()
            }
            _ = await session.scriptFailure("LISTEN c; NOTIFY c, 'one'; NOTIFY c, 'two'")
            try await eventually("one came") { session.ended != nil }
            #expect(log.all == ["one"])
        }
    }
}
