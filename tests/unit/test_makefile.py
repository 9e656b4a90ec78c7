"""`make test` says what is missing for all of the tests, and what it says to enter installs it."""

import subprocess
from pathlib import Path

import pytest

from tests.conftest import need

ROOT = Path(__file__).parents[2]
EXTRAS = "local,openvino,dev"
# Fails at a module that `LACKS` names.
PYTHON = """#!/bin/sh
case "$1 $2" in "-c import "*) for each in $LACKS; do case "$2" in *"$each"*) exit 1;; esac; done;; esac
echo "python $*"
"""


@pytest.fixture
def venv(tmp_path: Path) -> Path:
    """One in which all is installed that a plain `make test` installs."""
    need(subprocess.run(["make", "--version"], capture_output=True, check=False).returncode == 0, "make")
    (tmp_path / "bin").mkdir()
    for name in ("python", "pytest", "ruff", "mypy"):
        (tmp_path / "bin" / name).write_text(PYTHON if name == "python" else "#!/bin/sh\n", encoding="utf-8")
        (tmp_path / "bin" / name).chmod(0o755)
    for stamp in (".created", ".installed", f".tested-{EXTRAS}"):
        (tmp_path / stamp).touch()
    return tmp_path


def make_test(venv: Path, lacks: str, extras: str = EXTRAS) -> list[str]:
    """What is said to a person; make itself says what it runs."""
    command = ["make", "--silent", "test", f"VENV={venv}", f"EXTRAS={extras}"]
    environment = {"PATH": "/usr/bin:/bin", "LACKS": lacks}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    return [line for line in done.stdout.splitlines() if "RTSP" not in line]


@pytest.mark.parametrize(
    ("lacks", "add"),
    [
        ("nothing", ""),
        ("torch", ",train"),
        ("pycocotools", ",train"),
        ("tensorrt_rtx_bindings", ",rtx"),
        ("nvimgcodec", ",rtx"),
        ("torch tensorrt_rtx_bindings", ",train,rtx"),
    ],
)
def test_the_extras_that_are_missing_are_named(venv: Path, lacks: str, add: str) -> None:
    said = make_test(venv, lacks)
    assert said[-1:] == ([f"to run them too: make test EXTRAS={EXTRAS}{add}"] if add else [])
    assert len(said) == (1 + add.count(",") if add else 0)


def test_extras_that_are_added_are_installed(venv: Path) -> None:
    said = make_test(venv, "nothing", f"{EXTRAS},rtx")
    assert said == [f"python -m pip install --disable-pip-version-check --editable .[{EXTRAS},rtx]"]
    assert make_test(venv, "nothing", f"{EXTRAS},rtx") == []
