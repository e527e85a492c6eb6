"""Arguments of presets are attributes of their agents."""

import inspect
import json
from pathlib import Path

import gymnasium
import keras
import pytest
from variants import with_few

import kagent
from kagent import schedules
from kagent.agents import AGENTS, FromPart
from kagent.config.part_arguments import declared

ROOT = Path(__file__).parents[2]
MLP = {"type": "mlp", "units": [4]}
REPLAYED = {"batch_size": 4, "start": 7, "frequency": 2, "gradient_steps": 3, "tau": 0.25, "discount": 0.5}
UNTARGETED = {name: value for name, value in REPLAYED.items() if name != "tau"}
Q = {**REPLAYED, "learning_rate": 0.5, "horizon": 2, "target_update_period": 5, "huber": 2.0, "max_grad_norm": 3.0}
DISTRIBUTION = {name: value for name, value in Q.items() if name != "huber"}
DISTRIBUTION |= {"double": True, "dueling": True, "noisy": True}
GAUSSIAN = {"log_std": -0.5, "state_dependent_noise": kagent.policies.StateDependentNoise(2)}
ROLLOUT = {
    "n_steps": 8,
    "discount": 0.5,
    "gae_lambda": 0.25,
    "normalize_advantage": False,
    "head_gain": "fan_in",
    **GAUSSIAN,
}
ON_POLICY = {"batch_size": 4, "frequency": 2, "start": 7, "learning_rate": 0.5, "discount": 0.5, "max_grad_norm": 3.0}
RATES = {"critic_learning_rate": 0.25, "temperature_learning_rate": 0.125, "critic_network": {"units": [3]}}
# Every argument, none with its default.
GIVEN = {
    "dqn": {**Q, "double": True, "dueling": True, "noisy": 0.25, "prioritized": True},
    "doubledqn": {**Q, "double": False, "dueling": True, "noisy": True, "prioritized": False},
    "duelingdqn": {**Q, "double": False, "dueling": True, "noisy": True, "stream_units": (3, 2), "prioritized": True},
    "qrdqn": {**DISTRIBUTION, "quantiles": 5, "kappa": 0.5},
    "iqn": {
        **{name: value for name, value in DISTRIBUTION.items() if name not in ("dueling", "noisy")}, "policy_samples": 5,
        "samples": 3, "target_samples": 2, "cosines": 6, "head_units": (3,), "kappa": 0.5,
    },
    "c51": {**DISTRIBUTION, "atoms": 5, "low": -1.0, "high": 4.0},
    "rainbow": {
        **DISTRIBUTION, "double": False, "atoms": 5, "low": -1.0, "high": 4.0, "stream_units": (3,), "prioritized": False,
    },
    "sac": {
        **REPLAYED, "learning_rate": 0.5, **RATES, "target_entropy": -3.0, "members": 3, "subset": 2, "stochastic_critics": True,
        **GAUSSIAN, "critic_network": [{"type": "dense", "size": 3}, {"type": "dropout", "rate": 0.5}],
    },
    "tqc": {
        **REPLAYED, "learning_rate": 0.5, **RATES, "target_entropy": -3.0, "members": 3, "quantiles": 5,
        "top_quantiles_to_drop_per_net": 4, **GAUSSIAN,
    },
    "crossq": {
        **UNTARGETED, "learning_rate": 0.5, **RATES, "target_entropy": -3.0, "policy_delay": 4, "members": 3, "subset": 2,
        **GAUSSIAN,
    },
    "discretesac": {**REPLAYED, "learning_rate": 0.5, "target_entropy": "auto_0.5", "members": 3},
    "dpg": {
        **REPLAYED, "learning_rate": 0.5, "critic_learning_rate": 0.125, "critic_network": {"units": [3]}, "members": 2,
        "huber": 2.0,
    },
    "td3": {
        **REPLAYED, "learning_rate": 0.5, "critic_learning_rate": 0.125, "policy_delay": 3, "target_noise": 0.5,
        "target_noise_clip": 0.75, "members": 3, "huber": 2.0, "critic_network": {"units": [3]},
    },
    "iql": {
        **REPLAYED, "learning_rate": 0.5, "critic_learning_rate": 0.125, "members": 3, "critic_network": {"units": [3]},
        "expectile": 0.8, "inverse_temperature": 2.0, "max_weight": 50.0, "log_std": -0.5,
    },
    "cql": {
        **REPLAYED, "learning_rate": 0.5, **RATES, "target_entropy": -3.0, "members": 3, "subset": 2, "stochastic_critics": True,
        "alpha": 1.5, "drawn_actions": 3, "backup_entropy": True, "policy_warmup": 7, **GAUSSIAN,
        "critic_network": [{"type": "dense", "size": 3}, {"type": "dropout", "rate": 0.5}],
    },
    "discretecql": {**Q, "double": False, "dueling": True, "noisy": 0.25, "prioritized": True, "alpha": 0.5},
    "td3bc": {
        **REPLAYED, "learning_rate": 0.5, "critic_learning_rate": 0.125, "policy_delay": 3, "target_noise": 0.5,
        "target_noise_clip": 0.75, "members": 3, "huber": 2.0, "critic_network": {"units": [3]}, "alpha": 1.5,
    },
    "bc": {
        "batch_size": 4, "start": 7, "frequency": 2, "gradient_steps": 3, "learning_rate": 0.5, "log_std": -0.5,
        "max_grad_norm": 3.0,
    },
    "naf": {**{name: value for name, value in Q.items() if name != "target_update_period"}, "prioritized": True},
    "pqn": {
        "n_steps": 8, "batch_size": 4, "epochs": 3, "learning_rate": 0.5, "discount": 0.5, "return_lambda": 0.25, "huber": 2.0,
        "max_grad_norm": 3.0,
    },
    "ppo": {
        **ROLLOUT, "batch_size": 4, "epochs": 3, "learning_rate": 0.5, "clip_range": 0.125, "entropy_coefficient": 0.25,
        "value_coefficient": 0.75, "max_grad_norm": 3.0, "value_clip_range": 0.5, "target_kl": 0.25,
        "sequence_length": None,  # of recurrent networks, which have no state-dependent noise
    },
    "impala": {
        "n_steps": 8, "sequence_length": 2, "batch_size": 4, "epochs": 3, "learning_rate": 0.5, "discount": 0.5,
        "return_lambda": 0.25, "rho_clip": 2.0, "c_clip": 0.5, "entropy_coefficient": 0.25, "value_coefficient": 0.75,
        "normalize_advantage": True, "max_grad_norm": 3.0, "log_std": -0.5, "head_gain": 0.5,
    },
    "trpo": {
        **ROLLOUT, "max_kl": 0.5, "cg_iterations": 3, "cg_damping": 0.25, "linesearch_iterations": 4,
        "critic_learning_rate": 0.125, "critic_steps": 3, "critic_batch_size": 4, "entropy_coefficient": 0.25,
    },
    "vpg": {**ON_POLICY, "baseline": "auto", "baseline_optimizer": {"type": "SGD", "learning_rate": 0.125}},
    "ac": {**ON_POLICY, "horizon": 2, "entropy_coefficient": 0.25, "critic_weight": 0.75, "head_gain": 0.5, **GAUSSIAN},
    "a2c": {**ON_POLICY, "horizon": 2, "entropy_coefficient": 0.25, "critic_weight": 0.75, "head_gain": 0.5, **GAUSSIAN},
    "constant": {"action_values": {"action": 1}},
    "random": {},
}  # fmt: skip
GIVEN["recurrentppo"] = {**GIVEN["ppo"], "sequence_length": 2, "state_dependent_noise": None}
GIVEN = {
    name: given if name in ("constant", "random") else {**given, "normalize": True} for name, given in GIVEN.items()
}
# Whose files are read as well: each kind of value that an argument has, a tuple, a dict, a list, an object, is in one of them.
FILES = ("constant", "duelingdqn", "iqn", "ppo", "sac", "trpo", "vpg")
COMMON = {"observation_space", "action_space", "n_envs", "seed", "name"}
PARTS = {"memory", "exploration", "critic", "temperature"}  # arguments that are parts themselves
# Arguments whose attribute says something else than was given in `GIVEN`: of another kind, or nothing.
OTHERS = [
    ("vpg", {"baseline_optimizer": 0.5}, {"baseline_optimizer": 0.5}),
    ("vpg", {"baseline_optimizer": {"type": "adam", "learning_rate": 0.5}}, {}),
    ("vpg", {"baseline": None, "baseline_optimizer": None, "max_grad_norm": None}, {}),
    ("vpg", {"frequency": "never"}, {}),
    ("dqn", {"huber": None, "max_grad_norm": None, "frequency": 0.5}, {}),
    ("dpg", {"huber": None, "critic_learning_rate": None}, {"critic_learning_rate": 0.5}),
    ("trpo", {"critic_batch_size": None}, {}),
    ("sac", {"target_entropy": "auto"}, {}),
    ("crossq", {"critic_learning_rate": None, "subset": None}, {"critic_learning_rate": 0.5}),
    ("crossq", {"temperature_learning_rate": None}, {"temperature_learning_rate": 0.5}),
    ("sac", {"critic_learning_rate": None, "subset": None}, {"critic_learning_rate": 0.5}),
    ("ac", {"frequency": "never", "max_grad_norm": None}, {}),
    ("ppo", {"normalize": "observation"}, {}),
    ("sac", {"normalize": "reward"}, {}),
    ("trpo", {"normalize": None}, {"normalize": False}),
]


