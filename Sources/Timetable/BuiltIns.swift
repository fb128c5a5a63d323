internal import Reactor

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
            let copies = CopyBuiltIn.allCases.map(\.rawValue).joined(separator: ", ")
            throw TaskFailure(
                "there is no built-in '\(name)'; there are NoOp, Sleep, Log, SendMail, Download, "
                    + "\(copies) and Shutdown")
        }
    }

    private func sleep(_ parameter: Parameter?) async throws(TaskFailure) {
        guard let parameter, parameter.type == "number", let seconds = Double(parameter.json),
            seconds.isFinite, (0...1e9).contains(seconds)
        else {
            throw TaskFailure(
                "the parameter of Sleep must be a number of seconds, from 0 to 1000000000; "
                    + "this is \(parameter?.redacted ?? "none")")
        }
        let done = Gate()
        let timer = EventLoop.shared.after(.seconds(seconds)) { done.open() }
        await untilStopped(done)
        EventLoop.shared.cancelTimer(timer)
        if isStopping { throw TaskFailure("cancelled") }
    }
}
