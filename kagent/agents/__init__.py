"""Presets: the agent with the parts of a named algorithm, one screen each."""

from kagent.agent import Agent
from kagent.agents.actor_critic import A2C, AC
from kagent.agents.constant import Constant
from kagent.agents.double_dqn import DoubleDQN
from kagent.agents.dpg import DPG
from kagent.agents.dqn import DQN
from kagent.agents.dueling_dqn import DuelingDQN
from kagent.agents.ppo import PPO
from kagent.agents.random import Random
from kagent.agents.sac import SAC
from kagent.agents.trpo import TRPO
from kagent.agents.vpg import VPG
from kagent.config.creation import AGENTS

_NAMES: dict[str, type] = {
    "agent": Agent,
    "tensorforce": Agent,
    "default": Agent,
    "a2c": A2C,
    "ac": AC,
    "constant": Constant,
    "doubledqn": DoubleDQN,
    "ddqn": DoubleDQN,
    "dpg": DPG,
    "ddpg": DPG,
    "dqn": DQN,
    "duelingdqn": DuelingDQN,
    "ppo": PPO,
    "random": Random,
    "sac": SAC,
    "trpo": TRPO,
    "vpg": VPG,
    "reinforce": VPG,
}
AGENTS.update(_NAMES)

__all__ = [
    "A2C", "AC", "AGENTS", "DPG", "DQN", "PPO", "SAC", "TRPO", "VPG", "Constant", "DoubleDQN", "DuelingDQN", "Random",
]  # fmt: skip
