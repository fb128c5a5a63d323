internal import Postgres
internal import Programs
internal import Reactor

/// What is looked at once for each chain.
extension Check {
    /// Returns the elements with what was learned about them.
    func check(
        _ elements: [CheckedElement], of config: CheckedConfig
    ) async throws(StartFailure) -> [CheckedElement] {
        var elements = elements
        var changer: String?
        for index in elements.indices {
            var element = elements[index]
            let place = config.place(of: element.id, element.position, element.name)
            if element.usesDatabase { try await reach(element, config, place) }
            switch element.kind {
            case .sql: try await checkSQL(&element, place, changer: changer)
            case .program: await checkProgram(element.script, element.runUID, config, place)
            case .builtIn:
                if !BuiltIn.names.contains(element.script) {
                    findings.append(
                        Finding(
                            .builtInUnknown, place, BuiltIn.unknown(element.script).message,
                            "correct the script of base task \"\(element.name)\""))
                } else if element.copy != nil, let database = openDatabase(of: element) {
                    _ = try await role(of: element, in: database, place)
                }
            }
            element.isLookedAt = true
            if element.mayChangeWhatIsThere {
                changer = changer ?? "task \(element.position), \(element.name),"
            }
            elements[index] = element
        }
        return elements
    }

    // MARK: SQL

    private func checkSQL(
        _ element: inout CheckedElement, _ place: Finding.Place, changer: String?
    ) async throws(StartFailure) {
        element.pieces = ScriptPiece.of(
            element.script, conformingStrings: own.conformingStrings)
        findings += element.judgeShape(place)
        guard let database = openDatabase(of: element) else { return }
        let role = try await role(of: element, in: database, place)
        var changer = changer
        var taken: [ScriptPiece] = []
        for piece in element.pieces {
            switch await database.describe(piece.sql, as: role) {
            case .success(let types):
                taken.append(piece)
                if element.pieces.count == 1 { element.types = types }
            case .failure(let error):
                guard database.session.ended == nil else {
                    throw StartFailure(error, doing: "task \"\(element.name)\" can't be checked")
                }
                let finding = element.judge(error, place, changer: changer, doubt: database.doubt)
                // The same of two statements of one script.
                if !findings.suffix(20).contains(finding) { findings.append(finding) }
            }
            if piece.mayChangeWhatIsThere {
                changer = changer ?? "an earlier statement of it"
            }
        }
        if let finding = CheckedElement.judge(unseen: taken, place) { findings.append(finding) }
    }

    /// The SQL and the program in rows of parameters of a built-in that copies; the first 20.
    func checkCopies(
        _ rows: CheckedParameters, of element: CheckedElement, _ config: CheckedConfig,
        _ place: Finding.Place
    ) async throws(StartFailure) {
        guard let copy = element.copy, let database = openDatabase(of: element) else { return }
        for row in rows.rows.prefix(20) {
            guard let wish = try? CopyWish(copy, row.parameter) else { continue }  // said already
            if case .program(let program, _) = wish.end {
                await checkProgram(program, nil, config, place)
            }
            if case .failure(let error) = await database.describe(wish.sql, as: nil) {
                guard database.session.ended == nil else {
                    throw StartFailure(error, doing: "task \"\(element.name)\" can't be checked")
                }
                findings.append(element.judge(error, place, changer: nil, doubt: database.doubt))
            }
        }
    }

    /// The role that it is looked at as; nil: our own.
    private func role(
        of element: CheckedElement, in database: CheckSession, _ place: Finding.Place
    ) async throws(StartFailure) -> String? {
        guard let role = element.runUID else { return nil }
        var (exists, isOurs) = (element.roleExists, element.weMayBeRole)
        if element.connectString != nil {
            do throws(PostgresError) {
                (exists, isOurs) = try await database.role(role)
            } catch {
                throw StartFailure(error, doing: "the role \"\(role)\" can't be looked up")
            }
        }
        guard exists else {
            findings.append(
                Finding(
                    .roleUnknown, place, "run_uid is \"\(role)\", and there is no such role",
                    "CREATE ROLE \(role.quotedIdentifier), or leave run_uid NULL"))
            return nil
        }
        let mayBe = element.connectString == nil ? element.daemonMayBeRole : isOurs
        if !mayBe {
            findings.append(
                Finding(
                    .roleNotGranted, place,
                    "run_uid is \"\(role)\", which the role of a daemon can't become",
                    "GRANT \(role.quotedIdentifier) to the role of the daemon"))
        }
        return isOurs ? role : nil
    }

