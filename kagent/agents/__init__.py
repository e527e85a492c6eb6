"""Presets: the agent with the parts of a named algorithm, one screen each."""

from kagent.agent import Agent
from kagent.agents.constant import Constant
from kagent.agents.double_dqn import DoubleDQN
from kagent.agents.dqn import DQN
from kagent.agents.dueling_dqn import DuelingDQN
from kagent.agents.ppo import PPO
from kagent.agents.random import Random
from kagent.agents.sac import SAC

AGENTS = {
    "agent": Agent,
    "tensorforce": Agent,
    "default": Agent,
    "dqn": DQN,
    "doubledqn": DoubleDQN,
    "ddqn": DoubleDQN,
    "duelingdqn": DuelingDQN,
    "ppo": PPO,
    "sac": SAC,
    "random": Random,
    "constant": Constant,
}
"""What `Agent.create` knows by name."""

__all__ = ["AGENTS", "DQN", "PPO", "SAC", "Constant", "DoubleDQN", "DuelingDQN", "Random"]
