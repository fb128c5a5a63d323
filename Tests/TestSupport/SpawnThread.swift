import Dispatch
import Foundation
import Synchronization

/// The thread that starts what must not outlive the tests.
///
/// The kernel sends a parent-death signal (PR_SET_PDEATHSIG) when the *thread* that started a
/// program ends, and the threads of Swift's pool come and go. This one stays.
final class SpawnThread: Sendable {
    static let shared = SpawnThread()

    private let work = Mutex<[@Sendable () -> Void]>([])
    private let isWaiting = DispatchSemaphore(value: 0)

    private init() {
        Thread.detachNewThread { [self] in
            while true {
                isWaiting.wait()
                let next = work.withLock { $0.removeFirst() }
                next()
            }
        }
    }

    /// Runs `body` on the thread and waits for it.
    func run<Value: Sendable>(_ body: @escaping @Sendable () throws -> Value) throws -> Value {
        let result = Mutex<Result<Value, any Error>?>(nil)
        let isDone = DispatchSemaphore(value: 0)
        work.withLock { queue in
            queue.append {
                let value = Result { try body() }
                result.withLock { $0 = value }
                isDone.signal()
            }
        }
        isWaiting.signal()
        isDone.wait()
        guard let value = result.withLock({ $0 }) else {
            preconditionFailure("signalled before the result was there")
        }
        return try value.get()
    }
}
