//~ E0451
use claviger_policy::{Permit, action::Encrypt};

pub fn forge(permit: Permit<Encrypt>, other: Permit<Encrypt>) -> Permit<Encrypt> {
    Permit { key: other.key().clone(), ..permit }
}
