"""What a configuration may name, by position: it is walked whole, and refused, before anything is made of it.

Keras makes objects of dicts `{"class_name": ..., "config": ...}`, wherever its layers look into their arguments, and
finds far more by name than layers: functions of `keras.ops`, `keras.datasets` or `keras.config`, and modules that it
imports. Here a dict may name a class that Keras or kagent export for its position, or one that the user registered;
and a function only where an activation belongs (or a loss, or a metric), of those that Keras has for it, or that the user
registered. Arguments of a class that the user registered may be such functions too.

`keras.config.enable_unsafe_deserialization()` and `safe_mode=False` lift this, as they do in Keras.
"""

from __future__ import annotations

import functools
import inspect
import math
import sys
from typing import Any

import keras

from kagent.config import limits, rehearsal

# Layers whose configuration holds code, or says what to load.
_REFUSED_LAYERS = ("Lambda", "TFSMLayer", "TorchModuleWrapper", "FlaxLayer", "JaxLayer")
# Operations that call the functions that they are given.
_REFUSED_OPERATIONS = (
    "AssociativeScan", "Cond", "CustomGradient", "ForiLoop", "Map", "Scan", "Switch", "VectorizedMap", "Vectorize",
    "WhileLoop",
)  # fmt: skip
_LOOKUPS = ("vocabulary", "idf_weights")  # arguments of lookup layers that may name a file
# What Keras writes for values that JSON lacks; of `__lambda__` and `__typespec__` it would make code and any class.
_VALUES = ("__keras_tensor__", "__tensor__", "__numpy__", "__bytes__", "__ellipsis__", "__slice__")
_NO_FUNCTIONS = ("get", "serialize", "deserialize")
_MOST_WIDTH = 1 << 15  # width of a layer, as of kagent's own
_MOST_ENTRIES = 1 << 24  # rows of a table, numbers of one sample
_WIDTHS = ("units", "filters", "key_dim", "value_dim", "head_dim", "num_heads", "num_query_heads", "output_dim", "hidden_dim",
           "depth_multiplier", "kernel_size", "rank", "groups")  # fmt: skip
_ENTRIES = ("input_dim", "num_tokens", "max_tokens", "num_bins", "n", "sequence_length", "fft_length", "output_sequence_length",
            "size", "padding", "height", "width", "target_shape", "output_shape", "batch_shape", "shape", "input_shape",
            "max_number")  # fmt: skip
_UNSAFE = (
    "If you trust where it comes from, call keras.config.enable_unsafe_deserialization() first, or load the file with "
    "safe_mode=False"
)


def check(config: Any, argument: str) -> None:
    """Checks a configuration, and everything in it, before it is made.

    Args:
        config: Nested plain data. Objects in it are the user's own, and are left alone.
        argument: What errors call it, such as `"network"`.

    Raises:
        ValueError: It does not end, is too large, or names what does not belong at its place; see `limits.check`.
        TypeError: A key that is no string.

    Example:

    >>> check({"class_name": "Dense", "config": {"units": 8, "activation": "relu"}}, "network")
    >>> check({"class_name": "function", "config": "load_data", "module": "keras.datasets.cifar10"}, "network")
    Traceback (most recent call last):
        ...
    ValueError: `network` must not name the function 'load_data' ...
    """
    check_settings({argument: config})


def check_settings(settings: dict[str, Any]) -> None:
    """`check` of several arguments, each by its name: what belongs there, and what errors call it."""
    for name, value in settings.items():
        limits.check({name: None}, "config")
        limits.check(value, name)
    safe = _safe()
    layers = weights = width = 0
    pending: list[tuple[Any, str, str, str]] = [
        (value, _position(key, "layer"), key, key) for key, value in settings.items()
    ]
    while pending:
        value, position, key, where = pending.pop()
        if isinstance(value, list | tuple):
            pending.extend((item, position, key, where) for item in value)
        elif isinstance(value, dict):
            if "class_name" in value:
                own = safe and _check_object(value, position, where)
                if position in ("layer", "own"):
                    position = "own" if own else "layer"
                before, width = width, _check_sizes(value, where)
                layers += position in ("layer", "own") and value["class_name"] not in _VALUES
                weights += before * width
                if layers > limits.OBJECTS or weights > limits.WEIGHTS:
                    raise ValueError(
                        f"`{where}` is too large. At most {limits.OBJECTS} layers with {limits.WEIGHTS} weights are taken"
                    )
            for name, item in value.items():
                # The keys of a dict of preprocessing are names of states.
                inner = position if key == "preprocessing" else _position(name, position)
                pending.append((item, inner, name, where))


