"""The table of baselines: which variables learn, from what, by which optimizer."""

import json
import warnings

import gymnasium
import keras
import numpy as np
import pytest
from toy_envs import Counter

import kagent
from kagent import Agent
from kagent.objectives import PolicyGradientObjective, StateValueObjective
from kagent.optimizers import Target
from kagent.policies.critics import ActionValue, SharedStateValue, StateValue
from kagent.schedules import Clock, Linear, evaluate

pytestmark = pytest.mark.eager

MLP = NETWORK = {"network": {"type": "MLP", "units": [4]}}
SGD = {"type": "SGD", "learning_rate": 0.1}
ESTIMATION = {"discount": 0.9, "estimate_advantage": True}


def make(objective="policy_gradient", optimizer=SGD, estimation=ESTIMATION, cls=Agent, **parts):
    agent = cls(
        Counter(lengths=(4,)),
        policy=MLP,
        objective=objective,
        memory={"type": "Rollout", "steps": 8},
        update={"unit": "timesteps", "batch_size": 8, "epochs": 1},
        reward_estimation=estimation,
        exploration="Sampling",
        optimizer=optimizer,
        seed=3,
        **parts,
    )
    agent.compile(run_eagerly=True)  # each test makes an update or two, and tracing them would take longer
    return agent


def values(role):
    return [] if role is None else [variable.numpy() for variable in role.trainable_variables]


def moved(agent):
    """Which variables of policy and critic an update changes: by role a list of bools."""
    before = {role: values(getattr(agent, role)) for role in ("policy", "critic")}
    agent.fit(Counter(lengths=(4,)), steps=8, verbose=0)
    assert agent.updates == 1
    return {
        role: [bool((a != b).any()) for a, b in zip(before[role], values(getattr(agent, role)))]
        for role in ("policy", "critic")
    }


def test_no_baseline():
    agent = make(estimation={"discount": 0.9, "horizon": "episode"})
    assert agent.critic is None
    assert all(moved(agent)["policy"])


@pytest.mark.parametrize("optimizer", [None, 0.5, SGD])
def test_a_head_on_the_policy(optimizer):
    agent = make(baseline_optimizer=optimizer, baseline_objective="state_value")
    assert isinstance(agent.critic, SharedStateValue)
    shared = {id(v) for v in agent.critic.trainable_variables} & {id(v) for v in agent.policy.trainable_variables}
    assert len(shared) == 2 and len(agent.critic.trainable_variables) == 4
    found = moved(agent)
    assert all(found["policy"]) and all(found["critic"])


def test_a_baseline_alone_learns_through_the_advantage():
    agent = make(baseline_policy=MLP)
    assert type(agent.critic) is StateValue and agent.critic_objective == "advantage"
    found = moved(agent)
    assert all(found["policy"]) and all(found["critic"])


@pytest.mark.parametrize(
    "estimation",
    [{"estimate_advantage": True}, {"gae_lambda": 0.9}, {"return_lambda": 0.9}, {"estimate_horizon": "late"},
     {"estimate_horizon": "early", "horizon": 2}],
)  # fmt: skip
def test_the_main_policy_is_the_baseline_where_values_are_needed(estimation):
    agent = make(estimation={"discount": 0.9, **estimation})
    assert isinstance(agent.critic, SharedStateValue) and agent.critic_objective is None
    found = moved(agent)
    assert all(found["policy"]) and all(found["critic"])
    again = Agent.create(agent.get_config())
    assert again.get_config() == agent.get_config() and isinstance(again.critic, SharedStateValue)


@pytest.mark.parametrize("policy", [None, MLP])
@pytest.mark.parametrize("optimizer", [SGD, 3.0])
def test_without_an_objective_the_main_one_teaches_the_baseline(policy, optimizer):
    agent = make(baseline_policy=policy, baseline_optimizer=optimizer, estimation={"discount": 0.9})
    assert type(agent.critic) is (SharedStateValue if policy is None else StateValue)
    assert agent.critic_objective is None
    assert agent.objective.value_coefficient == (0.5 if optimizer is SGD else 1.5)
    assert agent.minimizer.shares_optimizer("critic") == (optimizer == 3.0)
    assert all(moved(agent)["critic"])


def test_a_baseline_without_advantages_learns_by_the_main_objective():
    agent = make(baseline_policy=MLP, estimation={"discount": 0.9})
    assert type(agent.critic) is StateValue and agent.critic_objective is None
    assert agent.reward_estimation.estimate_horizon == "late"


