//! One file for each command.

pub(crate) mod check;
pub(crate) mod completion;
pub(crate) mod dev;
pub(crate) mod root;
mod root_rotate;
pub(crate) mod serve;
