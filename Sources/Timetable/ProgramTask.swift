internal import Logging
internal import Programs
internal import Reactor
internal import Timing

extension ChainRunner {
    /// What a program gets of our environment beside its user: enough to find others, no secrets.
    private static let passedOn = ["PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR"]

    /// Runs a program with one row of parameters as its arguments.
    func runProgram(
        _ element: Element, _ parameter: Parameter?, _ execution: inout Execution
    ) async throws(TaskFailure) {
        let invocation = try await prepare(
            element.script, programArguments(parameter), for: element)
        let program: Program
        do throws(SpawnError) {
            program = try Program.start(invocation)
        } catch {
            throw TaskFailure("\(error)", returnCode: 127)
        }
        execution.pid = program.pid
        canStop { [weak program, unowned self] in program?.stop(grace: stopGrace) }
        let completion = await program.completion()
        stopCurrent = nil

        execution.output = completion.output.text
        let errorText = completion.error.text
        if !errorText.isEmpty { execution.error = errorText }
        context.logger.debug(
            """
            Output of the shell command for command:
            \(element.script)\(parameter?.redacted ?? "[]")
            \(completion.output.text)
            """, metadata: metadata(of: element))
        execution.returnCode = try invocation.check(completion)
    }

    /// What it takes to run `program` for an element: as its user, in the user's home, with the
    /// small environment. Throws when it may not be run, or is not there, with the reason.
    func prepare(
        _ program: String, _ arguments: [String], for element: Element
    ) async throws(TaskFailure) -> Invocation {
        guard context.settings.runsPrograms else {
            throw TaskFailure(
                "programs are not run here: the daemon was started with --no-programs")
        }
        var wish = Footing.Wish(program, searchPath: ProcessID.variable("PATH"))
        wish.user = element.runUID
        wish.allowedFolders = context.settings.programFolders
        wish.home = ProcessID.variable("HOME")
        let footing: Footing
        do throws(Refusal) {
            footing = try await Footing.find(wish)
        } catch {
            throw TaskFailure("\(error)", returnCode: 127)
        }
        if isStopping { throw TaskFailure("stopped before it began") }
        var invocation = Invocation(
            program: program, arguments: arguments,
            environment: environment(for: element, of: footing.account),
            outputLimit: context.settings.outputLimit, footing: footing)
        invocation.markAsOne()
        return invocation
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
                throw TaskFailure("an argument of a program can't be null: \(parameter.redacted)")
            }
            arguments.append(value)
        }
        return arguments
    }

    private func environment(for element: Element, of account: Account?) -> [String] {
        let ours = Self.passedOn.compactMap { name in
            ProcessID.variable(name).map { "\(name)=\($0)" }
        }
        let user = Account.variableNames.compactMap { name -> String? in
            // Who started the daemon may have said otherwise, for our own programs.
            let said = element.runUID == nil ? ProcessID.variable(name) : nil
            return (said ?? account?.variable(name)).map { "\(name)=\($0)" }
        }
        let ofRun = [
            ("ATTEMPT", String(run.attempt)), ("CHAIN", String(run.chain)),
            ("CLIENT_NAME", context.worker), ("CONFIG", String(run.config)),
            ("FAILED_RUN", run.failedRun.map(String.init)), ("RUN", String(run.id)),
            ("SCHEDULED_FOR", run.scheduledFor), ("TASK", element.name),
        ].compactMap { name, value in value.map { "TIMETABLE_\(name)=\($0)" } }
        return ours + user + ofRun
    }
}

extension Invocation {
    /// The exit code of a program that succeeded; throws for any other end.
    func check(_ completion: Completion) throws(TaskFailure) -> Int32 {
        switch completion.ending {
        case .exited(code: 0):
            return 0
        case .exited(let code):
            if let reason = footing?.refusal(by: completion) {
                throw TaskFailure("program '\(program)' \(reason)", returnCode: code)
            }
            throw TaskFailure("program '\(program)' exited with code \(code)", returnCode: code)
        case .signalled(let signal):
            // As shells say it: 128 and the signal.
            throw TaskFailure(
                "program '\(program)' was ended by signal \(signal)", returnCode: 128 + signal)
        case .lost:
            throw TaskFailure(
                "program '\(program)' has ended, and its exit code went to somebody else")
        }
    }
}
