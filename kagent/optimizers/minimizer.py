"""The one place where losses become steps."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import keras
import tensorflow as tf

from kagent import ops
from kagent.optimizers import replicas
from kagent.optimizers.role_optimizer import ROLES, RoleOptimizer
from kagent.optimizers.step import apply, step_of, uses_closure
from kagent.policies.one_pass import once
from kagent.schedules import Clock, evaluate

if TYPE_CHECKING:
    from kagent.objectives import LearningContext, Term

NETWORKS = ("policy", "critic")
_PREFIXES = {"policy": "", "critic": "critic_", "temperature": "temperature_"}  # of logs
Found = tuple[Any, dict[str, Any]]


class Minimizer:
    """Takes the gradient steps of an agent: what it was compiled with, and its networks by role.

    Args:
        parts: The layers that learn, by role.
        optimizer: A Keras optimizer of all roles, or a `RoleOptimizer`.
        rates: Optimizers with the schedules of their learning rates.
        modifiers: What modifies the steps of an optimizer, by the role that it is given for.
        l2_regularization: Weight of the networks' squared variables in every loss, a number or a schedule.

    Attributes:
        strategy: That of `tf.distribute` in whose scope it was made.
        errors: Of the samples of the gradient step that runs, `(B,)`, where they were reported; else None.
    """

    def __init__(
        self,
        parts: dict[str, Any],
        optimizer: Any,
        rates: Sequence[tuple[Any, Any]] = (),
        modifiers: dict[str, Any] | None = None,
        l2_regularization: Any = 0.0,
    ):
        self.parts, self.optimizer, self.rates = parts, optimizer, rates
        self.l2_regularization = l2_regularization
        self._has_l2 = not (isinstance(l2_regularization, float) and l2_regularization == 0.0)
        self._modifiers = modifiers or {}
        self._by_role = {role: optimizer.role_map.of(role) if self._has_roles else optimizer for role in parts}
        # Roles whose optimizers step by more than one gradient.
        self._closures = {
            role for role, own in self._by_role.items() if uses_closure(own) or self.modifiers_of((role,))
        }
        replicas.check(list(self._by_role.values()), bool(self._closures), list(parts.values()))
        self.errors: tf.Tensor | None = None
        self.strategy = replicas.joined()

    @property
    def roles(self) -> list[str]:
        """The roles that learn."""
        return list(self.parts)

    @property
    def scheduled(self) -> list[str]:
        """The roles whose learning rate is a schedule: of the agent's parts, or one of Keras in an optimizer of `compile`."""
        ours = [id(optimizer) for optimizer, _ in self.rates]
        return [
            role
            for role, own in self._by_role.items()
            if id(own) in ours or isinstance(own.get_config().get("learning_rate"), dict)
        ]

    def take_errors(self) -> tf.Tensor | None:
        """The errors that were reported since the last call, `(B,)`, or None."""
        errors, self.errors = self.errors, None
        return errors

    def assign_learning_rates(self, clock: Clock) -> None:
        """Writes scheduled learning rates into their optimizers. Runs in the learner, once per update."""
        for optimizer, rate in self.rates:
            optimizer.learning_rate.assign(tf.cast(evaluate(rate, clock), tf.float32))

    def take(
        self, terms: Sequence[Term], now: LearningContext, in_turn: bool = False, report: Any = None
    ) -> dict[str, tf.Tensor]:
        """One gradient step on the terms of an objective.

        Args:
            terms: The losses, at most one for each role.
            now: What they are made of.
            in_turn: True: each role steps before the next one's loss is computed, in the order of the terms, and the losses
                of roles are logged. False: roles that share an optimizer step together, else the critic does first.
            report: Function that gets the errors of the samples, `(B,)`, before the step, where terms give them; None: nobody
                needs them.

        Returns:
            Scalars to log: `loss`, the sum of the losses of policy and critic with what regularizes them, and those of the
            terms.

        Raises:
            ValueError: Two terms of a role; a role that the agent lacks.
        """
        self._check(terms)
        if report is not None:
            # Of all the batch and before the step: an optimizer may look at parts of it, several times.
            errors = [term.errors(term.batch) for term in terms if term.errors is not None]
            if errors:
                report(tf.add_n(errors))
        together = {term.role: term for term in terms}
        if not in_turn and set(together) >= set(NETWORKS) and self._step_together(together):
            policy, critic = (together[role] for role in NETWORKS)
            value, logs = self._minimize_both(policy, critic, now)
            return {"loss": value, **_logged(logs)}
        order = terms if in_turn else sorted(terms, key=lambda term: term.role == "policy")
        found: dict[str, dict[str, Any]] = {}
        values: dict[str, Any] = {}
        for term in order:
            values[term.role], found[term.role] = self._step(term, dict(found), now)
        total = sum((values[role] for role in values if role in NETWORKS), start=0.0)
        losses = {f"{role}_loss": value for role, value in values.items()} if in_turn else {}
        of_terms = found.values() if in_turn else reversed(found.values())
        return {"loss": total, **losses, **_logged({name: x for each in of_terms for name, x in each.items()})}

    def _check(self, terms: Sequence[Term]) -> None:
        roles = [term.role for term in terms]
        if len(set(roles)) < len(roles):
            raise ValueError(f"An objective returns at most one term for each role. Received: terms of {roles}")
        lacking = [role for role in roles if role not in self.parts]
        if lacking:
            raise ValueError(f"An objective's terms are of the roles {self.roles}. Received: a term of {lacking[0]!r}")

    def _step_together(self, terms: dict[str, Term]) -> bool:
        return self.shares_optimizer("critic") and all(terms[role].every == 1 for role in NETWORKS)

    def _minimize_both(self, policy: Term, critic: Term, now: LearningContext) -> Found:
        def both(batches: dict[str, Any]) -> Found:
            with once(self.parts["critic"]):
                value, logs = policy.evaluate(batches["policy"], {})
                other, found = critic.evaluate(batches["critic"], {"policy": logs})
            return value + other, {**logs, **found}

        # One batch where it is one: what draws a part of it then draws it once.
        if policy.batch is critic.batch:
            return self.minimize(
                NETWORKS, lambda batch: both({"policy": batch, "critic": batch}), policy.batch, now.clock, now.step_seed
            )
        return self.minimize(NETWORKS, both, {"policy": policy.batch, "critic": critic.batch}, now.clock, now.step_seed)

    def _step(self, term: Term, found: dict[str, dict[str, Any]], now: LearningContext) -> Found:
        def loss(*batch: Any) -> Found:
            return term.evaluate(batch[0] if batch else None, ops.replicas.own_rows(found) if found else found)

        if term.every == 1:
            return self.minimize(term.role, loss, term.batch, now.clock, now.step_seed)

        def step() -> Found:
            return _tensors(self.minimize(term.role, loss, term.batch, now.clock, now.step_seed, norms=False))

        def look() -> Found:
            problem = self._problem(
                (term.role,), self._regularized((term.role,), loss, now.clock), term.batch, now.clock
            )
            value = _tensors(problem.evaluate())
            with tf.control_dependencies(tf.nest.flatten(value)):
                problem.rewind()  # moving statistics and the states of random layers
                return _each(tf.identity, value)

        # As targets that follow by gradient steps: in the last step of each period.
        due = tf.equal(tf.cast(now.clock.updates + 1, tf.int64) % term.every, 0)
        value, logs = tf.cond(due, step, look)
        return value, logs

    def minimize(
        self,
        role: str | Sequence[str],
        loss: Callable[..., Found],
        batch: Any,
        clock: Clock,
        seed: Callable[[], tf.Tensor],
        norms: bool = True,
    ) -> Found:
        """One optimizer step of a role, or of several together; see `Agent.minimize`.

        Args:
            role, loss, batch: As `Agent.minimize` takes them.
            clock: The time now, for schedules.
            seed: Function that returns the seed `(2,)` of this gradient step.
            norms: Whether the values hold norms of gradients that are clipped by these.
        """
        together = (role,) if isinstance(role, str) else tuple(role)
        regularized = self._regularized(together, loss, clock)
        turns = [turn for turn in self._optimizers_of(together) if self._variables(turn[1])]
        if not turns:  # all of it is frozen
            return Problem(regularized, [], batch, clock, None, self._alone(together), ()).evaluate()
        if any(names[0] in self._closures for _, names in turns):
            before = []
            states = self._states()
            for optimizer, names in turns:
                drawn = tf.random.fold_in(seed(), 1 + ROLES.index(names[0]), alg="philox")
                step = step_of(optimizer, self.modifiers_of(names))
                before.append(step(self._problem(names, regularized, batch, clock, drawn, states)))
            return before[0]
        whole = self._problem(together, regularized, batch, clock, states=())
        found, gradients = whole.gradients(turns[0][0].scale_loss)
        by_variable = dict(zip(map(id, whole.variables), gradients))
        before_clipping = {}
        for optimizer, names in turns:
            own = self._variables(names)
            norm = apply(optimizer, [by_variable[id(v)] for v in own], own)
            if norms and norm is not None:
                before_clipping[f"{_PREFIXES[names[0]]}gradient_norm"] = norm
        return found[0], {**before_clipping, **found[1]}

    def _regularized(self, together: Sequence[str], loss: Callable[..., Found], clock: Clock) -> Callable[[Any], Found]:
        squares = self._squares(together, clock) if self._has_l2 else {}

        def regularized(part_of_batch: Any) -> Found:
            total, values = loss() if part_of_batch is None else loss(part_of_batch)
            for name in together:
                penalties = [tf.cast(penalty, tf.float32) for penalty in self.parts[name].losses]
                if name in squares:
                    penalties.append(squares[name]())
                if penalties:
                    penalty = tf.add_n(penalties)
                    total, values = total + penalty, {**values, f"{_PREFIXES[name]}regularization_loss": penalty}
            return total, values

        return regularized

    def _squares(self, together: Sequence[str], clock: Clock) -> dict[str, Callable[[], tf.Tensor]]:
        # By role the weighted sum of squares of its network; a network that two roles share counts once.
        l2 = evaluate(self.l2_regularization, clock)
        counted: set[int] = set()
        found: dict[str, Callable[[], tf.Tensor]] = {}

        def weighted(variables: list[Any]) -> tf.Tensor:
            return l2 * tf.add_n([ops.sum_of_squares(variable.value) for variable in variables])

        for name in together:
            squared = [v for v in self.parts[name].trainable_variables if name in NETWORKS and id(v) not in counted]
            counted.update(map(id, squared))
            if squared:
                found[name] = functools.partial(weighted, squared)
        return found

    def _problem(
        self, names: Sequence[str], loss: Any, batch: Any, clock: Clock, seed: Any = None, states: Any = None
    ) -> Problem:
        states = self._states() if states is None else states
        moving = [v for v in self._moving() if keras.backend.is_float_dtype(v.dtype)]
        return Problem(loss, self._variables(names), batch, clock, seed, self._alone(names), states, moving)

    def _alone(self, names: Sequence[str]) -> Any:
        return self.parts["policy"] if tuple(names) == ("policy",) else None

    def _variables(self, names: Sequence[str]) -> list[Any]:
        return _once([v for name in names for v in self.parts[name].trainable_variables])

    def _states(self) -> list[tuple[Any, tf.Tensor]]:
        return values_of(self._moving())

    def _moving(self) -> list[Any]:
        # Of all networks: the policy's loss may have the critics draw, too.
        parts = [self.parts[name] for name in NETWORKS if name in self.parts]
        trainable = {id(v) for part in parts for v in part.trainable_variables}
        return _once([v for part in parts for v in part.variables if id(v) not in trainable])

    def modifiers_of(self, roles: Sequence[str]) -> Any:
        """What modifies the steps of the optimizer that these roles have together."""
        owned = self._has_roles and roles[0] in list(self.optimizer.role_map)
        return self._modifiers.get(roles[0] if owned else "policy", ())

    def shares_optimizer(self, role: str) -> bool:
        """Whether a role has no optimizer of its own beside the policy's."""
        return not self._has_roles or self.optimizer.role_map.of(role) is self.optimizer.role_map.of("policy")

    @property
    def _has_roles(self) -> bool:
        return isinstance(self.optimizer, RoleOptimizer)

    def _optimizers_of(self, together: Sequence[str]) -> list[tuple[Any, list[str]]]:
        grouped: dict[int, tuple[Any, list[str]]] = {}
        for name in together:
            grouped.setdefault(id(self._by_role[name]), (self._by_role[name], []))[1].append(name)
        return list(grouped.values())


