"""Folders of runs as `kagent train` leaves them, written without training."""

import csv
import json


def write_run(folder, timesteps, returns, algorithm="dqn", environment="CartPole-v1", seed=0, **settings):
    folder.mkdir(parents=True, exist_ok=True)
    config = {"algorithm": algorithm, "environment": environment, "seed": seed}
    config["settings"] = {**settings, "seed": seed, "fit": {"steps": 1000}}
    (folder / "config.json").write_text(json.dumps(config))
    with (folder / "log.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["epoch", "episode_return", "loss", "timesteps"])
        writer.writerows([index, value, 0.5, step] for index, (step, value) in enumerate(zip(timesteps, returns)))
    return folder
