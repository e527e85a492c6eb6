"""Policy gradients from a replay memory of timesteps: returns, advantages and log-probabilities by hand."""

import gymnasium
import numpy as np
import pytest
from gradient_steps import LINEAR
from toy_envs import Counter

import kagent
from kagent.memories import Replay, Rollout

pytestmark = pytest.mark.eager
HORIZON = {"horizon": 1, "discount": 0.5}
CRITIC = {
    "critic": {"type": "StateValue", "network": LINEAR},
    "critic_optimizer": {"type": "SGD", "learning_rate": 0.0},
}


def ones(lengths=(4,), ends=("terminated",)):
    """Episodes of so many timesteps, each with the reward 1; the observation is [0, episode, timestep]."""
    return gymnasium.wrappers.TransformReward(Counter(lengths=lengths, ends=ends), lambda reward: 1.0)


class Seeing(kagent.Agent):
    def train_step(self, batch):
        self.seen.append({name: x.numpy() for name, x in batch.items()})
        return super().train_step(batch)


def make(env=None, estimation=HORIZON, objective="policy_gradient", memory=500, update=None, value=(1.0, 2.0), **parts):
    agent = Seeing(
        ones() if env is None else env, policy={"network": LINEAR}, objective=objective, memory=memory,
        update={"unit": "timesteps", "batch_size": 32, "frequency": "never"} if update is None else update,
        reward_estimation=estimation, exploration="Sampling", optimizer={"type": "SGD", "learning_rate": 0.1}, seed=0, **parts,
    )  # fmt: skip
    agent.compile(run_eagerly=True)
    agent.seen = []
    if agent.critic is not None:
        judge(agent, *value)
    return agent


def judge(agent, weight, bias):
    """Has the critic say `weight * timestep + bias`."""
    kernel, offset = agent.critic.variables
    kernel.assign(np.array([[0.0], [0.0], [weight]]))
    offset.assign([bias])


def by_timestep(batch, name):
    """The value of every row, by the timestep of its observation: each has but one."""
    found = {}
    for observation, value in zip(batch["observation"], batch[name]):
        assert found.setdefault(int(observation[2]), float(value)) == pytest.approx(float(value))
    return [found[timestep] for timestep in sorted(found)]


@pytest.mark.parametrize("memory", [500, "replay", {"type": "replay", "capacity": 60}])
def test_returns_are_those_that_were_stored(memory):
    """Two rewards at most, of 1 and 0.5; of the last timestep there is one."""
    agent = make(memory=memory)
    agent.fit(ones(), steps=40, verbose=0)
    agent.update()
    (batch,) = agent.seen
    assert type(agent.memory) is Replay and batch["return"].shape == (32,)
    assert by_timestep(batch, "return") == by_timestep(batch, "advantage") == [1.5, 1.5, 1.5, 1.0]


@pytest.mark.parametrize("sampling", [False, True])
def test_the_loss_is_that_of_the_policy_gradient(sampling):
    """-log_prob * return before the step, or minus the return, the ratio being 1; then the policy has moved."""
    agent = make(objective={"type": "policy_gradient", "importance_sampling": sampling})
    agent.fit(ones(), steps=40, verbose=0)
    kernel, bias = (variable.numpy() for variable in agent.policy.variables)
    agent.update()
    logs = agent.seen[-1]
    logits = logs["observation"] @ kernel + bias
    log_prob = (logits - np.log(np.exp(logits).sum(1, keepdims=True)))[np.arange(32), logs["action"]]
    np.testing.assert_allclose(logs["old_log_prob"], log_prob, rtol=1e-5)
    assert (agent.policy.variables[0].numpy() != kernel).any()
    x = np.ones(32) if sampling else log_prob
    again = agent.objective.terms(agent.learning_context, {k: np.asarray(v) for k, v in logs.items()})[0]
    agent.policy.variables[0].assign(kernel), agent.policy.variables[1].assign(bias)
    assert float(again.loss(again.batch)[0]) == pytest.approx(-(x * logs["return"]).mean(), rel=1e-5)


