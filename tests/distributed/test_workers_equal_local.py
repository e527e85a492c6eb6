"""Training with workers is that of as many local environments, bit for bit, however they are divided."""

import functools

import numpy as np
import pytest
from agent_states import differences, open_lengths, state_of
from gymnasium import spaces
from toy_envs import Identity
from transports import InProcess
from variants import with_few

import kagent
from kagent.environments.episode_seeds import EpisodeSeeds, following_seed

NETWORK = {"type": "mlp", "units": [4]}
ROLLOUT = {"network": NETWORK, "n_steps": 8, "batch_size": 48, "epochs": 1, "seed": 3}
BY_TIME = {"type": "Linear", "initial": 0.01, "final": 1.0, "steps": 200, "unit": "timesteps"}
MASKED = functools.partial(Identity, spaces.MultiDiscrete([3, 4]), length=5, masks="info")
MIXED = functools.partial(Identity, spaces.Dict(a=spaces.Discrete(3), b=spaces.Box(-1, 1, (2,))), length=3)

LAYERS = {
    "float": [{"type": "deltafier", "concatenate": 0}, {"type": "clipping", "upper": BY_TIME}],
    "reward": [{"type": "return_normalization", "discount": 0.9}, {"type": "rnd", "units": [4], "features": 3}],
}

# Name: how the agent is made, where, how environments are divided, and what else `fit` is given.
CASES = {
    "PPO": (functools.partial(kagent.PPO, **ROLLOUT), "CartPole-v1", (3, 2), {"steps_per_epoch": 60}),
    "one worker": (functools.partial(kagent.PPO, **ROLLOUT), "CartPole-v1", (1, 6), {}),
    "one environment": (
        functools.partial(kagent.PPO, **{**ROLLOUT, "n_steps": 48}), "CartPole-v1", (1, 1), {"steps": 150},
    ),
    "masks": (functools.partial(kagent.PPO, **ROLLOUT), MASKED, (6, 1), {}),
    "two kinds of actions": (functools.partial(kagent.PPO, **ROLLOUT), MIXED, (2, 3), {}),
    "limit": (
        functools.partial(kagent.PPO, **ROLLOUT, max_episode_timesteps=7, exploration=kagent.Sampling(random_steps=50)),
        "Pendulum-v1", (2, 3), {"reset_options": {"x_init": 0.5}},
    ),
    "recurrent": (
        functools.partial(kagent.RecurrentPPO, network={"units": [4], "rnn": 3}, n_steps=8, batch_size=48, epochs=1, seed=3),
        "CartPole-v1", (3, 2), {"steps": 130},
    ),
    "noise of a worker": (
        functools.partial(kagent.PPO, **ROLLOUT, state_dependent_noise=3, max_episode_timesteps=7),
        "Pendulum-v1", (1, 6), {"steps": 130},
    ),
    "normalized by one worker": (
        functools.partial(kagent.PPO, **ROLLOUT, normalize=True, max_episode_timesteps=7), "Pendulum-v1", (1, 6), {"steps": 130},
    ),
    "preprocessing": (functools.partial(kagent.PPO, **ROLLOUT, preprocessing=LAYERS), "CartPole-v1", (3, 2), {"steps": 130}),
    "A2C": (functools.partial(kagent.A2C, network=NETWORK, batch_size=60, seed=3), "CartPole-v1", (3, 2), {}),
    "noise": (
        functools.partial(kagent.A2C, network=NETWORK, batch_size=60, seed=3, exploration=kagent.ActionNoise(0.5)),
        "CartPole-v1", (6, 1), {},
    ),
    "noise that wanders": (
        functools.partial(kagent.A2C, network=NETWORK, batch_size=60, seed=3, max_episode_timesteps=7, exploration="ornstein_uhlenbeck"),
        "Pendulum-v1", (6, 1), {"steps": 130},
    ),
    "noise by action": (
        functools.partial(kagent.A2C, network=NETWORK, batch_size=60, seed=3, exploration=kagent.ActionNoise({"b": 0.5})), MIXED, (2, 3),
        {"steps": 130},
    ),
    "episodes": (
        functools.partial(kagent.VPG, network=NETWORK, batch_size=5, seed=3, memory={"type": "recent", "capacity": 600}),
        "CartPole-v1", (3, 2), {"steps": None, "episodes": 12, "steps_per_epoch": "episode"},
    ),
}  # fmt: skip


