//! The format strings of the Arrow C data interface, as far as they tell how many buffers and children an
//! array has, and how long they are.

/// What a format asks for.
pub struct Form {
    /// How many buffers; views have more.
    pub buffers: usize,
    /// How many children; None for any number.
    pub children: Option<usize>,
    pub kind: Kind,
}

#[derive(PartialEq)]
pub enum Kind {
    /// Nothing more that can be checked here.
    Plain,
    Struct,
    FixedList(usize),
    FixedBytes(usize),
    /// 32-bit offsets, and bytes.
    Bytes32,
    Bytes64,
    View,
}

impl Form {
    /// None if there is no such format.
    pub fn of(format: &str) -> Option<Self> {
        use Kind::*;
        let form = |buffers, children, kind| Some(Self { buffers, children: Some(children), kind });
        match format {
            "n" => form(0, 0, Plain),
            "b" | "c" | "C" | "s" | "S" | "i" | "I" | "l" | "L" | "e" | "f" | "g" => {
                form(2, 0, Plain)
            }
            "z" | "u" => form(3, 0, Bytes32),
            "Z" | "U" => form(3, 0, Bytes64),
            "vz" | "vu" => form(3, 0, View),
            "+l" | "+L" | "+m" => form(2, 1, Plain),
            "+vl" | "+vL" => form(3, 1, Plain),
            "+s" => Some(Self { buffers: 1, children: None, kind: Struct }),
            "+r" => form(0, 2, Plain),
            _ => match format.split_once(':') {
                Some(("+w", items)) => form(1, 1, FixedList(width(items)?)),
                Some(("w", bytes)) => form(2, 0, FixedBytes(width(bytes)?)),
                Some(("+ud", _)) => Some(Self { buffers: 2, children: None, kind: Plain }),
                Some(("+us", _)) => Some(Self { buffers: 1, children: None, kind: Plain }),
                // Decimals, and points in time with a zone.
                Some(("d" | "tss" | "tsm" | "tsu" | "tsn", _)) => form(2, 0, Plain),
                None if matches!(format.get(..2), Some("td" | "tt" | "tD" | "ti")) => {
                    form(2, 0, Plain)
                }
                _ => None,
            },
        }
    }
}

fn width(text: &str) -> Option<usize> {
    text.parse::<i32>().ok().and_then(|width| usize::try_from(width).ok())
}
