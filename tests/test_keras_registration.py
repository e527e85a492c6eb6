"""Agents are registered once Keras and anything of kagent are imported; without Keras, they are not imported."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from kagent import keras_registration

ROOT = Path(__file__).parents[1]
# Keras and the agents are stood in for, so that a process takes no seconds. What imports Keras is kagent's own.
STANDINS = {
    "keras/__init__.py": "class Model: pass",
    "kagent/__init__.py": "from kagent.keras_registration import register\nregister()",
    "kagent/keras_registration.py": (ROOT / "kagent" / "keras_registration.py").read_text(),
    "kagent/light.py": "",
    "kagent/part.py": "import keras\nlate = 1",
    "kagent/parts/__init__.py": "from kagent.parts.first import one\nfrom kagent.light import __name__ as name",
    "kagent/parts/first.py": "import keras\none = 1",
    "kagent/broken.py": "import keras\nraise ValueError",
    "kagent/estimators.py": "import keras",
    "kagent/compat/__init__.py": "",
    "kagent/compat/tensorforce/__init__.py": "",
    "kagent/compat/tensorforce/translation.py": "import keras",
    "kagent/agents.py": "import keras\nfrom kagent.part import late\nfrom kagent.parts import one, name",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("standins")
    for name, text in STANDINS.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.mark.parametrize(
    ("program", "registered"),
    [
        ("import kagent", False),
        ("import keras", False),
        ("import kagent.light", False),
        ("import kagent; import importlib.util; importlib.util.find_spec('keras')", False),
        ("import kagent, keras", True),
        ("import keras, kagent", True),
        ("from kagent.part import late", True),
        ("import kagent.parts", True),
        ("import kagent.parts.first", True),
        ("import kagent.agents", True),
        ("import kagent.light; import keras", True),
        ("try: import kagent.broken\nexcept ValueError: pass\nimport kagent.light", True),
    ],
)
def test_whatever_is_imported_first(folder, program, registered):
    program += f"\nimport sys; print({{name in sys.modules for name in {keras_registration.HOMES}}})"
    done = subprocess.run([sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == str({registered}), done.stderr


def test_the_doors_classes_are_registered_too():
    """What a program in Tensorforce's words made is loaded by one that knows nothing of these."""
    registering = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in (ROOT / "kagent" / "compat").rglob("*.py")
        if re.search(r"register(_keras_serializable)?\(", path.read_text(encoding="utf-8"))
    ]
    assert len(registering) >= 3
    assert [name for name in registering if not name.startswith(keras_registration.HOMES)] == []


def test_modules_run_as_programs(folder):
    (folder / "kagent" / "program.py").write_text("import sys, keras; print(__name__, 'kagent.agents' in sys.modules)")
    command = [sys.executable, "-m", "kagent.program"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)
    assert done.stdout == "__main__ True\n", done.stderr


def test_loaders_are_as_they_would_be(folder):
    program = "import kagent.part, keras\nfor m in (kagent.part, keras): print(m.__loader__ is m.__spec__.loader, m.__loader__)"
    program += "\nimport sys; print([finder for finder in sys.meta_path if 'kagent' in str(type(finder))])"
    done = subprocess.run([sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, timeout=60)
    *loaders, finders = done.stdout.splitlines()
    assert all(line.startswith("True <_frozen_importlib_external.SourceFileLoader") for line in loaders), done.stderr
    assert len(loaders) == 2 and finders == "[]"
