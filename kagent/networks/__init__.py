"""Networks: observation to features, and the layers the NumPy actor knows by their `actor_node`."""

from kagent.config import moved
from kagent.networks.backbones import CNN, MLP, NETWORKS, Auto, dense, get, serialize
from kagent.networks.batch_renormalization import BatchRenormalization
from kagent.networks.builder import features_of, functional
from kagent.networks.cloning import clone, copy_state, holds_constants, unchanged_by_errors
from kagent.networks.layer_list import Layered
from kagent.networks.layers import Bound, OneHot, StateIndependent
from kagent.networks.legacy import Legacy
from kagent.networks.noisy import NoisyDense, holds_noise, noise
from kagent.networks.normalization import LAYER_NORMALIZATION
from kagent.networks.readings import images_of, note_images, sees_images
from kagent.networks.recurrent import Recurrent, state_sizes
from kagent.networks.residual import Impala

__all__ = [
    "CNN",
    "LAYER_NORMALIZATION",
    "MLP",
    "NETWORKS",
    "Auto",
    "BatchRenormalization",
    "Bound",
    "Impala",
    "Layered",
    "Legacy",
    "NoisyDense",
    "OneHot",
    "Recurrent",
    "StateIndependent",
    "clone",
    "copy_state",
    "dense",
    "features_of",
    "functional",
    "get",
    "holds_constants",
    "holds_noise",
    "images_of",
    "noise",
    "note_images",
    "sees_images",
    "serialize",
    "state_sizes",
    "unchanged_by_errors",
]

__getattr__ = moved.attributes(__name__, {})
