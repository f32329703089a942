//! What can be checked of an array from outside before anybody relies on it: the trees of its two structs,
//! as the Arrow C data interface defines them. arrow-rs takes counts, lengths and offsets as they are. Lengths
//! of buffers are not part of that interface and cannot be checked.

use std::ffi::{CStr, c_char, c_void};
use std::fmt::{self, Display};

use arrow::ffi::{FFI_ArrowArray, FFI_ArrowSchema};

use crate::error::{Error, Result};
use crate::ffi::arrow_form::{Form, Kind};

/// Levels below the batch. The recursions here and in arrow-rs then fit on any stack.
const MAX_DEPTH: usize = 64;
/// Columns, with all that is below them: structs may refer to each other so that these are more than memory.
const MAX_NODES: usize = 1 << 16;

/// `ArrowSchema`; arrow-rs does not show its fields.
#[repr(C)]
struct RawSchema {
    format: *const c_char,
    name: *const c_char,
    metadata: *const c_char,
    flags: i64,
    n_children: i64,
    children: *const *const RawSchema,
    dictionary: *const RawSchema,
    release: Option<unsafe extern "C" fn(*mut RawSchema)>,
    private_data: *const c_void,
}
const _: () = assert!(size_of::<RawSchema>() == size_of::<FFI_ArrowSchema>());

/// `ArrowArray`, of which the same holds.
#[repr(C)]
struct RawArray {
    length: i64,
    null_count: i64,
    offset: i64,
    n_buffers: i64,
    n_children: i64,
    buffers: *const *const c_void,
    children: *const *const RawArray,
    dictionary: *const RawArray,
    release: Option<unsafe extern "C" fn(*mut RawArray)>,
    private_data: *const c_void,
}
const _: () = assert!(size_of::<RawArray>() == size_of::<FFI_ArrowArray>());

/// Checks a schema.
///
/// # Safety
/// `schema` must point to an `ArrowSchema`: what of it is not NULL must point to what the interface says.
pub unsafe fn check_schema(schema: *const FFI_ArrowSchema) -> Result<()> {
    // SAFETY: the caller's promise.
    unsafe { Walk::default().schema(schema.cast(), &Path::root("schema")) }
}

/// Checks an array against its schema, which is checked already.
///
/// # Safety
/// As above, and `array` must point to an `ArrowArray`.
pub unsafe fn check_array(
    schema: *const FFI_ArrowSchema,
    array: *const FFI_ArrowArray,
) -> Result<()> {
    // SAFETY: the caller's promise.
    unsafe { array_of(schema.cast(), array.cast(), 0, &Path::root("array")) }
}

/// Where a struct is below its root: `array.children[1].children[0] ("item")`.
struct Path<'a> {
    parent: Option<&'a Path<'a>>,
    step: Step,
    name: Option<&'a str>,
}

#[derive(Clone, Copy)]
enum Step {
    Root(&'static str),
    Child(usize),
    Dictionary,
    Sizes,
}

impl<'a> Path<'a> {
    fn root(name: &'static str) -> Self {
        Self { parent: None, step: Step::Root(name), name: None }
    }

    fn below(&'a self, step: Step) -> Self {
        Self { parent: Some(self), step, name: None }
    }

    fn named(&'a self, name: Option<&'a str>) -> Self {
        Self { name, ..*self }
    }

    fn depth(&self) -> usize {
        self.parent.map_or(0, |parent| parent.depth() + 1)
    }

    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            parent.write(f)?;
        }
        match self.step {
            Step::Root(name) => f.write_str(name),
            Step::Child(i) => write!(f, ".children[{i}]"),
            Step::Dictionary => f.write_str(".dictionary"),
            Step::Sizes => f.write_str(".buffers[n_buffers - 1]"),
        }
    }

    fn bad(&self, what: impl Display) -> Error {
        Error::invalid_argument(format!("{self}: {what}"))
    }
}

impl Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f)?;
        match self.name {
            Some(name) if !name.is_empty() => write!(f, " ({name:?})"),
            _ => Ok(()),
        }
    }
}

/// A view names its buffer by 31 bits; three others stand beside those.
const MAX_BUFFERS: usize = i32::MAX as usize + 3;

fn count(value: i64, what: &str, path: &Path<'_>) -> Result<usize> {
    usize::try_from(value).map_err(|_| path.bad(format!("{what} is {value}")))
}

/// A struct that a pointer of the caller names.
///
/// # Safety
/// If not NULL and aligned, `pointer` must point to a `T`.
unsafe fn node<'a, T>(pointer: *const T, path: &Path<'_>) -> Result<&'a T> {
    if pointer.is_null() {
        return Err(path.bad("it is NULL"));
    }
    if !pointer.is_aligned() {
        return Err(path.bad("its address is not aligned"));
    }
    // SAFETY: the caller's promise; checked.
    Ok(unsafe { &*pointer })
}

