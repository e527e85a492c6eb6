"""Functional models over the leaves of an observation: inputs, encoding, a network, heads."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import keras

from kagent.config.rehearsal import before_call
from kagent.networks.backbones import CNN, Auto, Seeds, dense
from kagent.networks.cloning import begin, clone, holds_constants, waits
from kagent.networks.encoding import encode, nvec_of, picture, scale, state_of
from kagent.networks.layer_list import Layered, recurrent_by_name
from kagent.networks.layers import OneHot
from kagent.networks.legacy import UNNAMED, Legacy, as_of_old, legacy_scale
from kagent.networks.readings import note_images
from kagent.networks.recurrent import Recurrence, holds_recurrent, is_recurrent
from kagent.networks.residual import Impala
from kagent.spaces import Leaf, Structure

_TRIAL = "trial"  # the name of a model that is made to be tried
_MANY = 32  # features that are more are not taken for values of actions


def functional(
    network: Any,
    observation: Structure,
    heads: Callable[[Any], list[Any]],
    seeds: Seeds,
    name: str,
    skip: tuple[int, ...] = (),
    action: Structure | None = None,
    recurrent: bool = False,
) -> keras.Model:
    """A functional model from stored-form leaves to heads.

    Args:
        network: A part of `networks.backbones`, or a Keras layer or model that maps the observation to features: nested as
            the space (one tensor if it is not nested), float, with the numbers and axes that the space declares, one-hot
            codes of discrete leaves. It is not scaled: a uint8 image comes as 0 to 255.
        observation: The observation's leaves.
        heads: Features `(N, F)` to the list of outputs.
        seeds: Gives a new seed at each call.
        name: The model's name.
        skip: Indices of observation leaves the network does not see (an action mask).
        action: With it, the model also takes canonical action leaves, after the observation's: a critic Q(s, a). A Keras
            layer gets observation and action side by side if it takes them, else the observation alone; its features
            and the action then go through a dense layer of 256 ReLU. So they do behind an image, behind a list of
            layers that sees one and retrieves nothing by name (what scales pixels is not for actions), and behind layers
            that were made for observations: built for them, or with state for them, as an adapted
            `keras.layers.Normalization` has.
        recurrent: Whether recurrent layers may carry their state through episodes; see `kagent.networks.recurrent`.

    Returns:
        Inputs: a list, `(N, *leaf.shape)` in stored dtypes. Outputs: a list, `(N, width)` each. Of a recurrent network the
        states, and where sequences begin, are further inputs, and the states after each row further outputs.

    Raises:
        ValueError: The network's output is not of rank 2; an image that the network cannot read, or none for a network of
            convolutions; a recurrent layer that must not carry a state here.

    Warns where a given network of a policy ends in no more features than the head behind it: it will be a network that
    already ends in the values or logits of the actions.
    """
    former = network.images if isinstance(network, Legacy) else None
    core, legacy = network.network if isinstance(network, Legacy) else network, former == UNNAMED
    recurrence = Recurrence()
    with keras.name_scope(name):  # so that variables of two roles never share a path
        inputs = [_input(leaf, f"observation_{i}") for i, leaf in enumerate(observation.leaves)]
        leaves = [(as_of_old(leaf, former), x) for leaf, x in zip(observation.leaves, inputs)]
        actions: list[Any] = []
        if action is not None:
            for i, leaf in enumerate(action.leaves):
                dtype = "float32" if leaf.kind == "box" else leaf.stored_dtype.name
                x = keras.Input(leaf.shape, dtype=dtype, name=f"action_{i}")
                inputs.append(x)
                if leaf.is_discrete:
                    actions.append(OneHot(nvec_of(leaf))(x))
                else:
                    actions.append(keras.layers.Reshape((1,))(x) if leaf.shape == () else x)
        alone = not legacy and (
            _is_of_observations(core, observation) or (name != _TRIAL and _refuses(core, observation, action))
        )
        later = actions if alone else []
        actions = [] if later else actions
        if isinstance(core, keras.layers.Layer):
            seen = observation.unflatten([(legacy_scale if legacy else encode)(leaf, x) for leaf, x in leaves])
            if is_recurrent(core) and not actions and len(getattr(seen, "shape", ())) == 2:
                features = recurrence.through(core, seen, "network")
            else:
                features = _joined(core, seen, actions, seeds) if actions else _called(core, seen)
            begin(core)
        else:
            leaves = [pair for i, pair in enumerate(leaves) if i not in skip]
            if former is None:
                _check_images(core, observation, [leaf for leaf, _ in leaves])
            read = legacy_scale if legacy else _reader(core)
            parts = [read(leaf, x) for leaf, x in leaves]
            if isinstance(core, Layered):
                names = [leaf.name or "state" for leaf, _ in leaves]
                names += [leaf.name or "action" for leaf in action.leaves] if action is not None and actions else []
                features = core.features(parts + actions, seeds, names, recurrence)
            elif isinstance(core, Auto):
                features = core.features(parts + _vectors(actions, legacy), seeds, len(parts), legacy)
                if core.rnn is not None:
                    features = recurrence.through(
                        recurrent_by_name("lstm", core.rnn, True, seeds), features, "network.rnn"
                    )
            elif isinstance(core, CNN):
                features = core.features(parts + _vectors(actions, legacy), seeds, legacy)
            elif isinstance(core, Impala):
                features = core.features(parts + _vectors(actions, legacy), seeds)
            else:
                features = core.features(parts + actions, seeds)
        if len(features.shape) != 2:
            raise ValueError(
                f"`network` must map a batch of observations to features of shape (batch, n). Received: {features.shape}"
            )
        if later:
            beside = keras.layers.Concatenate()([features, *map(_flat, later)])
            features = dense(beside, 256, "relu", "joint", "fan_in", 1.0, seeds)
        if recurrence.sizes and not recurrent:
            raise ValueError(
                f"`network` of {name!r} must not be recurrent: this policy or critic learns from single timesteps. Received: a "
                "recurrent layer that carries its state. Allowed: those of PPO, A2C, AC, VPG, TRPO and DQN"
            )
        outputs = heads(features)
        if name == "policy" and isinstance(core, Layered | keras.layers.Layer):
            _check_width(int(features.shape[-1]), [int(x.shape[-1]) for x in outputs])
        model = keras.Model([*inputs, *recurrence.inputs], [*outputs, *recurrence.outputs], name=name)
    sizes = tuple(recurrence.sizes)
    model.kagent_state_sizes = lambda: sizes
    model.kagent_features = lambda: features  # a function, through which Keras does not look for layers
    note_images(model, network, [leaf for i, leaf in enumerate(observation.leaves) if i not in skip])
    return model


def features_of(model: keras.Model) -> Any:
    """The symbolic features `(N, F)` in a model that `functional` made: what its heads start from."""
    return model.kagent_features()


def _called(network: Any, x: Any) -> Any:
    before_call(network, x)
    try:
        return network(x)
    except (ValueError, TypeError) as error:
        if isinstance(x, dict | tuple):
            shapes = keras.tree.map_structure(lambda leaf: leaf.shape, x)
            raise ValueError(
                "`network` as a Keras layer or model gets the observation nested as its space, here tensors of the shapes "
                f"{shapes}. Received: {type(network).__name__} {network.name!r}, which does not take them. Allowed: a keras.Model "
                "with these inputs, or network={'type': 'mlp', 'units': [64, 64]}, which joins them"
            ) from error
        if isinstance(error, TypeError) or not holds_recurrent(network) or is_recurrent(network):
            raise
        raise ValueError(
            "`network` is a Keras model with recurrent layers over an axis of the observation, which does not fit it. To carry "
            f"their state through episodes, give the layers in a list: network=model.layers. Received: {error}"
        ) from error


def _joined(network: Any, seen: Any, actions: list[Any], seeds: Seeds) -> Any:
    """Features of observation and action. A network made for observations alone keeps to them: its features and the
    action then meet in one more dense layer, for values that are linear in the action would be of little use."""
    flat = [_flat(x) for x in actions]
    if not isinstance(seen, dict | tuple) and not waits(network):
        try:
            return _called(network, keras.layers.Concatenate()([_flat(seen), *flat]))
        except (TypeError, ValueError):
            pass  # built for another input, or for images
    return dense(keras.layers.Concatenate()([network(seen), *flat]), 256, "relu", "joint", "fan_in", 1.0, seeds)


def _flat(x: Any) -> Any:
    return x if len(x.shape) == 2 else keras.layers.Flatten()(x)


def _input(leaf: Leaf, name: str) -> Any:
    return keras.Input(leaf.shape, dtype=leaf.stored_dtype.name, name=name)


def _is_of_observations(network: Any, observation: Structure) -> bool:
    """Whether a critic's network, given by layers, sees images and so no actions."""
    if not any(leaf.is_image for leaf in observation.leaves):
        return False
    if isinstance(network, Layered):
        return not any(isinstance(layer, dict) and layer["type"] == "retrieve" for layer in network.layers)
    return isinstance(network, keras.layers.Layer)


