"""Bad arguments of the constructor: refused by name, before anything is made."""

import re

import numpy as np
import pytest
from gymnasium import spaces
from toy_envs import Counter

import kagent

NET = {"type": "mlp", "units": [8]}
BOX, DISCRETE = spaces.Box(-1, 1, (3,)), spaces.Discrete(2)
PRESETS = {"dqn": kagent.DQN, "ppo": kagent.PPO, "sac": kagent.SAC}


@pytest.mark.parametrize("cls", PRESETS.values())
def test_an_unknown_environment_id(cls):
    with pytest.raises(ValueError, match=r"Unknown environment id. Received: 'CartPool-v1'.*'CartPole-v1'"):
        cls("CartPool-v1")


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"observation_space": BOX},
        {"action_space": DISCRETE},
        {"env": Counter(), "observation_space": BOX, "action_space": DISCRETE},
        {"env": Counter(), "action_space": DISCRETE},
    ],
    ids=["none", "one", "other", "both", "some"],
)
@pytest.mark.parametrize("cls", PRESETS.values())
def test_either_an_environment_or_its_spaces(cls, given):
    message = r"Give either `env`, or both `observation_space` and `action_space`, or both `states` and `actions`. Received: env="
    with pytest.raises(ValueError, match=message):
        cls(**given)


@pytest.mark.parametrize("env", [3, object(), ["CartPole-v1"], lambda: 5])
def test_what_is_no_environment(env):
    with pytest.raises(TypeError, match=r"`env`.*Received"):
        kagent.PPO(env)


@pytest.mark.parametrize(
    "space",
    [
        spaces.Text(5),
        spaces.Sequence(spaces.Discrete(3)),
        spaces.Graph(spaces.Box(0, 1, (2,)), spaces.Discrete(2)),
        spaces.OneOf([spaces.Discrete(2), BOX]),
        spaces.Dict(a=BOX, deep=spaces.Tuple((spaces.Text(3), BOX))),
    ],
    ids=lambda space: type(space).__name__,
)
@pytest.mark.parametrize("cls", PRESETS.values())
def test_unsupported_spaces(cls, space):
    kind = "Text" if isinstance(space, spaces.Dict) else type(space).__name__
    where = " at 'deep/0'" if isinstance(space, spaces.Dict) else ""
    allowed = "Allowed: Box, Discrete, MultiDiscrete, MultiBinary, and Dict or Tuple"
    for role, other in (("observation_space", "action_space"), ("action_space", "observation_space")):
        with pytest.raises(ValueError, match=f"`{role}`{where} is not supported. Received: {kind}. {allowed}"):
            cls(**{role: space, other: BOX})


@pytest.mark.parametrize(
    ("cls", "action", "message"),
    [
        (kagent.DQN, BOX, r"needs a discrete action space.*Received: Box"),
        (kagent.DQN, spaces.Dict(a=DISCRETE, b=BOX), r"needs a discrete action space.*Received: Box at 'b'"),
        (kagent.SAC, DISCRETE, r"SAC\) needs an action space of Box with finite bounds.*Received: Discrete"),
        (kagent.SAC, spaces.MultiBinary(2), r"Box with finite bounds.*Received: MultiBinary"),
        (kagent.SAC, spaces.Box(-np.inf, np.inf, (2,)), r"Box with finite bounds.*Received: Box\(-inf"),
        (kagent.SAC, spaces.Tuple((BOX, DISCRETE)), r"Box with finite bounds.*Received: Tuple"),
    ],
)
def test_what_a_preset_cannot_do_it_refuses(cls, action, message):
    with pytest.raises(ValueError, match=message):
        cls(observation_space=BOX, action_space=action)


