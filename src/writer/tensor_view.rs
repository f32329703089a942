//! A stack of tensors in memory of the caller, and the one copy that takes it in.

use std::sync::Arc;

use arrow::buffer::{BooleanBuffer, Buffer};

use crate::error::{Error, Result};
use crate::tensor::{DType, TensorSpec};
use crate::writer::pool::Pool;

/// `shape[0]` rows, anywhere in `bytes` that strides can reach.
pub struct TensorView<'a> {
    spec: TensorSpec,
    rows: usize,
    layout: StackLayout,
    bytes: &'a [u8],
    byte_swapped: bool,
}

/// Where the elements lie.
#[derive(Debug)]
pub struct StackLayout {
    /// All dimensions with their strides in bytes, outermost first.
    dims: Vec<(usize, isize)>,
    /// Bytes of the stack that lie before its first element, because of negative strides.
    pub before: usize,
    /// Bytes from the lowest to the highest.
    pub bytes: usize,
}

impl<'a> TensorView<'a> {
    /// Where a stack of `shape` lies; strides are those of C order if not given.
    pub fn layout(dtype: DType, shape: &[i64], strides: Option<&[i64]>) -> Result<StackLayout> {
        let too_large = || {
            Error::invalid_argument(format!(
                "shape {shape:?} with strides {strides:?} is too large"
            ))
        };
        let (rows, row) = shape.split_first().ok_or_else(too_large)?;
        if *rows < 0 {
            return Err(Error::invalid_argument(format!("shape {shape:?} has {rows} rows")));
        }
        // Checks the dimensions of a row.
        TensorSpec::new(dtype, row)?;
        let mut dims = vec![(0, 0); shape.len()];
        let mut packed = dtype.bytes() as isize;
        let (mut before, mut after) = (0_isize, 0_isize);
        for (i, length) in shape.iter().enumerate().rev() {
            let length = isize::try_from(*length).map_err(|_| too_large())?;
            let stride = match strides {
                None => packed,
                Some(strides) => strides.get(i).map_or(0, |s| *s as isize),
            };
            packed = packed.checked_mul(length.max(1)).ok_or_else(too_large)?;
            if let Some(dim) = dims.get_mut(i) {
                *dim = (length as usize, stride);
            }
            let reach = stride.checked_mul((length - 1).max(0)).ok_or_else(too_large)?;
            let side = if reach < 0 { &mut before } else { &mut after };
            *side = side.checked_add(reach).ok_or_else(too_large)?;
        }
        let span = after.checked_sub(before).and_then(|s| s.checked_add(dtype.bytes() as isize));
        let bytes = if *rows == 0 { 0 } else { span.ok_or_else(too_large)? as usize };
        Ok(StackLayout { dims, before: if *rows == 0 { 0 } else { before.unsigned_abs() }, bytes })
    }

    /// `bytes` are the `layout.bytes` bytes of the stack; their words have the other byte order than
    /// this machine's if `byte_swapped`.
    pub fn new(
        dtype: DType,
        shape: &[i64],
        layout: StackLayout,
        bytes: &'a [u8],
        byte_swapped: bool,
    ) -> Result<Self> {
        let spec = TensorSpec::new(dtype, shape.get(1..).unwrap_or_default())?;
        let rows = shape.first().map_or(0, |rows| *rows as usize);
        if bytes.len() < layout.bytes {
            return Err(Error::internal("a tensor is shorter than its layout"));
        }
        Ok(Self { spec, rows, layout, bytes, byte_swapped })
    }

    pub fn spec(&self) -> &TensorSpec {
        &self.spec
    }

    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Copies the stack into rows one after the other; bits eight to a byte, if `packed_bits`.
    pub fn to_rows(&self, packed_bits: bool, pool: &Arc<Pool>) -> Result<Buffer> {
        let packed = self.packed(pool)?;
        Ok(match (self.spec.dtype, packed_bits) {
            (DType::RDS_DTYPE_BOOL, true) => {
                let bits = packed.iter().map(|byte| *byte != 0);
                bits.collect::<BooleanBuffer>().into_inner()
            }
            (DType::RDS_DTYPE_BOOL, false) => {
                packed.iter().map(|byte| u8::from(*byte != 0)).collect::<Vec<u8>>().into()
            }
            _ => pool.lend(packed),
        })
    }

