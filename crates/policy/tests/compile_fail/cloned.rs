//~ E0599
use claviger_policy::{Permit, action::Encrypt};

pub fn twice(permit: Permit<Encrypt>) -> [Permit<Encrypt>; 2] {
    [permit.clone(), permit]
}
