internal import Reactor
internal import Transfers

extension ChainRunner {
    /// Runs a built-in with one row of parameters.
    func runBuiltIn(
        _ element: Element, _ parameter: Parameter?, _ execution: inout Execution
    ) async throws(TaskFailure) {
        switch element.script {
        case "NoOp":
            break
        case "Sleep":
            try await sleep(parameter)
        case "Log":
            context.log.addLine("USER", parameter?.redacted ?? "null")
        case "SendMail":
            try await sendMail(parameter, &execution)
        case "Download":
            try await download(parameter, &execution)
        case "Shutdown":
            context.shutDown()
        case let name:
            if let copy = CopyBuiltIn(rawValue: name) {
                return try await run(copy, element, parameter, &execution)
            }
            throw BuiltIn.unknown(name)
        }
    }

    private func sleep(_ parameter: Parameter?) async throws(TaskFailure) {
        let seconds = try BuiltIn.secondsToSleep(parameter)
        let done = Gate()
        let timer = EventLoop.shared.after(.seconds(seconds)) { done.open() }
        await untilStopped(done)
        EventLoop.shared.cancelTimer(timer)
        if isStopping { throw TaskFailure("cancelled") }
    }
}

/// What the built-ins read, without doing anything.
enum BuiltIn {
    /// Throws what a built-in would say of a row of parameters before it does anything; nil: it has
    /// no row.
    @LoopActor
    static func check(_ name: String, _ parameter: Parameter?) throws(TaskFailure) {
        switch name {
        case "NoOp", "Log", "Shutdown": break
        case "Sleep": _ = try secondsToSleep(parameter)
        case "SendMail": _ = try Mail(parameter)
        case "Download": try DownloadBatch(parameter).check()
        case let name:
            guard let copy = CopyBuiltIn(rawValue: name) else { throw unknown(name) }
            _ = try CopyWish(copy, parameter)
        }
    }

    static let names =
        ["NoOp", "Sleep", "Log", "SendMail", "Download"]
        + CopyBuiltIn.allCases.map(\.rawValue) + ["Shutdown"]

    static func unknown(_ name: String) -> TaskFailure {
        let known = names.dropLast().joined(separator: ", ") + " and Shutdown"
        return TaskFailure("there is no built-in '\(name)'; there are \(known)")
    }

    static func secondsToSleep(_ parameter: Parameter?) throws(TaskFailure) -> Double {
        guard let parameter, parameter.type == "number", let seconds = Double(parameter.json),
            seconds.isFinite, (0...1e9).contains(seconds)
        else {
            throw TaskFailure(
                "the parameter of Sleep must be a number of seconds, from 0 to 1000000000; "
                    + "this is \(parameter?.redacted ?? "none")")
        }
        return seconds
    }
}
