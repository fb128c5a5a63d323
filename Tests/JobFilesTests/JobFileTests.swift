import JobFiles
import Jobs
import Testing

struct JobFileTests {
    static let example = """
        # a comment
        carillon: 1
        tasks:
          clear report:
            sql: |
              DELETE FROM report
              WHERE day = current_date
          fill report: {sql: INSERT INTO report VALUES ($1)}
          echo:
            program: /bin/echo
        chains:
        - elements:
          - clear report
          - task: fill report
            run_uid: alice
            database_connection: host=h dbname=d
            ignore_error: true
            timeout: 90s
          configs:
            daily report:
              schedule: 30 2 * * *
              time_zone: Europe/Berlin
              misfire: once
              on_failure: tell
              parameters:
                fill report:
                - [1, "2", 2.50, true, null, {a: [x]}]
        - elements: [echo, echo]
          configs:
            tell:
              schedule: "@manual"
              live: false
              retry_delay: 1 second
              parameters:
                2: [[hello]]
        """

    @Test func aFileIsRead() throws {
        let jobs = try JobFile.read(Self.example)
        #expect(jobs.tasks["echo"] == JobSet.BaseTask(.program, "/bin/echo"))
        #expect(
            jobs.tasks["clear report"]?.script
                == "DELETE FROM report\nWHERE day = current_date\n")
        var fill = JobSet.Element("fill report")
        fill.runUID = "alice"
        fill.connection = ConnectString("host=h dbname=d")
        fill.ignoreError = true
        fill.timeout = Span("1 minute 30 seconds")
        #expect(jobs.chains[0].elements == [JobSet.Element("clear report"), fill])
        let report = jobs.chains[0].configs[0]
        #expect(
            report.columns == [
                "schedule": "30 2 * * *", "time_zone": "Europe/Berlin", "misfire": "ONCE",
                "live": "true",
            ])
        #expect(report.onFailure == "tell")
        let row = report.parameters[1]?.first
        #expect(row?.rendered == #"[1, "2", 2.50, true, null, {"a": ["x"]}]"#)
        let tell = jobs.chains[1].configs[0]
        #expect(tell.columns == ["schedule": "@manual"])
        #expect(tell.parameters == [1: [.array([.text("hello")])]])
    }

    @Test func whatIsWrittenIsReadAgain() throws {
        let jobs = try JobFile.read(Self.example)
        let text = JobFile.text(jobs)
        #expect(try JobFile.read(text) == jobs)
        #expect(try JobFile.text(JobFile.read(text)) == text)
        // Several lines stand as they are, and nothing that has its default is there.
        #expect(text.contains("sql: |\n      DELETE FROM report\n      WHERE"), "\(text)")
        #expect(!text.contains("retry_delay"))
    }

    @Test(arguments: [
        ("", 1, 1, "the file is empty"),
        ("tasks: {}", 1, 1, "it has to begin with \"carillon: 1\""),
        ("carillon: 2", 1, 11, "the form 1 only"),
        ("carillon: 1\njobs: []", 2, 1, "jobs is no key of the file; these are: carillon, tasks"),
        ("carillon: 1\ntasks:\n  a: {sql: x, program: y}", 3, 6, "has one of sql, program"),
        ("carillon: 1\ntasks:\n  a: x", 3, 6, "a base task has to be a mapping"),
        ("carillon: 1\nchains:\n- elements: []\n  configs: {a: {}}", 3, 13, "at least one element"),
        ("carillon: 1\nchains:\n- elements: [a]\n  configs: {}", 4, 12, "at least one config"),
        ("carillon: 1\nchains: {}", 2, 9, "chains: a list is expected"),
        (
            "carillon: 1\nchains:\n- elements: [a]\n  configs:\n    b: {live: maybe}", 5, 15,
            "live: true or false is expected, not maybe"
        ),
        (
            "carillon: 1\nchains:\n- elements: [a]\n  configs:\n    b:\n      schedule: 61 * * * *",
            6, 17, "schedule: minute, column 1: 61 is not allowed"
        ),
        (
            "carillon: 1\nchains:\n- elements: [a]\n  configs: {b: {parameters: {c: [[1]]}}}", 4,
            30,
            "c is no element of this chain; these are: a"
        ),
        (
            "carillon: 1\nchains:\n- elements: [a]\n  configs: {b: {parameters: {a: 1}}}", 4, 33,
            "a list of rows is expected"
        ),
        (
            "carillon: 1\nchains:\n- elements: [a]\n  configs: {b: {}}\n- elements: [a]\n"
                + "  configs: {b: {}}", 6, 13, "there is a config b above already"
        ),
        ("carillon: 1\ncarillon: 1", 2, 1, "carillon: a key that is there twice"),
        ("carillon: [", 2, 1, "did not find expected node content"),
        ("carillon: 1\nchains: [*a]", 2, 10, "alias"),
        ("\tcarillon: 1", 1, 1, "cannot start any token"),
    ])
    func mistakesAreFoundInTheirPlace(yaml: String, line: Int, column: Int, text: String) {
        let mistake = #expect(throws: JobFile.Mistake.self) { try JobFile.read(yaml) }
        #expect(mistake?.line == line, "\(String(describing: mistake))")
        #expect(mistake?.column == column, "\(String(describing: mistake))")
        #expect(mistake?.text.contains(text) == true, "\(String(describing: mistake))")
    }
}
