"""A control loop of a robot: so many decisions a second, NumPy and `kagent.acting` alone, and an answer to bad sensors.

    python examples/robot_loop.py agent.keras --hertz 50 --seconds 10

The robot here is gymnasium's CartPole. Of your own, replace `read` and `write`. A decision of a small policy takes some ten
microseconds; what may take longer is counted, so that a missed deadline does not go unseen.
"""

import argparse
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import kagent.acting

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("file", help="a .keras file, or the folder of a saved actor")
parser.add_argument("--hertz", type=float, default=50.0, help="decisions a second (default: %(default)s)")
parser.add_argument("--seconds", type=float, default=10.0, help="how long (default: %(default)s)")


class Outcome(NamedTuple):
    """What a loop measured."""

    missed: int  # deadlines
    bad: int  # observations that were refused: the safe action was taken
    longest: float  # decision, in seconds


def control(
    actor: kagent.acting.Actor,
    read: Callable[[], Any],
    write: Callable[[Any], None],
    period: float,
    steps: int,
    safe: Any,
) -> Outcome:
    """Reads, decides and writes every `period` seconds.

    Args:
        actor: Who decides.
        read: The observation now.
        write: Gives the robot an action.
        period: Seconds.
        steps: How many decisions.
        safe: The action where the observation is refused, as one with NaN from a sensor that has failed.
    """
    missed, bad, longest, due = 0, 0, 0.0, time.monotonic()
    for _ in range(steps):
        observation, begin = read(), time.perf_counter()
        try:
            action = actor.act(observation)
        except ValueError:
            action, bad = safe, bad + 1
        longest = max(longest, time.perf_counter() - begin)
        write(action)
        due += period
        left = due - time.monotonic()
        if left < 0:
            missed, due = missed + 1, time.monotonic()  # the next period begins now: do not hurry after the lost time
        else:
            time.sleep(left)
    return Outcome(missed, bad, longest)


def main() -> None:
    import gymnasium

    args = parser.parse_args()
    robot = gymnasium.make("CartPole-v1")
    state = [robot.reset(seed=0)[0]]

    def write(action: Any) -> None:
        state[0], _, terminated, truncated, _ = robot.step(action)
        if terminated or truncated:
            state[0], _ = robot.reset()

    steps = round(args.hertz * args.seconds)
    outcome = control(kagent.acting.load(args.file), lambda: state[0], write, 1 / args.hertz, steps, safe=0)
    robot.close()
    print(
        f"{steps} decisions, {outcome.missed} late, {outcome.bad} by the safe action, longest {1e6 * outcome.longest:.0f} µs"
    )


if __name__ == "__main__":
    main()