REPLAYED_BOXES = ("sac", "dpg", "td3", "td3bc", "bc", "iql", "cql", "tqc", "naf", "crossq")
BOXES = ("recurrentppo", "impala", *REPLAYED_BOXES, "ppo", "trpo", "ac", "a2c")
REPLAYING = (
    "dqn",
    "discretecql",
    "doubledqn",
    "duelingdqn",
    "qrdqn",
    "iqn",
    "c51",
    "rainbow",
    "discretesac",
    *REPLAYED_BOXES,
)


def spaces_of(name):
    box = gymnasium.spaces.Box(-1.0, 1.0, (2,))
    return {"observation_space": box, "action_space": box if name in BOXES else gymnasium.spaces.Discrete(2)}


def made(name, **changes):
    replaced = {argument for argument, one in declared(AGENTS[name]).items() if one.part in changes}
    given = {argument: value for argument, value in GIVEN[name].items() if argument not in replaced}
    if "network" in kagent.config.signatures.parameters(AGENTS[name]):
        given["network"] = {"units": [4], "rnn": 2} if name == "recurrentppo" else MLP
    if name in REPLAYING:
        given["memory"] = 50
    if name == "vpg":
        given["max_episode_timesteps"] = 10
    return AGENTS[name](**spaces_of(name), **{**given, "seed": 3, "name": "mine", "n_envs": 2, **changes})


