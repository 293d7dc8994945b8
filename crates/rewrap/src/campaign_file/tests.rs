//! The sample, and what is refused.

use super::*;

const SAMPLE: &str = include_str!("../../../../config/campaign.toml");

fn parse(text: &str) -> Result<CampaignFile, (String, String)> {
    CampaignFile::parse(text, Path::new("/etc/claviger"))
}

/// The sample with every key that is commented out (`#= `) in force.
#[test]
fn the_sample_is_valid_with_and_without_what_is_commented_out() {
    let plain = parse(SAMPLE).unwrap();
    assert_eq!((plain.batch, plain.concurrency, plain.rate, plain.passes), (256, 4, None, 5));
    let whole = parse(&SAMPLE.replace("#= ", "")).unwrap();
    assert_eq!(whole.rate, Some(2000));
    assert!(whole.sources.len() > plain.sources.len());
}

#[test]
fn every_key_of_the_sample_has_a_comment_above_it() {
    let mut above = "";
    for line in SAMPLE.lines() {
        let line = line.trim_start_matches("#= ");
        let is_key = line.split_once(" = ").is_some_and(|(key, _)| !key.starts_with('#'));
        assert!(!is_key || above.starts_with("# "), "{line}");
        above = line;
    }
}

#[test]
fn a_typo_is_told_with_its_key_and_line() {
    let line_of = |key: &str| SAMPLE.lines().position(|line| line.starts_with(key)).unwrap() + 1;
    for (key, typo) in [("mode", "mod"), ("envelope-column", "enveloppe-column")] {
        let (place, reason) =
            parse(&SAMPLE.replacen(&format!("\n{key} "), &format!("\n{typo} "), 1)).unwrap_err();
        assert!(place.starts_with(&format!(":{}:", line_of(key))), "{place} {reason}");
        assert!(reason.contains(typo), "{reason}");
    }
}

#[test]
fn a_key_of_another_kind_is_refused_with_the_line_of_its_source() {
    let text = SAMPLE.replacen("\ntable = ", "\nroot = \"/\"\ntable = ", 1);
    let (place, reason) = parse(&text).unwrap_err();
    assert!(!place.is_empty() && reason.contains("root"), "{place} {reason}");
}

#[test]
fn numbers_past_their_limits_and_missing_or_double_parts_are_refused() {
    for (from, to) in [
        ("#= batch = 256", "batch = 257"),
        ("#= batch = 256", "batch = 0"),
        ("#= concurrency = 4", "concurrency = 65"),
        ("#= passes = 5", "passes = 0"),
        ("#= rate = 2000", "rate = 0"),
        ("connection-env = \"CARDS_DATABASE\"", ""),
        ("key-columns = [\"id\"]", "key-columns = []"),
        ("row = \"{id}\"", "row = \"{id\""),
        ("#= max-hold-seconds = 3600", "max-hold-seconds = 0"),
    ] {
        assert!(SAMPLE.contains(from), "{from}");
        assert!(parse(&SAMPLE.replacen(from, to, 1)).is_err(), "{to}");
    }
}

/// A pattern that leads out of the root matched nothing, and a census said that all had been looked at.
#[test]
fn patterns_that_lead_out_of_the_root_or_none_are_refused() {
    let files = |include: &str| {
        let text = format!(
            "name = \"files\"\nkey = \"eu\"\nmode = \"rewrap\"\n[[source]]\nname = \"files\"\n\
             kind = \"files\"\nroot = \"data\"\ninclude = {include}\ncontext = {{}}\n"
        );
        parse(&text)
    };
    files("[\"**/*.sealed\"]").unwrap();
    for include in ["[]", "[\"\"]", "[\"../../*\"]", "[\"/srv/*\"]", "[\"a/../b\"]"] {
        let (_, reason) = files(include).unwrap_err();
        assert!(reason.contains("include names"), "{include}: {reason}");
    }
}

/// A device was read until memory ended.
#[test]
fn a_file_that_is_none_or_too_long_is_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let long = folder.path().join("long.toml");
    fs::write(&long, vec![b'#'; 1024 * 1024 + 1]).unwrap();
    for path in [Path::new("/dev/zero"), folder.path(), &long] {
        assert!(CampaignFile::read(path).is_err(), "{}", path.display());
    }
}

#[test]
fn an_error_never_quotes_a_value() {
    let text = SAMPLE.replacen("#= passes = 5", "passes = \"hunter2\"", 1);
    let (_, reason) = parse(&text).unwrap_err();
    assert!(reason.contains("passes") && !reason.contains("hunter2"), "{reason}");
}
