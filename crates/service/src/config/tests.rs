use super::*;

const SAMPLE: &str = include_str!("../../../../config/clavigerd.toml");

fn refused(change: impl Fn(&str) -> String) -> (String, String) {
    Config::parse(&change(SAMPLE), Path::new("/etc/claviger")).map(drop).unwrap_err()
}

#[test]
fn the_sample_is_a_configuration_with_the_defaults_it_states() {
    let config = Config::parse(SAMPLE, Path::new("/etc/claviger")).unwrap();
    assert_eq!(config.cache.capacity, CacheConfig::default().capacity);
    assert_eq!(config.cache.seconds, CacheConfig::default().seconds);
    assert_eq!(config.limits.connections, LimitsConfig::default().connections);
    assert_eq!(config.limits.handshakes, LimitsConfig::default().handshakes);
    assert_eq!(config.limits.handshake_seconds, LimitsConfig::default().handshake_seconds);
    assert_eq!(config.limits.connection_seconds, LimitsConfig::default().connection_seconds);
    assert!(config.listen.tls.is_none() && config.listen.admin_tls.is_none());
    assert_eq!(config.listen.data_mode, data_mode());
    assert_eq!(config.listen.admin_mode, admin_mode());
    assert_eq!(config.log.format, LogFormat::Text);
}

#[test]
fn every_line_commented_out_in_the_sample_is_valid_too() {
    Config::parse(&uncommented(), Path::new("/etc/claviger")).unwrap();
}

fn uncommented() -> String {
    SAMPLE.lines().map(|line| format!("{}\n", line.strip_prefix("#= ").unwrap_or(line))).collect()
}

#[test]
fn refuses_tls_listeners_that_let_nobody_in_or_share_an_address() {
    let text = uncommented();
    for (from, to, says) in [
        ("[\"example.org\"]", "[]", "listen.tls.trust-domains is empty"),
        ("[\"example.org\"]", "[\"Example.org\"]", "trust domain"),
        ("[\"example.org\"]", "[\"*\"]", "trust domain"),
        ("0.0.0.0:8443", "0.0.0.0:0", "listen.tls.address has port 0"),
        ("0.0.0.0:8443", "10.0.0.1:8444", "the same address"),
        ("client-ca = \"/etc/claviger/tls/client-ca.pem\"\n", "", "client-ca"),
        ("[listen.tls]\n", "[listen.tls]\nclient-auth = false\n", "client-auth"),
        ("handshake-seconds = 5", "handshake-seconds = 0", "limits.handshake-seconds"),
        ("connection-seconds = 3600", "connection-seconds = 1", "limits.connection-seconds"),
    ] {
        assert!(text.contains(from), "the sample lacks {from}");
        let text = text.replace(from, to);
        let (_, reason) = Config::parse(&text, Path::new("/")).map(drop).unwrap_err();
        assert!(reason.contains(says), "{says}: {reason}");
    }
}

#[test]
fn the_files_of_tls_are_meant_from_the_file_too() {
    let text = uncommented().replace("/etc/claviger/tls/", "tls/");
    let config = Config::parse(&text, Path::new("/some/where")).unwrap();
    let files = config.listen.tls.unwrap().files();
    assert_eq!(files.key, Path::new("/some/where/tls/server.key"));
    assert_eq!(files.revocation_lists, [Path::new("/some/where/tls/client-ca.crl")]);
}

#[test]
fn a_typo_is_named_with_its_line() {
    let (place, reason) = refused(|text| text.replace("data-mode", "data-mod"));
    let line = SAMPLE.lines().position(|line| line.starts_with("data-mode")).unwrap() + 1;
    assert!(place.starts_with(&format!(":{line}:")), "{place} {reason}");
    assert!(reason.contains("data-mod"), "{reason}");
}

#[test]
fn an_error_does_not_quote_the_file() {
    let (place, reason) =
        refused(|text| text.replace("[token]\n", "[token]\npin-valeu = \"31415926\"\n"));
    assert!(!format!("{place}{reason}").contains("31415926"));
    assert!(reason.contains("pin-valeu"));
    let (_, reason) = refused(|text| text.replace("[token]\n", "[token]\npin = \"31415926\"\n"));
    assert!(!reason.contains("31415926"));
    let (_, reason) = refused(|text| text.replace("capacity = 4096", "capacity = \"31415926\""));
    assert!(!reason.contains("31415926"), "{reason}");
    assert!(reason.starts_with("capacity: "), "{reason}");
}

#[test]
fn refuses_values_out_of_bounds() {
    for (from, to) in [
        ("capacity = 4096", "capacity = 0"),
        ("seconds = 3600", "seconds = 0"),
        ("connections = 1024", "connections = 0"),
        ("data-mode = \"0660\"", "data-mode = \"0999\""),
        ("data-mode = \"0660\"", "data-mode = \"010660\""),
        ("admin.sock", "data.sock"),
        ("format = \"text\"", "format = \"xml\""),
    ] {
        assert!(SAMPLE.contains(from), "the sample lacks {from}");
        refused(|text| text.replace(from, to));
    }
    let long = "x".repeat(120);
    refused(|text| text.replace("admin.sock", &long));
}

#[test]
fn relative_paths_are_meant_from_the_file() {
    let text = SAMPLE.replace("/etc/claviger/policy.toml", "policy.toml");
    let config = Config::parse(&text, Path::new("/some/where")).unwrap();
    assert_eq!(config.policy.file, Path::new("/some/where/policy.toml"));
}
