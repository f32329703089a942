"""Every public function, class and method says what it takes and what it gives."""

import inspect
import re
from pathlib import Path

import pytest
from numpydoc.validate import validate

import rds
import rds.dask
import rds.parts
from rds._iterable import Steps
from rds._ray_sink import Sink
from rds._ray_source import Source

# No docstring; a parameter that is not there, is none, or of which nothing is said; the same of what is returned.
CHECKS = {"GL08", "PR01", "PR02", "PR07", "RT01", "RT03"}
PAGE = Path(__file__).parents[2] / "docs" / "reference" / "python.rst"
PUBLIC = [value for value in (getattr(rds, name) for name in rds.__all__) if callable(value)]
# What `rds.torch.IterableDataset` and the classes of `rds.ray` are, which need torch and Ray.
DESCRIBED = [*PUBLIC, Steps, Sink, Source]


def functions(owner, module=None):
    members = {name: inspect.unwrap(member) for name, member in inspect.getmembers(owner) if name[0] != "_"}
    found = {name: member for name, member in members.items() if inspect.isfunction(member)}
    return [name for name, member in found.items() if module in (None, member.__module__)]


def names():
    for public in DESCRIBED:
        name = f"{public.__module__}.{public.__qualname__}"
        yield name
        if inspect.isclass(public):
            yield from (f"{name}.{method}" for method in functions(public))
    yield from (f"{module.__name__}.{function}" for module in (rds.dask, rds.parts) for function in module.__all__)
    yield from (f"rds.hyrax.{function}" for function in functions(rds.hyrax, "rds.hyrax"))


@pytest.mark.parametrize("name", list(names()))
def test_a_docstring_says_what_goes_in_and_what_comes_out(name):
    assert [message for check, message in validate(name)["errors"] if check in CHECKS] == []


def test_the_reference_has_everything_that_is_public():
    documented = re.findall(r"^\.\. auto(?:class|function|exception):: rds\.(\w+)$", PAGE.read_text(), re.MULTILINE)
    assert sorted(documented) == sorted(value.__name__ for value in PUBLIC)
    for name in ("torch.IterableDataset", "ray.Datasink", "ray.Datasource"):
        assert f".. autoclass:: rds.{name}\n" in PAGE.read_text()
    for module in (rds.dask, rds.parts):
        name = module.__name__
        assert all(f".. autofunction:: {name}.{function}\n" in PAGE.read_text() for function in module.__all__)
