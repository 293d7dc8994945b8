//~ E0624
use claviger_policy::{Permit, action::Encrypt};

pub fn forge(permit: Permit<Encrypt>) -> Permit<Encrypt> {
    Permit::new(permit.principal().clone(), permit.key().clone(), permit.rule().clone())
}