@pytest.mark.parametrize("objective", ["ppo", "policy_gradient", "state_value"])
def test_an_objective_of_rollouts_makes_the_baseline_that_it_needs(objective):
    agent = make(objective=objective, estimation={"discount": 0.9, "estimate_advantage": True})
    assert isinstance(agent.critic, SharedStateValue) and all(moved(agent)["critic"])


def test_the_deterministic_policy_gradient_makes_its_critic():
    arguments = {"objective": "deterministic_policy_gradient", "memory": 100, "update": 4}
    agent = Agent("Pendulum-v1", reward_estimation={"discount": 0.9, "estimate_horizon": "late"}, **arguments)
    assert agent.critic.members == 2 and not agent.minimizer.shares_optimizer("critic")
    # By the page's default the horizon is not estimated without a baseline: that is what the warning is for.
    with pytest.warns(UserWarning, match="DeterministicPolicyGradientObjective learns the sum of rewards"):
        agent = Agent("Pendulum-v1", reward_estimation={"discount": 0.9}, **arguments)
    assert agent.critic.members == 2 and agent.reward_estimation.estimate_horizon is False


@pytest.mark.parametrize(
    "objective", ["state_value", {"type": "plus", "objective1": "policy_gradient", "objective2": "state_value"}]
)
def test_an_objective_of_values_makes_its_critic_where_nothing_is_estimated(objective):
    agent = make(objective=objective, estimation={"discount": 0.9, "horizon": "episode"})
    assert isinstance(agent.critic, SharedStateValue) and agent.reward_estimation.estimate_horizon is False
    assert all(moved(agent)["critic"])


@pytest.mark.parametrize("when", ["early", "late", False])
def test_a_critic_of_actions_by_hand(when):
    """Q(s, a) = timestep + 10 * (a + 1). The policy's likeliest action is 2: V(s) = timestep + 30, and no terminal's."""

    class Seeing(Agent):
        def train_step(self, batch):
            self.seen = {name: x.numpy() for name, x in batch.items()}
            return super().train_step(batch)

    estimation = {"discount": 0.5, "estimate_actions": True, "estimate_horizon": when, "estimate_advantage": True}
    linear = {"network": {"type": "MLP", "units": []}, "members": 1}
    agent = make(estimation=estimation, baseline_policy=linear, baseline_optimizer=1.0, baseline_objective="action_value",
                 cls=Seeing)  # fmt: skip
    kernel, bias = agent.critic.variables
    kernel.assign(np.array([[0, 0, 1, 10, 20, 30]], np.float32).T)
    bias.assign([0.0])
    agent.policy.variables[-1].assign([0.0, 0.0, 50.0])
    loss = agent.fit(Counter(lengths=(4,)), steps=8, verbose=0).history["critic_loss"][-1]
    (_, episode, time), action = agent.seen["observation"].T, agent.seen["action"]
    returns = 100 * episode + time + action / 8
    if when:
        returns = returns + np.where(time < 3, 0.5 * (time + 1 + 30), 0.0)
    np.testing.assert_allclose(agent.seen["return"], returns, rtol=1e-5)
    np.testing.assert_allclose(agent.seen["advantage"], returns - (time + 30), rtol=1e-5)
    assert loss == pytest.approx(np.square(returns - (time + 10 * (action + 1))).mean() / 2, rel=1e-4)


def test_a_critic_of_actions_is_made_where_none_is_given():
    estimation = {"discount": 0.9, "estimate_actions": True, "estimate_horizon": "late"}
    agent = make(estimation=estimation)
    assert type(agent.critic) is ActionValue and agent.critic.members == 1
    assert all(moved(agent)["critic"])


@pytest.mark.parametrize(
    ("parts", "when"),
    [
        ({}, False),
        ({"estimation": {"horizon": "episode"}}, False),
        ({"baseline_policy": MLP}, "late"),
        ({"baseline_optimizer": 2.0}, "late"),
        ({"baseline_objective": "state_value", "estimation": {"horizon": "episode"}}, "late"),
        ({"critic": MLP}, "late"),
        ({"critic_optimizer": SGD}, "late"),
        ({"estimation": {"gae_lambda": 0.5}}, "late"),
        ({"estimation": {"estimate_advantage": True}}, False),
        ({"estimation": {"estimate_horizon": "early"}}, "early"),
        ({"critic": MLP, "estimation": {"estimate_horizon": False}}, False),
        ({"target": Target()}, False),  # a policy gradient has no target network
    ],
)
def test_the_horizon_is_estimated_where_there_is_a_baseline(parts, when):
    agent = make(**{"estimation": {"discount": 0.9}, **parts})
    assert agent.reward_estimation.estimate_horizon == when
    assert Agent.create(agent.get_config()).reward_estimation == agent.reward_estimation


