"""The V-trace objective: gradient steps against NumPy, on-policy against PPO's, recurrent networks, and what is refused."""

import numpy as np
import pytest
from gradient_steps import LINEAR, RATE, SGD, heads, numeric_gradient, randomize, tensors
from gymnasium import spaces

import kagent
from kagent import testing

pytestmark = pytest.mark.eager

OBSERVATION = spaces.Box(-5, 5, (2,))
STEPS, ENVS = 3, 2


def agent_of(**changes):
    given = {
        "network": LINEAR, "n_steps": STEPS, "batch_size": STEPS * ENVS, "sequence_length": STEPS, "discount": 0.5,
        "entropy_coefficient": 0.25, "value_coefficient": 0.75, "optimizer": SGD,
    }  # fmt: skip
    agent = kagent.IMPALA(
        observation_space=OBSERVATION, action_space=spaces.Discrete(2), n_envs=ENVS, seed=0, **{**given, **changes}
    )
    agent.compile(run_eagerly=True)
    return agent


def rollout(seed=0):
    """Two environments side by side; an episode of the first is cut off, and one of the second terminates."""
    rng = np.random.default_rng(seed)
    ends = np.zeros((STEPS, ENVS), bool)
    truncated, terminated = ends.copy(), ends.copy()
    truncated[1, 0] = terminated[0, 1] = True
    return {
        "observation": rng.normal(size=(STEPS, ENVS, 2)),
        "next_observation": rng.normal(size=(STEPS, ENVS, 2)),
        "action": rng.integers(2, size=(STEPS, ENVS)).astype(np.int32),
        "reward": rng.normal(size=(STEPS, ENVS)),
        "terminated": terminated,
        "truncated": truncated,
        "valid": np.full((STEPS, ENVS), True),
    }


def batch_of(agent, experience):
    """The minibatch of one whole rollout, `(T, N)`, with log-probabilities of the policy as it is now."""
    rows = agent.reward_estimation.completed(agent.prepare(tensors(experience)), agent.clock)
    shape = (STEPS, ENVS)
    return {name: np.array(np.reshape(value, (*shape, *value.shape[1:]))) for name, value in rows.items()}


def log_probs(variables, experience):
    kernel, bias = variables
    logits = experience["observation"] @ kernel + bias
    all_of = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    return np.take_along_axis(all_of, experience["action"][..., None], -1)[..., 0], all_of


def values(variables, observation):
    kernel, bias = variables
    return (observation @ kernel + bias)[..., 0]


def vtrace(ratio, experience, before, after, discount, rho_clip, c_clip):
    """Equation 1 of the paper, from the last timestep to the first."""
    rho, c = np.minimum(rho_clip, ratio), np.minimum(c_clip, ratio)
    going = ~(experience["terminated"] | experience["truncated"])
    factor = discount * ~experience["terminated"]
    target, advantage = np.zeros((STEPS, ENVS)), np.zeros((STEPS, ENVS))
    later = np.zeros(ENVS)  # how far the next target is from its value
    for t in reversed(range(STEPS)):
        later = later * going[t]
        error = experience["reward"][t] + factor[t] * after[t] - before[t]
        advantage[t] = rho[t] * (error + factor[t] * later)
        later = rho[t] * error + factor[t] * c[t] * later
        target[t] = before[t] + later
    return target, advantage


@pytest.mark.parametrize(("rho_clip", "c_clip"), [(1.0, 1.0), (1.5, 0.5), (None, 1.0)])
def test_one_gradient_step_of_another_policy(rho_clip, c_clip):
    agent, experience = agent_of(rho_clip=rho_clip, c_clip=c_clip), rollout()
    randomize(agent.policy, 1)
    randomize(agent.critic, 2)
    old, _ = log_probs(heads(agent.policy), experience)
    batch = batch_of(agent, experience)
    np.testing.assert_allclose(batch["old_log_prob"], old, rtol=1e-4, atol=1e-5)
    randomize(agent.policy, 3)  # another one learns
    policy, critic = heads(agent.policy), heads(agent.critic)
    new, _ = log_probs(policy, experience)
    before, after = values(critic, experience["observation"]), values(critic, experience["next_observation"])
    ratio = np.exp(new - old)
    assert ratio.min() < 0.5 and ratio.max() > 1.5  # so that clips say something
    clip = np.inf if rho_clip is None else rho_clip
    target, advantage = vtrace(ratio, experience, before, after, 0.5, clip, c_clip)

    def loss(variables):
        chosen, all_of = log_probs(variables[:2], experience)
        entropy = -(np.exp(all_of) * all_of).sum(-1)
        errors = (target - values(variables[2:], experience["observation"])) ** 2
        return (-advantage * chosen).mean() + 0.75 * errors.mean() - 0.25 * entropy.mean()

    gradients = numeric_gradient(loss, [*policy, *critic])
    logs = agent.train_step(tensors(batch))
    assert float(logs["loss"]) == pytest.approx(loss([*policy, *critic]), rel=1e-4)
    assert float(logs["importance_weight"]) == pytest.approx(np.minimum(clip, ratio).mean(), rel=1e-4)
    for found, own, gradient in zip([*heads(agent.policy), *heads(agent.critic)], [*policy, *critic], gradients):
        np.testing.assert_allclose(found, own - RATE * gradient, rtol=1e-4, atol=1e-4)


