//! The tokens of a writer that stages.

use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::{Error, Result, Status};
use crate::writer::queue::Queue;

#[derive(Default)]
pub struct Tokens(Mutex<State>);

#[derive(Default)]
struct State {
    /// Lent to callers as long as the writer lives.
    made: Vec<Arc<[u8]>>,
    /// Asked for by a call whose wait was ended.
    asked: Option<Receiver<Result<Vec<u8>>>>,
}

impl Tokens {
    pub fn keep(&self, token: Vec<u8>) -> Arc<[u8]> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).keep(token)
    }

    /// Waits for a token of what was written since the last one.
    pub fn stage(&self, queue: &Queue) -> Result<Arc<[u8]>> {
        let mut state = match self.0.try_lock() {
            Ok(state) => state,
            Err(_) if queue.is_asking() => {
                return Err(Error::invalid_state(
                    "called from inside a waiting callback, which another call that stages asks",
                ));
            }
            Err(_) => self.0.lock().unwrap_or_else(PoisonError::into_inner),
        };
        let answer = match state.asked.take() {
            Some(answer) => answer,
            None => queue.start_stage()?,
        };
        let token = queue.wait_for(&answer);
        if token.as_ref().is_err_and(|error| error.status == Status::RDS_ERR_CANCELLED) {
            // The token is made all the same, and its rows are in no other.
            state.asked = Some(answer);
        }
        token.map(|token| state.keep(token))
    }
}

impl State {
    fn keep(&mut self, token: Vec<u8>) -> Arc<[u8]> {
        let token: Arc<[u8]> = token.into();
        self.made.push(token.clone());
        token
    }
}
