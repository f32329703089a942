//! What the targets share.

pub mod arrow;

/// Reads an input as numbers and parts; zeros follow where it has ended.
pub struct Input<'a>(pub &'a [u8]);

impl<'a> Input<'a> {
    pub fn byte(&mut self) -> u8 {
        let (byte, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *byte
    }

    /// Small mostly, sometimes of any size.
    pub fn number(&mut self) -> i64 {
        match self.byte() {
            255 => i64::from_le_bytes(std::array::from_fn(|_| self.byte())),
            254 => -1,
            byte => byte.into(),
        }
    }

    pub fn part(&mut self, length: usize) -> &'a [u8] {
        let (part, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        part
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// libFuzzer's handler ends the process at any panic; those that the library catches, of Lance and arrow-rs at what
/// is damaged, are no findings. Others still end it. All are told where `RUST_BACKTRACE` is set.
pub fn allow_caught_panics() {
    let tell = std::env::var_os("RUST_BACKTRACE").is_some();
    std::panic::set_hook(Box::new(move |panic| {
        if tell {
            eprintln!("{panic}");
        }
    }));
}