@pytest.mark.parametrize("name", with_few(GIVEN, ("dqn",)))
def test_every_argument_is_an_attribute_also_of_loaded_agents(name, tmp_path):
    agent = made(name)
    agents = [agent, kagent.Agent.create(json.loads(json.dumps(agent.get_config())))]
    if name in FILES:
        agent.save(tmp_path / "a.keras")
        agents.append(kagent.load(tmp_path / "a.keras"))
    for one in agents:
        for argument, value in GIVEN[name].items():
            if argument == "baseline":
                assert one.baseline["type"] == "StateValue"
            elif argument == "gradient_steps":
                assert one.gradient_steps_per_update == value and one.gradient_steps == 0
            elif argument == "critic_network":
                assert one.critic_network == kagent.networks.get(value, one.critic_network)
            else:
                assert getattr(one, argument) == value, argument
        if "network" in kagent.config.signatures.parameters(type(one)):
            assert one.network.units == (4,)
        assert (one.seed, one.name, one.n_envs) == (3, "mine", 2)
        assert one.observation_space == spaces_of(name)["observation_space"]


@pytest.mark.parametrize("name", GIVEN)
def test_no_argument_is_left_out_and_none_hides_an_attribute(name):
    cls = AGENTS[name]
    own = {name for name, p in inspect.signature(cls.__init__).parameters.items() if p.kind is p.KEYWORD_ONLY}
    assert own >= COMMON
    shown = declared(cls)
    assert own - COMMON - PARTS <= set(shown) == {*GIVEN[name], *({"network"} & set(shown))} - PARTS
    attributes = [argument.name for argument in shown.values()]
    assert not [name for name in attributes if hasattr(kagent.Agent, name) or hasattr(keras.Model, name)]


@pytest.mark.parametrize("name, given, shown", with_few(OTHERS, OTHERS[::2]))
def test_other_kinds_of_values_are_shown_as_given(name, given, shown):
    agent = made(name, **given)
    for one in (agent, type(agent).from_config(json.loads(json.dumps(agent.get_config())))):
        for argument, value in {**given, **shown}.items():
            assert getattr(one, argument) == value, argument


@pytest.mark.parametrize("name, argument", [(name, argument) for name in GIVEN for argument in declared(AGENTS[name])])
def test_an_argument_beside_its_part_is_refused(name, argument):
    part = declared(AGENTS[name])[argument].part
    value = MLP if argument == "network" else GIVEN[name][argument]
    received = f"Received: {argument}=.* and {part}=.*x"
    for replacement in ({"type": "x"}, "x"):
        with pytest.raises(ValueError, match=f"`{argument}` .*`{part}.*{received}"):
            AGENTS[name](**spaces_of(name), **{argument: value, part: replacement})
    with pytest.raises(ValueError, match=f"`{argument}` .*`{part}.*{received}"):
        kagent.Agent.create({"agent": name, part: {"type": "x"}, argument: value}, **spaces_of(name))


