"""Specifications in Tensorforce's words: what each of them becomes."""

import math
import re
import warnings
from pathlib import Path

import keras
import numpy as np
import pytest

from kagent import update as updates
from kagent.compat import tensorforce
from kagent.compat.tensorforce.translation import Context, presets, settings, translate
from kagent.compat.tensorforce.translation import layers as layer_words
from kagent.compat.tensorforce.translation import optimizers as optimizer_words
from kagent.compat.tensorforce.translation.estimation import ProcessedEstimation
from kagent.compat.tensorforce.translation.keras_layers import Clip, SelfAttention
from kagent.compat.tensorforce.translation.networks import network
from kagent.compat.tensorforce.translation.parameters import PARAMETERS, Changed, parameter
from kagent.compat.tensorforce.translation.words import is_older
from kagent.schedules import Clock

ROOT = Path(__file__).parents[2]
BOUNDED = {"type": "float", "shape": (3,), "min_value": -1.0, "max_value": 1.0}
STATES = {"eye": {"type": "float", "shape": (4, 4, 2)}, "gear": {"type": "int", "shape": (2,), "num_values": 3}}
ACTIONS = {"steer": {"type": "float", "min_value": -1.0, "max_value": 1.0}, "shift": {"type": "int", "num_values": 3}}


def made(agent, spec, states=BOUNDED, actions=None, limit=20):
    context = Context(states, {"type": "int", "num_values": 2} if actions is None else actions, limit)
    kind, arguments = translate(agent, spec, context)
    return kind, arguments, context


GENERAL = {"update": 8, "objective": "policy_gradient", "reward_estimation": {"horizon": 4}}


def general(states=BOUNDED, actions=None, **changes):
    return made("tensorforce", {**GENERAL, **changes}, states, actions)[1:]


@pytest.mark.parametrize(
    ("spec", "older"),
    [
        ({"network": "auto"}, False),
        ({"critic_network": "auto"}, True),
        ({"critic_network": "auto", "multi_step": 3}, False),
        ({"reward_estimation": {"horizon": 0}}, True),
        ({"reward_estimation": {"horizon": 1}}, False),
        ({"reward_estimation": {"horizon": 1, "estimate_horizon": "early"}}, True),
        ({"critic_optimizer": {"type": "multi_step", "num_steps": 2}, "preprocessing": None}, False),
        ({"critic_optimizer": {"type": "multi_step", "optimizer": "adam"}, "preprocessing": None}, True),
        ({"objective": "det_policy_gradient"}, True),
        ({"network": [{"type": "internal_lstm", "size": 3}]}, True),
    ],
)
def test_versions_are_known_by_their_words(spec, older):
    assert is_older(spec) is older


def test_ppo_counts_episodes_and_has_the_defaults_of_its_version():
    newer = made("ppo", {"batch_size": 5})[1]
    assert newer["update"] == {"unit": "episodes", "batch_size": 5, "frequency": 1.0}
    assert newer["objective"] == {"type": "policy_gradient", "importance_sampling": True, "clipping_value": 0.25}
    assert newer["optimizer"] == {"type": "adam", "learning_rate": 1e-3, "multi_step": 10, "subsampling_fraction": 0.33}
    assert newer["preprocessing"] == {"state": ["linear_normalization"]}
    assert newer["reward_estimation"]["horizon"] == "episode" and newer["memory"] == {"type": "recent"}
    older = made("ppo", {"critic_network": "auto", "critic_optimizer": "adam", "optimization_steps": 3})[1]
    assert older["update"] == {"unit": "episodes", "batch_size": 10}
    assert older["optimizer"]["multi_step"] == 3 and older["optimizer"]["learning_rate"] == 3e-4
    assert older["baseline_policy"]["type"] == "StateValue" and older["baseline_objective"]["type"] == "state_value"
    assert older["optimizer"]["global_clipnorm"] == 1.0 and "preprocessing" not in older


