//! A key service with keys, a register, a runner, and a source with somebody at its elbow.

use std::{
    path::Path,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use claviger_envelope::{Envelopes, key_version};
use claviger_kms::{
    CreateVersion, EncryptionContext, KeyManagementService as _, KeyPath, KeyVersion, Principal,
};
use claviger_rewrap::{
    Batch, CampaignFile, Change, Place, Replaced, Report, Runner, Snapshot, Source, SourceError,
    sources,
};
use claviger_testkit::{MemoryKms, MemoryRegister};
use tokio_util::sync::CancellationToken;

pub(crate) struct Bench {
    pub(crate) service: Arc<MemoryKms>,
    pub(crate) register: Arc<MemoryRegister>,
    pub(crate) runner: Runner,
    pub(crate) envelopes: Envelopes,
    pub(crate) stop: CancellationToken,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let service = Arc::new(MemoryKms::with_keys(&["eu/pay", "eu/other"]).expect("keys"));
        let register = Arc::new(MemoryRegister::new(service.clone(), Principal::of_uid(0)));
        Self {
            runner: Runner::new(service.clone(), register.clone()),
            envelopes: Envelopes::new(service.clone()),
            stop: CancellationToken::new(),
            service,
            register,
        }
    }

    pub(crate) async fn seal(&self, row: impl ToString, value: &[u8]) -> Vec<u8> {
        self.envelopes.seal(&key(), &context(row), value).await.expect("seals")
    }

    pub(crate) async fn rotate(&self) -> KeyVersion {
        let request = CreateVersion { key: key(), idempotency_key: None };
        self.service.rotate(request).await.expect("rotates").primary.expect("a primary version")
    }

    pub(crate) async fn opens(&self, row: impl ToString, envelope: &[u8]) -> Vec<u8> {
        let opened = self.envelopes.open(&context(row), envelope).await.expect("opens");
        #[expect(clippy::disallowed_methods, reason = "compares what was opened")]
        opened.with_bytes(<[u8]>::to_vec)
    }

    pub(crate) async fn run(&self, file: &CampaignFile) -> Report {
        let opened = sources::open(file).await.expect("the sources open");
        self.run_over(file, &opened).await
    }

    pub(crate) async fn run_over(&self, file: &CampaignFile, opened: &[Arc<dyn Source>]) -> Report {
        self.runner.run(file, opened, &self.stop, &|_: &Snapshot| {}).await.expect("it begins")
    }
}

pub(crate) fn key() -> KeyPath {
    "eu/pay".parse().expect("a path")
}

pub(crate) fn context(row: impl ToString) -> EncryptionContext {
    let row = row.to_string();
    EncryptionContext::from_pairs([("table", "cards"), ("row", row.as_str())]).expect("a context")
}

pub(crate) fn version_of(envelope: &[u8]) -> u32 {
    key_version(envelope).expect("an envelope").1.number()
}

/// A campaign file of these lines, the first ones beside name and key.
pub(crate) fn campaign(head: &str, source: &str) -> CampaignFile {
    let mode = if head.contains("mode =") { "" } else { "mode = \"rewrap\"" };
    let text = format!(
        "name = \"cards\"\nkey = \"eu/pay\"\nbackoff-milliseconds = 20\n{mode}\n{head}\n[[source]]\n\
         name = \"cards\"\n{source}\n"
    );
    CampaignFile::parse(&text, Path::new("/")).expect("a campaign file")
}

type Meddle = dyn FnMut(&[Change]) -> Vec<Command> + Send;

/// What happens before or after a replacement reaches the source.
pub(crate) enum Command {
    /// This is done first.
    Before(futures::future::BoxFuture<'static, ()>),
    /// The answer gets lost.
    LoseReply,
    /// The source is out of reach, and nothing is done.
    Unreachable,
}

/// A source with somebody at its elbow.
pub(crate) struct Meddled {
    inner: Arc<dyn Source>,
    meddle: Mutex<Box<Meddle>>,
}

impl Meddled {
    pub(crate) fn over(
        inner: &Arc<dyn Source>,
        meddle: impl FnMut(&[Change]) -> Vec<Command> + Send + 'static,
    ) -> Vec<Arc<dyn Source>> {
        let meddle: Mutex<Box<Meddle>> = Mutex::new(Box::new(meddle));
        vec![Arc::new(Self { inner: inner.clone(), meddle })]
    }

    /// Does this before the first replacement.
    pub(crate) fn once(
        inner: &Arc<dyn Source>,
        first: impl Future<Output = ()> + Send + 'static,
    ) -> Vec<Arc<dyn Source>> {
        let first: futures::future::BoxFuture<'static, ()> = Box::pin(first);
        let mut first = Some(first);
        Self::over(inner, move |_| first.take().map(Command::Before).into_iter().collect())
    }
}

#[async_trait]
impl Source for Meddled {
    fn name(&self) -> &str {
        self.inner.name()
    }

    async fn estimate(&self) -> Result<Option<u64>, SourceError> {
        self.inner.estimate().await
    }

    async fn scan(&self, after: Option<&Place>, most: usize) -> Result<Batch, SourceError> {
        self.inner.scan(after, most).await
    }

    async fn replace(&self, changes: &[Change]) -> Result<Vec<Replaced>, SourceError> {
        let commands = self.meddle.lock().expect("not poisoned")(changes);
        let mut lose = false;
        for command in commands {
            match command {
                Command::Before(first) => first.await,
                Command::LoseReply => lose = true,
                Command::Unreachable => return Err(away()),
            }
        }
        let outcomes = self.inner.replace(changes).await?;
        if lose { Err(away()) } else { Ok(outcomes) }
    }
}

fn away() -> SourceError {
    SourceError::Unreachable { reason: "the line was cut".to_owned() }
}
