"""How arguments for optimizers are read, and refused."""

import json

import keras
import pytest

import kagent
from kagent import optimizers, schedules
from kagent.optimizers import (
    ClippingStep,
    DoublecheckStep,
    LinesearchStep,
    MultiStep,
    NaturalGradient,
    SubsamplingStep,
    Target,
    synchronization,
)

LINEAR = {"type": "linear", "initial": 1.0, "final": 5.0, "steps": 4, "unit": "updates"}
ALL = {
    "multi_step": 10,
    "subsampling_fraction": 0.33,
    "clipping_threshold": 0.5,
    "clipping_mode": "norm",
    "linesearch_iterations": 4,
    "linesearch_backtracking": 0.5,
}
CHAIN = (ClippingStep(0.5, "norm"), MultiStep(10), SubsamplingStep(0.33), LinesearchStep(4, 0.5))
FORMS = [
    ({"type": "adam", **ALL}, CHAIN),
    ({"type": "adam", "doublecheck_update": True}, (DoublecheckStep(),)),
    ({"type": "adam", **ALL, "doublecheck_update": True}, CHAIN),  # the search checks already
    ({"type": "adam", "multi_step": 1, "subsampling_fraction": 1.0, "linesearch_iterations": 0}, ()),
    ({"type": "adam", "multi_step": LINEAR}, (MultiStep(schedules.get(LINEAR)),)),
    ({"type": "adam", "subsampling_fraction": 1}, (SubsamplingStep(1),)),  # one row, not all
    ({"type": "optimizer_wrapper", "optimizer": "adam", **ALL}, CHAIN),
    ({"type": "meta_optimizer_wrapper", "optimizer": {"type": "adam"}, **ALL}, CHAIN),
    ({"optimizer": "adam", **ALL}, CHAIN),
    ({"type": "tf_optimizer", "optimizer": "adam", **ALL}, CHAIN),
    ({"type": "optimizer_wrapper", "optimizer": keras.optimizers.Adam(), **ALL}, CHAIN),
    ({"type": "optimizer_wrapper", "optimizer": 1e-3, **ALL}, CHAIN),
    ({"type": "multi_step", "num_steps": 3, "optimizer": "adam"}, (MultiStep(3),)),
    ({"type": "subsampling_step", "fraction": 4, "optimizer": "adam"}, (SubsamplingStep(4),)),
    ({"type": "clipping_step", "threshold": 1.0, "mode": "value", "optimizer": "adam"}, (ClippingStep(1.0, "value"),)),
    ({"type": "linesearch_step", "max_iterations": 3, "optimizer": "adam"}, (LinesearchStep(3, 0.75),)),
    ({"type": "optimizing_step", "ls_max_iterations": 3, "backtracking_factor": 0.5, "optimizer": "adam"},
     (LinesearchStep(3, 0.5),)),
    ({"type": "doublecheck_step", "optimizer": "adam"}, (DoublecheckStep(),)),
    ({"type": "multi_step", "num_steps": 3, "optimizer": {"type": "clipping_step", "threshold": 1.0, "optimizer": {
        "type": "adam", "subsampling_fraction": 0.5}}}, (MultiStep(3), ClippingStep(1.0), SubsamplingStep(0.5))),
    ({"type": "multi_step", "num_steps": 3, "optimizer": {"type": "optimizer_wrapper", "multi_step": 2, "optimizer": {
        "type": "doublecheck_step", "optimizer": "adam"}}}, (MultiStep(3), MultiStep(2), DoublecheckStep())),
]  # fmt: skip


@pytest.mark.parametrize("identifier, chain", FORMS)
def test_modifiers_in_their_forms(identifier, chain):
    assert optimizers.modifiers_of(identifier) == chain
    made, rate = optimizers.get(identifier, "critic")
    assert isinstance(made, keras.optimizers.Adam) and rate is None
    config = json.loads(json.dumps(optimizers.serialize(identifier)))
    assert optimizers.modifiers_of(config) == chain
    assert type(optimizers.get(config, "critic")[0]) is type(made)


