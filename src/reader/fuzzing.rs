//! What the fuzz targets call of this module.

use std::ops::Range;

use bytes::Bytes;

use crate::error::Result;
use crate::manifest;
use crate::plain::RowLayout;
use crate::reader::footer::Footer;
use crate::tensor::{DType, TensorSpec};

/// A data file that others may have written: whatever its end says lies within it, or is refused.
pub fn footer(file: &[u8]) -> Result<()> {
    let size = file.len() as u64;
    let footer = Footer::read(size, |part| {
        assert!(part.start <= part.end && part.end <= size, "{part:?} of a file of {size} bytes");
        Ok(Bytes::copy_from_slice(&file[part.start as usize..part.end as usize]))
    })?;
    let layouts =
        [(DType::RDS_DTYPE_FLOAT32, 4), (DType::RDS_DTYPE_UINT8, 3)].map(|(dtype, width)| {
            TensorSpec::new(dtype, &[width]).ok().and_then(|spec| RowLayout::new(&spec))
        });
    let mut number = 0;
    while let Ok(column) = footer.column(number) {
        let rows: u64 = column.pages.iter().map(|page| page.length).sum();
        assert_eq!(rows, footer.rows);
        for (page, layout) in
            column.pages.iter().flat_map(|page| layouts.map(|layout| (page, layout)))
        {
            let plain = layout.map_or(Ok(None), |layout| layout.plain(page));
            let inside = |bytes: Range<usize>| bytes.start <= bytes.end && bytes.end <= file.len();
            assert!(plain.ok().flatten().is_none_or(inside));
        }
        number += 1;
    }
    footer.for_lance().map(drop)
}

/// What a version says of itself.
pub fn manifest(message: &[u8]) -> Result<()> {
    manifest::decode(message).map(drop)
}
