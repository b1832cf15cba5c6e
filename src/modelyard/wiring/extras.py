"""Which optional packages are installed here."""

from importlib.util import find_spec

NO_GRPC = "no gRPC here: it needs pip install 'modelyard[grpc]'"


def has_grpc() -> bool:
    """Return whether the gateway can listen for gRPC. Nothing is imported to find out."""
    try:
        return all(find_spec(name) is not None for name in ("grpc", "google.protobuf"))
    except ModuleNotFoundError:  # there is no `google` at all
        return False
