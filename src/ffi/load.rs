//! What is done when the library is loaded, before anybody can call it: so no call has to do it once, behind
//! a lock that a fork could leave held.

use crate::ffi::{boundary, fork, pin};

#[used]
#[unsafe(link_section = ".init_array")]
static LOAD: extern "C" fn() = load;

extern "C" fn load() {
    fork::watch();
    pin::prepare();
    boundary::log_panics();
}