def test_value_learning_estimates_it_where_there_is_a_target():
    arguments = {"objective": "action_value", "memory": 100, "update": 4}
    for estimation, parts, when in (
        ({}, {"baseline_optimizer": "synchronization"}, "late"),
        ({}, {"baseline_policy": "equal", "baseline_optimizer": "synchronization"}, "late"),
        ({}, {"target": {"period": 5}}, "late"),
        ({"estimate_horizon": "late"}, {}, "late"),
        ({"estimate_horizon": False}, {}, False),
        ({"horizon": "episode"}, {"max_episode_timesteps": 20}, False),
    ):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            agent = Agent(Counter(), reward_estimation=estimation, **arguments, **parts)
        assert agent.reward_estimation.estimate_horizon == when
    with pytest.warns(UserWarning, match="ActionValueObjective learns the sum of rewards up to the horizon, 2, and"):
        agent = Agent(Counter(), reward_estimation={"horizon": 2}, **arguments)
    assert agent.reward_estimation.estimate_horizon is False
    for preset in (kagent.DQN, kagent.DoubleDQN, kagent.DuelingDQN):
        assert preset("CartPole-v1", memory=100).reward_estimation.estimate_horizon == "late"


@pytest.mark.parametrize("optimizer", [None, 2.0, {"type": "SGD", "learning_rate": 0.01}])
def test_a_network_of_its_own(optimizer):
    agent = make(baseline_policy=MLP, baseline_optimizer=optimizer, baseline_objective="state_value")
    shared = {id(v) for v in agent.critic.trainable_variables} & {id(v) for v in agent.policy.trainable_variables}
    assert not shared
    found = moved(agent)
    assert all(found["policy"]) and all(found["critic"])