/// The pointers of a list, which may be unaligned.
///
/// # Safety
/// If not NULL, `list` must point to more than `i` pointers.
unsafe fn item<T>(
    list: *const *const T,
    i: usize,
    what: &str,
    path: &Path<'_>,
) -> Result<*const T> {
    if list.is_null() {
        return Err(path.bad(format!("{what} is NULL")));
    }
    // SAFETY: the caller's promise; checked.
    Ok(unsafe { list.add(i).read_unaligned() })
}

/// # Safety
/// If not NULL, `pointer` must point to a NUL-terminated string.
unsafe fn text<'a>(pointer: *const c_char, what: &str, path: &Path<'_>) -> Result<Option<&'a str>> {
    if pointer.is_null() {
        return Ok(None);
    }
    // SAFETY: the caller's promise; checked.
    let text = unsafe { CStr::from_ptr(pointer) };
    text.to_str().map(Some).map_err(|_| path.bad(format!("{what} is not UTF-8: {text:?}")))
}

#[derive(Default)]
struct Walk {
    nodes: usize,
}

impl Walk {
    /// # Safety
    /// As `check_schema`, here and below.
    unsafe fn schema(&mut self, schema: *const RawSchema, path: &Path<'_>) -> Result<()> {
        if path.depth() > MAX_DEPTH {
            return Err(path.bad(format!("it is more than {MAX_DEPTH} levels deep")));
        }
        self.nodes += 1;
        // SAFETY: the caller's promise.
        let schema = unsafe { node(schema, path) }?;
        if schema.release.is_none() {
            return Err(path.bad("it is released already"));
        }
        // SAFETY: as above.
        let name = unsafe { text(schema.name, "name", path) }?;
        let path = &path.named(name);
        // SAFETY: as above.
        unsafe { check_metadata(schema.metadata, path) }?;
        // SAFETY: as above.
        let format = unsafe { text(schema.format, "format", path) }?;
        let format = format.ok_or_else(|| path.bad("format is NULL"))?;
        let form = Form::of(format).ok_or_else(|| path.bad(format!("format is {format:?}")))?;
        let children = count(schema.n_children, "n_children", path)?;
        if form.children.is_some_and(|asked| asked != children) {
            return Err(path.bad(format!("n_children is {children}, of format {format:?}")));
        }
        if children > MAX_NODES || self.nodes > MAX_NODES {
            return Err(path.bad(format!("more than {MAX_NODES} columns")));
        }
        for i in 0..children {
            // SAFETY: as above; there are so many children.
            unsafe {
                let child = item(schema.children, i, "children", path)?;
                self.schema(child, &path.below(Step::Child(i)))?;
            }
        }
        if !schema.dictionary.is_null() {
            // SAFETY: as above.
            unsafe { self.schema(schema.dictionary, &path.below(Step::Dictionary)) }?;
        }
        Ok(())
    }
}

/// `needed` values at least are those of its parent.
///
/// # Safety
/// As `check_array`, here and below.
unsafe fn array_of(
    schema: *const RawSchema,
    array: *const RawArray,
    needed: usize,
    path: &Path<'_>,
) -> Result<()> {
    // SAFETY: checked already.
    let schema = unsafe { node(schema, path) }?;
    // SAFETY: as above.
    let name = unsafe { text(schema.name, "name", path) }?;
    let path = &path.named(name);
    // SAFETY: the caller's promise.
    let array = unsafe { node(array, path) }?;
    if array.release.is_none() {
        return Err(path.bad("it is released already"));
    }
    // SAFETY: checked already.
    let format = unsafe { text(schema.format, "format", path) }?.unwrap_or_default();
    let form = Form::of(format).ok_or_else(|| path.bad(format!("format is {format:?}")))?;
    let slots = slots(array, path)?;
    let length = count(array.length, "length", path)?;
    if length < needed {
        return Err(path.bad(format!("length is {length}, its parent needs {needed}")));
    }
    // SAFETY: the caller's promise.
    unsafe { check_buffers(array, &form, slots, path) }?;
    let children = count(array.n_children, "n_children", path)?;
    if array.n_children != schema.n_children {
        let asked = schema.n_children;
        return Err(path.bad(format!("n_children is {children}, that of its schema is {asked}")));
    }
    let needed = match form.kind {
        Kind::Struct => Some(slots),
        Kind::FixedList(items) => slots.checked_mul(items),
        _ => Some(0),
    };
    let needed = needed.ok_or_else(|| path.bad(format!("{slots} lists are too large")))?;
    for i in 0..children {
        // SAFETY: as above; there are so many children of both.
        unsafe {
            let of = item(schema.children, i, "children", path)?;
            let child = item(array.children, i, "children", path)?;
            array_of(of, child, needed, &path.below(Step::Child(i)))?;
        }
    }
    match (schema.dictionary.is_null(), array.dictionary.is_null()) {
        (true, true) => Ok(()),
        // SAFETY: as above.
        (false, false) => unsafe {
            array_of(schema.dictionary, array.dictionary, 0, &path.below(Step::Dictionary))
        },
        (true, false) => Err(path.bad("it has a dictionary, and its schema has none")),
        (false, true) => Err(path.bad("it has no dictionary, and its schema has one")),
    }
}

