/// A hash that is the same in every process and release: it decides `H` and jitter, so two daemons
/// and a restarted one must agree. (Swift's own `Hasher` is seeded anew in each process.)
enum StableHash {
    /// The finalizer of splitmix64 (Steele, Lea, Flood 2014) over both words.
    static func mix(_ first: UInt64, _ second: UInt64) -> UInt64 {
        finish(finish(first &+ 0x9E37_79B9_7F4A_7C15) &+ second &+ 0x9E37_79B9_7F4A_7C15)
    }

    private static func finish(_ word: UInt64) -> UInt64 {
        var z = word
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}