@pytest.mark.parametrize("ends, last", [(("terminated",), [1.5, 1.0]), (("truncated",), [1.5 + 0.25 * 6, 1 + 0.5 * 6])])
def test_a_critic_estimates_what_follows(ends, last):
    """V(s) = timestep + 2: behind two rewards it counts 0.25 times, behind one 0.5 times, behind a terminal state not."""
    agent = make(ones(ends=ends), {**HORIZON, "estimate_horizon": "late", "estimate_advantage": True}, **CRITIC)
    agent.fit(ones(ends=ends), steps=80, verbose=0)
    agent.update()
    returns = [1.5 + 0.25 * 4, 1.5 + 0.25 * 5, *last]
    assert by_timestep(agent.seen[0], "return") == pytest.approx(returns)
    # Of a critic with an optimizer of its own advantages are made anew in the policy's loss; here it stands still.
    assert by_timestep(agent.seen[0], "advantage") == pytest.approx([r - v for r, v in zip(returns, (2, 3, 4, 5))])


@pytest.mark.parametrize("when, changes", [("early", False), ("late", True)])
def test_estimates_are_of_the_time_of_storing_or_of_learning(when, changes):
    agent = make(estimation={**HORIZON, "estimate_horizon": when}, **CRITIC)
    agent.fit(ones(), steps=80, verbose=0)
    agent.update()
    judge(agent, 1.0, 102.0)
    agent.update()
    before, after = (by_timestep(batch, "return") for batch in agent.seen)
    assert before == pytest.approx([2.5, 2.75, 1.5, 1.0])
    assert after == pytest.approx([2.5 + 25 * changes, 2.75 + 25 * changes, 1.5, 1.0])


def test_added_objectives_have_one_early_estimate():
    plus = {"type": "plus", "objective1": "policy_gradient", "objective2": "state_value"}
    agent = make(objective=plus, estimation={**HORIZON, "estimate_horizon": "early"}, **CRITIC)
    agent.fit(ones(), steps=80, verbose=0)
    agent.update()
    # V(s) = timestep + 2, 0.25 times behind two rewards of 1 and 0.5.
    assert by_timestep(agent.seen[0], "return") == pytest.approx([2.5, 2.75, 1.5, 1.0])
    plain, double, cloning = "action_value", {"type": "action_value", "double": True}, "behavior_cloning"
    early = {"memory": 50, "update": 8, "reward_estimation": {**HORIZON, "estimate_horizon": "early"}}
    for one, other in ((plain, plain), (cloning, plain)):
        found = kagent.Agent(ones(), objective={"type": "plus", "objective1": one, "objective2": other}, **early)
        found.compile(run_eagerly=True)
        assert np.isfinite(found.fit(ones(), steps=16, verbose=0).history["loss"][-1])
    with pytest.raises(
        ValueError, match=r"keeps one estimate.*Received: \['ActionValueObjective', 'ActionValueObjective'\]"
    ):
        kagent.Agent(ones(), objective={"type": "plus", "objective1": plain, "objective2": double}, **early)
    with pytest.raises(
        ValueError, match="`objective` BehaviorCloningObjective estimates nothing when experience is stored"
    ):
        kagent.Agent(ones(), objective=cloning, policy={"type": "ValuePolicy"}, **early)


def test_weights_of_a_prioritized_memory_reach_the_policy():
    """An agent of the user's own may give errors of samples by its train_step, whatever the objective."""

    class Reporting(Seeing):
        gives_errors = True

        def train_step(self, batch):
            self.report_errors(batch["advantage"])
            return super().train_step(batch)

    agent = Reporting(
        ones(), objective="policy_gradient", policy={"network": LINEAR}, memory={"type": "prioritized", "capacity": 50},
        update=8, reward_estimation=HORIZON, exploration="Sampling", seed=0,
    )  # fmt: skip
    agent.compile(run_eagerly=True)
    agent.seen = []
    agent.fit(ones(), steps=24, verbose=0)
    assert agent.updates == 3 and agent.seen[-1]["weight"].max() == 1.0 > agent.seen[-1]["weight"].min()
    # p = |return| + epsilon of what was drawn: 1.5, or 1.0 of the last timestep.
    known = agent.memory.priorities ** (1 / 0.6)
    assert set(np.round(known, 3)) <= {1.0, 1.5} and len(set(np.round(known, 3))) == 2


