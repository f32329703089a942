"""Several named tensors: tables of others, and ours in other hands."""

import duckdb
import lance
import lancedb
import numpy as np
import polars
import pyarrow as pa
import pytest
from samples import assert_same_bits, column_bytes, numbered_ids, random_array, store, to_arrow, write

import rds

ROWS = 30
IDS = numbered_ids(ROWS)
VECTOR = random_array("f4", (ROWS, 8))
IMAGE = random_array("u1", (ROWS, 2, 3), 1)
SCORE = np.linspace(0, 1, ROWS)
WHEN = np.arange(ROWS).astype("datetime64[us]")
TEXT = [f"text {row}" for row in range(ROWS)]


def vectors(array):
    return to_arrow(IDS, array)["data"]


def of_others(**more):
    return pa.table(
        {
            "object_id": IDS,
            "title": TEXT,
            "vector": vectors(VECTOR),
            "image": pa.FixedShapeTensorArray.from_numpy_ndarray(IMAGE),
            "score": SCORE,
            "good": pa.array(SCORE > 0.5),
            "when": pa.array(WHEN),
            "box": pa.array([{"x": 1.0}] * ROWS),
            "tags": pa.array([["a"]] * ROWS),
            **more,
        }
    )


def check(dataset):
    expected = {"vector": VECTOR, "image": IMAGE, "score": SCORE, "good": SCORE > 0.5, "when": WHEN}
    assert dataset.columns == tuple(expected)
    rows = np.array([9, 0, 9])
    for name, array in expected.items():
        column = dataset[name]
        assert (column.dtype, column.shape) == (array.dtype, array.shape[1:])
        assert_same_bits(np.asarray(column), array)
        assert_same_bits(dataset[7][name], array[7])
        assert_same_bits(dataset[rows][name], array[rows])
        assert_same_bits(dataset.batch(rows, name)[name], array[rows])
        assert_same_bits(np.concatenate([batch[name] for batch in dataset.stream(name, batch_size=7)]), array)


def test_a_table_of_pylance_opens(result_dir):
    store(result_dir, of_others())
    dataset = rds.ResultDataset({}, result_dir)
    check(dataset)
    assert dataset.ids() == IDS and dataset.index_of(IDS[5]) == 5


def test_a_table_of_pylance_in_parts_with_deleted_rows_opens(result_dir):
    store(result_dir, of_others(), max_rows_per_file=7)
    lance.dataset(str(result_dir / "lance_db" / "results.lance")).delete(f"object_id = '{IDS[3]}'")
    dataset = rds.ResultDataset({}, result_dir)
    assert len(dataset) == ROWS - 1
    kept = np.delete(np.arange(ROWS), 3)
    for name, array in {"vector": VECTOR, "image": IMAGE, "score": SCORE}.items():
        assert_same_bits(np.asarray(dataset[name]), array[kept])
    assert dataset.ids() == [IDS[row] for row in kept]


def test_a_table_of_lancedb_opens(tmp_path):
    vectors = np.arange(ROWS * 8, dtype="f4").reshape(ROWS, 8)
    data = [
        {"name": name, "vector": vector, "score": score, "text": text}
        for name, vector, score, text in zip(IDS, vectors.tolist(), SCORE.tolist(), TEXT)
    ]
    schema = pa.schema(
        [("name", pa.utf8()), ("vector", pa.list_(pa.float32(), 8)), ("score", pa.float64()), ("text", pa.utf8())]
    )
    lancedb.connect(tmp_path).create_table("results", data, schema=schema)
    with rds.ResultDataset({}, tmp_path / "results.lance", id_column="name") as dataset:
        assert dataset.columns == ("vector", "score")
        assert_same_bits(np.asarray(dataset["vector"]), vectors)
        assert_same_bits(np.asarray(dataset["score"]), SCORE)
        assert dataset.ids() == IDS
        assert dataset.find(IDS[:2]).tolist() == [0, 1]
        assert pa.table(dataset.stream(["score", "name"])).schema.names == ["name", "score"]


def without_ids(result_dir):
    store(result_dir, pa.table({"vector": vectors(VECTOR), "score": SCORE, "title": TEXT}))
    return rds.ResultDataset({}, result_dir)


def test_a_table_without_ids_has_everything_else(result_dir):
    dataset = without_ids(result_dir)
    assert dataset.columns == ("vector", "score") and len(dataset) == ROWS
    assert_same_bits(dataset[7]["vector"], VECTOR[7])
    assert_same_bits(dataset[[7, 2]]["score"], SCORE[[7, 2]])
    assert pa.table(dataset).schema.names == ["vector", "score"]
    assert pa.table(dataset.stream()).num_rows == ROWS
    assert pa.record_batch(dataset.batch([3])).schema.names == ["vector", "score"]
    assert not dataset.refresh()


WITHOUT_IDS = {
    "ids": lambda ds: ds.ids(),
    "id": lambda ds: ds.get_object_id(3),
    "find": lambda ds: ds.find(["a"]),
    "find one": lambda ds: ds.find(["a", "b"]),
    "find all": lambda ds: ds.find_all("a"),
    "index": lambda ds: ds.index_of("a"),
    "stream": lambda ds: ds.stream("object_id"),
    "batch": lambda ds: ds.batch([0], ["object_id", "score"]),
}


@pytest.mark.parametrize("call", WITHOUT_IDS.values(), ids=WITHOUT_IDS)
def test_a_table_without_ids_says_so(result_dir, call):
    dataset = without_ids(result_dir)
    with pytest.raises(ValueError, match="has no ids") as caught:
        call(dataset)
    assert isinstance(caught.value, rds._errors.SchemaMismatchError)


