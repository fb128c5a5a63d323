import Foundation
import TestSupport
import Testing

@Suite struct PrivateClusterTests {
    @Test func psqlRunsAsTheSuperuserInADatabaseOfItsOwn() throws {
        let database = try PrivateCluster.shared.createDatabase("own")
        try database.psql("CREATE TABLE t (a int, b text); INSERT INTO t VALUES (1, 'x')")
        #expect(try database.psql("SELECT a, b FROM t") == "1|x")
        #expect(
            try database.psql(
                "SELECT current_user, rolsuper FROM pg_roles WHERE rolname = 'postgres'")
                == "postgres|t")
        let other = try PrivateCluster.shared.createDatabase("own")
        #expect(other.name != database.name)
        #expect(try other.psql("SELECT to_regclass('t') IS NULL") == "t")
    }
}
