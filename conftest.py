"""What the examples in kagent's docstrings find: the names that a reader has imported, and a folder of their own."""

import dataclasses
import math
import os
import pathlib
import re

os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import pytest

ROOT = pathlib.Path(__file__).parent
LONGEST = 300  # timesteps, in place of the thousands that an example asks for


def pytest_ignore_collect(collection_path):
    """Helpers of the tests are imported by the tests, not collected: a second import would register their classes twice."""
    helper = collection_path.suffix == ".py" and not collection_path.name.startswith("test_")
    return True if helper and "kagent" not in collection_path.relative_to(ROOT).parts[:1] else None


@pytest.fixture(scope="module", autouse=True)
def _process():
    """Undoes what a file registers and sets: which files come before another is chance."""
    import process_state

    registered, settings = process_state.Registrations(), process_state.Settings()
    yield
    registered.undo()
    settings.restore()


def _names(module: str) -> dict:
    import gymnasium
    import keras
    import numpy as np
    import tensorflow as tf

    import kagent

    names = {
        "dataclasses": dataclasses, "gymnasium": gymnasium, "kagent": kagent, "keras": keras, "math": math, "np": np, "tf": tf
    }  # fmt: skip
    parts = module.split(".")[:2]
    if len(parts) == 2:  # a reader of a package has what it exports
        package = getattr(kagent, parts[1], None)
        names |= {name: getattr(package, name) for name in getattr(package, "__all__", ())}
    return names


@pytest.fixture(autouse=True)
def _example(request):
    """Gives an example its names. It is run for what it calls, so its training ends after a few timesteps."""
    if not isinstance(request.node, pytest.DoctestItem):
        return
    # Asked for here: eight thousand tests need no folder.
    tmp_path, monkeypatch = (request.getfixturevalue(name) for name in ("tmp_path", "monkeypatch"))
    import graphs
    import gymnasium
    import numpy as np
    import shortened
    import tensorflow as tf

    import kagent

    monkeypatch.chdir(tmp_path)
    shortened.fits(monkeypatch, LONGEST)
    graphs.eagerly(monkeypatch)
    graphs.untraced(monkeypatch)
    test = request.node.dtest
    tf.config.run_functions_eagerly(True)
    request.addfinalizer(lambda: tf.config.run_functions_eagerly(False))
    source = "".join(example.source for example in test.examples)
    names = _names(test.globs["__name__"])
    if re.search(r"\bagent\b", source) and not re.match(r"(?s).*?\bagent = ", source.partition("agent.")[0]):
        sizes = {"memory": 200, "batch_size": 8, "start": 16, "frequency": 16, "seed": 0}
        names["agent"] = kagent.DQN("CartPole-v1", network={"type": "mlp", "units": [8]}, **sizes)
        names |= {"observation": [0.0, 0.1, 0.0, -0.1], "observations": np.zeros((2, 4), np.float32)}
    if re.search(r"\benv\b", source):
        names["env"] = gymnasium.make("CartPole-v1")
        names["env"].reset(seed=0)
    if "agent.keras" in source:
        kagent.PPO("CartPole-v1", network={"type": "mlp", "units": [8]}, seed=0).save("agent.keras")
    test.globs.update({name: value for name, value in names.items() if name not in test.globs})
