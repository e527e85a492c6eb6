"""Networks: observation to features, and the layers the NumPy actor knows by their `actor_node`."""

from kagent.networks.builder import clone, features_of, functional
from kagent.networks.layered import Layered
from kagent.networks.layers import Bound, OneHot, StateIndependent
from kagent.networks.trunks import CNN, MLP, Auto, get, serialize

__all__ = [
    "CNN",
    "MLP",
    "Auto",
    "Bound",
    "Layered",
    "OneHot",
    "StateIndependent",
    "clone",
    "features_of",
    "functional",
    "get",
    "serialize",
]
