"""Keras models to NumPy programs. Keras is imported only when something is compiled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kagent.acting.layers import UnsupportedLayer, check_precision, named, rules
from kagent.acting.operation_base import OPERATIONS, Spec
from kagent.acting.program import dtype_of, shape_of
from kagent.config.registry import plain


def compile_model(model: Any) -> tuple[dict[str, Any], list[Any]]:
    """A Keras model as the config of a `Program`.

    Args:
        model: A built Functional or Sequential model (they may be nested in each other), float32. Besides the
            usual layers of a multi-layer perceptron it may hold layers with a method `actor_node()`, which
            returns the layer as `{"op": ..., "variables": [Keras variables], **parameters}`, or a list of
            these to be chained; or with `actor_values(compiler, inputs)`, which adds its nodes itself and returns the
            numbers of its outputs.

    Returns:
        The config, JSON-ready, its inputs and outputs in the order of `model.inputs` and `model.outputs`; and
        the Keras variables in the order in which their values lie in the program's flat buffer.

    Raises:
        UnsupportedLayer: A layer without a NumPy form, or whose call or precision is special.
        ValueError: The model is not built.

    Example:

    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    >>> config, variables = compile_model(model)
    >>> program = Program(config, [variable.numpy() for variable in variables])
    """
    if not getattr(model, "built", False) or not getattr(model, "inputs", None):
        raise ValueError(f"`model` must be a built Functional or Sequential model. Received: {model!r}")
    compiler = Compiler()
    inputs = []
    for tensor in model.inputs:
        if any(n is None for n in tensor.shape[1:]):
            raise UnsupportedLayer(f"Input {tensor.name!r} has an unknown dimension: {tuple(tensor.shape)}")
        inputs.append(compiler.input(tensor.shape[1:], tensor.dtype))
    return compiler.finish(compiler.call(model, inputs))


class Compiler:
    """Writes a program node by node.

    Values are numbered as in `Program`: inputs first, in the order of the calls of `input`, which therefore
    come first.

    Example:

    >>> compiler = Compiler()
    >>> x = compiler.input((4,), "float32")
    >>> network = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    >>> config, variables = compiler.finish(compiler.call(network, [x]))
    """

    def __init__(self) -> None:
        self._inputs: list[dict[str, Any]] = []
        self._nodes: list[dict[str, Any]] = []
        self._specs: list[Spec] = []
        self._variables: list[Any] = []
        self._indices: dict[int, int] = {}

    def input(self, shape: Sequence[int], dtype: str) -> int:
        """Declares an input, `shape` without the batch axis; returns its number."""
        if self._nodes:
            raise ValueError("Inputs must be declared before nodes")
        shape = [int(n) for n in shape]
        self._specs.append(Spec(shape_of(shape), dtype_of(dtype)))
        self._inputs.append({"shape": shape, "dtype": dtype})
        return len(self._specs) - 1

    def add(self, op: str, inputs: Sequence[int], variables: Sequence[Any] = (), **parameters: Any) -> int:
        """Adds one node; returns its number.

        Raises:
            ValueError: It does not fit its inputs and variables.
        """
        if op not in OPERATIONS:
            raise ValueError(f"Unknown operation. Received: {op!r}. Allowed: {', '.join(sorted(OPERATIONS))}")
        for variable in variables:
            if str(variable.dtype) != "float32":
                raise ValueError(f"Weights must be float32. Received: {variable.dtype} of {variable.path}")
        # Keras replaces a layer's lists by some of its own, which other processes cannot read.
        node = {"op": op, "inputs": list(inputs), **plain(parameters)}
        specs, shapes = [self._specs[i] for i in inputs], [tuple(v.shape) for v in variables]
        spec = OPERATIONS[op].infer(node, specs, shapes)
        if variables:
            node["weights"] = [self._index(variable) for variable in variables]
        self._nodes.append(node)
        self._specs.append(spec)
        return len(self._specs) - 1

    def call(self, layer: Any, inputs: Sequence[int]) -> list[int]:
        """Adds the nodes of a layer or model applied to values; returns the numbers of its outputs.

        Raises:
            UnsupportedLayer: See `compile_model`.
        """
        import keras

        if type(layer) is keras.Sequential:
            values = list(inputs)
            for child in layer.layers:
                values = self.call(child, values)
            return values
        if _is_functional(layer):
            return self._functional(layer, list(inputs))
        if hasattr(type(layer), "actor_values"):
            found: list[int] = layer.actor_values(self, list(inputs))
            return found
        return [self._layer(layer, list(inputs))]

    def finish(self, outputs: Sequence[int]) -> tuple[dict[str, Any], list[Any]]:
        """The config of the program, and its variables in the order of the flat buffer."""
        config = {
            "inputs": self._inputs,
            "weights": [list(variable.shape) for variable in self._variables],
            "nodes": self._nodes,
            "outputs": list(outputs),
        }
        return config, list(self._variables)

    def shape(self, value: int) -> tuple[int, ...]:
        """Shape of a value, without the batch axis."""
        return self._specs[value].shape

    def _index(self, variable: Any) -> int:
        index = self._indices.setdefault(id(variable), len(self._variables))
        if index == len(self._variables):
            self._variables.append(variable)
        return index

    def _layer(self, layer: Any, inputs: list[int]) -> int:
        # A class of kagent may compute as another one does; its subclasses may compute anything.
        rule = rules().get(vars(type(layer)).get("actor_class", type(layer)))
        try:
            check_precision(layer)
            if _speaks(layer):
                described = layer.actor_node()
                for node in [described] if isinstance(described, dict) else described:
                    inputs = [self.add(inputs=inputs, **node)]
                return inputs[0]
            if rule is None:
                raise UnsupportedLayer(f"{named(layer)} has no NumPy form")
            return rule(self, layer, inputs)
        except UnsupportedLayer:
            raise
        except ValueError as error:
            raise UnsupportedLayer(f"{named(layer)} has no NumPy form: {error}") from error

    def _functional(self, model: Any, inputs: list[int]) -> list[int]:
        try:
            config = model.get_config()
        except (NotImplementedError, TypeError, ValueError) as error:
            raise UnsupportedLayer(f"{named(model)} has no config to read its graph from: {error}") from error
        values: dict[tuple[str, int, int], int] = {}
        for key, value in zip(_keys(config["input_layers"]), inputs, strict=True):
            values[tuple(key)] = value
        pending = [
            (description["name"], index, node)
            for description in config["layers"]
            for index, node in enumerate(description["inbound_nodes"])
        ]
        while pending:
            waiting = []
            for name, index, node in pending:
                needed = _tensors(node["args"])
                if any(key not in values for key in needed):
                    waiting.append((name, index, node))
                    continue
                layer = _find(model, name)
                _check_call(layer, node["args"], node["kwargs"])
                for position, value in enumerate(self.call(layer, [values[key] for key in needed])):
                    values[name, index, position] = value
            if len(waiting) == len(pending):
                raise UnsupportedLayer(f"{named(model)} has a graph that cannot be followed at {waiting[0][0]!r}")
            pending = waiting
        return [values[tuple(key)] for key in _keys(config["output_layers"])]


# --- reading the graph --------------------------------------------------------------------------------------


def _is_functional(layer: Any) -> bool:
    # The class has no public name; a subclass of it may compute something else.
    return type(layer).__name__ == "Functional" and type(layer).__module__.partition(".")[0] == "keras"


def _find(model: Any, name: str) -> Any:
    try:
        return model.get_layer(name)
    except ValueError:
        message = f"{name!r} in {named(model)} is an operation, not a layer; it has no NumPy form"
        raise UnsupportedLayer(message) from None


def _keys(structure: Any) -> list[Any]:
    # ["name", 0, 0], or a nesting of these in lists, tuples and dicts (sorted by key, as keras.tree does)
    if isinstance(structure, dict):
        return [key for name in sorted(structure) for key in _keys(structure[name])]
    if len(structure) == 3 and isinstance(structure[0], str):
        return [structure]
    return [key for part in structure for key in _keys(part)]


def _tensors(arguments: Any) -> list[tuple[str, int, int]]:
    if isinstance(arguments, dict):
        if arguments.get("class_name") == "__keras_tensor__":
            return [tuple(arguments["config"]["keras_history"])]
        return [key for name in sorted(arguments) for key in _tensors(arguments[name])]
    if isinstance(arguments, list | tuple):
        return [key for part in arguments for key in _tensors(part)]
    return []


def _check_call(layer: Any, arguments: Any, keywords: dict[str, Any]) -> None:
    special = {name: value for name, value in keywords.items() if value is not False and not _is_nothing(value)}
    if special or len(arguments) != 1:
        raise UnsupportedLayer(f"{named(layer)} is called with arguments of its own: {special or arguments}")


def _is_nothing(value: Any) -> bool:
    # Keras gives a model of several inputs a list of masks.
    return value is None or (isinstance(value, list) and all(one is None for one in value))


def _speaks(layer: Any) -> bool:
    # A subclass that overrides `call` alone no longer does what the inherited `actor_node` says.
    for cls in type(layer).__mro__:
        if "actor_node" in vars(cls):
            return True
        if "call" in vars(cls):
            return False
    return False
