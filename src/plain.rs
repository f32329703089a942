//! Plain pages of `data`, as they are written and found: the rows of the page one after the other, as they
//! are in memory, in one buffer of the file.
//!
//! In Lance files 2.1 and 2.2 that is the full-zip layout without repetition and definition levels
//! (`encodings_v2_1.proto` of lance-encoding), in 2.0 the flat fixed-size list without nulls
//! (`encodings_v2_0.proto`). Anything that is not exactly this, new fields and layouts of later
//! versions too, is not plain and left to Lance.

#![forbid(unsafe_code)]

use std::ops::Range;

use arrow::array::{Array, FixedSizeListArray};
use arrow::buffer::Buffer;
use lance_encoding::decoder::PageEncoding;
use lance_encoding::format::pb::array_encoding::ArrayEncoding as Encoding20;
use lance_encoding::format::pb::nullable::Nullability;
use lance_encoding::format::pb::{self, ArrayEncoding};
use lance_encoding::format::pb21::compressive_encoding::Compression;
use lance_encoding::format::pb21::full_zip_layout::Details;
use lance_encoding::format::pb21::page_layout::Layout;
use lance_encoding::format::pb21::{
    self, CompressiveEncoding, FixedSizeList, FullZipLayout, PageLayout, RepDefLayer,
};
use lance_file::format::pbfile::column_metadata::Page;
use lance_file::format::pbfile::encoding::Location;
use prost::Message;
use prost_types::Any;

use crate::error::{Error, Result};
use crate::tensor::{TensorSpec, first_null};

/// Where pages begin in files of these versions: Lance refuses others. It is more than Arrow asks for.
pub(crate) const ALIGNMENT: usize = 64;

/// How the rows of a table lie in a plain page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowLayout {
    /// Numbers of a row, and the bits of each.
    numbers: u64,
    bits: u64,
    /// From one row to the next.
    pub stride: usize,
}

impl RowLayout {
    /// None if a row does not fill its last byte.
    pub fn new(spec: &TensorSpec) -> Option<Self> {
        let (numbers, bits) = spec.stored_numbers();
        let row = numbers * bits;
        row.is_multiple_of(8).then_some(Self {
            numbers: numbers as u64,
            bits: bits as u64,
            stride: row / 8,
        })
    }

    /// How a plain page of so many rows is described in files 2.1 and 2.2; none, if one cannot have as many.
    pub fn description(&self, rows: u64) -> Option<PageEncoding> {
        let items = u32::try_from(rows).ok()?;
        let flat = pb21::Flat { bits_per_value: self.bits, data: None };
        let list = FixedSizeList {
            items_per_value: self.numbers,
            has_validity: false,
            values: Some(Box::new(compressive(Compression::Flat(flat)))),
        };
        let layout = Layout::FullZipLayout(FullZipLayout {
            bits_rep: 0,
            bits_def: 0,
            details: Some(Details::BitsPerValue(u32::try_from(self.stride * 8).ok()?)),
            num_items: items,
            num_visible_items: items,
            value_compression: Some(compressive(Compression::FixedSizeList(Box::new(list)))),
            // A list of fixed size is no layer of its own.
            layers: vec![RepDefLayer::RepdefAllValidItem as i32],
        });
        Some(PageLayout { layout: Some(layout) }.into())
    }

    /// The rows as they lie in a plain page; none, if there is a null or they are of another width.
    pub fn bytes(&self, rows: &FixedSizeListArray) -> Option<Buffer> {
        let values = rows.values().to_data();
        let expected = (rows.len() as u64).checked_mul(self.numbers)?;
        if cfg!(target_endian = "big")
            || first_null(rows).is_some()
            || values.len() as u64 != expected
        {
            return None;
        }
        let (offset, bits) =
            (values.offset() * self.bits as usize, values.len() * self.bits as usize);
        let buffer = values.buffers().first()?;
        (buffer.len() >= (offset + bits).div_ceil(8)).then(|| buffer.bit_slice(offset, bits))
    }