def trained(make, env, n_envs, **given):
    agent = make(env if isinstance(env, str) else env())
    agent.compile(jit_compile=False, run_eagerly=True)
    agent.fit(env, **{"steps": 250, "verbose": 0, "steps_per_epoch": 250, **n_envs, **given})
    return agent


FAST = (
    "one worker",
    "noise that wanders",
    "masks",
    "episodes",
)


@pytest.mark.eager
@pytest.mark.parametrize("name", with_few(CASES, FAST))
def test_states_are_equal(name):
    make, env, division, given = CASES[name]
    source = InProcess(*division, latest_first=True)
    local = trained(make, env, {"n_envs": division[0] * division[1]}, **given)
    remote = trained(make, env, {"workers": source}, **given)
    assert differences(state_of(local), state_of(remote)) == []
    assert remote.updates >= 2 and remote.episodes >= 4 and history(remote) == history(local)
    assert source.closed == 1 and source.started == list(range(division[0]))


def history(agent):
    """All but the speed, as text: NaN is NaN."""
    return {name: str(values) for name, values in agent.history.history.items() if name != "steps_per_second"}


def test_seeds_do_not_depend_on_other_environments():
    """With lengths 2 and 3, and 2 alone: the environment's seeds are the same."""
    from toy_envs import Counter

    from kagent import environments

    def seeds(lengths):
        envs = [Counter((length,)) for length in lengths]
        made = environments.SingleEnvs(envs)
        made.reset(EpisodeSeeds(iter(range(10, 20)).__next__))
        for _ in range(6):
            made.step([np.zeros(len(envs), np.int64)])
        return [env.seeds for env in envs]

    first = [10, *(following_seed(10), following_seed(following_seed(10)))]
    assert seeds([2, 3])[0][:3] == seeds([2])[0][:3] == first
    assert seeds([2, 3])[1] == [11, following_seed(11), following_seed(following_seed(11))]
    assert following_seed(1) == 1_103_527_590 and following_seed(2**31 - 1) == (12_345 - 1_103_515_245) % 2**31


@pytest.mark.eager
def test_training_goes_on_locally_and_with_workers():
    """160 timesteps of 8 environments in two parts, the second one from a file: of workers, and of local environments."""
    make = functools.partial(kagent.PPO, **ROLLOUT)
    whole = trained(make, "CartPole-v1", {"n_envs": 6}, steps=360)
    for first, second in (({"n_envs": 6}, {"workers": InProcess(2, 3)}), ({"workers": InProcess(2, 3)}, {"n_envs": 6})):
        agent = trained(make, "CartPole-v1", first, steps=180)
        assert max(open_lengths(agent)) > 0
        agent.fit("CartPole-v1", steps=180, steps_per_epoch=180, verbose=0, **second)
        assert differences(state_of(whole), state_of(agent)) == []


class Saves(kagent.callbacks.Callback):
    def __init__(self, path):
        super().__init__()
        self.path, self.timesteps = path, 0

    def on_update_end(self, update, logs=None):
        if not self.timesteps:
            self.model.save(self.path)
            self.timesteps = self.model.timesteps


@pytest.mark.eager
def test_a_file_of_a_run_with_workers_goes_on_without_them(tmp_path):
    make, saves = functools.partial(kagent.PPO, **ROLLOUT), Saves(tmp_path / "agent.keras")
    whole = trained(make, "CartPole-v1", {"workers": InProcess(3, 2)}, steps=144, callbacks=[saves])
    loaded = kagent.load(saves.path)
    assert max(open_lengths(loaded)) > 0 and saves.timesteps == 48
    loaded.fit("CartPole-v1", n_envs=6, steps=96, steps_per_epoch=96, verbose=0)
    assert differences(state_of(whole), state_of(loaded)) == []
