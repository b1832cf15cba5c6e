"""Documents of a user's: a JSON or TOML file."""

import json
import tomllib
from pathlib import Path
from typing import Any

from modelyard.core import Problem


def read_document(path: Path) -> Any:
    """Return what a `.toml` file, or one of JSON, holds. Problem `file.missing`, `file.invalid`."""
    try:
        text = path.read_text()
        return tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
    except FileNotFoundError as error:
        raise Problem("file.missing", f"There is no file {path}", "", "name one that is there") from error
    except (OSError, ValueError) as error:
        raise Problem("file.invalid", f"{path} cannot be read", str(error), "mend the file") from error
