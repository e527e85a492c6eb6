"""Parts of a user's own class: registered with Keras they are saved and loaded; else the constructor says so."""

import dataclasses

import keras
import numpy as np
import pytest

import kagent
from kagent import exploration, memories, networks, objectives, optimizers, reward_estimation, schedules, update
from kagent.config import creation
from kagent.policies.value import ValuePolicy
from kagent.preprocessing import layer as preprocessing_layer

CARTPOLE = "CartPole-v1"


@dataclasses.dataclass(frozen=True)
class Rate(schedules.Schedule):
    value: float = 0.25
    unit = "timesteps"

    def __call__(self, clock):
        return self.value

    @property
    def bounds(self):
        return self.value, self.value


class Careful(exploration.EpsilonGreedy):
    pass


class Values(objectives.ActionValueObjective):
    pass


class Kept(memories.Replay):
    pass


class Policy(ValuePolicy):
    pass


class Network(networks.MLP):
    pass


class Rule(update.Update):
    pass


class Estimation(reward_estimation.RewardEstimation):
    pass


class Following(optimizers.Target):
    pass


@dataclasses.dataclass(frozen=True)
class Scaled(preprocessing_layer.Layer):
    factor: float = 2.0

    def bind(self, space):
        box = preprocessing_layer.box(space.low * self.factor, space.high * self.factor)
        return preprocessing_layer.Function(box, lambda x: x * self.factor)


class Doubled(keras.layers.Layer):
    def call(self, x):
        return 2 * x

    def compute_output_shape(self, shape):
        return shape


class KerasRate(keras.optimizers.schedules.LearningRateSchedule):
    def __call__(self, step):
        return 1e-3

    def get_config(self):
        return {}


class Slow(keras.optimizers.Adam):
    pass


def made(registered, cls):
    """A new class like `cls`, registered or not."""
    made = type(cls)(cls.__name__, (cls,), {"__module__": __name__})
    return keras.saving.register_keras_serializable("user_parts")(made) if registered else made


CASES = {
    "schedule": (Rate, lambda cls: {"learning_rate": cls(0.5)}),
    "weight": (Rate, lambda cls: {"l2_regularization": cls(0.5)}),
    "exploration": (Careful, lambda cls: {"exploration": cls(0.5, 0.1)}),
    "schedule in an exploration": (Rate, lambda cls: {"exploration": exploration.ActionNoise(cls(0.5))}),
    "objective": (Values, lambda cls: {"objective": cls()}),
    "memory": (Kept, lambda cls: {"memory": cls(capacity=1000)}),
    "policy": (Policy, lambda cls: {"policy": cls({"type": "mlp", "units": [4]})}),
    "network": (Network, lambda cls: {"policy": {"network": cls((4,))}}),
    "update": (Rule, lambda cls: {"update": cls(batch_size=8)}),
    "reward estimation": (Estimation, lambda cls: {"reward_estimation": cls(discount=0.9)}),
    "target": (Following, lambda cls: {"target": cls(period=7)}),
    "preprocessing": (Scaled, lambda cls: {"preprocessing": cls(3.0)}),
    "Keras preprocessing": (Doubled, lambda cls: {"preprocessing": cls()}),
    "layer": (Doubled, lambda cls: {"policy": {"network": cls()}}),
    "layer in a list": (Doubled, lambda cls: {"policy": {"network": [{"type": "dense", "size": 4}, cls()]}}),
    "Keras schedule": (KerasRate, lambda cls: {"optimizer": {"type": "adam", "learning_rate": cls()}}),
    "optimizer": (Slow, lambda cls: {"optimizer": cls(1e-2)}),
}


def agent_of(**parts):
    given = {
        "policy": {"network": {"type": "mlp", "units": [4]}}, "memory": 1000, "update": 8, "objective": "action_value",
        "reward_estimation": {"discount": 0.9}, "exploration": 0.1, "seed": 0, **parts,
    }  # fmt: skip
    rate = given.pop("learning_rate", None)
    if rate is not None:
        given["optimizer"] = {"type": "adam", "learning_rate": rate}
    return kagent.Agent(CARTPOLE, **given)


@pytest.mark.parametrize("name", CASES)
def test_a_registered_class_is_saved_and_loaded(name, tmp_path):
    base, parts = CASES[name]
    cls = made(True, base)
    agent = agent_of(**parts(cls))
    agent.save(tmp_path / "a.keras")
    same = kagent.load(tmp_path / "a.keras")
    told = repr(agent.get_config())
    assert f"user_parts>{base.__name__}" in told
    if "Keras" not in name and "layer" not in name and name != "optimizer":  # of which Keras numbers the names
        assert same.get_config() == agent.get_config()
    assert f"user_parts>{base.__name__}" in repr(same.get_config())
    observation = np.ones((5, 4), np.float32)
    assert np.asarray(same(observation)).tolist() == np.asarray(agent(observation)).tolist()


