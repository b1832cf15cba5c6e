"""Decisions of policies and people."""

from modelyard.client.connection import Connection, part
from modelyard.reactions import Decision


class DecisionClient:
    """One deed on record."""

    def __init__(self, connection: Connection, project: str, record: Decision) -> None:
        self.record = record
        self._connection = connection
        self._project = project

    def undo(self) -> "DecisionClient":
        """Take it back, and return the decision that says so. Problem `decision.conflict` when it cannot be."""
        path = f"{self._project}/decisions/{part(self.record.id)}/undo"
        return DecisionClient(self._connection, self._project, self._connection.post(path, Decision))

    def __repr__(self) -> str:
        """Return what was done and why."""
        return f"<{self.record.action.value} on {self.record.deployment}: {self.record.told}>"