def test_arguments_reach_the_optimizer_inside():
    spec = {
        "type": "multi_step",
        "num_steps": 3,
        "optimizer": {"type": "sgd", "learning_rate": LINEAR, "momentum": 0.5},
    }
    made, rate = optimizers.get(spec, "policy")
    assert type(made) is keras.optimizers.SGD and made.momentum == 0.5 and rate == schedules.get(LINEAR)
    made, rate = optimizers.get({"optimizer": "sgd", "learning_rate": 0.5, "momentum": 0.25, "multi_step": 2}, "policy")
    assert float(made.learning_rate.numpy()) == 0.5 and made.momentum == 0.25
    made, _ = optimizers.get({"type": "adam", "gradient_norm_clipping": 0.5}, "policy")
    assert made.global_clipnorm == 0.5
    assert type(optimizers.get("adamw", "policy")[0]) is keras.optimizers.AdamW
    assert type(optimizers.get("natural_gradient", "policy")[0]) is NaturalGradient


def test_a_natural_gradient_searches_by_itself():
    flat = {"type": "natural_gradient", "linesearch_iterations": 3, "linesearch_backtracking": 0.5, "multi_step": 2}
    nested = {"type": "natural_gradient"}
    nested = {"type": "linesearch_step", "max_iterations": 3, "backtracking_factor": 0.5, "optimizer": nested}
    nested = {"type": "multi_step", "num_steps": 2, "optimizer": nested}
    wrapped = {"optimizer": "natural_gradient", **{k: v for k, v in flat.items() if k != "type"}}
    for spec in (flat, nested, wrapped):
        made, _ = optimizers.get(spec, "policy")
        assert (made.linesearch_iterations, made.linesearch_backtracking) == (3, 0.5)
        assert optimizers.modifiers_of(spec) == (MultiStep(2),)


@pytest.mark.parametrize(
    "identifier, error, message",
    [
        ({"type": "adam", "multi_step": 0}, ValueError, r"`optimizer.multi_step` must be in \[1.0, 1048576.0\]. Received: 0"),
        ({"type": "adam", "multi_step": 10**9}, ValueError, r"multi_step` must be in \[1.0, 1048576.0\]. Received: 1000000000"),
        ({"type": "adam", "linesearch_iterations": 10**9}, ValueError, r"linesearch_iterations` must be in \[0.0, 1048576.0\]"),
        ({"type": "evolutionary", "num_samples": 10**9}, ValueError, r"num_samples` must be at most 1048576"),
        ({"type": "natural_gradient", "cg_max_iterations": 10**9}, ValueError, r"cg_max_iterations` must be at most 1048576"),
        ({"type": "natural_gradient", "linesearch_iterations": 10**9}, ValueError, r"linesearch_iterations` must be at most"),
        ({"type": "adam", "multi_step": 1.5}, ValueError, r"multi_step` must be an integer >= 1 or a sch.*Received: 1.5"),
        ({"type": "adam", "multi_step": "2"}, TypeError, r"multi_step` must be a number or a schedule.*Received: '2'"),
        ({"type": "adam", "multi_step": {**LINEAR, "initial": 0.0}}, ValueError, r"multi_step` must be in \[1.0, 1048576"),
        ({"type": "adam", "subsampling_fraction": 0}, ValueError, r"subsampling_fraction` must be an int.*Received: 0"),
        ({"type": "adam", "subsampling_fraction": 0.0}, ValueError, r"subsampling_fraction` must be .*Received: 0.0"),
        ({"type": "adam", "subsampling_fraction": 1.5}, ValueError, r"subsampling_fraction` must be in .*Received: 1.5"),
        ({"type": "adam", "subsampling_fraction": True}, TypeError, r"subsampling_fraction` must be .*Received: True"),
        ({"type": "adam", "clipping_threshold": 0.0}, ValueError, r"clipping_threshold` must be > 0. Received: 0.0"),
        ({"type": "adam", "clipping_mode": "all"}, ValueError, r"clipping_mode` must be one of .*'norm'.*Received: 'all'"),
        ({"type": "adam", "linesearch_iterations": -1}, ValueError, r"linesearch_iterations` must be in .*Received: -1"),
        ({"type": "adam", "linesearch_backtracking": 1.0}, ValueError, r"linesearch_backtracking` must be in \(0.0, 1.0\)"),
        ({"type": "adam", "doublecheck_update": 1}, TypeError, r"doublecheck_update` must be True or F.*Received: 1"),
        ({"type": "adam", "multistep": 3}, ValueError, r"Adam of 'policy' refuses.*no \['multistep'\]. Known: .*'multi_st"),
        ({"type": "natural_gradient", "beta_1": 3}, ValueError, r"no \['beta_1'\]. Known: .*'cg_damping'.*'multi_step'"),
        ({"type": "multi_step", "optimizer": "adam"}, ValueError, r"`optimizer` MultiStep needs \['num_steps'\]"),
        ({"type": "multi_step", "num_steps": 3}, ValueError, r"'multi_step' needs an 'optimizer' inside"),
        ({"type": "multi_step", "num_step": 3, "optimizer": "adam"}, ValueError, r"no argument \['num_step'\]. Known: \['n"),
        ({"type": "optimizer_wrapper"}, ValueError, "'optimizer_wrapper' needs an 'optimizer' inside"),
        ({"optimizer": {"type": "adam", "multi_step": 2}, "multi_step": 3}, ValueError, r"\['multi_step'\] in the wrapper"),
        ({"optimizer": keras.optimizers.Adam(), "learning_rate": 3}, ValueError, r"\['learning_rate'\] beside an opt"),
        ({"type": "plus", "optimizer1": "adam"}, ValueError, "'plus' is not supported: it runs two optimizers"),
        ("global_optimizer", ValueError, "'global_optimizer' is not supported: it hands gradients to a global model"),
        ("synchronization", ValueError, "'synchronization' is not supported: it is how a target follows"),
        ({"type": "adam", "gradient_norm_clipping": 1.0, "global_clipnorm": 1.0}, ValueError, "another name of"),
        ({"type": "multi_step", "num_steps": 3, "optimizer": "adamm"}, ValueError,
         r"Unknown `optimizer`. Received: 'adamm'. Known: .*MultiStep, .*NaturalGradient, .*optimizer_wrapper"),
        ({"type": "multi_step", "num_steps": 3, "optimizer": [1]}, TypeError, r"An optimizer must be .*Received: "),
    ],
)  # fmt: skip
def test_wrong_ones_are_named(identifier, error, message):
    with pytest.raises(error, match=message):
        optimizers.get(identifier, "policy")
    with pytest.raises(error, match=message):
        kagent.DQN("CartPole-v1", memory=500, optimizer=identifier)


