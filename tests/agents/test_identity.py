"""Identity environments: the action must repeat the observation, for every action space of every preset."""

import numpy as np
import pytest
from gymnasium import spaces
from learning import make, right_of
from toy_envs import Identity
from variants import with_few

pytestmark = pytest.mark.sensitive

DISCRETE = {
    "discrete": spaces.Discrete(4, start=3),
    "multi_discrete": spaces.MultiDiscrete([3, 4]),
    "multi_binary": spaces.MultiBinary(3),
    "nested": spaces.Dict(
        a=spaces.Discrete(3, start=-1), b=spaces.Tuple((spaces.MultiBinary(2), spaces.MultiDiscrete([2, 3])))
    ),
}
BOXES = {
    "box": spaces.Box(-2, 2, (2,)),
    "unbounded": spaces.Box(-np.inf, np.inf, (1,)),
    "mixed": spaces.Dict(a=spaces.Discrete(3), b=spaces.Tuple((spaces.Box(-1, 1, (2,)),))),
}
BOUNDED = {
    "box": spaces.Box(-2, 2, (1,)),
    "nested": spaces.Tuple((spaces.Box(-1, 1, (2,)), spaces.Dict(x=spaces.Box(0, 3, (1,))))),
}


def each(spaces, fast, thorough=()):
    """Those beside them are slow: they are leaves of one of these, too."""
    marks = {fast: (), **dict.fromkeys(thorough, pytest.mark.thorough)}
    return pytest.mark.parametrize(
        "name", [pytest.param(name, marks=marks.get(name, pytest.mark.slow)) for name in spaces]
    )


def learned(agent, space, steps, closeness, **fit):
    agent.fit(lambda: Identity(space), steps=steps, verbose=0, **fit)
    return right_of(agent, Identity(space), closeness)


@each(DISCRETE, "nested")
def test_dqn_repeats_what_it_sees(name):
    space = DISCRETE[name]
    agent = make("dqn", lambda: Identity(space))
    assert right_of(agent, Identity(space)) < 90  # or there is nothing to learn
    assert learned(agent, space, 1500, 1.0) >= 90


@pytest.mark.thorough
@each(DISCRETE, "nested")
def test_ppo_repeats_what_it_sees(name):
    space = DISCRETE[name]
    agent = make("ppo", lambda: Identity(space))
    assert right_of(agent, Identity(space)) < 90
    assert learned(agent, space, 2000, 1.0) >= 90


@pytest.mark.thorough
@each(BOXES, "mixed", thorough=("unbounded",))
def test_ppo_comes_close_with_boxes(name):
    space = BOXES[name]
    agent = make("ppo", lambda: Identity(space), n_steps=128, epochs=10, log_std=-0.5)
    assert right_of(agent, Identity(space), 0.8) < 90
    assert learned(agent, space, 4000, 0.8) >= 90


@pytest.mark.thorough
@each(BOUNDED, "nested")
def test_sac_comes_close_with_boxes(name):
    space = BOUNDED[name]
    agent = make("sac", lambda: Identity(space))
    assert right_of(agent, Identity(space), 0.8) < 90
    assert learned(agent, space, 1200, 0.8) >= 90


@pytest.mark.thorough
@pytest.mark.parametrize("kind", with_few(("dqn", "ppo"), ("ppo",)))
def test_several_environments_learn_as_well(kind):
    space = DISCRETE["discrete"]
    agent = make(kind, lambda: Identity(space), n_envs=4, **({"n_steps": 16} if kind == "ppo" else {}))
    assert learned(agent, space, 2000, 1.0) >= 90
