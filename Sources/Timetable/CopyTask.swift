internal import Postgres
internal import Programs
internal import Reactor

/// A built-in that copies between a table and a file or a program, by its name.
enum CopyBuiltIn: String, CaseIterable {
    case fromFile = "CopyFromFile"
    case toFile = "CopyToFile"
    case fromProgram = "CopyFromProgram"
    case toProgram = "CopyToProgram"
}

/// What one invocation of such a built-in is to copy, read from its parameter.
struct CopyWish {
    enum End {
        case file(String)
        case program(String, [String])
    }

    let sql: String
    let end: End

    init(_ copy: CopyBuiltIn, _ parameter: Parameter?) throws(TaskFailure) {
        var keys = try NamedParameters(parameter, of: copy.rawValue)
        sql = try keys.requiredText("sql")
        switch copy {
        case .fromFile, .toFile:
            let path = try keys.requiredText("filename")
            try keys.finish()
            guard path.hasPrefix("/") else {
                throw TaskFailure("\(copy.rawValue): \"filename\" must be a full path: \(path)")
            }
            end = .file(path)
        case .fromProgram, .toProgram:
            let program = try keys.requiredText("cmd")
            end = .program(program, try keys.texts("args"))
            try keys.finish()
        }
    }
}

extension ChainRunner {
    /// Runs one invocation of such a built-in, in the chain's transaction.
    func run(
        _ copy: CopyBuiltIn, _ element: Element, _ parameter: Parameter?,
        _ execution: inout Execution
    ) async throws(TaskFailure) {
        let wish = try CopyWish(copy, parameter)
        let work: Work
        switch wish.end {
        case .file(let path):
            work =
                copy == .fromFile
                ? copying(wish.sql, fromFile: path) : copying(wish.sql, toFile: path)
        case .program(let program, let arguments):
            // Its run_uid is the role of its SQL.
            var ours = element
            ours.runUID = nil
            var invocation = try await prepare(program, arguments, for: ours)
            if copy == .fromProgram { invocation.output = .streamed }
            if copy == .toProgram { invocation.input = .streamed }
            work =
                copy == .fromProgram
                ? copying(wish.sql, fromProgram: invocation)
                : copying(wish.sql, toProgram: invocation)
        }
        if element.autonomous { return try await runAutonomously(element, &execution, work) }
        try await runInTransaction(element, .script, &execution, work)
    }

    // MARK: Files

    private func copying(_ sql: String, fromFile path: String) -> Work {
        { session throws(PostgresError) in
            let file = try await CopyFile.reading(path)
            return Done(tag: try await session.copyIn(sql) { try await file.next() })
        }
    }

    /// The file appears under its name when all of it is there, and replaces an older one then.
    private func copying(_ sql: String, toFile path: String) -> Work {
        { session throws(PostgresError) in
            let file = try await CopyFile.writing(path)
            do throws(PostgresError) {
                let tag = try await session.copyOut(sql) { try await file.write($0) }
                try await file.finish()
                return Done(tag: tag)
            } catch {
                await file.discard()
                throw error
            }
        }
    }

    // MARK: Programs

    private func copying(_ sql: String, fromProgram invocation: Invocation) -> Work {
        withProgram(invocation) { [self] session, program throws(PostgresError) in
            try await session.copyIn(sql) { [self] in
                if let bytes = try await program.output?.next() { return bytes }
                // A program that fails has not given all: then nothing of it stays.
                try await check(program, invocation)
                return nil
            }
        }
    }

    private func copying(_ sql: String, toProgram invocation: Invocation) -> Work {
        withProgram(invocation) { [self] session, program throws(PostgresError) in
            let tag = try await session.copyOut(sql) { try await program.input?.write($0) }
            program.input?.finish()
            do throws(TaskFailure) {
                try await check(program, invocation)
            } catch {
                throw PostgresError(.aborted, error.message)
            }
            return tag
        }
    }

    /// A copy beside a program, which does not outlive it.
    private func withProgram(
        _ invocation: Invocation,
        _ copy: @escaping @LoopActor (Connection, Program) async throws(PostgresError) -> String
    ) -> Work {
        { [self] session throws(PostgresError) in
            let program = try start(invocation, beside: session)
            do throws(PostgresError) {
                return Done(tag: try await copy(session, program))
            } catch {
                await end(program)
                throw error
            }
        }
    }

    private func start(
        _ invocation: Invocation, beside session: Connection
    ) throws(PostgresError) -> Program {
        let program: Program
        do throws(SpawnError) {
            program = try Program.start(invocation)
        } catch {
            throw PostgresError(.aborted, "\(error)")
        }
        canStop { [weak session, weak program, unowned self] in
            session?.requestCancel()
            program?.stop(grace: stopGrace)
        }
        return program
    }

    private func check(_ program: Program, _ invocation: Invocation) async throws(TaskFailure) {
        let completion = await program.completion()
        hear(completion)
        _ = try invocation.check(completion)
    }

    private func end(_ program: Program) async {
        guard !program.ended.isOpen else { return }
        program.output?.close()
        program.input?.finish()
        program.stop(grace: .milliseconds(500))
        hear(await program.completion())
    }

    /// What it wrote to its standard error stands in the record of the task.
    private func hear(_ completion: Completion) {
        notices.append(Array(completion.error.text.utf8))
    }
}
