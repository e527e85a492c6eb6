"""Small agents: they learn nothing in their few steps, but go through all of it."""

import gc
import os

os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import forked
import graphs
import pytest

SIZES = {
    "dqn": {
        "env": "CartPole-v1",
        "memory": 500,
        "batch_size": 8,
        "start": 16,
        "target_update_period": 40,
        "horizon": 0,
    },
    "ppo": {"env": "CartPole-v1", "n_steps": 16, "batch_size": 8, "epochs": 2},
    "sac": {"env": "Pendulum-v1", "memory": 500, "batch_size": 8, "start": 16},
}


# Of tests marked `eager(seldom=True)`: five updates in 100 timesteps, each of one gradient step.
SELDOM = {
    "dqn": {"frequency": 20},
    "ppo": {"n_steps": 20, "batch_size": 20, "epochs": 1},
    "sac": {"frequency": 20},
}


# Files that take longest go first: at the end one process would wait for the other.
LONGEST = (
    "test_examples.py",
    "test_saving.py",
    "test_contract.py",
    "test_train.py",
    "test_learner.py",
    "test_arguments.py",
    "test_resume.py",
)


def pytest_addoption(parser):
    about = "added to the seeds of tests marked `sensitive`, whose bounds must hold all the same"
    parser.addoption("--seed-shift", type=int, default=0, help=about)


def pytest_configure(config):
    from hypothesis import settings

    if "not slow" in config.option.markexpr and "sensitive" not in config.option.markexpr:
        # A quarter of XLA's time goes into machine code that would be fast for longer than fast tests run.
        os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")

    # A fifth of a second for each example would be a test of how busy the machine is.
    settings.register_profile("kagent", deadline=None)
    settings.load_profile("kagent")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    # Around the fixtures, too: agents are made in some.
    number = item.config.getoption("seed_shift")
    with pytest.MonkeyPatch.context() as patch:
        sensitive = item.get_closest_marker("sensitive") is not None
        as_users = any(item.get_closest_marker(name) for name in ("xla", "slow")) or (
            # Their bounds hold for any rounding. XLA compiles them where they are what is run, as in `.ci/run`.
            sensitive and bool(number or "sensitive" in item.config.option.markexpr)
        )
        if not as_users:
            graphs.without_xla(patch)
            # It waits for the disk. What is read back here comes from the system's memory.
            patch.setattr(os, "fsync", lambda file: None)
        eager = item.get_closest_marker("eager")
        if not (as_users or sensitive or (eager is not None and "as_users" in eager.kwargs)):
            graphs.untraced(patch)
            if eager is not None and "learners" in eager.kwargs:
                graphs.eagerly(patch)
            elif eager is not None:
                graphs.in_one_epoch(patch)
        graphs.rewrite(as_users)
        forked.as_users = as_users
        if number and sensitive:
            import shifted_seeds

            shifted_seeds.shift(patch, number)
        return (yield)


@pytest.fixture
def seed_shift(request):
    """What a test marked `sensitive` adds to seeds that it gives to schedules, memories or TensorFlow's functions."""
    return request.config.getoption("seed_shift")


def pytest_collection_finish():
    # What is there by now, Keras and TensorFlow, stays: no collection need look at its million objects again.
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 10, 10)  # what is made later are few agents of many objects each: seldom is enough


def pytest_collection_modifyitems(items):
    order = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.path.name, len(LONGEST)))


@pytest.fixture
def small(request):
    """`small("dqn", jit=False, **changes)`: an agent on CartPole-v1 (DQN, PPO) or Pendulum-v1 (SAC).

    `kind` may also be a subclass of one of the three. Uncompiled unless `jit` says so: XLA takes its seconds. In tests
    marked `eager` it runs eagerly unless told otherwise.
    """
    marker = request.node.get_closest_marker("eager")
    eager, seldom = marker is not None, marker is not None and marker.kwargs.get("seldom", False)

    def make(kind, jit=False, compiled=None, **changes):
        import kagent
        from kagent.config.part_arguments import declared

        known = {"dqn": kagent.DQN, "ppo": kagent.PPO, "sac": kagent.SAC}
        cls = known.get(kind, kind)
        name = next(name for name, preset in known.items() if issubclass(cls, preset))
        goes_into = {argument: one.part for argument, one in declared(cls).items()}
        sizes = {"network": {"type": "mlp", "units": [8]}, **SIZES[name], **(SELDOM[name] if seldom else {})}
        sizes = {argument: size for argument, size in sizes.items() if goes_into.get(argument) not in changes}
        arguments = {"seed": 0, **sizes, **changes}
        env, options = arguments.pop("env"), {"run_eagerly": eager and not jit} if compiled is None else compiled
        if options.keys() == {"run_eagerly"} and not (jit or forked.as_users or "execution" in arguments):
            # As the constructor compiles it: a second time takes an eighth of all that making an agent takes.
            return cls(env, **arguments, **({"execution": options} if options["run_eagerly"] else {}))
        agent = cls(env, **arguments)
        agent.compile(jit_compile=jit, **options)
        return agent

    return make


@pytest.fixture
def dtype_policy():
    """`keras.config.set_dtype_policy`, undone afterwards."""
    import keras

    before = keras.config.dtype_policy()
    yield keras.config.set_dtype_policy
    keras.config.set_dtype_policy(before)