def test_words_of_the_versions_in_between():
    clipped = {"type": "clipping", "upper": 1.0}
    of_old, of_new = (
        made("ppo", {"batch_size": 2, name: clipped})[1] for name in ("reward_preprocessing", "reward_processing")
    )
    assert of_old == of_new and of_old["preprocessing"]["reward"] == [clipped]
    trust = {"type": "natural_gradient", "learning_rate": 0.1, "return_improvement_estimate": True}
    wrapper = {"type": "update_modifier_wrapper", "optimizer": trust, "multi_step": 2}
    own, context = general(optimizer={"type": "linesearch_step", "optimizer": wrapper, "accept_ratio": 0.9})
    inner = own["optimizer"]["optimizer"]
    assert inner["type"] == "natural_gradient" and inner["multi_step"] == 2
    assert all(word in "".join(context.notes) for word in ("'accept_ratio'", "'return_improvement_estimate'"))


def test_dqn_has_no_huber_loss_and_follows_at_every_update():
    found = made("dqn", {"memory": 100, "batch_size": 8, "update_frequency": 0.5, "start_updating": 16})[1]
    assert found["objective"] == {"type": "action_value", "huber": None}
    assert found["update"] == {
        "type": "GrowingUpdate", "unit": "timesteps", "batch_size": 8, "frequency": 0.5, "start": 16
    }  # fmt: skip
    assert found["baseline_optimizer"] == {"type": "synchronization", "update_weight": 1.0, "sync_frequency": 1}
    assert found["policy"]["dueling"] is False and found["reward_estimation"]["horizon"] == 0
    assert made("dueling_dqn", {"memory": 100, "batch_size": 8})[1]["policy"]["dueling"] is True
    assert made("double_dqn", {"memory": 100, "batch_size": 8})[1]["reward_estimation"]["estimate_actions"] is True


def test_agents_of_critics():
    ac, a2c = (made(name, {"batch_size": 4})[1] for name in ("ac", "a2c"))
    assert not ac["reward_estimation"].get("estimate_advantage") and a2c["reward_estimation"]["estimate_advantage"]
    assert ac["baseline_optimizer"] == 1.0 and ac["baseline_policy"]["type"] == "StateValue"
    dpg = made("dpg", {"memory": 100, "batch_size": 4}, actions={"type": "float", "min_value": -1.0, "max_value": 1.0})[
        1
    ]
    assert dpg["policy"]["type"] == "DeterministicPolicy" and dpg["exploration"] == 0.1
    assert dpg["baseline_policy"]["type"] == "ActionValue" and dpg["baseline_policy"]["members"] == 1
    trpo = made("trpo", {"batch_size": 4, "learning_rate": 0.1})[1]["optimizer"]
    assert trpo["type"] == "natural_gradient" and trpo["learning_rate"] == pytest.approx(0.01)
    assert made("constant", {"action_values": 1})[:2] == ("constant", {"action_values": 1, "max_episode_timesteps": 20})


