"""Agents on the Hugging Face hub: `push_to_hub` and `from_hub`. Needs `pip install 'kagent[hub]'`.

```python
kagent.hub.push_to_hub("runs/ppo-CartPole-v1-7", "me/ppo-cartpole")
agent = kagent.hub.from_hub("me/ppo-cartpole", env="CartPole-v1")
```

A file from there is inspected before anything of it is built; see `kagent.inspect` and the guide on the security of files.
"""

from kagent.hub.model_card import model_card
from kagent.hub.repository import download, from_hub, push_to_hub

__all__ = ["download", "from_hub", "model_card", "push_to_hub"]
