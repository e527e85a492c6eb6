"""What belongs to the whole process, and so to every test file in it: registered classes, and settings.

Which files run in a process, and in which order, is chance. So a file finds all of it as its own imports left it.
"""

import functools
import os
import signal
import sys

import numpy as np


class Registrations:
    """The names that classes and environments have at the moment."""

    def __init__(self):
        self._modules = set(sys.modules)
        self._before = [(table, dict(table)) for table in _tables()]

    def undo(self):
        """Takes back what was registered since. A module that was imported meanwhile keeps its classes: it registers once."""
        for table, before in self._before:
            new = {key: value for key, value in table.items() if key not in before and self._imported(key, value)}
            table.clear()
            table.update(before | new)

    def _imported(self, key, value):
        entry = getattr(value, "entry_point", None)
        if isinstance(entry, str):  # of an environment, whose package gives it its id
            module = entry.partition(":")[0]
            return any(name in sys.modules and name not in self._modules for name in _packages(module))
        cls = key if isinstance(key, type) else value
        module = getattr(cls, "__module__", None)
        return module in sys.modules and module not in self._modules


def _packages(module):
    """A module and the packages that it is in."""
    parts = module.split(".")
    return [".".join(parts[: count + 1]) for count in range(len(parts))]


def _tables():
    # By name, or by class. Without kagent's packages nothing is registered there yet.
    registry, creation, keras, gymnasium = (
        sys.modules.get(name) for name in ("kagent.config.registry", "kagent.config.creation", "keras", "gymnasium")
    )
    if gymnasium is not None:
        yield gymnasium.registry
    if keras is not None:
        yield keras.saving.get_custom_objects()
    if creation is not None:
        yield from (creation.AGENTS, creation.SUMMARIES)
    for known in () if registry is None else registry._REGISTRIES:
        yield from (known._classes, known._names)


class Settings:
    """The settings of the process at the moment."""

    def __init__(self):
        self._before = [(write, read()) for read, write in _settings()]

    def restore(self):
        """Puts back what was changed since."""
        for write, value in self._before:
            write(value)


def _settings():
    # How each is read, and written.
    yield lambda: dict(os.environ), _set_environment
    yield os.getcwd, os.chdir
    yield lambda: [*sys.path], lambda value: sys.path.__setitem__(slice(None), value)
    yield np.geterr, lambda value: np.seterr(**value)
    for number in (signal.SIGINT, signal.SIGTERM):
        yield functools.partial(signal.getsignal, number), functools.partial(signal.signal, number)
    if "tensorflow" in sys.modules and "keras" in sys.modules:
        import keras
        import tensorflow as tf

        yield tf.config.functions_run_eagerly, tf.config.run_functions_eagerly
        # TensorFlow leaves a writer of summaries in place whose last flush has failed, as on a full disk.
        state = sys.modules["tensorflow.python.ops.summary_ops_v2"]._summary_state
        yield lambda: state.writer, functools.partial(setattr, state, "writer")
        yield keras.config.dtype_policy, keras.config.set_dtype_policy
        yield keras.config.floatx, keras.config.set_floatx
        yield keras.config.image_data_format, keras.config.set_image_data_format


def _set_environment(value):
    if dict(os.environ) != value:
        os.environ.clear()
        os.environ.update(value)