def test_the_refusal_says_what_to_write():
    for given, advice in (
        (
            {"double": True, "objective": kagent.objectives.ActionValueObjective()},
            r"`double` goes into the `objective` that `objective=` replaces: give ActionValueObjective\(..., double=True\)",
        ),
        ({"learning_rate": 0.5, "optimizer": "sgd"}, r"write optimizer=\{'learning_rate': 0.5, 'type': 'sgd'\}"),
        (
            {"learning_rate": 0.5, "optimizer": {"type": "sgd"}},
            r"write optimizer=\{'learning_rate': 0.5, 'type': 'sgd'\}",
        ),
        ({"learning_rate": 0.5, "optimizer": keras.optimizers.SGD()}, r"give SGD\(..., learning_rate=0.5\)"),
        ({"learning_rate": 0.5, "optimizer": 0.1}, "give `learning_rate` in a dict or an object as `optimizer`"),
        ({"batch_size": 64, "update": kagent.Update(batch_size=4)}, r"give Update\(..., batch_size=64\)"),
        ({"gradient_steps": 2, "update": {"batch_size": 4}}, r"write update=\{'batch_size': 4, 'steps': 2\}"),
        ({"network": "auto", "policy": kagent.policies.ValuePolicy()}, r"give ValuePolicy\(..., network='auto'\)"),
        (
            {"double": True, "objective": kagent.objectives.BehaviorCloningObjective()},
            "has no `double`, leave the argument",
        ),
        ({"discount": 0.9, "reward_estimation": None}, "give `discount` in a dict or an object as `reward_estimation`"),
    ):
        with pytest.raises(ValueError, match=advice):
            kagent.DQN("CartPole-v1", **given)


def test_a_preset_with_a_part_of_its_own_refuses_what_goes_into_it():
    class Cloned(kagent.DQN):
        def __init__(self, env=None, *, network="auto", learning_rate=0.5, **arguments):
            policy = kagent.policies.ValuePolicy(network)
            own = {"objective": "behavior_cloning", "policy": policy}
            super().__init__(env, learning_rate=learning_rate, **{**own, **arguments})

    spaces = spaces_of("dqn")
    for argument, part in (("double", "objective"), ("huber", "objective")):
        with pytest.raises(
            ValueError, match=f"`{argument}` goes into the `{part}` that Cloned replaces by one of its own"
        ):
            Cloned(**spaces, **{argument: 1.0})
    for given in ({"network": MLP, "policy": {"type": "ValuePolicy"}}, {"learning_rate": 0.1, "optimizer": "sgd"}):
        with pytest.raises(ValueError, match=f"`{next(iter(given))}` goes into"):
            Cloned(**spaces, **given)
    agent = Cloned(**spaces, network=MLP, memory=100)
    assert (agent.network.units, agent.learning_rate) == ((4,), 0.5)
    again = Cloned.from_config({**agent.get_config(), "optimizer": {"type": "sgd", "learning_rate": 0.25}})
    assert (again.network.units, again.learning_rate) == ((4,), 0.25)
    assert Cloned(**spaces, memory=100, optimizer=0.25).learning_rate == 0.25


def test_a_preset_that_names_the_part_decides_itself():
    class Own(kagent.DQN):
        def __init__(self, env=None, learning_rate=0.5, *, optimizer="adam", **arguments):
            optimizer = {"type": optimizer, "learning_rate": learning_rate} if isinstance(optimizer, str) else optimizer
            super().__init__(env, optimizer=optimizer, **arguments)

    assert Own(None, 0.25, optimizer="sgd", **spaces_of("dqn"), memory=100).learning_rate == 0.25

    class Passing(kagent.DQN):
        def __init__(self, env=None, learning_rate=0.5, **arguments):
            super().__init__(env, learning_rate=learning_rate, **arguments)

    with pytest.raises(ValueError, match="`learning_rate` goes into the `optimizer`"):
        Passing(None, 0.25, optimizer="sgd", **spaces_of("dqn"))


