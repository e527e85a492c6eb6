"""Imports run downwards: no module imports one of a layer above its own, inside functions or out of them, and none in a circle."""

import ast
import functools
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# From the lowest. A module belongs to the longest name that is its own or that of a package around it.
LAYERS = (
    "kagent.files",
    "kagent.config",
    "kagent.ops",
    "kagent.spaces",
    "kagent.specifications",
    "kagent.schedules",
    "kagent.acting",
    "kagent.environments",
    "kagent.diagnosis",
    "kagent.exploration",
    "kagent.training.protocols",
    "kagent.training.collector",
    "kagent.distributed",
    "kagent.preprocessing",
    "kagent.distributions",
    "kagent.networks",
    "kagent.policies",
    "kagent.optimizers",
    "kagent.objectives",
    "kagent.memories",
    "kagent.reward_estimation",
    "kagent.update",
    "kagent.traces",
    "kagent.datasets",
    "kagent.inspection",
    "kagent.saving",
    "kagent.learning",
    "kagent.callbacks",
    "kagent.training",
    "kagent.arguments",
    "kagent.parts",
    "kagent.agent",
    "kagent.agents",
    "kagent.compat",
    "kagent.estimators",
    "kagent.testing",
    "kagent.tuned",
    "kagent.hub",
    "kagent.cli",
)
TOP = ("kagent", "kagent.__main__", "kagent.keras_registration")  # they import what is above by name, when it is used
LIGHT = (
    "acting",
    "exploration",
    "schedules",
    "environments",
    "diagnosis",
    "traces",
    "inspection",
    "preprocessing",
    "training.collector",
    "distributed.worker",
    "cli",
    "plotting",
    "rendering",
)


def modules():
    found = {}
    for path in (ROOT / "kagent").rglob("*.py"):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        found[name.removesuffix(".__init__")] = path
    return found


MODULES = modules()


def imported(name):
    """The modules of kagent that one imports, wherever in its text, but for those that only types need."""
    path = MODULES[name]
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    found = set()

    def walk(node):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
                continue
            if isinstance(child, ast.Import):
                found.update(alias.name for alias in child.names if alias.name.split(".")[0] == "kagent")
            if isinstance(child, ast.ImportFrom):
                base = child.module or ""
                if child.level:
                    home = package.split(".")[: len(package.split(".")) - child.level + 1]
                    base = ".".join([*home, *([base] if base else [])])
                if base.split(".")[0] == "kagent":
                    full = [f"{base}.{alias.name}" for alias in child.names]
                    found.update(part if part in MODULES else base for part in full)
            walk(child)

    walk(ast.parse(path.read_text(encoding="utf-8")))
    return found


@functools.cache  # not when the file is collected, which every process does
def imports():
    return {name: imported(name) for name in MODULES if name not in TOP}


def layer(name):
    names = [known for known in LAYERS if name == known or name.startswith(f"{known}.")]
    assert names, f"{name} is in no layer: add it to LAYERS"
    return LAYERS.index(max(names, key=len))


def test_the_reading_of_imports():
    assert {"kagent.agents.ppo", "kagent.config.creation"} <= imports()["kagent.agents"]
    assert "kagent.spaces" in imports()["kagent.environments.checks"]  # a relative one
    assert "kagent.schedules.tensor_math" in imports()["kagent.schedules.schedule"]  # inside a function


@pytest.mark.parametrize("layered", LAYERS)
def test_no_import_runs_upwards(layered):
    own = LAYERS.index(layered)
    upwards = [
        (a, b) for a, found in imports().items() if layer(a) == own for b in found if b != "kagent" and layer(b) > own
    ]
    assert upwards == []


def test_no_circle():
    left = {name: found - set(TOP) for name, found in imports().items()}
    while True:
        lowest = [name for name, found in left.items() if not found & left.keys()]
        if not lowest:
            break
        for name in lowest:
            del left[name]
    assert sorted(left) == []


def test_nothing_below_imports_a_door():
    """What is in other libraries' words uses the core; the core is whole without it."""
    door = "kagent.compat"
    inside = {name for name in imports() if name == door or name.startswith(f"{door}.")}
    users = {name: found & inside for name, found in imports().items() if found & inside and name not in inside}
    assert inside and users == {}


def test_every_import_is_of_a_module_that_is_there():
    missing = {name: found - MODULES.keys() for name, found in imports().items() if found - MODULES.keys()}
    assert missing == {}


def test_the_agent_is_a_short_file():
    lines = (ROOT / "kagent" / "agent.py").read_text().splitlines()
    assert len(lines) <= 300, "functions of an agent's packages hold what it does"


def test_every_file_can_be_read_whole():
    lengths = {name: len(path.read_text(encoding="utf-8").splitlines()) for name, path in MODULES.items()}
    long = {name: length for name, length in lengths.items() if length > 400}
    assert long == {}, "a file is a noun: its parts have files of their own"


def test_few_files_lie_at_the_top():
    assert len({path.name for path in (ROOT / "kagent").glob("*.py")} - {"__main__.py"}) <= 8


@pytest.mark.parametrize("name", LIGHT)
def test_no_tensorflow(name):
    program = f"import sys, kagent.{name}; print(*sorted({{'keras', 'tensorflow'}} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert done.stdout.split() == [], done.stderr
