"""The prioritized replay memory: draws, weights, what comes back from the learner, and exact resume."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
import tensorflow as tf
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_envs import Counter

import kagent
from kagent import memories, objectives
from kagent.memories import Prioritized
from kagent.schedules import Clock, Linear

BOX, DISCRETE = spaces.Box(-np.inf, np.inf, (), np.float32), spaces.Discrete(3)
LINEAR = {"type": "mlp", "units": []}


def filled(count, capacity=8, **arguments):
    memory = Prioritized(capacity, **arguments)
    memory.build(BOX, DISCRETE)
    for number in range(count):
        append(memory, number)
    return memory


def append(memory, number):
    memory.append(np.float32(number), number % 3, number, False, False, np.float32(number + 1))


def told(memory, rows, errors):
    """As if the transitions in `rows` had been learned from."""
    memory.draw(1, 1, np.random.default_rng(0))
    memory._drawn = np.asarray(rows)
    memory.prioritize(np.asarray(errors, np.float32))


@pytest.mark.sensitive
def test_draws_are_in_proportion_to_priorities():
    memory = filled(6, alpha=0.5, epsilon=1e-9)
    told(memory, range(6), [1.0, 4.0, 0.25, 9.0, 0.0, 16.0])
    expected = np.array([1.0, 2.0, 0.5, 3.0, 0.0, 4.0]) / 10.5
    np.testing.assert_allclose(memory.priorities[:6] / memory.tree.total, expected, atol=1e-4)
    rows = np.concatenate([memory.draw(4, 250, np.random.default_rng(seed))[0].ravel() for seed in range(20)])
    counts = np.bincount(rows, minlength=8)
    assert not counts[6:].any()
    some = [0, 1, 2, 3, 5]
    assert (np.abs(counts[some] / 20_000 - expected[some]) < 0.02).all() and counts[4] < 20


@pytest.mark.sensitive
def test_draws_of_equal_priorities_are_uniform():
    memory = filled(20, 20)
    rows = np.concatenate([memory.draw(3, 200, np.random.default_rng(seed))[0].ravel() for seed in range(20)])
    counts = np.bincount(rows, minlength=20)
    # Chi-squared with 19 degrees of freedom: beyond 68 with probability 2e-7.
    assert ((counts - 600) ** 2 / 600).sum() < 68


def test_weights_by_hand():
    memory = filled(4, 4, alpha=1.0, beta=0.5, epsilon=1e-12)
    told(memory, range(4), [1.0, 2.0, 4.0, 1.0])
    rows, weights = memory.draw(8, 3, np.random.default_rng(0))
    assert rows.shape == weights.shape == (3, 8)
    probability = np.array([1, 2, 4, 1]) / 8
    by_hand = (4 * probability[rows]) ** -0.5
    np.testing.assert_allclose(weights, by_hand / by_hand.max(1, keepdims=True), rtol=1e-5)
    assert (weights.max(1) == 1).all() and weights.dtype == np.float32


def test_each_draw_is_from_its_own_part():
    memory = filled(8, 8, alpha=1.0)
    rows, _ = memory.draw(8, 50, np.random.default_rng(1))
    assert (rows == np.arange(8)).all()  # equal priorities: each part is one row


def test_beta_may_be_a_schedule_and_rises_by_itself():
    memory = filled(2, 2, alpha=1.0, epsilon=1e-12)
    assert memory.beta == Linear(0.4, 1.0)
    told(memory, [0, 1], [1.0, 3.0])
    for progress, beta in ((0.0, 0.4), (0.5, 0.7), (1.0, 1.0)):
        memory._clock = lambda progress=progress: Clock(progress=progress)
        rows, weights = memory.draw(4, 1, np.random.default_rng(0))
        assert rows.tolist() == [[0, 1, 1, 1]]
        np.testing.assert_allclose(weights[0], [1, *[3**-beta] * 3], rtol=1e-5)


def test_new_transitions_have_the_largest_priority_so_far():
    memory = filled(3, 4, alpha=1.0, epsilon=0.5)
    assert memory.priorities.tolist() == [1.0, 1.0, 1.0]
    told(memory, [0, 1], [7.0, 0.0])
    append(memory, 3)
    assert memory.priorities.tolist() == [7.5, 0.5, 1.0, 7.5]
    append(memory, 4)  # takes the place of the first
    append(memory, 5)
    assert memory.priorities.tolist() == [7.5, 7.5, 1.0, 7.5]


def test_of_errors_that_are_not_finite_nothing_is_learned():
    memory = filled(3, 4, alpha=1.0, epsilon=0.5)
    told(memory, [0, 1, 2], [np.nan, np.inf, 1.0])
    assert memory.priorities.tolist() == [1.0, 1.0, 1.5]


ERRORS = st.one_of(
    st.sampled_from([0.0, 1e-45, 1.0, 1e38, 3.4e38]), st.floats(0.0, 2.0**127, width=32), st.floats(0.0, 8.0, width=32)
)


@pytest.mark.filterwarnings("error:.*(overflow|underflow|invalid|divide)")
@settings(max_examples=60, deadline=None)
@given(
    errors=st.lists(st.lists(ERRORS, min_size=1, max_size=9), min_size=1, max_size=4),
    alpha=st.one_of(st.floats(0.0, 8.0), st.sampled_from([50.0, 1e6, 1e308])),
    beta=st.floats(0.0, 1.0),
    epsilon=st.sampled_from([1e-300, 1e-12, 1e-6, 1.0, 1e300]),
    seed=st.integers(0, 9),
)
def test_whatever_the_errors_every_transition_stays_possible(errors, alpha, beta, epsilon, seed):
    memory, count = filled(1, alpha=alpha, beta=beta, epsilon=epsilon), 1
    for some in errors:
        for _ in some:
            append(memory, count)
            count += 1
        size = len(memory)
        told(memory, np.arange(len(some)) % size, some)
        append(memory, count)
        count += 1
        size = len(memory)
        rows, weights = memory.draw(5, 3, np.random.default_rng(seed))
        assert (rows >= 0).all() and (rows < size).all()
        assert np.isfinite(weights).all() and (weights > 0).all() and (weights <= 1).all()
        assert (weights.max(axis=1) == 1).all()
        probabilities = memory.priorities / memory.tree.total
        assert np.isfinite(probabilities).all() and (probabilities > 0).all() and abs(probabilities.sum() - 1) < 1e-9
        other = filled(0, alpha=alpha, beta=beta, epsilon=epsilon)
        other.restore(memory.state())
        assert other.priorities.tolist() == memory.priorities.tolist()


def test_the_order_of_errors_is_the_order_of_probabilities():
    memory = filled(4, alpha=5.0)
    told(memory, range(4), [0.0, 1.0, 1e10, 1e38])
    assert (np.diff(memory.priorities) > 0).all()


def test_a_dataset_has_weights():
    memory = filled(8)
    told(memory, range(8), range(8))
    element = next(iter(memory.dataset(4, steps=3, seed=1)))
    assert element["weight"].shape == element["reward"].shape == (3, 4)
    dataset = memory.dataset(4)
    assert all(spec.shape.is_fully_defined() for spec in tf.nest.flatten(dataset.element_spec))
    first = [batch["reward"].numpy().tolist() for batch in itertools.islice(memory.dataset(4, seed=5), 6)]
    rest = [batch["reward"].numpy().tolist() for batch in itertools.islice(memory.dataset(4, seed=5, start=2), 4)]
    assert first[2:] == rest


@pytest.mark.parametrize("wrong", [
    {"alpha": -0.1}, {"alpha": "x"}, {"alpha": True}, {"beta": 1.5}, {"beta": -0.1}, {"epsilon": 0.0},
    {"epsilon": float("nan")},
])  # fmt: skip
def test_arguments_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match=rf"`memory.{next(iter(wrong))}`.*Received"):
        Prioritized(10, **wrong)


def test_parts_stand_for_it():
    memory = memories.get(
        {"type": "prioritized", "capacity": 5, "beta": {"type": "Linear", "initial": 0.1, "final": 1}}
    )
    assert isinstance(memory, Prioritized) and memories.get(memory.get_part()).get_part() == memory.get_part()
    with pytest.raises(ValueError, match=r"`memory` Prioritized counts timesteps and needs update.unit='timesteps'"):
        kagent.DQN("CartPole-v1", memory=memory, update={"unit": "episodes", "batch_size": 2})


@pytest.mark.parametrize("count", [0, 5, 8, 21])
def test_a_restored_memory_goes_on_as_the_saved_one(count):
    memory, other, larger = filled(count), filled(8), filled(0, 12)
    generator = np.random.default_rng(0)
    if count:
        told(memory, generator.integers(min(count, 8), size=20), generator.normal(size=20))
    for target in (other, larger):
        target.restore({key: iter([value[:2].copy(), value[2:].copy()]) for key, value in memory.state().items()})
    by_reward = [
        dict(zip(target.storage.views["reward"][: len(target)].tolist(), target.priorities.tolist()))
        for target in (memory, larger)
    ]
    assert by_reward[0] == by_reward[1]
    for number in range(100, 130):
        for target in (memory, other):
            append(target, number)
            told(target, [number % 3, 0], [number, 3.0])
        ours, theirs = memory.draw(4, 2, np.random.default_rng(1)), other.draw(4, 2, np.random.default_rng(1))
        np.testing.assert_array_equal(ours, theirs)
    for name, value in memory.state().items():
        np.testing.assert_array_equal(value, other.state()[name], err_msg=name)


def test_impossible_priorities_are_refused():
    state = filled(5).state()
    for wrong in (
        {"priorities": np.array([1.0, 1, 1, 1, 0])}, {"priorities": np.array([1.0, 1, 1, 1, np.nan])},
        {"priorities": np.ones(4)}, {"priorities": np.ones(5, np.float32)}, {"largest": np.array([-1.0])},
    ):  # fmt: skip
        with pytest.raises(ValueError, match="Saved memory"):
            filled(0).restore({**state, **wrong})


# In an agent -----------------------------------------------------------------------------------------------


def dqn(cls=kagent.DQN, env=None, **changes):
    arguments = {
        "network": LINEAR,
        "memory": {"type": "prioritized", "capacity": 60},
        "batch_size": 8,
        "start": 8,
        "seed": 0,
    }
    agent = cls(Counter(lengths=(6,)) if env is None else env, **{**arguments, **changes})
    agent.compile(jit_compile=False)
    return agent


@pytest.mark.parametrize("compiled", [{"jit_compile": False}, {"jit_compile": True}, {"run_eagerly": True}])
def test_priorities_after_an_update_are_the_errors(compiled):
    """By hand from the first update: two gradient steps, and each row's error in the last one that drew it."""
    agent = dqn(
        frequency=8,
        start=8,
        gradient_steps=2,
        discount=0.5,
        horizon=0,
        optimizer={"type": "SGD", "learning_rate": 1e-4},
    )
    agent.compile(**compiled)
    env = Counter(lengths=(6,))
    agent.fit(env, steps=7, verbose=0)
    assert agent.updates == 0
    before = [v.numpy() for v in agent.policy.variables]
    agent.fit(env, steps=1, verbose=0)
    assert agent.updates == 2
    views, memory = agent.memory.storage.views, agent.memory
    observation, successor, reward = (
        views[name][:8].copy() for name in ("observation.0", "next_observation.0", "reward")
    )
    target = reward + 0.5 * ~views["terminated"][:8].astype(bool) * (successor @ before[0] + before[1]).max(1)
    after = [v.numpy() for v in agent.policy.variables]
    rows = memory._drawn.reshape(2, 8)
    np.testing.assert_array_equal(rows[0], np.arange(8))  # at first all are alike
    taken = views["action.0"][:8].astype(int)

    def errors(weights):
        return np.abs(target - (observation @ weights[0] + weights[1])[np.arange(8), taken])

    # The second step began from weights between these; they move little, and every row was drawn in it again.
    np.testing.assert_array_equal(rows[1], np.arange(8))
    found = memory.priorities ** (1 / 0.6) - 1e-6
    lowest, highest = np.minimum(errors(before), errors(after)), np.maximum(errors(before), errors(after))
    assert (found > lowest * (1 - 1e-4)).all() and (found < highest * (1 + 1e-4)).all()
    assert np.abs(found - errors(before)).max() > 1e-4  # not those of the first step
    assert memory.largest == pytest.approx(max(errors(before).max(), found.max(), 1.0), rel=0.05)


