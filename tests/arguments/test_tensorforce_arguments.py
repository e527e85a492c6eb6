"""Tensorforce's arguments: every word of its page is taken by every agent, and stands for one argument of kagent's."""

import inspect
import json

import pytest
from gymnasium import spaces

import kagent
from kagent import arguments
from kagent.cli import settings
from kagent.config import signatures

# `TensorforceAgent`'s signature on its page.
PAGE = (
    "states actions update objective reward_estimation max_episode_timesteps policy memory optimizer baseline_policy "
    "baseline_optimizer baseline_objective preprocessing exploration variable_noise l2_regularization "
    "entropy_regularization name device parallel_interactions buffer_observe seed execution saver summarizer recorder config"
).split()
SPACES = {"observation_space": spaces.Box(-1.0, 1.0, (2,)), "action_space": spaces.Discrete(2)}
PARTS = {"objective": "policy_gradient", "update": 4, "reward_estimation": {"discount": 0.9}, "memory": "recent"}
PARTS |= {"max_episode_timesteps": 8, "seed": 0, "policy": {"network": {"type": "mlp", "units": [4]}}}


def made(**changes):
    return kagent.Agent(**SPACES, **{**PARTS, **changes})


def test_the_page_is_taken_and_the_core_is_small():
    own = {name for name, p in inspect.signature(kagent.Agent.__init__).parameters.items() if p.kind is p.KEYWORD_ONLY}
    further = set(arguments.DEFAULTS)
    assert set(PAGE) <= own | further and not own & further and further <= set(PAGE)
    assert len(own) == 21 and len(further) == 15  # beside `env`
    for preset in {*kagent.agents.AGENTS.values()}:
        known = signatures.parameters(preset)
        assert set(PAGE) <= set(known) and own <= set(known)
        assert known["parallel_interactions"] in (1, None) and known["variable_noise"] == 0.0
        assert further <= set(settings.arguments(preset))


@pytest.mark.parametrize(
    ("words", "own"),
    [
        (
            {"baseline_policy": "auto", "baseline_objective": "state_value"},
            {"critic": "auto", "critic_objective": "state_value"},
        ),
        ({"baseline_objective": "state_value"}, {"critic": "SharedStateValue", "critic_objective": "state_value"}),
        (
            {"baseline_policy": "auto", "baseline_optimizer": 0.25, "baseline_objective": "state_value"},
            {"critic": "auto", "critic_objective": {"type": "state_value", "weight": 0.25}},
        ),
        ({"parallel_interactions": 3, "n_envs": None}, {"parallel_interactions": 3, "n_envs": 3}),
        (
            {"config": {"seed": 5, "name": "bob", "device": "CPU:0"}, "seed": None},
            {"seed": 5, "name": "bob", "device": "CPU:0"},
        ),
        ({"config": {"eager_mode": True}}, {"execution": {"run_eagerly": True}}),
        ({"buffer_observe": 2}, {}),
    ],
)
def test_a_word_is_what_it_stands_for(words, own):
    assert made(**words).get_config() == made(**own).get_config() | {"name": made(**words).name}


def test_states_and_actions_are_spaces():
    agent = kagent.PPO(states={"type": "float", "shape": 2, "min_value": -1.0, "max_value": 1.0},
                       actions={"type": "int", "num_values": 2}, n_steps=8, batch_size=4)  # fmt: skip
    assert agent.observation_space == SPACES["observation_space"] and agent.action_space == SPACES["action_space"]
    synchronized = kagent.Agent(
        **SPACES, objective="action_value", update=4, reward_estimation={"discount": 0.9}, memory=20,
        baseline_optimizer={"type": "synchronization", "update_weight": 0.5, "sync_frequency": 3},
    )  # fmt: skip
    assert (synchronized.target.tau, synchronized.target.period) == (0.5, 3)
    assert synchronized.reward_estimation.estimate_horizon == "late"


def test_agent_create_takes_the_words_too(tmp_path):
    words = {
        "variable_noise": 0.5,
        "l2_regularization": 0.25,
        "entropy_regularization": 0.125,
        "parallel_interactions": 2,
    }
    agent = kagent.Agent.create(
        {"agent": "tensorforce", **PARTS, **words}, **SPACES, recorder={"directory": str(tmp_path)}
    )
    for name, value in words.items():
        assert getattr(agent, name) == value and agent.get_config()[name] == value
    assert kagent.Agent.create(json.loads(json.dumps(agent.get_config()))).get_config() == agent.get_config()
    agent.close()


def test_what_is_neither_a_word_nor_an_argument_is_refused():
    for make in (made, lambda **given: kagent.PPO(**SPACES, **given)):
        with pytest.raises(
            TypeError, match=r"unexpected keyword argument 'baseline_polic'. Did you mean 'baseline_policy'\?"
        ):
            make(baseline_polic="auto")
    with pytest.raises(ValueError, match=r"DQN has no argument \['sumarizer'\].*Did you mean 'summarizer'"):
        kagent.Agent.create("dqn", sumarizer={}, **SPACES)
    for name, other in (("policy", "critic"), ("optimizer", "critic_optimizer"), ("objective", "critic_objective")):
        given = {f"baseline_{name}": "adam" if name == "optimizer" else "state_value"}
        with pytest.raises(ValueError, match=f"`baseline_{name}` is another name of `{other}`. Received: both"):
            made(**given, **{other: next(iter(given.values()))})


def test_help_shows_the_arguments():
    for cls in (kagent.Agent, kagent.PPO, kagent.DuelingDQN):
        assert {"observation_space", "seed"} <= set(inspect.signature(cls.__init__).parameters)
    assert all(f"`{name}`" in inspect.getdoc(kagent.Agent) for name in arguments.DEFAULTS)
    assert all(name in inspect.getdoc(arguments.Words) for name in arguments.DEFAULTS)


def test_the_deterministic_policy_gradient_has_its_critic_beside_a_synchronized_baseline():
    box = spaces.Box(-1.0, 1.0, (2,))
    agent = kagent.Agent(
        observation_space=box, action_space=box, objective="deterministic_policy_gradient", update=4, memory=20,
        reward_estimation={"discount": 0.9}, baseline_optimizer="synchronization",
    )  # fmt: skip
    assert type(agent.critic).__name__ == "ActionValue" and agent.target.tau == 1.0
