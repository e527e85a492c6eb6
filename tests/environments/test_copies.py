"""Everything that an environment returns is copied before its next step, in every autoreset mode."""

import warnings

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv
from toy_envs import Counter, NativeCounter

from kagent import environments
from kagent.environments import claims, make


class Sharing(Counter):
    """All of them write into one array, as they do where a class makes it."""

    one = np.zeros(3, np.float32)

    def __init__(self, *args, **kwargs):
        super().__init__(*args, reuse=True, **kwargs)
        self._array = Sharing.one


def rows(envs, steps):
    """(observation, successor) of every valid transition, per environment."""
    envs.reset(lambda: 0)
    found = [[] for _ in range(envs.num_envs)]
    for _ in range(steps):
        before = [leaf.copy() for leaf in envs.observation]
        step = envs.step([np.zeros(envs.num_envs, np.int64)])
        for i in np.flatnonzero(step.valid):
            found[i].append([before[0][i].tolist(), step.next_observation[0][i].tolist()])
    return found


def expected(offset, lengths, count):
    made = []
    for episode in range(count):
        for time in range(lengths[episode % len(lengths)]):
            made.append([[offset, episode, time], [offset, episode, time + 1]])
    return made[:count]


MODES = list(AutoresetMode)
LENGTHS = ((3,), (2, 4))


@pytest.mark.parametrize("copy", [True, False])
@pytest.mark.parametrize("mode", MODES)
def test_environments_of_one_array_do_not_overwrite_each_other(mode, copy):
    makers = [lambda i=i: Sharing(LENGTHS[i], offset=i + 1) for i in range(2)]
    made = make(SyncVectorEnv(makers, copy=copy, autoreset_mode=mode))
    inner = list(made.env.envs)
    for _ in range(2):  # a second reset goes on counting episodes
        for env in inner:
            env.episode = -1
        for i, found in enumerate(rows(made, 20)):
            assert len(found) >= 15 and found == expected(i + 1, LENGTHS[i], len(found))
    assert made.env.envs == inner  # the user's own


def test_no_successor_of_single_environments_is_overwritten():
    made = environments.SingleEnvs([Sharing(LENGTHS[i], offset=i + 1) for i in range(2)])
    for i, found in enumerate(rows(made, 20)):
        assert found == expected(i + 1, LENGTHS[i], 20)


class Buffered(NativeCounter):
    """A vector environment whose final observations lie where the observations lie."""

    def step(self, actions):
        observation, *rest, infos = super().step(actions)
        if "final_obs" in infos:
            infos["final_obs"] = observation
        return (observation, *rest, infos)


def test_final_observations_in_the_memory_of_observations_are_refused():
    made = make(Buffered(AutoresetMode.SAME_STEP, [{"lengths": (3,)}] * 2))
    made.reset(lambda: 0)
    with pytest.raises(ValueError, match=r"overwritten it \(infos\['final_obs'\]"):
        for _ in range(3):
            made.step([np.zeros(2, np.int64)])


class Fresh(Counter):
    """As an environment that begins each episode alike."""

    def reset(self, **kwargs):
        self.episode = -1
        return super().reset(**kwargs)


@pytest.mark.parametrize("reuse", [True, False])
def test_what_is_lost_in_another_process_is_warned_of(reuse):
    env = AsyncVectorEnv([lambda: Fresh((3,), reuse=reuse)] * 2, autoreset_mode=AutoresetMode.SAME_STEP)
    made = make(env)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            made.reset(lambda: 0)
            for _ in range(9):
                made.step([np.zeros(2, np.int64)])
    finally:
        env.close()
    assert ["are lost" in str(w.message) for w in caught if w.category is UserWarning] == [True] * reuse


def test_malformed_results_are_still_gymnasiums_affair():
    class Short(Counter):
        def step(self, action):
            return super().step(action)[:4]

    made = make(SyncVectorEnv([lambda: Short((3,))], autoreset_mode=AutoresetMode.SAME_STEP))
    made.reset(lambda: 0)
    with pytest.raises(ValueError):
        made.step([np.zeros(1, np.int64)])


def test_an_environment_is_found_below_its_wrappers():
    inner = Counter((3,))
    outer = gymnasium.wrappers.TimeLimit(gymnasium.Wrapper(inner), 5)
    assert claims.innermost(outer).keys() == {id(inner)}
    both = SyncVectorEnv([lambda: outer, lambda: Counter((3,))])
    assert id(inner) in claims.innermost(both) and len(claims.innermost(both)) == 3