@pytest.mark.parametrize("values", [TEXT, range(100, 100 + ROWS)], ids=["strings", "integers"])
def test_ids_of_another_column(result_dir, values):
    store(result_dir, of_others(key=pa.array(values)))
    dataset = rds.ResultDataset({}, result_dir, id_column="key")
    assert dataset.ids() == list(map(str, values))
    assert dataset.index_of(str(values[7])) == 7 and dataset.get_object_id(7) == str(values[7])
    assert "key" not in dataset.columns


@pytest.mark.parametrize(
    ("name", "kind"),
    [("nothing", RuntimeError), ("vector", RuntimeError), ("score", RuntimeError), (3, TypeError), ("a\0", ValueError)],
)
def test_a_column_that_has_no_ids_is_refused(result_dir, name, kind):
    store(result_dir, of_others())
    with pytest.raises(kind, match=repr(name).strip("'") if isinstance(name, str) and "\0" not in name else None):
        rds.ResultDataset({}, result_dir, id_column=name)


def test_a_table_without_tensors_is_refused(result_dir):
    store(result_dir, pa.table({"object_id": IDS, "title": TEXT}))
    with pytest.raises(RuntimeError, match="no tensors"):
        rds.ResultDataset({}, result_dir)


OURS = {"embedding": VECTOR, "image": IMAGE, "score": SCORE}


@pytest.fixture
def ours(result_dir):
    write(result_dir, IDS, OURS)
    return rds.ResultDataset({}, result_dir)


def test_our_columns_in_pylance(ours):
    table = ours.lance_dataset.to_table()
    assert table.schema.names == ["object_id", *OURS]
    assert table["object_id"].to_pylist() == IDS
    for name, array in OURS.items():
        assert column_bytes(table[name]) == array.tobytes()
    taken = ours.lance_dataset.take([5, 1], columns=["score", "embedding"])
    assert column_bytes(taken["embedding"]) == VECTOR[[5, 1]].tobytes()
    assert ours.lance_dataset.count_rows() == ROWS


def test_our_columns_in_lancedb(ours):
    table = ours.table.to_arrow()
    for name, array in OURS.items():
        assert column_bytes(table[name]) == array.tobytes()
    finite = np.nan_to_num(VECTOR, nan=0, posinf=0, neginf=0)
    found = ours.table.search(finite[3], vector_column_name="embedding").limit(2).to_arrow()
    assert "embedding" in found.schema.names


def test_our_columns_in_polars_and_duckdb(ours):
    frame = polars.DataFrame(ours.stream())
    assert frame.columns == ["object_id", *OURS]
    assert_same_bits(frame["embedding"].to_numpy(), VECTOR)
    assert_same_bits(frame["image"].to_numpy().reshape(IMAGE.shape), IMAGE)
    relation = duckdb.sql("select object_id, score[1] as score from ours order by object_id desc limit 3")
    assert relation.fetchall() == [(IDS[row], SCORE[row]) for row in (29, 28, 27)]


def test_columns_that_pylance_adds_come_with_a_refresh(ours):
    more = pa.record_batch({"more": pa.array(SCORE * 2)})
    ours.lance_dataset.add_columns(pa.RecordBatchReader.from_batches(more.schema, [more]))
    ours.refresh()
    for name, array in OURS.items():
        assert_same_bits(np.asarray(ours[name]), array)


def test_columns_of_others_that_are_added_get_higher_numbers(result_dir):
    store(result_dir, of_others())
    dataset = rds.ResultDataset({}, result_dir)
    before = dataset.columns
    more = pa.record_batch({"more": pa.array(SCORE * 2)})
    dataset.lance_dataset.add_columns(pa.RecordBatchReader.from_batches(more.schema, [more]))
    assert dataset.columns == before
    assert dataset.refresh() is True
    assert dataset.columns == (*before, "more")
    assert_same_bits(dataset[3]["more"], SCORE[3] * 2)
    assert_same_bits(np.asarray(dataset["vector"]), VECTOR)


def test_a_column_that_is_dropped_refuses_a_refresh(ours):
    ours.lance_dataset.drop_columns(["score"])
    with pytest.raises(rds._errors.SchemaMismatchError, match="score"):
        ours.refresh()
    assert_same_bits(np.asarray(ours["score"]), SCORE)


def test_results_of_several_columns_are_written_to_another_table(ours, tmp_path):
    for number, what in enumerate([ours, ours.stream(batch_size=7), ours.batch(range(ROWS))]):
        with rds.ResultDatasetWriter(tmp_path / str(number)) as writer:
            writer.write_batch(what)
            assert writer.tensor_shape == {"embedding": [8], "image": [2, 3], "score": []}
        copy = rds.ResultDataset({}, tmp_path / str(number))
        assert copy.ids() == IDS
        for name, array in OURS.items():
            assert_same_bits(np.asarray(copy[name]), array)


def test_a_table_of_arrow_types_is_written(result_dir):
    table = of_others().drop(["title", "box", "tags"])
    with rds.ResultDatasetWriter(result_dir) as writer:
        writer.write_batch(table.slice(0, 11))
        writer.write_batch(polars.from_arrow(table.slice(11).drop(["image"])).to_arrow().append_column(
            table.schema.field("image"), table["image"].slice(11)))
    check(rds.ResultDataset({}, result_dir))
