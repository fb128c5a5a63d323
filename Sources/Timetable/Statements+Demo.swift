internal import Postgres

extension Statements {
    static let hasDemo = Statement(
        nil,
        """
        SELECT EXISTS (
            SELECT FROM timetable.chain_execution_config
            WHERE chain_name = 'output date every minute')
        """)
}
