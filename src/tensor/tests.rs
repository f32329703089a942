use super::columns::{of_batch, schema};
use super::*;
use crate::error::Status;

const SHAPE_KEY: &str = "tensor_shape";
const DTYPE_KEY: &str = "tensor_dtype";

fn with_metadata(schema: Schema, entries: &[(&str, &str)]) -> Schema {
    let metadata = entries.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
    schema.with_metadata(metadata)
}

fn spec(dtype: DType, shape: &[i64]) -> TensorSpec {
    TensorSpec::new(dtype, shape).unwrap()
}

fn lone(spec: &TensorSpec) -> Schema {
    schema([("data", spec)].into_iter())
}

fn several() -> Vec<TensorColumn> {
    vec![
        TensorColumn::new("zeta", spec(DType::RDS_DTYPE_FLOAT32, &[2, 3])),
        TensorColumn::new("data", spec(DType::RDS_DTYPE_BOOL, &[3])),
        TensorColumn::new("tensor_shape", spec(DType::RDS_DTYPE_DATETIME64_NS, &[])),
        TensorColumn::new("tensor_dtype", spec(DType::RDS_DTYPE_COMPLEX64, &[4])),
    ]
}

fn schema_of(tensors: &[TensorColumn]) -> Schema {
    schema(tensors.iter().map(|tensor| (tensor.name.as_str(), &tensor.spec)))
}

fn of_table(schema: &Schema) -> Result<TableColumns> {
    TableColumns::new(schema, None)
}

#[test]
fn the_table_of_dtypes_is_in_the_order_of_the_numbers() {
    for (index, dtype) in DType::all().enumerate() {
        assert_eq!(dtype as usize, index + 1);
        assert_eq!(DType::from_number(dtype as u32), Some(dtype));
        assert_eq!(DType::from_name(dtype.name()), Some(dtype));
    }
    assert_eq!(DType::from_number(0), None);
    assert_eq!(DType::from_number(24), None);
    assert_eq!(DType::from_name("object"), None);
}

