"""Presets: the agent with the parts of a named algorithm, one screen each."""

from kagent.agents.dqn import DQN
from kagent.agents.ppo import PPO
from kagent.agents.sac import SAC

__all__ = ["DQN", "PPO", "SAC"]