@dataclasses.dataclass(frozen=True)
class Problem:
    """A loss to make smaller, evaluated as often as an optimizer likes.

    Attributes:
        loss: From a batch to the loss, a float32 scalar with all regularization, and a dict of other values.
        variables: Keras variables that may move; the loss is always that of their present values.
        batch: What `loss` is called with: nested tensors `(B, ...)`, or None.
        clock: The time now, for schedules.
        seed: `(2,)`, of whatever is drawn: the same problem always draws the same. None where nothing is.
        policy: The policy that learns, where nothing else does; None elsewhere.
        states: Variables that an evaluation of the loss moves by itself, such as moving statistics and the states of random
            layers, with their values before the first: each evaluation begins from these, so that all of them draw the same,
            and a gradient step moves them once.
        moving: Variables of floats among those that the loss may move.
    """

    loss: Callable[[Any], Found]
    variables: list[Any]
    batch: Any
    clock: Clock
    seed: Any = None
    policy: Any = None
    states: Sequence[tuple[Any, tf.Tensor]] = ()
    moving: Sequence[Any] = ()

    def evaluate(self) -> Found:
        """The loss and the other values, now."""
        self.rewind()
        return self.loss(self.batch)

    def rewind(self) -> None:
        """Brings `states` back to where evaluations begin."""
        for state, value in self.states:
            state.assign(value)

    def value(self) -> tf.Tensor:
        """The loss, now."""
        return self.evaluate()[0]

    def gradients(self, scale: Callable[[tf.Tensor], tf.Tensor] = lambda loss: loss) -> tuple[Found, list[Any]]:
        """What `evaluate` returns, and the gradients of `scale(loss)`, None where a variable has no part in it."""
        self.rewind()
        strategy = replicas.strategy_here() if tf.distribute.has_strategy() else None
        if strategy is None:
            return self._gradients(self.batch, scale)
        return replicas.gradients(strategy, lambda batch: self._gradients(batch, scale), self.batch, self.moving)

    def _gradients(self, batch: Any, scale: Callable[[tf.Tensor], tf.Tensor]) -> tuple[Found, list[Any]]:
        variables = [variable.value for variable in self.variables]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            for variable in variables:
                tape.watch(variable)
            found = self.loss(batch)
            scaled = scale(found[0])
        gradients = tape.gradient(scaled, variables)
        # All that was found before a variable moves: TensorFlow's optimizer of graphs (that of dependencies, in 2.21) does
        # not keep to that by itself, and of a thousand updates one then mixed values of before and after its step.
        with tf.control_dependencies(tf.nest.flatten(found)):
            return found, [None if gradient is None else tf.identity(gradient) for gradient in gradients]

    def snapshot(self) -> list[tf.Tensor]:
        """The variables' present values."""
        return [tf.identity(variable.value) for variable in self.variables]

    def assign(self, values: list[tf.Tensor]) -> None:
        """Gives the variables these values, moved to where their constraints allow."""
        for variable, value in zip(self.variables, values):
            variable.assign(value if variable.constraint is None else variable.constraint(value))

    def restore_unless(self, condition: tf.Tensor, before: list[tf.Tensor]) -> None:
        """Leaves the variables as they are where the scalar is True, else brings back what they were, to the bit."""
        for variable, value in zip(self.variables, before):
            variable.assign(tf.where(condition, variable.value, value))

    def with_seed(self, number: Any) -> Problem:
        """The same problem with another seed."""
        seed = tf.random.fold_in(self.seed, number, alg="philox")
        return dataclasses.replace(self, seed=seed, states=values_of([state for state, _ in self.states]))


def values_of(variables: Sequence[Any]) -> list[tuple[Any, tf.Tensor]]:
    """Variables with the values they have now."""
    return [(variable, tf.identity(variable.value)) for variable in variables]


def _logged(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if not name.startswith("_")}


def _tensors(found: Found) -> Found:
    # Both branches of a condition return the same types.
    return _each(tf.convert_to_tensor, found)


def _each(change: Callable[[Any], Any], found: Found) -> Found:
    value, logs = tf.nest.map_structure(change, found)
    return value, logs


def _once(variables: list[Any]) -> list[Any]:
    """Each of them once: roles may share a network."""
    return list({id(variable): variable for variable in variables}.values())
