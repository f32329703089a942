use super::*;
use crate::error::Status;

fn with_metadata(schema: Schema, entries: &[(&str, &str)]) -> Schema {
    let metadata = entries.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
    schema.with_metadata(metadata)
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
        let schema = TensorSpec::new(DType::RDS_DTYPE_FLOAT32, shape).unwrap().schema();
        assert_eq!(schema.metadata()[SHAPE_KEY], json);
        assert_eq!(schema.metadata()[DTYPE_KEY], "float32");
    }
}

#[test]
fn every_dtype_is_found_again_in_the_schema_it_writes() {
    for dtype in DType::all() {
        for shape in [&[][..], &[3], &[2, 4]] {
            let spec = TensorSpec::new(dtype, shape).unwrap();
            assert_eq!(TensorSpec::from_table_schema(&spec.schema()).unwrap(), spec);
            assert_eq!(TensorSpec::from_batch_schema(&spec.schema()).unwrap(), spec);
        }
    }
}

#[test]
fn without_metadata_a_list_has_one_dimension() {
    for dtype in DType::all().filter(|dtype| dtype.parts() == 1) {
        let schema = TensorSpec::new(dtype, &[2, 3]).unwrap().schema();
        let bare = with_metadata(schema, &[]);
        let spec = TensorSpec::from_batch_schema(&bare).unwrap();
        assert_eq!((spec.dtype, spec.shape.as_slice()), (dtype, &[6][..]));
        let error = TensorSpec::from_table_schema(&bare).unwrap_err();
        assert_eq!(error.status, Status::RDS_ERR_SCHEMA_MISMATCH);
        assert!(error.message.contains("no tensor metadata"), "{error}");
    }
}

#[test]
fn fixed_shape_tensor_gives_the_shape() {
    let field = |extension: &str| {
        let schema = TensorSpec::new(DType::RDS_DTYPE_INT8, &[6]).unwrap().schema();
        let data = schema.field_with_name(DATA_COLUMN).unwrap().clone();
        let data = data.with_metadata(HashMap::from([
            (EXTENSION_NAME.to_string(), fixed_shape::FIXED_SHAPE_TENSOR.to_string()),
            (EXTENSION_METADATA.to_string(), extension.to_string()),
        ]));
        TensorSpec::from_batch_schema(&Schema::new(vec![data]))
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
    let schema = || TensorSpec::new(DType::RDS_DTYPE_FLOAT32, &[6]).unwrap().schema();
    for (shape, dtype, status) in [
        ("[7]", "float32", Status::RDS_ERR_SCHEMA_MISMATCH),
        ("[6]", "float64", Status::RDS_ERR_SCHEMA_MISMATCH),
        ("[6]", "complex64", Status::RDS_ERR_SCHEMA_MISMATCH),
        ("[6]", "object", Status::RDS_ERR_NOT_SUPPORTED),
        ("6", "float32", Status::RDS_ERR_SCHEMA_MISMATCH),
        ("[6, -1]", "float32", Status::RDS_ERR_SCHEMA_MISMATCH),
        ("[99999999999, 99999999999]", "float32", Status::RDS_ERR_SCHEMA_MISMATCH),
    ] {
        let schema = with_metadata(schema(), &[(SHAPE_KEY, shape), (DTYPE_KEY, dtype)]);
        let error = TensorSpec::from_table_schema(&schema).unwrap_err();
        assert_eq!(error.status, status, "{shape} {dtype}: {error}");
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
