"""Acting without TensorFlow: a policy's forward pass and its decisions in NumPy.

>>> import kagent.acting
>>> actor = kagent.acting.load("agent.keras")
>>> action = actor.act(observation)
"""

from kagent.acting.actor import Actor
from kagent.acting.compiler import Compiler, UnsupportedLayer, compile_model
from kagent.acting.distributions import Bernoulli, Beta, Categorical, Decision, Gaussian, SquashedGaussian
from kagent.acting.episode_player import EpisodePlayer
from kagent.acting.episode_states import EpisodeStates
from kagent.acting.loading import load
from kagent.acting.program import Program

__all__ = [
    "Actor",
    "Bernoulli",
    "Beta",
    "Categorical",
    "Compiler",
    "Decision",
    "EpisodePlayer",
    "EpisodeStates",
    "Gaussian",
    "Program",
    "SquashedGaussian",
    "UnsupportedLayer",
    "compile_model",
    "load",
]
