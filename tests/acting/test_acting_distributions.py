"""Heads to actions: modes, samples, masks, and what the environment gets."""

import json
import math
import warnings

import gymnasium
import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from kagent.acting import distributions
from kagent.spaces import Structure

SPACES = gymnasium.spaces


def generator(seed=0):
    return np.random.Generator(np.random.Philox(seed))


def make(kind, space):
    return distributions.make(kind, Structure(space).leaves[0])


def softmax(logits):
    powers = np.exp(logits - np.max(logits))
    return powers / powers.sum()


def assert_frequencies(indices, probabilities):
    """A chi-square bound that a right sampler misses once in millions of seeds; impossible values never occur."""
    counts = np.bincount(indices, minlength=len(probabilities))
    expected = np.asarray(probabilities) * len(indices)
    assert (counts[expected == 0.0] == 0).all()
    possible = expected > 0.0
    statistic = (((counts - expected) ** 2)[possible] / expected[possible]).sum()
    freedom = possible.sum() - 1
    assert statistic < freedom + 6.0 * math.sqrt(2.0 * max(freedom, 1)) + 12.0


DISCRETE = {
    "discrete": SPACES.Discrete(4, start=-2),
    "one": SPACES.Discrete(1),
    "many": SPACES.Discrete(50),
    "multi": SPACES.MultiDiscrete([2, 5, 3], start=[0, 7, -1]),
    "multi_equal": SPACES.MultiDiscrete([3, 3]),
    "multi_rank_2": SPACES.MultiDiscrete([[2, 3], [4, 2]]),
    "multi_single": SPACES.MultiDiscrete([4]),
    "binary": SPACES.MultiBinary(3),
    "binary_rank_2": SPACES.MultiBinary((2, 2)),
}


BITS = SPACES.MultiDiscrete([2, 2], start=[3, -1])


def parts(leaf, array):
    return np.split(array, np.cumsum(leaf.nvec.ravel())[:-1], axis=-1)


@pytest.mark.parametrize("count", [1, 5])
@pytest.mark.parametrize("name", sorted(DISCRETE))
def test_categorical_mode(name, count):
    decision = make("categorical", DISCRETE[name])
    leaf, rng = decision.leaf, generator()
    logits = rng.normal(size=(count, *decision.widths)).astype(np.float32)
    mask = rng.random(logits.shape) < 0.4
    for part in parts(leaf, mask):
        part[:, -1] |= ~part.any(-1)
    for given_mask in (None, mask):
        chosen = decision.choose([logits], rng, True, given_mask)
        assert chosen.shape == (count, *leaf.shape) and chosen.dtype == np.int32
        assert chosen.flags.writeable and not np.shares_memory(chosen, logits)
        scores = logits if given_mask is None else np.where(mask, logits, -np.inf)
        best = np.stack([part.argmax(-1) for part in parts(leaf, scores)], -1)
        np.testing.assert_array_equal(chosen.reshape(count, -1), best)
        env = decision.to_env(chosen)
        assert env.dtype == leaf.dtype
        assert all(DISCRETE[name].contains(action) for action in env)
        np.testing.assert_array_equal(env, chosen + leaf.start)


def test_ties_go_to_the_lowest_index():
    decision = make("categorical", SPACES.MultiDiscrete([3, 2]))
    logits = np.array([[1.0, 2.0, 2.0, 5.0, 5.0]], np.float32)
    assert decision.choose([logits], generator(), True).tolist() == [[1, 0]]
    single = make("categorical", SPACES.Discrete(3))
    mask = np.array([[False, True, True]])
    assert single.choose([np.zeros((1, 3), np.float32)], generator(), True).tolist() == [0]
    assert single.choose([np.zeros((2, 3), np.float32)], generator(), True, mask.repeat(2, 0)).tolist() == [1, 1]
    assert single.choose([np.zeros((1, 3), np.float32)], generator(), True, mask).tolist() == [1]


