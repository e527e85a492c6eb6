"""Presets in other processes and beside other agents; equations by hand. What all presets keep is in `test_contract`."""

import functools
import inspect
import json
import textwrap

import forked
import gymnasium
import numpy as np
import pytest
import tensorflow as tf
from runs import equal
from variants import with_few

import kagent
from kagent import Agent, objectives, ops

SIZES = {
    "dqn": {"start": 50, "memory": 1000, "batch_size": 16},
    "double_dqn": {"start": 50, "memory": 1000, "batch_size": 16, "horizon": 2},
    "vpg": {"batch_size": 3, "baseline": "auto"},
    "a2c": {"horizon": 3},
    "dpg": {"start": 50, "memory": 1000, "batch_size": 16},
}
NETWORK = [{"type": "dense", "size": 16, "activation": "tanh"}]  # a ReLU's bias may rest for long


def env_of(kind):
    return "Pendulum-v1" if kind == "dpg" else "CartPole-v1"


def made(kind, seed=3, **changes):
    arguments = {"network": NETWORK, **SIZES[kind], **changes}
    return Agent.create(kind, env_of(kind), seed=seed, execution={"jit_compile": False}, **arguments)


@pytest.fixture(scope="module")
def trained():
    """`trained(kind)`: the agent after 200 steps."""

    @functools.cache
    def make(kind):
        agent = made(kind)
        agent.fit(env_of(kind), steps=200, verbose=0)
        return agent

    return make


def test_the_horizon_of_dqn():
    for kind, horizon in (("dqn", 4), ("double_dqn", 2)):
        estimation = made(kind, discount=0.9).reward_estimation
        assert (estimation.horizon, estimation.discount) == (horizon, 0.9)
    with pytest.raises(ValueError, match="horizon"):
        made("dqn", horizon=-1)


def test_a_horizon_that_nobody_gave_fits_into_an_episode():
    spaces = {"observation_space": gymnasium.spaces.Discrete(3), "action_space": gymnasium.spaces.Discrete(2)}
    for preset, usual in ((kagent.DQN, 4), (kagent.DoubleDQN, 4), (kagent.DuelingDQN, 4), (kagent.Rainbow, 2)):
        for limit, horizon in ((None, usual), (1000, usual), (usual, usual), (1, 1)):
            agent = preset(**spaces, memory=1000, max_episode_timesteps=limit)
            assert agent.horizon == horizon
            assert preset.from_config(agent.get_config()).horizon == horizon
        assert preset(**spaces, memory=100, max_episode_timesteps=1, horizon=0).horizon == 0
        with pytest.raises(ValueError, match=r"horizon` must be at most max_episode_timesteps=3. Received: 5"):
            preset(**spaces, memory=100, max_episode_timesteps=3, horizon=5)
        with pytest.raises(ValueError, match="`max_episode_timesteps` must be"):
            preset(**spaces, memory=100, max_episode_timesteps=0)
        with pytest.raises(ValueError, match="`max_episode_timesteps` must be"):
            preset(**spaces, memory=100, max_episode_timesteps=True)
        assert preset(**spaces, memory=100, max_episode_timesteps=np.int64(1)).horizon == 1
    assert kagent.DiscreteCQL(**spaces, memory=100).horizon == 0


@pytest.mark.thorough
def test_saved_agents_come_back_as_what_they_were(trained, tmp_path):
    """In a fresh process: the class, the counters, and the actions in 20 states."""

    def told(agent):
        states = np.random.default_rng(0).normal(size=(20, *agent.observation_space.shape)).astype(np.float32)
        acts = [np.asarray(agent.act(x, deterministic=True)).tolist() for x in states]
        return [type(agent).__name__, agent.timesteps, agent.episodes, agent.updates, acts]

    expected = {}
    for kind in ("double_dqn", "vpg", "dpg"):
        agent = trained(kind)
        agent.save(tmp_path / f"{kind}.keras")
        expected[kind] = told(agent)
    code = (
        f"import json, sys, numpy as np, kagent\nfrom pathlib import Path\n{textwrap.dedent(inspect.getsource(told))}\n"
        f"files = Path({str(tmp_path)!r}).glob('*.keras')\n"
        "print('RESULT', json.dumps({path.stem: told(kagent.load(path)) for path in files}))"
    )
    done = forked.run(["-c", code])
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("RESULT")]
    assert json.loads(line.removeprefix("RESULT")) == expected


@pytest.mark.thorough
def test_two_agents_in_one_process():
    """Trained in turns, each is as if alone; one is closed and deleted, the other goes on."""
    alone, env = made("a2c", seed=1), env_of("a2c")
    for _ in range(4):
        alone.fit(env, steps=32, verbose=0)
    first, second = made("a2c", seed=1), made("dqn", seed=2)
    for i in range(4):
        first.fit(env, steps=32, verbose=0)
        if i < 2:
            second.fit(env, steps=32, verbose=0)
        elif i == 2:
            second.close()
            del second
    assert equal(first.get_weights(), alone.get_weights())


