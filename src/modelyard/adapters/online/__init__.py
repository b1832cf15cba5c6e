"""Online stores of features: a SQLite file for one host, Redis for many."""