def test_importance_weights_enter_the_loss():
    seen, reported = [], []

    class Watching(kagent.DQN):
        def report_errors(self, errors):
            super().report_errors(errors)
            reported.append(errors.numpy())

        def train_step(self, batch):
            logs = super().train_step(batch)
            seen.append((batch["weight"].numpy(), reported[-1], float(logs["loss"])))
            return logs

    agent = dqn(Watching, huber=None, frequency=2, learning_rate=0.1)
    agent.compile(run_eagerly=True)
    history = agent.fit(Counter(lengths=(6,)), steps=40, verbose=0).history
    assert len(seen) == 17 and "td_error" not in history
    for weight, error, loss in seen:
        np.testing.assert_allclose(loss, (weight * error**2 / 2).sum() / weight.sum(), rtol=1e-5)
    assert any(weight.min() < 0.9 for weight, _, _ in seen)


def test_other_memories_get_no_errors():
    agent = dqn(memory=60)
    agent.train_step(
        {
            "observation": tf.zeros((2, 3)), "next_observation": tf.zeros((2, 3)), "action": tf.zeros(2, tf.int32),
            "reward": tf.zeros(2), "terminated": tf.zeros(2, tf.bool), "truncated": tf.zeros(2, tf.bool),
        }
    )  # fmt: skip
    assert agent.minimizer.take_errors() is None


