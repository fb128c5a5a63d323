import JobFiles
import Jobs

/// A file whose only chain has the base task `a` and the config `b` with these parameters.
func file(parameters: String) -> String {
    "carillon: 1\nchains:\n- elements: [a]\n  configs:\n    b:\n      parameters:\n        a:\n"
        + parameters
}

/// Rows of parameters as a file says them: in its line 8, from column 11.
func rows(_ yaml: String) throws -> [JSON] {
    let jobs = try JobFile.read(file(parameters: "        - " + yaml + "\n"))
    return jobs.chains[0].configs[0].parameters[0] ?? []
}

/// SplitMix64.
struct SeededGenerator: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}