def made(config: Any, argument: str) -> Any:
    """The Keras object of a configuration, checked first.

    Raises:
        ValueError: It is refused; see `check`. Or its class refuses its arguments, or it has too many weights.
    """
    check(config, argument)
    rehearsal.check(config, argument)
    try:
        found = rehearsal.made(config)
    except (MemoryError, OSError):
        raise
    except Exception as error:
        raise ValueError(f"`{argument}` cannot be made from its configuration: {error}") from error
    rehearsal.watch(found, config, argument)
    return found


def _safe() -> bool:
    # Keras does not say whether it is in safe mode. In it, code is refused by a ValueError before it is looked for.
    try:
        keras.saving.deserialize_keras_object({"class_name": "__lambda__", "config": {}})
    except ValueError:
        return True
    except KeyError:
        return False
    raise RuntimeError("Keras makes a function of nothing")


def _check_object(value: dict[str, Any], position: str, where: str) -> bool:
    """Whether it is of a class that the user registered."""
    name, module, registered = value["class_name"], value.get("module"), value.get("registered_name")
    for part in (name, module, registered):
        if part is not None and not isinstance(part, str):
            raise ValueError(f"`{where}` must name classes by strings. Received: {part!r}")
    if name == "function":
        _check_function(value, position, where)
        return False
    if name in _VALUES:
        _check_value(value, where)
        return False
    found = _registered(registered) or _builtin(name, module, position)
    if found is None and not (module or "").startswith("keras"):
        found = _registered(name)
    known = isinstance(found, type) or (found is not None and position in _FUNCTIONS)
    if not known or _is_agent(found):
        raise ValueError(
            f"`{where}` must not name {name!r} of {module or registered!r}. It may name classes of "
            f"{' and '.join(_NAMESPACES[position])} that neither run code of a configuration nor read files, and "
            f"classes registered with keras.saving.register_keras_serializable. {_UNSAFE}"
        )
    config = _dict(value.get("config"))
    for key in _LOOKUPS:
        if isinstance(config.get(key), str):
            raise ValueError(
                f"`{where}` must not name a file: {name}.{key} must be a list. Received: {config[key]!r}. {_UNSAFE}"
            )
    return isinstance(found, type) and _is_users(found)


def _check_function(value: dict[str, Any], position: str, where: str) -> None:
    # Keras looks up either name; of registered functions it writes "function" as the second.
    names = [value.get("config"), value.get("registered_name")]
    for name in names[:1] if names[1] in (None, "function") else names:
        own = value.get("module") in (None, "builtins", *_FUNCTIONS.get(position, ())) and name in _functions(position)
        registered = _registered(name) if isinstance(name, str) and position in _FUNCTIONS else None
        if not (own or (registered is not None and (position != "own" or _is_users(registered)))):
            raise ValueError(
                f"`{where}` must not name the function {name!r} of {value.get('module')!r}. Functions may be Keras's "
                "own activations and those registered with keras.saving.register_keras_serializable, where an "
                f"activation belongs or a class that is registered so takes them. {_UNSAFE}"
            )


def _check_value(value: dict[str, Any], where: str) -> None:
    config = value.get("config")
    if value["class_name"] in ("__tensor__", "__numpy__", "__keras_tensor__"):
        dtype = config.get("dtype") if isinstance(config, dict) else None
        if not isinstance(dtype, str) or not dtype.startswith(("float", "bfloat", "int", "uint", "bool", "string")):
            raise ValueError(f"`{where}` must hold tensors of numbers. Received: dtype {dtype!r}")


def _check_sizes(value: dict[str, Any], where: str) -> int:
    # Of a layer; its width.
    config = {**_dict(value.get("build_config")), **_dict(value.get("config"))}
    for keys, most in ((_WIDTHS, _MOST_WIDTH), (_ENTRIES, _MOST_ENTRIES)):
        for key in keys:
            if key in config and _product(config[key]) > most:
                said = repr(config[key])[:100]
                raise ValueError(f"`{where}`: {value['class_name']}.{key} must be at most {most}. Received: {said}")
    widths = [config.get(key) for key in ("units", "filters", "output_dim", "hidden_dim")]
    width = max((int(_product(given)) for given in widths if given is not None), default=0)
    table = width * _product(config.get("input_dim"))
    if table > limits.WEIGHTS:
        raise ValueError(
            f"`{where}`: {value['class_name']} needs {table:.0f} weights. At most {limits.WEIGHTS} are taken"
        )
    return width


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _product(value: Any) -> float:
    # The size of a shape; of several shapes, that of the largest.
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        inner = [_product(item) for item in value]
        nested = any(isinstance(item, dict | list | tuple) for item in value)
        return max(inner, default=1.0) if nested else math.prod(inner)
    if not isinstance(value, int | float) or isinstance(value, bool):
        return 1.0
    number = abs(float(value))
    return math.inf if math.isnan(number) else max(number, 1.0)


# Names -----------------------------------------------------------------------------------------------------

