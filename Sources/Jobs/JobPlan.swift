/// What has to be done so that a database has a set of jobs.
///
/// Pure: made from what is meant and from what is stored, and done by others, in its order.
public struct JobPlan: Equatable, Sendable {
    public enum Change: Equatable, Sendable {
        case task(name: String, JobSet.BaseTask, was: StoredJobs.BaseTask?)
        /// `chain` is the number of the chain in the set; its elements get these base tasks.
        case chain(Int, [JobSet.Element], was: [StoredJobs.Element])
        /// Columns to write; nil is the table's default. `chain` is nil when it keeps its own.
        case config(JobSet.Config, chain: Int?, columns: [String: String?], was: StoredJobs.Config?)
        /// The rows of the element at `position`; the orders that are there already come first.
        case parameters(config: String, chain: Int, position: Int, [JSON], was: [StoredJobs.Row])
        case links(config: String, excluded: [String], onFailure: String?, was: JobSet.Config?)
        case removal(config: String, id: Int64)
    }

    public var changes: [Change] = []
    /// The head of each chain of the set that is there; nil: it is made.
    public var heads: [Int64?] = []

    /// A set that can't be brought into this database as it is, and why: a line each.
    public struct Failure: Error, Equatable {
        public var reasons: [String]
    }

    public enum Manner: Equatable, Sendable {
        /// Only what an import of this origin made may be changed, and only what it speaks of.
        case `import`(origin: String)
        /// What it names is as it says, in all. With `prune`, what it does not name goes.
        case file(prune: Bool)
    }

    public init(
        _ jobs: JobSet, into stored: StoredJobs, _ manner: Manner
    ) throws(Failure) {
        var planner = Planner(jobs: jobs, stored: stored, manner: manner)
        planner.run()
        guard planner.reasons.isEmpty else { throw Failure(reasons: planner.reasons) }
        (changes, heads) = (planner.changes, planner.heads)
    }
}

private struct Planner {
    let jobs: JobSet
    let stored: StoredJobs
    let manner: JobPlan.Manner
    var changes: [JobPlan.Change] = []
    var heads: [Int64?] = []
    var reasons: [String] = []

    mutating func run() {
        checkOrigins()
        planTasks()
        var later: [JobPlan.Change] = []
        for (number, chain) in jobs.chains.enumerated() {
            let head = head(for: chain)
            heads.append(head)
            let elements = chain.elements.map(resolved)
            let was = head.flatMap { stored.chains[$0] } ?? []
            for element in elements where element.connection?.hasPlaceholder == true {
                reasons.append(
                    "*** stands for a password that this database does not have, in the connect "
                        + "string \(element.connection?.redacted ?? "")")
            }
            if was.map(\.element) != elements {
                changes.append(.chain(number, elements, was: was))
            }
            for config in chain.configs { plan(config, number, head, &later) }
        }
        changes += later
        if manner == .file(prune: true) { prune() }
    }

    private mutating func checkOrigins() {
        guard case .import(let origin) = manner else { return }
        for config in jobs.configs {
            guard let there = stored.configs[config.name], there.origin != origin else { continue }
            let maker = there.origin.map { "imported from \($0)" } ?? "not made by an import"
            reasons.append("there is a config \"\(config.name)\" already, \(maker)")
        }
    }

    private mutating func planTasks() {
        for (name, task) in jobs.tasks.sorted(by: { $0.key < $1.key }) {
            let there = stored.tasks[name]
            if there?.task == task { continue }
            if let there, case .import = manner, there.uses > ownUses(of: name) {
                reasons.append("there is another base task \"\(name)\" already")
            }
            if there?.task.kind == .builtIn {
                reasons.append("the base task \"\(name)\" is a built-in and stays one")
            }
            changes.append(.task(name: name, task, was: there))
        }
        for chain in jobs.chains {
            for element in chain.elements
            where jobs.tasks[element.task] == nil && stored.tasks[element.task] == nil {
                reasons.append("there is no base task \"\(element.task)\"")
            }
        }
    }