def test_padding_is_no_timestep_to_look_ahead_to():
    agent, experience = agent_of(), rollout()
    experience["terminated"][:] = experience["truncated"][:] = False
    short = {**experience, "valid": experience["valid"].copy()}
    short["valid"][2, 0] = False  # whatever stands there
    batch, cut = batch_of(agent, experience), batch_of(agent, short)
    cut["reward"][2, 0] = 1e3
    context = agent.learning_context
    whole, found = (agent.objective.rows(context, tensors(each)) for each in (batch, cut))
    # The second environment is as it was; in the first, the second timestep is the last.
    one, other = (np.reshape(each["advantage"], (STEPS, ENVS)) for each in (whole, found))
    np.testing.assert_allclose(one[:, 1], other[:, 1], rtol=1e-5)
    before, after = (agent.critic.values(experience[name][1, :1]) for name in ("observation", "next_observation"))
    expected = experience["reward"][1, 0] + 0.5 * float(after[0]) - float(before[0])
    assert other[1, 0] == pytest.approx(expected, rel=1e-4) != one[1, 0]


def test_on_policy_it_takes_the_step_of_ppo():
    """With all advantages as they are: the gradient of a ratio is that of the log-probability where both policies are one."""
    env = testing.Toy(action_space=testing.ACTIONS["Dict with a Box"])
    given = {
        "network": {"type": "mlp", "units": [4]}, "n_steps": 8, "batch_size": 16, "epochs": 1, "optimizer": SGD, "n_envs": 2,
        "entropy_coefficient": 0.01, "normalize_advantage": False, "seed": 3,
    }  # fmt: skip
    ours = kagent.IMPALA(env, return_lambda=0.9, sequence_length=8, **given)
    ppo = kagent.PPO(env, gae_lambda=0.9, **given)
    for agent in (ours, ppo):
        agent.compile(run_eagerly=True)
        agent.fit(lambda: testing.Toy(action_space=testing.ACTIONS["Dict with a Box"]), steps=32, verbose=0)
        assert agent.updates == 2
    for one, other in zip(ours.get_weights(), ppo.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("network", [LINEAR, {"type": "auto", "units": [4], "rnn": 3}])
def test_the_first_minibatch_is_of_the_policy_that_acted_and_later_ones_are_not(network):
    agent = agent_of(
        network=network,
        n_steps=6,
        sequence_length=3,
        batch_size=12,
        epochs=3,
        optimizer={"type": "SGD", "learning_rate": 1.0},
    )
    logged = []
    step = agent.train_step

    def watched(batch):
        logs = step(batch)
        logged.append((batch["reward"].shape, float(logs["importance_weight"]), float(logs["approx_kl"])))
        return logs

    agent.train_step = watched
    agent.fit(lambda: testing.Toy(action_space=spaces.Discrete(2), observation_space=OBSERVATION), steps=12, verbose=0)
    assert [tuple(shape) for shape, _, _ in logged] == [(3, 4)] * 3
    assert logged[0][1] == pytest.approx(1.0, abs=1e-5) and logged[0][2] == pytest.approx(0.0, abs=1e-6)
    assert logged[2][1] < 1.0 - 1e-4 and logged[2][2] > 1e-5


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rho_clip": 0.0}, "`objective.rho_clip`"),
        ({"c_clip": 1.5}, "`objective.c_clip`"),
        ({"rho_clip": 0.5}, "`objective.c_clip` must be at most `objective.rho_clip`. Received: 1.0 and 0.5"),
        ({"reward_estimation": {"gae_lambda": 0.5}}, "needs reward_estimation.gae_lambda=None.*Received: 0.5"),
        ({"reward_estimation": {"horizon": 2, "estimate_horizon": "late"}}, "needs reward_estimation.horizon=0.*Received: 2"),
        ({"reward_estimation": {"estimate_horizon": False}}, "needs reward_estimation.estimate_horizon='late'.*Received: False"),
        ({"exploration": {"type": "Sampling", "random_steps": 5}}, "needs actions that are sampled from the policy.*random_steps=5"),
        ({"exploration": 0.1}, "needs actions that are sampled from the policy"),
        ({"policy": {"type": "StochasticPolicy", "temperature": 0.5}}, "needs `policy.temperature` 1.*Received: 0.5"),
        ({"sequence_length": 5}, "`n_steps` must be a multiple of the length of the sequences.*sequence_length=5"),
        ({"objective": {"type": "plus", "objective1": "vtrace", "objective2": "state_value"}}, "VTraceObjective cannot be added"),
    ],
)  # fmt: skip
def test_what_is_refused(changes, message):
    given = {"n_steps": 8, "batch_size": 8, "seed": 0, **changes}
    with pytest.raises(ValueError, match=message):
        kagent.IMPALA(observation_space=OBSERVATION, action_space=spaces.Discrete(2), **given)


@pytest.mark.parametrize(
    ("memory", "message"),
    [
        (200, "VTraceObjective needs a memory whose timesteps are learned from by the update.*Received: Replay"),
        ({"type": "recent", "capacity": 100}, "Received: Recent. Allowed: 'rollout'"),
    ],
)
def test_memories_of_older_timesteps_are_refused(memory, message):
    spaces_of = {"observation_space": OBSERVATION, "action_space": spaces.Discrete(2)}
    with pytest.raises(ValueError, match=message):
        kagent.Agent(
            **spaces_of, objective="vtrace", memory=memory, update=8, reward_estimation={"estimate_horizon": "late"}
        )


def test_single_timesteps_are_refused():
    agent = agent_of()
    rows = agent.prepare(tensors(rollout()))
    with pytest.raises(ValueError, match=r"V-trace learns from sequences.*Received: rewards of shape \(6,\)"):
        agent.train_step(agent.reward_estimation.completed(rows, agent.clock))
