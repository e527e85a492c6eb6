"""kagent: reinforcement learning for Keras 3. An agent is a `keras.Model`.

>>> agent = kagent.PPO("CartPole-v1")
>>> history = agent.fit("CartPole-v1", steps=100_000)
>>> agent.save("agent.keras")

Names are loaded when they are first used: `import kagent.acting` loads neither Keras nor TensorFlow.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

__version__ = "0.2.0"

_AGENTS = (
    "A2C", "AC", "BC", "C51", "CQL", "DDPG", "DPG", "DQN", "IMPALA", "IQL", "IQN", "NAF", "PPO", "PQN", "QRDQN",
    "REINFORCE", "SAC", "TD3", "TD3BC", "TQC", "TRPO", "VPG", "Constant", "CrossQ", "DiscreteCQL", "DiscreteSAC", "DoubleDQN",
    "DuelingDQN", "Rainbow", "Random", "RecurrentPPO",
)  # fmt: skip
_HOMES = {
    "Agent": "kagent.agent",
    **dict.fromkeys(_AGENTS, "kagent.agents"),
    "register_agent": "kagent.config.creation",
    "register_part": "kagent.config.registry",
    "ActionNoise": "kagent.exploration",
    "DivergenceError": "kagent.learning.divergence",
    "EpsilonGreedy": "kagent.exploration",
    "Sampling": "kagent.exploration",
    "RewardEstimation": "kagent.reward_estimation",
    "Update": "kagent.update",
    "history_frame": "kagent.callbacks.history_frame",
    "inspect": "kagent.inspection",
    "load": "kagent.agents.load",
}
_MODULES = (
    "acting", "agents", "callbacks", "compat", "datasets", "diagnosis", "distributed", "environments", "estimators", "exploration", "hub",
    "inspection", "memories", "networks", "objectives", "ops", "optimizers", "plotting", "policies", "preprocessing",
    "rendering", "schedules", "spaces",
    "specifications", "traces", "testing", "tuned",
)  # fmt: skip

__all__ = [*_HOMES, *_MODULES, "__version__"]

if TYPE_CHECKING:
    from kagent.agent import Agent as Agent
    from kagent.agents import A2C as A2C
    from kagent.agents import AC as AC
    from kagent.agents import BC as BC
    from kagent.agents import C51 as C51
    from kagent.agents import CQL as CQL
    from kagent.agents import DDPG as DDPG
    from kagent.agents import DPG as DPG
    from kagent.agents import DQN as DQN
    from kagent.agents import IMPALA as IMPALA
    from kagent.agents import IQL as IQL
    from kagent.agents import IQN as IQN
    from kagent.agents import NAF as NAF
    from kagent.agents import PPO as PPO
    from kagent.agents import PQN as PQN
    from kagent.agents import QRDQN as QRDQN
    from kagent.agents import REINFORCE as REINFORCE
    from kagent.agents import SAC as SAC
    from kagent.agents import TD3 as TD3
    from kagent.agents import TD3BC as TD3BC
    from kagent.agents import TQC as TQC
    from kagent.agents import TRPO as TRPO
    from kagent.agents import VPG as VPG
    from kagent.agents import Constant as Constant
    from kagent.agents import CrossQ as CrossQ
    from kagent.agents import DiscreteCQL as DiscreteCQL
    from kagent.agents import DiscreteSAC as DiscreteSAC
    from kagent.agents import DoubleDQN as DoubleDQN
    from kagent.agents import DuelingDQN as DuelingDQN
    from kagent.agents import Rainbow as Rainbow
    from kagent.agents import Random as Random
    from kagent.agents import RecurrentPPO as RecurrentPPO
    from kagent.agents.load import load as load
    from kagent.callbacks.history_frame import history_frame as history_frame
    from kagent.config.creation import register_agent as register_agent
    from kagent.config.registry import register_part as register_part
    from kagent.exploration import ActionNoise as ActionNoise
    from kagent.exploration import EpsilonGreedy as EpsilonGreedy
    from kagent.exploration import Sampling as Sampling
    from kagent.inspection import inspect as inspect
    from kagent.learning.divergence import DivergenceError as DivergenceError
    from kagent.reward_estimation import RewardEstimation as RewardEstimation
    from kagent.update import Update as Update


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = getattr(importlib.import_module(_HOMES[name]), name)
    elif name in _MODULES:
        value = importlib.import_module(f"kagent.{name}")
    else:
        from kagent.config.module_names import elsewhere, missing

        # With the module, Python itself suggests a close name.
        found = None if elsewhere(name) else sys.modules[__name__]
        raise AttributeError(missing(__name__, name), name=name, obj=found)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


from kagent.config import moved as _moved  # noqa: E402
from kagent.keras_registration import register as _register  # noqa: E402

_moved.find()
_register()