class Inventive(kagent.Agent):
    """Has its own step, whose errors are made up: -2, -1, 0, 1 ..."""

    gives_errors = True

    def train_step(self, batch):
        self.report_errors(tf.range(batch["reward"].shape[0]) - 2)
        return {**self.objective.update(self, batch)}


class Silent(Inventive):
    def train_step(self, batch):
        return self.objective.update(self, batch)


class Verbose(Inventive):
    def train_step(self, batch):
        return {**super().train_step(batch), "td_error": batch["reward"]}


class Few(Inventive):
    def train_step(self, batch):
        logs = super().train_step(batch)
        self.report_errors(batch["reward"][:3])
        return logs


def parts(cls=kagent.Agent, objective="behavior_cloning", **changes):
    agent = cls(
        Counter(lengths=(6,)),
        **{
            "policy": {"type": "ValuePolicy", "network": LINEAR}, "objective": objective, "memory": {"type": "prioritized",
            "capacity": 9}, "update": {"unit": "timesteps", "batch_size": 8}, "reward_estimation": {"discount": 0.5},
            "optimizer": {"type": "SGD", "learning_rate": 0.125}, "seed": 0, **changes
        },
    )  # fmt: skip
    agent.compile(run_eagerly=True)
    return agent


def test_an_objective_without_errors_is_refused():
    with pytest.raises(ValueError, match=r"`memory` Prioritized .*BehaviorCloningObjective gives none.*report_errors"):
        parts()

    class Own(kagent.objectives.BehaviorCloningObjective):
        pass

    with pytest.raises(ValueError, match=r"`memory` Prioritized .* `objective` Own gives none"):
        parts(objective=Own())
    both = {"type": "plus", "objective1": "behavior_cloning", "objective2": "behavior_cloning"}
    with pytest.raises(ValueError, match=r"`objective` PlusObjective gives none"):
        parts(objective=both)
    assert parts(memory=9).objective.gives_errors is False  # any other memory is as good as ever


