"""An actor in a service: many observations at once, many threads at once."""

import threading

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces as S

import kagent
from kagent import spaces
from kagent.acting import Actor, Compiler, EpisodeStates, Program, distributions
from kagent.spaces import Structure

ROWS = 1500


def made(observation, action, kind, seed=0):
    """An actor of random weights: its leaves, flat and side by side, then one dense layer for each head."""
    leaves, compiler = Structure(observation).leaves, Compiler()
    inputs = [compiler.input(leaf.shape, str(spaces_dtype(leaf))) for leaf in leaves]
    return Actor(*_parts(observation, action, kind, compiler, inputs, seed))


def spaces_dtype(leaf):
    from kagent.acting.spaces import stored_dtype

    return stored_dtype(leaf)


def _parts(observation, action, kind, compiler, inputs, seed):
    chosen = [
        distributions.make(kind[leaf.kind] if isinstance(kind, dict) else kind, leaf)
        for leaf in Structure(action).leaves
    ]
    flat = [compiler.add("flatten", [compiler.add("cast", [x], dtype="float32")]) for x in inputs]
    x = compiler.add("concatenate", flat) if len(flat) > 1 else flat[0]
    rng = np.random.default_rng(seed)
    arrays, outputs = [], []
    for width in [width for decision in chosen for width in decision.widths]:
        kernel = Weight(rng.normal(0.0, 0.5, (compiler.shape(x)[0], width)).astype(np.float32))
        arrays.append(kernel.value)
        outputs.append(compiler.add("dense", [x], [kernel]))
    config, _ = compiler.finish(outputs)
    described = spaces.to_config(observation), spaces.to_config(action)
    return (
        None,
        described[0],
        chosen,
        np.random.Generator(np.random.Philox(seed)),
        Program(config, arrays),
        described[1],
    )


class Weight:
    """Stands for a Keras variable."""

    dtype, path = "float32", "weight"

    def __init__(self, value):
        self.value, self.shape = value, value.shape


NESTED = S.Dict(a=S.Box(-1.0, 1.0, (2, 2), np.float64), b=S.Discrete(5, start=2), c=S.MultiBinary(3))
ACTIONS = S.Dict(go=S.Discrete(4, start=1), move=S.Box(-2.0, 2.0, (3,), np.float32), many=S.MultiDiscrete([2, 3]))
KIND = {"discrete": "categorical", "multi_discrete": "categorical", "box": "deterministic"}
CASES = {
    "flat": (S.Box(-1.0, 1.0, (4,)), S.Discrete(3, start=5), KIND),
    "nested": (NESTED, ACTIONS, KIND),
}


def samples(space, count, seed=0):
    """Observations one by one, and as a vector environment has them."""
    space.seed(seed)
    one_by_one = [space.sample() for _ in range(count)]
    batched = gymnasium.vector.utils.concatenate(
        space, one_by_one, gymnasium.vector.utils.create_empty_array(space, count)
    )
    return one_by_one, batched


def rows(space, batched, count):
    return list(gymnasium.vector.utils.iterate(gymnasium.vector.utils.batch_space(space, count), batched))