@pytest.mark.sensitive
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("count", [1, 4000])
@pytest.mark.parametrize("name", ["discrete", "multi", "binary"])
def test_categorical_samples(name, count, masked):
    decision = make("categorical", DISCRETE[name])
    rng, width = generator(3), decision.widths[0]
    row = rng.normal(0.0, 1.5, (1, width)).astype(np.float32)
    mask = np.ones((1, width), bool)
    if masked:
        for part in parts(decision.leaf, mask):
            part[:, 0] = False
        row[~mask] = 9.0
    logits, masks = row.repeat(count, 0), mask.repeat(count, 0) if masked else None
    draws = [decision.choose([logits], rng, False, masks) for _ in range(4000 // count)]
    indices = np.concatenate(draws).reshape(4000, -1)
    for k, (logit, allowed) in enumerate(zip(parts(decision.leaf, row[0]), parts(decision.leaf, mask[0]))):
        assert_frequencies(indices[:, k], softmax(np.where(allowed, logit, -np.inf)))
    if name == "multi":  # components are independent
        joint = np.histogram2d(indices[:, 1], indices[:, 2], bins=[np.arange(6), np.arange(4)])[0] / 4000
        np.testing.assert_allclose(joint, np.outer(joint.sum(1), joint.sum(0)), atol=0.03)


@pytest.mark.sensitive
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("count", [1, 4000])
@pytest.mark.parametrize("name", ["discrete", "multi", "binary", "multi_rank_2"])
def test_categorical_random(name, count, masked):
    decision = make("categorical", DISCRETE[name])
    rng, mask = generator(4), np.ones((1, decision.widths[0]), bool)
    if masked:
        for part in parts(decision.leaf, mask):
            part[:, -1] = False
    draws = [decision.random(count, rng, mask.repeat(count, 0) if masked else None) for _ in range(4000 // count)]
    assert all(draw.shape == (count, *decision.leaf.shape) and draw.dtype == np.int32 for draw in draws)
    indices = np.concatenate(draws).reshape(4000, -1)
    for k, allowed in enumerate(parts(decision.leaf, mask[0])):
        assert_frequencies(indices[:, k], allowed / allowed.sum())


ODD = [math.nan, math.inf, -math.inf, 3e38, -3e38, 0.0, 1.0]


@settings(max_examples=60, deadline=None)
@given(
    name=st.sampled_from(["discrete", "multi", "multi_equal", "many"]),
    count=st.sampled_from([1, 3]),
    deterministic=st.booleans(),
    seed=st.integers(0, 2**16),
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_masked_values_are_never_chosen_whatever_the_logits(name, count, deterministic, seed):
    decision = make("categorical", DISCRETE[name])
    rng = np.random.default_rng(seed)
    logits = rng.choice(ODD, (count, *decision.widths)).astype(np.float32)
    mask = rng.random(logits.shape) < 0.3
    for part in parts(decision.leaf, mask):
        part[:, rng.integers(part.shape[1])] = True
    chosen = decision.choose([logits], generator(seed), deterministic, mask).reshape(count, -1)
    for k, part in enumerate(parts(decision.leaf, mask)):
        assert part[np.arange(count), chosen[:, k]].all()
    free = decision.choose([logits], generator(seed), deterministic).reshape(count, -1)
    assert ((free >= 0) & (free < decision.leaf.nvec.ravel())).all()


@pytest.mark.parametrize("deterministic", [True, False])
@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("name", ["discrete", "multi", "many"])
def test_a_mask_of_all_false(name, count, deterministic):
    decision = make("categorical", DISCRETE[name])
    mask = np.ones((count, *decision.widths), bool)
    parts(decision.leaf, mask)[-1][-1] = False
    logits = np.zeros(mask.shape, np.float32)
    with pytest.raises(ValueError, match=f"row {count - 1}"):
        decision.choose([logits], generator(), deterministic, mask)
    with pytest.raises(ValueError, match="allows no value"):
        decision.random(count, generator(), mask)


BOXES = {
    "float32": SPACES.Box(np.float32([-2.0, 0.0, -0.5]), np.float32([2.0, 1.0, 7.5])),
    "float64": SPACES.Box(-1.0, 1.0, (2, 2), np.float64),
    "half_open": SPACES.Box(np.float32([0.0, -np.inf]), np.float32([np.inf, 1.0])),
    "unbounded": SPACES.Box(-np.inf, np.inf, (3,)),
    "uint8": SPACES.Box(0, 255, (2,), np.uint8),
    "int64": SPACES.Box(-3, 5, (2,), np.int64),
    "int64_whole": SPACES.Box(np.iinfo(np.int64).min, np.iinfo(np.int64).max, (2,), np.int64),
    "scalar": SPACES.Box(-1.0, 1.0, ()),
    "huge": SPACES.Box(np.finfo(np.float32).min, np.finfo(np.float32).max, (2,)),
}


@pytest.mark.parametrize("name", sorted(BOXES))
def test_gaussian(name):
    space = BOXES[name]
    decision = make("gaussian", space)
    rng, leaf = generator(1), decision.leaf
    mean = rng.normal(size=(6, leaf.size)).astype(np.float32)
    log_std = np.full((6, leaf.size), -1.0, np.float32)
    mode = decision.choose([mean, log_std], rng, True)
    assert mode.dtype == np.float32 and mode.shape == (6, *leaf.shape) and not np.shares_memory(mode, mean)
    np.testing.assert_array_equal(mode.reshape(6, -1), mean)
    sample = decision.choose([mean, log_std], rng, False)
    assert sample.dtype == np.float32 and (sample != mode).all()
    for canonical in (mode, sample, sample * 1e6, decision.random(6, rng)):
        assert canonical.shape == (6, *leaf.shape) and canonical.dtype == np.float32
        before = canonical.copy()
        env = decision.to_env(canonical)
        assert env.dtype == space.dtype and all(space.contains(np.asarray(row)) for row in env)
        assert not np.shares_memory(env, canonical)
        np.testing.assert_array_equal(canonical, before)
    inside = np.clip(np.float32(0.6), leaf.low, leaf.high)
    rounded = np.rint(inside) if space.dtype.kind in "iu" else inside
    np.testing.assert_allclose(decision.to_env(np.full((1, *leaf.shape), 0.6, np.float32))[0], rounded, rtol=1e-6)


@pytest.mark.sensitive
def test_gaussian_samples():
    decision = make("gaussian", SPACES.Box(-1.0, 1.0, (2,)))
    count = 20_000
    mean, log_std = np.float32([[3.0, -2.0]]).repeat(count, 0), np.float32([[0.5, -1.0]]).repeat(count, 0)
    sample = decision.choose([mean, log_std], generator(), False)
    np.testing.assert_allclose(sample.mean(0), [3.0, -2.0], atol=0.06)
    np.testing.assert_allclose(sample.std(0), np.exp([0.5, -1.0]), rtol=0.03)
    uniform = decision.random(count, generator())
    assert np.abs(uniform).max() <= 1.0
    np.testing.assert_allclose(uniform.std(0), 1.0 / np.sqrt(3.0), rtol=0.03)
    normal = make("gaussian", BOXES["unbounded"]).random(count, generator())
    np.testing.assert_allclose(normal.std(0), 1.0, rtol=0.03)


@pytest.mark.sensitive
def test_random_actions_stay_inside_a_single_bound():
    space = SPACES.Box(np.float32([2.0, -np.inf, -np.inf, -1.0]), np.float32([np.inf, -3.0, np.inf, 1.0]))
    decision = make("gaussian", space)
    draws = decision.random(20_000, generator()).astype(float)
    np.testing.assert_array_equal(decision.to_env(draws.astype(np.float32)), draws)  # nothing was left to clip
    for column, distribution in zip(
        (draws[:, 0] - 2.0, -3.0 - draws[:, 1], draws[:, 2], (draws[:, 3] + 1.0) / 2.0),
        ("expon", "expon", "norm", "uniform"),
    ):
        assert scipy.stats.kstest(column, distribution).pvalue > 1e-5


@pytest.mark.parametrize("name", sorted(set(BOXES) - {"half_open", "unbounded"}))
def test_beta(name):
    space = BOXES[name]
    decision = make("beta", space)
    rng, leaf = generator(1), decision.leaf
    heads = [rng.normal(0.0, 3.0, (6, leaf.size)).astype(np.float32) for _ in range(2)]
    before = [head.copy() for head in heads]
    mode = decision.choose(heads, rng, True)
    a, b = (np.log1p(np.exp(head.astype(float))) for head in heads)
    np.testing.assert_allclose(mode.reshape(6, -1), (a - b) / (a + b), atol=1e-4)  # the mode, not the mean
    for canonical in (mode, decision.choose(heads, rng, False), decision.random(6, rng)):
        assert canonical.shape == (6, *leaf.shape) and canonical.dtype == np.float32
        assert np.abs(canonical).max() <= 1.0
        env = decision.to_env(canonical)
        assert env.dtype == space.dtype and all(space.contains(np.asarray(row)) for row in env)
    np.testing.assert_array_equal(heads, before)


@pytest.mark.sensitive
def test_beta_samples():
    decision = make("beta", SPACES.Box(-1.0, 1.0, (2,)))
    heads = [np.float32([[0.5, 3.0]]).repeat(20_000, 0), np.float32([[2.0, -4.0]]).repeat(20_000, 0)]
    draws = decision.choose(heads, generator(), False).astype(float)
    for column, a, b in zip(draws.T, (0.5, 3.0), (2.0, -4.0)):
        alpha, beta = (1.0 + math.log1p(math.exp(x)) for x in (a, b))
        assert scipy.stats.kstest((column + 1.0) / 2.0, scipy.stats.beta(alpha, beta).cdf).pvalue > 1e-5
    extreme = [np.float32([[-500.0, 500.0]]), np.float32([[-500.0, -500.0]])]
    for deterministic in (True, False):
        assert (np.abs(decision.choose(extreme, generator(), deterministic)) <= 1.0).all()
    np.testing.assert_allclose(decision.choose(extreme, generator(), True), [[0.0, 1.0]], atol=1e-6)


BINARY = {"binary": DISCRETE["binary"], "binary_rank_2": DISCRETE["binary_rank_2"], "bits": BITS}


@pytest.mark.sensitive
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("name", sorted(BINARY))
def test_bernoulli(name, masked):
    decision = make("bernoulli", BINARY[name])
    leaf, count, rng = decision.leaf, 4000, generator(5)
    logits = rng.normal(0.0, 1.5, (1, leaf.size)).astype(np.float32).repeat(count, 0)
    mask = None
    if masked:
        mask = np.ones((count, 2 * leaf.size), bool)
        mask[:, 0] = mask[:, -1] = False  # of the first component only 1, of the last only 0
        logits[:, 0], logits[:, -1] = -50.0, 50.0
    draws = decision.choose([logits], rng, False, mask)
    best = decision.choose([logits], rng, True, mask)
    assert draws.dtype == best.dtype == np.int32 and draws.shape == best.shape == (count, *leaf.shape)
    probability = 1.0 / (1.0 + np.exp(-logits[0].astype(float)))
    if masked:
        probability[0], probability[-1] = 1.0, 0.0
    for column, p in zip(draws.reshape(count, -1).T, probability):
        assert_frequencies(column, [1.0 - p, p])
    np.testing.assert_array_equal(best.reshape(count, -1), np.tile(probability >= 0.5, (count, 1)))
    for chosen in (draws, best, decision.random(count, rng, mask), decision.perturb(best, 0.9, rng, mask)):
        assert all(BINARY[name].contains(action) for action in decision.to_env(chosen[:20]))
        np.testing.assert_array_equal(decision.from_env(decision.to_env(chosen)), chosen, strict=True)
        if masked:
            flat = chosen.reshape(count, -1)
            assert (flat[:, 0] == 1).all() and (flat[:, -1] == 0).all()


def test_bits_that_allow_nothing():
    decision = make("bernoulli", DISCRETE["binary"])
    mask = np.ones((2, 6), bool)
    mask[1, 2:4] = False
    for call in (
        lambda: decision.choose([np.zeros((2, 3), np.float32)], generator(), True, mask),
        lambda: decision.choose([np.zeros((2, 3), np.float32)], generator(), False, mask),
        lambda: decision.random(2, generator(), mask),
    ):
        with pytest.raises(ValueError, match="row 1, component 1"):
            call()


@pytest.mark.filterwarnings("error")
def test_extreme_logits_of_bits():
    decision = make("bernoulli", DISCRETE["binary"])
    logits = np.float32([[-3e38, 3e38, 0.0]]).repeat(100, 0)
    draws = decision.choose([logits], generator(), False)
    assert (draws[:, 0] == 0).all() and (draws[:, 1] == 1).all() and 0 < draws[:, 2].mean() < 1
    assert decision.choose([logits], generator(), True)[0].tolist() == [0, 1, 1]


@pytest.mark.parametrize("name", sorted(set(BOXES) - {"half_open", "unbounded"}))
def test_squashed_gaussian(name):
    space = BOXES[name]
    decision = make("squashed_gaussian", space)
    rng, leaf = generator(1), decision.leaf
    mean = rng.normal(0.0, 2.0, (6, leaf.size)).astype(np.float32)
    log_std = np.full((6, leaf.size), 0.5, np.float32)
    mode = decision.choose([mean, log_std], rng, True)
    np.testing.assert_allclose(mode.reshape(6, -1), np.tanh(mean), atol=1e-6)
    for canonical in (mode, decision.choose([mean, log_std], rng, False), decision.random(6, rng)):
        assert canonical.shape == (6, *leaf.shape) and canonical.dtype == np.float32
        assert np.abs(canonical).max() <= 1.0
        env = decision.to_env(canonical)
        assert env.dtype == space.dtype and all(space.contains(np.asarray(row)) for row in env)
    ends = np.stack([np.full(leaf.shape, value, np.float32) for value in (-1.0, 1.0)])
    low, high = decision.to_env(ends)
    if name != "int64_whole":  # whose ends no float64 holds
        np.testing.assert_allclose(low.astype(float), leaf.low.astype(float), rtol=1e-6)
        np.testing.assert_allclose(high.astype(float), leaf.high.astype(float), rtol=1e-6)
    if name in ("float32", "float64", "scalar"):
        middle = decision.to_env(np.zeros((1, *leaf.shape), np.float32))[0]
        np.testing.assert_allclose(middle, (leaf.low + leaf.high) / 2, atol=1e-6)


@pytest.mark.sensitive
def test_squashed_random_is_uniform():
    draws = make("squashed_gaussian", SPACES.Box(-2.0, 2.0, (1,))).random(4000, generator(2))
    assert_frequencies(np.floor((draws.ravel() + 1.0) * 5.0).astype(int), np.full(10, 0.1))


BOX_KINDS = ["gaussian", "squashed_gaussian", "beta", "deterministic", "direct", "random"]


@pytest.mark.sensitive
@pytest.mark.parametrize("kind", BOX_KINDS)
def test_random_integers_are_equally_likely_at_the_edges_too(kind):
    low, high = np.asarray([0, -3, 7, 250]), np.asarray([2, -2, 7, 255])
    decision = make(kind, SPACES.Box(low, high, dtype=np.int64))
    env = decision.to_env(decision.random(6000, generator(3)))
    for column, first, last in zip(env.T, low, high):
        assert_frequencies(column - first, np.full(last - first + 1, 1.0 / (last - first + 1)))
    (one,) = make(kind, SPACES.Box(0, 255, (1,), np.uint8)).random(1, generator(3))
    assert 0.0 <= abs(float(one[0])) <= 255.0


@pytest.mark.sensitive
def test_random_integers_from_a_single_bound_away():
    low, high = np.asarray([5, np.iinfo(np.int64).min]), np.asarray([np.iinfo(np.int64).max, -5])
    space = SPACES.Box(low, high, dtype=np.int64)
    decision = make("gaussian", space)
    decision._low, decision._high = (
        np.asarray([5.0, -np.inf]),
        np.asarray([np.inf, -5.0]),
    )  # as unbounded sides would be
    drawn = decision.random(4000, generator(1))
    share = 1.0 - math.exp(-1.0)  # of an exponential variable below 1
    for distance in (drawn[:, 0] - 5.0, -5.0 - drawn[:, 1]):
        assert_frequencies(np.minimum(distance, 2).astype(int), [share, share * (1 - share), (1 - share) ** 2])


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32])
@pytest.mark.parametrize("kind", ["squashed_gaussian", "beta", "deterministic"])
def test_a_fixed_component_is_what_its_bounds_are(kind, dtype):
    decision = make(kind, SPACES.Box(np.asarray([1, 0], dtype), np.asarray([1, 2], dtype), dtype=dtype))
    canonical = np.zeros((3, 2), np.float32)
    for noise in (np.zeros((3, 2)), np.full((3, 2), 0.5, np.float32), np.full((3, 2), -1e30)):
        added = decision.add(canonical, noise)
        np.testing.assert_array_equal(added, np.stack([np.zeros(3), np.clip(noise[:, 1], -1, 1)], 1))
        env = decision.to_env(added)
        assert (env[:, 0] == 1).all() and np.isfinite(env).all() and env.dtype == dtype
        assert (decision.from_env(env)[:, 0] == 0.0).all()
    assert (decision.from_env(np.asarray([[4, 1]], dtype)) == [[0.0, 0.0]]).all()  # not what such an env may take
    assert np.isfinite(decision.perturb(canonical, 0.3, generator())).all()
    assert (decision.to_env(decision.random(20, generator()))[:, 0] == 1).all()


@pytest.mark.filterwarnings("error")
def test_bounds_that_almost_meet():
    tiny = np.float32(1e-45)  # the least float32 above 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # gymnasium before 1.2 warns of precision
        space = SPACES.Box(np.zeros(1, np.float32), np.full(1, 2 * tiny))
    decision = make("squashed_gaussian", space)
    added = decision.add(np.zeros((2, 1), np.float32), np.asarray([[0.1], [-0.1]], np.float32))
    assert added.tolist() == [[1.0], [-1.0]]
    assert decision.to_env(added).tolist() == [[float(2 * tiny)], [0.0]]


def test_same_seed_same_samples():
    for kind, space in (("categorical", DISCRETE["multi"]), ("gaussian", BOXES["float32"])):
        decision = make(kind, space)
        heads = [np.zeros((3, width), np.float32) for width in decision.widths]
        one, other = (decision.choose(heads, generator(7), False) for _ in range(2))
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    "kind, space",
    [("categorical", space) for space in DISCRETE.values()]
    + [("gaussian", space) for space in BOXES.values()]
    + [("squashed_gaussian", BOXES["float32"]), ("beta", BOXES["float64"]), ("beta", BOXES["uint8"])]
    + [("bernoulli", DISCRETE["binary"]), ("bernoulli", DISCRETE["binary_rank_2"]), ("bernoulli", BITS)],
)
def test_config_round_trip(kind, space):
    decision = make(kind, space)
    again = distributions.from_config(json.loads(json.dumps(decision.to_config(), allow_nan=False)))
    assert type(again) is type(decision) and again.to_config() == decision.to_config()
    assert again.widths == decision.widths and again.heads == decision.heads == len(decision.widths)
    rng, other = generator(5), generator(5)
    one, two = decision.random(4, rng), again.random(4, other)
    np.testing.assert_array_equal(one, two)
    np.testing.assert_array_equal(decision.to_env(one), again.to_env(two))


def test_refusals():
    with pytest.raises(ValueError, match="Unknown kind"):
        make("pickle", SPACES.Discrete(2))
    with pytest.raises(ValueError, match="discrete leaf"):
        make("categorical", BOXES["float32"])
    with pytest.raises(ValueError, match="needs a Box"):
        make("gaussian", SPACES.Discrete(2))
    for kind in ("squashed_gaussian", "beta"):
        with pytest.raises(ValueError, match=f"A {kind} decision needs finite bounds"):
            make(kind, BOXES["half_open"])
    for space in (DISCRETE["multi"], BOXES["float32"], SPACES.Discrete(3)):
        with pytest.raises(ValueError, match="two values per component"):
            make("bernoulli", space)
    box = make("gaussian", BOXES["float32"])
    heads = [np.zeros((1, 3), np.float32)] * 2
    with pytest.raises(ValueError, match="mask"):
        box.choose(heads, generator(), True, np.ones((1, 3), bool))
    with pytest.raises(ValueError, match="mask"):
        box.random(1, generator(), np.ones((1, 3), bool))
    huge = {"type": "Discrete", "n": 1 << 60, "start": 0}
    nested = {"type": "Tuple", "spaces": [{"type": "Discrete", "n": 2, "start": 0}]}
    for bad in (
        None,
        {},
        {"kind": "categorical"},
        {"kind": "categorical", "space": huge},
        {"kind": ["x"], "space": huge},
    ):
        with pytest.raises(ValueError):
            distributions.from_config(bad)
    with pytest.raises(ValueError, match="one leaf"):
        distributions.from_config({"kind": "categorical", "space": nested})


# Back from the environment ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(DISCRETE))
def test_choices_come_back(name):
    decision = make("categorical", DISCRETE[name])
    chosen = decision.random(20, generator())
    back = decision.from_env(decision.to_env(chosen))
    np.testing.assert_array_equal(back, chosen, strict=True)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int16])
def test_boxes_come_back(dtype):
    space = SPACES.Box(np.array([-3, 0, 10]).astype(dtype), np.array([5, 100, 10]).astype(dtype), dtype=dtype)
    squashed, gaussian = make("squashed_gaussian", space), make("gaussian", space)
    chosen = np.concatenate([squashed.random(50, generator()), np.float32([[-1, 1, 0], [1, -1, 0]])])
    taken = squashed.to_env(chosen)
    back = squashed.from_env(taken)
    assert back.dtype == np.float32 and np.abs(back).max() <= 1.0
    np.testing.assert_array_equal(back[:, 2], 0.0)  # nothing to choose there
    tolerance = 1e-6 if dtype is not np.int16 else 0.126  # half a unit of the narrower range
    np.testing.assert_allclose(back[:, :2], chosen[:, :2], atol=tolerance)
    np.testing.assert_array_equal(squashed.to_env(back)[-2:], taken[-2:])
    again = gaussian.from_env(gaussian.to_env(np.float32([[2, 50, 10], [-9, 7, 3]])))
    np.testing.assert_array_equal(again, np.float32([[2, 50, 10], [-3, 7, 10]]), strict=True)