    /// Where in the file the rows of `page` lie, if they are plain. The buffers of the page are known
    /// to lie in the file.
    pub fn plain(&self, page: &Page) -> Result<Option<Range<usize>>> {
        // Bytes of a number are little-endian in the file.
        if cfg!(target_endian = "big") || !self.is_plain(page) {
            return Ok(None);
        }
        let ([offset], [size]) = (page.buffer_offsets.as_slice(), page.buffer_sizes.as_slice())
        else {
            return Ok(None);
        };
        if page.length.checked_mul(self.stride as u64) != Some(*size) {
            return Err(Error::corrupt(format!(
                "a page of {} rows of {} bytes has {size} bytes",
                page.length, self.stride
            )));
        }
        let start = *offset as usize;
        Ok(start.is_multiple_of(ALIGNMENT).then_some(start..start + *size as usize))
    }

    fn is_plain(&self, page: &Page) -> bool {
        let Some(Location::Direct(direct)) =
            page.encoding.as_ref().and_then(|encoding| encoding.location.as_ref())
        else {
            return false;
        };
        let Some(any) = whole::<Any>(&direct.encoding) else { return false };
        match any.type_url.as_str() {
            "/lance.encodings21.PageLayout" => match whole(&any.value) {
                Some(PageLayout { layout: Some(Layout::FullZipLayout(layout)) }) => {
                    self.is_plain_full_zip(&layout, page.length)
                }
                _ => false,
            },
            "/lance.encodings.ArrayEncoding" => {
                whole(&any.value).is_some_and(|encoding| self.is_plain_list(encoding))
            }
            _ => false,
        }
    }

    fn is_plain_full_zip(&self, layout: &FullZipLayout, rows: u64) -> bool {
        let items = rows.try_into().ok();
        layout.bits_rep == 0
            && layout.bits_def == 0
            && layout.details == Some(Details::BitsPerValue((self.stride * 8) as u32))
            && Some(layout.num_items) == items
            && Some(layout.num_visible_items) == items
            && layout.value_compression.as_ref().is_some_and(|values| self.is_flat(values))
    }

    fn is_flat(&self, values: &CompressiveEncoding) -> bool {
        let Some(Compression::FixedSizeList(list)) = &values.compression else { return false };
        let values = list.values.as_ref().and_then(|values| values.compression.as_ref());
        list.items_per_value == self.numbers
            && !list.has_validity
            && values
                == Some(&Compression::Flat(pb21::Flat { bits_per_value: self.bits, data: None }))
    }

    /// Nullable without nulls, flat, and a list of it likewise.
    fn is_plain_list(&self, encoding: ArrayEncoding) -> bool {
        let Some(Encoding20::FixedSizeList(list)) = without_nulls(encoding) else { return false };
        let values = list.items.and_then(|items| without_nulls(*items));
        let buffer = pb::Buffer { buffer_index: 0, buffer_type: 0 };
        let flat = pb::Flat { bits_per_value: self.bits, buffer: Some(buffer), compression: None };
        u64::from(list.dimension) == self.numbers
            && !list.has_validity
            && values == Some(Encoding20::Flat(flat))
    }
}

/// A message that says nothing else than what is known here: a field of a later version may change what the others
/// mean, and is not found again when the message is encoded anew.
fn whole<M: Message + Default>(bytes: &[u8]) -> Option<M> {
    M::decode(bytes).ok().filter(|message| message.encode_to_vec() == bytes)
}

fn compressive(compression: Compression) -> CompressiveEncoding {
    CompressiveEncoding { compression: Some(compression) }
}

fn without_nulls(encoding: ArrayEncoding) -> Option<Encoding20> {
    match encoding.array_encoding? {
        Encoding20::Nullable(nullable) => match nullable.nullability? {
            Nullability::NoNulls(values) => values.values?.array_encoding,
            _ => None,
        },
        plain => Some(plain),
    }
}

#[cfg(test)]
mod tests {
    use lance_encoding::format::pb21::FixedSizeList;
    use lance_file::format::pbfile::{DirectEncoding, Encoding};

    use super::*;
    use crate::error::Status;
    use crate::tensor::DType;

