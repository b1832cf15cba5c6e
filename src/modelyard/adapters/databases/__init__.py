"""Sources in SQL databases: PostgreSQL by ADBC, every other one by SQLAlchemy."""
