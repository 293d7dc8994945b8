//! The client: the two listeners it knows, and how a typed request becomes a call.

use claviger_kms::{
    Capabilities, Evidence, KeyPath, KeyUsage, KmsError, ListRotations, Result, RotationPage,
    SubmitEvidence, WipedBuffer,
};
use http::Method;
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    ClientConfig,
    answer::{Batch, value_of},
    connection::{Call, Connection, Repeat},
};

/// A key service reached over its Unix sockets or TLS. Cloning shares the connections.
///
/// Nothing is connected until the first call, and a service that was restarted is found again.
#[derive(Debug, Clone)]
pub struct Client {
    data: Connection,
    admin: Option<Connection>,
}

impl Client {
    /// A client with this configuration. It must be used inside a Tokio runtime.
    #[must_use]
    pub fn new(config: ClientConfig) -> Self {
        let data = Connection::new(&config.data, &config);
        let admin = (!config.admin.is_empty()).then(|| Connection::new(&config.admin, &config));
        Self { data, admin }
    }

    /// What the service says it can do; the trait's own method answers without asking it.
    ///
    /// # Errors
    /// [`KmsError::Unavailable`].
    pub async fn ask_capabilities(&self) -> Result<Capabilities> {
        self.read("/v1/capabilities".to_owned()).await
    }

    /// The service's report on its health, as JSON. Needs the admin socket.
    ///
    /// # Errors
    /// [`KmsError::Unsupported`] without an admin socket, [`KmsError::Denied`],
    /// [`KmsError::Unavailable`].
    pub async fn status(&self) -> Result<serde_json::Value> {
        self.look("/v1/status".to_owned()).await
    }

    /// Who used which version of a key how often, and when last. Needs the admin socket.
    ///
    /// # Errors
    /// [`KmsError::Unsupported`] without an admin socket, [`KmsError::Denied`],
    /// [`KmsError::NotFound`], [`KmsError::Unavailable`].
    pub async fn key_usage(&self, key: &KeyPath) -> Result<KeyUsage> {
        self.look(format!("/v1/usage/{key}")).await
    }

    /// When keys rotate by themselves, a page at a time. Needs the admin socket.
    ///
    /// # Errors
    /// [`KmsError::Unsupported`] without an admin socket, [`KmsError::Invalid`] on limits,
    /// [`KmsError::Unavailable`].
    pub async fn list_rotations(&self, request: &ListRotations) -> Result<RotationPage> {
        let ListRotations { under, after, limit, within_days } = request;
        // Key paths hold no character that a query would have to escape.
        let parts = [
            under.as_ref().map(|key| format!("under={key}")),
            after.as_ref().map(|key| format!("after={key}")),
            limit.map(|limit| format!("limit={limit}")),
            within_days.map(|days| format!("within_days={days}")),
        ];
        let query = parts.into_iter().flatten().collect::<Vec<_>>().join("&");
        self.look(format!("/v1/rotations?{query}")).await
    }

    /// Submits evidence that nothing needs a disabled version. Needs the admin socket.
    ///
    /// # Errors
    /// [`KmsError::KeyUnusable`] naming every rule that is not met; [`KmsError::Unsupported`] without an admin
    /// socket, [`KmsError::Invalid`], [`KmsError::Denied`], [`KmsError::NotFound`], [`KmsError::Unavailable`].
    pub async fn submit_evidence(&self, request: &SubmitEvidence) -> Result<Evidence> {
        self.manage("evidence", request, Repeat::Never).await
    }

    /// Reads from the admin socket.
    pub(crate) async fn look<R: DeserializeOwned>(&self, target: String) -> Result<R> {
        read_from(self.admin()?, target).await
    }

    /// Has the service read again what it can replace while it runs: policy, certificates, PIN, log level. The
    /// answer says what was, and what needs a restart, as JSON. Needs the admin socket.
    ///
    /// # Errors
    /// [`KmsError::Invalid`] when nothing was taken, with the reason; [`KmsError::Unsupported`],
    /// [`KmsError::Denied`], [`KmsError::Unavailable`].
    pub async fn reload(&self) -> Result<serde_json::Value> {
        self.manage("reload", &serde_json::json!({}), Repeat::Safe).await
    }

    /// Reads from the data socket.
    pub(crate) async fn read<R: DeserializeOwned>(&self, target: String) -> Result<R> {
        read_from(&self.data, target).await
    }

    /// Uses a key over the data socket. Nothing is stored by these, so repeating them is safe.
    pub(crate) async fn use_key<Q: Serialize, R: DeserializeOwned>(
        &self,
        operation: &str,
        request: &Q,
    ) -> Result<R> {
        post(&self.data, operation, request, Repeat::Safe).await
    }

    /// Uses keys many times over the data socket, in one request.
    pub(crate) async fn use_keys<Q: Serialize, R: DeserializeOwned>(
        &self,
        operation: &str,
        items: &[Q],
    ) -> Result<Vec<Result<R>>> {
        #[derive(Serialize)]
        struct Items<'a, Q> {
            items: &'a [Q],
        }
        let batch: Batch<R> = self.use_key(&format!("batch/{operation}"), &Items { items }).await?;
        batch.into_results(items.len())
    }

    /// Makes or changes a key over the admin socket.
    pub(crate) async fn manage<Q: Serialize, R: DeserializeOwned>(
        &self,
        operation: &str,
        request: &Q,
        repeat: Repeat,
    ) -> Result<R> {
        post(self.admin()?, operation, request, repeat).await
    }

    pub(crate) fn has_admin(&self) -> bool {
        self.admin.is_some()
    }

    fn admin(&self) -> Result<&Connection> {
        self.admin.as_ref().ok_or_else(|| {
            KmsError::unsupported(
                "this client knows only the data socket or address; making and changing keys, \
                 campaigns and usage need the service's admin socket or address: name it in the client's configuration",
            )
        })
    }
}

async fn read_from<R: DeserializeOwned>(connection: &Connection, target: String) -> Result<R> {
    let body = WipedBuffer::default();
    let call = Call { method: Method::GET, target, body, repeat: Repeat::Safe };
    value_of(&connection.exchange(call).await?)
}

async fn post<R: DeserializeOwned>(
    connection: &Connection,
    operation: &str,
    request: &impl Serialize,
    repeat: Repeat,
) -> Result<R> {
    let mut body = WipedBuffer::with_capacity(1024);
    serde_json::to_writer(&mut body, request)
        .map_err(|_| KmsError::invalid("the request cannot be written as JSON"))?;
    let call = Call { method: Method::POST, target: format!("/v1/{operation}"), body, repeat };
    value_of(&connection.exchange(call).await?)
}