#[test]
fn metadata_is_written_as_python_writes_it() {
    for (shape, json) in [(&[2, 3][..], "[2, 3]"), (&[], "[]"), (&[7], "[7]")] {
        let schema = lone(&spec(DType::RDS_DTYPE_FLOAT32, shape));
        assert_eq!(schema.metadata().len(), 2);
        assert_eq!(schema.metadata()[SHAPE_KEY], json);
        assert_eq!(schema.metadata()[DTYPE_KEY], "float32");
    }
    let schema = schema_of(&several());
    assert_eq!(schema.metadata().len(), 4);
    assert_eq!(schema.metadata()["zeta"], r#"{"tensor_shape": [2, 3], "tensor_dtype": "float32"}"#);
    assert_eq!(
        schema.metadata()["tensor_shape"],
        r#"{"tensor_shape": [], "tensor_dtype": "datetime64[ns]"}"#
    );
}

#[test]
fn every_dtype_is_found_again_in_the_schema_it_writes() {
    for dtype in DType::all() {
        for shape in [&[][..], &[3], &[2, 4]] {
            let spec = spec(dtype, shape);
            let tensors = vec![TensorColumn::new("data", spec.clone())];
            let table = of_table(&lone(&spec)).unwrap();
            assert_eq!((table.form, &table.tensors), (Form::Data, &tensors));
            assert_eq!(of_batch(&lone(&spec)).unwrap(), tensors);
            let tensors = vec![TensorColumn::new("other", spec)];
            let table = of_table(&schema_of(&tensors)).unwrap();
            assert_eq!((table.form, &table.tensors), (Form::Named, &tensors));
            assert_eq!(of_batch(&schema_of(&tensors)).unwrap(), tensors);
        }
    }
    let table = of_table(&schema_of(&several())).unwrap();
    assert_eq!((table.form, table.tensors), (Form::Named, several()));
    assert_eq!(of_batch(&schema_of(&several())).unwrap(), several());
}

#[test]
fn keys_of_others_and_keys_without_a_column_are_not_minded() {
    let mut schema = schema_of(&several());
    let more = [("gone", r#"{"tensor_shape": [2], "tensor_dtype": "int8"}"#), ("zeta2", "7")];
    let more = more.map(|(key, value)| (key.to_string(), value.to_string()));
    schema.metadata.extend(more);
    assert_eq!(of_table(&schema).unwrap().tensors, several());
    // What has no key is no tensor, where others have one.
    schema.metadata.remove("zeta");
    let table = of_table(&schema).unwrap();
    assert_eq!((table.tensors.as_slice(), table.others), (&several()[1..], vec!["zeta".into()]));
}

#[test]
fn without_metadata_a_list_has_one_dimension() {
    for dtype in DType::all().filter(|dtype| dtype.parts() == 1) {
        let bare = with_metadata(lone(&spec(dtype, &[2, 3])), &[]);
        let expected = vec![TensorColumn::new("data", spec(dtype, &[6]))];
        assert_eq!(of_batch(&bare).unwrap(), expected);
        let table = of_table(&bare).unwrap();
        assert_eq!((table.form, table.tensors), (Form::Types, expected));
    }
}

#[test]
fn tables_of_others_have_tensors_by_their_types() {
    let list = |item: DataType, length| {
        DataType::FixedSizeList(Arc::new(Field::new("item", item, true)), length)
    };
    let zone = DataType::Timestamp(TimeUnit::Millisecond, Some("Europe/Berlin".into()));
    let schema = Schema::new(vec![
        Field::new("text", DataType::Utf8, true),
        Field::new("vector", list(DataType::Float32, 4), true),
        Field::new("score", DataType::Float64, true),
        Field::new("at", zone, true),
        Field::new("names", list(DataType::Utf8, 2), true),
        Field::new("nothing", list(DataType::Int8, 0), true),
        Field::new("deep", list(list(DataType::Int8, 2), 2), true),
        Field::new("key", DataType::Int64, true),
    ]);
    let table = TableColumns::new(&schema, Some("key")).unwrap();
    let tensors = [
        TensorColumn::new("vector", spec(DType::RDS_DTYPE_FLOAT32, &[4])),
        TensorColumn::new("score", spec(DType::RDS_DTYPE_FLOAT64, &[])),
        TensorColumn::new("at", spec(DType::RDS_DTYPE_DATETIME64_MS, &[])),
    ];
    assert_eq!((table.form, table.tensors.as_slice()), (Form::Types, &tensors[..]));
    assert_eq!(table.id.as_deref(), Some("key"));
    assert_eq!(table.others, ["text", "names", "nothing", "deep"]);
    assert_eq!(TableColumns::new(&schema, Some("text")).unwrap().tensors.len(), 4);
    assert_eq!(of_table(&schema).unwrap().id, None);
    for (id, what) in [("vector", "strings or integers"), ("gone", "no column")] {
        let error = TableColumns::new(&schema, Some(id)).unwrap_err();
        assert_eq!(error.status, Status::RDS_ERR_SCHEMA_MISMATCH);
        assert!(error.message.contains(what), "{error}");
    }
    let text = Schema::new(vec![Field::new("text", DataType::Utf8, true)]);
    let error = of_table(&text).unwrap_err();
    assert!(error.message.contains("text"), "{error}");
}

#[test]
fn a_batch_is_ids_and_tensors() {
    let field = |name: &str, data_type| Field::new(name, data_type, true);
    let ids = || field(ID_COLUMN, DataType::Utf8);
    let number = || field("a", DataType::Int8);
    for (fields, named) in [
        (vec![number()], ID_COLUMN),
        (vec![ids()], "no tensors"),
        (vec![ids(), field("text", DataType::Utf8)], "\"text\""),
        (vec![ids(), number(), number()], "\"a\" occurs twice"),
        (vec![ids(), number(), ids()], "occurs twice"),
    ] {
        let error = of_batch(&Schema::new(fields)).unwrap_err();
        assert_eq!(error.status, Status::RDS_ERR_SCHEMA_MISMATCH);
        assert!(error.message.contains(named), "{error}");
    }
    let scalars = of_batch(&Schema::new(vec![number(), ids()])).unwrap();
    assert_eq!(scalars, [TensorColumn::new("a", spec(DType::RDS_DTYPE_INT8, &[]))]);
}

#[test]
fn fixed_shape_tensor_gives_the_shape() {
    let field = |extension: &str| {
        let schema = lone(&spec(DType::RDS_DTYPE_INT8, &[6]));
        let data = schema.field_with_name(DATA_COLUMN).unwrap().clone();
        let data = data.with_metadata(HashMap::from([
            (EXTENSION_NAME.to_string(), fixed_shape::FIXED_SHAPE_TENSOR.to_string()),
            (EXTENSION_METADATA.to_string(), extension.to_string()),
        ]));
        TensorSpec::from_field(&data).map(Option::unwrap)
    };
    assert_eq!(field(r#"{"shape":[2,3]}"#).unwrap().shape, [2, 3]);
    assert_eq!(field(r#"{"shape":[2,3],"permutation":[0,1]}"#).unwrap().shape, [2, 3]);
    let permuted = field(r#"{"shape":[2,3],"permutation":[1,0]}"#).unwrap_err();
    assert_eq!(permuted.status, Status::RDS_ERR_NOT_SUPPORTED);
    for bad in [r#"{"shape":[2,4]}"#, "{}", "", r#"{"shape":[-2,-3]}"#] {
        assert!(field(bad).is_err(), "{bad}");
    }
}

#[test]
fn metadata_that_does_not_fit_the_column_is_refused() {
    let schema = || lone(&spec(DType::RDS_DTYPE_FLOAT32, &[6]));
    for (shape, dtype, status) in [
        ("[7]", "float32", Status::RDS_ERR_SCHEMA_MISMATCH),
        ("[6]", "float64", Status::RDS_ERR_SCHEMA_MISMATCH),
        ("[6]", "complex64", Status::RDS_ERR_SCHEMA_MISMATCH),
        ("[6]", "object", Status::RDS_ERR_NOT_SUPPORTED),
        ("6", "float32", Status::RDS_ERR_SCHEMA_MISMATCH),
        ("[6, -1]", "float32", Status::RDS_ERR_SCHEMA_MISMATCH),
        ("[99999999999, 99999999999]", "float32", Status::RDS_ERR_SCHEMA_MISMATCH),
    ] {
        let old = with_metadata(schema(), &[(SHAPE_KEY, shape), (DTYPE_KEY, dtype)]);
        let error = of_table(&old).unwrap_err();
        assert_eq!(error.status, status, "{shape} {dtype}: {error}");
        if shape.starts_with('[') {
            let value = format!("{{\"tensor_shape\": {shape}, \"tensor_dtype\": \"{dtype}\"}}");
            let error = of_table(&with_metadata(schema(), &[("data", &value)])).unwrap_err();
            assert_eq!(error.status, status, "{value}: {error}");
            assert!(error.message.contains("\"data\""), "{error}");
        }
    }
}

#[test]
fn names_that_lance_cannot_store_are_refused() {
    for name in ["", "a.b", ".", "`", "a\0", "_rowid", "_rowaddr", ID_COLUMN] {
        let error = check_name(name).unwrap_err();
        assert_eq!(error.status, Status::RDS_ERR_INVALID_ARGUMENT, "{error}");
    }
    for name in ["a", "A b", "é", "keys", "_row", "tensor_shape"] {
        check_name(name).unwrap();
    }
}

#[test]
fn impossible_rows_are_refused() {
    let spec = |shape: &[i64]| TensorSpec::new(DType::RDS_DTYPE_COMPLEX128, shape);
    for shape in [&[0][..], &[2, 0], &[-1], &[1 << 30, 2], &[i64::MAX, i64::MAX], &[1; 65]] {
        assert_eq!(spec(shape).unwrap_err().status, Status::RDS_ERR_INVALID_ARGUMENT, "{shape:?}");
    }
    assert_eq!(spec(&[1; 64]).unwrap().row_bytes(), 16);
}

#[test]
fn what_a_column_says_of_itself_is_not_passed_over() {
    for value in [
        r#"{"tensor_shape": [6]}"#,
        r#"{"tensor_dtype": "float32"}"#,
        r#"{"tensor_shape": "6", "tensor_dtype": "float32"}"#,
        r#"{"tensor_shape": [1.5], "tensor_dtype": "float32"}"#,
        r#"{"tensor_shape": [6], "tensor_dtype": 5}"#,
    ] {
        let schema = lone(&spec(DType::RDS_DTYPE_FLOAT32, &[6]));
        let error = of_table(&with_metadata(schema, &[("data", value)])).unwrap_err();
        assert_eq!(error.status, Status::RDS_ERR_SCHEMA_MISMATCH, "{value}: {error}");
        assert!(error.message.contains("\"data\""), "{error}");
    }
    for foreign in ["", "7", "null", "{}", "[]", "{", r#"{"pandas": 1}"#] {
        let schema = lone(&spec(DType::RDS_DTYPE_FLOAT32, &[6]));
        let table = of_table(&with_metadata(schema, &[("data", foreign)])).unwrap();
        assert_eq!(table.form, Form::Types, "{foreign}");
    }
}
