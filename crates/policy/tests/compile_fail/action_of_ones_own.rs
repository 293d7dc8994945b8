//~ E0046 E0277
use claviger_policy::ActionType;

#[derive(Debug)]
pub struct Everything;

impl ActionType for Everything {}
