"""What a lent GPU machine can import: tests/gpu/pack.sh carries some packages there, and can't carry all."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from streamer.settings import load

ROOT = Path(__file__).parents[2]
# The packages that such machines were seen to have, of those that matter here.
THERE = {
    "attrs", "certifi", "charset-normalizer", "cuda-bindings", "cuda-pathfinder", "execnet", "fsspec", "hypothesis",
    "idna", "iniconfig", "markdown-it-py", "markupsafe", "mdurl", "ml-dtypes", "mpmath", "numpy", "nvidia-cuda-nvrtc",
    "nvidia-ml-py", "onnx", "onnxruntime", "opencv-python-headless", "packaging", "pluggy", "prometheus-client",
    "protobuf", "psutil", "pygments", "pytest", "pytest-timeout", "pytest-xdist", "requests", "rich", "setuptools",
    "sortedcontainers", "sympy", "torch", "urllib3",
}  # fmt: skip
_COLLECT = """
import sys
from importlib.abc import MetaPathFinder
from importlib.metadata import packages_distributions

import pytest

there = set(sys.argv[1].split(","))

def plain(name):
    return name.lower().replace("_", "-").replace(".", "-")

shut = {module for module, owners in packages_distributions().items() if not there & set(map(plain, owners))}

class Missing(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in shut:
            raise ModuleNotFoundError(f"No module named {name!r} on a GPU machine", name=name)

import importlib.util
find_spec = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name.partition(".")[0] in shut else find_spec(name, *rest)
for module in shut & {name.partition(".")[0] for name in sys.modules}:
    del sys.modules[module]
sys.meta_path.insert(0, Missing())
sys.exit(pytest.main(["--collect-only", "-q", "-p", "no:cacheprovider", *sys.argv[2:]]))
"""


def carried() -> set[str]:
    """By pack.sh, and pydantic-core, which it looks up in pydantic."""
    words = (ROOT / "tests" / "gpu" / "pack.sh").read_text(encoding="utf-8")
    [inside] = re.findall(r"^carried=\(\n(.*?)^\)", words, re.DOTALL | re.MULTILINE)
    return {re.split("[=>]", word.strip('"'))[0].replace("_", "-") for word in inside.split()} | {"pydantic-core"}


def test_everything_that_is_run_there_is_collected() -> None:
    itself = {"streamer", "pip"}
    folders = [str(ROOT / "tests" / name) for name in ("gpu", "kernels", "tensorrt")]
    command = [sys.executable, "-c", _COLLECT, ",".join(THERE | carried() | itself), *folders]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=100, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "test_gpu_bench.py::" in done.stdout
    assert "gpu/test_runtime.py::" in done.stdout


@pytest.mark.parametrize("file", ["Makefile", "tests/gpu/machine.sh"])
def test_all_that_is_set_there_is_a_setting(file: str) -> None:
    """A name that is none would end whatever reads settings."""
    words = (ROOT / file).read_text(encoding="utf-8")
    load(environ=dict.fromkeys(re.findall(r"\bSTREAMER_\w+", words), "x"))


@pytest.mark.parametrize("file", ["Makefile", "tests/gpu/machine.sh"])
def test_a_warning_of_a_package_there_fails_no_test(file: str, tmp_path: Path) -> None:
    """Other versions than here warn of other things, and nobody can mend that there."""
    words = (ROOT / file).read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line for line in words.splitlines() if "pytest" in line and "REQUIRE_GPU" in line]
    assert lines
    (tmp_path / "test_it.py").write_text("import warnings\ndef test(): warnings.warn('old', DeprecationWarning)\n")
    for line in lines:
        flags = ["-W", "default"] if " -W default " in line else []
        config = ["-c", str(ROOT / "pyproject.toml"), "--rootdir", str(tmp_path), "-p", "no:cacheprovider"]
        command = [sys.executable, "-m", "pytest", *config, *flags, str(tmp_path / "test_it.py")]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=100, check=False)
        assert done.returncode == 0, done.stdout
