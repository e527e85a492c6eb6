"""Parts by name, dict or object, and what is said when they are wrong."""

from __future__ import annotations

import dataclasses
import json

import keras
import numpy as np
import pytest
from gymnasium import spaces

import kagent
from kagent import exploration, memories, networks, objectives, optimizers, reward_estimation, schedules, update
from kagent.config.registry import Registry, plain
from kagent.policies import role

CARTPOLE = spaces.Box(-1.0, 1.0, (4,)), spaces.Discrete(2)
THINGS = Registry("thing", arguments={"colour": "color", "shape": "form"})


@THINGS.register("alias", "other_alias")
@dataclasses.dataclass(frozen=True)
class RedThing:
    size: int
    color: object = "red"
    inner: object = None


@THINGS.register()
@dataclasses.dataclass(frozen=True)
class BlueThing:
    pass


MADE = Registry("made")


@MADE.register("make_red")
def red(size=1):
    return RedThing(size)


def test_functions_that_make_parts():
    assert MADE.get("red") == RedThing(1) and MADE.get({"type": "make-red", "size": 2}) == RedThing(2)
    assert MADE.names == ["red"] and MADE.knows("MakeRed")
    with pytest.raises(ValueError, match=r"`made` red has no argument \['sizes'\]. Known: \['size'\]"):
        MADE.get({"type": "red", "sizes": 2})
    with pytest.raises(TypeError, match="`made` must be a name"):
        MADE.get(RedThing(1))


@pytest.mark.parametrize("name", ["RedThing", "red_thing", "red-thing", "REDTHING", "alias", "Other-Alias"])
def test_names_are_folded_and_may_be_aliases(name):
    assert THINGS.get({"type": name, "size": 3}) == RedThing(3)
    assert THINGS.names == ["BlueThing", "RedThing"]


def test_names_dicts_and_objects_are_the_same():
    thing = BlueThing()
    assert THINGS.get("blue_thing") == THINGS.get({"type": "BlueThing"}) == thing and THINGS.get(thing) is thing
    given = {"type": "RedThing", "size": 3}
    THINGS.get(given)
    assert given == {"type": "RedThing", "size": 3}  # not used up


@pytest.mark.parametrize("identifier", ["green", {"type": "RedThink", "size": 1}, "", "os.system"])
def test_unknown_names_list_the_known(identifier):
    with pytest.raises(ValueError, match=r"Unknown `thing`. Received: '.*'. Known: BlueThing, RedThing\.") as raised:
        THINGS.get(identifier)
    assert ("Did you mean 'RedThing'?" in str(raised.value)) == ("Think" in str(identifier))
    with pytest.raises(ValueError, match=r"Unknown `agent\.thing`"):
        THINGS.get(identifier, "agent.thing")


def test_wrong_arguments_are_named():
    with pytest.raises(
        ValueError, match=r"`thing` RedThing has no argument \['length', 'sizes'\]. Known: \['size', 'color', 'inner'\]"
    ):
        THINGS.get({"type": "alias", "sizes": 3, "length": 2})
    with pytest.raises(ValueError, match=r"`thing` RedThing needs \['size'\]. Received: \['color'\]"):
        THINGS.get({"type": "alias", "color": 3})
    with pytest.raises(ValueError, match=r"needs \['size'\]. Received: \[\]"):
        THINGS.get("alias")


def test_arguments_may_have_other_names():
    given = {"type": "RedThing", "size": 3, "colour": "dark red"}
    assert THINGS.get(given) == RedThing(3, "dark red") and "colour" in given  # not used up
    with pytest.raises(ValueError, match=r"`thing` RedThing: 'colour' is another name of 'color', given too"):
        THINGS.get({**given, "color": "red"})
    with pytest.raises(ValueError, match=r"`thing` RedThing has no argument \['shape'\]"):  # nor has it a form
        THINGS.get({"type": "RedThing", "size": 3, "shape": "round"})
    with pytest.raises(ValueError, match=r"`thing` BlueThing has no argument \['colour'\]"):
        THINGS.get({"type": "BlueThing", "colour": "blue"})


@pytest.mark.parametrize("identifier", [{}, {"type": None}, {"size": 3}, {"type": 3}, {"type": ["alias"]}])
def test_dicts_need_a_type(identifier):
    with pytest.raises(
        ValueError, match=r"`thing` as a dict needs a 'type', one of \['BlueThing', 'RedThing'\]. Received: "
    ):
        THINGS.get(identifier)


