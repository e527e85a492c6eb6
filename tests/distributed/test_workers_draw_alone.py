"""Workers that wait, each of which draws random numbers for its own environments: where all could not draw the same ones, or need not."""

import dataclasses
import functools

import gymnasium
import numpy as np
import pytest
from agent_states import differences, state_of
from gymnasium import spaces
from test_workers_equal_local import ROLLOUT, history, trained
from transports import InProcess

import kagent

pytestmark = pytest.mark.eager


class Still(gymnasium.Env):
    """Always the same observation: actions differ by their random numbers alone."""

    observation_space = spaces.Box(-1, 1, (2,), np.float32)
    action_space = spaces.Box(-1, 1, (1,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.time = 0
        return np.ones(2, np.float32), {}

    def step(self, action):
        self.time += 1
        return np.ones(2, np.float32), float(action[0]), self.time == 5, False, {}


@dataclasses.dataclass
class Inexact(InProcess):
    exact: bool = False


@kagent.exploration.EXPLORATIONS.register()
@dataclasses.dataclass(frozen=True)
class OwnOfWorkers(kagent.exploration.Exploration):
    def decide(self, actor, leaves, mask, clock, rng):
        return actor.decide(leaves, mask, True, rng)


def test_explorations_of_ones_own_train_as_locally_where_they_draw_nothing():
    make = functools.partial(kagent.PPO, **ROLLOUT, exploration=OwnOfWorkers())
    local, source = trained(make, "CartPole-v1", {"n_envs": 6}, steps=130), InProcess(3, 2, latest_first=True)
    remote = trained(make, "CartPole-v1", {"workers": source}, steps=130)
    # The agent's stream of actions has seeded those of the workers; all else is equal.
    assert differences(state_of(local), state_of(remote)) == ["stream act"]
    assert history(remote) == history(local) and remote.episodes == local.episodes > 0


CASES = {
    "beta": (InProcess, {"policy": {"type": "stochastic", "distribution": "beta", "network": {"units": [4]}}}),
    "state-dependent noise": (InProcess, {"state_dependent_noise": 3}),
    "not exact": (Inexact, {}),
}


@pytest.mark.parametrize("name", [pytest.param(n, marks=[] if n == "beta" else [pytest.mark.thorough]) for n in CASES])
def test_each_worker_has_its_own_numbers_and_a_seed_gives_the_same_run(name):
    kind, given = CASES[name]
    parts = {**ROLLOUT, **given}
    if "policy" in given:  # which has the network
        del parts["network"]

    def run():
        agent = kagent.PPO(Still(), **parts)
        agent.compile(run_eagerly=True)
        actions, append = [], agent.memory.append_leaves
        agent.memory.append_leaves = lambda *fields: (actions.append(np.array(fields[1][0]).ravel()), append(*fields))
        source = kind(3, 2, latest_first=True)
        agent.fit(Still, steps=96, steps_per_epoch=96, verbose=0, workers=source)
        assert agent.updates >= 2 and agent.episodes == 6 * 3
        assert all(servant._worker._job.seen == (slice(0, 2), 2) for servant in source.servants.values())
        return agent, np.array(actions)

    (first, actions), (second, others) = run(), run()
    np.testing.assert_array_equal(actions, others)
    assert differences(state_of(first), state_of(second)) == []
    assert all(len(np.unique(row)) == 6 for row in actions)


@pytest.mark.thorough
def test_open_episodes_go_on():
    """Locally, and with workers that draw alone: the second part begins where the first one ended."""
    make = functools.partial(kagent.PPO, **ROLLOUT, exploration=OwnOfWorkers())
    whole = trained(make, "CartPole-v1", {"n_envs": 6}, steps=192)
    agent = trained(make, "CartPole-v1", {"workers": InProcess(3, 2)}, steps=96)
    agent.fit("CartPole-v1", steps=96, steps_per_epoch=96, verbose=0, workers=InProcess(2, 3))
    assert differences(state_of(whole), state_of(agent)) == ["stream act"]
