"""Which distribution an action has: by its kind, by its name, or as it fits."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping
from typing import Any

import numpy as np

from kagent.config.signatures import check_known
from kagent.distributions.bernoulli import Bernoulli
from kagent.distributions.beta import Beta
from kagent.distributions.categorical import Categorical
from kagent.distributions.deterministic import Deterministic, Direct
from kagent.distributions.distribution import Distribution
from kagent.distributions.gaussian import Gaussian, SquashedGaussian
from kagent.spaces import Leaf, Structure

BARE = "action"  # the name of an action that is not nested
KINDS = ("auto", "categorical", "bernoulli", "gaussian", "squashed_gaussian", "beta", "deterministic", "direct")
"""What `for_leaf` makes. The last two have no densities."""

_CHOSEN = ("default", *KINDS[:-2])
_OTHER_NAMES = {"normal": "gaussian", "tanh": "squashed_gaussian", "tanhgaussian": "squashed_gaussian"}
_NAMES = {kind.replace("_", ""): kind for kind in _CHOSEN} | _OTHER_NAMES
_OPTIONS = {"gaussian": ("stddev_mode", "bounded_transform"), "squashed_gaussian": ("stddev_mode",)}
_STDDEV_MODES = {"gaussian": "global", "squashed_gaussian": "predicted"}  # where nothing is said
_OF_TYPES = {"bool": ("categorical", "bernoulli"), "int": ("categorical", "bernoulli"), "float": KINDS[3:-2]}


@dataclasses.dataclass(frozen=True)
class Choice:
    """A kind of distribution with its options.

    Attributes:
        kind: One of `KINDS`, or "default": Bernoulli for type "bool", else as "auto".
        stddev_mode: Of normal distributions, squashed or not: "global" for a standard deviation that does not depend on
            the state, "predicted" for one that does; None for other kinds.
    """

    kind: str
    stddev_mode: str | None = None

    @property
    def plain(self) -> Any:
        """The name, or a dict where an option is another than where nothing is said."""
        if self.stddev_mode == _STDDEV_MODES.get(self.kind):
            return self.kind
        return {"type": self.kind, "stddev_mode": self.stddev_mode}


def _choice(value: Any, argument: str) -> Choice:
    options = dict(value) if isinstance(value, Mapping) else {"type": value}
    name = options.pop("type", None)
    if not isinstance(name, str):
        raise TypeError(f"`{argument}` must be a name, or a dict with a 'type' that is one. Received: {value!r}")
    kind = _NAMES.get(name.lower().replace("_", "").replace("-", ""))
    if kind is None:
        close = difflib.get_close_matches(name, _CHOSEN, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise ValueError(f"`{argument}` must be one of {_CHOSEN}. Received: {name!r}.{hint}")
    check_known(sorted(options), _OPTIONS.get(kind, ()), f"`{argument}` {kind!r}", "option")
    if _option(options, "bounded_transform", ("clipping", "tanh"), argument) == "tanh":
        kind = "squashed_gaussian"
    mode = _option(options, "stddev_mode", ("global", "predicted"), argument)
    return Choice(kind, mode or _STDDEV_MODES.get(kind))


def _option(options: dict[str, Any], name: str, allowed: tuple[str, ...], argument: str) -> Any:
    value = options.get(name)
    if value is not None and value not in allowed:
        raise ValueError(f"`{argument}` option `{name}` must be one of {allowed}. Received: {value!r}")
    return value


class Selection:
    """What `StochasticPolicy(distribution=...)` says, read.

    Args:
        given: A name, a dict `{"type": name, **options}`, or a dict of these by action: by the names of actions, or by
            "bool", "int" and "float" for all of a type, which need not be among the actions. An action that is not nested is
            named "action".
        use_beta_distribution: Whether bounded float actions of which nothing is said have a Beta distribution.

    Raises:
        ValueError, TypeError: Unknown names or options.
    """

    def __init__(self, given: Any, use_beta_distribution: bool = False):
        self.use_beta_distribution = use_beta_distribution
        self.by_action = isinstance(given, Mapping) and "type" not in given
        if isinstance(given, Mapping) and not given:
            raise ValueError(f"`policy.distribution` as a dict must not be empty. Received: {given!r}")
        self.choices = (
            {name: _choice(value, f"policy.distribution[{name!r}]") for name, value in given.items()}
            if self.by_action
            else {"": _choice(given, "policy.distribution")}
        )

    @property
    def plain(self) -> Any:
        """The canonical form of `given`, JSON-ready: a name where there are no options but defaults."""
        named = {name: choice.plain for name, choice in self.choices.items()}
        return named if self.by_action else named[""]

    def spelled_out(self, action: Structure, rest: str) -> dict[str, Any]:
        """The same, JSON-ready, as a dict by the names of all actions: those of which it says nothing have `rest`."""
        keys = {leaf.name or BARE: self._key_for(leaf) for leaf in action.leaves}
        return {name: rest if key is None else self.choices[key].plain for name, key in keys.items()}

    def check(self, action: Structure) -> None:
        """Compares with the agent's actions.

        Raises:
            ValueError: A name that no action has, or a distribution that fits no action or not the one it is for.
        """
        unused = set(self.choices)
        for leaf in action.leaves:
            key = self._key_for(leaf)
            if key is None:
                continue
            unused.discard(key)
            self._check_fits(leaf, key)
        for name in unused & set(_OF_TYPES) if self.by_action else ():
            unused.discard(name)
            kind = self.choices[name].kind
            if kind not in ("default", "auto", *_OF_TYPES[name]):
                raise ValueError(
                    f"`policy.distribution[{name!r}]` does not fit actions of type {name}. Received: {kind!r}. "
                    f"Allowed: {', '.join(map(repr, _OF_TYPES[name]))}"
                )
        if not unused:
            return
        if not self.by_action:
            self._check_fits(action.leaves[0], "")  # raises
        names = sorted(leaf.name or BARE for leaf in action.leaves)
        raise ValueError(
            f"`policy.distribution` names no such action. Received: {sorted(unused)}. Known: {names}, and the types "
            f"{sorted(_OF_TYPES)}"
        )

    def _check_fits(self, leaf: Leaf, key: str) -> None:
        argument = f"policy.distribution[{key!r}]" if self.by_action else "policy.distribution"
        try:
            _fitted(leaf, self.choices[key].kind)
        except ValueError as error:
            raise ValueError(str(error).replace("`kind`", f"`{argument}`")) from None

    def of(self, leaf: Leaf) -> Choice:
        """The choice for one action leaf, never "auto" or "default"."""
        key = self._key_for(leaf)
        choice = Choice("default") if key is None else self.choices[key]
        if choice.kind not in ("auto", "default"):
            return choice
        if leaf.is_discrete:
            return Choice("bernoulli" if choice.kind == "default" and leaf.type == "bool" else "categorical")
        if self.use_beta_distribution and leaf.is_bounded and np.issubdtype(leaf.dtype, np.floating):
            return Choice("beta")
        return Choice("gaussian", _STDDEV_MODES["gaussian"])

    def _key_for(self, leaf: Leaf) -> str | None:
        # As `_key`, but a name for all leaves is not for those that it does not fit.
        key = self._key(leaf)
        return None if key == "" and not fits(self.choices[key].kind, leaf) else key

    def _key(self, leaf: Leaf) -> str | None:
        if not self.by_action:
            return ""
        return next((name for name in (leaf.name or BARE, leaf.type) if name in self.choices), None)


def _fitted(leaf: Leaf, kind: str) -> Distribution:
    return for_leaf(leaf, "auto" if kind == "default" else kind)


def fits(kind: str, leaf: Leaf) -> bool:
    """Whether a kind of distribution is one for such a leaf, its bounds aside."""
    return kind in ("auto", "default") or kind in _fitting(leaf)


def _fitting(leaf: Leaf) -> tuple[str, ...]:
    if leaf.nvec is None:
        return KINDS[3:]
    return ("categorical", "bernoulli") if (leaf.nvec == 2).all() else ("categorical",)


def for_leaf(leaf: Leaf, kind: str = "auto") -> Distribution:
    """The distribution over one action leaf.

    Args:
        leaf: From `Structure(action_space).leaves`.
        kind: `"gaussian"`, `"squashed_gaussian"`, `"beta"`, `"deterministic"` or `"direct"` for a Box, `"categorical"` for
            the discrete spaces, `"bernoulli"` for those of two values per component, `"auto"` for Gaussian or
            categorical, whichever fits.

    Raises:
        ValueError: An unknown kind, one that does not fit the leaf, or one that needs finite bounds where there are none.

    Example:

    >>> import gymnasium
    >>> from kagent.spaces import Structure
    >>> type(for_leaf(Structure(gymnasium.spaces.Discrete(3)).leaves[0])).__name__
    'Categorical'
    """
    if kind not in KINDS:
        raise ValueError(f"`kind` is unknown. Received: {kind!r}. Allowed: {', '.join(KINDS)}")
    where = f"action{f' {leaf.name!r}' if leaf.name else ''}"
    if not fits(kind, leaf):
        fitting = ", ".join(map(repr, _fitting(leaf)))
        raise ValueError(f"`kind` does not fit the {where}, a {leaf.kind}. Received: {kind!r}. Allowed: {fitting}")
    if leaf.is_discrete:
        return Bernoulli(leaf.shape) if kind == "bernoulli" else Categorical(leaf.nvec, leaf.shape)
    made = {"squashed_gaussian": SquashedGaussian, "beta": Beta, "deterministic": Deterministic, "direct": Direct}
    if kind in ("squashed_gaussian", "beta", "deterministic") and not leaf.is_bounded:
        raise ValueError(
            f"`kind` {kind!r} needs finite bounds, and the {where} has none everywhere. "
            f"Received: {leaf.low} to {leaf.high}. Allowed: 'gaussian'"
        )
    result: Distribution = made.get(kind, Gaussian)(leaf.shape, leaf.low, leaf.high)
    return result