@pytest.mark.parametrize("name", sorted({*CASES} - {"optimizer"}))
def test_the_constructor_refuses_a_class_that_is_not_registered(name):
    base, parts = CASES[name]
    with pytest.raises((TypeError, ValueError), match=r"keras\.saving\.register_keras_serializable"):
        agent_of(**parts(made(False, base)))


def test_parts_know_their_configuration():
    # Which is what Keras asks of a class before it registers it.
    for one in (
        exploration.EpsilonGreedy(0.5),
        schedules.Linear(1, 0),
        update.Update(),
        memories.Replay(5),
        networks.MLP((3,)),
    ):
        config = one.get_config()
        assert "type" not in config and type(one).from_config(config).get_config() == config
    assert memories.Replay(5).get_config() == {"capacity": 5, "saved": True}
    mlp = {"units": [3], "activation": "relu", "initialization": "fan_in", "normalization": None}
    assert networks.MLP((3,)).get_config() == mlp


def test_a_registered_class_of_another_kind_is_no_part():
    cls = made(True, Careful)
    name = f"user_parts>{cls.__name__}"
    assert exploration.get({"type": name, "final": 0.2}) == cls(final=0.2)
    for get in (memories.get, objectives.get, schedules.get):
        with pytest.raises(ValueError, match=r"Unknown|needs"):
            get({"type": name})
    with pytest.raises(ValueError, match="Unknown `exploration`"):
        exploration.get({"type": "user_parts>Nothing"})
    with pytest.raises(ValueError, match="Unknown `exploration`"):
        exploration.get({"type": "kagent>DQN"})


def test_what_an_optimizer_cannot_tell_is_refused_at_once():
    class Untold(keras.optimizers.schedules.LearningRateSchedule):
        def __call__(self, step):
            return 1e-3

    with pytest.raises(ValueError, match=r"could not be saved"):
        agent_of(optimizer=keras.optimizers.Adam(Untold()))
    agent = agent_of()
    with pytest.raises(ValueError, match=r"could not be saved"):
        agent.compile(optimizer=keras.optimizers.Adam(Untold()))


def test_a_preset_of_ones_own_sets_its_arguments_as_a_keras_model_does():
    """Behind `super().__init__`; what cannot be saved is refused at the end of its constructor."""

    @keras.saving.register_keras_serializable("mine")
    class Scaled(kagent.DQN):
        def __init__(self, env=None, *, scale=2.0, **arguments):
            super().__init__(env, **arguments)
            self.scale = scale

        def get_config(self):
            return {**super().get_config(), "scale": self.scale}

    agent = Scaled(CARTPOLE, scale=3.0, memory=100, network={"type": "mlp", "units": [4]}, seed=0)
    assert agent.get_config()["scale"] == Scaled.from_config(agent.get_config()).scale == 3.0

    class Further(Scaled):
        def get_config(self):
            return {**super().get_config(), "lacking": self.lacking}

    with pytest.raises(ValueError, match=r"could not be saved.*no attribute 'lacking'"):
        Further(CARTPOLE, memory=100, network={"type": "mlp", "units": [4]})


def test_decorators_stand_without_parentheses(monkeypatch):
    for table in ("AGENTS", "SUMMARIES"):
        monkeypatch.setattr(creation, table, dict(getattr(creation, table)))

    @kagent.register_part
    @dataclasses.dataclass(frozen=True)
    class Bare(Rate):
        value: float = 0.5

    @kagent.register_agent
    class BareAgent(kagent.Random):
        pass

    @objectives.OBJECTIVES.register
    @dataclasses.dataclass(frozen=True)
    class BareObjective(objectives.ActionValueObjective):
        pass

    assert schedules.get({"type": "bare", "value": 0.25}, "x").value == 0.25
    assert type(kagent.Agent.create("bare_agent", CARTPOLE)) is BareAgent
    assert type(objectives.get("bare_objective")) is BareObjective
    with pytest.raises(TypeError, match=r"register_part decorates a class.*Received: <class 'int'>"):
        kagent.register_part(int)
    with pytest.raises(TypeError, match=r"register_agent decorates a class.*Received: <class 'int'>"):
        kagent.register_agent(int)
