"""Presets: the agent with the parts of a named algorithm, one screen each."""

from kagent.config import backend  # isort: skip  # noqa: F401  (first: Keras itself may fail to be imported)

from kagent.agents.actor_critic import A2C, AC
from kagent.agents.arguments import FromPart
from kagent.agents.bc import BC
from kagent.agents.c51 import C51
from kagent.agents.constant import Constant
from kagent.agents.cql import CQL
from kagent.agents.crossq import CrossQ
from kagent.agents.discrete_cql import DiscreteCQL
from kagent.agents.discrete_sac import DiscreteSAC
from kagent.agents.double_dqn import DoubleDQN
from kagent.agents.dpg import DPG
from kagent.agents.dqn import DQN
from kagent.agents.dueling_dqn import DuelingDQN
from kagent.agents.impala import IMPALA
from kagent.agents.iql import IQL
from kagent.agents.iqn import IQN
from kagent.agents.naf import NAF
from kagent.agents.ppo import PPO
from kagent.agents.pqn import PQN
from kagent.agents.qrdqn import QRDQN
from kagent.agents.rainbow import Rainbow
from kagent.agents.random import Random
from kagent.agents.recurrent_ppo import RecurrentPPO
from kagent.agents.sac import SAC
from kagent.agents.td3 import TD3
from kagent.agents.td3bc import TD3BC
from kagent.agents.tqc import TQC
from kagent.agents.trpo import TRPO
from kagent.agents.vpg import VPG
from kagent.config.creation import AGENTS, register_agent

DDPG, REINFORCE = DPG, VPG  # their other names

__all__ = [
    "A2C",
    "AC",
    "AGENTS",
    "BC",
    "C51",
    "CQL",
    "DDPG",
    "DPG",
    "DQN",
    "IMPALA",
    "IQL",
    "IQN",
    "NAF",
    "PPO",
    "PQN",
    "QRDQN",
    "REINFORCE",
    "SAC",
    "TD3",
    "TD3BC",
    "TQC",
    "TRPO",
    "VPG",
    "Constant",
    "CrossQ",
    "DiscreteCQL",
    "DiscreteSAC",
    "DoubleDQN",
    "DuelingDQN",
    "FromPart",
    "Rainbow",
    "Random",
    "RecurrentPPO",
    "register_agent",
]  # fmt: skip