@objectives.OBJECTIVES.register()
class ErrorsInTerms(objectives.BehaviorCloningObjective):
    """Of an objective without errors, with terms of its own: these say whether there are any."""

    def terms(self, context, batch):
        (term,) = super().terms(context, batch)
        return [dataclasses.replace(term, errors=lambda batch: tf.range(8.0))]


@objectives.OBJECTIVES.register()
class NoErrorsInTerms(objectives.ActionValueObjective):
    def terms(self, context, batch):
        return [dataclasses.replace(term, errors=None) for term in super().terms(context, batch)]


def test_the_terms_say_whether_there_are_errors():
    agent = parts(objective=ErrorsInTerms())
    agent.fit(Counter(lengths=(6,)), steps=8, verbose=0)
    np.testing.assert_allclose(agent.memory.priorities, (np.arange(8) + 1e-6) ** 0.6, rtol=1e-6)
    for objective in (NoErrorsInTerms(), objectives.PlusObjective(NoErrorsInTerms(), "behavior_cloning")):
        # By the constructor: no environment was stepped.
        for estimation in ({"discount": 0.5}, {"discount": 0.5, "horizon": 2, "estimate_horizon": "early"}):
            with pytest.raises(
                ValueError, match=r"no term of `objective` .*errors=\.\.\..*Received: terms of the roles"
            ):
                parts(objective=objective, reward_estimation=estimation, memory={"type": "prioritized", "capacity": 20})


@objectives.OBJECTIVES.register()
class Odd(NoErrorsInTerms):
    def terms(self, context, batch):
        return super().terms(context, {**batch, "observation": batch["nothing"]})


