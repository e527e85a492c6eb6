"""Presets: the agent with the parts of a named algorithm, one screen each."""

from kagent.agent import Agent
from kagent.agents.dqn import DQN
from kagent.agents.ppo import PPO
from kagent.agents.sac import SAC
from kagent.agents.trpo import TRPO

AGENTS = {"agent": Agent, "tensorforce": Agent, "default": Agent, "dqn": DQN, "ppo": PPO, "sac": SAC, "trpo": TRPO}
"""What `Agent.create` knows by name."""

__all__ = ["AGENTS", "DQN", "PPO", "SAC", "TRPO"]
