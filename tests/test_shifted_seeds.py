"""`pytest --seed-shift N`: every seed that counts is another one, and equal seeds stay equal."""

import keras
import numpy as np
import pytest
import shifted_seeds
from toy_envs import KnownQ

from kagent import estimators

pytestmark = pytest.mark.eager


def drawn(small):
    """An agent, and numbers from its streams, Keras's global generator and a test's own generators."""
    agent = small("dqn", seed=3)
    keras.utils.set_random_seed(3)
    numbers = [small("dqn", seed=None).seed, agent.next_seed()]
    numbers += [np.random.default_rng(3).random(), np.random.Generator(np.random.Philox(3)).random()]
    return agent, [*numbers, agent.get_weights()[0].tolist()]


def test_all_seeds_are_shifted_until_it_is_undone(small):
    agent, plain = drawn(small)
    table, config = KnownQ().q, estimators.RunConfig(seed=3)
    with pytest.MonkeyPatch.context() as patch:
        shifted_seeds.shift(patch, 2)
        shifted, found = drawn(small)
        assert shifted.seed == 3 and shifted.get_config() == agent.get_config()
        assert drawn(small)[1] == found
        estimator = estimators.Agent(lambda features, labels, mode: None, estimators.Memory(), config=config)
        assert (estimator.config.seed, estimator._seed) == (3, 5)
        np.testing.assert_array_equal(KnownQ().q, table)  # what is to be learned stays
    assert all(a != b for a, b in zip(plain, found, strict=True))
    assert found[-1] == small("dqn", seed=5).get_weights()[0].tolist()  # 3 + 2
    assert drawn(small)[1] == plain
