"""Action masks through the whole agent: what is forbidden is never done, and learning goes on around it."""

import itertools

import numpy as np
import pytest
import tensorflow as tf
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from learning import make, right_of, spied
from toy_envs import Identity
from variants import with_few

import kagent

SPACES = {
    "discrete": spaces.Discrete(4, start=1),
    "nested": spaces.Dict(a=spaces.Discrete(3), b=spaces.Tuple((spaces.MultiDiscrete([2, 3]), spaces.MultiBinary(2)))),
}
LINEAR = {"type": "mlp", "units": []}
MASKS = ("info", "observation")


def trap(agent, size):
    """Weights whose best action is the observation itself: the one action that is never allowed."""
    agent.policy.model.layers[-1].set_weights([5 * np.eye(size, dtype=np.float32), np.zeros(size, np.float32)])
    if hasattr(agent, "target_policy"):
        agent.target_networks.move(agent.clock)
    agent.actor.refresh()


def unmasked(agent, target, masks):
    """The best action where nothing is forbidden."""
    allowed = np.ones(4, np.int8)
    if masks == "observation":
        return agent.act({"target": target, "action_mask": allowed}, deterministic=True)
    return agent.act(target, deterministic=True, mask=allowed)


@pytest.mark.sensitive
@pytest.mark.parametrize(
    ("kind", "masks"), with_few(itertools.product(("dqn", "ppo"), MASKS), (("dqn", "info"), ("ppo", "observation")))
)
def test_it_learns_where_the_best_unmasked_action_is_always_forbidden(kind, masks):
    # `Identity` raises on a forbidden action, in training and below.
    space = SPACES["discrete"]
    factory, seen = spied(lambda: Identity(space, masks=masks, legal=0))
    agent = make(kind, factory, network=LINEAR)
    trap(agent, 4)
    assert right_of(agent, factory()) < 90
    agent.fit(factory, steps=1500, verbose=0)
    assert right_of(agent, factory()) >= 90
    for target in range(1, 5):
        assert unmasked(agent, target, masks) == target
    assert set(seen) == {1, 2, 3, 4}


@pytest.mark.thorough
@pytest.mark.sensitive
@pytest.mark.parametrize("kind", with_few(("dqn", "ppo"), ("ppo",)))
def test_nested_masks_are_kept_to_and_learned_with(kind):
    space = SPACES["nested"]
    for masks in ("info", "observation"):
        env = lambda masks=masks: Identity(space, masks=masks)  # noqa: E731
        agent = make(kind, env)
        agent.fit(env, steps=2000 if masks == "info" else 100, verbose=0)
        if masks == "info":
            assert right_of(agent, env(), 0.99) >= 50  # untrained: below 20; ten seeds end between 79 and 100
        observation, info = env().reset(seed=0)
        for _ in range(50):
            action = agent.act(observation, mask=info.get("action_mask"), independent=True)
            assert space.contains(action)


@pytest.mark.parametrize(
    ("kind", "mode", "masks"),
    with_few(
        itertools.product(("dqn", "ppo"), (AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP), MASKS),
        (("dqn", AutoresetMode.SAME_STEP, "info"), ("ppo", AutoresetMode.NEXT_STEP, "observation")),
    ),
)
def test_masks_of_vector_environments(kind, mode, masks):
    # Episodes of 1 and of 7 steps, so that resets fall into the middle of a batch.
    def env():
        lengths = (1, 7, 3)
        return SyncVectorEnv(
            [lambda n=n: Identity(SPACES["discrete"], n, masks=masks, legal=0) for n in lengths],
            autoreset_mode=mode,
        )

    agent = make(kind, env, network=LINEAR)
    trap(agent, 4)
    agent.fit(env, steps=300, verbose=0)  # raises on a forbidden action
    assert agent.timesteps >= 300 and agent.updates > 0
    assert agent.evaluate(env, episodes=9)["episodes"] == 9


@pytest.mark.parametrize("deterministic", [True, False])
@pytest.mark.parametrize("kind", ["dqn", "ppo"])
def test_acting_alone_keeps_to_the_mask(kind, deterministic):
    agent = make(kind, lambda: Identity(SPACES["discrete"]), network=LINEAR)
    trap(agent, 4)
    for target in range(1, 5):
        mask = np.arange(1, 5) == target % 4 + 1
        assert {agent.act(target, deterministic, mask, independent=True) for _ in range(20)} == {target % 4 + 1}
    with pytest.raises(ValueError, match=r"(?i)mask.*(allows no|at least one)"):
        agent.act(1, deterministic, np.zeros(4, bool))


