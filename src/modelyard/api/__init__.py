"""The control plane over HTTP."""

from modelyard.api.app import create_app

__all__ = ["create_app"]
