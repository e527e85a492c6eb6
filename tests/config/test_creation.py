"""Agents from names, dicts and files."""

import importlib.machinery
import json
import sys

import keras
import pytest

import kagent
from kagent import Agent
from kagent.config.registry import keras_package

DATA = {"agent": "dqn", "learning_rate": 0.01, "network": {"type": "mlp", "units": [8]}, "memory": 200, "seed": 1}
YAML = "agent: dqn\nlearning_rate: 1e-2\nnetwork: {type: mlp, units: [8]}\nmemory: 200\nseed: 1\n"


def test_by_name():
    agent = Agent.create("ppo", "CartPole-v1", n_steps=32, batch_size=8)
    assert type(agent) is kagent.PPO and agent.memory.steps == 32
    assert type(kagent.SAC.create(environment="Pendulum-v1")) is kagent.SAC


@pytest.mark.parametrize("form", ["dict", "json", "yaml"])
def test_the_same_from_a_dict_and_from_files(form, tmp_path):
    given = DATA
    if form == "json":
        given = tmp_path / "agent.json"
        given.write_text(json.dumps(DATA))
    elif form == "yaml":
        given = str(tmp_path / "agent.yaml")
        (tmp_path / "agent.yaml").write_text(YAML)
    agent = Agent.create(given, "CartPole-v1", memory=100)
    assert type(agent) is kagent.DQN and agent.seed == 1 and agent.memory.capacity == 100
    assert float(agent.optimizer.learning_rate) == pytest.approx(0.01)
    assert DATA["memory"] == 200 and len(DATA) == 5
    agent.compile(jit_compile=False)
    agent.fit("CartPole-v1", steps=5, verbose=0)


def test_parts_from_data_alone():
    data = {
        "agent": "agent",
        "policy": {"type": "StochasticPolicy", "network": {"type": "mlp", "units": [8]}},
        "objective": "policy_gradient",
        "memory": {"type": "Rollout", "steps": 8},
        "update": {"unit": "timesteps", "batch_size": 8, "epochs": 1},
        "reward_estimation": {"horizon": 0, "discount": 0.9},
        "exploration": "sampling",
    }
    agent = Agent.create(json.loads(json.dumps(data)), "CartPole-v1")
    agent.compile(jit_compile=False)
    agent.fit("CartPole-v1", steps=16, verbose=0)
    assert type(agent) is Agent and agent.updates == 2


def test_without_an_environment_the_data_has_the_spaces():
    spaces = {
        name: Agent.create("dqn", "CartPole-v1").get_config()[name] for name in ("observation_space", "action_space")
    }
    agent = Agent.create(json.loads(json.dumps({**DATA, **spaces})))
    assert agent.action_space.n == 2


@pytest.mark.parametrize(
    ("agent", "overrides", "message"),
    [
        ("dqm", {}, r"Unknown `agent`. Received: 'dqm'. Known: .*dqn.*Did you mean 'dqn'"),
        ({"learning_rate": 1.0}, {}, r"Agent has no argument \['learning_rate'\]"),
        ({"agent": "dqn", "type": "ppo"}, {}, "not both"),
        ({"agent": "dqn", "env": "module:Env-v0"}, {}, r"never an environment. Received: \['env'\]"),
        ("dqn", {"learning_rat": 0.1}, r"DQN has no argument \['learning_rat'\].*Did you mean 'learning_rate'"),
        ({"agent": "dqn", "clip_range": 0.1}, {}, r"DQN has no argument \['clip_range'\]"),
    ],
)
def test_mistakes_are_named(agent, overrides, message):
    with pytest.raises(ValueError, match=message):
        Agent.create(agent, "CartPole-v1", **overrides)


@pytest.mark.parametrize("wrong", [3, ["dqn"], kagent])
def test_other_kinds_of_agents_are_refused(wrong):
    with pytest.raises(TypeError, match=r"`agent` must be a name, a dict or a file of settings. Received: "):
        Agent.create(wrong, "CartPole-v1")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.json", "{", "`agent` .* is not JSON"),
        ("a.yaml", "!!python/object/apply:os.system ['true']", "`agent` .* is not YAML"),
        ("a.json", "[1]", "must hold a mapping. Received: list"),
        ("a.json", " " * (1 << 21), "more than 1048576 bytes"),
    ],
)
def test_bad_files_are_named(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=message):
        Agent.create(tmp_path / name, "CartPole-v1")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"cannot read `agent` .*none.json"):
        Agent.create(tmp_path / "none.json", "CartPole-v1")


