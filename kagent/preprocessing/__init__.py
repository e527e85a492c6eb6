"""What is done to observations and rewards between the environment and the agent.

>>> clipping = {"type": "clipping", "lower": -1.0, "upper": 1.0}
>>> agent = kagent.DQN("CartPole-v1", preprocessing={"float": "running_normalization", "reward": clipping})

The argument `preprocessing` of an agent is a dict. Its keys are

* names of states: keys and indices of a nested observation joined by `/`, as in `"camera/left"`; `"state"` if the observation
  is not nested,
* types of states: `"float"` (every `Box`, images too), `"int"` (`Discrete`, `MultiDiscrete`), `"bool"` (`MultiBinary`), for
  those that are not named,
* and `"reward"`, which is always the reward, also where a state has that name.

Its values are layers, or lists of layers that are applied in order: a name, a dict `{"type": name, **arguments}`, an object of
this module, a Keras layer or its configuration. Anything but such a dict is taken for every state of type float. None, or an
empty list, does nothing. The observation's key `"action_mask"` is never processed.

| name                        | arguments                                             | of                                        |
| --------------------------- | ----------------------------------------------------- | ----------------------------------------- |
| `linear_normalization`      | `min_value`, `max_value`                              | floats, the reward                        |
| `rescaling`                 | `scale`, `offset`                                     | floats, the reward                        |
| `clipping`                  | `lower`, `upper`                                      | floats, the reward                        |
| `activation`                | `nonlinearity`                                        | floats, the reward                        |
| `exponential_normalization` | `decay`, `axes`, `only_mean`, `min_variance`          | floats, the reward                        |
| `running_normalization`     | `axes`, `only_mean`, `epsilon`, `clip`                | floats, the reward                        |
| `return_normalization`      | `discount`, `epsilon`, `clip`                         | the reward                                |
| `random_network_distillation`, `rnd` | `coefficient`, `units`, `features`, `learning_rate`, `discount`, `clip`, `seed` | the reward |
| `instance_normalization`    | `axes`, `only_mean`, `min_variance`                   | floats with at least one axis             |
| `deltafier`                 | `concatenate`                                         | floats, the reward                        |
| `sequence`, `frame_stack`   | `length`, `axis`, `concatenate`                       | all states                                |
| `image`                     | `height`, `width`, `grayscale`, `data_format`         | images                                    |
| `keras_layer`               | `layer`                                               | all states, the reward; slow              |

**What is acted on, remembered and learned from is processed**, by NumPy, once, when it comes. `agent.observation_space` is that of
the environment, `agent.processed_space` what networks and memories get; datasets of `memory.dataset` hold processed transitions,
and so does what `fit(dataset)` takes. Returns of episodes, wherever they are reported, are of the environment's own rewards. What
`kagent.callbacks.Recorder` writes is what the environments gave; `agent.pretrain` processes it as if it happened.

`normalize=True` of a preset is `running_normalization` of floats and `return_normalization` of the reward, with the agent's own
discount; see `kagent.agents.normalization`. `kagent.acting.load` serves an agent whose observations have one normalization or
nothing, with what it has learned; an agent with other layers is loaded by `kagent.load`.

`fit`, `pretrain`, and `act` with `observe` are training: statistics take in each observation and each reward once, before it is
standardised. There is one mean and one variance for all environments, and they go on from episode to episode: an episode's own
would be next to nothing at its beginning. `evaluate`, deterministic acts, `agent(observations)` and `predict` leave them as they
are. They are saved with the agent. Bounds of `clipping` and the decay of `exponential_normalization` may be schedules, read at each
value.

`deltafier` and `sequence` remember the episode, of each environment its own. The last observation of an episode is processed as part
of it. `evaluate` goes through episodes as `fit` does; in `agent(observations)` and `predict` each row is an episode's first
observation; a deterministic act is about the open episode of `act` and `observe`, and without one about an episode's first
observation. A program that only acts takes `agent.player()`, and calls its `reset` where an episode begins.
"""

from kagent.config import moved
from kagent.preprocessing.history import Deltafier, Sequence
from kagent.preprocessing.image import Image
from kagent.preprocessing.keras_layer import KerasLayer
from kagent.preprocessing.layer import LAYERS, Layer
from kagent.preprocessing.novelty import RandomNetworkDistillation
from kagent.preprocessing.player import Player
from kagent.preprocessing.preprocessing import Preprocessing, get
from kagent.preprocessing.scaling import Activation, Clipping, LinearNormalization, Rescaling
from kagent.preprocessing.statistics import (
    ExponentialNormalization,
    InstanceNormalization,
    ReturnNormalization,
    RunningNormalization,
)

__all__ = [
    "LAYERS",
    "Activation",
    "Clipping",
    "Deltafier",
    "ExponentialNormalization",
    "Image",
    "InstanceNormalization",
    "KerasLayer",
    "Layer",
    "LinearNormalization",
    "Player",
    "Preprocessing",
    "RandomNetworkDistillation",
    "Rescaling",
    "ReturnNormalization",
    "RunningNormalization",
    "Sequence",
    "get",
]

__getattr__ = moved.attributes(__name__, {})
