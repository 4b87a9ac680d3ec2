//! A read buffer for each thread, so that idle sessions and connections own none.

use std::cell::RefCell;
use std::mem::MaybeUninit;

/// The length of the buffer in bytes.
const BUFFER_LEN: usize = 64 * 1024;

thread_local! {
    static SCRATCH: RefCell<Box<[MaybeUninit<u8>]>> = RefCell::new(Box::new_uninit_slice(BUFFER_LEN));
}

/// Calls `f` with the buffer of this thread.
pub(crate) fn with_buffer<T>(f: impl FnOnce(&mut [MaybeUninit<u8>]) -> T) -> T {
    SCRATCH.with(|scratch| match scratch.try_borrow_mut() {
        Ok(mut scratch) => f(&mut scratch),
        // A stream that runs inside another tunnel may need a second buffer.
        Err(_) => f(&mut Box::new_uninit_slice(BUFFER_LEN)),
    })
}
