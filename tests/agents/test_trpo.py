"""Trust region policy optimization."""

import json

import gymnasium
import numpy as np
import pytest
import tensorflow as tf
from gymnasium import spaces
from learning import right_of
from toy_envs import Identity

import kagent
from kagent import ops
from kagent.callbacks import Callback
from kagent.optimizers import MultiStep, NaturalGradient, SubsamplingStep

SMALL = {"network": {"type": "mlp", "units": [16], "activation": "tanh"}, "seed": 0}


class Moves(Callback):
    """The exact mean KL from each policy to the next on fixed observations, and whether all weights are the same."""

    def __init__(self, observation):
        super().__init__()
        self.observation, self.divergences, self.still = observation, [], []

    def set_model(self, model):
        super().set_model(model)
        self.old = self.parameters()

    def parameters(self):
        return self.model.policy.parameters_of([self.observation])

    def on_train_batch_end(self, batch, logs=None):
        new = self.parameters()
        self.divergences.append(float(tf.reduce_mean(self.model.policy.joint.kl(self.old, new))))
        self.old = new


@pytest.mark.thorough
@pytest.mark.sensitive
def test_it_learns_a_bandit():
    env = Identity(spaces.Discrete(3))
    agent = kagent.TRPO(env, n_steps=64, discount=0.0, max_kl=0.05, **SMALL)
    agent.compile(jit_compile=False)
    agent.fit(env, steps=64 * 25, verbose=0)
    assert agent.updates == 25
    assert right_of(agent, Identity(spaces.Discrete(3))) >= 95


@pytest.mark.sensitive
@pytest.mark.thorough  # the bandit above is learned, too
def test_four_updates_on_cartpole_improve_it():
    agent = kagent.TRPO("CartPole-v1", n_steps=128, n_envs=4, **SMALL)
    history = agent.fit("CartPole-v1", steps=512 * 6, steps_per_epoch=512, verbose=0).history["episode_return"]
    assert agent.updates == 6 and agent.train_function.traces == 1
    assert history[-1] > 1.5 * history[0]


@pytest.mark.thorough
@pytest.mark.sensitive
def test_the_bound_holds_on_the_rollout_it_learns_from():
    agent = kagent.TRPO("CartPole-v1", n_steps=64, n_envs=2, max_kl=0.01, **SMALL)
    rollouts, kept = [], agent.prepare

    def prepare(experience):  # the batch of an update, seen where the learner makes it
        prepared = kept(experience)
        rollouts.append({name: prepared[name] for name in ("observation", "weight")})
        return prepared

    agent.prepare = prepare
    agent.compile(run_eagerly=True)
    old = [tf.identity(v) for v in agent.policy.variables]
    agent.fit("CartPole-v1", steps=128, verbose=0)
    new = [tf.identity(v) for v in agent.policy.variables]
    parameters = []
    for values in (old, new):
        for variable, value in zip(agent.policy.variables, values, strict=True):
            variable.assign(value)
        parameters.append(agent.policy.parameters_of(rollouts[0]["observation"]))
    found = float(ops.weighted_mean(agent.policy.joint.kl(*parameters), rollouts[0]["weight"]))
    assert rollouts[0]["weight"].shape == (128,) and 0.003 < found <= 0.01 * 1.001


def test_every_action_space_and_a_policy_that_moves_little():
    observation = np.random.default_rng(0).uniform(-1, 1, (64, 2)).astype(np.float32)
    space = spaces.Dict(a=spaces.Box(-1, 1, (2,)), b=spaces.MultiDiscrete([2, 3]))
    env = gymnasium.wrappers.TransformObservation(
        Identity(space), lambda x: np.asarray(x["a"], np.float32), spaces.Box(-1, 1, (2,))
    )
    agent = kagent.TRPO(env, n_steps=32, max_kl=0.02, critic_steps=5, **SMALL)
    agent.compile(jit_compile=False)
    moves = Moves(observation)
    agent.fit(env, steps=96, callbacks=[moves], verbose=0)
    assert len(moves.divergences) == 3 and 0 < max(moves.divergences) < 0.06


def test_its_parts_are_as_said():
    agent = kagent.TRPO(
        "CartPole-v1", n_steps=32, n_envs=3, max_kl=0.02, cg_iterations=7, cg_damping=0.2, linesearch_iterations=5,
        critic_learning_rate=0.5, critic_steps=4, critic_batch_size=16, **SMALL,
    )  # fmt: skip
    assert (agent.update_rule.batch_size, agent.update_rule.epochs, agent.n_envs) == (96, 1, 3)
    policy, critic = (agent.optimizer.role_map.of(role) for role in ("policy", "critic"))
    assert type(policy) is NaturalGradient
    assert (policy.cg_max_iterations, policy.cg_damping, policy.linesearch_iterations) == (7, 0.2, 5)
    assert float(policy.learning_rate.numpy()) == pytest.approx(0.02) and float(critic.learning_rate.numpy()) == 0.5
    assert agent.minimizer.modifiers_of(("policy",)) == ()
    assert agent.minimizer.modifiers_of(("critic",)) == (MultiStep(4), SubsamplingStep(16))
    assert agent.objective.importance_sampling and agent.objective.normalize_advantage
    again = kagent.Agent.create("trpo", "CartPole-v1", n_steps=32)
    assert type(again) is kagent.TRPO and again.update_rule.batch_size == 32
    many = gymnasium.make_vec("CartPole-v1", 2, "sync")
    assert kagent.TRPO(many, n_steps=32).update_rule.batch_size == 64
    many.close()


def test_it_comes_back_from_its_config_and_its_file(tmp_path):
    agent = kagent.TRPO("CartPole-v1", n_steps=16, n_envs=2, critic_steps=2, **SMALL)
    agent.compile(run_eagerly=True)
    agent.fit("CartPole-v1", steps=32, verbose=0)
    same = kagent.TRPO.from_config(json.loads(json.dumps(agent.get_config())))
    assert same.get_config() == agent.get_config()
    agent.save(tmp_path / "agent.keras")
    loaded = kagent.load(tmp_path / "agent.keras")
    assert type(loaded) is kagent.TRPO and agent.updates == 1
    for a, b in zip(agent.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"max_kl": -0.1}, r"`learning_rate` must be in \[0.0, inf\). Received: -0.1"),
        ({"cg_iterations": 0}, "cg_max_iterations` must be an integer >= 1. Received: 0"),
        ({"cg_damping": -1}, "cg_damping` must be a number at least 0. Received: -1"),
        ({"linesearch_iterations": 1.5}, "linesearch_iterations` must be an integer >= 0. Received: 1.5"),
        ({"critic_steps": 0}, r"multi_step` must be in \[1.0, 1048576.0\]. Received: 0"),
        ({"critic_batch_size": 0}, "`critic_batch_size` must be an integer >= 1. Received: 0"),
        ({"n_steps": 0}, "`n_steps` must be an integer >= 1. Received: 0"),
        ({"n_envs": 0}, "`n_envs` must be an integer >= 1. Received: 0"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        kagent.TRPO("CartPole-v1", **arguments)
