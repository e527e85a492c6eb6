"""The environment variables and the silence that the command line arranges."""

import os
import subprocess
import sys

import pytest

from kagent.cli import process

NAMES = (
    "XLA_FLAGS",
    "TF_CPP_MIN_LOG_LEVEL",
    "KERAS_BACKEND",
    "SDL_VIDEODRIVER",
    "PYGAME_HIDE_SUPPORT_PROMPT",
)


@pytest.fixture
def unset(monkeypatch):
    for name in NAMES:
        monkeypatch.setenv(name, "")  # so that it is put back afterwards
        monkeypatch.delenv(name)
    monkeypatch.setitem(sys.modules, "tensorflow", sys)  # imported already, as far as this is concerned
    return monkeypatch


def test_flags_are_added_once_and_beside_the_users(unset):
    process.prepare()
    assert os.environ["XLA_FLAGS"] == "--xla_cpu_multi_thread_eigen=false"
    unset.setenv("XLA_FLAGS", "--xla_dump_to=x")
    process.prepare()
    process.prepare()
    assert os.environ["XLA_FLAGS"] == "--xla_dump_to=x --xla_cpu_multi_thread_eigen=false"


def test_what_the_user_has_set_stays(unset):
    for name in NAMES:
        unset.setenv(name, "xla_cpu_multi_thread_eigen: mine")
    process.prepare()
    assert {os.environ[name] for name in NAMES} == {"xla_cpu_multi_thread_eigen: mine"}


@pytest.mark.thorough  # with None the run of `test_train.trained` shows it, too
@pytest.mark.parametrize("level", [None, "1", "2"])
def test_tensorflow_is_imported_in_silence(level):
    program = (
        "import sys; from kagent.cli import process; process.prepare(); "
        "assert 'tensorflow' in sys.modules; import tensorflow as tf; tf.zeros(1); "
        "print('later', file=sys.stderr)"
    )
    quiet = {name: value for name, value in os.environ.items() if name not in NAMES}
    quiet |= {} if level is None else {"TF_CPP_MIN_LOG_LEVEL": level}
    result = subprocess.run([sys.executable, "-c", program], env=quiet, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0 and result.stderr == "later\n"


def test_a_failing_import_shows_everything(tmp_path):
    package = tmp_path / "tensorflow"
    package.mkdir()
    (package / "__init__.py").write_text("import os; os.write(2, b'notice\\n'); raise ImportError('broken')")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    environment.pop("TF_CPP_MIN_LOG_LEVEL", None)
    result = subprocess.run(
        [sys.executable, "-c", "from kagent.cli import process; process.prepare()"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.returncode == 1 and "notice" in result.stderr and "ImportError: broken" in result.stderr
