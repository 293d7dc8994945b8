//~ E0382
use claviger_policy::{Permit, action::Encrypt};

fn encrypt(_: Permit<Encrypt>) {}

pub fn twice(permit: Permit<Encrypt>) {
    encrypt(permit);
    encrypt(permit);
}
