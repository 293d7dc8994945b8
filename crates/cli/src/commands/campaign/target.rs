//! The other key service of a campaign that has a `[target]`.

use std::sync::Arc;

use claviger_client::{Client, ClientConfig, Endpoint, Tls, TlsFiles};
use claviger_envelope::Provider;
use claviger_kms::KmsError;
use claviger_rewrap::{CampaignFile, Destination, TargetReach};

use crate::error::{CliError, Result};

/// Where the file's envelopes move to, if it is another service. Blocking: reads the files of TLS.
pub(super) fn destination(file: &CampaignFile) -> Result<Option<Destination>> {
    let Some(target) = &file.target else { return Ok(None) };
    let config = match &target.reach {
        TargetReach::Socket(path) => ClientConfig::new(path),
        TargetReach::Tls { addresses, certificate, key, ca, server_name, .. } => {
            let endpoints: Vec<Endpoint> = addresses
                .iter()
                .map(|address| address.parse::<Endpoint>().map_err(wrong))
                .collect::<Result<_>>()?;
            if endpoints.iter().any(|endpoint| !matches!(endpoint, Endpoint::Https { .. })) {
                return Err(wrong("an address begins with https://; a socket is named by socket"));
            }
            let tls = Tls::read(TlsFiles {
                certificate: certificate.clone(),
                key: key.clone(),
                ca: ca.clone(),
                server_name: server_name.clone(),
            })?;
            ClientConfig::at(endpoints).with_tls(tls)
        }
        _ => return Err(wrong("it is reached in a way this program does not know")),
    };
    Ok(Some(Destination {
        provider: Provider::CLAVIGER,
        service: Arc::new(Client::new(config)),
        key: target.key.clone(),
    }))
}

fn wrong(reason: impl ToString) -> CliError {
    KmsError::invalid(format!("the campaign file's [target]: {}", reason.to_string())).into()
}