@pytest.mark.parametrize("kind", ["dqn", "ppo"])
def test_a_batch_of_observations_with_masks_gets_allowed_actions(kind):
    for name, space in SPACES.items():
        env = Identity(space, masks="observation", legal=0)
        agent = make(kind, lambda env=env: env)
        seen = [env.reset(seed=seed)[0] for seed in range(12)]
        batch = tf.nest.map_structure(lambda *parts: np.stack(parts), *seen)
        actions = agent(batch)
        for row, observation in enumerate(seen):
            one = tf.nest.map_structure(lambda x: np.asarray(x)[row], actions)  # noqa: B023
            expected = agent.act(observation, deterministic=True)
            for left, right in zip(tf.nest.flatten(one), tf.nest.flatten(expected), strict=True):
                np.testing.assert_array_equal(left, right, err_msg=name)


def weights_of(agent, role="policy"):
    """Kernel and bias of a linear network's head."""
    return [v.numpy().astype(np.float64) for v in getattr(agent, role).model.layers[-1].variables]


def one_hot(indices, size):
    return np.eye(size)[indices]


def test_the_target_of_dqn_takes_its_maximum_over_what_is_allowed():
    space = spaces.MultiDiscrete([2, 3])
    agent = kagent.DQN(
        observation_space=spaces.Discrete(4), action_space=space, network=LINEAR, learning_rate=0.0,
        discount=0.5, huber=None, seed=1,
    )  # fmt: skip
    # What is forbidden below would be the best.
    agent.policy.model.layers[-1].set_weights([np.arange(20, dtype=np.float32).reshape(4, 5) / 10, np.full(5, 0.5)])
    agent.target_networks.move(agent.clock)
    kernel, bias = weights_of(agent)
    mask = np.array([[1, 0, 0, 1, 1], [0, 1, 1, 0, 0], [1, 1, 1, 1, 1]], bool)
    action = np.array([[0, 2], [1, 0], [1, 1]])
    successor, reward, terminated = np.array([3, 0, 1]), np.array([1.0, 2.0, 3.0]), np.array([False, False, True])
    batch = {
        "observation": np.array([0, 1, 2], np.int32),
        "action": action.astype(np.int32),
        "reward": reward.astype(np.float32),
        "terminated": terminated,
        "truncated": np.zeros(3, bool),
        "next_observation": successor.astype(np.int32),
        "next_action_mask": [mask],
        "action_mask": [np.ones((3, 5), bool)],
    }
    logs = agent.train_step(tf.nest.map_structure(tf.convert_to_tensor, batch))

    ahead = np.where(mask, one_hot(successor, 4) @ kernel + bias, -np.inf)
    best = np.stack([ahead[:, :2].max(1), ahead[:, 2:].max(1)], 1).mean(1)
    target = reward + 0.5 * ~terminated * best
    q = one_hot([0, 1, 2], 4) @ kernel + bias
    taken = np.stack([q[range(3), action[:, 0]], q[range(3), 2 + action[:, 1]]], 1)
    np.testing.assert_allclose(logs["loss"], (0.5 * (target[:, None] - taken) ** 2).mean(), rtol=1e-5)

    unlimited = one_hot(successor, 4) @ kernel + bias
    unlimited = np.stack([unlimited[:, :2].max(1), unlimited[:, 2:].max(1)], 1).mean(1)
    assert not np.allclose(unlimited, best)  # the masks above mattered


