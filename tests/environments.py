"""Environments of other projects' packages, kept in the user's cache: a test that cannot have one is skipped, and says so."""

import subprocess
import sys
from pathlib import Path

from tests.fetch import CACHE, Absent, tell

INSTALL_S = 300


def python_with(name: str, *requirements: str, patience_s: float = INSTALL_S) -> Path:
    """Return the Python of an environment that holds `requirements`, made once (a minute). Raises `Absent`."""
    home = CACHE / name
    python, stamp = home / "bin" / "python", home / "complete"
    if stamp.is_file() and stamp.read_text() == "\n".join(requirements):
        return python
    tell(f"installing {', '.join(requirements)} into {home}, once")
    make = [sys.executable, "-m", "venv", "--clear", str(home)]
    install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *requirements]
    for command in (make, install):
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=patience_s)
        except subprocess.TimeoutExpired as error:
            raise Absent(f"{', '.join(requirements)} took more than {patience_s:g} s to install") from error
        if done.returncode != 0:
            raise Absent(f"{', '.join(requirements)} could not be installed: {done.stderr.strip()[-200:]}")
    stamp.write_text("\n".join(requirements))
    return python


def kept_python(name: str, package: str) -> Path:
    """Return the Python of an environment that something else has made. Raises `Absent` where it is not there."""
    python = CACHE / name / "bin" / "python"
    if not any((CACHE / name).glob(f"lib/python*/site-packages/{package}/__init__.py")):
        raise Absent(f"there is no {package} in {CACHE / name}")
    return python