@pytest.mark.parametrize("kind", with_few(("vpg", "dpg"), ("dpg",)))
def test_the_seed_alone_decides(kind, trained, tmp_path):
    """Equal runs in this and in a fresh process, other seeds other runs, and the global generators untouched."""
    state = np.random.get_state()[1].copy()
    other = made(kind, seed=4)
    other.fit(env_of(kind), steps=200, verbose=0)
    assert (np.random.get_state()[1] == state).all()
    weights = trained(kind).get_weights()
    assert not equal(weights, other.get_weights())
    code = (
        "import sys, numpy as np\nfrom agents.test_parts_and_presets import env_of, made\n"
        f"agent = made({kind!r})\nagent.fit(env_of({kind!r}), steps=200, verbose=0)\n"
        "np.savez(sys.argv[1], *agent.get_weights())"
    )
    done = forked.run(["-c", code, tmp_path / "weights.npz"])
    assert done.returncode == 0, done.stderr
    with np.load(tmp_path / "weights.npz") as file:
        assert equal(weights, [*file.values()])


def test_huber_by_hand():
    np.testing.assert_allclose(ops.huber(np.float32([3.0, 0.5, -3.0]), 1.0), [2.5, 0.125, 2.5])
    assert objectives.StateValueObjective(huber=1.0).huber == 1.0


def test_deterministic_policy_gradient_by_hand():
    """One step of plain gradient descent on known networks: Q(s, a) = w s + v a + b, mu(s) = tanh(m s + c)."""
    space = gymnasium.spaces.Box(-1.0, 1.0, (1,))
    agent = Agent(
        observation_space=space, action_space=space, objective={"type": "deterministic_policy_gradient"},
        policy={"network": [{"type": "activation", "nonlinearity": "none"}]},
        critic={"network": [{"type": "activation", "nonlinearity": "none"}], "members": 1},
        memory=10, update=1, reward_estimation={"discount": 0.5}, exploration=0.0, target={"tau": 1.0},
        optimizer={"type": "SGD", "learning_rate": 0.1}, critic_optimizer={"type": "SGD", "learning_rate": 0.1}, seed=0,
    )  # fmt: skip
    agent.compile(run_eagerly=True)
    for role, values in (
        (agent.policy, ([[0.5]], [0.0])), (agent.target_policy, ([[0.5]], [0.0])),
        (agent.critic, ([[1.0], [2.0]], [0.0])), (agent.target_critic, ([[1.0], [2.0]], [0.0])),
    ):  # fmt: skip
        for variable, value in zip(role.variables, values):
            variable.assign(value)
    s, a, r, t = 0.2, 0.4, 1.0, 0.6
    one = lambda x: tf.constant([[x]])  # noqa: E731
    logs = agent.train_step({
        "observation": one(s), "action": one(a), "reward": tf.constant([r]), "terminated": tf.constant([False]),
        "truncated": tf.constant([False]), "next_observation": one(t),
    })  # fmt: skip
    target = r + 0.5 * (t + 2 * np.tanh(0.5 * t))
    error = target - (s + 2 * a)
    assert float(logs["critic_loss"]) == pytest.approx(0.5 * error**2, rel=1e-5)
    w, v, b = 1 + 0.1 * error * s, 2 + 0.1 * error * a, 0.1 * error
    np.testing.assert_allclose(agent.critic.variables[0].numpy().ravel(), [w, v], rtol=1e-5)
    np.testing.assert_allclose(agent.critic.variables[1].numpy(), [b], rtol=1e-5)
    mu = np.tanh(0.5 * s)
    assert float(logs["policy_loss"]) == pytest.approx(-(w * s + v * mu + b), rel=1e-5)
    slope = 0.1 * v * (1 - mu**2)  # on the critic after its step
    np.testing.assert_allclose(agent.policy.variables[0].numpy(), [[0.5 + slope * s]], rtol=1e-5)
    np.testing.assert_allclose(agent.policy.variables[1].numpy(), [slope], rtol=1e-5)


def test_agents_have_names():
    for name in ("vpg", "REINFORCE", "double_dqn", "DDQN", "dueling-dqn", "ddpg"):
        env = "Pendulum-v1" if name == "ddpg" else "CartPole-v1"
        assert isinstance(Agent.create(name, env), Agent)
    assert kagent.agents.AGENTS["reinforce"] is kagent.VPG and kagent.agents.AGENTS["ddpg"] is kagent.DPG
