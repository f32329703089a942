//! Arrow C structs as an input says. What the interface leaves to the producer is as it must be: pointers are NULL or
//! good, and buffers are as long as any length that is said, if that is no nonsense. All else may be wrong.

use std::ffi::{CString, c_char, c_void};
use std::ptr::{null, null_mut};

use crate::Input;

#[repr(C)]
pub struct Schema {
    format: *const c_char,
    name: *const c_char,
    metadata: *const u8,
    flags: i64,
    n_children: i64,
    children: *mut *mut Schema,
    dictionary: *mut Schema,
    release: Option<unsafe extern "C" fn(*mut Schema)>,
    private: *mut c_void,
}

#[repr(C)]
pub struct Array {
    length: i64,
    null_count: i64,
    offset: i64,
    n_buffers: i64,
    n_children: i64,
    buffers: *const *const c_void,
    children: *mut *mut Array,
    dictionary: *mut Array,
    release: Option<unsafe extern "C" fn(*mut Array)>,
    private: *mut c_void,
}

/// Values of 32 bytes, of which twice 255 can be said to be there.
const BUFFER_BYTES: usize = 16_384;
const ROOM: usize = 8;
const MOST_NODES: usize = 24;

/// With the buffers that they ask for.
const FORMATS: [(&str, usize); 32] = [
    ("+s", 1),
    ("+w:2", 1),
    ("+w:1", 1),
    ("+w:0", 1),
    ("+w:2147483647", 1),
    ("u", 3),
    ("U", 3),
    ("z", 3),
    ("Z", 3),
    ("vu", 3),
    ("vz", 3),
    ("f", 2),
    ("g", 2),
    ("e", 2),
    ("l", 2),
    ("i", 2),
    ("S", 2),
    ("c", 2),
    ("b", 2),
    ("n", 0),
    ("tsu:UTC", 2),
    ("tdD", 2),
    ("tDn", 2),
    ("tin", 2),
    ("w:0", 2),
    ("w:3", 2),
    ("d:10,2", 2),
    ("d:50,2,256", 2),
    ("+l", 2),
    ("+L", 2),
    ("+r", 0),
    ("+ud:0,1", 2),
];
const NAMES: [&str; 5] = ["object_id", "data", "label", "", "item"];

struct Node {
    schema: Schema,
    array: Array,
    schemas: [*mut Schema; ROOM],
    arrays: [*mut Array; ROOM],
    buffers: [*const c_void; ROOM],
    _texts: [CString; 2],
    metadata: Vec<u8>,
    memory: Vec<Vec<u64>>,
    released: usize,
}

/// A batch; its root is the first node.
pub struct Tree(Vec<*mut Node>);

impl Tree {
    pub fn new(input: &mut Input) -> Self {
        let mut tree = Self(Vec::new());
        tree.grow(input, Some(0), 4);
        tree
    }

    pub fn schema(&mut self) -> *mut Schema {
        // SAFETY: nodes live as long as the tree.
        unsafe { &raw mut (*self.0[0]).schema }
    }

    pub fn array(&mut self) -> *mut Array {
        // SAFETY: as above.
        unsafe { &raw mut (*self.0[0]).array }
    }

    /// How often the array was released.
    pub fn released(&self) -> usize {
        // SAFETY: as above.
        unsafe { (*self.0[0]).released }
    }

    fn grow(&mut self, input: &mut Input, format: Option<usize>, length: i64) -> *mut Node {
        let (format, buffers) =
            FORMATS[format.unwrap_or_else(|| input.byte().into()) % FORMATS.len()];
        let wrong = input.byte();
        let name = match input.byte() {
            0 => String::from_utf8_lossy(input.part(6)).replace('\0', ""),
            byte => NAMES[usize::from(byte) % NAMES.len()].to_string(),
        };
        let texts = [CString::new(format).unwrap(), CString::new(name).unwrap()];
        let node = Box::into_raw(Box::new(Node {
            schema: Schema {
                format: texts[0].as_ptr(),
                name: if wrong & 1 == 0 { texts[1].as_ptr() } else { null() },
                metadata: null(),
                flags: 2,
                n_children: 0,
                children: null_mut(),
                dictionary: null_mut(),
                release: Some(release_schema),
                private: null_mut(),
            },
            array: Array {
                length: if wrong & 2 == 0 { length } else { said(input) },
                null_count: if wrong & 4 == 0 { 0 } else { said(input) },
                offset: if wrong & 8 == 0 { 0 } else { said(input) },
                n_buffers: if wrong & 16 == 0 { buffers as i64 } else { few(input) },
                n_children: 0,
                buffers: null(),
                children: null_mut(),
                dictionary: null_mut(),
                release: Some(release_array),
                private: null_mut(),
            },
            schemas: [null_mut(); ROOM],
            arrays: [null_mut(); ROOM],
            buffers: [null(); ROOM],
            _texts: texts,
            metadata: metadata(input),
            memory: Vec::new(),
            released: 0,
        }));
        self.0.push(node);
        // SAFETY: made above; nobody else has it.
        let made = unsafe { &mut *node };
        made.array.private = node.cast();
        made.fill(input, format);
        let children = match format {
            "+s" | "+ud:0,1" => usize::from(input.byte()) % 5,
            "+r" => 2,
            _ => usize::from(format.starts_with('+')),
        };
        let children = if wrong & 32 == 0 { children } else { usize::from(input.byte()) % ROOM };
        let width = if format == "+w:2" { 2 } else { 1 };
        for at in 0..children {
            if self.0.len() < MOST_NODES {
                let child = self.grow(input, None, (length * width).min(255));
                // SAFETY: a node of the tree.
                (made.schemas[at], made.arrays[at]) =
                    unsafe { (&raw mut (*child).schema, &raw mut (*child).array) };
            }
        }
        made.schema.children = made.schemas.as_mut_ptr();
        made.array.children = made.arrays.as_mut_ptr();
        made.schema.n_children = if wrong & 64 == 0 { children as i64 } else { few(input) };
        made.array.n_children = if wrong & 64 == 0 { children as i64 } else { few(input) };
        if wrong & 128 != 0 && self.0.len() < MOST_NODES {
            let which = input.byte();
            let values = self.grow(input, None, length);
            // SAFETY: a node of the tree.
            let (schema, array) = unsafe { (&raw mut (*values).schema, &raw mut (*values).array) };
            made.schema.dictionary = if which & 1 == 0 { schema } else { null_mut() };
            made.array.dictionary = if which & 2 == 0 { array } else { null_mut() };
        }
        node
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        for node in &self.0 {
            // SAFETY: made by `grow`, and whoever took the array has released it.
            drop(unsafe { Box::from_raw(*node) });
        }
    }
}