def test_a_synchronized_baseline_is_a_target():
    spec = {"type": "synchronization", "update_weight": 0.25, "sync_frequency": 2}
    agent = Agent(
        Counter(), objective="action_value", memory=100, update=4, reward_estimation={"discount": 0.9},
        baseline_policy="auto", baseline_optimizer=spec, seed=1,
    )  # fmt: skip
    assert agent.target == Target(tau=0.25, period=2, unit="updates")
    before = [v.numpy() for v in agent.target_policy.variables]
    agent.compile(jit_compile=False)
    agent.fit(Counter(), steps=4, verbose=0)
    assert agent.updates == 1
    for a, b in zip(before, agent.target_policy.variables):
        np.testing.assert_array_equal(a, b.numpy())
    agent.fit(Counter(), steps=4, verbose=0)
    assert agent.updates == 2
    for a, b, online in zip(before, agent.target_policy.variables, agent.policy.variables):
        np.testing.assert_allclose(b.numpy(), a + 0.25 * (online.numpy() - a), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("baseline", [None, MLP])
def test_a_weight_scales_the_baselines_step(baseline):
    """By SGD a step is proportional to the loss; what is the policy's own stays as it is where nothing is shared."""
    steps = {}
    for weight in (1.0, 3.0):
        agent = make(baseline_policy=baseline, baseline_optimizer=weight, baseline_objective="state_value")
        before, heads = values(agent.critic), values(agent.policy)
        moved(agent)
        steps[weight] = [b - a for a, b in zip(before, values(agent.critic))]
        steps[weight, "policy"] = [b - a for a, b in zip(heads, values(agent.policy))]
    head = slice(-2, None) if baseline is None else slice(None)
    for one, three in zip(steps[1.0][head], steps[3.0][head]):
        np.testing.assert_allclose(three, 3 * one, rtol=1e-3, atol=1e-6)
    own = slice(2, None) if baseline is None else slice(None)
    for one, three in zip(steps[1.0, "policy"][own], steps[3.0, "policy"][own]):
        np.testing.assert_allclose(three, one, rtol=1e-3, atol=1e-6)


def test_half_the_squared_error_by_hand():
    objective = StateValueObjective(huber=1.0, weight=2.0)

    class Values:
        def values(self, observation, training=False):
            return observation

    class Agent_:
        critic = Values()
        clock = Clock(updates=5)

        def now(self, value):
            return evaluate(value, self.clock)

    loss = objective.loss_of(Agent_())
    batch = {"observation": keras.ops.array([0.0, 1.0]), "return": keras.ops.array([3.0, 1.5])}
    value, logs = loss(batch)
    assert float(logs["critic_loss"]) == pytest.approx((2.5 + 0.125) / 2)
    assert float(value) == pytest.approx(2.625)
    squared, _ = StateValueObjective().loss_of(Agent_())(batch)
    assert float(squared) == pytest.approx((4.5 + 0.125) / 2)
    # Of errors 3 and 0.5: a delta of 2 after 5 updates, and half the weight.
    linear = {"type": "linear", "unit": "updates", "num_steps": 10, "initial_value": 4.0, "final_value": 0.0}
    scheduled = StateValueObjective(huber=linear, weight=Linear(1.0, 0.0, 10, "updates"))
    assert float(scheduled.loss_of(Agent_())(batch)[0]) == pytest.approx(0.5 * (4.0 + 0.125) / 2)


def test_weights_may_be_schedules():
    falling = {"type": "linear", "unit": "timesteps", "num_steps": 16, "initial_value": 1.0, "final_value": 0.0}
    for parts in (
        {"objective": {"type": "policy_gradient", "value_coefficient": falling}},
        {"critic_objective": {"type": "state_value", "weight": falling}},
        {"objective": {"type": "plus", "objective1": {"type": "policy_gradient", "value_coefficient": 0.0},
                       "objective2": "state_value", "weight2": falling}},
    ):  # fmt: skip
        steps = []
        for chosen in (parts, json.loads(json.dumps(parts).replace(json.dumps(falling), "0.5"))):
            agent = make(critic=MLP, **chosen)
            before = values(agent.critic)
            moved(agent)  # after 8 of 16 timesteps
            steps.append([b - a for a, b in zip(before, values(agent.critic))])
        for one, other in zip(*steps):
            np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-8)
    with pytest.raises(ValueError, match="`baseline_optimizer` is a weight beside that of the objective"):
        make(baseline_policy=MLP, baseline_optimizer=0.5, baseline_objective={"type": "state_value", "weight": falling})


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"objective": {"type": "plus", "objective1": "policy_gradient", "objective2": "state_value"},
          "baseline_optimizer": 2.0}, "as a weight needs a baseline_objective beside PlusObjective"),
        ({"baseline_optimizer": -1.0, "baseline_objective": "state_value"}, r"must be > 0. Received: -1.0"),
        ({"baseline_policy": MLP, "critic": MLP}, "`baseline_policy` is another name of `critic`"),
        ({"baseline_objective": "action_value"}, "must be 'state_value'"),
        ({"baseline_objective": "nothing"}, "Unknown `critic_objective`"),
        ({"baseline_optimizer": "synchronization"}, "needs an objective with a target network"),
        ({"baseline_policy": MLP, "critic_objective": "advantage", "estimation": {"discount": 0.9}},
         "estimate_advantage=True"),
        ({"estimation": {"estimate_actions": True, "estimate_horizon": "late"}, "critic": "StateValue"},
         "needs critic=ActionValue. Received: StateValue"),
    ],
)  # fmt: skip
def test_what_means_nothing_is_refused(parts, message):
    with pytest.raises(ValueError, match=message):
        make(**parts)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"baseline_policy": MLP}, "the baseline must be that, with baseline_optimizer={'type': 'synchronization'}"),
        ({"baseline_optimizer": {"type": "synchronization", "rate": 1}}, r"has no argument \['rate'\]"),
        ({"baseline_optimizer": "synchronization", "baseline_objective": "action_value"}, "must be None"),
        ({"baseline_optimizer": "synchronization", "baseline_policy": MLP}, "is a copy of the policy"),
        ({"baseline_optimizer": "synchronization", "target": Target()}, "another way to give `target`"),
        ({"critic_optimizer": SGD}, "`critic_optimizer` has no place beside `objective` ActionValueObjective"),
    ],
)
def test_what_means_nothing_to_value_learning_is_refused(parts, message):
    with pytest.raises(ValueError, match=message):
        Agent(
            Counter(), objective="action_value", memory=100, update=4, reward_estimation={"discount": 0.9}, **parts
        )  # fmt: skip


