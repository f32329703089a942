"""Reading results: `ResultDataset`."""

from __future__ import annotations

import functools
import inspect
import os
import threading
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, overload

import numpy as np

from . import _kinds, _options, _select
from . import _structs as c
from ._by_id import ById
from ._errors import (
    InvalidHandleError,
    MissingResultsError,
    NotFoundError,
    NotResultsError,
    SchemaMismatchError,
)
from ._getter import DataGetter
from ._handle import Version
from ._interop import Interop
from ._library import path_bytes
from ._location import absolute, is_local, table_path
from ._snapshot import Snapshot
from .column import Column


class ResultDataset(ById, Interop):
    """A snapshot of one table of results: later writes do not change it, `refresh` moves it on.

    Parameters
    ----------
    config : dict
        Kept as it is; may be empty.
    data_location : str or path
        The result directory, the path of a table (ending in `.lance`), or one of these as a
        `file://` URI.
    version : int, optional
        The version of the table to read; default the newest.
    access : {"auto", "mapped", "lance"}
        How tensors are read: "auto" from mapped files where they lie plain and through Lance where
        they do not, "mapped" from mapped files only, which a table with other rows refuses, "lance"
        through Lance only.
    prefetch : bool
        Whether rows of a gather that are not in memory are read from disk all at once; without, one
        after the other as they are reached.
    id_column : str, optional
        The column of ids, of strings or integers; default `object_id`, if there is one. A table without ids
        has everything else.
    committed_until : datetime, numpy.datetime64, str or int, optional
        The newest version that was committed then or before (UTC); an int is nanoseconds since 1970. Not together
        with `version`.

    Attributes
    ----------
    config, data_location
        As they were given.
    lance_dir : Path
        The directory that the table is in.
    columns : tuple of str
        The names of the tensors of a row, in the order of the table. Each is a `Column`, `dataset[name]`.
    tensor_shape : list of int, or dict
        The shape of the tensor of one row, `[]` for a scalar, if the only column is `data`; else a dict with
        the shape of each column.
    tensor_dtype : numpy.dtype, or dict
        Its dtype, in the byte order of this machine; likewise. bfloat16 is that of `ml_dtypes` if it is
        installed, else its bits as uint16.

    Raises
    ------
    FileNotFoundError
        There is no table, or no such version. Also a RuntimeError if there is no `lance_db` at all.
    RuntimeError
        The table is none of results: it has no tensors, or no such column of ids.
    NotImplementedError
        This build cannot read the location, the dtype or the rows in that way.
    OSError
        The table is damaged, or the operating system refused.

    Notes
    -----
    A dataset may be used from any number of threads at once, and in forked processes. It is pickled
    as its location and version: another process opens the same version of the same table. Every
    error is an `RdsError` too.
    """

    def __new__(cls, *_args, **_options):
        return super().__new__(_kinds.dataset_class(cls) if cls is ResultDataset else cls)

    def __init__(
        self,
        config: Mapping[str, Any],
        data_location: str | os.PathLike[str],
        *,
        version: int | None = None,
        access: str = "auto",
        prefetch: bool = True,
        id_column: str | None = None,
        committed_until: Any = None,
    ):
        self._config = config
        self.data_location = data_location
        # A later change of the working directory changes nothing.
        self._place = absolute(data_location)
        self._path = path_bytes(self._place)
        self._version = version
        self._options: dict[str, Any] = {"access": access, "prefetch": prefetch, "id_column": id_column}
        # One lock for each process: a forked child may have a copy that stays locked.
        self._turns: dict[int, threading.Lock] = {}
        until = 0 if committed_until is None else _options.nanoseconds("committed_until", committed_until)
        self._snapshot = self._open(_options.positive("version", version), until)

    # `inspect` and `help` would tell that of `__new__`.
    __signature__ = inspect.signature(functools.partial(__init__, None))  # type: ignore[arg-type]

    @property
    def config(self) -> Mapping[str, Any]:
        return self._config

    @property
    def lance_dir(self) -> Path:
        return table_path(self.data_location).parent

    @property
    def columns(self) -> tuple[str, ...]:
        return self._snapshot.columns

    @property
    def tensor_dtype(self) -> Any:
        snapshot = self._snapshot
        if snapshot.lone is not None:
            return snapshot.lone.dtype
        return {name: column.dtype for name, column in snapshot.stored.items()}

    @property
    def tensor_shape(self) -> Any:
        snapshot = self._snapshot
        if snapshot.lone is not None:
            return list(snapshot.lone.shape)
        return {name: list(column.shape) for name, column in snapshot.stored.items()}

    @property
    def run_metadata(self) -> dict[str, str]:
        """What the writers of the table said of their runs, by their keys."""
        return self._snapshot.handle.metadata()

    def versions(self) -> list[Version]:
        """The versions that the table has now.

        Returns
        -------
        list of Version
            Oldest first; one that is damaged is left out.
        """
        return self._snapshot.handle.versions()

    def __len__(self) -> int:
        return self._snapshot.rows

    @overload
    def __getitem__(self, index: str) -> Column: ...
    @overload
    def __getitem__(self, index) -> Any: ...
    def __getitem__(self, index):
        """The tensors of one row, or those of many, stacked; or a column by its name.

        Parameters
        ----------
        index : int, slice, sequence of int or of bool, or str
            A row, from 0 to len - 1; or rows in any order, also twice; or a mask of one bool per row; or the
            name of a column.

        Returns
        -------
        numpy.ndarray, dict, or Column
            If the only column is `data` an array, else a dict with an array for each column, in the order of
            the table. Arrays are read-only. Of one row: of the shape of its tensor, the memory of the mapped
            file itself where the row is mapped. Of k rows: `(k, *shape)`, a copy. Both stay valid whatever
            becomes of the dataset and of the files.

        Raises
        ------
        IndexError
            There is no such row, or `index` is none of these.
        KeyError
            There is no such column.
        """
        snapshot = self._snapshot
        if type(index) is int:
            # What is called most takes the shortest way.
            if index >= 0 and snapshot.whole is not None:
                try:
                    return snapshot.whole[index]
                except (IndexError, OverflowError):
                    raise snapshot.out_of_range(index) from None
            return snapshot.row(index)
        lone = snapshot.lone
        if lone is not None and isinstance(index, np.ndarray) and index.ndim:
            return lone.read(_select.rows(index, snapshot.rows))
        if isinstance(index, str):
            return Column(self, index)
        return snapshot.get(index) if lone is None else lone.get(index)

    def __iter__(self) -> Iterator[Any]:
        snapshot = self._snapshot
        return map(snapshot.row if snapshot.lone is None else snapshot.lone.row, range(snapshot.rows))

    def __getitems__(self, rows) -> list:
        """The tensors of rows, one by one, for a `torch.utils.data.DataLoader`.

        Those of a column lie in one block of memory of their own, which may be written.
        """
        tensors = self.take(rows)
        return _select.each(tensors) if isinstance(tensors, dict) else list(tensors)

    def _getitems(self, rows) -> list:
        """As `__getitems__`: what a pipeline of Grain asks."""
        return self.__getitems__(rows)

    def take(self, rows, columns: str | Iterable[str] | None = None, out=None):
        """The tensors of rows, stacked, in memory that may be written.

        Parameters
        ----------
        rows : sequence of int or of bool
            Rows in any order, also twice; or a mask of one bool per row.
        columns : str or sequence of str, optional
            The name of a column, whose tensors are one array; or names, whose tensors are a dict of arrays.
            Default as `dataset[rows]`.
        out : array or dict of arrays, optional
            Where to put them: an array of NumPy, or another that NumPy sees without a copy (a tensor
            of torch, pinned or not), of the dtype of the column, `(len(rows), *shape)`, in C order; or a dict
            with one for each column.

        Returns
        -------
        numpy.ndarray or dict
            `out`, or new arrays `(len(rows), *shape)`.

        Raises
        ------
        IndexError
            There is no such row; what `out` holds is unspecified then.
        KeyError
            There is no such column.
        ValueError
            `out` is of another dtype, shape or layout, or read-only.
        """
        snapshot = self._snapshot
        if columns is None and snapshot.lone is not None:
            return snapshot.lone.take(rows, out)
        if isinstance(columns, str):
            return snapshot.column(columns).take(rows, out)
        return snapshot.take_into(rows, columns, out)

    @DataGetter
    def get_data(self, index):
        """The tensors of the column `data`. A dataset without that column does not have this method.

        Parameters
        ----------
        index : int, slice, or sequence of int or of bool
            As for `dataset[index]`.

        Returns
        -------
        numpy.ndarray or a number of NumPy
            The tensor of one row, or those of many, stacked. Of one row without dimensions the number, which is
            what Hyrax takes for a scalar.

        Raises
        ------
        IndexError
            There is no such row, or `index` is none of these.
        """
        stored = self._snapshot.stored["data"]
        tensors = stored.row(index) if type(index) is int else stored.get(index)
        return tensors if tensors.ndim else tensors[()]

    def __dir__(self):
        hidden = () if "data" in self._snapshot.stored else ("get_data",)
        return [name for name in super().__dir__() if name not in hidden]

    def refresh(self) -> bool:
        """Moves to the newest version of the table. Arrays that were read stay as they are.

        Returns
        -------
        bool
            Whether that is another version.

        Raises
        ------
        FileNotFoundError
            The table is gone.
        ValueError
            A column is of another dtype or shape in the newest version, or gone; or the dataset is closed.
        NotImplementedError, OSError
            As when it was opened. After any error the dataset shows what it showed.
        """
        with self._turn():
            shown = self._snapshot
            if not shown.handle:
                raise InvalidHandleError("the dataset is closed; open another one")
            newest = shown.newest()
            if newest is None:
                return False
            self._snapshot, self._version = newest, None
            for name in ("lance_dataset", "table"):
                self.__dict__.pop(name, None)
            return True

    def close(self) -> None:
        """Frees the snapshot; arrays that were read stay valid. A second call does nothing."""
        with self._turn():
            self._snapshot = self._snapshot.closed()

    def __enter__(self):
        return self

    def __exit__(self, error_type, error, traceback):
        self.close()

    def __repr__(self):
        columns = self._snapshot.stored.values()
        specs = ", ".join(f"{column.name} {column.dtype} {list(column.shape)}" for column in columns)
        return f"<ResultDataset {str(self.data_location)!r}, {len(self)} rows of {specs}>"

    def __reduce__(self):
        snapshot = self._snapshot
        if not snapshot.handle:
            raise InvalidHandleError("the dataset is closed; it cannot be pickled")
        return self._reduced(snapshot)

    def _reduced(self, snapshot: Snapshot):
        """What opens a dataset that shows what this snapshot does: a function, and with what it is called."""
        shown = snapshot.info.version, snapshot.info.committed_at
        return _reopen, (type(self), self.config, self.data_location, self._place, shown, self._options)

    def _open(self, version: int, until: int = 0) -> Snapshot:
        table = table_path(self._place)
        if is_local(self._place) and not table.parent.exists():
            raise MissingResultsError(
                f"{self.lance_dir} does not exist: there are no results in {self.data_location}"
            )
        options = c.ReaderOptions(
            version=version,
            access=_options.choice("access", self._options["access"], c.ACCESSES),
            flags=0 if self._options["prefetch"] else c.READER_NO_PREFETCH,
            id_column=_options.text("id_column", self._options["id_column"]),
            committed_until=until,
        )
        try:
            return Snapshot.open(self._path, options)
        except SchemaMismatchError as error:
            raise NotResultsError(str(error)) from error

    def _turn(self) -> threading.Lock:
        """Held by whoever exchanges the snapshot; reading needs no lock."""
        return self._turns.setdefault(os.getpid(), threading.Lock())


def _reopen(cls, config, data_location, place, shown, options):
    """What a pickled dataset is read as."""
    version, committed_at = shown
    dataset = cls(config, place, version=version, **options)
    if dataset._snapshot.info.committed_at != committed_at:
        raise NotFoundError(f"{data_location}: the table with the version {version} was replaced by another")
    dataset.data_location = data_location
    return dataset