impl Node {
    fn fill(&mut self, input: &mut Input, format: &str) {
        for at in 0..4 {
            let what = input.byte();
            // Lengths of what lies elsewhere: offsets, and the sizes of the buffers of views, which stand last.
            let (lengths, width) = match format {
                "u" | "z" | "+l" => (at == 1, 4),
                "U" | "Z" | "+L" => (at == 1, 8),
                "vu" | "vz" => (at as i64 + 1 == self.array.n_buffers, 8),
                _ => (false, 1),
            };
            let given = input.part(usize::from(what) % 32);
            let mut words = vec![u64::from_ne_bytes([what; 8]); BUFFER_BYTES / 8 + 1];
            if lengths {
                // Ascending, after those that are given.
                for (place, word) in words.iter_mut().enumerate() {
                    let number = |place: usize| match given.get(place) {
                        Some(byte) => i64::from(*byte) - 8,
                        None => (place as i64).min(255),
                    };
                    *word = match width {
                        4 => number(2 * place) as u32 as u64 | (number(2 * place + 1) as u64) << 32,
                        _ => number(place) as u64,
                    };
                }
            } else {
                for (word, bytes) in words.iter_mut().zip(given.chunks_exact(8)) {
                    *word = u64::from_ne_bytes(bytes.try_into().unwrap());
                }
            }
            self.memory.push(words);
            let start = self.memory[at].as_ptr().cast::<u8>();
            // Of no alignment, sometimes; lengths would be others then.
            let start = start.wrapping_add(usize::from(what == 33 && !lengths));
            self.buffers[at] =
                if what == 34 || at == 0 && what < 128 { null() } else { start.cast() };
        }
        self.array.buffers = self.buffers.as_ptr();
        if !self.metadata.is_empty() {
            self.schema.metadata = self.metadata.as_ptr();
        }
    }
}

/// A number that buffers are long enough for, or nonsense.
fn said(input: &mut Input) -> i64 {
    match input.number() {
        number @ -255..=255 => number,
        number => number | 1 << 62,
    }
}

/// How many buffers or children there are, some of them NULL, or nonsense.
fn few(input: &mut Input) -> i64 {
    match input.number() {
        number @ -1..=8 => number,
        number => number | 1 << 62,
    }
}

fn metadata(input: &mut Input) -> Vec<u8> {
    const KEYS: [&str; 4] = ["tensor_shape", "tensor_dtype", "data", "ARROW:extension:name"];
    let pairs = usize::from(input.byte()).saturating_sub(252);
    if pairs == 0 {
        return Vec::new();
    }
    let mut metadata = (pairs as i32).to_ne_bytes().to_vec();
    for key in KEYS.iter().cycle().skip(input.byte().into()).take(pairs) {
        let length = usize::from(input.byte()) % 40;
        for text in [key.as_bytes(), input.part(length)] {
            metadata.extend((text.len() as i32).to_ne_bytes());
            metadata.extend(text);
        }
    }
    metadata
}

unsafe extern "C" fn release_schema(schema: *mut Schema) {
    // SAFETY: called with the struct that it stands in.
    unsafe { (*schema).release = None };
}

unsafe extern "C" fn release_array(array: *mut Array) {
    // SAFETY: called with a struct of ours, or what it was moved to; its node lives.
    unsafe {
        (*array).release = None;
        (*(*array).private.cast::<Node>()).released += 1;
    }
}
