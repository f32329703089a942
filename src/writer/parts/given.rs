//! Tokens as a call is given them: checked, and in the order of their rows.

use std::collections::{HashMap, VecDeque};

use crate::error::{Error, Result};
use crate::writer::layout::Layout;
use crate::writer::staging::Token;

/// Which token an error is of.
pub fn of(index: usize) -> impl FnOnce(Error) -> Error {
    move |error| error.context(format!("token {index}"))
}

/// The tokens, all of them of one job if that is named.
pub fn parse(tokens: &[&[u8]], job: Option<&str>) -> Result<Vec<Token>> {
    let parse = |(index, bytes): (usize, &&[u8])| Token::from_bytes(bytes).map_err(of(index));
    let tokens = tokens.iter().enumerate().map(parse).collect::<Result<Vec<_>>>()?;
    refuse_repeated(&tokens)?;
    let other = tokens.iter().position(|token| job.is_some() && token.job() != job);
    match (job, other) {
        (Some(job), Some(index)) => {
            Err(of(index)(Error::invalid_argument(format!("it is no part of the job {job:?}"))))
        }
        _ => Ok(tokens),
    }
}

fn refuse_repeated(tokens: &[Token]) -> Result<()> {
    let mut seen = HashMap::with_capacity(tokens.len());
    for (index, token) in tokens.iter().enumerate() {
        if let Some(first) = seen.insert(token.identity(), index) {
            return Err(Error::already_exists(format!("token {index} is token {first} once more")));
        }
    }
    Ok(())
}

/// The columns of all of them.
pub fn common_layout(tokens: &[Token]) -> Result<Option<Layout>> {
    let (mut common, mut last): (Option<Layout>, _) = (None, None);
    // Not that of the first one given: the table is the same whatever the order of the tokens of a job.
    for (index, token) in in_order(tokens) {
        // As those before it, mostly.
        if token.columns().is_empty() || last == Some(token.columns()) {
            continue;
        }
        last = Some(token.columns());
        let Some(layout) = token.layout()? else { continue };
        match &common {
            Some(common) => common.check(layout.tensors()).map_err(|error| {
                error.context(format!("token {index} differs from those before"))
            })?,
            None => common = Some(layout),
        }
    }
    Ok(common)
}

/// Tokens as they were given, but those of a job in the order of its parts, in the places that it has.
pub fn in_order(tokens: &[Token]) -> Vec<(usize, &Token)> {
    let number = |(_, token): &(usize, &Token)| token.part().map_or(0, |part| part.number);
    let mut jobs: HashMap<Option<&str>, VecDeque<(usize, &Token)>> = HashMap::new();
    for (index, token) in tokens.iter().enumerate() {
        jobs.entry(token.job()).or_default().push_back((index, token));
    }
    for (of, tokens) in &mut jobs {
        if of.is_some() {
            tokens.make_contiguous().sort_by_key(number);
        }
    }
    tokens.iter().filter_map(|token| jobs.get_mut(&token.job())?.pop_front()).collect()
}