@pytest.mark.parametrize("identifier", [None, 3, 1.5, True, RedThing, [RedThing(1)], object()])
def test_anything_else_is_no_part(identifier):
    with pytest.raises(TypeError, match=r"`thing` must be a name, a dict with 'type', or one of .* Received: "):
        THINGS.get(identifier)


def test_configs_are_json_and_come_back():
    inner = RedThing(np.int64(1), np.float32(0.5), BlueThing())
    part = RedThing(2, color=(1, [np.bool_(True), None]), inner=inner)
    config = THINGS.serialize(part)
    assert json.loads(json.dumps(config)) == config
    assert config == {
        "type": "RedThing", "size": 2, "color": [1, [True, None]],
        "inner": {"type": "RedThing", "size": 1, "color": 0.5, "inner": {"type": "BlueThing"}},
    }  # fmt: skip
    again = THINGS.get(config)
    assert again.size == 2 and again.inner == config["inner"]  # a part makes its own inner ones
    assert plain({"a": (np.float64(1.5),)}) == {"a": [1.5]}


def test_classes_that_are_not_registered_are_not_written():
    class Mine(RedThing):
        pass

    assert THINGS.get(Mine(1)) == Mine(1)  # an object may be used
    with pytest.raises(ValueError, match=r"Mine is not registered.*@keras.saving.register_keras_serializable"):
        THINGS.serialize(Mine(1))


@Registry("size").register()
class Sized:
    def get_part(self):
        return {"type": "Sized", "size": 3}


def test_parts_that_say_their_configuration_are_asked_for_it():
    assert THINGS.serialize(Sized()) == {"type": "Sized", "size": 3}
    assert plain([RedThing(1, color=Sized())]) == [
        {"type": "RedThing", "size": 1, "color": {"type": "Sized", "size": 3}, "inner": None}
    ]
    assert plain(Sized) is Sized


def test_keras_objects_become_their_keras_configurations():
    initializer = keras.initializers.Constant(0.5)
    config = plain({"initializer": initializer})["initializer"]
    assert json.loads(json.dumps(config)) == config and config["config"] == {"value": 0.5}
    assert keras.initializers.deserialize(config).value == 0.5

    class Mine(keras.initializers.Constant):
        pass

    with pytest.raises(ValueError, match=r"Mine is not registered.*keras.saving.register_keras_serializable"):
        plain(Mine(0.5))


GETTERS = {
    "exploration": (
        exploration.get,
        "ActionNoise, EpsilonGreedy, OrnsteinUhlenbeckNoise, Sampling, constant, decay, greedy, ornstein_uhlenbeck, random, "
        "random_decay",
    ),
    "memory": (
        memories.get,
        "Hindsight, Prioritized, Recent, RecentEpisodes, Replay, ReplayEpisodes, ReplaySequences, Rollout",
    ),
    "objective": (
        objectives.get,
        "ActionValueObjective, BehaviorCloningObjective, ClippedPolicyObjective, DeterministicPolicyGradientObjective, "
        "NullObjective, PlusObjective, PolicyGradientObjective, SoftActorCriticObjective, StateValueObjective",
    ),
    "update": (update.get, "Update"),
    "reward_estimation": (reward_estimation.get, "RewardEstimation"),
    "schedule": (
        lambda x: schedules.SCHEDULES.get(x),
        "Constant, Cosine, Exponential, Interval, InverseTime, Linear, NaturalExponential, OrnsteinUhlenbeck, Piecewise, "
        "Polynomial, Random",
    ),
    "target": (lambda x: optimizers.TARGETS.get(x), "Target"),
    "network": (lambda x: networks.get(x, None), "Auto, CNN, Impala, Layered, Legacy, MLP"),
    "policy": (
        lambda x: role.ROLES.get(x, "policy"),
        "ActionValue, ConstantPolicy, DeterministicPolicy, RandomPolicy, SharedStateValue, StateValue, "
        "StochasticPolicy, Temperature, ValuePolicy",
    ),
}


