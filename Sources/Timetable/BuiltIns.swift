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
        default:
            throw TaskFailure(
                "there is no built-in '\(element.script)'; "
                    + "there are NoOp, Sleep, Log, SendMail and Download")
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
        stopCurrent = { done.open() }
        if isCancelled { done.open() }
        await done.waitUninterrupted()
        stopCurrent = nil
        EventLoop.shared.cancelTimer(timer)
        if isCancelled { throw TaskFailure("cancelled") }
    }
}
