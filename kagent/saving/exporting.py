"""Export: the greedy policy alone, from the environment's observation to the environment's action."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import tensorflow as tf

from kagent.acting import archive
from kagent.config.vocabulary import unexpected
from kagent.files.atomic_files import errors_of_tensorflow, local_path, replacing, replacing_folder
from kagent.policies.greedy_actions import greedy_actions
from kagent.preprocessing.graph import operations_of
from kagent.saving import serving

if TYPE_CHECKING:
    from kagent.agent import Agent

FORMATS = ("tf_saved_model", "onnx", "litert", "numpy")
SAVED_MODEL = ("assets", "fingerprint.pb", "saved_model.pb", "variables")  # what such a folder holds
_MEMBERS = {
    "tf_saved_model": SAVED_MODEL,
    "numpy": (archive.JSON, archive.NPZ),
}
_SUFFIXES = {"onnx": ".onnx", "litert": ".tflite"}
# Suffixes of files, which a folder must not have.
_OF_FILES = (
    ".onnx", ".tflite", ".litert", ".keras", ".h5", ".hdf5", ".pb", ".pbtxt", ".pt", ".pth", ".pkl", ".pickle", ".ckpt",
    ".safetensors", ".json", ".npz", ".npy", ".zip", ".tar", ".gz", ".bin", ".mlmodel",
)  # fmt: skip
# On to Keras; LiteRT has many.
_PASSED: dict[str, tuple[str, ...]] = {"tf_saved_model": (), "onnx": ("opset_version",), "numpy": ()}


class GreedyPolicy(keras.Model):
    """An agent's greedy actions as a model of its own: without critics, targets, optimizers and memory.

    Args:
        agent: A `kagent.Agent`. What its preprocessing has learned is frozen.
        dtype: In which preprocessing reckons.

    Raises:
        ValueError: Preprocessing that remembers the episode, or has no form in TensorFlow.
    """

    def __init__(self, agent: Agent, dtype: str = "float64"):
        super().__init__(name=agent.name)
        self.policy = agent.policy
        made = agent.preprocessing
        process = list if made is None else operations_of(made, dtype)
        policy, stored, action = agent.policy, agent._adapter.stored, agent._action
        # Functions, which Keras does not take for parts.
        self._leaves = lambda observation: process(stored(observation))
        self._act = lambda observation: greedy_actions(policy, self._leaves(observation), action)
        self.built = True

    def call(self, observation: Any, training: bool = False) -> Any:
        return self._act(observation)


def signature(agent: Agent) -> list[Any]:
    """What an exported policy takes: a batch of observations of any size, nested as the observation space."""
    structure = agent._raw_observation
    specs = [
        tf.TensorSpec((None, *leaf.shape), tf.as_dtype(leaf.dtype), leaf.name.replace("/", "_") or "observation")
        for leaf in structure.leaves
    ]
    return [structure.unflatten(specs)]


def _check_name(path: Path, kind: str, suffix: str | None) -> None:
    found = path.suffix.lower()
    if suffix is None and found in _OF_FILES:
        raise ValueError(
            f"`filepath` must be the name of a folder for format={kind!r}, without a file's suffix. Give format='onnx' for "
            f"'.onnx', format='litert' for '.tflite'; `agent.save` writes '.keras'. Received: {str(path)!r}"
        )
    if suffix is not None and found != suffix:
        raise ValueError(f"`filepath` must end in {suffix!r} for format={kind!r}. Received: {str(path)!r}")
    if suffix is not None and path.is_dir():
        raise ValueError(
            f"`filepath` must be the name of a file for format={kind!r}, not a folder. Received: {str(path)!r}"
        )


def check_policy(agent: Agent, kind: str) -> None:
    """Refuses an agent whose policy is no program from one observation to an action.

    Args:
        agent: A `kagent.Agent`.
        kind: The format, for the error.

    Raises:
        ValueError: Recurrent layers, or no best action.
    """
    if agent.policy.state_sizes:
        raise ValueError(
            "`export` writes programs from one observation to an action, and the policy has recurrent layers, whose state they "
            f"would not carry. Received: format={kind!r}. Allowed: agent.save, or format='numpy'"
        )
    try:
        agent.policy.greedy([tf.zeros((1, *leaf.shape), leaf.stored_dtype) for leaf in agent.policy.observation.leaves])
    except NotImplementedError as error:
        kind_of_policy = type(agent.policy).__name__
        raise ValueError(f"`export` needs a policy with a best action. Received: {kind_of_policy}") from error


def export(
    agent: Agent,
    filepath: Any,
    format: str = "tf_saved_model",
    verbose: Any = None,
    input_signature: Any = None,
    **kwargs: Any,
) -> None:
    """Writes the greedy policy, preprocessing included, for programs without kagent: observation in, action out.

    What is written takes a batch of observations `(N, ...)` as the environment gives them, nested as the observation
    space, and gives greedy actions `(N, ...)` as the environment takes them. Masks are respected where the observation
    holds them under "action_mask". Statistics of preprocessing are frozen.

    Args:
        filepath: Where to: a directory for a SavedModel and for NumPy, a name that ends in ".onnx" or ".tflite" for the others.
        format: "tf_saved_model", "onnx" (`pip install 'kagent[onnx]'`), "litert", or "numpy": the files that
            `kagent.acting.load` reads, whose `act` takes one observation and samples, too.
        verbose: As in Keras.
        input_signature: As in Keras; None: observations of any batch size.
        **kwargs: Passed on to Keras: `opset_version` of "onnx", settings of the converter of "litert".

    Raises:
        ValueError: An unknown format, another suffix, a policy without a best action, preprocessing that remembers the
            episode; for "numpy" a layer without a NumPy form, or preprocessing other than one normalization.
        ImportError: A package is missing.
        OSError: The disk cannot take it: full, or read-only. The error names the path and what is free; what was there
            before is as it was.

    Example:

    >>> agent.export("served")
    >>> served = tf.saved_model.load("served")
    >>> actions = served.serve(observations)
    """
    kind = format
    if kind not in FORMATS:
        raise ValueError(f"`format` must be one of {FORMATS}. Received: {kind!r}")
    path, suffix = local_path(filepath, "filepath"), _SUFFIXES.get(kind)
    _check_name(path, kind, suffix)
    if kind in _PASSED:
        unknown = [name for name in kwargs if name not in _PASSED[kind]]
        if unknown:
            known = ["filepath", "format", "verbose", "input_signature", *_PASSED[kind]]
            raise TypeError(unexpected(f"export(format={kind!r})", unknown, known))
    if kind == "onnx" and importlib.util.find_spec("tf2onnx") is None:
        raise ImportError("`export(format='onnx')` needs tf2onnx: pip install 'kagent[onnx]'")
    if kind == "numpy":
        serving.check(agent, "format='numpy'")
        with replacing_folder(path, _MEMBERS[kind]) as folder:
            serving.write(agent, folder)
        return
    check_policy(agent, kind)
    # LiteRT's kernels are of float32.
    model = GreedyPolicy(agent, "float32" if kind == "litert" else "float64")
    given = signature(agent) if input_signature is None else input_signature
    verbose = False if verbose is None else verbose
    target = replacing_folder(path, _MEMBERS[kind]) if suffix is None else replacing(path)
    with target as temporary, errors_of_tensorflow():
        model.export(str(temporary), format=kind, verbose=verbose, input_signature=given, **kwargs)