@pytest.mark.parametrize("kind", GETTERS)
def test_every_kind_of_part_says_what_it_knows(kind):
    assert kagent.Agent  # with which policies and critics register
    get, known = GETTERS[kind]
    with pytest.raises(ValueError, match=rf"Unknown `{kind}`. Received: 'nothing like it'. Known: ") as raised:
        get("nothing like it")
    named = str(raised.value).partition("Known: ")[2].rstrip(".").split(", ")
    assert named == sorted(named) and set(known.split(", ")) <= set(named)  # other tests register parts of their own


@pytest.mark.parametrize("part", [*sorted(set(GETTERS) - {"schedule", "network"}), "critic", "optimizer"])
def test_an_agent_says_which_part_is_unknown(part):
    received = "nothing" if part != "optimizer" else {"type": "nothing"}
    with pytest.raises(ValueError, match=rf"Unknown `{part}`. Received: 'nothing'. Known: "):
        kagent.SAC("Pendulum-v1", **{"memory": 500, part: received})


def test_an_agents_schedules_and_networks_are_named_too():
    with pytest.raises(
        ValueError,
        match=r"Unknown `network`. Received: 'mpl'. Known: Auto, CNN, Impala, Layered, Legacy, MLP. Did you mean 'MLP'",
    ):
        kagent.DQN("CartPole-v1", network="mpl")
    with pytest.raises(
        ValueError, match=r"Unknown `learning_rate`. Received: 'linea'. Known: Constant, .*, Linear, .*. Did"
    ):
        kagent.DQN("CartPole-v1", memory=100, learning_rate={"type": "linea", "initial": 1, "final": 0})
    with pytest.raises(ValueError, match=r"Unknown `objective.clip_range`. Received: 'cosinus'"):
        kagent.PPO("CartPole-v1", clip_range={"type": "cosinus"})


PARTS = {
    "objectives": (objectives.OBJECTIVES, objectives.ActionValueObjective, lambda made: {"objective": made}),
    "memories": (memories.MEMORIES, memories.Replay, lambda made: {"memory": {**made, "capacity": 50}}),
    "explorations": (exploration.EXPLORATIONS, kagent.EpsilonGreedy, lambda made: {"exploration": made}),
    "policies": (kagent.policies.ROLES, kagent.policies.ValuePolicy, lambda made: {"policy": made}),
    "networks": (networks.NETWORKS, networks.MLP, lambda made: {"network": {**made, "units": [4]}}),
    "preprocessing": (
        kagent.preprocessing.LAYERS, kagent.preprocessing.Clipping,
        lambda made: {"preprocessing": {"reward": {**made, "upper": 1.0}}},
    ),
    "schedules": (schedules.SCHEDULES, schedules.Constant, lambda made: {"discount": {**made, "value": 0.5}}),
    "targets": (optimizers.TARGETS, optimizers.Target, lambda made: {"target": made}),
}  # fmt: skip


@pytest.mark.parametrize("kind", PARTS)
def test_one_decorator_for_parts_of_every_kind(kind, monkeypatch, tmp_path):
    registry, base, arguments = PARTS[kind]
    for name in ("_classes", "_names"):
        monkeypatch.setattr(registry, name, dict(getattr(registry, name)))
    own = kagent.register_part(f"short_{kind}")(type(f"Own{base.__name__}", (base,), {"__module__": __name__}))
    assert registry.name_of(f"Short-{kind}") == own.__name__ and own.__name__ in registry.names
    small = {} if kind == "policies" else {"network": {"type": "mlp", "units": [4]}}
    given = {"memory": 50, "batch_size": 8, "seed": 0} | small | arguments({"type": f"short_{kind}"})
    agent = kagent.DQN(observation_space=CARTPOLE[0], action_space=CARTPOLE[1], **given)
    assert f"'{own.__name__}'" in str(agent.get_config())
    agent.save(tmp_path / "a.keras")
    again = kagent.load(tmp_path / "a.keras")
    assert again.get_config() == agent.get_config()
    with pytest.raises(ValueError, match=rf"of `{registry.kind}` is that of kagent\..*{base.__name__} already"):
        kagent.register_part(base.__name__)(type("Other", (base,), {"__module__": __name__}))


def test_what_is_no_part_is_not_registered_as_one():
    for wrong in (int, keras.layers.Dense):
        with pytest.raises(TypeError, match=r"register_part decorates a class derived from a part of kagent's"):
            kagent.register_part("wrong")(wrong)
