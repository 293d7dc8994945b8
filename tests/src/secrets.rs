//! Looks for secrets in everything a program leaves behind, in the forms in which they leak.
//!
//! A search for a whole key misses one that leaks in halves, so every window of a secret is looked for:
//! as it is, in hexadecimal, in base64 at each alignment, as the numbers or the escapes that `Debug`
//! prints. A search that finds nothing shows something only beside one that does: callers plant a
//! secret and look for it.

use std::collections::HashMap;

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};

/// What must not be found.
#[derive(Debug)]
pub struct Secrets {
    /// By their first eight bytes.
    forms: HashMap<[u8; PREFIX], Vec<Form>>,
    /// Whether any begins with these two bytes: most places end here.
    beginnings: Vec<bool>,
}

#[derive(Debug)]
struct Form {
    bytes: Vec<u8>,
    what: String,
}

impl Default for Secrets {
    fn default() -> Self {
        Self::new()
    }
}

impl Secrets {
    /// Nothing to look for yet.
    #[must_use]
    pub fn new() -> Self {
        Self { forms: HashMap::new(), beginnings: vec![false; 1 << 16] }
    }

    /// Looks for this key or value in every form, by windows of eight bytes.
    pub fn add(&mut self, name: &str, secret: &[u8]) {
        self.add_windows(name, secret, 8);
    }

    /// Looks for this text in every form, by windows of twelve characters: a text of hexadecimal digits,
    /// such as our PINs, has half the entropy a byte.
    pub fn add_text(&mut self, name: &str, secret: &str) {
        self.add_windows(name, secret.as_bytes(), 12);
    }

    /// Looks for the secret as it is only: for memory.
    pub fn add_raw(&mut self, name: &str, secret: &[u8], window: usize) {
        for part in secret.windows(window) {
            self.add_form(part.to_vec(), name.to_owned());
        }
    }

    /// What was found, and where.
    #[must_use]
    pub fn found_in(&self, haystack: &[u8]) -> Vec<String> {
        let mut found = Vec::new();
        for (at, start) in haystack.windows(PREFIX).enumerate() {
            if !self.beginnings[beginning(start)] {
                continue;
            }
            for form in self.forms.get(start).into_iter().flatten() {
                if haystack[at..].starts_with(&form.bytes) {
                    found.push(format!("{} at {at}", form.what));
                }
            }
        }
        found
    }

    fn add_windows(&mut self, name: &str, secret: &[u8], window: usize) {
        assert!(secret.len() >= window, "{name} is too short to be told from chance");
        for part in secret.windows(window) {
            let numbers = |between: &str| {
                part.iter().map(u8::to_string).collect::<Vec<_>>().join(between).into_bytes()
            };
            let mut forms = vec![
                ("as it is", part.to_vec()),
                ("in hexadecimal", hex::encode(part).into_bytes()),
                ("in upper-case hexadecimal", hex::encode_upper(part).into_bytes()),
                ("as numbers", numbers(", ")),
                ("as a JSON array", numbers(",")),
                ("with escapes", part.escape_ascii().to_string().into_bytes()),
            ];
            for ahead in 0..3 {
                let shifted = [vec![0; ahead], part.to_vec()].concat();
                forms.push(("in base64", inner(ahead, &STANDARD_NO_PAD.encode(&shifted), window)));
                let url_safe = URL_SAFE_NO_PAD.encode(&shifted);
                forms.push(("in URL-safe base64", inner(ahead, &url_safe, window)));
            }
            for (how, bytes) in forms {
                self.add_form(bytes, format!("{name} {how}"));
            }
        }
    }

    fn add_form(&mut self, bytes: Vec<u8>, what: String) {
        let prefix: [u8; PREFIX] = bytes[..PREFIX].try_into().unwrap();
        self.beginnings[beginning(&prefix)] = true;
        self.forms.entry(prefix).or_default().push(Form { bytes, what });
    }
}

/// The characters of a base64 text that depend on a window alone, which stands after `ahead` bytes.
fn inner(ahead: usize, text: &str, window: usize) -> Vec<u8> {
    let (first, end) = ((ahead * 8).div_ceil(6), (ahead + window) * 8 / 6);
    text.as_bytes()[first..end].to_vec()
}

fn beginning(bytes: &[u8]) -> usize {
    usize::from(bytes[0]) << 8 | usize::from(bytes[1])
}

const PREFIX: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    /// Eight bytes of a key leak, in the middle of something else.
    #[test]
    fn finds_a_part_of_a_secret_in_every_form_at_every_place() {
        let key: Vec<u8> = (0..32_u8).map(|n| n.wrapping_mul(73) ^ 0xC5).collect();
        let mut secrets = Secrets::new();
        secrets.add("key", &key);
        for (ahead, start) in [(0, 0), (1, 5), (2, 11), (3, 24), (7, 20), (8, 3)] {
            let leaked =
                [vec![0x41; ahead], key[start..start + 8].to_vec(), vec![0x42; 5]].concat();
            for form in [
                leaked.clone(),
                hex::encode(&leaked).into_bytes(),
                hex::encode_upper(&leaked).into_bytes(),
                STANDARD_NO_PAD.encode(&leaked).into_bytes(),
                URL_SAFE_NO_PAD.encode(&leaked).into_bytes(),
                format!("{leaked:?}").into_bytes(),
                serde_json::to_vec(&leaked).unwrap(),
                leaked.escape_ascii().to_string().into_bytes(),
            ] {
                let text = String::from_utf8_lossy(&form).into_owned();
                assert!(!secrets.found_in(&form).is_empty(), "{text} after {ahead} bytes");
            }
        }
    }

    #[test]
    fn finds_nothing_where_nothing_is() {
        let mut secrets = Secrets::new();
        secrets.add("key", &[7, 1, 200, 3, 90, 41, 77, 123, 9]);
        secrets.add_text("PIN", "0123456789abcdef");
        let mut noise = vec![0; 1 << 16];
        fill_with_noise(&mut noise);
        assert_eq!(secrets.found_in(&noise), [""; 0]);
        noise.extend_from_slice(b"..3456789abcdef");
        assert!(!secrets.found_in(&noise).is_empty());
    }

    fn fill_with_noise(bytes: &mut [u8]) {
        let mut state = 1_u64;
        for byte in bytes {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            *byte = (state >> 56) as u8;
        }
    }
}
