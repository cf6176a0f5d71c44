"""Questions asked of the database. They take a session, return rows, and never commit."""