@pytest.fixture
def names(monkeypatch):
    """Names of agents as they were, afterwards."""
    from kagent.config import creation

    for name in ("AGENTS", "SUMMARIES"):
        monkeypatch.setattr(creation, name, dict(getattr(creation, name)))
    return creation


def test_an_agent_of_ones_own_has_a_name_everywhere(names, tmp_path):
    @kagent.register_agent("Two_Steps", "twostep", summary="a test's")
    class TwoSteps(kagent.DQN):
        def __init__(self, env=None, *, horizon=1, **parts):
            super().__init__(env, horizon=horizon, **parts)

    agent = Agent.create({"agent": "two-steps", "memory": 100, "seed": 0}, "CartPole-v1")
    assert type(agent) is TwoSteps and type(Agent.create("twostep", "CartPole-v1", memory=99)) is TwoSteps
    assert keras.saving.get_registered_name(TwoSteps) == "test_creation>TwoSteps"
    config = json.loads(json.dumps(agent.get_config()))
    assert config["agent"] == "twosteps" and names.SUMMARIES[TwoSteps] == "a test's"
    assert Agent.create(config).get_config() == config
    agent.save(tmp_path / "a.keras")
    assert type(kagent.load(tmp_path / "a.keras")) is TwoSteps


def test_names_of_agents_that_are_refused(names):
    with pytest.raises(ValueError, match=r"The name 'D_QN' of `agent` is that of kagent.agents.dqn.DQN already. Rec"):
        kagent.register_agent("D_QN")(type("Mine", (kagent.DQN,), {}))
    with pytest.raises(TypeError, match=r"a class derived from kagent.Agent. Received: <class 'int'>"):
        kagent.register_agent("number")(int)
    with pytest.raises(TypeError, match=r"A name of `agent` must be a string. Received: 3"):
        kagent.register_agent(3)(type("Mine", (kagent.DQN,), {}))
    with pytest.raises(ValueError, match=r"A name of `agent` must have letters. Received: '_'"):
        kagent.register_agent("_")(type("Mine", (kagent.DQN,), {}))


def test_a_class_that_is_defined_again_takes_its_own_place(names):
    made = [kagent.register_agent()(type("Again", (kagent.DQN,), {"__module__": "notebook"})) for _ in range(2)]
    assert names.AGENTS["again"] is made[1] and keras.saving.get_registered_object("notebook>Again") is made[1]


def test_the_name_in_files_that_a_class_has_is_kept(names):
    @kagent.register_agent("kept")
    @keras.saving.register_keras_serializable("elsewhere")
    class Kept(kagent.DQN):
        pass

    @kagent.register_agent("given", package="somewhere")
    class Given(kagent.DQN):
        pass

    assert [keras.saving.get_registered_name(cls) for cls in (Kept, Given)] == ["elsewhere>Kept", "somewhere>Given"]


def test_a_programs_classes_are_in_files_as_if_it_were_imported(monkeypatch, names):
    main = sys.modules["__main__"]
    cls = type("Own", (), {"__module__": "__main__"})
    monkeypatch.setattr(main, "__spec__", None)
    monkeypatch.setattr(main, "__file__", "/somewhere/my_agents.py", raising=False)
    assert keras_package(cls) == "my_agents"
    for module in ("__main__", "my_agents"):  # run, and imported by what it imports
        kagent.register_agent("twice")(type("Twice", (kagent.DQN,), {"__module__": module}))
    monkeypatch.setattr(main, "__spec__", importlib.machinery.ModuleSpec("package.program", None))
    assert keras_package(cls) == "package" and keras_package(kagent.DQN) == "kagent"


def test_the_names_at_the_top_are_the_registered_agents():
    own = {cls.__name__ for cls in kagent.agents.AGENTS.values() if cls.__module__.startswith("kagent.")}
    assert (
        own
        == {*kagent._AGENTS, "Agent"} - {"DDPG", "REINFORCE"}
        == {*kagent.agents.__all__, "Agent"} - {"AGENTS", "DDPG", "FromPart", "REINFORCE", "register_agent"}
    )
    assert kagent.DDPG is kagent.agents.DDPG is kagent.DPG
    assert kagent.REINFORCE is kagent.agents.REINFORCE is kagent.VPG