def _refuses(network: Any, observation: Structure, action: Structure | None) -> bool:
    """Whether a critic's network, given by layers, is not for observation and action side by side.

    A layer may have been built for observations, or hold state for them, which Keras does not compare with shapes. A twin is
    tried with zeros.
    """
    listed = isinstance(network, Layered)
    given = [layer for layer in (network.layers if listed else [network]) if isinstance(layer, keras.layers.Layer)]
    if action is None or not any((listed and layer.built) or holds_constants(layer) for layer in given):
        return False
    try:
        model = functional(clone(network), observation, lambda features: [features], lambda: 0, _TRIAL, (), action)
        model([keras.ops.zeros((1, *x.shape[1:]), x.dtype) for x in model.inputs])
    except Exception:  # whatever its layers raise
        return True
    return False


def _vectors(actions: list[Any], legacy: bool) -> list[Any]:
    return actions if legacy else [_flat(x) for x in actions]  # a Box action of rank 3 is no image


def _reader(network: Any) -> Callable[[Leaf, Any], Any]:
    """What makes floats of a leaf's stored form, as a part of `networks.backbones` takes them."""
    if isinstance(network, Layered):
        return state_of
    if not isinstance(network, Auto | CNN | Impala):
        return scale

    def read(leaf: Leaf, x: Any) -> Any:
        layout = network.layout_of(leaf)
        x = scale(leaf, x)
        return _flat(x) if layout is None else picture(layout, x)

    return read


def _check_images(network: Any, observation: Structure, leaves: list[Leaf]) -> None:
    if isinstance(network, CNN | Impala) and all(network.layout_of(leaf) is None for leaf in leaves):
        raise ValueError(
            f"`network` {type(network).__name__} is for images, and sees none: a Box of rank 3 or more, or of rank 2 if it is of uint8 "
            f"and has 36 pixels or more on each side. Received: {observation.space}. Allowed: 'auto', 'mlp', or images with an axis "
            "of channels, such as (10, 10, 1)"
        )


def _check_width(features: int, heads: list[int]) -> None:
    if features <= 2 or (features in heads and features <= _MANY):
        warnings.warn(
            f"`network` ends in {features} features, and the policy puts heads of {heads} outputs behind them: leave out the "
            "last layer where it is meant to give the values or logits of the actions",
            stacklevel=2,
        )
