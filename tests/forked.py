"""Python processes of their own that need not import TensorFlow first.

A server process imports it once, and is forked for each program: 3 to 5 seconds less each. What is about the imports
themselves runs in a plain `subprocess`.
"""

import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
import traceback

# Whether TensorFlow optimizes graphs and XLA compiles, as for users; else as in fast tests. `conftest.py` says it for each test.
as_users = True
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["gymnasium", "h5py", "keras", "tensorflow", "kagent", "kagent.cli"])


class Child:
    """A process that runs `python ARGUMENTS`, with the methods of a `subprocess.Popen` whose pipes are text.

    Args:
        arguments: What follows `python` in a command: a path, `-m` and a module, or `-c` and a program; then its own.
        cwd, env: As for `Popen`; None: as here.
    """

    def __init__(self, arguments, cwd=None, env=None):
        self._outputs = [tempfile.NamedTemporaryFile("w+") for _ in range(2)]
        names = [file.name for file in self._outputs]
        given = (
            [*map(str, arguments)],
            str(cwd or os.getcwd()),
            dict(os.environ if env is None else env),
            names,
            as_users,
        )
        self._process = _CONTEXT.Process(target=_run, args=given)
        self._process.start()
        self.pid = self._process.pid

    @property
    def returncode(self):
        return self._process.exitcode

    def poll(self):
        return self._process.exitcode

    def send_signal(self, number):
        os.kill(self.pid, number)

    def kill(self):
        self._process.kill()

    def wait(self, timeout=None):
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired("forked", timeout)
        return self._process.exitcode

    def communicate(self, timeout=None):
        self.wait(timeout)
        return tuple(file.read() for file in self._outputs)


def run(arguments, cwd=None, env=None, timeout=300):
    """`subprocess.run` with captured text."""
    child = Child(arguments, cwd, env)
    try:
        output, error = child.communicate(timeout)
    except subprocess.TimeoutExpired:
        child.kill()
        raise
    return subprocess.CompletedProcess(arguments, child.returncode, output, error)


def _run(arguments, cwd, env, names, compiled):
    for number, name in zip((1, 2), names):
        file = os.open(name, os.O_WRONLY | os.O_TRUNC)
        os.dup2(file, number)
    sys.stdout, sys.stderr = (open(number, "w", buffering=1, closefd=False) for number in (1, 2))
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    sys.path[:0] = [cwd, *filter(None, env.get("PYTHONPATH", "").split(os.pathsep))]
    try:
        if not compiled:
            _as_in_fast_tests()
        _execute(arguments)
    except SystemExit:
        raise
    except BaseException:
        traceback.print_exc()
        sys.exit(1)
    finally:
        sys.stdout.flush()


def _as_in_fast_tests():
    import graphs
    import pytest

    graphs.without_xla(pytest.MonkeyPatch())
    graphs.rewrite(False)


def _execute(arguments):
    kind, *rest = arguments
    if kind == "-c":
        sys.argv = ["-c", *rest[1:]]
        exec(compile(rest[0], "<string>", "exec"), {"__name__": "__main__"})
    elif kind == "-m":
        sys.argv = rest
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    else:
        sys.argv = arguments
        sys.path.insert(0, os.path.dirname(kind))
        runpy.run_path(kind, run_name="__main__")
