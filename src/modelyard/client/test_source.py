import importlib.util
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from modelyard.client.source import MOST_BYTES, describe_source, hide_secrets


def function_in(folder: Path, text: str) -> Callable[..., Any]:
    path = folder / "train.py"
    path.write_text(text)
    spec = importlib.util.spec_from_file_location("train_of_test", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found: Callable[..., Any] = module.train
    return found


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-c", "commit.gpgsign=false"]
    program = shutil.which("git")
    assert program is not None
    done = subprocess.run([program, "-C", str(folder), *identity, *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def test_without_git_the_script_alone_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    document = json.loads(describe_source(function_in(tmp_path, "def train():\n    return 1\n")))
    assert document["git"] is None
    assert document["script"] == {"name": "train.py", "text": "def train():\n    return 1\n", "cut": False}


def test_the_commit_and_what_was_not_committed_are_told_without_secrets(tmp_path: Path) -> None:
    git(tmp_path, "init", "-b", "main")
    git(tmp_path, "remote", "add", "origin", "https://ada:wonderland@example.org/churn.git")
    (tmp_path / "train.py").write_text("def train():\n    return 1\n")
    (tmp_path / ".env").write_text("A=1\n")
    git(tmp_path, "add", "-A", "-f")
    git(tmp_path, "commit", "-m", "first")
    (tmp_path / ".env").write_text("DATABASE=hunter2hunter2\n")
    (tmp_path / "new.py").write_text("")
    function = function_in(tmp_path, 'def train():\n    return 2\n\n\napi_key = "0123456789abcdef"\n')

    content = describe_source(function).decode()

    document = json.loads(content)
    assert document["git"]["commit"] == git(tmp_path, "rev-parse", "HEAD")
    assert document["git"]["branch"] == "main"
    assert document["git"]["origin"] == "https://example.org/churn.git"
    assert "+    return 2" in document["git"]["uncommitted"]
    assert document["git"]["untracked"] == ["new.py"]
    for secret in ("wonderland", "hunter2", "0123456789abcdef"):
        assert secret not in content


def test_a_large_script_is_cut(tmp_path: Path) -> None:
    document = json.loads(
        describe_source(function_in(tmp_path, "def train():\n    return 1\n" + "# more\n" * (MOST_BYTES // 4)))
    )
    assert document["script"]["cut"]
    assert len(document["script"]["text"]) <= MOST_BYTES


@pytest.mark.parametrize(
    "secret",
    [
        "AKIAIOSFODNN7EXAMPLE",
        "ghp_0123456789abcdefghijABCDEFGHIJ012345",
        "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----",
        "yard_0123456789abcdefghijABCDEFGHIJ0123456789abc",
        "\nAPP_TOKEN=0123456789abcdef\n",
        'password: "hunter2hunter2"',
    ],
)
def test_what_looks_like_a_secret_is_hidden(secret: str) -> None:
    assert secret not in hide_secrets(f"before {secret} after")
    assert "[hidden]" in hide_secrets(f"before {secret} after")


def test_ordinary_code_stays_as_it_is() -> None:
    code = "tokens = model.tokenize(text)\nTOKENS = os.environ['TOKENS']\npassword_field = None\nrisk = 0.5\n"
    assert hide_secrets(code) == code