@pytest.mark.thorough
def test_the_value_is_that_of_the_part():
    schedule = {"type": "linear", "initial": 0.5, "final": 0.0}
    agent = made("ppo", clip_range=schedule, learning_rate=schedule)
    assert agent.clip_range == agent.learning_rate == schedules.get(schedule)
    agent = made("dqn", reward_estimation={"discount": 0.75, "estimate_horizon": "late"}, optimizer={"type": "sgd"})
    assert agent.discount == 0.75 and agent.horizon == 0
    with pytest.raises(AttributeError, match="DQN has no 'max_grad_norm': its `optimizer` has no 'global_clipnorm'"):
        agent.max_grad_norm  # noqa: B018
    for optimizer in (
        keras.optimizers.SGD(0.5),
        0.5,
        {"type": "multi_step", "num_steps": 2, "optimizer": {"type": "sgd", "learning_rate": 0.5}},
    ):
        assert made("dqn", optimizer=optimizer).learning_rate == 0.5
    assert made("dpg", critic_learning_rate=None).critic_learning_rate == 0.5
    assert made("trpo", critic_batch_size=None).critic_batch_size is None


@pytest.mark.parametrize("name", with_few(("dqn", "doubledqn", "duelingdqn"), ("dqn",)))
def test_prioritized_makes_the_memory_of_the_capacity(name, tmp_path):
    agent = made(name, prioritized={"alpha": 0.25, "beta": 0.5}, memory=60.0)
    assert isinstance(agent.memory, kagent.memories.Prioritized)
    assert (agent.memory.capacity, agent.memory.alpha, agent.memory.beta) == (60, 0.25, 0.5)
    agent.save(tmp_path / "a.keras")
    again = kagent.load(tmp_path / "a.keras")
    assert again.get_config() == agent.get_config() and again.prioritized
    plain = made(name, prioritized=None, memory={"type": "prioritized", "capacity": 60})
    assert plain.prioritized and plain.memory.alpha == 0.6
    assert type(made(name, prioritized=False, memory=60).memory) is kagent.memories.Replay


@pytest.mark.parametrize(
    "prioritized, memory, error, message",
    [
        (True, kagent.memories.Prioritized(9), ValueError, "give `memory` as a number.*prioritized=True and memory="),
        (False, {"type": "prioritized"}, ValueError, "give `memory` as a number.*prioritized=False and memory="),
        (True, True, ValueError, "give `memory` as a number"),
        (1, 60, TypeError, "`prioritized` must be True, False, None, or a dict.*Received: 1"),
        ({"capacity": 9}, 60, ValueError, "`prioritized` takes no 'capacity'"),
        ({"alfa": 0.5}, 60, ValueError, "`prioritized`.*alfa.*alpha"),
        ({"alpha": -1.0}, 60, ValueError, "alpha.*Received: -1.0"),
    ],
)
def test_what_prioritized_is_not(prioritized, memory, error, message):
    with pytest.raises(error, match=message):
        made("dqn", prioritized=prioritized, memory=memory)


def test_they_are_not_to_be_set():
    agent = made("ppo")
    with pytest.raises(AttributeError, match=r"PPO.clip_range is what the agent was made with.*Received: 0.1"):
        agent.clip_range = 0.1
    with pytest.raises(AttributeError, match=r"Write agent.optimizer.learning_rate, or give a schedule"):
        agent.learning_rate = 0.1


def test_a_network_of_keras_is_saved_once(tmp_path):
    agent = made("ppo", network=keras.layers.Dense(3, name="own"))
    assert agent.network["config"]["units"] == 3
    agent.save(tmp_path / "a.keras")
    assert kagent.load(tmp_path / "a.keras").network["config"]["units"] == 3
    config = agent.get_config()
    assert not {"network", "clip_range"} & set(config)


def test_an_agent_of_ones_own_shows_its_arguments():
    class Own(kagent.DQN):
        target_weight = FromPart("target.tau")

    assert Own(**spaces_of("dqn"), tau=0.5, memory=100).target_weight == 0.5


@pytest.mark.parametrize("name", sorted({*GIVEN} - {"constant", "random"}))
def test_the_module_begins_with_its_update(name):
    text = inspect.getdoc(inspect.getmodule(AGENTS[name]))
    steps = [line for line in text.splitlines() if line.startswith("    ")]
    files = [word.strip("`;.,") for word in text.split() if word.startswith("`kagent/")]
    assert 2 <= len(steps) <= 8 and 2 <= len(files) <= 5
    assert not [file for file in files if not (ROOT / file.rstrip("`")).is_file()]
    assert any(word in text for word in ("quation", "lgorithm", "ection", "ppendix")) and any(
        f"{y}" in text for y in range(2013, 2031)
    )
