//! A second identity for one developer: some steps need two persons, and a Unix socket knows only one user.

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    net::{IpAddr, Ipv4Addr},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
    SanType,
};

use crate::logging::answer;

/// Who the policy of `clavigerd dev` takes the holder of the certificate for.
pub(super) const PRINCIPAL: &str = "spiffe://claviger.dev/second-person";

/// Makes an authority, a certificate for the service and one for the second person, all anew; gives the part of
/// the configuration that listens for him on the loopback address. The authority's key is not kept.
pub(super) fn prepare(directory: &Path, port: u16) -> Result<String> {
    let folder = directory.join(FOLDER);
    fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "clavigerd dev");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
    write(&folder.join("ca.pem"), &authority.pem())?;
    let loopback = SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST));
    issue(&authority, &folder, "server", vec![loopback])?;
    issue(&authority, &folder, "second", vec![SanType::URI(PRINCIPAL.try_into()?)])?;
    Ok(format!(
        "\n[listen.admin-tls]\naddress = \"127.0.0.1:{port}\"\ncertificate = \"{FOLDER}/server.pem\"\n\
         key = \"{FOLDER}/server.key\"\nclient-ca = \"{FOLDER}/ca.pem\"\ntrust-domains = [\"claviger.dev\"]\n"
    ))
}

/// Prints what the second person exports.
pub(super) fn print_lines(directory: &Path, port: u16) {
    let folder = directory.join(FOLDER);
    let folder = folder.display();
    answer(format_args!(
        "As the second person, in a third terminal:\n\n  \
         claviger --address https://127.0.0.1:{port} --admin-address https://127.0.0.1:{port} \\\n    \
         --tls-ca {folder}/ca.pem --tls-cert {folder}/second.pem --tls-key {folder}/second.key approve ID\n"
    ));
}

fn issue(
    authority: &CertifiedIssuer<'static, KeyPair>,
    folder: &Path,
    name: &str,
    names: Vec<SanType>,
) -> Result<()> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.subject_alt_names = names;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, authority)?;
    write(&folder.join(format!("{name}.pem")), &certificate.pem())?;
    write(&folder.join(format!("{name}.key")), &key.serialize_pem())
}

/// Readable by the owner only, certificates too: nobody else needs them.
fn write(file: &PathBuf, text: &str) -> Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let written = options.open(file).and_then(|mut opened| opened.write_all(text.as_bytes()));
    written.with_context(|| file.display().to_string())
}

const FOLDER: &str = "second-person";
