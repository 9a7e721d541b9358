//! Locks that outlive a panic.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// What tasks share stays whole even if one of them panicked while holding it.
pub(super) fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
