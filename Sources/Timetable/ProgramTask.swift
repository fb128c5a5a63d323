internal import Logging
internal import Programs
internal import Reactor
internal import Timing

extension ChainRunner {
    /// How long a program may take to end after SIGTERM.
    private static let stopGrace: Duration = .seconds(5)
    /// What a program gets of our environment: enough to find others, no secrets.
    private static let passedOn = [
        "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR",
    ]

    /// Runs a program with one row of parameters as its arguments.
    func runProgram(
        _ element: Element, _ parameter: Parameter?, _ execution: inout Execution
    ) async throws(TaskFailure) {
        guard context.settings.runsPrograms else {
            throw TaskFailure(
                "programs are not run here: the daemon was started with --no-programs")
        }
        let arguments = try programArguments(parameter)
        let program: Program
        do throws(SpawnError) {
            program = try Program.start(
                Invocation(
                    program: element.script, arguments: arguments, environment: environment,
                    outputLimit: context.settings.outputLimit))
        } catch {
            throw TaskFailure("\(error)", returnCode: 127)
        }
        execution.pid = program.pid
        stopCurrent = { [weak program] in program?.stop(grace: Self.stopGrace) }
        if isCancelled { stopCurrent?() }
        let completion = await program.completion()
        stopCurrent = nil

        execution.output = completion.output.text
        let errorText = completion.error.text
        if !errorText.isEmpty { execution.error = errorText }
        context.logger.debug(
            """
            Output of the shell command for command:
            \(element.script)\(parameter?.json ?? "[]")
            \(completion.output.text)
            """, metadata: metadata)
        switch completion.ending {
        case .exited(let code):
            execution.returnCode = code
            if code != 0 {
                throw TaskFailure(
                    "program '\(element.script)' exited with code \(code)", returnCode: code)
            }
        case .signalled(let signal):
            // As shells say it: 128 and the signal.
            throw TaskFailure(
                "program '\(element.script)' was ended by signal \(signal)",
                returnCode: 128 + signal)
        }
    }

    private func programArguments(_ parameter: Parameter?) throws(TaskFailure) -> [String] {
        guard let parameter else { return [] }
        guard let values = parameter.values else {
            throw TaskFailure(
                "the parameter of a program must be a JSON array of its arguments; "
                    + "this is a JSON \(parameter.type): \(parameter.redacted)")
        }
        var arguments: [String] = []
        for value in values {
            guard let value else {
                throw TaskFailure("an argument of a program can't be null: \(parameter.json)")
            }
            arguments.append(value)
        }
        return arguments
    }

    private var environment: [String] {
        Self.passedOn.compactMap { name in
            ProcessID.variable(name).map { "\(name)=\($0)" }
        } + [
            "TIMETABLE_CONFIG=\(run.config)", "TIMETABLE_RUN=\(run.id)",
            "TIMETABLE_CLIENT_NAME=\(context.worker)",
        ]
    }
}
