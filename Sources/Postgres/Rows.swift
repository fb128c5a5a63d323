internal import CLibpq

/// The result of one statement: rows of text values and the command tag. Owns its PGresult.
@safe
public final class Rows: Sendable {
    // A PGresult never changes once it is complete, so any thread may read it.
    nonisolated(unsafe) private let result: OpaquePointer

    /// How many rows there are.
    public let count: Int

    init(owning result: OpaquePointer) {
        unsafe self.result = unsafe result
        unsafe count = Int(PQntuples(result))
    }

    deinit {
        unsafe PQclear(result)
    }

    var status: ExecStatusType {
        unsafe PQresultStatus(result)
    }

    var failure: PostgresError {
        unsafe .from(result)
    }

    var endsSession: Bool {
        unsafe PostgresError.endsSession(result)
    }

    var dropsPreparedStatements: Bool {
        guard let tag = unsafe PQcmdStatus(result), unsafe tag.pointee == 68 else { return false }
        return ["DISCARD ALL", "DEALLOCATE ALL"].contains(commandTag)
    }

    /// By the SQL statement PREPARE.
    var preparesStatement: Bool {
        guard let tag = unsafe PQcmdStatus(result), unsafe tag.pointee == 80 else { return false }
        return commandTag == "PREPARE"
    }

    /// `INSERT 0 1`, `COMMIT`: what the server says it did.
    public var commandTag: String {
        unsafe String(cString: PQcmdStatus(result))
    }

    /// How many rows the statement touched; 0 for those that touch none.
    public var affected: Int {
        unsafe Int(String(cString: PQcmdTuples(result))) ?? 0
    }

    /// The names of the columns, in order.
    public var columns: [String] {
        (0..<columnCount).map { unsafe String(cString: PQfname(result, $0)) }
    }

    /// Of a statement that was described: the type of each parameter, by its OID.
    public var parameterTypes: [UInt32] {
        unsafe (0..<PQnparams(result)).map { unsafe PQparamtype(result, $0) }
    }

    private var columnCount: Int32 {
        unsafe PQnfields(result)
    }

    private func pointer(_ row: Int, _ column: Int) -> UnsafePointer<CChar>? {
        let (row, column) = (Int32(clamping: row), Int32(clamping: column))
        guard row >= 0, row < count, column >= 0, column < columnCount,
            unsafe PQgetisnull(result, row, column) == 0
        else { return nil }
        return unsafe UnsafePointer(PQgetvalue(result, row, column))
    }

    /// A value as text; nil for NULL and for a place that does not exist.
    public func text(_ row: Int, _ column: Int) -> String? {
        unsafe pointer(row, column).map { unsafe String(cString: $0) }
    }

    /// A value as an integer; nil for NULL and for what is none.
    public func integer(_ row: Int, _ column: Int) -> Int64? {
        guard var cursor = unsafe pointer(row, column) else { return nil }
        // By hand: a million rows are read at start, and a String each would triple the time.
        let negative = unsafe cursor.pointee == 45
        if negative { unsafe cursor += 1 }
        guard unsafe cursor.pointee != 0 else { return nil }
        var value: Int64 = 0
        while unsafe cursor.pointee != 0 {
            let digit = unsafe Int64(cursor.pointee) - 48
            guard (0...9).contains(digit) else { return nil }
            let (scaled, overflow) = value.multipliedReportingOverflow(by: 10)
            let (sum, overflows) = scaled.subtractingReportingOverflow(digit)
            guard !overflow, !overflows else { return nil }
            value = sum
            unsafe cursor += 1
        }
        if negative { return value }
        return value == .min ? nil : -value
    }

    /// A boolean; nil for NULL and for what is none.
    public func boolean(_ row: Int, _ column: Int) -> Bool? {
        guard let cursor = unsafe pointer(row, column) else { return nil }
        switch unsafe cursor.pointee {
        case 116: return true
        case 102: return false
        default: return nil
        }
    }
}