    // MARK: Connections

    /// Opens the database of an element once, and says why it can't.
    private func reach(
        _ element: CheckedElement, _ config: CheckedConfig, _ place: Finding.Place
    ) async throws(StartFailure) {
        guard let string = element.connectString, databases[string] == nil else { return }
        databases[string] = .some(nil)
        let name = "database_connection \(element.connectionID ?? 0)"
        if string.isEmpty {
            findings.append(
                Finding(
                    .connectionMalformed, place, "\(name) does not exist, or is empty",
                    "write its connect_string"))
            return
        }
        if string.holdsPassword {
            findings.append(
                Finding(
                    .secretPlain, Finding.Place(name), "its connect_string holds a password",
                    "put it into the password file of the daemon (~/.pgpass)"))
        }
        do throws(PostgresError) {
            let parameters = try ConnectionParameters(checking: string)
            let session = try await Connection.open(
                parameters.with("fallback_application_name", "carillon check"),
                deadline: .seconds(5))
            let database = CheckSession(session, doubt: nil)
            databases[string] = database
            try await session.run(Statements.onlyLook, deadline: .seconds(5))
        } catch {
            findings.append(unreachable(name, error, config, place))
        }
    }

    private func unreachable(
        _ name: String, _ error: PostgresError, _ config: CheckedConfig, _ place: Finding.Place
    ) -> Finding {
        if error.kind == .unsupported {
            return Finding(
                .connectionMalformed, place, "\(name): \(error.message)",
                error.hint ?? "correct its connect_string")
        }
        let isLogin =
            error.sqlstate?.hasPrefix("28") == true || error.message.contains("no password")
        let isSure = runsHere(config) == true && !isLogin
        return Finding(
            .connectionUnreachable, place, "\(name) can't be reached: \("\(error)".firstLine)",
            isSure
                ? "see that the server is up, and correct its connect_string"
                : "from here, with our password file; try on the daemon's host, as its user",
            as: isSure ? .error : .warning)
    }

    // MARK: Programs

    private func checkProgram(
        _ program: String, _ user: String?, _ config: CheckedConfig, _ place: Finding.Place
    ) async {
        hasPrograms = true
        var wish = Footing.Wish(program, searchPath: ProcessID.variable("PATH"))
        wish.user = user
        wish.home = ProcessID.variable("HOME")
        do throws(Refusal) {
            _ = try await Footing.find(wish)
        } catch {
            findings.append(judge(error, of: program, config, place))
        }
    }

    private func judge(
        _ refusal: Refusal, of program: String, _ config: CheckedConfig, _ place: Finding.Place
    ) -> Finding {
        let code: FindingCode
        let advice: String
        switch refusal {
        case .notStartable:
            code = .programMissing
            advice =
                program.hasPrefix("/")
                ? "install it, make it executable, or correct its path"
                : "give its full path: the PATH and home of a daemon may be others"
        case .noUser:
            code = .programUser
            advice = "make that user, or leave run_uid NULL"
        case .notRoot(_, let wanted):
            return Finding(
                .programUnjudged, place,
                "run_uid is \"\(wanted)\": that takes a daemon that is root, which can't be seen "
                    + "from here")
        case .notLookedUp, .noSetpriv, .notAllowed:
            return Finding(.programUnjudged, place, "\(refusal)")
        }
        switch runsHere(config) {
        case true?:
            return Finding(
                code, place, "\(refusal)", advice, as: program.hasPrefix("/") ? nil : .warning)
        case nil:
            return Finding(
                code, place, "\(refusal), on this host; no daemon serves it", advice, as: .warning)
        case false?:
            return Finding(
                .programUnjudged, place,
                "\(refusal), on this host \"\(host)\"; daemons of others may run it",
                "check on the host of the daemon")
        }
    }
}
