"""`agent.summary()`: what a Keras user expects of it."""

import re

import gymnasium
import h5py
import numpy as np
import pytest
from gymnasium import spaces

import kagent


def printed(agent, **arguments):
    lines = []
    agent.summary(print_fn=lambda text, line_break=None: lines.append(text), **arguments)
    return "\n".join(lines)


def count(variables):
    return int(sum(np.prod(variable.shape) for variable in variables))


ROLES = {
    "dqn": {"policy": "ValuePolicy", "target_policy": "ValuePolicy"},
    "ppo": {"policy": "StochasticPolicy", "critic": "StateValue"},
    "sac": {
        "policy": "StochasticPolicy", "critic": "ActionValue", "target_critic": "ActionValue",
        "temperature": "Temperature",
    },
}  # fmt: skip


@pytest.mark.parametrize("kind", ROLES)
def test_every_role_with_its_shape_and_its_parameters(small, kind):
    agent = small(kind)
    text = printed(agent)
    assert f'Model: "{kind}"' in text
    for role, cls in ROLES[kind].items():
        (row,) = re.findall(rf"^.*\b{role} \({cls}\).*$", text, re.MULTILINE)
        assert f"{count(getattr(agent, role).variables):,}" in row
        assert "?" not in row
    assert "unbuilt" not in text
    trainable = count(agent.trainable_variables)
    assert re.search(rf"Trainable params: {trainable:,} ", text)
    targets = [v for name in ROLES[kind] if name.startswith("target") for v in getattr(agent, name).variables]
    assert re.search(rf"Non-trainable params: {count(targets):,} ", text)


def test_a_target_is_not_trainable_and_nothing_is_counted_twice(small):
    for kind in ROLES:
        agent = small(kind)
        assert len({id(v) for v in agent.variables}) == len(agent.variables)
        assert not {id(v) for v in agent.trainable_variables} & {
            id(v) for name in ROLES[kind] if name.startswith("target") for v in getattr(agent, name).variables
        }


def test_a_nested_agent_can_be_shown():
    agent = kagent.PPO(
        observation_space=spaces.Dict(a=spaces.Box(-1, 1, (3,)), b=spaces.Discrete(4)),
        action_space=spaces.Tuple((spaces.Discrete(2), spaces.Box(-1, 1, (2,)))),
    )
    text = printed(agent)
    assert "policy (StochasticPolicy)" in text and "critic (StateValue)" in text


@pytest.mark.parametrize("kind", ROLES)
def test_expand_nested_shows_the_layers_inside_every_role(small, kind):
    agent = small(kind)
    text = printed(agent, expand_nested=True)
    networks = {"policy", "critic"} & set(ROLES[kind])
    targets = {role for role in ROLES[kind] if role.startswith("target")}
    members = {"ActionValue": 2}
    dense = sum(members.get(ROLES[kind][role], 1) for role in networks | targets)
    assert len(re.findall(r"└ dense_0 \(Dense\)", text)) == dense
    assert "└ dense" not in printed(agent)


def test_what_a_summary_shows_is_not_saved_twice(small, tmp_path):
    agent = small("sac")
    saved = []
    for name in ("before", "after"):
        path = tmp_path / f"{name}.weights.h5"
        agent.save_weights(path)
        with h5py.File(path) as file:
            file.visit(lambda entry, into=saved.append, of=name: into((of, entry)))
        printed(agent, expand_nested=True)
    before, after = ([entry for of, entry in saved if of == name] for name in ("before", "after"))
    assert before == after and len(before) > 20
    assert not hasattr(agent.policy, "layers")


def test_it_changes_nothing(small):
    agent = small("dqn")
    before = [v.numpy() for v in agent.variables]
    printed(agent)
    agent.fit(gymnasium.make("CartPole-v1"), steps=8, verbose=0)  # too few for an update
    for variable, value in zip(agent.variables, before, strict=True):
        np.testing.assert_array_equal(variable, value)


def test_parameters_of_the_tuned_cartpole_network_are_those_of_the_textbook():
    agent = kagent.DQN("CartPole-v1", network={"type": "mlp", "units": [256, 256]})
    expected = 4 * 256 + 256 + 256 * 256 + 256 + 256 * 2 + 2
    assert count(agent.trainable_variables) == expected == agent.policy.count_params()
