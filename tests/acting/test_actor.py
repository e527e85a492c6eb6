"""The actor as a whole: raw observations to actions, batches of leaves to canonical actions."""

import threading

import gymnasium
import numpy as np
import pytest

from kagent import spaces
from kagent.acting import Actor, Program, distributions
from kagent.spaces import Structure

S = gymnasium.spaces


def generator(seed=0):
    return np.random.Generator(np.random.Philox(seed))


def network(observation, widths, seed=0, hidden=16):
    """Every leaf as floats, side by side, one hidden layer, heads."""
    inputs, nodes, parts = [], [], []
    leaves = Structure(observation).leaves
    for i, leaf in enumerate(leaves):
        inputs.append({"shape": list(leaf.shape), "dtype": leaf.stored_dtype.name})
        if leaf.is_discrete:
            nodes.append({"op": "one_hot", "inputs": [i], "nvec": leaf.nvec.ravel().tolist()})
        else:
            nodes.append({"op": "flatten", "inputs": [i]})
        parts.append(len(leaves) + i)
    x = 2 * len(leaves)
    nodes.append({"op": "concatenate", "inputs": parts})
    features = sum(leaf.num_values if leaf.is_discrete else leaf.size for leaf in leaves)
    weights = [[features, hidden], [hidden]]
    nodes.append({"op": "dense", "inputs": [x], "weights": [0, 1], "activation": "tanh"})
    for width in widths:
        nodes.append({"op": "dense", "inputs": [x + 1], "weights": [len(weights), len(weights) + 1]})
        weights += [[hidden, width], [width]]
    outputs = [x + 2 + i for i in range(len(widths))]
    rng = np.random.default_rng(seed)
    config = {"inputs": inputs, "weights": weights, "nodes": nodes, "outputs": outputs}
    return Program(config, [rng.normal(0.0, 0.5, shape) for shape in weights])


def make(observation, action, kinds=None, seed=0, **arguments):
    leaves = Structure(action).leaves
    kinds = kinds or ["categorical" if leaf.is_discrete else "gaussian" for leaf in leaves]
    chosen = [distributions.make(kind, leaf) for kind, leaf in zip(kinds, leaves)]
    program = network(observation, [width for decision in chosen for width in decision.widths], seed)
    described = spaces.to_config(observation), spaces.to_config(action)
    return Actor(None, described[0], chosen, generator(seed), program, described[1], **arguments)


CARTPOLE = S.Box(-np.inf, np.inf, (4,)), S.Discrete(3, start=4)
OBSERVATION = S.Dict(
    image=S.Box(0, 255, (2, 2, 1), np.uint8),
    rest=S.Tuple((S.Box(-1.0, 1.0, (3,), np.float64), S.Discrete(4, start=-1), S.MultiBinary(2))),
)
ACTION = S.Dict(
    a=S.Discrete(3, start=1),
    b=S.Tuple((S.MultiDiscrete([[2, 3]]), S.Box(-1.0, 2.0, (2,)), S.MultiBinary(2))),
    c=S.Box(-3.0, 3.0, ()),
)


@pytest.mark.parametrize("deterministic", [True, False])
def test_actions_of_nested_spaces_are_in_the_space(deterministic):
    actor = make(OBSERVATION, ACTION)
    OBSERVATION.seed(0)
    for _ in range(20):
        action = actor.act(OBSERVATION.sample(), deterministic)
        assert ACTION.contains(action) and type(action["a"]) is int
        assert action["c"].shape == () and isinstance(action["b"], tuple)