@pytest.mark.parametrize(
    ("agent", "spec", "error"),
    [
        ("ppo", {}, "`batch_size` is required"),
        ("ppo", {"batch_size": 2, "baseline": "auto"}, "`baseline_optimizer` is required"),
        ("ppo", {"batch_size": 2, "nonsense": 1}, r"has no argument \['nonsense'\]"),
        ("dqn", {"batch_size": 2}, "`memory` is required"),
        ("tensorforce", {"update": 4, "objective": "policy_gradient"}, "`reward_estimation` is required"),
        ("tensorforce", {**GENERAL, "objective": "sac"}, "no type 'sac'"),
        ("tensorforce", {**GENERAL, "reward_estimation": {"horizon": 1.5}}, "."),
        ("tensorforce", {**GENERAL, "reward_estimation": {"horizon": 2, "return_processing": "image"}}, "must be"),
        ("tensorforce", {**GENERAL, "reward_estimation": {"horizon": 2, "gamma": 1}}, "gamma"),
        ("tensorforce", {**GENERAL, "policy": "other.module.Network"}, "not imported by its name"),
        ("tensorforce", {**GENERAL, "policy": dict}, "Allowed: a class of Keras's layers or models, a list of layers"),
        (
            "tensorforce",
            {**GENERAL, "objective": {"type": "plus", "objective1": "policy_gradient", "objective2": "action_value"}},
            "cannot add action_value and policy_gradient.*Allowed: 'policy_gradient' with baseline_objective='action_value'",
        ),
        ("tensorforce", {**GENERAL, "policy": [{"type": "function", "function": "x + 1"}]}, "not run as code"),
        ("tensorforce", {**GENERAL, "policy": [{"type": "dense", "width": 3}]}, "width"),
        ("tensorforce", {**GENERAL, "memory": "prioritized"}, "Allowed: 'replay', 'recent'"),
        ("tensorforce", {**GENERAL, "exploration": {"steer": 0.1}}, "steer"),
        ("tensorforce", {**GENERAL, "config": {"other": 1}}, "other"),
        (
            "tensorforce",
            {**GENERAL, "optimizer": {"type": "plus", "optimizer1": "adam", "optimizer2": "evolutionary"}},
            "plus adds the steps of two optimizers of Keras's",
        ),
        ("tensorforce", {**GENERAL, "optimizer": {"type": "plus", "optimizer1": "adam"}}, r"needs \['optimizer2'\]"),
        ("tensorforce", {**GENERAL, "state_preprocessing": "dense"}, "no layer 'dense'"),
        ("tensorforce", {**GENERAL, "exploration": {"type": "cosine_restarts"}}, "is gone"),
    ],
)
def test_words_that_are_refused(agent, spec, error):
    with pytest.raises((ValueError, TypeError), match=error):
        made(agent, spec)


def test_an_automatic_network_of_several_states():
    context = Context(STATES, ACTIONS)
    layers = network(
        {"type": "auto", "size": 5, "depth": 2, "final_size": 6, "final_depth": 2, "rnn": 3}, context, "n"
    )["layers"]
    kinds = [layer["type"] for layer in layers]
    assert kinds == [
        "retrieve", "conv2d", "conv2d", "pooling", "register",
        "retrieve", "reshape", "dense", "conv1d", "pooling", "register",
        "retrieve", "dense", "dense", "internal_lstm",
    ]  # fmt: skip
    assert layers[6]["shape"] == [2, 3] and layers[-2]["size"] == layers[-1]["size"] == 6


def test_layers_by_their_names():
    def of(*layers, older=False, states=BOUNDED):
        context = Context(states, {"type": "int", "num_values": 2}, older=older)
        return network(list(layers), context, "network")["layers"]

    assert of({"type": "dense", "size": 3}) == [{"type": "dense", "size": 3, "activation": "tanh"}]
    assert of({"type": "dense", "size": 3}, older=True)[0]["activation"] == "relu"
    assert of({"type": "lstm", "size": 3, "horizon": 4}) == [{"type": "internal_lstm", "size": 3}]
    assert isinstance(of({"type": "lstm", "size": 3}, older=True)[0], keras.layers.LSTM)
    transposed = of({"type": "deconv1d", "size": 3}, states={"type": "float", "shape": (4, 2)})[0]
    assert isinstance(transposed, keras.layers.Conv1DTranspose)
    assert of({"type": "retrieve", "tensors": "*"}, states=STATES) == [{"type": "retrieve", "tensors": ["eye", "gear"]}]
    scaled = of("linear_normalization")[0]
    assert isinstance(scaled, keras.layers.Rescaling) and np.allclose(
        scaled(np.array([[-1.0, 0.0, 1.0]])), [[-2.0, 0.0, 2.0]]
    )
    block = of(
        {"type": "block", "name": "b", "layers": [{"type": "dense", "size": 3}]}, {"type": "reuse", "layer": "b"}
    )
    assert block[0] is block[1]
    assert isinstance(of({"type": "keras", "layer": "Dense", "units": 2})[0], keras.layers.Dense)