    /// The rows where they are, if they lie there as they are stored.
    pub fn plain_rows(&self) -> Option<&'a [u8]> {
        let is_plain = !self.byte_swapped && self.spec.dtype != DType::RDS_DTYPE_BOOL;
        let (outer, _) = self.contiguous_runs();
        let bytes = self.rows.checked_mul(self.spec.row_bytes())?;
        self.bytes.get(self.layout.before..).filter(|_| is_plain && outer.is_empty())?.get(..bytes)
    }

    /// The stack in C order and native byte order.
    fn packed(&self, pool: &Pool) -> Result<Vec<u8>> {
        // Strides of 0 make a stack of any size out of nothing.
        let bytes = self.rows.checked_mul(self.spec.row_bytes()).ok_or_else(|| {
            let (rows, row) = (self.rows, self.spec.row_bytes());
            Error::invalid_argument(format!("{rows} rows of {row} bytes do not fit in memory"))
        })?;
        let mut out = pool.take(bytes)?;
        if bytes != 0 {
            let (dims, run) = self.contiguous_runs();
            self.copy(dims, run, self.layout.before as isize, &mut out);
        }
        let word = self.spec.dtype.word_bytes();
        if self.byte_swapped && word > 1 {
            out.chunks_exact_mut(word).for_each(<[u8]>::reverse);
        }
        Ok(out)
    }

    /// The outer dimensions that must be walked, and the bytes that lie together within them.
    fn contiguous_runs(&self) -> (&[(usize, isize)], usize) {
        let mut dims = self.layout.dims.as_slice();
        let mut run = self.spec.dtype.bytes();
        while let Some(((length, stride), outer)) = dims.split_last() {
            if *length != 1 && *stride != run as isize {
                break;
            }
            run *= length;
            dims = outer;
        }
        (dims, run)
    }

    fn copy(&self, dims: &[(usize, isize)], run: usize, at: isize, out: &mut Vec<u8>) {
        match dims.split_first() {
            None => {
                // Within bounds: `layout` has computed the reach of all strides.
                let at = at as usize;
                out.extend_from_slice(self.bytes.get(at..at + run).unwrap_or_default());
            }
            Some(((length, stride), inner)) => {
                for i in 0..*length {
                    self.copy(inner, run, at + i as isize * stride, out);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(values: &[i16]) -> Vec<u8> {
        values.iter().flat_map(|v| v.to_ne_bytes()).collect()
    }

    fn values(shape: &[i64], strides: Option<&[i64]>, bytes: &[u8], swapped: bool) -> Vec<i16> {
        let dtype = DType::RDS_DTYPE_INT16;
        let layout = TensorView::layout(dtype, shape, strides).unwrap();
        let view = TensorView::new(dtype, shape, layout, bytes, swapped).unwrap();
        let rows = view.to_rows(true, &Pool::new(0)).unwrap();
        assert_eq!(rows.len(), view.rows() * view.spec().row_bytes());
        rows.typed_data::<i16>().to_vec()
    }

    #[test]
    fn c_order_is_one_run() {
        let data = bytes(&[1, 2, 3, 4, 5, 6]);
        assert_eq!(values(&[3, 2], None, &data, false), [1, 2, 3, 4, 5, 6]);
        assert_eq!(values(&[3, 2], Some(&[4, 2]), &data, false), [1, 2, 3, 4, 5, 6]);
    }

    #[test]
    fn any_strides_give_c_order() {
        let data = bytes(&[1, 2, 3, 4, 5, 6]);
        // Fortran order of three rows of two.
        assert_eq!(values(&[3, 2], Some(&[2, 6]), &data, false), [1, 4, 2, 5, 3, 6]);
        // Every other row; rows backwards; one row three times.
        assert_eq!(values(&[2, 1], Some(&[4, 2]), &data[..6], false), [1, 3]);
        assert_eq!(values(&[3, 2], Some(&[-4, 2]), &data, false), [5, 6, 3, 4, 1, 2]);
        assert_eq!(values(&[3, 2], Some(&[0, 2]), &data[..4], false), [1, 2, 1, 2, 1, 2]);
    }

    #[test]
    fn the_other_byte_order_is_swapped() {
        let data: Vec<u8> =
            [1_i16, 515].iter().flat_map(|v| v.swap_bytes().to_ne_bytes()).collect();
        assert_eq!(values(&[2], None, &data, true), [1, 515]);
    }

    #[test]
    fn scalars_and_no_rows_are_fine_and_empty_rows_are_not() {
        assert_eq!(values(&[2], None, &bytes(&[7, 8]), false), [7, 8]);
        assert_eq!(values(&[0, 4], None, &[], false), [0_i16; 0]);
        for shape in [&[2, 0][..], &[2, -1], &[-1, 2], &[]] {
            assert!(TensorView::layout(DType::RDS_DTYPE_INT16, shape, None).is_err(), "{shape:?}");
        }
    }

    #[test]
    fn strides_that_overflow_are_refused() {
        let huge = Some(&[i64::MAX, i64::MAX][..]);
        assert!(TensorView::layout(DType::RDS_DTYPE_INT16, &[3, 3], huge).is_err());
    }
}