_NAMESPACES: dict[str, tuple[str, ...]] = {
    "initializer": ("keras.initializers",),
    "regularizer": ("keras.regularizers",),
    "constraint": ("keras.constraints",),
    "activation": ("keras.activations", "keras.layers"),
    "optimizer": ("keras.optimizers", "keras.optimizers.schedules"),
    "schedule": ("keras.optimizers.schedules",),
    "loss": ("keras.losses",),
    "metric": ("keras.metrics", "keras.losses"),
    "dtype": ("keras.dtype_policies",),
    "quantizer": ("keras.quantizers",),
    "seed": ("keras.random",),
    "layer": ("keras.layers", "keras.models", "keras", "keras.optimizers.schedules"),
}
_NAMESPACES["own"] = _NAMESPACES["layer"]  # arguments of a class that the user registered
_FUNCTIONS = {
    "activation": ("keras.activations",),
    "own": ("keras.activations",),
    "loss": ("keras.losses",),
    "metric": ("keras.metrics", "keras.losses"),
}
_ENDINGS = {
    "initializer": "initializer", "regularizer": "regularizer", "constraint": "constraint", "activation": "activation",
    "nonlinearity": "activation", "optimizer": "optimizer", "learning_rate": "schedule", "loss": "loss",
    "losses": "loss", "metrics": "metric", "dtype": "dtype", "dtype_policy": "dtype", "quantizer": "quantizer",
    "quantization_config": "quantizer", "seed": "seed", "seed_generator": "seed",
}  # fmt: skip


def _position(key: str, around: str) -> str:
    # What belongs where an argument of this name is; where its name says nothing, the same as around it.
    found = next((position for ending, position in _ENDINGS.items() if key.endswith(ending)), around)
    # `metrics` go by names of logs, of which many end in "loss" or "learning_rate".
    return around if around == "metric" and found in ("loss", "schedule") else found


@functools.cache
def _functions(position: str) -> set[str]:
    found: set[str] = set()
    for module in _FUNCTIONS.get(position, ()):
        members = vars(sys.modules[module])
        found |= {name for name, member in members.items() if inspect.isfunction(member) and name not in _NO_FUNCTIONS}
    return found


def _bases(position: str) -> tuple[type, ...]:
    layers = keras.layers.Layer
    schedules = keras.optimizers.schedules.LearningRateSchedule
    return {
        "initializer": (keras.initializers.Initializer,),
        "regularizer": (keras.regularizers.Regularizer,),
        "constraint": (keras.constraints.Constraint,),
        "activation": (layers,),
        "optimizer": (keras.optimizers.Optimizer, schedules),  # a learning rate stands for one too
        "schedule": (schedules,),
        "loss": (keras.losses.Loss,),
        "metric": (keras.metrics.Metric, keras.losses.Loss),
        "dtype": (keras.dtype_policies.DTypePolicy, keras.dtype_policies.DTypePolicyMap),
        "quantizer": (keras.quantizers.Quantizer, keras.quantizers.QuantizationConfig),
        "seed": (keras.random.SeedGenerator,),
        "layer": (layers, schedules),
        "own": (layers, schedules),
    }[position]


@functools.cache
def _exported(position: str) -> dict[str, type]:
    """Classes that Keras exports for a position, by name."""
    found: dict[str, type] = {}
    for module in _NAMESPACES[position]:
        for name, member in vars(sys.modules[module]).items():
            if isinstance(member, type) and issubclass(member, _bases(position)) and name not in _REFUSED_LAYERS:
                found[name] = member
    if position in ("layer", "own"):
        found["Functional"] = type(keras.Model(x := keras.Input(()), x))
    return found


def _builtin(name: str, module: str | None, position: str) -> type | None:
    """The class that Keras would find by these names, where it is allowed; None: it is not, or there is none."""
    exported = _exported(position)
    if module is None or module in _NAMESPACES[position] or module == "builtins":
        return exported.get(name)
    parts = module.split(".")
    if parts[0] != "keras" or module not in sys.modules:
        return None
    found = vars(sys.modules[module]).get(name)  # models and operations are named by where they are
    if isinstance(found, type) and found in exported.values():
        return found
    if (
        position in ("layer", "own")
        and "ops" in parts
        and isinstance(found, type)
        and issubclass(found, keras.Operation)
        and not issubclass(found, keras.layers.Layer)
        and name not in _REFUSED_OPERATIONS
    ):
        return found
    return None


def _is_users(found: Any) -> bool:
    return getattr(found, "__module__", "").split(".")[0] not in ("kagent", "keras", "tensorflow")


def _registered(name: Any) -> Any:
    return None if name is None else keras.saving.get_registered_object(name)


def _is_agent(found: Any) -> bool:
    return isinstance(found, type) and any(base.__module__ == "kagent.agent" for base in found.__mro__)