def test_log_probabilities_and_entropy_of_ppo_count_what_is_allowed():
    agent = kagent.PPO(
        observation_space=spaces.Discrete(3), action_space=spaces.Discrete(4, start=2), network=LINEAR,
        learning_rate=0.0, n_steps=3, batch_size=3, discount=0.5, gae_lambda=0.0, normalize_advantage=False, seed=0,
    )  # fmt: skip
    generator = np.random.default_rng(0)
    agent.policy.model.layers[-1].set_weights([generator.normal(size=(3, 4)), generator.normal(size=4)])
    kernel, bias = weights_of(agent)
    value_kernel, value_bias = weights_of(agent, "critic")
    mask = np.array([[1, 1, 0, 1], [0, 0, 1, 0], [1, 1, 1, 1]], bool)
    action, reward = np.array([3, 2, 0]), np.array([1.0, -1.0, 0.5])
    column = lambda x, dtype: tf.convert_to_tensor(np.asarray(x, dtype)[:, None])  # noqa: E731
    experience = {
        "observation": column([0, 1, 2], np.int32),
        "next_observation": column([1, 2, 0], np.int32),
        "action": column(action, np.int32),
        "reward": column(reward, np.float32),
        "terminated": column([False, False, True], bool),
        "truncated": column([False, False, False], bool),
        "valid": column([True, True, True], bool),
        "action_mask": [tf.convert_to_tensor(mask[:, None])],
        "next_action_mask": [tf.convert_to_tensor(mask[:, None])],
    }
    prepared = agent.prepare(experience)
    logits = np.where(mask, np.eye(3) @ kernel + bias, -np.inf)
    probability = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    log_prob = np.log(probability[range(3), action])
    np.testing.assert_allclose(prepared["old_log_prob"], log_prob, rtol=1e-5, atol=1e-6)
    value = (np.eye(3) @ value_kernel + value_bias)[:, 0]
    advantage = reward + 0.5 * np.array([value[1], value[2], 0.0]) - value
    np.testing.assert_allclose(prepared["advantage"], advantage, rtol=1e-4, atol=1e-6)

    # A policy that has moved since: ratios count what is allowed, too.
    agent.policy.model.layers[-1].set_weights([kernel * 0.5, bias])
    logits = np.where(mask, np.eye(3) @ (kernel * 0.5) + bias, -np.inf)
    probability = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    ratio = probability[range(3), action] / np.exp(log_prob)
    surrogate = -np.minimum(ratio * advantage, np.clip(ratio, 0.8, 1.2) * advantage)
    entropy = -np.where(mask, probability * np.log(np.where(mask, probability, 1.0)), 0.0).sum(1)
    logs = agent.train_step({**prepared, "weight": tf.ones(3)})
    np.testing.assert_allclose(logs["policy_loss"], surrogate.mean(), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(logs["entropy"], entropy.mean(), rtol=1e-5)
    assert entropy[1] == 0.0


HOLED = {
    "one": (spaces.Discrete(3), [1, 0, 1], lambda a: a != 1),
    "many": (spaces.MultiDiscrete([3, 2, 3]), ([1, 0, 1], [1, 1], [0, 1, 1]), lambda a: a[0] != 1 and a[2] != 0),
}
POLICIES = {
    "dqn": lambda space, exploration: kagent.DQN(
        observation_space=spaces.Box(-1, 1, (2,)), action_space=space, exploration=exploration, seed=0
    ),
    "ppo": lambda space, exploration: kagent.PPO(
        observation_space=spaces.Box(-1, 1, (2,)), action_space=space, seed=0,
        **({} if exploration == 0.0 else {"exploration": exploration}),
    ),
    "random": lambda space, exploration: kagent.Random(
        observation_space=spaces.Box(-1, 1, (2,)), action_space=space, seed=0
    ),
}  # fmt: skip


@pytest.mark.parametrize("exploration", [0.0, 1.0])
@pytest.mark.parametrize("name", sorted(HOLED))
@pytest.mark.parametrize("kind", sorted(POLICIES))
def test_a_forbidden_action_is_not_taken_in_a_thousand_acts(kind, name, exploration):
    space, mask, is_allowed = HOLED[name]
    mask = np.array(mask, np.int8) if name == "one" else tuple(np.array(part, np.int8) for part in mask)
    agent = POLICIES[kind](space, exploration)
    for variable in agent.policy.trainable_variables:  # preferences that are not all alike
        variable.assign(np.random.default_rng(1).normal(size=variable.shape))
    agent.actor.refresh()
    observation = np.float32([0.3, -0.7])
    sampled = [agent.act(observation, mask=mask, independent=True) for _ in range(1000)]
    assert all(is_allowed(action) for action in sampled)
    if exploration == 1.0 or kind == "random":
        assert len({tuple(np.ravel(action).tolist()) for action in sampled}) == (2 if name == "one" else 8)
    for _ in range(100):
        assert is_allowed(agent.act(observation, deterministic=True, mask=mask))


@pytest.mark.parametrize("deterministic", [False, True])
@pytest.mark.parametrize("kind", sorted(POLICIES))
def test_a_mask_that_allows_nothing_is_an_error_on_the_host(kind, deterministic, monkeypatch):
    agent = POLICIES[kind](spaces.Discrete(3), 0.0)
    monkeypatch.setattr(tf, "function", None)  # no TensorFlow before it, nor after
    with pytest.raises(ValueError, match="allows no"):
        agent.act(np.zeros(2, np.float32), deterministic=deterministic, mask=np.zeros(3, np.int8))
