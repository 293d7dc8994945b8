#![doc = include_str!("../README.md")]

mod campaign_file;
mod census;
pub mod decide;
mod engine;
mod error;
mod evidence;
mod findings;
mod gate;
mod pace;
mod plan;
mod report;
mod retry;
mod source;
pub mod sources;
mod template;
mod watch;

pub use campaign_file::{CampaignFile, SourceKind, SourceSettings, TargetReach, TargetSettings};
pub use census::{Census, Named, SourceCensus, census};
pub use engine::{Destination, Runner, Snapshot};
pub use error::{CampaignError, Result, SourceError};
pub use evidence::{Gathered, gather};
pub use findings::{Finding, Findings};
pub use gate::{Closes, Gate, GateState};
pub use plan::{Plan, SourcePlan, plan};
pub use report::{Outcome, Report, SourceReport};
pub use retry::Patience;
pub use source::{Batch, Change, Content, Item, New, Place, Replaced, Source};
pub use template::Template;
pub use watch::{Event, Watched, watch};