@pytest.mark.parametrize("kind", ["instance_normalization", "batch_normalization", "exponential_normalization"])
def test_what_normalizations_in_networks_cannot_is_said(kind):
    for given, said in (
        ({"min_variance": 1e-4, "only_mean": False}, 0),
        ({"min_variance": 0.1}, 1),
        ({"axes": [0]}, 1),
    ):
        context = Context(BOUNDED, {"type": "int", "num_values": 2})
        network([{"type": kind, **given}], context, "network")
        assert len(context.notes) == said


def test_the_target_of_a_keras_model_is_a_copy():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    spec = {"agent": "dqn", "network": model, "memory": 50, "batch_size": 4, "config": {"seed": 0}}
    agent = tensorforce.Agent.create(spec, states=BOUNDED, actions={"type": "int", "num_values": 2}).model
    own, target = (list(role.variables) for role in (agent.policy, agent.target_policy))
    assert not {id(one) for one in own} & {id(one) for one in target}
    for one, other in zip(own, target):
        np.testing.assert_array_equal(one, other)
    assert any(one is model.layers[0].kernel for one in own)


def test_self_attention_equals_numpy():
    layer = SelfAttention(2, attention_size=3)
    x = np.random.default_rng(0).normal(size=(1, 4, 5)).astype(np.float32)
    found = layer(x).numpy()[0]
    query, key, value = (x[0] @ one.kernel.numpy() for one in (layer.query, layer.key, layer.value))
    weights = np.exp(query @ key.T / math.sqrt(3))
    expected = weights / weights.sum(axis=1, keepdims=True) @ value
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    assert Clip(lower=0.0)(np.array([-1.0, 2.0])).numpy().tolist() == [0.0, 2.0]


def test_parameters():
    time = Clock(timesteps=4, updates=4, episodes=4)
    linear = {"type": "linear", "unit": "timesteps", "num_steps": 10, "initial_value": 1.0, "final_value": 0.0}
    assert parameter({**linear, "dtype": "float"}, "x")(time) == pytest.approx(0.6)
    changed = parameter({**linear, "increasing": True, "scale": 2.0}, "x")
    assert changed(time) == pytest.approx(0.8) and changed.bounds == (0.0, 2.0)
    assert Changed(parameter(linear, "x"), inverse=True).bounds == (-math.inf, math.inf)
    pieces = {"type": "piecewise_constant", "unit": "updates", "boundaries": [0, 3], "values": [9.0, 0.2, 0.1]}
    assert [parameter(pieces, "x")(Clock(updates=n)) for n in (1, 3, 4)] == [0.2, 0.2, 0.1]
    decaying = {
        "type": "decaying",
        "decay": "exponential",
        "unit": "episodes",
        "decay_steps": 4,
        "initial_value": 1.0,
        "decay_rate": 0.5,
    }
    assert parameter(decaying, "x")(time) == 0.5
    cosine = {"type": "cosine", "unit": "updates", "num_steps": 4, "initial_value": 2.0, "alpha": 0.5}
    assert parameter(cosine, "x")(time) == 1.0
    assert parameter({"type": "constant", "value": 3}, "x") == 3
    horizon = general(reward_estimation={"horizon": {**linear, "initial_value": 2, "final_value": 4}})[0][
        "reward_estimation"
    ]
    assert horizon["horizon"](Clock(timesteps=10)) == 3.0


