import doctest
import importlib
import pkgutil

from kagent import distributions, ops

MODULES = [
    f"{package.__name__}.{module.name}"
    for package in (ops, distributions)
    for module in pkgutil.iter_modules(package.__path__)
]


def test_examples_are_found():
    finder = doctest.DocTestFinder()
    examples = [test for name in MODULES for test in finder.find(importlib.import_module(name)) if test.examples]
    assert len(examples) >= 15
