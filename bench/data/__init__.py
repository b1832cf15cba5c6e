"""Data brought in, beside the ways that are usual for it."""
