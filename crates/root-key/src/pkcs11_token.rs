//! [`Token`] over a PKCS#11 module in this process.
//!
//! Invariants: one open token per process; one `C_Login` when it opens and one per recovery, none after
//! a refused PIN until a person says it was put right; every question ends by its deadline, whatever the module does.

use std::{
    fmt,
    sync::{Arc, mpsc},
    thread,
};

use async_trait::async_trait;
use claviger_kms::{Derivation, SecretBytes, SecretKey};
use serde::Serialize;

use crate::{
    ObjectId, ObjectKind, ObjectReport, Token, TokenConfig, TokenError, TokenReport,
    link::Link,
    objects,
    pool::{Pool, Threads},
    process::{self, Claim},
    trials, uses,
    worker::{Repeat, Worker},
};

/// A token behind a PKCS#11 module, logged in. Share it: a process can open one at a time.
///
/// Dropping it waits, at most for the deadline, until its threads have left the module: a process that
/// exits while a call runs can wait for ever in the module's own exit handlers. So drop it before
/// leaving `main`, and end a process whose threads hang by `abort` or a signal, never by `exit`.
pub struct Pkcs11Token {
    link: Arc<Link>,
    pool: Pool,
    // Last, since it waits for what the other two let go.
    _threads: Threads,
}

/// How the threads and the connection are, without asking the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct TokenHealth {
    /// Threads that ask the token.
    pub threads: usize,
    /// Threads that have been in one call for longer than the deadline. When all are, only a restart
    /// of the process helps.
    pub hung: usize,
    /// Whether there is a connection, as of the last question.
    pub connected: bool,
    /// Whether the PIN was refused; only the right one and a person's word, or a restart, help.
    pub pin_refused: bool,
    /// How often `C_Login` was called by this process.
    pub login_attempts: u64,
    /// How often the connection was brought back.
    pub recoveries: u64,
    /// How often that was tried.
    pub recovery_attempts: u64,
}

impl Pkcs11Token {
    /// Loads the module, selects the token and logs in with one attempt. Blocks, at most six deadlines.
    ///
    /// # Errors
    /// [`TokenError::Misconfigured`] when the configuration does not lead to one token and its PIN;
    /// [`TokenError::PinRefused`], then from every later call of this process too, until
    /// [`Token::forget_pin_refusal`];
    /// [`TokenError::TimedOut`] when the module hangs.
    pub fn open(config: &TokenConfig) -> Result<Self, TokenError> {
        let settings = config.resolve()?;
        let deadline = settings.deadline * DEADLINES_TO_OPEN;
        let (reply, answer) = mpsc::sync_channel(1);
        let open = move || drop(reply.send(Link::open(settings)));
        let thread = thread::Builder::new().name("token-open".to_owned()).spawn(open);
        let thread = thread.map_err(|source| TokenError::Unreachable {
            function: "a new thread",
            code: source.to_string(),
        })?;
        let Ok(opened) = answer.recv_timeout(deadline) else {
            return Err(TokenError::TimedOut { function: "the login", deadline });
        };
        drop(thread.join());
        let link = Arc::new(opened?);
        let (pool, threads) = Pool::start(&link)?;
        Ok(Self { link, pool, _threads: threads })
    }

    /// How the threads and the connection are. Asks nothing, so it answers while the module hangs.
    #[must_use]
    pub fn health(&self) -> TokenHealth {
        TokenHealth {
            threads: self.pool.threads(),
            hung: self.pool.hung(),
            connected: self.link.is_connected(),
            pin_refused: process::pin_refusal().is_some(),
            login_attempts: process::login_attempts(),
            recoveries: self.link.recoveries(),
            recovery_attempts: self.link.recovery_attempts(),
        }
    }

    async fn ask<R: Send + 'static>(
        &self,
        function: &'static str,
        question: impl FnOnce(&mut Worker) -> Result<R, TokenError> + Send + 'static,
    ) -> Result<R, TokenError> {
        match process::pin_refusal() {
            Some(refusal) => Err(refusal),
            None => self.pool.ask(function, question).await,
        }
    }
}

#[async_trait]
impl Token for Pkcs11Token {
    async fn derive(
        &self,
        object: ObjectId,
        derivation: &Derivation,
    ) -> Result<SecretKey, TokenError> {
        let block = derivation.block();
        let question = move |worker: &mut Worker| {
            worker.answer(Repeat::Once, |call| uses::derive(call, object, &block))
        };
        self.ask("a derivation", question).await
    }

    async fn sign_checkpoint(&self, object: ObjectId, text: &str) -> Result<[u8; 64], TokenError> {
        let text = text.to_owned();
        let question = move |worker: &mut Worker| {
            worker.answer(Repeat::Once, |call| uses::checkpoint(call, object, &text))
        };
        self.ask("a signature", question).await
    }

    async fn random(&self, length: usize) -> Result<SecretBytes, TokenError> {
        if length > MOST_RANDOM_BYTES {
            return Err(TokenError::Refused {
                function: "C_GenerateRandom",
                code: format!("{length} bytes; at most {MOST_RANDOM_BYTES} are given at once"),
            });
        }
        let question = move |worker: &mut Worker| {
            worker.answer(Repeat::Once, |call| uses::random(call.session, length))
        };
        self.ask("random bytes", question).await
    }

    async fn make_object(&self, kind: ObjectKind) -> Result<ObjectReport, TokenError> {
        let id = ObjectId::make_random().map_err(|source| TokenError::Unreachable {
            function: "the operating system",
            code: source.to_string(),
        })?;
        let question = move |worker: &mut Worker| {
            worker.answer(Repeat::Never, |call| objects::make(call, kind, id))
        };
        let made = self.ask("a new key", question).await;
        if let Err(TokenError::TimedOut { .. } | TokenError::Unreachable { .. }) = &made {
            tracing::warn!(%id, "a key with this id may have been made; nothing refers to it");
        }
        made
    }

    async fn inspect_object(
        &self,
        kind: ObjectKind,
        object: ObjectId,
    ) -> Result<ObjectReport, TokenError> {
        let question = move |worker: &mut Worker| {
            worker.answer(Repeat::Once, |call| objects::inspect(call, kind, object))
        };
        self.ask("an inspection", question).await
    }

    async fn destroy_object(&self, kind: ObjectKind, object: ObjectId) -> Result<(), TokenError> {
        let question = move |worker: &mut Worker| {
            worker.answer(Repeat::Never, |call| objects::destroy(call, kind, object))
        };
        self.ask("a destruction", question).await
    }

    async fn report(&self) -> Result<TokenReport, TokenError> {
        let question = |worker: &mut Worker| worker.answer(Repeat::Once, trials::report);
        self.ask("a report", question).await
    }

    async fn forget_pin_refusal(&self) {
        self.link.forget_pin_refusal();
    }

    async fn check(&self) -> Result<(), TokenError> {
        self.ask("a check", Worker::check).await
    }
}

impl fmt::Debug for Pkcs11Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pkcs11Token")
            .field("module", &self.link.settings().module)
            .field("health", &self.health())
            .finish_non_exhaustive()
    }
}

impl Drop for Pkcs11Token {
    fn drop(&mut self) {
        // The threads end when the queue closes, just after this; the last of them finalises the module.
        Claim::announce_leaving();
    }
}

const DEADLINES_TO_OPEN: u32 = 6;
const MOST_RANDOM_BYTES: usize = 1024;
