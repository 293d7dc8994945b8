//~ E0277
use claviger_policy::{Permit, action::Encrypt};

pub fn forge() -> Permit<Encrypt> {
    Default::default()
}