# Synchronization -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "identifier, target",
    [
        ("synchronization", Target(1.0, 1, "updates")),
        ({"type": "synchronization"}, Target(1.0, 1, "updates")),
        ({"type": "synchronization", "update_weight": 0.01}, Target(0.01, 1, "updates")),
        ({"type": "Synchronization", "sync_frequency": 4}, Target(1.0, 4, "updates")),
        ("adam", None), ({"type": "adam"}, None), (0.5, None), (None, None), ({"learning_rate": 1}, None),
        (Target(), None),
    ],
)  # fmt: skip
def test_synchronization_is_a_target(identifier, target):
    assert synchronization(identifier) == target


def test_wrong_synchronization_is_named():
    with pytest.raises(ValueError, match=r"`tau` must be in \(0, 1\], or a schedule. Received: 0"):
        synchronization({"type": "synchronization", "update_weight": 0})
    with pytest.raises(ValueError, match=r"`baseline_optimizer` Target has no argument \['frequency'\]"):
        synchronization({"type": "synchronization", "frequency": 3})


def test_a_rate_may_be_a_schedule_without_more():
    """Of Adam, as a number is."""
    decay = keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.5)
    linear = {"type": "linear", "unit": "updates", "num_steps": 10, "initial_value": 0.1, "final_value": 0.0}
    for given, expected in ((decay, 0.05), (linear, 0.0), (kagent.schedules.Linear(0.2, 0.1, 10, "updates"), 0.1)):
        optimizer, rate = optimizers.get(given, "policy")
        assert type(optimizer) is optimizers.FlatAdam and optimizers.modifiers_of(given) == ()
        assert rate(kagent.schedules.Clock(updates=10)) == pytest.approx(expected)
        again = json.loads(json.dumps(optimizers.serialize(given)))
        assert optimizers.get(again, "policy")[1](kagent.schedules.Clock(updates=10)) == pytest.approx(expected)
