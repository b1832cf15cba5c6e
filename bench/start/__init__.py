"""The start of a server, beside MLflow's."""
