"""Child: one run of one compiled workload in JAX, as PureJaxRL does it (`python -m benchmarks.run_purejax C1-8 --steps 50000`).

PureJaxRL (Lu et al. 2022) is a repository, no package: its way is that environments (of gymnax), acting, storing and learning are one
program, a scan over updates. This is that way written anew, with the numbers of the workload. As there, an episode that is cut counts
as one that ends, and the program is compiled for the whole run.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

from benchmarks import measurement
from benchmarks.workloads import DQN, PPO, Workload


class Finished(NamedTuple):
    """Sums of returns, and numbers, of the episodes that ended in an update, `(updates,)` each."""

    returns: Any
    episodes: Any


def network(units: tuple[int, ...], activation: str, outputs: int, gain: float) -> Any:
    """A multilayer perceptron of flax, orthogonal at first."""
    import flax.linen as nn
    import numpy as np

    layers: list[Any] = []
    for width in units:
        layers += [nn.Dense(width, kernel_init=nn.initializers.orthogonal(np.sqrt(2.0))), getattr(nn, activation)]
    return nn.Sequential([*layers, nn.Dense(outputs, kernel_init=nn.initializers.orthogonal(gain))])


def environments(workload: Workload) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """`reset(key) -> (observations, states)` and `step(key, states, actions) -> (observations, states, rewards, dones)`."""
    import gymnax
    import jax

    env, parameters = gymnax.make(workload.env)

    def reset(key: Any) -> Any:
        return jax.vmap(env.reset, (0, None))(jax.random.split(key, workload.n_envs), parameters)

    def step(key: Any, states: Any, actions: Any) -> Any:
        keys = jax.random.split(key, workload.n_envs)
        seen, states, rewards, terminated, truncated, _ = jax.vmap(env.step, (0, 0, 0, None))(
            keys, states, actions, parameters
        )
        return seen, states, rewards, terminated | truncated

    return reset, step


def counted(returns: Any, rewards: Any, dones: Any) -> tuple[Any, Finished]:
    """Returns of open episodes after a timestep, and those that ended."""
    import jax.numpy as jnp

    returns = returns + rewards
    return jnp.where(dones, 0.0, returns), Finished(jnp.where(dones, returns, 0.0).sum(), dones.sum())


def ppo(workload: Workload, steps: int) -> Callable[[Any], Finished]:
    """The whole training of PPO, a function of a key."""
    import jax
    import jax.numpy as jnp
    import optax

    a, n = workload.algorithm, workload.n_envs
    assert isinstance(a, PPO)
    policy = network(workload.units, workload.activation, 2, 0.01)
    critic = network(workload.units, workload.activation, 1, 1.0)
    optimizer = optax.chain(optax.clip_by_global_norm(a.max_grad_norm), optax.adam(a.learning_rate, eps=1e-5))
    reset, step = environments(workload)
    values_of = lambda weights, seen: critic.apply(weights[1], seen)[..., 0]  # noqa: E731

    def act(carry: Any, key: Any) -> Any:
        weights, seen, states, returns = carry
        log_p = jax.nn.log_softmax(policy.apply(weights[0], seen))
        first, second = jax.random.split(key)
        actions = jax.random.categorical(first, log_p)
        chosen = jnp.take_along_axis(log_p, actions[:, None], 1)[:, 0]
        after, states, rewards, dones = step(second, states, actions)
        returns, finished = counted(returns, rewards, dones)
        row = (seen, actions, chosen, values_of(weights, seen), rewards, dones)
        return (weights, after, states, returns), (row, finished)

    def loss(weights: Any, rows: Any) -> Any:
        seen, actions, before, advantages, targets = rows
        log_p = jax.nn.log_softmax(policy.apply(weights[0], seen))
        ratio = jnp.exp(jnp.take_along_axis(log_p, actions[:, None], 1)[:, 0] - before)
        advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
        clipped = jnp.clip(ratio, 1.0 - a.clip_range, 1.0 + a.clip_range)
        objective = jnp.minimum(ratio * advantages, clipped * advantages).mean()
        error = jnp.square(values_of(weights, seen) - targets).mean()
        entropy = -(jnp.exp(log_p) * log_p).sum(-1).mean()
        return -objective + a.value_coefficient * error - a.entropy_coefficient * entropy

    def learn(carry: Any, rows: Any) -> Any:
        weights, state = carry
        changes, state = optimizer.update(jax.grad(loss)(weights, rows), state)
        return (optax.apply_updates(weights, changes), state), None

    def epoch(flat: Any, carry: Any, key: Any) -> Any:
        order = jax.random.permutation(key, n * a.n_steps).reshape((-1, a.batch_size))
        return jax.lax.scan(learn, carry, jax.tree.map(lambda x: x[order], flat))

    def update(carry: Any, key: Any) -> Any:
        weights, state, seen, states, returns = carry
        acting, shuffling = jax.random.split(key)
        (_, seen, states, returns), (rows, finished) = jax.lax.scan(
            act, (weights, seen, states, returns), jax.random.split(acting, a.n_steps)
        )
        observed, actions, before, values, rewards, dones = rows
        following = jnp.concatenate([values[1:], values_of(weights, seen)[None]])

        def back(advantage: Any, row: Any) -> Any:
            reward, done, value, after = row
            error = reward + a.discount * after * (1.0 - done) - value
            advantage = error + a.discount * a.gae_lambda * (1.0 - done) * advantage
            return advantage, advantage

        advantages = jax.lax.scan(back, jnp.zeros(n), (rewards, dones, values, following), reverse=True)[1]
        flat = (observed, actions, before, advantages, advantages + values)
        flat = jax.tree.map(lambda x: x.reshape((n * a.n_steps, *x.shape[2:])), flat)
        (weights, state), _ = jax.lax.scan(
            functools.partial(epoch, flat), (weights, state), jax.random.split(shuffling, a.epochs)
        )
        return (weights, state, seen, states, returns), jax.tree.map(jnp.sum, finished)

    def train(key: Any) -> Finished:
        first, second, third, key = jax.random.split(key, 4)
        seen, states = reset(first)
        weights = (policy.init(second, seen), critic.init(third, seen))
        carry = (weights, optimizer.init(weights), seen, states, jnp.zeros(n))
        return jax.lax.scan(update, carry, jax.random.split(key, steps // (n * a.n_steps)))[1]

    return train


def dqn(workload: Workload, steps: int) -> Callable[[Any], Finished]:
    """The whole training of DQN, a function of a key."""
    import jax
    import jax.numpy as jnp
    import optax

    a, n = workload.algorithm, workload.n_envs
    assert isinstance(a, DQN) and n == 1
    values = network(workload.units, workload.activation, 2, 1.0)
    optimizer = optax.chain(optax.clip_by_global_norm(a.max_grad_norm), optax.adam(a.learning_rate))
    reset, step = environments(workload)
    falling = a.epsilon_fraction * steps

    def loss(weights: Any, target: Any, rows: Any) -> Any:
        seen, actions, rewards, dones, after = rows
        wanted = rewards + a.discount * (1.0 - dones) * values.apply(target, after).max(-1)
        chosen = jnp.take_along_axis(values.apply(weights, seen), actions[:, None], 1)[:, 0]
        return optax.huber_loss(chosen, wanted).mean()

    def learn(key: Any, weights: Any, target: Any, state: Any, memory: Any, size: Any) -> Any:
        for draw in jax.random.split(key, a.gradient_steps):
            rows = jax.random.randint(draw, (a.batch_size,), 0, size)
            taken = jax.tree.map(functools.partial(jnp.take, indices=rows, axis=0), memory)
            gradients = jax.grad(loss)(weights, target, taken)
            changes, state = optimizer.update(gradients, state)
            weights = optax.apply_updates(weights, changes)
        return weights, state

    def timestep(carry: Any, inputs: Any) -> Any:
        weights, target, state, memory, seen, states, returns = carry
        time, key = inputs
        acting, choosing, stepping, learning = jax.random.split(key, 4)
        part = jnp.clip(time / falling, 0.0, 1.0)
        epsilon = a.epsilon_initial + (a.epsilon_final - a.epsilon_initial) * part
        best = values.apply(weights, seen).argmax(-1)
        random = jax.random.randint(acting, (n,), 0, 2)
        actions = jnp.where(jax.random.uniform(choosing, (n,)) < epsilon, random, best)
        after, states, rewards, dones = step(stepping, states, actions)
        returns, finished = counted(returns, rewards, dones)
        row = (seen, actions, rewards, dones, after)
        place = time % a.capacity
        memory = jax.tree.map(
            lambda x, y: jax.lax.dynamic_update_slice_in_dim(x, y.astype(x.dtype), place, 0), memory, row
        )
        done = time + 1
        weights, state = jax.lax.cond(
            (done >= a.start) & (done % a.frequency == 0),
            lambda: learn(learning, weights, target, state, memory, jnp.minimum(done, a.capacity)),
            lambda: (weights, state),
        )
        moved = done % a.target_period == 0
        target = jax.tree.map(lambda old, new: jnp.where(moved, new, old), target, weights)
        return (weights, target, state, memory, after, states, returns), finished

    def train(key: Any) -> Finished:
        first, second, key = jax.random.split(key, 3)
        seen, states = reset(first)
        weights = values.init(second, seen)
        shapes = ((a.capacity, 4), (a.capacity,), (a.capacity,), (a.capacity,), (a.capacity, 4))
        kinds = (jnp.float32, jnp.int32, jnp.float32, jnp.float32, jnp.float32)
        memory = tuple(jnp.zeros(shape, kind) for shape, kind in zip(shapes, kinds))
        carry = (weights, weights, optimizer.init(weights), memory, seen, states, jnp.zeros(n))
        return jax.lax.scan(timestep, carry, (jnp.arange(steps), jax.random.split(key, steps)))[1]

    return train


def last(finished: Finished, episodes: int = 100) -> dict[str, Any]:
    """The mean return of at least the last episodes, of whole updates."""
    total, count = 0.0, 0
    for returns, number in zip(reversed(finished.returns.tolist()), reversed(finished.episodes.tolist())):
        total, count = total + returns, count + number
        if count >= episodes:
            break
    return {"episodes": int(count), "episode_return": total / count if count else None}


def gradient_steps(workload: Workload, steps: int) -> int:
    """How many the program takes."""
    a = workload.algorithm
    if isinstance(a, PPO):
        rows = workload.n_envs * a.n_steps
        return steps // rows * a.epochs * (rows // a.batch_size)
    assert isinstance(a, DQN)
    first = -(-a.start // a.frequency)  # timesteps are counted from 1
    return max(steps // a.frequency - first + 1, 0) * a.gradient_steps


def measure(workload: Workload, steps: int, seed: int) -> dict[str, Any]:
    """One run: a program that is compiled, then run once."""
    import jax

    base = measurement.memory_mb()
    train = ppo if isinstance(workload.algorithm, PPO) else dqn
    clock = measurement.Timeline()
    clock.start()
    program = jax.jit(train(workload, steps)).lower(jax.random.key(seed)).compile()
    clock.update(0)
    finished = jax.device_get(program(jax.random.key(seed)))
    clock.end(steps)
    versions = measurement.versions("jax", "jaxlib", "flax", "optax", "gymnax", "numpy")
    devices = [device.platform for device in jax.devices()]
    counts = {"gradient_steps": gradient_steps(workload, steps)}
    return clock.figures() | last(finished) | counts | {"base_mb": base, "versions": versions, "devices": devices}


if __name__ == "__main__":
    measurement.child("purejax", measure)