    /// How many elements of the chains of these configs have the base task.
    private func ownUses(of task: String) -> Int64 {
        let heads = Set(jobs.configs.compactMap { stored.configs[$0.name]?.chain })
        return heads.reduce(0) { sum, head in
            sum + Int64((stored.chains[head] ?? []).count { $0.element.task == task })
        }
    }

    /// The chain that is changed, or is as it should be; nil: a new one, since others share it.
    private func head(for chain: JobSet.Chain) -> Int64? {
        let names = Set(chain.configs.map(\.name))
        let elements = chain.elements.map(resolved)
        for config in chain.configs {
            guard let head = stored.configs[config.name]?.chain, let there = stored.chains[head]
            else { continue }
            let isEqual = there.map(\.element) == elements
            if isEqual || (stored.users[head] ?? []).isSubset(of: names) { return head }
        }
        return nil
    }

    /// The element with the connection that is stored, where the two differ in a password that
    /// nobody said.
    private func resolved(_ element: JobSet.Element) -> JobSet.Element {
        guard let wanted = element.connection, wanted.hasPlaceholder || !wanted.hasPassword else {
            return element
        }
        var element = element
        let exact = stored.connections.first { $0.string == wanted }
        let found = exact ?? stored.connections.first { $0.string.identity == wanted.identity }
        element.connection = found?.string ?? wanted
        return element
    }

    private mutating func plan(
        _ config: JobSet.Config, _ chain: Int, _ head: Int64?, _ later: inout [JobPlan.Change]
    ) {
        let was = stored.configs[config.name]
        let moves = was == nil || head == nil || was?.chain != head
        let columns = columns(config, was)
        if moves || !columns.isEmpty {
            changes.append(
                .config(config, chain: moves ? chain : nil, columns: columns, was: was))
        }
        // By position: a config that moves to another chain takes its rows along.
        let elements = was?.chain.flatMap { stored.chains[$0] } ?? []
        let count = jobs.chains[chain].elements.count
        for position in 0..<count {
            let id = position < elements.count ? elements[position].id : nil
            let before = id.flatMap { was?.rows[$0] } ?? []
            let rows = restored(config, position, before)
            if rows != before.map(\.value) {
                changes.append(
                    .parameters(
                        config: config.name, chain: chain, position: position, rows, was: before))
            }
        }
        for position in config.parameters.keys where position >= count {
            reasons.append(
                "config \"\(config.name)\": parameters for element \(position + 1) of \(count)")
        }
        let excluded = Set(config.excluded) == Set(was?.config.excluded ?? [])
        if !excluded || config.onFailure != was?.config.onFailure {
            later.append(
                .links(
                    config: config.name, excluded: config.excluded, onFailure: config.onFailure,
                    was: was?.config))
        }
    }

    private mutating func restored(
        _ config: JobSet.Config, _ position: Int, _ before: [StoredJobs.Row]
    ) -> [JSON] {
        let rows = config.parameters[position] ?? []
        guard case .file = manner else { return rows }
        return rows.enumerated().map { index, row in
            let place = index < before.count ? before[index] : nil
            if let row = Secrets.restored(
                row, from: place?.value, isSecret: place?.isSecret ?? false)
            {
                return row
            }
            reasons.append(
                "config \"\(config.name)\": *** stands for a secret that this database does not "
                    + "have, in row \(index + 1) of the parameters of element \(position + 1)")
            return row
        }
    }

    private func columns(
        _ config: JobSet.Config, _ was: StoredJobs.Config?
    ) -> [String: String?] {
        var result: [String: String?] = [:]
        for column in ConfigColumn.all {
            let wanted = config.columns[column.name] ?? column.standard
            let there = was?.config.columns[column.name] ?? column.standard
            if case .import = manner, was != nil {
                // What the source does not speak of is its owner's, and so is what is paused.
                if config.columns[column.name] == nil || column.name == "live" { continue }
            }
            // Whether it is live is said of each that is made.
            let isSaid = was == nil && column.name == "live"
            if wanted != there || isSaid { result[column.name] = wanted }
        }
        return result
    }

    private mutating func prune() {
        let named = Set(jobs.configs.map(\.name))
        for (name, config) in stored.configs.sorted(by: { $0.key < $1.key })
        where !named.contains(name) {
            changes.append(.removal(config: name, id: config.id))
        }
    }
}
