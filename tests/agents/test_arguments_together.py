"""Arguments of presets that mean something only with others, and what is shown of parts that were given without them."""

import json

import gymnasium
import pytest
from test_arguments import GIVEN, MLP, REPLAYING, made, spaces_of
from variants import with_few

import kagent
from kagent.agents import AGENTS


@pytest.mark.parametrize(
    "name, optimizer, shown",
    [
        ("dqn", "adam", {"learning_rate": 1e-3}),
        ("dqn", {"type": "sgd"}, {"learning_rate": 1e-3}),
        (
            "dqn",
            {"type": "evolutionary"},
            {"learning_rate": 1e-3},
        ),
        ("dqn", {"type": "multi_step", "num_steps": 2, "optimizer": "sgd"}, {"learning_rate": 1e-3}),
        ("ppo", {"type": "adam", "gradient_norm_clipping": 2.0}, {"learning_rate": 1e-3, "max_grad_norm": 2.0}),
        (
            "trpo",
            "natural_gradient",
            {"max_kl": 0.01, "cg_iterations": 10, "cg_damping": 1e-3, "linesearch_iterations": 10},
        ),
    ],
)
def test_what_an_optimizer_was_not_given_is_its_default(name, optimizer, shown):
    agent = made(name, optimizer=optimizer)
    assert {argument: getattr(agent, argument) for argument in shown} == shown
    if name == "dqn":
        assert float(agent.optimizer.learning_rate) == pytest.approx(shown["learning_rate"])


def test_what_a_critics_optimizer_was_not_given():
    shared = made("dpg", critic_optimizer=None)  # it steps with the policy's
    assert shared.critic_learning_rate == shared.learning_rate == 0.5
    trpo = made("trpo", critic_optimizer="adam")
    assert (trpo.critic_learning_rate, trpo.critic_steps) == (1e-3, 1)
    repeated = {"type": "multi_step", "num_steps": 7, "optimizer": "adam"}
    assert made("trpo", critic_optimizer=repeated).critic_steps == 7


SGD = {"type": "sgd", "learning_rate": 0.05}
TEMPERED = {  # and their objectives
    "sac": "sac", "tqc": "truncated_quantiles", "discretesac": "discrete_soft_actor_critic", "crossq": "crossq",
    "cql": "cql",
}  # fmt: skip


@pytest.mark.parametrize("name", with_few(TEMPERED, ("sac", "discretesac")))
def test_what_has_no_effect_on_a_temperature_is_refused(name):
    def agent(**given):
        return AGENTS[name](**spaces_of(name), network=MLP, memory=300, **given)

    kind = TEMPERED[name]
    for fixed in (0.25, {"type": "Temperature", "initial": 0.25}):
        with pytest.raises(
            ValueError, match=r"`target_entropy` .*`temperature` is fixed. Received: target_entropy=-3.0"
        ):
            agent(temperature=fixed, target_entropy=-3.0)
        with pytest.raises(ValueError, match=r"`temperature_optimizer` .*it is fixed. Received: {'type': 'sgd'"):
            agent(temperature=fixed, temperature_optimizer=SGD)
    with pytest.raises(ValueError, match=r"`temperature` as a number is fixed.*temperature=0.25 and objective"):
        agent(temperature=0.25, objective=kind)
    constant = {"type": kind, "learn_temperature": False}
    with pytest.raises(ValueError, match=r"`temperature` as a string is learned.*Received: temperature='auto_0.25'"):
        agent(temperature="auto_0.25", objective=constant)
    for made_, initial in ((agent(objective=constant), 1.0), (agent(temperature=0.25, objective=constant), 0.25)):
        assert made_.temperature.get_part()["initial"] == initial and made_.parts.optimizers["temperature"] is None
        config = made_.get_config()
        assert AGENTS[name].from_config(config).get_config() == config
        # As earlier versions wrote it.
        assert AGENTS[name].from_config({**config, "temperature_optimizer": SGD}).get_config() == config
    assert agent(temperature="auto_0.25", target_entropy=0.5).target_entropy == 0.5


@pytest.mark.parametrize("name", [name for name in GIVEN if name not in TEMPERED])
def test_parts_without_a_place_are_refused(name):
    with pytest.raises(ValueError, match=r"`temperature` has no place beside .*Received: .*0.25"):
        made(name, temperature=0.25)
    with pytest.raises(ValueError, match=r"`temperature_optimizer` .* there is none. Received: .*'sgd'"):
        made(name, temperature_optimizer=SGD)
    if name not in REPLAYING:
        with pytest.raises(
            ValueError, match=r"`target` says how target networks follow, and .* Received: Target\(tau=0.25"
        ):
            made(name, target={"tau": 0.25})


