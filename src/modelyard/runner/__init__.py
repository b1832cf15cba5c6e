"""Runs jobs: a worker leases them, and each try runs in a process of its own.

worker → fork server (one for each worker; imports what is heavy, once) → the process of the try → whatever it starts. When the
worker ends, however it does, the fork server ends everything below itself. Nothing is imported here, so that it starts at once.
"""
