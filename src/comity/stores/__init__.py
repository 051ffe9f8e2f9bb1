"""Where the truth is kept: SQLite for one machine, PostgreSQL for many, one contract for both."""