def same(one, other):
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    return bool(np.array_equal(one, other))


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("count", [1, 2, 37, ROWS])
def test_a_batch_is_each_of_its_rows(name, count):
    observation, action, kind = CASES[name]
    actor = made(observation, action, kind)
    one_by_one, batched = samples(observation, count)
    found = actor.act_batch(batched)
    assert action.contains(rows(action, found, count)[0])
    checked = range(0, count, max(1, count // 40))
    taken = rows(action, found, count)
    for index in checked:
        expected = actor.act(one_by_one[index])
        if name == "flat":
            assert taken[index] == expected
        else:
            np.testing.assert_allclose(taken[index]["move"], expected["move"], rtol=1e-5, atol=1e-6)
            assert taken[index]["go"] == expected["go"] and same(taken[index]["many"], expected["many"])


def test_a_batch_of_samples():
    """Of 1,024 equal rows with probabilities of 3 values, each comes about as often as it should."""
    actor = made(S.Box(-1.0, 1.0, (4,)), S.Discrete(3), KIND)
    row = np.full((1, 4), 0.5, np.float32)
    logits = actor.program([row])[0][0].astype(np.float64)
    expected = np.exp(logits - logits.max())
    expected /= expected.sum()
    found = np.bincount(actor.act_batch(np.repeat(row, 1024, 0), deterministic=False), minlength=3) / 1024
    np.testing.assert_allclose(found, expected, atol=5 * 0.5 / 32)  # five standard deviations at most


def test_masks_of_a_batch():
    actor = made(S.Box(-1.0, 1.0, (4,)), S.Discrete(3, start=5), KIND)
    _, batched = samples(S.Box(-1.0, 1.0, (4,)), 6)
    masks = [[True, False, False], None, [0, 1, 0], [0, 0, 1], np.array([True, True, False]), None]
    found = actor.act_batch(batched, masks=masks)
    assert found[[0, 2, 3]].tolist() == [5, 6, 7] and found[4] in (5, 6)
    assert found[1] == actor.act(batched[1])
    seen = S.Dict(action_mask=S.MultiBinary(3), x=S.Box(-1.0, 1.0, (4,)))
    actor = made(seen, S.Discrete(3, start=5), KIND)
    given = {"action_mask": np.eye(3, dtype=np.int8), "x": batched[:3]}
    assert actor.act_batch(given).tolist() == [5, 6, 7]


@pytest.mark.parametrize(
    "observations, masks, message",
    [
        (np.zeros(4), None, r"`observations` must have shape \(4, 4\)|must be arrays of shapes|must have shape"),
        (np.zeros((0, 4)), None, r"`observations` must be arrays of shapes \(N, 4\), N >= 1\. Received: \[\(0, 4\)\]"),
        (3.0, None, "`observations` must be arrays of shapes"),
        (np.zeros((2, 5)), None, r"`observations` must have shape \(2, 4\)"),
        (np.full((2, 4), np.nan), None, "`observations` must be finite"),
        ([[1.0, 2.0], [1.0]], None, "`observations` must be arrays with a batch axis"),
        (np.zeros((2, 4)), [None], "`masks` must be 2 masks, one for each observation. Received: 1"),
        (np.zeros((2, 4)), True, "`masks` must be 2 masks, one for each observation. Received: bool"),
        (np.zeros((2, 4)), [None, [False] * 3], "allows no value"),
    ],
)
def test_bad_batches_are_refused(observations, masks, message):
    actor = made(S.Box(-1.0, 1.0, (4,)), S.Discrete(3), KIND)
    with pytest.raises(ValueError, match=message):
        actor.act_batch(observations, masks=masks)


def test_leaves_of_another_number_are_refused():
    actor = made(NESTED, ACTIONS, KIND)
    _, batched = samples(NESTED, 3)
    with pytest.raises(ValueError, match=r"`observations` must be arrays of shapes .*N >= 1"):
        actor.act_batch({**batched, "b": batched["b"][:2]})


def in_threads(count, work):
    """Runs `work(number)` in so many threads that begin together; raises what one of them raised."""
    barrier, errors = threading.Barrier(count), []

    def run(number):
        try:
            barrier.wait()
            work(number)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


@pytest.mark.parametrize("name", CASES)
def test_eight_threads_get_what_one_gets(name):
    """Acts, batches of one size and of several, and `decide`, on the arrays of one program."""
    observation, action, kind = CASES[name]
    actor = made(observation, action, kind)
    one_by_one, batched = samples(observation, 64)
    expected = [actor.act(one) for one in one_by_one]
    sizes = [64, 64, 16, 33]
    whole = {size: actor.act_batch(gathered(batched, size)) for size in sizes}
    read = [actor.read(one)[0] for one in one_by_one]
    decided = [[part.copy() for part in actor.decide(leaves, deterministic=True)] for leaves in read]

    def work(number):
        size = sizes[number % len(sizes)]
        for turn in range(40):
            index = (turn * 7 + number) % 64
            if number % 3 == 0:
                assert same(actor.act_batch(gathered(batched, size)), whole[size])
            elif number % 3 == 1:
                assert same(actor.act(one_by_one[index]), expected[index])
            else:
                found = actor.decide(read[index], deterministic=True)
                assert all(np.array_equal(a, b) for a, b in zip(found, decided[index], strict=True))

    in_threads(8, work)


def gathered(batched, size):
    return {key: value[:size] for key, value in batched.items()} if isinstance(batched, dict) else batched[:size]


def test_eight_threads_with_episodes_of_their_own():
    """An actor with noise that stays: each thread carries its own states, and greedy actions are as alone."""
    agent = kagent.SAC(
        "Pendulum-v1",
        network={"type": "mlp", "units": [8]},
        memory=100,
        batch_size=4,
        start=8,
        state_dependent_noise=4,
        seed=0,
    )
    actor = agent.actor
    actor.refresh()
    observations = np.random.default_rng(0).normal(size=(8, 3, 3)).astype(np.float32)
    expected = [
        actor.decide_from([one], actor.initial_state(3), deterministic=True)[0][0].copy() for one in observations
    ]

    def work(number):
        states = EpisodeStates(actor, 3)
        for _ in range(40):
            found = states.decide([observations[number]], deterministic=True)
            states.advance()
            np.testing.assert_array_equal(found[0], expected[number])

    in_threads(8, work)


def test_samples_of_threads_are_those_of_the_stream():
    """Whichever thread takes a turn, all draws come from one stream, none twice: together they are the draws of one thread."""
    draw = lambda: made(S.Box(-1.0, 1.0, (4,)), S.Box(-9.0, 9.0, (1,), np.float32), "gaussian")  # noqa: E731
    together, alone, found = draw(), draw(), []
    row = np.zeros(4, np.float32)
    in_threads(8, lambda number: found.extend(float(together.act(row, deterministic=False)[0]) for _ in range(50)))
    assert sorted(found) == sorted(float(alone.act(row, deterministic=False)[0]) for _ in range(400))