@pytest.mark.parametrize("name, kind", [("dpg", "dpg"), ("td3", "td3")])
def test_how_targets_follow_is_said_of_targets(name, kind):
    without = {"type": kind, "use_targets": False}
    own = {**spaces_of(name), "network": MLP, "memory": 300, "objective": without}
    with pytest.raises(ValueError, match=r"`tau` says how target networks follow.*Received: Target\(tau=0.25"):
        AGENTS[name](**own, tau=0.25)
    agent = AGENTS[name](**own, target={"tau": 0.25})  # for both of the objective's choices
    config = agent.get_config()
    assert config["target"]["tau"] == 1.0 and not agent.target_networks  # as of every agent without targets
    # As earlier versions wrote it.
    assert AGENTS[name].from_config({**config, "target": {"type": "Target", "tau": 0.25}}).get_config() == config


def test_a_clip_of_no_noise_is_refused():
    with pytest.raises(
        ValueError, match=r"`target_noise_clip` .* target_noise=0 has none. Received: target_noise_clip=0.25"
    ):
        made("td3", target_noise=0, target_noise_clip=0.25)
    given = {name: value for name, value in GIVEN["td3"].items() if name != "target_noise_clip"}
    assert kagent.TD3(**spaces_of("td3"), **{**given, "target_noise": 0.0}, memory=50).target_noise == 0


def test_a_target_that_a_replaced_objective_has_no_use_for_is_forgotten():
    """DQN's own, which nobody asked for; also in configurations of before."""
    agent = kagent.DQN(**spaces_of("dqn"), network=MLP, memory=100, objective="behavior_cloning")
    config = agent.get_config()
    assert config["target"] == {"type": "Target", "tau": 1.0, "period": 1, "unit": "updates"}
    old = {**config, "target": {"type": "Target", "tau": 1.0, "period": 10_000, "unit": "timesteps"}}
    for each in (config, old):
        assert kagent.Agent.create(json.loads(json.dumps(each))).get_config() == config
    with pytest.raises(ValueError, match="`target_update_period` says how target networks follow"):
        kagent.DQN(**spaces_of("dqn"), memory=100, objective="behavior_cloning", target_update_period=10)


@pytest.mark.parametrize("baseline", [None, "auto"])
def test_a_vanilla_policy_gradient_has_one_name_of_its_baseline(baseline):
    given = {name: value for name, value in GIVEN["vpg"].items() if not name.startswith("baseline")}
    with pytest.raises(
        ValueError, match=r"`baseline_policy` is `baseline` here.*Received: baseline=.*and baseline_policy="
    ):
        kagent.VPG(
            **spaces_of("vpg"), **given, max_episode_timesteps=10, baseline=baseline, baseline_policy={"network": MLP}
        )


BOX, FEW = gymnasium.spaces.Box(-1.0, 1.0, (2,)), gymnasium.spaces.Discrete(3)
MIXED = gymnasium.spaces.Dict(steer=BOX, gear=FEW)


@pytest.mark.parametrize("name", ["ppo", "trpo", "a2c", "ac"])
def test_a_deviation_of_no_action_is_refused(name):
    def agent(action, **given):
        return AGENTS[name](observation_space=BOX, action_space=action, network=MLP, **given)

    with pytest.raises(
        ValueError, match=r"`log_std` is .*there are none: 'action' 'categorical'. Received: log_std=-1.0"
    ):
        agent(FEW, log_std=-1.0)
    for action in (FEW, BOX, MIXED):
        assert agent(action, log_std=0.0).log_std == 0.0
    assert agent(BOX, log_std=-1.0).log_std == agent(MIXED, log_std=-1.0).log_std == -1.0
    # As earlier versions wrote it.
    config = agent(FEW).get_config()
    old = {**config, "policy": {**config["policy"], "log_std": -1.0, "log_std_range": [-5.0, 2.0]}}
    assert AGENTS[name].from_config(old).get_config() == config


def test_a_range_of_no_predicted_deviation_is_refused():
    def agent(**policy):
        return kagent.PPO(observation_space=BOX, action_space=BOX, policy={"network": MLP, **policy})

    narrow, predicted = {"log_std_range": (-5.0, 0.0)}, {"type": "gaussian", "stddev_mode": "predicted"}
    for others in ({}, {"distribution": "beta"}, {"distribution": "squashed_gaussian", "state_dependent_noise": 2}):
        with pytest.raises(ValueError, match=r"`log_std_range` bounds .*Received: log_std_range=\(-5.0, 0.0\)"):
            agent(**narrow, **others)
    assert agent(**narrow, distribution=predicted).policy.log_std_range == (-5.0, 0.0)


