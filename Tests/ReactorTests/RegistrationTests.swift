import Glibc
import Reactor
import TestSupport
import Testing

struct RegistrationTests {
    @Test func aDescriptorIsReportedAsLongAsItIsReady() async throws {
        let calls = try await onTestLoop {
            let pipe = try TestPipe()
            let counter = Counter()
            let registration = try EventLoop.shared.register(pipe.reading, for: .readable) {
                ready in
                #expect(ready == .readable)
                pipe.take()
                counter.value += 1
            }
            pipe.put(3)
            try await eventually("three calls for three bytes") { counter.value == 3 }
            try await rounds()
            registration.cancel()
            return counter.value
        }
        #expect(calls == 3)
    }

    @Test func whatIsWaitedForCanBeChanged() async throws {
        try await onTestLoop {
            let pipe = try TestPipe()
            let inbox = Inbox<Interest>()
            let registration = try EventLoop.shared.register(pipe.writing, for: []) {
                inbox.send($0)
            }
            try await rounds()
            #expect(inbox.poll() == nil)
            registration.wait(for: .writable)
            #expect(await inbox.next() == .writable)
            registration.wait(for: [])
            while inbox.poll() != nil {}
            try await rounds()
            #expect(inbox.poll() == nil)
            #expect(registration.interest == [])
            registration.cancel()
        }
    }

    @Test func theEndOfAPipeIsReadable() async throws {
        try await onTestLoop {
            let pipe = try TestPipe()
            let inbox = Inbox<Interest>()
            let end = dup(pipe.reading)
            let registration = try EventLoop.shared.register(end, for: .readable) { inbox.send($0) }
            let null = unsafe open("/dev/null", O_WRONLY)
            dup2(null, pipe.writing)
            close(null)
            #expect(await inbox.next().contains(.readable))
            registration.cancel()
            close(end)
        }
    }

    @Test func aHandlerMayCancelItself() async throws {
        let calls = try await onTestLoop {
            let pipe = try TestPipe()
            let counter = Counter()
            let holder = Inbox<Registration>()
            let registration = try EventLoop.shared.register(pipe.reading, for: .readable) { _ in
                counter.value += 1
                let own = holder.poll()
                own?.cancel()
                own?.cancel()
                own?.wait(for: .writable)
            }
            holder.send(registration)
            pipe.put()
            try await rounds()
            return counter.value
        }
        #expect(calls == 1)
    }

    @Test func anEventFetchedBeforeItsCancellationIsDropped() async throws {
        let calls = try await onTestLoop {
            let pipes = try (0..<8).map { _ in try TestPipe() }
            let counter = Counter()
            let all = Inbox<Registration>()
            for pipe in pipes {
                let registration = try EventLoop.shared.register(pipe.reading, for: .readable) {
                    _ in
                    counter.value += 1
                    while let next = all.poll() { next.cancel() }
                }
                all.send(registration)
            }
            // Ready before the loop asks again: all of them are in one answer of epoll_wait.
            for pipe in pipes { pipe.put() }
            try await rounds()
            return counter.value
        }
        #expect(calls == 1)
    }

    @Test func anOldEventDoesNotReachTheNextOwnerOfDescriptorAndSlot() async throws {
        try await onTestLoop {
            let (pipes, fresh) = (try [TestPipe(), TestPipe()], try TestPipe())
            let numbers = pipes.map { dup($0.reading) }
            let (old, new) = (Counter(), Counter())
            let all = Registrations()
            for index in 0...1 {
                all.list.append(
                    try EventLoop.shared.register(numbers[index], for: .readable) { _ in
                        old.value += 1
                        // The other's number and slot get a new owner, for which nothing is ready.
                        all.list[1 - index].cancel()
                        dup2(fresh.reading, numbers[1 - index])
                        let next = try? EventLoop.shared.register(
                            numbers[1 - index], for: .readable
                        ) { _ in
                            fresh.take()
                            new.value += 1
                        }
                        all.list[index].cancel()
                        if let next { all.list.append(next) }
                    })
            }
            for pipe in pipes { pipe.put() }
            try await rounds()
            #expect(old.value == 1)
            #expect(new.value == 0)
            fresh.put()
            try await eventually("the new owner is told") { new.value == 1 }
            for registration in all.list { registration.cancel() }
            for number in numbers { close(number) }
        }
    }

    @Test func whatCannotBeWatchedIsAnErrorWithTheCallsName() async throws {
        try await onTestLoop {
            let closed = #expect(throws: SystemError.self) {
                _ = try EventLoop.shared.register(-1, for: .readable) { _ in }
            }
            #expect(closed == SystemError(call: "epoll_ctl(ADD)", code: EBADF))
            let file = unsafe open("/etc/passwd", O_RDONLY)
            let regular = #expect(throws: SystemError.self) {
                _ = try EventLoop.shared.register(file, for: .readable) { _ in }
            }
            #expect(regular?.code == EPERM)
            close(file)
        }
    }
}

@LoopActor
private final class Registrations {
    var list: [Registration] = []
}
