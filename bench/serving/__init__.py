"""The gateway beside model servers."""