def test_act_is_the_modes_of_decide():
    actor = make(OBSERVATION, ACTION)
    OBSERVATION.seed(1)
    observations = [OBSERVATION.sample() for _ in range(6)]
    encoded = [Structure(OBSERVATION).encode(observation) for observation in observations]
    canonical = actor.decide([np.stack(leaves) for leaves in zip(*encoded)], deterministic=True)
    env = Structure(ACTION).unflatten(actor.to_env(canonical))
    for i, observation in enumerate(observations):
        action = actor.act(observation)
        assert action["a"] == env["a"][i]
        for one, batch in zip([*action["b"], action["c"]], [*env["b"], env["c"]]):
            np.testing.assert_allclose(one, batch[i], atol=1e-5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_short_way_is_the_long_way(dtype):
    actor = make(*CARTPOLE)
    assert actor._fast is not None
    rng = np.random.default_rng(0)
    for _ in range(50):
        observation = rng.normal(size=4).astype(dtype)
        best = actor.act(observation)
        assert type(best) is int and CARTPOLE[1].contains(best)
        assert best == actor.act(observation.tolist()) == actor.act(observation, mask=[1, 1, 1])
        assert best == actor.decide([np.float32(observation)[None]], None, True)[0][0] + 4
    counts = [0, 0]
    for way in (0, 1):
        actor.rng = generator(9)
        given = observation if way == 0 else observation.tolist()
        counts[way] = np.bincount([actor.act(given, False) for _ in range(2000)], minlength=7)
    np.testing.assert_array_equal(*counts)
    assert (counts[0][4:] > 0).all()


def test_new_weights_are_seen():
    actor = make(*CARTPOLE)
    observation = np.ones(4, np.float32)
    flat = np.zeros(actor.program.size, np.float32)
    for best in (2, 0, 1):
        flat[-3:] = 0.0
        flat[best - 3] = 1.0
        actor.program.set_weights(flat)
        assert actor.act(observation) == best + 4
        assert actor.decide([observation[None]], None, True)[0].tolist() == [best]


@pytest.mark.parametrize(
    "observation, message",
    [
        (np.float32([0, 0, np.nan, 0]), "finite"),
        (np.float32([0, 0, 0, np.inf]), "finite"),
        (np.float64([0, 0, 0, 1e300]), "finite"),
        (np.float32([np.inf, -np.inf, 0, 0]), "finite"),
        (np.zeros(5, np.float32), "shape"),
        (np.zeros((1, 4), np.float32), "batch axis"),
        (np.float32(0.0), "shape"),
        (np.array(["a"] * 4), "numbers"),
        ({"a": 1}, "numbers"),
        (None, "numbers"),
    ],
)
@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning")
def test_bad_observations(observation, message):
    actor = make(*CARTPOLE)
    for deterministic in (True, False):
        with pytest.raises(ValueError, match=message):
            actor.act(observation, deterministic)
    actor.act(np.zeros(4, np.float32))


@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning")
def test_large_observations_are_not_mistaken_for_infinite_ones():
    actor = make(S.Box(-np.inf, np.inf, (40,)), S.Discrete(2))  # its sum of squares overflows
    assert actor.act(np.full(40, 1e30, np.float32)) in (0, 1)
    actor = make(S.Box(-np.inf, np.inf, (3,)), S.Discrete(2))
    assert actor.act(np.full(3, 3e38, np.float32)) in (0, 1)
    with pytest.raises(ValueError, match="finite"):
        make(S.Box(-np.inf, np.inf, (40,)), S.Discrete(2)).act(np.full(40, np.nan, np.float32))


def test_diverged_weights_are_said():
    for action in (CARTPOLE[1], S.Box(-1.0, 1.0, (2,))):
        actor = make(CARTPOLE[0], action)
        actor.program.set_weights(np.full(actor.program.size, np.nan, np.float32))
        with pytest.raises(ValueError, match="diverged"):
            actor.act(np.zeros(4, np.float32))


def test_masks():
    actor = make(*CARTPOLE)
    observation = np.ones(4, np.float32)
    best = actor.act(observation) - 4
    mask = np.ones(3, np.int8)
    mask[best] = 0
    for deterministic in (True, False):
        taken = {actor.act(observation, deterministic, mask) - 4 for _ in range(100)}
        assert best not in taken and len(taken) == (1 if deterministic else 2)
    with pytest.raises(ValueError, match="allows no value"):
        actor.act(observation, mask=[0, 0, 0])
    with pytest.raises(ValueError, match="3 booleans"):
        actor.act(observation, mask=[1, 0])
    nested = make(OBSERVATION, ACTION)
    only = {"a": [0, 1, 0], "b": (([0, 1], [0, 0, 1]), None, [2, 1])}
    action = nested.act(OBSERVATION.sample(), False, only)
    assert action["a"] == 2 and action["b"][0].tolist() == [[1, 2]] and action["b"][2][1] == 1


def test_a_mask_inside_the_observation():
    observation = S.Dict(action_mask=S.MultiBinary(3), state=S.Box(-1.0, 1.0, (2,)))
    actor = make(observation, S.Discrete(3))
    for allowed in range(3):
        mask = np.eye(3, dtype=np.int8)[allowed]
        seen = {"action_mask": mask, "state": np.zeros(2, np.float32)}
        assert {actor.act(seen, False) for _ in range(20)} == {allowed}
        leaves, masks = actor.read(seen)
        assert masks[0].tolist() == [mask.astype(bool).tolist()] and len(leaves) == 2
    assert actor.act({**seen, "action_mask": np.ones(3, np.int8)}, mask=[0, 1, 0]) == 1
    with pytest.raises(ValueError, match="allows no value"):
        actor.act({**seen, "action_mask": np.zeros(3, np.int8)})
    box = make(observation, S.Box(-1.0, 1.0, (2,)))  # nothing to mask
    box.act({**seen, "action_mask": np.zeros(3, np.int8)})


def test_read_and_release_are_the_two_ends_of_decide():
    actor = make(OBSERVATION, ACTION)
    observation = OBSERVATION.sample()
    leaves, masks = actor.read(observation, {"a": [0, 0, 1]})
    assert [leaf.shape[0] for leaf in leaves] == [1] * 4 and masks[1:] == [None] * 4
    action = actor.release(actor.decide(leaves, masks, False))
    assert ACTION.contains(action) and action["a"] == 3
    assert actor.read(observation)[1] is None


@pytest.mark.parametrize("count", [1, 8])
def test_decide_and_random_give_arrays_of_the_callers(count):
    actor = make(OBSERVATION, ACTION)
    leaves = [np.resize(leaf, (count, *leaf.shape[1:])) for leaf in actor.read(OBSERVATION.sample())[0]]
    masks = [np.tile([True, False, False], (count, 1)), None, None, None, None]
    for made in (actor.decide(leaves, masks), actor.decide(leaves, masks, True), actor.random(count, None, masks)):
        assert [array.shape for array in made] == [(count, *leaf.shape) for leaf in Structure(ACTION).leaves]
        assert (made[0] == 0).all() and all(array.flags.writeable for array in made)
        kept = [array.copy() for array in made]
        actor.decide([leaf * 0 for leaf in leaves])
        for one, other in zip(made, kept):
            np.testing.assert_array_equal(one, other)
    assert len({int(actor.random(1, generator(seed))[0][0]) for seed in range(30)}) == 3


def test_generators():
    actor = make(*CARTPOLE)
    leaves = [np.zeros((50, 4), np.float32)]
    one, other = (actor.decide(leaves, rng=generator(3))[0] for _ in range(2))
    np.testing.assert_array_equal(one, other)
    assert not np.array_equal(actor.decide(leaves)[0], actor.decide(leaves)[0])


def test_any_function_may_compute_the_heads():
    calls = []

    def forward(leaves):
        calls.append([leaf.shape for leaf in leaves])
        return [np.float32([[0.0, 2.0, 1.0]]).repeat(len(leaves[0]), 0)]

    actor = Actor(
        forward, spaces.to_config(CARTPOLE[0]), [distributions.make("categorical", Structure(CARTPOLE[1]).leaves[0])]
    )
    assert actor.act(np.zeros(4, np.float32)) == 5 and calls == [[(1, 4)]]
    with pytest.raises(ValueError, match="finite"):
        actor.act(np.full(4, np.nan))
    with pytest.raises(ValueError, match="NumPy program"):
        actor.save("nowhere")
    assert "forward" in repr(actor) and "categorical" in repr(actor)


def test_parts_that_do_not_fit():
    box, discrete = spaces.to_config(CARTPOLE[0]), spaces.to_config(CARTPOLE[1])
    decision = distributions.make("categorical", Structure(CARTPOLE[1]).leaves[0])
    program = network(CARTPOLE[0], [3])
    with pytest.raises(ValueError, match="forward"):
        Actor(None, box, [decision])
    with pytest.raises(ValueError, match="inputs"):
        Actor(None, spaces.to_config(S.Box(-1.0, 1.0, (5,))), [decision], program=program)
    with pytest.raises(ValueError, match="outputs"):
        Actor(None, box, [decision], program=network(CARTPOLE[0], [2]))
    with pytest.raises(ValueError, match="outputs"):
        Actor(None, box, [decision], program=network(CARTPOLE[0], [3, 3]))
    with pytest.raises(ValueError, match="one per action leaf"):
        Actor(None, box, [decision, decision], program=program, action=discrete)
    with pytest.raises(ValueError, match="one per action leaf"):
        Actor(None, box, [decision], program=program, action=box)


def test_threads_take_turns():
    actor = make(S.Box(-1.0, 1.0, (64,)), S.Discrete(8))
    rng = np.random.default_rng(0)
    observations = rng.normal(size=(300, 64)).astype(np.float32)
    expected = [actor.act(observation) for observation in observations]
    wrong = []

    def serve(order):
        for i in order:
            given = observations[i] if i % 2 else observations[i].tolist()
            if actor.act(given) != expected[i]:
                wrong.append(i)

    threads = [threading.Thread(target=serve, args=(rng.permutation(300),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
