internal import Postgres
internal import Programs
internal import Reactor
internal import Scheduling
internal import Timing

extension Reports {
    /// Looks for what can't work, in one config or, without a name, in all and around them. Runs
    /// nothing and writes nothing; the worst comes first.
    public func check(_ name: String?) async throws -> [Finding] {
        do {
            return try await findings(name)
        } catch let failure as StartFailure where failure.reason == .noPrivilege {
            throw StartFailure(
                .noPrivilege,
                failure.message + "; check as the role of a daemon, the owner of the schema, or "
                    + "timetable_admin")
        }
    }

    private func findings(_ name: String?) async throws -> [Finding] {
        _ = try await ask(Statements.onlyLook, [], "the session can't be made read only")
        if let finding = try await checkVersion() { return [finding] }
        let config = if let name { try await self.config(named: name).id } else { Int64?.none }
        var installation = try await installation()
        if config == nil {
            try await addHistory(to: &installation)
            try await askForSigns(of: &installation)
        }
        let check = Check(self, installation)
        defer { check.close() }
        if config == nil {
            check.findings = installation.judge()
        } else if installation.serving.isEmpty {
            check.findings = installation.judge().filter { $0.code == .noDaemon }
        }
        try await check.configs(only: config)
        if config == nil {
            // Where we found no reason ourselves.
            let known = Set(
                check.findings.filter { $0.code.concernsSchedule }.compactMap(\.place.config))
            check.findings += try await refusedConfigs().filter { finding in
                finding.place.config.map { !known.contains($0) } ?? true
            }
        }
        return check.inOrder
    }
}

/// One check: what it knows, and what it found.
@LoopActor
final class Check {
    let reports: Reports
    let installation: CheckedInstallation
    let own: CheckSession
    var findings: [Finding] = []
    let host = ProcessID.host
    var chains: [Int64: [CheckedElement]] = [:]
    /// By connect string; nil: it can't be opened, which has been said.
    var databases: [String: CheckSession?] = [:]
    var hasPrograms = false
    private static let page = 500

    init(_ reports: Reports, _ installation: CheckedInstallation) {
        self.reports = reports
        self.installation = installation
        let other = installation.serving.first { !$0.sharesNames }
        own = CheckSession(
            reports.session,
            doubt: other.map {
                "worker \"\($0.name)\" works as \($0.role ?? "another role"), with another "
                    + "search_path"
            })
    }

    func close() {
        for case let database? in databases.values { database.session.close() }
    }

    /// Errors first; each severity in the order in which they were found.
    var inOrder: [Finding] {
        Finding.Severity.allCases.reversed().flatMap { severity in
            findings.filter { $0.severity == severity }
        }
    }

    // MARK: Configs

    /// All, a page at a time, or one.
    func configs(only id: Int64?) async throws(StartFailure) {
        let reader = ConfigReader(zones: reports.zones, defaultZone: reports.defaultZone)
        var last = Int64.min + 1
        while true {
            let rows = try await reports.ask(
                Statements.checkedConfigs,
                [String(last), String(Self.page), id.map { String($0) }],
                "the configs can't be read")
            let configs = (0..<rows.count).map { CheckedConfig.read(rows, $0, reader) }
            try await check(configs, isNamed: id != nil)
            guard let end = configs.last?.id, configs.count == Self.page, id == nil else { break }
            last = end
        }
        if hasPrograms {
            findings.append(
                Finding(
                    .programUnjudged, Finding.Place("programs"),
                    "whether --no-programs or --program-folder of a daemon forbids some can't be "
                        + "seen from here"))
        }
    }

