"""The console over a platform with real records."""