    fn layout() -> RowLayout {
        RowLayout::new(&TensorSpec::new(DType::RDS_DTYPE_FLOAT32, &[2, 3]).unwrap()).unwrap()
    }

    fn full_zip() -> FullZipLayout {
        let flat = pb21::Flat { bits_per_value: 32, data: None };
        let list = FixedSizeList {
            items_per_value: 6,
            has_validity: false,
            values: Some(Box::new(CompressiveEncoding {
                compression: Some(Compression::Flat(flat)),
            })),
        };
        FullZipLayout {
            bits_rep: 0,
            bits_def: 0,
            details: Some(Details::BitsPerValue(192)),
            num_items: 10,
            num_visible_items: 10,
            value_compression: Some(CompressiveEncoding {
                compression: Some(Compression::FixedSizeList(Box::new(list))),
            }),
            layers: vec![1],
        }
    }

    /// A page of 10 rows of 24 bytes.
    fn page(layout: FullZipLayout) -> Page {
        let layout = PageLayout { layout: Some(Layout::FullZipLayout(layout)) };
        let any =
            Any { type_url: "/lance.encodings21.PageLayout".into(), value: layout.encode_to_vec() };
        let direct = DirectEncoding { encoding: any.encode_to_vec() };
        Page {
            buffer_offsets: vec![64],
            buffer_sizes: vec![240],
            length: 10,
            encoding: Some(Encoding { location: Some(Location::Direct(direct)) }),
            priority: 0,
        }
    }

    #[test]
    fn rows_one_after_the_other_are_plain() {
        assert_eq!(layout().plain(&page(full_zip())).unwrap(), Some(64..304));
    }

    #[test]
    fn anything_else_is_left_to_lance() {
        type Change = fn(&mut FullZipLayout);
        let changes: [Change; 7] = [
            |layout| layout.bits_rep = 1,
            |layout| layout.bits_def = 1,
            |layout| layout.details = Some(Details::BitsPerValue(224)),
            |layout| layout.details = Some(Details::BitsPerOffset(192)),
            |layout| layout.num_items = 9,
            |layout| layout.num_visible_items = 9,
            |layout| layout.value_compression = None,
        ];
        for (i, change) in changes.into_iter().enumerate() {
            let mut changed = full_zip();
            change(&mut changed);
            assert_eq!(layout().plain(&page(changed)).unwrap(), None, "change {i}");
        }
        let other = TensorSpec::new(DType::RDS_DTYPE_FLOAT64, &[3]).unwrap();
        assert_eq!(RowLayout::new(&other).unwrap().plain(&page(full_zip())).unwrap(), None);
        let with = |change: fn(&mut Page)| {
            let mut page = page(full_zip());
            change(&mut page);
            layout().plain(&page).unwrap()
        };
        let unknown = |page: &mut Page| {
            let Some(Encoding { location: Some(Location::Direct(direct)) }) = &mut page.encoding
            else {
                return;
            };
            let mut any = Any::decode(direct.encoding.as_slice()).unwrap();
            any.value.extend([0x98, 0x06, 1]); // field 99, the number 1
            direct.encoding = any.encode_to_vec();
        };
        assert_eq!(with(unknown), None, "a field that is not known");
        assert_eq!(with(|page| page.buffer_offsets = vec![72]), None, "not aligned");
        assert_eq!(with(|page| page.buffer_sizes.push(0)), None, "two buffers");
        assert_eq!(with(|page| page.encoding = None), None);
        assert_eq!(with(|page| page.encoding = Some(Encoding { location: None })), None);
    }

    #[test]
    fn a_plain_page_of_another_size_is_corrupt() {
        let mut page = page(full_zip());
        page.buffer_sizes = vec![239];
        assert_eq!(layout().plain(&page).unwrap_err().status, Status::RDS_ERR_CORRUPT);
    }

    #[test]
    fn rows_of_bits_fill_their_last_byte_or_are_not_mapped() {
        let bits = |n| RowLayout::new(&TensorSpec::new(DType::RDS_DTYPE_BOOL, &[n]).unwrap());
        assert_eq!((bits(16).unwrap().stride, bits(12)), (2, None));
    }
}
