"""The control plane over HTTP."""

from modelyard.api.app import create_app
from modelyard.api.callers import COOKIE

__all__ = ["COOKIE", "create_app"]
