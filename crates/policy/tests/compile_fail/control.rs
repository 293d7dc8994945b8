//~ compiles
use claviger_policy::{Denial, Permit, Policy, Question, action::Encrypt};

pub fn encrypt(permit: Permit<Encrypt>) -> String {
    permit.key().to_string()
}

pub fn ask(policy: &Policy, question: &Question<'_>) -> Result<String, Denial> {
    policy.permit(question).map(encrypt)
}