NOT_COUNTS = [0, -1, 2.5, "8", True, None]
BAD = {
    "dqn": {
        "batch_size": NOT_COUNTS,
        "frequency": [0, -4, 1.5, "4", False],
        "gradient_steps": [0, -1, 0.5, "1", True],
        "start": [-1, 2.5, "100", None],
        "memory": [0, -5, 10.5, "big", True],
        "discount": [2, -0.1, "0.9", None, np.nan, True],
        "tau": [0, -0.5, 1.5, np.nan, "1"],
        "target_update_period": [0, -1, 2.5, "10", True, None],
        "learning_rate": [-1, "fast", None, True, np.nan],
        "exploration": [2, -0.1, "gredy", object(), True, {"type": "EpsilonGreedy", "initial": 3}, np.nan],
        "huber": [0, -1, "1", np.nan],
        "double": ["yes", None, 2],
        "max_grad_norm": [0, -1, "10", np.nan],
        "seed": [-1, 1.5, "0", True, 2**63],
        "n_envs": [value for value in NOT_COUNTS if value is not None],
    },
    "ppo": {
        "n_steps": NOT_COUNTS,
        "batch_size": [0, -1, 2.5, "8", True],
        "epochs": [0, -1, 2.5, "8", True],
        "learning_rate": [-1, "fast", None, True],
        "discount": [1.01, -1, None],
        "gae_lambda": [1.5, -0.1, "1", None],
        "clip_range": [-0.1, "0.2", None, True, np.nan],
        "entropy_coefficient": [-1, "0", None],
        "value_coefficient": [-1, "0", None],
        "normalize_advantage": ["yes", None],
        "max_grad_norm": [0, -1, "10"],
        "log_std": ["0", None, np.nan, np.inf],
        "seed": [-1],
    },
    "sac": {
        "batch_size": [0, "256"],
        "memory": [0, "big"],
        "start": [-1, 0.5, "100"],
        "tau": [0, 2, np.nan],
        "discount": [-1, 2],
        "learning_rate": [-1, "fast", None],
        "temperature": [0, -1, "warm", "auto_", "auto_0", "auto_-1", "auto_x", None, True, np.nan],
        "target_entropy": ["none", None, True, np.nan],
        "members": [0, -1, 1.5, "2", True, None],
        "seed": [-1],
    },
}
NAMES = {  # words by which the message may call the argument
    "gradient_steps": "steps", "n_steps": "steps", "memory": "memory", "target_update_period": "period",
    "learning_rate": "learning_rate", "max_grad_norm": "max_grad_norm|clipnorm",
}  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "argument"), [(kind, argument) for kind, arguments in BAD.items() for argument in arguments]
)
def test_every_argument_is_checked(kind, argument):
    action = spaces.Box(-1, 1, (2,)) if kind == "sac" else DISCRETE
    for value in BAD[kind][argument]:
        with pytest.raises((ValueError, TypeError)) as caught:
            PRESETS[kind](observation_space=BOX, action_space=action, **{"network": NET, argument: value})
        message = str(caught.value)
        assert re.search(NAMES.get(argument, argument), message), (value, message)
        assert "eceived" in message, (value, message)


def test_an_unknown_part_or_argument_of_a_part():
    def agent(**parts):
        return kagent.DQN(observation_space=BOX, action_space=DISCRETE, **parts)

    with pytest.raises(
        ValueError, match=r"Unknown `exploration`. Received: 'EpsilonGredy'. Known: .*EpsilonGreedy.*Did you"
    ):
        agent(exploration="EpsilonGredy")
    with pytest.raises(
        ValueError, match=r"`exploration` EpsilonGreedy has no argument \['decay'\]. Known: \['initial'"
    ):
        agent(exploration={"type": "EpsilonGreedy", "decay": 3})
    with pytest.raises(
        ValueError, match=r"Unknown `memory`. Received: 'Reply'. Known: .*Prioritized, Recent, .*Replay, .*Rollout"
    ):
        agent(memory="Reply")
    with pytest.raises(ValueError, match=r"`objective` ActionValueObjective needs memory=Replay. Received: Rollout"):
        agent(memory="Rollout")
    with pytest.raises(ValueError, match=r"Unknown `objective`. Received: 'a2c'. Known: ActionValueObjective"):
        agent(objective="a2c")
    with pytest.raises(ValueError, match=r"Unknown `learning_rate`. Received: 'Cosin'. Known: .*Cosine.*Linear"):
        agent(learning_rate={"type": "Cosin", "initial": 1})
    with pytest.raises(TypeError, match=r"unexpected keyword argument 'learningrate'"):
        agent(learningrate=1e-3)
    with pytest.raises(ValueError, match=r"`objective` ActionValueObjective needs policy=ValuePolicy. Received"):
        agent(policy="stochastic")
    with pytest.raises(ValueError, match=r"`objective` ActionValueObjective needs memory=Replay. Received: Rollout"):
        agent(memory={"type": "Rollout", "steps": 5})
