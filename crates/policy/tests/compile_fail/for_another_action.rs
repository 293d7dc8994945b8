//~ E0308
use claviger_policy::{Permit, action::{Decrypt, Encrypt}};

fn decrypt(_: Permit<Decrypt>) {}

pub fn confuse(permit: Permit<Encrypt>) {
    decrypt(permit);
}
