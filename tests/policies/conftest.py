import functools

import pytest
from modes import VARIANTS, compiled


@pytest.fixture(params=VARIANTS, scope="module")
def mode(request):
    """Every test that takes it runs eagerly, as a graph and under XLA."""
    return functools.partial(compiled, mode=request.param)