def test_several_gradient_steps_and_normalized_returns():
    estimation = {**HORIZON, "normalize_returns": True}
    update = {"unit": "timesteps", "batch_size": 8, "steps": 3, "frequency": "never"}
    agent = make(estimation=estimation, update=update)
    agent.fit(ones(), steps=40, verbose=0)
    agent.update()
    assert agent.updates == len(agent.seen) == 3
    returns = np.concatenate([batch["return"] for batch in agent.seen])
    assert returns.mean() == pytest.approx(0.0, abs=1e-5) and returns.std(ddof=1) == pytest.approx(1.0, rel=1e-4)


@pytest.mark.parametrize(
    "objective, estimation, parts",
    [
        ("ppo", {"estimate_advantage": True, "estimate_horizon": "late"}, CRITIC),
        ("state_value", {"horizon": "episode"}, CRITIC),
        ({"type": "plus", "objective1": "policy_gradient", "objective2": "state_value"}, {"horizon": 2}, CRITIC),
    ],
)
def test_every_objective_of_rollouts_learns_from_one(objective, estimation, parts):
    update = {"unit": "timesteps", "batch_size": 8}
    agent = make(objective=objective, estimation={"discount": 0.9, **estimation}, memory=50, update=update, **parts)
    history = agent.fit(ones(), steps=24, verbose=0).history
    assert agent.updates == 3 and np.isfinite(history["loss"]).all()


def test_masks_and_several_environments_and_compiled():
    env = Counter(lengths=(5,), masked=True)
    agent = kagent.Agent(
        env, objective="policy_gradient", policy={"network": LINEAR}, memory=60, update=8, exploration="Sampling",
        reward_estimation={"horizon": 2, "discount": 0.9}, n_envs=2, seed=0,
    )  # fmt: skip
    history = agent.fit(lambda: Counter(lengths=(5,), masked=True), steps=40, verbose=0).history
    assert agent.updates > 2 and np.isfinite(history["loss"][-1]) and agent.train_function.traces == 1


@pytest.mark.parametrize("name", ["gae_lambda", "return_lambda"])
def test_mixtures_of_horizons_need_consecutive_timesteps(name):
    estimation = {"discount": 0.9, name: 0.5, "estimate_horizon": "late"}
    with pytest.raises(ValueError, match=rf"`reward_estimation.{name}` mixes .* Replay .*Received: 0.5. Allowed: None"):
        make(estimation=estimation, **CRITIC)
    assert make(estimation=estimation, memory="recent", **CRITIC).memory.consecutive


def test_a_rollout_by_name_is_a_batch():
    agent = make(memory="rollout", update=8, n_envs=2)
    assert isinstance(agent.memory, Rollout) and agent.memory.steps == 4
    assert agent.memory.get_part() == {"type": "Rollout", "steps": 4, "saved": True}
    agent.fit(ones, steps=16, verbose=0)
    assert agent.updates == 2 and all((batch["weight"] == 1.0).all() for batch in agent.seen)
    for wrong in ({"steps": 2}, {"start": 9}, {"frequency": 8}):
        with pytest.raises(ValueError, match=r"A rollout memory is learned from when it is full"):
            make(memory="rollout", update={"unit": "timesteps", "batch_size": 8, **wrong})
    with pytest.raises(ValueError, match=r"`memory.steps` must be given here. Received: None"):
        Rollout().build(agent.observation_space, agent.action_space)
