"""Reading results: `ResultDataset`."""

from __future__ import annotations

import operator
import os
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from ctypes import c_void_p
from pathlib import Path
from typing import Any

import numpy as np

from . import _ids, _options, _select, _stream
from . import _structs as c
from ._batch import Batch
from ._errors import (
    InvalidHandleError,
    MissingResultsError,
    NotFoundError,
    NotResultsError,
    SchemaMismatchError,
    UnknownIdError,
)
from ._interop import Interop
from ._library import path_bytes
from ._location import absolute, is_local, table_path
from ._snapshot import Snapshot
from ._stream import Stream


class ResultDataset(Interop):
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

    Attributes
    ----------
    config, data_location
        As they were given.
    lance_dir : Path
        The directory that the table is in.
    tensor_shape : list of int
        The shape of the tensor of one row; `[]` for a scalar.
    tensor_dtype : numpy.dtype
        Its dtype, in the byte order of this machine. bfloat16 is that of `ml_dtypes` if it is
        installed, else its bits as uint16.

    Raises
    ------
    FileNotFoundError
        There is no table, or no such version. Also a RuntimeError if there is no `lance_db` at all.
    RuntimeError
        The table is none of results: a column or the metadata of the tensors is missing.
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
        # In a process that has loaded Hyrax a dataset is one of Hyrax's too.
        if cls is ResultDataset and "hyrax.datasets.result_dataset" in sys.modules:
            from .hyrax import dataset_class

            cls = dataset_class()
        return super().__new__(cls)

    def __init__(
        self,
        config: Mapping[str, Any],
        data_location: str | os.PathLike[str],
        *,
        version: int | None = None,
        access: str = "auto",
        prefetch: bool = True,
    ):
        self._config = config
        self.data_location = data_location
        # A later change of the working directory changes nothing.
        self._place = absolute(data_location)
        self._path = path_bytes(self._place)
        self._version = version
        self._options: dict[str, Any] = {"access": access, "prefetch": prefetch}
        # One lock for each process: a forked child may have a copy that stays locked.
        self._turns: dict[int, threading.Lock] = {}
        self._snapshot = self._open(_options.positive("version", version))
        self.tensor_dtype: np.dtype = self._snapshot.dtype
        self.tensor_shape: list[int] = list(self._snapshot.shape)

    @property
    def config(self) -> Mapping[str, Any]:
        return self._config

    @property
    def lance_dir(self) -> Path:
        return table_path(self.data_location).parent

    def __len__(self) -> int:
        return self._snapshot.rows

    def __getitem__(self, index) -> np.ndarray:
        """The tensor of one row, or the tensors of many, stacked.

        Parameters
        ----------
        index : int, slice, or sequence of int or of bool
            A row, from 0 to len - 1; or rows in any order, also twice; or a mask of one bool per row.

        Returns
        -------
        numpy.ndarray
            Read-only, of `tensor_dtype`. Of one row: `tensor_shape`, the memory of the mapped file
            itself where the row is mapped. Of k rows: `(k, *tensor_shape)`, a copy. Both stay valid
            whatever becomes of the dataset and of the files.

        Raises
        ------
        IndexError
            There is no such row, or `index` is none of these.
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
        if isinstance(index, (np.ndarray, list)):
            rows = index if isinstance(index, np.ndarray) else np.asarray(index)
            if rows.ndim:
                return snapshot.read(_select.rows(rows, snapshot.rows))
        elif isinstance(index, slice):
            run = _select.run(index, snapshot.rows)
            if run is not None:
                return snapshot.read_range(run.start, len(run))
            return snapshot.read(np.arange(*index.indices(snapshot.rows)))
        try:
            row = operator.index(index)
        except TypeError:
            return snapshot.read(_select.rows(np.asarray(index), snapshot.rows))
        return snapshot.row(row)

    def __iter__(self) -> Iterator[np.ndarray]:
        snapshot = self._snapshot
        return map(snapshot.row, range(snapshot.rows))

    def __getitems__(self, rows) -> list[np.ndarray]:
        """The tensors of rows, one by one, for a `torch.utils.data.DataLoader`.

        They lie in one block of memory of their own, which may be written.
        """
        return list(self.take(rows))

    def take(self, rows, out=None):
        """The tensors of rows, stacked, in memory that may be written.

        Parameters
        ----------
        rows : sequence of int or of bool
            Rows in any order, also twice; or a mask of one bool per row.
        out : array, optional
            Where to put them: an array of NumPy, or another that NumPy sees without a copy (a tensor
            of torch, pinned or not), of `tensor_dtype`, `(len(rows), *tensor_shape)`, in C order.

        Returns
        -------
        numpy.ndarray
            `out`, or a new array `(len(rows), *tensor_shape)` of `tensor_dtype`.

        Raises
        ------
        IndexError
            There is no such row; what `out` holds is unspecified then.
        ValueError
            `out` is of another dtype, shape or layout, or read-only.
        """
        snapshot = self._snapshot
        if out is not None and type(rows) is list and len(rows) == 1 and type(rows[0]) is int:
            # An array of one row would take as long as the row.
            target = _select.target(out, (1, *snapshot.shape), snapshot.dtype)
            if snapshot.copy(rows[0], target):
                return out
        chosen = _select.rows(np.asarray(rows), snapshot.rows)
        shape = (len(chosen), *snapshot.shape)
        if out is None:
            target = out = np.empty(shape, snapshot.dtype)
        else:
            target = _select.target(out, shape, snapshot.dtype)
        snapshot.read_into(chosen, target)
        return out

    def batch(self, rows, columns: str | Iterable[str] | None = None) -> Batch:
        """Rows as one Arrow record batch.

        Parameters
        ----------
        rows : sequence of int or of bool
            Rows in any order, also twice; or a mask of one bool per row.
        columns : {"object_id", "data"} or a sequence of these, optional
            Default both.

        Raises
        ------
        IndexError
            There is no such row.
        ValueError
            There is no such column.
        """
        snapshot = self._snapshot
        chosen = _select.rows(np.asarray(rows), snapshot.rows)
        snapshot.check(chosen)
        return Batch(snapshot, _select.columns(columns), chosen)

    def stream(
        self, columns: str | Iterable[str] | None = None, batch_size: int | None = None, rows=None
    ) -> Stream:
        """Rows as a stream of Arrow record batches, to be read any number of times.

        Parameters
        ----------
        columns : {"object_id", "data"} or a sequence of these, optional
            Default both.
        batch_size : int, optional
            Rows in a batch at most; default 8192. Batches of mapped rows end with their file.
        rows : slice, range, or sequence of int or of bool, optional
            Which rows, in which order; default all. Rows that follow each other and are mapped are
            passed on without a copy.

        Raises
        ------
        IndexError
            There is no such row.
        ValueError
            There is no such column, or `batch_size` is below 1.
        """
        snapshot = self._snapshot
        size = _options.positive("batch_size", batch_size) or _stream.BATCH_ROWS
        if rows is None:
            rows = slice(None)
        run = _select.run(rows, snapshot.rows) if isinstance(rows, (slice, range)) else None
        if run is None:
            if isinstance(rows, slice):
                rows = range(*rows.indices(snapshot.rows))
            chosen = _select.rows(np.asarray(rows), snapshot.rows)
            snapshot.check(chosen)
            return Stream(snapshot, _select.columns(columns), size, chosen)
        if run:
            snapshot.check(np.array([run[0], run[-1]]))
        return Stream(snapshot, _select.columns(columns), size, run)

    def get_data(self, index):
        """As `dataset[index]`; but the tensor of one row is a number of NumPy if it has no dimensions, which is
        what Hyrax takes for a scalar."""
        tensors = self[index]
        return tensors if tensors.ndim else tensors[()]

    def get_object_id(self, index) -> str:
        """The id of one row; IndexError if there is no such row."""
        snapshot = self._snapshot
        row = operator.index(index)
        if 0 <= row < snapshot.rows:
            return snapshot.ids[row]
        raise snapshot.out_of_range(row)

    def ids(self) -> list[str]:
        """The ids of all rows, in row order."""
        return self._snapshot.ids.tolist()

    def find(self, object_ids) -> np.ndarray:
        """The rows that carry ids.

        Parameters
        ----------
        object_ids : sequence of str, bytes or int
            A list, or an array of NumPy of kind `U`, `S`, `i`, `u`, `O` or `T`.

        Returns
        -------
        numpy.ndarray
            int64, one row per id: the first one that carries it, -1 if none does.
        """
        return _ids.find(self._snapshot, object_ids)

    def index_of(self, object_ids):
        """The first row that carries an id, or the rows of many; KeyError if none carries one of them.

        Parameters
        ----------
        object_ids : str, bytes, int, or a sequence of these
            As for `find`.

        Returns
        -------
        int or numpy.ndarray
            The row of a single id; the rows of a sequence, int64.
        """
        snapshot = self._snapshot
        if isinstance(object_ids, str):
            row = _ids.find_one(snapshot, object_ids)
        elif _ids.is_one(object_ids):
            row = int(_ids.find(snapshot, [object_ids])[0])
        else:
            return _ids.rows_of(snapshot, object_ids)
        if row < 0:
            raise UnknownIdError(f"no row carries the id {object_ids!r}")
        return row

    def refresh(self) -> bool:
        """Moves to the newest version of the table, and tells whether that is another one.

        Arrays that were read stay as they are. If the newest version has tensors of another dtype or
        shape, or is no table of results, the error is a SchemaMismatchError; after any error the
        dataset shows what it showed.
        """
        with self._turn():
            shown = self._snapshot
            if not shown.handle:
                raise InvalidHandleError("the dataset is closed; open another one")
            # Another reader, not `rds_reader_refresh`: other threads are in the middle of this one.
            newest = self._open(version=0)
            if newest.is_same(shown):
                return False
            if newest.spec != shown.spec:
                raise SchemaMismatchError(
                    f"version {newest.info.version} of the table has tensors of {newest.dtype} "
                    f"{list(newest.shape)}, this dataset has {self.tensor_dtype} {self.tensor_shape}; "
                    "open another one"
                )
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
        rows = f"{len(self)} rows of {self.tensor_dtype} {self.tensor_shape}"
        return f"<ResultDataset {str(self.data_location)!r}, {rows}>"

    def __reduce__(self):
        snapshot = self._snapshot
        if not snapshot.handle:
            raise InvalidHandleError("the dataset is closed; it cannot be pickled")
        shown = snapshot.info.version, snapshot.info.committed_at
        return _reopen, (type(self), self.config, self.data_location, self._place, shown, self._options)

    def _open(self, version: int) -> Snapshot:
        table = table_path(self._place)
        if is_local(self._place) and not table.parent.exists():
            raise MissingResultsError(
                f"{self.lance_dir} does not exist: there are no results in {self.data_location}"
            )
        options = c.ReaderOptions(
            version=version,
            access=_options.choice("access", self._options["access"], c.ACCESSES),
            flags=0 if self._options["prefetch"] else c.READER_NO_PREFETCH,
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
