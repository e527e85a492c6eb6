"""Agents put together from parts learn what they should. The runs of minutes are marked slow."""

import gymnasium
import numpy as np
import pytest
from testing import parts
from variants import thorough

import kagent
from kagent import Agent, tuned
from kagent.agents import AGENTS

TENSORFORCES_PPO = {
    "agent": "tensorforce",
    "policy": {"network": "auto"},
    "objective": {"type": "policy_gradient", "importance_sampling": True, "clipping_value": 0.0996},
    "memory": "recent",
    "update": {"unit": "episodes", "batch_size": 12, "frequency": 1},
    "reward_estimation": {"horizon": "episode", "discount": 0.99854, "estimate_advantage": True},
    "optimizer": {"type": "adam", "learning_rate": 0.001813, "multi_step": 5, "subsampling_fraction": 0.913},
    "baseline_policy": {"network": "auto"},
    "baseline_objective": "state_value",
    "baseline_optimizer": {"type": "adam", "learning_rate": 0.00367, "multi_step": 10},
    "entropy_regularization": 0.00114,
}


class Returns(kagent.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.returns = []

    def on_episode_end(self, episode, logs=None):
        self.returns.append(logs["episode_return"])


def documented(seed, episodes):
    """Returns of all episodes with the settings that Tensorforce documents for CartPole-v1."""
    agent, watch = Agent.create(TENSORFORCES_PPO, "CartPole-v1", seed=seed), Returns()
    agent.fit("CartPole-v1", episodes=episodes, callbacks=[watch], verbose=0)
    return np.array(watch.returns)


@pytest.mark.slow
def test_tensorforces_documented_settings_on_five_seeds():
    """The median over seeds reaches 500 by episode 60, and the last 20 of 100 episodes have a mean of 475."""
    runs = np.stack([documented(seed, 100)[:100] for seed in range(5)])
    assert np.median(runs, axis=0)[:60].max() == 500
    assert runs[:, 80:].mean() >= 475


class Chain(gymnasium.Env):
    """Ten states in a row; 1 goes on, 0 goes back to the first. Only the step out of the last one pays, and ends it.

    Episodes begin anywhere.
    """

    observation_space = gymnasium.spaces.Discrete(10)
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place, self.time = int(self.np_random.integers(10)), 0
        return self.place, {}

    def step(self, action):
        self.time += 1
        last = self.place == 9 and action == 1
        self.place = min(self.place + 1, 9) if action == 1 else 0
        return self.place, float(last), last, self.time >= 50, {}


@pytest.mark.sensitive
@pytest.mark.parametrize(
    ("memory", "estimation"),
    [
        ("replay", {"horizon": 0, "discount": 0.9}),
        pytest.param("prioritized", {"horizon": 0, "discount": 0.9, "estimate_actions": True}, marks=pytest.mark.slow),
        thorough(("prioritized", {"horizon": 2, "discount": 0.9, "estimate_horizon": "late"})),
        pytest.param("replay", {"horizon": 2, "discount": 0.9, "estimate_horizon": "early"}, marks=pytest.mark.slow),
    ],
    ids=["one step", "double", "three steps", "three steps early"],
)
def test_values_come_back_along_a_chain(memory, estimation):
    """Within 5,000 timesteps the best action is known in all ten states, also in the last but one."""
    agent = Agent(
        Chain(),
        objective="action_value",
        policy={"network": {"units": [32]}},
        # Estimates of the time of storing are soon wrong: a memory of them must forget.
        memory={"type": memory, "capacity": 500 if estimation.get("estimate_horizon") == "early" else 5000},
        update={"unit": "timesteps", "batch_size": 32, "frequency": 4, "start": 100},
        reward_estimation=estimation,
        exploration=0.2,
        optimizer={"type": "adam", "learning_rate": 3e-3},
        target={"tau": 1.0, "period": 25, "unit": "updates"},
        seed=0,
    )
    agent.fit(Chain(), steps=5000, verbose=0)
    assert [agent.act(state, deterministic=True) for state in range(10)] == [1] * 10
    values = agent.policy.values(np.arange(10)).numpy().max(axis=1)
    # Over several steps they are those of the policy that explores: one step in ten goes back.
    further = np.array([0.81, 0.9, 1.0]) if estimation["horizon"] == 0 else np.array([0.9**2 * 0.81, 0.9 * 0.9, 1.0])
    np.testing.assert_allclose(values[-3:], further, atol=0.15)


@pytest.mark.slow
def test_pretraining_on_twenty_traces(tmp_path):
    """20 recorded episodes of an agent that solves CartPole, 30 iterations, then a greedy mean of 475."""
    teacher = Agent.create(TENSORFORCES_PPO, "CartPole-v1", seed=0)
    teacher.fit("CartPole-v1", episodes=100, verbose=0)
    recorder = kagent.callbacks.Recorder(tmp_path, max_traces=20)
    teacher.fit("CartPole-v1", episodes=25, callbacks=[recorder], verbose=0)
    assert len(list(tmp_path.iterdir())) == 20
    pupil = kagent.PPO("CartPole-v1", learning_rate=1e-3, batch_size=256, seed=5)
    pupil.pretrain(tmp_path, num_iterations=30, num_traces=20, num_updates=1, objective="behavior_cloning")
    assert pupil.evaluate("CartPole-v1", episodes=20)["episode_return"] >= 475


# Of rl-baselines3-zoo, for QR-DQN on CartPole.
TUNED = {
    "network": {"type": "mlp", "units": [256, 256]}, "learning_rate": 2.3e-3, "batch_size": 64, "memory": 100_000,
    "start": 1000, "frequency": 256, "gradient_steps": 128, "target_update_period": 10,
    "exploration": {"type": "EpsilonGreedy", "fraction": 0.16, "final": 0.04},
}  # fmt: skip


# Of each preset that learns: timesteps, arguments, and the least mean return. None: the shipped settings, all of their timesteps.
LEARNING = [
    ("dqn", None, {}, 400),
    ("double_dqn", None, {}, 400),
    ("ppo", None, {}, 400),
    (
        "recurrent_ppo",
        60_000,
        {
            "n_envs": 8,
            "n_steps": 128,
            "batch_size": 256,
            "learning_rate": {"type": "linear", "initial": 1e-3, "final": 0.0},
        },
        200,
    ),
    ("impala", None, {}, 400),  # of ten seeds each 500
    ("ac", 60_000, {"n_envs": 8, "batch_size": 64, "horizon": 7}, 40),  # of ten seeds the lowest 68; random play has 22
    ("sac", 6_000, {"learning_rate": 1e-3}, -300),
    ("vpg", 40_000, {"baseline": "auto"}, 150),
    ("a2c", 60_000, {"n_envs": 8, "batch_size": 64, "horizon": 7}, 100),  # of ten seeds the lowest 155
    ("trpo", 30_000, {"n_envs": 4, "n_steps": 256}, 300),
    (
        "dueling_dqn",
        30_000,
        {"learning_rate": 5e-4, "batch_size": 32, "start": 1000, "horizon": 0, "target_update_period": 500},
        100,
    ),
    ("dpg", 8_000, {"batch_size": 64, "exploration": 0.2}, -250),
    ("td3", 10_000, {"start": 1000, "discount": 0.98, "network": {"type": "mlp", "units": [400, 300]}}, -400),
    ("tqc", 8_000, {"learning_rate": 1e-3}, -400),
    ("naf", 12_000, {}, -400),
    ("pqn", None, {}, 250),  # of ten seeds each 500; of five others one 354
    ("rainbow", None, {}, 400),
    ("crossq", 5_000, {"network": {"units": [256, 256]}, "policy_delay": 2}, -400),
    ("qrdqn", 50_000, {**TUNED, "quantiles": 10}, 300),
    ("iqn", None, {}, 400),
    ("c51", 50_000, {**TUNED, "low": 0.0, "high": 200.0}, 100),
    ("discrete_sac", 20_000, {"learning_rate": 1e-3, "start": 1000, "network": {"units": [64, 64]}}, 150),
]
BOXES = ("sac", "dpg", "td3", "tqc", "naf", "crossq")


@pytest.mark.slow
@pytest.mark.learning
@pytest.mark.parametrize(("kind", "steps", "arguments", "least"), LEARNING, ids=[row[0] for row in LEARNING])
def test_presets_learn(kind, steps, arguments, least):
    env = "Pendulum-v1" if kind in BOXES else "CartPole-v1"
    fit = {"steps": steps}
    if steps is None:
        arguments = {**tuned.load(kind.replace("_", ""), env), **arguments}
        fit = arguments.pop("fit")
    agent = Agent.create(kind, env, seed=0, **arguments)
    agent.fit(env, verbose=0, **fit)
    assert agent.evaluate(env, episodes=20)["episode_return"] >= least


def test_every_preset_that_learns_has_a_learning_run():
    from test_offline_learning import LEARNING as OFFLINE

    kinds = {getattr(kagent, name) for name in OFFLINE}
    kinds |= {AGENTS[kind.replace("_", "")] for kind, *_ in LEARNING}
    assert kinds == {getattr(make, "func", make) for make, _ in parts.AGENTS.values()} - {
        kagent.Random,
        kagent.Constant,
    }
