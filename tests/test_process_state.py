"""The order of files does not matter: what one registers or sets is undone after it."""

import importlib
import os
import signal
import sys

import gymnasium
import keras
import numpy as np
import pytest
import tensorflow as tf
from process_state import Registrations, Settings

import kagent
from kagent.exploration import EXPLORATIONS, Exploration

OWN = """
import kagent
@kagent.register_agent("imported_meanwhile")
class Own(kagent.DQN):
    pass
"""


def register(name):
    class Own(kagent.DQN):
        pass

    Own.__qualname__ = name  # as in a test of this name
    return kagent.register_agent("own")(Own)


def test_what_is_registered_is_undone():
    registered, names = Registrations(), {*keras.saving.get_custom_objects()}
    register("one")
    with pytest.raises(ValueError, match="The name 'own' of `agent` is that of"):
        register("other")

    @EXPLORATIONS.register("own")
    class Own(Exploration):
        pass

    gymnasium.register("Own-v0", entry_point=lambda: None)
    registered.undo()
    assert "own" not in kagent.agents.AGENTS and not EXPLORATIONS.knows("own") and "Own" not in EXPLORATIONS.names
    assert "Own-v0" not in gymnasium.registry and {*keras.saving.get_custom_objects()} == names
    assert register("other") is kagent.agents.AGENTS["own"]
    registered.undo()
    assert EXPLORATIONS.knows("epsilon_greedy") and "dqn" in kagent.agents.AGENTS


def test_ids_of_a_package_that_was_imported_meanwhile_stay(tmp_path, monkeypatch):
    """It registers them once, when it is imported."""
    registered = Registrations()
    package = tmp_path / "meanwhile"
    package.mkdir()
    (package / "__init__.py").write_text(
        "import gymnasium\ngymnasium.register('Meanwhile-v0', entry_point='meanwhile.games:Game')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    importlib.import_module("meanwhile")
    gymnasium.register("Own-v0", entry_point="kagent.environments.partial:TMaze")
    registered.undo()
    assert "Meanwhile-v0" in gymnasium.registry and "Own-v0" not in gymnasium.registry
    del gymnasium.registry["Meanwhile-v0"], sys.modules["meanwhile"]


def test_a_name_that_was_taken_anew_is_given_back():
    register("one")
    before, registered = kagent.agents.AGENTS["own"], Registrations()
    again = register("one")
    assert kagent.agents.AGENTS["own"] is again is not before
    registered.undo()
    assert kagent.agents.AGENTS["own"] is before


def test_a_module_that_is_imported_keeps_what_it_registers(tmp_path, monkeypatch):
    (tmp_path / "imported_meanwhile.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    registered = Registrations()
    import imported_meanwhile

    registered.undo()
    assert kagent.agents.AGENTS["importedmeanwhile"] is imported_meanwhile.Own
    monkeypatch.delitem(sys.modules, "imported_meanwhile")
    registered.undo()
    assert "importedmeanwhile" not in kagent.agents.AGENTS


def test_what_is_set_is_put_back(tmp_path):
    settings, before = (
        Settings(),
        (dict(os.environ), os.getcwd(), [*sys.path], np.geterr(), keras.config.dtype_policy()),
    )
    os.environ["KAGENT_OWN"] = "1"
    del os.environ["PATH"]
    os.chdir(tmp_path)
    sys.path.append(str(tmp_path))
    np.seterr(all="raise")
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    keras.config.set_dtype_policy("mixed_bfloat16")
    tf.config.run_functions_eagerly(True)
    settings.restore()
    assert (dict(os.environ), os.getcwd(), [*sys.path], np.geterr(), keras.config.dtype_policy()) == before
    assert signal.getsignal(signal.SIGINT) is handler and not tf.config.functions_run_eagerly()
