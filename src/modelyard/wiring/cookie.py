"""The name under which a browser keeps its token: the console sets it, the API reads it too."""

COOKIE = "modelyard_token"
