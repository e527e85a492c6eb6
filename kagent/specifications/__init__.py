"""Tensorforce's `states` and `actions` specifications as gymnasium spaces, and back.

A **description** is a dict with the attributes of one state or action. A **specification** is one description, or a
dict from names to specifications, nested at will: it is nested where a value is a dict. Attributes (None: not given):

| attribute                | types      | meaning                                                                         |
| ------------------------ | ---------- | ------------------------------------------------------------------------------- |
| `type`                   | all        | `"bool"`, `"int"` (or `"long"`) or `"float"`. States: `"float"` if not given.   |
| `shape`                  | all        | Integer or iterable of integers > 0. Actions: `()` if not given.                |
| `num_values`             | int        | Integer > 1, or one for each component (kagent's: an uneven `MultiDiscrete`).   |
| `min_value`, `max_value` | float      | Number, or array of the shape, None where there is no bound. One may be absent. |
| `start`                  | int        | kagent's: first value, or one for each component. 0 if not given.               |
| `dtype`                  | int, float | kagent's: how elements are kept. `"int64"`, `"float32"` if not given.           |

What they become; the inverse holds too, but for the first row:

| description                 | space           |                                                                            |
| --------------------------- | --------------- | -------------------------------------------------------------------------- |
| bool, shape `()`            | `Discrete(2)`   | Which is described as an int of 2 values, as by Tensorforce's own adapter. |
| bool, other shapes          | `MultiBinary`   |                                                                            |
| int, shape `()`             | `Discrete`      |                                                                            |
| int, other shapes           | `MultiDiscrete` |                                                                            |
| float                       | `Box`           | Whatever the dtype: images are floats of dtype `"uint8"`.                  |
| names `gymtpl0, gymtpl1...` | `Tuple`         | The names that Tensorforce's adapter gives a tuple's entries.              |
| other names                 | `Dict`          | Sorted by name as gymnasium does it: only an `OrderedDict` is not.         |

>>> import kagent
>>> kagent.specifications.to_space({"eye": {"shape": 3}, "gear": {"type": "int", "shape": (), "num_values": 5}})
Dict('eye': Box(-inf, inf, (3,), float32), 'gear': Discrete(5))
"""

from kagent.specifications.conversion import to_space, to_spec
from kagent.specifications.names import check_names, mask_name

__all__ = ["check_names", "mask_name", "to_space", "to_spec"]
