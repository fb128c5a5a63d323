internal import Postgres
internal import Reactor

/// The rows of parameters of one element under one config.
struct CheckedParameters {
    let config: Int64
    let element: Int64
    /// The first 1,000.
    var rows: [(number: Int64, parameter: Parameter?)] = []
    var total: Int64 = 0

    /// From the rows of `Statements.checkedParameters`, by config.
    static func read(_ rows: Rows) -> [Int64: [CheckedParameters]] {
        var found: [Int64: [CheckedParameters]] = [:]
        for row in 0..<rows.count {
            guard let config = rows.integer(row, 0), let element = rows.integer(row, 1) else {
                continue
            }
            let parameter = rows.text(row, 3).map { json in
                Parameter(
                    json: json, type: rows.text(row, 4) ?? "null",
                    values: rows.text(row, 5).flatMap(parseArrayLiteral),
                    isSecret: rows.boolean(row, 6) == true)
            }
            var list = found[config] ?? []
            if list.last?.element != element {
                list.append(CheckedParameters(config: config, element: element))
            }
            list[list.count - 1].rows.append((rows.integer(row, 2) ?? 0, parameter))
            list[list.count - 1].total = rows.integer(row, 7) ?? 0
            found[config] = list
        }
        return found
    }

    /// As a task gets them: a single nil when there are no rows.
    static func ofNone(_ config: Int64, _ element: Int64) -> CheckedParameters {
        CheckedParameters(config: config, element: element)
    }
}

extension CheckedParameters {
    /// What is wrong with their form and number. No value is repeated: it may be a secret.
    ///
    /// - Parameters:
    ///   - isAsked: the config runs only by request, which may bring others.
    @LoopActor
    func judge(_ element: CheckedElement, _ place: Finding.Place, isAsked: Bool) -> [Finding] {
        var findings: [Finding] = []
        switch element.kind {
        case .sql: findings = judgeSQL(element, place, isAsked)
        case .program: findings = judgeProgram(place)
        case .builtIn: findings = judgeBuiltIn(element, place, isAsked)
        }
        let open = rows.filter { row in
            guard let parameter = row.parameter, !parameter.isSecret else { return false }
            return parameter.type == "object"
                ? parameter.redacted != parameter.json : parameter.json.holdsLogin
        }
        if let first = open.first {
            findings.append(
                Finding(
                    .secretPlain, place, told(first.number, open.count, "it holds a password"),
                    element.script == "SendMail"
                        ? "use PasswordFile" : "set secret = true, or keep it in a file"))
        }
        if total > rows.count {
            findings.append(
                Finding(
                    .parametersMany, place,
                    "of \(total) rows of parameters the first \(rows.count) were checked"))
        }
        return findings
    }

    private func judgeSQL(
        _ element: CheckedElement, _ place: Finding.Place, _ isAsked: Bool
    ) -> [Finding] {
        let filled = rows.filter { $0.parameter != nil }
        let misshapen = filled.filter { $0.parameter?.values == nil }
        if let first = misshapen.first {
            let type = first.parameter?.type ?? "null"
            return [
                Finding(
                    .parametersForm, place,
                    told(first.number, misshapen.count, "it is a JSON \(type), and no array"),
                    "write an array: one value for each $n")
            ]
        }
        if element.pieces.count > 1 {
            guard let first = filled.first(where: { $0.parameter?.values?.isEmpty == false }) else {
                return []
            }
            return [
                Finding(
                    .parametersNumber, place,
                    told(first.number, 1, "a script of several statements takes no parameters"),
                    "make a task of each statement")
            ]
        }
        guard let wanted = element.types?.count else { return [] }
        if wanted > 0, rows.contains(where: { $0.parameter == nil }) || rows.isEmpty {
            return [missing("it needs \(wanted) values, up to $\(wanted)", place, isAsked)]
        }
        let wrong = filled.filter { $0.parameter?.values?.count != wanted }
        guard let first = wrong.first else { return [] }
        let count = first.parameter?.values?.count ?? 0
        return [
            Finding(
                .parametersNumber, place,
                told(first.number, wrong.count, "values: \(count), places in the SQL: \(wanted)"),
                "give as many values as there are places $1, $2 …")
        ]
    }

    private func judgeProgram(_ place: Finding.Place) -> [Finding] {
        let wrong = rows.filter { row in
            guard let parameter = row.parameter else { return false }
            return parameter.values?.contains { $0 == nil } ?? true
        }
        guard let first = wrong.first else { return [] }
        return [
            Finding(
                .parametersForm, place,
                told(
                    first.number, wrong.count,
                    first.parameter?.values == nil
                        ? "it is a JSON \(first.parameter?.type ?? "null"), and no array"
                        : "an argument can't be null"),
                "write an array of texts: the arguments of the program")
        ]
    }

    @LoopActor
    private func judgeBuiltIn(
        _ element: CheckedElement, _ place: Finding.Place, _ isAsked: Bool
    ) -> [Finding] {
        if rows.isEmpty {
            guard let problem = problem(element.script, nil) else { return [] }
            return [missing(problem, place, isAsked)]
        }
        let problems = rows.compactMap { row in
            problem(element.script, row.parameter).map { (row.number, $0) }
        }
        guard let first = problems.first else { return [] }
        return [
            Finding(
                .builtInParameters, place, told(first.0, problems.count, first.1),
                "the README lists the keys of \(element.script)")
        ]
    }

    @LoopActor
    private func problem(_ builtIn: String, _ parameter: Parameter?) -> String? {
        do throws(TaskFailure) {
            try BuiltIn.check(builtIn, parameter)
            return nil
        } catch {
            return error.message.replacing("\n", with: "; ")
        }
    }

    private func missing(_ what: String, _ place: Finding.Place, _ isAsked: Bool) -> Finding {
        Finding(
            .parametersMissing, place, "there are no parameters: \(what)",
            isAsked
                ? "whoever runs it has to give them"
                : "add rows to chain_execution_parameters for element \(element)",
            as: isAsked ? .warning : .error)
    }

    private func told(_ number: Int64, _ count: Int, _ what: String) -> String {
        "parameters, row \(number): \(what)" + (count > 1 ? " (and \(count - 1) more rows)" : "")
    }
}