def test_terms_that_cannot_be_made_of_placeholders_are_left_to_the_first_update():
    agent = parts(objective=Odd())
    with pytest.raises(KeyError, match="nothing"):
        agent.fit(Counter(lengths=(6,)), steps=8, verbose=0)


def test_looking_at_the_terms_changes_nothing():
    """Neither the agent's memory, nor what a layer that draws counts, nor the time."""
    noisy = {"type": "layered", "layers": [{"type": "dense", "size": 3}, {"type": "dropout", "rate": 0.5}]}
    agent = parts(objective=ErrorsInTerms(), policy={"type": "ValuePolicy", "network": noisy})
    assert (agent.memory.capacity, agent.memory.built, len(agent.memory)) == (9, False, 0)
    seeds = [v for v in agent.policy.variables if "seed" in v.path]
    assert seeds and [seed.numpy()[1] for seed in seeds] == [0] * len(seeds)
    assert agent._clock.program is None and agent.minimizer.take_errors() is None


def test_a_step_of_the_users_own_reports_its_errors():
    agent = parts(Inventive)
    agent.fit(Counter(lengths=(6,)), steps=8, verbose=0)
    assert agent.updates == 1
    np.testing.assert_allclose(agent.memory.priorities, (np.abs(np.arange(8) - 2) + 1e-6) ** 0.6, rtol=1e-6)


@pytest.mark.parametrize(
    "cls, message",
    [
        (Silent, r"did not call `agent.report_errors\(errors\)`"),
        (Verbose, r"'td_error' of shape \(8,\)\. Errors of samples .*report_errors"),
        (Few, r"one error per sample, \(8,\)\. Received: errors of shape \(3,\)"),
    ],
)
def test_steps_that_do_not_report_them_right_are_refused(cls, message):
    with pytest.raises(ValueError, match=message):
        parts(cls).fit(Counter(lengths=(6,)), steps=8, verbose=0)


def test_added_objectives_add_their_errors():
    """0.5 and 3 times the same error; beside behaviour cloning, which has none, 0.5 times."""
    single = {"type": "action_value", "huber": None}
    found = []
    for objective in (
        single,
        {"type": "plus", "objective1": single, "objective2": "action_value", "weight1": 0.5, "weight2": 3.0},
        {"type": "plus", "objective1": "behavior_cloning", "objective2": single, "weight2": 0.5},
    ):
        agent = parts(objective=objective)
        agent.fit(Counter(lengths=(6,)), steps=8, verbose=0)
        assert agent.updates == 1
        found.append(agent.memory.priorities ** (1 / 0.6) - 1e-6)
    assert found[0].min() > 1e-3
    np.testing.assert_allclose(found[1], 3.5 * found[0], rtol=1e-4)
    np.testing.assert_allclose(found[2], 0.5 * found[0], rtol=1e-4)


def test_added_objectives_keep_their_own_targets():
    """Double Q-learning has another target than plain Q-learning: each is learned as by itself."""
    plain, double = {"type": "action_value", "huber": None}, {"type": "action_value", "huber": None, "double": True}
    losses = []
    for objective in (plain, double, {"type": "plus", "objective1": plain, "objective2": double, "weight2": 2.0}):
        agent = parts(objective=objective, target={"period": 1000})
        for role in (agent.policy, agent.target_policy):  # the target network says the opposite
            sign = 1.0 if role is agent.policy else -1.0
            for variable in role.variables:
                variable.assign(sign * np.arange(1.0, 1.0 + np.prod(variable.shape)).reshape(variable.shape))
        losses.append(agent.fit(Counter(lengths=(6,)), steps=8, verbose=0).history["loss"][-1])
    assert abs(losses[0] - losses[1]) > 0.1
    np.testing.assert_allclose(losses[2], losses[0] + 2.0 * losses[1], rtol=1e-5)


def test_it_is_traced_once_and_goes_with_windows():
    agent = dqn(reward_estimation={"horizon": 2, "discount": 0.9, "estimate_horizon": "early"}, gradient_steps=3)
    agent.fit(Counter(lengths=(6,)), steps=150, verbose=0)
    assert agent.updates > 90 and agent.train_function.traces == 1
    assert np.unique(agent.memory.priorities).size > 10


def test_soft_actor_critic_says_its_errors_too(small):
    agent = small("sac", memory={"type": "prioritized", "capacity": 100})
    agent.fit("Pendulum-v1", steps=60, verbose=0)
    assert np.unique(agent.memory.priorities).size > 10 and np.isfinite(agent.memory.priorities).all()
