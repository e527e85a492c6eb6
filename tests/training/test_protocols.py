"""The objects of an agent have the methods that others need of them."""

import dataclasses

import numpy as np
import pytest

from kagent import environments, exploration, schedules
from kagent.memories.n_step import NStepAccumulator
from kagent.training import protocols
from kagent.training.collector import Collector
from kagent.training.update_cycle import UpdateTask

pytestmark = pytest.mark.eager


def test_own_classes_have_them(small):
    agent = small("dqn", horizon=2)
    agent.fit("CartPole-v1", steps=30, verbose=0)
    assert isinstance(agent.actor, protocols.Actor) and isinstance(UpdateTask(agent), protocols.LearningTask)
    assert isinstance(agent.train_function, protocols.WeightSource)
    assert isinstance(agent.memory, protocols.Saveable) and isinstance(agent.memory.windows, NStepAccumulator)
    assert isinstance(agent.memory.windows, protocols.Saveable)
    collector = Collector(agent.actor, agent.exploration, environments.make("CartPole-v1", 1))
    assert isinstance(collector, protocols.TransitionSource)


def test_weights_of_the_learner_make_another_actor_act_alike(small):
    agent, other = small("dqn"), small("dqn", seed=1)
    agent.fit("CartPole-v1", steps=60, verbose=0)
    observations = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    wanted = agent.actor.decide([observations], None, True)[0]
    assert (other.actor.decide([observations], None, True)[0] != wanted).any()
    other.actor.set_weights(*agent.train_function.weights())
    np.testing.assert_array_equal(other.actor.decide([observations], None, True)[0], wanted)


@dataclasses.dataclass
class Alternating:
    """An actor of a program that has no agent: 0 and 1 in turns."""

    calls: int = 0

    def initial_state(self, count):
        return ()

    def decide(self, leaves, masks=None, deterministic=False, rng=None):
        self.calls += 1
        return [np.full(len(leaves[0]), self.calls % 2)]

    def random(self, count, rng=None, masks=None):
        return [np.zeros(count, int)]

    def to_env(self, canonical):
        return list(canonical)


def test_an_actor_of_ones_own_is_walked_with():
    actor = Alternating()
    assert isinstance(actor, protocols.Actor) and not isinstance(object(), protocols.Actor)
    collector = Collector(actor, exploration.Sampling(), environments.make("CartPole-v1", 2))
    seeds = iter(range(100))
    collector.start(lambda: next(seeds))
    for n in range(1, 4):
        timestep = collector.step(schedules.Clock(2 * n), np.random.default_rng(0))
        assert timestep.action[0].tolist() == [n % 2] * 2
        collector.settle()
    assert collector.lengths.tolist() == [3, 3]