def test_distributions_by_name_and_type():
    policy = {"network": "auto", "distributions": {"float": {"type": "gaussian", "bounded_transform": "clipping"}}}
    found = general(actions=ACTIONS, policy=policy)[0]["policy"]
    assert found["distribution"] == {"steer": {"type": "gaussian", "stddev_mode": "predicted"}, "shift": "categorical"}
    named = {"distributions": {"steer": "beta", "shift": {"type": "categorical", "temperature_mode": "global"}}}
    arguments, context = general(actions=ACTIONS, policy=named)
    assert arguments["policy"]["distribution"] == {"steer": "beta", "shift": "categorical"}
    assert "log_std" not in arguments["policy"] and "temperature_mode" in context.notes[0]
    found = general(actions=ACTIONS)[0]["policy"]
    assert found["distribution"]["steer"]["type"] == "squashed_gaussian" and found["log_std"] == pytest.approx(
        math.log(0.25)
    )


def test_reward_estimation_with_bounds():
    words = {"horizon": 3, "estimate_advantage": True, "return_processing": {"type": "clipping", "lower": -1.0}}
    found = general(reward_estimation={**words, "advantage_processing": "batch_normalization"})[0]["reward_estimation"]
    assert found.pop("type") == "ProcessedEstimation" and found["normalize_advantages"]
    assert ProcessedEstimation(**found).return_bounds == (-1.0, None) and found["horizon"] == 2
    assert general(reward_estimation={"horizon": 50})[0]["reward_estimation"]["horizon"] == "episode"


@pytest.mark.parametrize(
    ("update", "first"),
    [
        ({"frequency": 1}, 1), ({"frequency": 0.5}, 2), ({"frequency": 1, "start": 3}, 3), ({"frequency": 6}, 6),
        ({}, 4), ({"frequency": 4}, 4), ({"frequency": 1.0}, 4),
        ({"frequency": {"type": "linear", "unit": "updates", "num_steps": 5, "initial_value": 2, "final_value": 4}}, 2),
    ],
)  # fmt: skip
def test_the_first_update_is_at_the_frequency_or_the_start(update, first):
    spec = {"unit": "episodes", "batch_size": 4, **update}
    assert updates.get(general(update=spec)[0]["update"]).first == first


def test_the_first_update_of_0_5_waits_for_a_batch():
    spec = {"unit": "episodes", "batch_size": 4, "frequency": 1}
    found = general(update=spec, preprocessing=None)[0]["update"]
    assert updates.get(found) == updates.Update(**spec) and updates.get(found).first == 4


def test_entropy_is_the_mean_over_components():
    assert general(actions=ACTIONS, entropy_regularization=0.3)[0]["entropy_regularization"] == pytest.approx(0.15)


def test_one_warning_names_all_words_without_a_meaning():
    spec = {
        **GENERAL,
        "tracking": "all",
        "policy": {"network": "auto", "distributions": {"int": {"type": "categorical", "skip_linear": True}}},
    }
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        tensorforce.Agent.create(
            spec, states=BOUNDED, actions={"type": "int", "num_values": 2}, max_episode_timesteps=9
        )
    own = [str(one.message) for one in caught if "Tensorforce" in str(one.message)]
    assert len(own) == 1 and "`tracking`" in own[0] and "`skip_linear`" in own[0]


def test_the_page_has_every_word():
    page = (ROOT / "docs/guides/coming_from/tensorforce.md").read_text(encoding="utf-8")
    page = re.sub(r"```.*?```", "", page, flags=re.DOTALL)
    words = {word for part in re.findall(r"`([^`]+)`", page) for word in re.findall(r"[\w*-]+", part)}
    arguments = {name for given in presets.ARGUMENTS.values() for name in given}
    known = {
        *presets.ARGUMENTS, *arguments, *presets.SHARED, *layer_words.LAYERS, *layer_words._SPECIAL, *PARAMETERS,
        *optimizer_words._MODIFIERS, *optimizer_words._WRAPPERS, *optimizer_words._RENAMED, *settings._OF_PROGRAMS,
    }  # fmt: skip
    assert (
        sorted(known - words - {"critic", "ls_max_iterations", "default", "input_gru", "enable_int_action_masking"})
        == []
    )
