"""Training and what stands on it, with real adapters."""
