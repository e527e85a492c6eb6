"""Another backend of Keras than TensorFlow."""

import os
import subprocess
import sys

import pytest


@pytest.mark.parametrize("backend", ["numpy", "jax", "torch"])  # the latter two need not be installed
@pytest.mark.parametrize("line", ["import kagent; kagent.DQN", "from kagent.agent import Agent"])
def test_another_backend_is_refused_in_one_sentence(backend, line, tmp_path):
    if backend == "numpy":
        settings = {"KERAS_BACKEND": backend}
    else:  # by Keras's file
        (tmp_path / "keras.json").write_text(f'{{"backend": "{backend}"}}')
        settings = {"KERAS_HOME": str(tmp_path)}
    environment = {**{k: v for k, v in os.environ.items() if k != "KERAS_BACKEND"}, **settings}
    done = subprocess.run([sys.executable, "-c", line], capture_output=True, text=True, env=environment, timeout=300)
    last = done.stderr.strip().splitlines()[-1]
    assert done.returncode == 1 and last.startswith("ImportError: kagent's agents run on Keras's TensorFlow backend")
    assert repr(backend) in last and "KERAS_BACKEND=tensorflow" in last
