"""Examples of the documentation are run for what they call, so their training ends after a few timesteps."""

import kagent


def fits(patch, longest):
    """Has `fit` take `longest` timesteps at most, without a progress bar.

    Args:
        patch: pytest's `monkeypatch`.
        longest: Timesteps, in place of the thousands that an example asks for.
    """
    fit = kagent.Agent.fit

    def short(agent, *args, **kwargs):
        most = {"steps": longest, "max_steps": longest, "episodes": 2, "updates": 2, "epochs": 2, "steps_per_epoch": 20}
        bounds = {name: min(value, kwargs[name]) for name, value in most.items() if isinstance(kwargs.get(name), int)}
        return fit(agent, *args, **{**kwargs, **bounds, "verbose": 0})

    patch.setattr(kagent.Agent, "fit", short)


def evaluations(patch):
    """Has `evaluate` play two episodes at most."""
    evaluate = kagent.Agent.evaluate

    def short(agent, env=None, episodes=10, **kwargs):
        return evaluate(agent, env, min(episodes, 2), **kwargs)

    patch.setattr(kagent.Agent, "evaluate", short)