def test_relative_noise_of_no_float_action_is_refused():
    noise = {"type": "ActionNoise", "amount": 0.1, "relative": True}
    with pytest.raises(ValueError, match=r"`exploration.relative` .*Received: relative=True"):
        kagent.PPO(observation_space=BOX, action_space=FEW, network=MLP, exploration=noise)
    assert kagent.PPO(observation_space=BOX, action_space=MIXED, network=MLP, exploration=noise).exploration.relative


def test_stochastic_critics_without_dropout_are_refused():
    given = {**spaces_of("sac"), "network": MLP, "memory": 300, "stochastic_critics": True}
    with pytest.raises(ValueError, match=r"`stochastic_critics` is dropout .*Received: True"):
        kagent.SAC(**given)
    dropping = [{"type": "dense", "size": 3}, {"type": "dropout", "rate": 0.5}]
    assert kagent.SAC(**given, critic_network=dropping).stochastic_critics


@pytest.mark.parametrize("kind", [kagent.Random, kagent.Constant])
def test_what_learns_is_refused_by_agents_that_do_not(kind):
    given = {"observation_space": BOX, "action_space": FEW}
    for name, value in {
        "optimizer": "sgd", "update": 6, "reward_estimation": {"discount": 0.5}, "l2_regularization": 0.1,
        "variable_noise": 0.1,
    }.items():  # fmt: skip
        with pytest.raises(
            ValueError, match=f"`{name}` is of learning, and {kind.__name__} learns nothing. Received: {name}="
        ):
            kind(**given, **{name: value})
    with pytest.raises(
        ValueError, match=r"A baseline has no place beside `objective` NullObjective.*baseline_policy='auto'"
    ):
        kind(**given, baseline_policy="auto")
    config = kind(**given).get_config()
    assert kagent.Agent.create(config).get_config() == config


def test_a_baseline_of_an_objective_without_critic_and_target():
    with pytest.raises(
        ValueError, match=r"A baseline has no place beside `objective` QLambdaObjective, which has neither"
    ):
        kagent.PQN(observation_space=BOX, action_space=FEW, network=MLP, baseline_policy="auto")


NETWORK = {"type": "mlp", "units": [3]}


@pytest.mark.parametrize("given", [NETWORK, {"network": NETWORK}, {"type": "StateValue", "network": NETWORK}])
def test_a_critic_may_be_its_network(given):
    """Of each argument that says "a network": named, as a dict, and as the role that it is of."""
    for name, argument in (("ac", "critic"), ("ppo", "critic"), ("vpg", "baseline"), ("trpo", "baseline_policy")):
        agent = AGENTS[name](
            observation_space=BOX, action_space=FEW, network=MLP, max_episode_timesteps=9, **{argument: given}
        )
        assert type(agent.critic).__name__ == "StateValue" and agent.critic.network.units == (3,)
    assert kagent.PPO(observation_space=BOX, action_space=FEW, policy=NETWORK).network.units == (3,)
    with pytest.raises(ValueError, match=r"Unknown `critic`. Received: 'mpl'"):
        kagent.AC(observation_space=BOX, action_space=FEW, critic={**NETWORK, "type": "mpl"})


@pytest.mark.parametrize("name", ["dpg", "td3", "naf"])
def test_samples_of_a_policy_with_one_action_are_refused(name):
    given = {"observation_space": BOX, "action_space": BOX, "network": MLP, "memory": 300}
    with pytest.raises(
        ValueError, match=r"`exploration` Sampling .* one for each .*Received: Sampling\(random_steps=0\)"
    ):
        AGENTS[name](**given, exploration="sampling")
    config = AGENTS[name](**given, exploration="greedy").get_config()
    # As earlier versions wrote it.
    old = {**config, "exploration": {"type": "Sampling", "random_steps": 7}}
    assert AGENTS[name].from_config(old).exploration == kagent.ActionNoise(0.0, sample=False, random_steps=7)


@pytest.mark.parametrize("given, name", [("beta", "distribution"), ({"action": "beta"}, r"distribution\['action'\]")])
def test_a_distribution_that_does_not_fit_is_named_as_it_was_given(given, name):
    policy = {"network": MLP, "distribution": given}
    with pytest.raises(ValueError, match=f"`policy.{name}` does not fit the action, a discrete. Received: 'beta'"):
        kagent.PPO(observation_space=BOX, action_space=FEW, policy=policy)
