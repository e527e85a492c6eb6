"""The worked example of CONTRIBUTING.md: its projection by hand, and all that an agent must keep."""

import functools
import importlib.util
import pathlib
import sys

import numpy as np
import pytest
from testing import parts

from kagent import testing

PATH = pathlib.Path(__file__).parent.parent / "examples" / "c51.py"


@pytest.fixture(scope="module")
def c51():
    spec = importlib.util.spec_from_file_location("c51_example", PATH)
    module = importlib.util.module_from_spec(spec)
    sys.modules["c51_example"] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    "returns, probabilities, expected",
    [
        ([0, 1, 2], [0.2, 0.3, 0.5], [0.2, 0.3, 0.5]),  # on the atoms
        ([0.5, 1.5, 2.5], [0.2, 0.3, 0.5], [0.1, 0.25, 0.65]),  # half and half; what is beyond 2 counts as 2
        ([1.25, 1.25, 1.25], [0.2, 0.3, 0.5], [0, 0.75, 0.25]),  # behind a terminal state: one return
        ([-3, -1, 0.25], [0.5, 0.25, 0.25], [0.9375, 0.0625, 0]),  # below 0 counts as 0
    ],
)
def test_projection(c51, returns, probabilities, expected):
    found = c51.project(np.float32([returns]), np.float32([probabilities]), 0.0, 2.0).numpy()
    np.testing.assert_allclose(found, [expected], atol=1e-6)


def test_projection_between_other_bounds(c51):
    # Atoms -1, 1, 3: 0 lies half way between the first two, 2.5 at three quarters between the others.
    found = c51.project(np.float32([[0, 2.5, 9]]), np.float32([[0.4, 0.4, 0.2]]), -1.0, 3.0).numpy()
    np.testing.assert_allclose(found, [[0.2, 0.2 + 0.1, 0.3 + 0.2]], atol=1e-6)


@pytest.mark.thorough
def test_the_objective_keeps_what_an_objective_must(c51):
    policy = c51.CategoricalValuePolicy({"type": "mlp", "units": [4]}, atoms=5, high=10.0)
    testing.check_objective(c51.CategoricalObjective(), policy=policy, memory=100)


@pytest.mark.slow
def test_the_agent_keeps_what_an_agent_must(c51):
    testing.check_agent(functools.partial(c51.OwnC51, **parts.REPLAY, atoms=5, high=10.0), supports=("Discrete",))
