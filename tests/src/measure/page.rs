//! Puts generated text into a page that people write.

/// The page with new text between `<!-- begin NAME -->` and `<!-- end NAME -->`; the marks stay.
///
/// # Errors
/// Which mark is missing.
pub fn replace_between(page: &str, name: &str, text: &str) -> Result<String, String> {
    let (begin, end) = (format!("<!-- begin {name} -->"), format!("<!-- end {name} -->"));
    let missing = |mark: &str| format!("the page has no line {mark:?}");
    let (before, rest) = page.split_once(&begin).ok_or_else(|| missing(&begin))?;
    let (_, after) = rest.split_once(&end).ok_or_else(|| missing(&end))?;
    Ok(format!("{before}{begin}\n{}\n{end}{after}", text.trim_end()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_what_is_between_its_own_marks_and_nothing_else() {
        let page =
            "# Title\n<!-- begin a -->\nold\n<!-- end a -->\n<!-- begin b -->\n<!-- end b -->\n";
        let new = replace_between(page, "a", "new\n").unwrap();
        assert_eq!(new, page.replace("old", "new"));
        assert_eq!(replace_between(&new, "a", "old").unwrap(), page);
    }

    #[test]
    fn refuses_a_page_without_its_marks() {
        for page in ["", "<!-- begin a -->", "<!-- end a --> <!-- begin a -->"] {
            assert!(replace_between(page, "a", "new").is_err(), "{page}");
        }
    }
}