def test_policy_evaluation_leaves_the_policy():
    agent = make(objective="state_value", critic=MLP)
    found = moved(agent)
    assert not any(found["policy"]) and all(found["critic"])


def test_plus_adds_what_its_objectives_lose():
    plus = {"type": "plus", "objective1": "policy_gradient", "objective2": "state_value", "weight2": 0.5}
    added = make(objective=plus, critic=MLP)
    one = make(objective=PolicyGradientObjective(), critic=MLP, critic_objective={"type": "state_value", "weight": 0.5})
    # The sum has the policy gradient's own critic loss besides, half its square error.
    moved(added), moved(one)
    for a, b in zip(values(added.policy), values(one.policy)):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)
    again = Agent.create(added.get_config())
    assert again.get_config() == added.get_config()


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"objective1": "soft_actor_critic", "objective2": "state_value"}, "cannot be added"),
        ({"objective1": "policy_gradient", "objective2": "state_value", "weight1": 0}, "weight1` must be a number > 0"),
        ({"objective1": "policy_gradient", "objective2": "nothing"}, "Unknown `objective.objective2`"),
    ],
)
def test_what_cannot_be_added_is_refused(parts, message):
    with pytest.raises(ValueError, match=message):
        make(objective={"type": "plus", **parts}, critic=MLP)


SYNCHRONIZED = {"type": "synchronization", "update_weight": 0.25, "sync_frequency": 3}
BOX = {"observation_space": gymnasium.spaces.Box(-1, 1, (2,)), "action_space": gymnasium.spaces.Box(-1, 1, (1,))}


@pytest.mark.parametrize("cls", [kagent.DQN, kagent.DPG, kagent.SAC])
def test_a_presets_target_gives_way_to_a_synchronized_baseline(cls):
    def agent(**given):
        spaces = {"env": Counter()} if cls is kagent.DQN else BOX
        return cls(**spaces, **NETWORK, memory=300, **given)

    made = agent(baseline_optimizer=SYNCHRONIZED)
    assert made.target == Target(tau=0.25, period=3) and made.tau == 0.25
    assert cls.from_config(made.get_config()).get_config() == made.get_config()
    with pytest.raises(ValueError, match=r"another way to give `target`. Received: both"):
        agent(baseline_optimizer=SYNCHRONIZED, target={"tau": 0.5})
    with pytest.raises(ValueError, match="`tau` goes into the `target` that `baseline_optimizer=` replaces"):
        agent(baseline_optimizer=SYNCHRONIZED, tau=0.5)


@pytest.mark.parametrize(
    "cls, given, part, argument",
    [
        (kagent.DPG, {"baseline_optimizer": SGD}, ("optimizers", "critic"), {"critic_learning_rate": 0.5}),
        (kagent.SAC, {"baseline_policy": {"type": "ActionValue", **NETWORK, "members": 3}}, "critic", {"members": 4}),
        (kagent.A2C, {"baseline_objective": {"type": "state_value", "huber": 0.5}}, "critic_objective", {"critic_weight": 2.0}),
        (kagent.PPO, {"baseline_policy": {"type": "StateValue", "network": {"type": "mlp", "units": [5]}}}, "critic", {}),
    ],
)  # fmt: skip
def test_a_presets_critic_gives_way_to_a_baseline(cls, given, part, argument):
    spaces = BOX if cls in (kagent.DPG, kagent.SAC) else {"env": Counter()}
    agent = cls(**spaces, **NETWORK, **({"memory": 300} if cls in (kagent.DPG, kagent.SAC) else {}), **given)
    (word, wanted), config = next(iter(given.items())), agent.get_config()
    found = config["critic_optimizer" if isinstance(part, tuple) else part]
    if cls is kagent.SAC:
        assert found["members"] == 3
    elif cls is kagent.A2C:
        assert (found["huber"], found["weight"]) == (0.5, 1.0)
    elif cls is kagent.PPO:
        assert found["network"]["units"] == [5]
    else:
        assert found == wanted
    assert cls.from_config(config).get_config() == config
    for name, value in argument.items():
        with pytest.raises(ValueError, match=f"`{name}` goes into the `.*` that `{word}=` replaces"):
            cls(**spaces, **NETWORK, **given, **{name: value})
