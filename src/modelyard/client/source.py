"""Where the code of a run comes from: the commit, what was not committed, and the script. Secrets stay here."""

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

from modelyard.core import canonical_json

MOST_BYTES: Final = 1 << 20  # of the difference, and of the script
GIT_S: Final = 10.0
_SECRET_FILES: Final = (
    ".env", ".env.*", ".netrc", ".pypirc", "*.pem", "*.key", "*.p12", "id_rsa*", "*credential*", "*secret*",
)  # fmt: skip
_SECRET: Final = re.compile(
    r"""(?mx)
    ( (?i: password | passwd | secret | token | api_?key | access_?key ) \w* ["']? \s* [:=] \s* ["'] ) [^"'\n]{6,} (?= ["'] )
    | ^ ( [+ -]? (?: export \s+ )? [A-Z_]* (?: PASSWORD | SECRET | TOKEN | KEY ) [A-Z_]* = ) [^\s"'(]{6,} $
    | ( :// [^/\s:@]+ : ) [^@\s/]+ (?= @ )
    | \b ( (?: AKIA | ASIA ) ) [0-9A-Z]{16} \b
    | \b ( gh[pousr]_ | glpat- | sk- | xox[baprs]- | yard_ ) [\w-]{16,}
    """
)
_PRIVATE_KEY: Final = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?-----END [A-Z ]*PRIVATE KEY-----", re.DOTALL)
HIDDEN: Final = "[hidden]"


def describe_source(function: Callable[..., Any]) -> bytes:
    """Return the source document of a run of `function`, as canonical JSON.

    It holds the commit, branch and origin of the git repository that the function's file is in, the difference to that commit,
    the names of untracked Python files, and the script's text; without git, the script alone. Each text is cut at 1 MiB. Files
    that usually hold secrets are left out, and what looks like one elsewhere is hidden.
    """
    path = _file_of(function)
    document: dict[str, Any] = {"format": 1, "function": function.__name__, "script": None, "git": None}
    if path is not None:
        text, cut = _bounded(path.read_text(errors="replace"))
        document["script"] = {"name": path.name, "text": hide_secrets(text), "cut": cut}
    document["git"] = _git(path.parent if path is not None else Path.cwd())
    return canonical_json(document).encode()


def hide_secrets(text: str) -> str:
    """Return the text with what looks like a secret replaced.

    >>> hide_secrets('api_key = "0123456789abcdef"')
    'api_key = "[hidden]"'
    >>> hide_secrets("https://ada:wonderland@example.org/x.git")
    'https://ada:[hidden]@example.org/x.git'
    """
    hidden = _PRIVATE_KEY.sub(HIDDEN, text)
    return _SECRET.sub(lambda found: next((group for group in found.groups() if group), "") + HIDDEN, hidden)


def _file_of(function: Callable[..., Any]) -> Path | None:
    code = getattr(function, "__code__", None)
    path = Path(code.co_filename) if code is not None else None
    return path if path is not None and path.is_file() else None


def _git(folder: Path) -> dict[str, Any] | None:
    commit = _ask_git(folder, "rev-parse", "HEAD")
    if commit is None:
        return None
    excluded = [f":(exclude,icase,glob)**/{name}" for name in _SECRET_FILES]
    difference, cut = _bounded(_ask_git(folder, "diff", "--no-ext-diff", "--no-color", "HEAD", "--", ":/", *excluded) or "")
    untracked = _ask_git(folder, "ls-files", "--others", "--exclude-standard", "--full-name", "--", ":/*.py", *excluded) or ""
    return {
        "commit": commit.strip(),
        "branch": (_ask_git(folder, "rev-parse", "--abbrev-ref", "HEAD") or "").strip(),
        "origin": _without_password((_ask_git(folder, "remote", "get-url", "origin") or "").strip()),
        "uncommitted": hide_secrets(difference),
        "cut": cut,
        "untracked": untracked.splitlines()[:1000],
    }


def _ask_git(folder: Path, *arguments: str) -> str | None:
    git = shutil.which("git")
    if git is None:
        return None
    command = [git, "-C", str(folder), "-c", "core.quotepath=off", *arguments]
    try:
        done = subprocess.run(command, capture_output=True, timeout=GIT_S, check=False, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode(errors="replace") if done.returncode == 0 else None


def _bounded(text: str) -> tuple[str, bool]:
    content = text.encode()
    return (text, False) if len(content) <= MOST_BYTES else (content[:MOST_BYTES].decode(errors="ignore"), True)


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    if parts.password is None and parts.username is None:
        return url
    return urlunsplit(parts._replace(netloc=(parts.hostname or "") + (f":{parts.port}" if parts.port else "")))