/// How many values the buffers hold: those before the offset, too.
fn slots(array: &RawArray, path: &Path<'_>) -> Result<usize> {
    let length = count(array.length, "length", path)?;
    let offset = count(array.offset, "offset", path)?;
    // No value is wider than 64 bytes; lists are looked at with their children.
    let slots = length.checked_add(offset).filter(|slots| *slots < isize::MAX as usize / 64);
    let slots = slots
        .ok_or_else(|| path.bad(format!("length {length} at offset {offset} is too large")))?;
    if array.null_count < -1 || array.null_count > array.length {
        return Err(path.bad(format!("null_count is {}, of {length}", array.null_count)));
    }
    Ok(slots)
}

/// # Safety
/// As `check_array`.
unsafe fn check_buffers(
    array: &RawArray,
    form: &Form,
    slots: usize,
    path: &Path<'_>,
) -> Result<()> {
    let buffers = count(array.n_buffers, "n_buffers", path)?;
    let asked = form.buffers;
    if buffers > MAX_BUFFERS {
        return Err(path.bad(format!("n_buffers is {buffers}, more than views can name")));
    }
    if buffers < asked || buffers > asked && form.kind != Kind::View {
        return Err(path.bad(format!("n_buffers is {buffers}, {asked} are asked for")));
    }
    // SAFETY: the caller's promise; there are more buffers than `i`.
    let buffer = |i: usize| unsafe { item(array.buffers, i, "buffers", path) };
    if buffers != 0 {
        buffer(0)?;
    }
    // The first one is that of validity, which may be missing. Of the bytes of strings arrow-rs knows how
    // many there are.
    if buffers > 1 && slots != 0 && form.kind != Kind::FixedBytes(0) && buffer(1)?.is_null() {
        return Err(path.bad("buffers[1] is NULL"));
    }
    match form.kind {
        Kind::FixedBytes(width) if slots.checked_mul(width).is_none_or(too_large) => {
            Err(path.bad(format!("{slots} values of {width} bytes are too large")))
        }
        Kind::Bytes32 if slots != 0 => {
            // SAFETY: not NULL, as there are values; one offset more than these, by the promise.
            let end = unsafe { buffer(1)?.cast::<i32>().add(slots).read_unaligned() };
            count(end.into(), "the last offset", path).map(drop)
        }
        Kind::Bytes64 if slots != 0 => {
            // SAFETY: as above.
            let end = unsafe { buffer(1)?.cast::<i64>().add(slots).read_unaligned() };
            count(end, "the last offset", path).map(drop)
        }
        Kind::View => (0..buffers - asked).try_for_each(|i| {
            let sizes = buffer(buffers - 1)?.cast::<i64>();
            // SAFETY: a size for each buffer between, by the promise; NULL and alignment are checked.
            let size = unsafe { node(sizes, &path.below(Step::Sizes)).map(|_| *sizes.add(i)) }?;
            count(size, "the size of a buffer", path).map(drop)
        }),
        _ => Ok(()),
    }
}

fn too_large(bytes: usize) -> bool {
    bytes > isize::MAX as usize
}

/// Metadata: how many pairs, then keys and values, each after its length.
///
/// # Safety
/// If not NULL, `metadata` must be as the interface says.
unsafe fn check_metadata(metadata: *const c_char, path: &Path<'_>) -> Result<()> {
    if metadata.is_null() {
        return Ok(());
    }
    let mut at = metadata;
    let mut number = |skip: usize| {
        // SAFETY: the caller's promise: another number comes after so many bytes.
        unsafe {
            at = at.add(skip);
            let number = at.cast::<i32>().read_unaligned();
            at = at.add(size_of::<i32>());
            count(number.into(), "a number of metadata", path)
        }
    };
    let pairs = number(0)?;
    if pairs > MAX_NODES {
        return Err(path.bad(format!("metadata has {pairs} pairs")));
    }
    let mut length = 0;
    for _ in 0..2 * pairs {
        length = number(length)?;
    }
    Ok(())
}