    private func check(_ configs: [CheckedConfig], isNamed: Bool) async throws(StartFailure) {
        let serving = Set(installation.serving.map(\.name))
        try await readChains(of: configs)
        let rows = try await reports.ask(
            Statements.checkedParameters, [configs.map(\.id).arrayLiteral],
            "the parameters can't be read")
        let parameters = CheckedParameters.read(rows)
        for config in configs {
            findings += config.judge(
                now: installation.now, serving: serving, sharesHost: runsHere(config) == true,
                isNamed: isNamed)
            guard let chain = config.chain else { continue }
            if let elements = chains[chain], elements.first?.isLookedAt == false {
                chains[chain] = try await check(elements, of: config)
            }
            try await check(parameters[config.id] ?? [], of: config, chains[chain] ?? [])
        }
    }

    private func readChains(of configs: [CheckedConfig]) async throws(StartFailure) {
        let new = Set(configs.compactMap(\.chain)).filter { chains[$0] == nil }
        guard !new.isEmpty else { return }
        let roles = Set(installation.serving.compactMap(\.role)).sorted()
        let rows = try await reports.ask(
            Statements.checkedElements,
            [new.sorted().arrayLiteral, roles.map(Optional.some).arrayLiteral, own.roleRight],
            "the chains can't be read")
        for row in 0..<rows.count {
            guard let element = CheckedElement(rows, row) else { continue }
            chains[element.head, default: []].append(element)
        }
    }

    /// Whether all daemons that may run a config are on this host; nil where none serves.
    func runsHere(_ config: CheckedConfig) -> Bool? {
        let may = installation.serving.filter { config.worker == nil || config.worker == $0.name }
        return may.isEmpty ? nil : may.allSatisfy { $0.host == host }
    }

    // MARK: Parameters

    private func check(
        _ parameters: [CheckedParameters], of config: CheckedConfig, _ elements: [CheckedElement]
    ) async throws(StartFailure) {
        let isAsked: Bool
        if config.isLive, case .manual? = config.rule?.schedule {
            isAsked = true
        } else {
            isAsked = !config.isLive
        }
        for element in elements {
            let place = config.place(of: element.id, element.position, element.name)
            let given = parameters.first { $0.element == element.id }
            let rows = given ?? .ofNone(config.id, element.id)
            if element.kind == .builtIn, !BuiltIn.names.contains(element.script) { continue }
            let found = rows.judge(element, place, isAsked: isAsked)
            findings += found
            if element.kind == .sql, !found.contains(where: { $0.severity == .error }) {
                try await checkValues(rows, of: element, place)
            }
            try await checkCopies(rows, of: element, config, place)
        }
        let known = Set(elements.map(\.id))
        for stray in parameters where !known.contains(stray.element) {
            findings.append(
                Finding(
                    .parametersElsewhere, config.place,
                    "\(stray.total) rows of parameters are for element \(stray.element), which is "
                        + "not in its chain, so nothing uses them",
                    "delete them, or give them the chain_id of an element of chain "
                        + "\(config.chain ?? 0)"))
        }
    }

    private func checkValues(
        _ rows: CheckedParameters, of element: CheckedElement, _ place: Finding.Place
    ) async throws(StartFailure) {
        guard let types = element.types, !types.isEmpty, element.pieces.count == 1,
            let database = openDatabase(of: element)
        else { return }
        let values = rows.rows.compactMap { $0.parameter?.values }
        do throws(PostgresError) {
            guard let bad = try await database.firstUnreadable(values, as: types) else { return }
            findings.append(
                Finding(
                    .parametersValue, place,
                    "parameters, row \(rows.rows[bad].number): a value can't be read as the type "
                        + "that its place has", "correct it, or cast in the SQL: $1::text"))
        } catch {
            guard database.session.ended == nil else {
                throw StartFailure(error, doing: "parameters can't be checked")
            }
            findings.append(
                Finding(.sqlUnjudged, place, "its parameters can't be judged: \(error)"))
        }
    }

    /// The session for an element, where one could be opened.
    func openDatabase(of element: CheckedElement) -> CheckSession? {
        guard let string = element.connectString else { return own }
        return databases[string] ?? nil
    }
}
