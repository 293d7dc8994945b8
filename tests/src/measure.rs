//! What the benchmarks share: calls in a closed loop, round after round, and what they come to.
//!
//! Every figure is measured in several rounds, and the cases of a table take turns within each round, so
//! that a machine that is slower for a while is slower for all of them. A ratio is taken within each round,
//! and its median is shown.

mod figure;
mod latencies;
mod load;
mod machine;
mod page;
mod table;
mod usage;

pub use figure::{Figure, bytes, number, time};
pub use latencies::Latencies;
pub use load::{Calling, Case, Pace, closed_loop, rounds};
pub use machine::machine;
pub use page::replace_between;
pub use table::Table;
pub use usage::Usage;
