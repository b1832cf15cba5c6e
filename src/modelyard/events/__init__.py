"""Typed facts, written in the same transaction as the state they tell of."""

from modelyard.events.store import EventStore, EventTransaction
from modelyard.events.types import Event, Fact

__all__ = ["Event", "EventStore", "EventTransaction", "Fact"]
