"""Which class `rds.ResultDataset` makes.

In a process that has loaded Hyrax a dataset is one of Hyrax's too. `hyrax`, whose classes derive from that
of `reader`, sets here what tells; so `reader` need not know of it.
"""

from __future__ import annotations

from collections.abc import Callable


def _itself(cls: type) -> type:
    return cls


# Asked with `rds.ResultDataset`, gives the class to make.
dataset_class: Callable[[type], type] = _itself
