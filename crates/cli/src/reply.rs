//! What a command says when it is done: the same facts as text for people and JSON for programs.
//!
//! Invariant: no secret goes through here; those have their own way out, `secret_output.rs`.

use std::{fmt::Write as _, fs::File, io::Write as _};

use serde::Serialize;
use serde_json::Value;

use crate::error::{CliError, Result};

/// Facts in both forms.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Reply {
    text: String,
    json: Value,
}

impl Reply {
    /// The facts of `value`, told to people as `text`.
    pub(crate) fn new(value: &impl Serialize, text: impl Into<String>) -> Result<Self> {
        let json = serde_json::to_value(value).map_err(anyhow::Error::from)?;
        Ok(Self { text: text.into(), json })
    }

    #[cfg(test)]
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    #[cfg(test)]
    pub(crate) fn json(&self) -> &Value {
        &self.json
    }

    /// Writes one form, ended by a newline.
    pub(crate) fn write(&self, json: bool, mut output: &File) -> Result<()> {
        let mut text = if json { format!("{:#}", self.json) } else { self.text.clone() };
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        output.write_all(text.as_bytes()).map_err(CliError::output)
    }
}

/// Lines of a name and its value, the values in one column.
#[derive(Debug, Default)]
pub(crate) struct Lines(Vec<(String, String)>);

impl Lines {
    /// Adds a line; the value is shown without control characters.
    #[must_use]
    pub(crate) fn with(mut self, name: &str, value: impl ToString) -> Self {
        self.0.push((printable(name), printable(&value.to_string())));
        self
    }

    /// Adds a line unless the value is empty.
    #[must_use]
    pub(crate) fn with_text(self, name: &str, value: &str) -> Self {
        if value.is_empty() { self } else { self.with(name, value) }
    }

    pub(crate) fn finish(self) -> String {
        let width = self.0.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
        self.0.iter().fold(String::new(), |mut text, (name, value)| {
            // Writing to a string does not fail.
            let _ = writeln!(text, "{name:width$}  {value}");
            text
        })
    }
}

/// Rows in columns as wide as their widest cell; the first row is the head.
pub(crate) fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let mut widths = [0; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    rows.iter().fold(String::new(), |mut text, row| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
        text
    })
}

/// The text with every control character replaced, so that it stays on its line and cannot command a
/// terminal.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// A count of bytes with its thousands set apart: `1,048,576 bytes`.
pub(crate) fn bytes(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text + if count == 1 { " byte" } else { " bytes" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_set_apart() {
        for (count, text) in [
            (0, "0 bytes"),
            (1, "1 byte"),
            (999, "999 bytes"),
            (1000, "1,000 bytes"),
            (1_048_576, "1,048,576 bytes"),
        ] {
            assert_eq!(bytes(count), text);
        }
    }

    #[test]
    fn a_description_cannot_command_the_terminal() {
        let text = Lines::default().with("description", "\u{1b}[2Jx\u{9b}m\nstate  active");
        assert_eq!(text.finish().matches(|c: char| c.is_control() && c != '\n').count(), 0);
        assert_eq!(Lines::default().with("a", "b\nc").finish().lines().count(), 1);
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let cell = |text: &str| text.to_owned();
        let rows = [[cell("key"), cell("state")], [cell("eu/users"), cell("active")]];
        assert_eq!(table(&rows), "key       state\neu/users  active\n");
    }
}
