//! The logged-in connection to the token, and how it comes back after an outage.
//!
//! Invariants: one anchor session stays open, since closing the last one logs the application out.
//! Recovery (finalise, initialise, select, log in) runs alone at the gate, at most once every
//! [`FIRST_PAUSE`], more seldom while it fails. Each recovery starts a new *generation*: sessions and
//! object handles of an older one are never used or closed, since their numbers may be another's now.
//! Handles are forgotten upon any error.

use std::{
    collections::HashMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use cryptoki::{
    context::Pkcs11,
    error::{Error, RvError},
    object::ObjectHandle,
    session::{Session, SessionState, UserType},
    slot::{Slot, TokenInfo},
};

use crate::{
    ObjectId, ObjectKind, TokenError,
    config::Settings,
    fault::{function_and_code, login_never_reached_the_token, unreachable},
    gate::{Gate, Pass},
    process::{self, Claim},
    slots,
};

/// The connection all worker threads share.
#[derive(Debug)]
pub(crate) struct Link {
    settings: Settings,
    gate: Gate,
    state: Mutex<State>,
    handles: Mutex<Handles>,
    connected: AtomicBool,
    recoveries: AtomicU64,
    recovery_attempts: AtomicU64,
    // Last, so that it is dropped, and the module finalised, after everything else.
    claim: Claim,
}

#[derive(Debug)]
struct State {
    generation: u64,
    /// None while the token is out of reach.
    connection: Option<Connection>,
    /// Why there is no connection.
    last_error: Option<TokenError>,
    pause: Duration,
    next_recovery: Instant,
}

#[derive(Debug)]
struct Connection {
    slot: Slot,
    description: Option<String>,
    /// Only held open; not closed by dropping it.
    _anchor: Session,
}

#[derive(Debug, Default)]
struct Handles {
    known: HashMap<(ObjectKind, ObjectId), ObjectHandle>,
    /// An object seen in this generation: if it is gone too, the token is.
    witness: Option<(ObjectKind, ObjectId)>,
}

/// A call's stay inside the gate.
#[derive(Debug)]
pub(crate) struct Visit<'a> {
    pub(crate) generation: u64,
    pub(crate) slot: Slot,
    _pass: Pass<'a>,
}

impl Link {
    /// Loads and initialises the module, selects the token and logs in, once.
    pub(crate) fn open(settings: Settings) -> Result<Self, TokenError> {
        if let Some(refusal) = process::pin_refusal() {
            return Err(refusal);
        }
        let claim = Claim::take(&settings.module, settings.deadline)?;
        let connection = connect(claim.module(), &settings)?;
        Ok(Self {
            gate: Gate::new(settings.serialize_calls),
            state: Mutex::new(State {
                generation: 1,
                connection: Some(connection),
                last_error: None,
                pause: FIRST_PAUSE,
                next_recovery: Instant::now(),
            }),
            handles: Mutex::default(),
            connected: AtomicBool::new(true),
            recoveries: AtomicU64::new(0),
            recovery_attempts: AtomicU64::new(0),
            settings,
            claim,
        })
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(crate) fn module(&self) -> &Pkcs11 {
        self.claim.module()
    }

    /// Enters the gate.
    ///
    /// # Errors
    /// Why there is no connection, if there is none.
    pub(crate) fn visit(&self) -> Result<Visit<'_>, TokenError> {
        let pass = self.gate.enter();
        let state = self.state();
        match &state.connection {
            Some(connection) => {
                Ok(Visit { generation: state.generation, slot: connection.slot, _pass: pass })
            }
            None => Err(state.down()),
        }
    }

    /// What the token says of itself.
    pub(crate) fn description(&self) -> Option<String> {
        self.state().connection.as_ref().and_then(|connection| connection.description.clone())
    }

    /// Brings the connection back, unless another thread has done it since `generation`.
    ///
    /// # Errors
    /// Why it could not be brought back, or that it was tried a moment ago.
    pub(crate) fn recover(&self, generation: u64) -> Result<(), TokenError> {
        let deadline = self.settings.deadline;
        // Half of it, so that whoever asked still hears why.
        let Some(_alone) = self.gate.enter_alone(deadline / 2) else {
            return Err(TokenError::TimedOut { function: "a call before recovery", deadline });
        };
        if let Some(refusal) = process::pin_refusal() {
            return Err(refusal);
        }
        let mut state = self.state();
        if state.generation != generation && state.connection.is_some() {
            return Ok(());
        }
        if Instant::now() < state.next_recovery {
            return Err(state.down());
        }
        tracing::warn!(generation, "the token is out of reach; the module is initialised anew");
        self.recovery_attempts.fetch_add(1, Ordering::SeqCst);
        state.connection = None;
        self.connected.store(false, Ordering::SeqCst);
        *self.handles() = Handles::default();
        let outcome = self
            .claim
            .reinitialize()
            .and_then(|()| connect(self.claim.module(), &self.settings).map_err(as_outage));
        match outcome {
            Ok(connection) => {
                state.generation += 1;
                state.connection = Some(connection);
                state.pause = FIRST_PAUSE;
                state.next_recovery = Instant::now() + FIRST_PAUSE;
                self.connected.store(true, Ordering::SeqCst);
                self.recoveries.fetch_add(1, Ordering::SeqCst);
                tracing::info!(generation = state.generation, "the token answers again");
                Ok(())
            }
            Err(error) => {
                tracing::error!(%error, "the token did not come back");
                state.next_recovery = Instant::now() + state.pause;
                state.pause = LONGEST_PAUSE.min(state.pause * 2);
                state.last_error = Some(error.clone());
                Err(error)
            }
        }
    }

    /// A person says that the PIN was put right: the next question may try one login, at once.
    pub(crate) fn forget_pin_refusal(&self) {
        process::forget_refusal();
        // Whoever holds the state is recovering this moment; then there is no pause to shorten.
        if let Ok(mut state) = self.state.try_lock() {
            state.pause = FIRST_PAUSE;
            state.next_recovery = Instant::now();
        }
    }

    pub(crate) fn known_handle(&self, kind: ObjectKind, id: ObjectId) -> Option<ObjectHandle> {
        self.handles().known.get(&(kind, id)).copied()
    }

    pub(crate) fn remember(&self, kind: ObjectKind, id: ObjectId, handle: ObjectHandle) {
        let mut handles = self.handles();
        handles.known.insert((kind, id), handle);
        handles.witness = Some((kind, id));
    }

    /// Forgets every handle; upon any error.
    pub(crate) fn forget_handles(&self) {
        self.handles().known.clear();
    }

    /// Forgets one object; before it is destroyed.
    pub(crate) fn forget_object(&self, kind: ObjectKind, id: ObjectId) {
        let mut handles = self.handles();
        handles.known.remove(&(kind, id));
        if handles.witness == Some((kind, id)) {
            handles.witness = handles.known.keys().next().copied();
        }
    }

    pub(crate) fn witness(&self) -> Option<(ObjectKind, ObjectId)> {
        self.handles().witness
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.connected.load(Ordering::SeqCst)
    }

    pub(crate) fn recoveries(&self) -> u64 {
        self.recoveries.load(Ordering::SeqCst)
    }

    pub(crate) fn recovery_attempts(&self) -> u64 {
        self.recovery_attempts.load(Ordering::SeqCst)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn handles(&self) -> MutexGuard<'_, Handles> {
        self.handles.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn down(&self) -> TokenError {
        self.last_error.clone().unwrap_or_else(|| TokenError::Unreachable {
            function: "C_Initialize",
            code: "the connection was lost a moment ago".to_owned(),
        })
    }
}

/// Selects the token and logs in: one `C_Login`, or none when that could lock the token.
fn connect(module: &Pkcs11, settings: &Settings) -> Result<Connection, TokenError> {
    let token = slots::select(module, &settings.selector)?;
    let flagged = |flag: fn(&TokenInfo) -> bool| token.info.as_ref().is_some_and(flag);
    if flagged(TokenInfo::user_pin_locked) {
        return Err(process::refuse_login("CKF_USER_PIN_LOCKED".to_owned()));
    }
    if flagged(TokenInfo::user_pin_final_try) {
        return Err(process::refuse_login(
            "CKF_USER_PIN_FINAL_TRY: one more wrong PIN locks the token; log in once with the vendor's tool"
                .to_owned(),
        ));
    }
    let pin = settings.pin.read()?;
    let anchor = module.open_rw_session_no_drop(token.slot).map_err(|error| unreachable(&error))?;
    process::count_login(&pin)?;
    match anchor.login_with_raw(UserType::User, &pin.for_login()) {
        Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => {}
        Err(error) if login_never_reached_the_token(&error) => return Err(unreachable(&error)),
        Err(error) => return Err(process::refuse_pin(pin, function_and_code(&error).1)),
    }
    match anchor.get_session_info() {
        Ok(info) if info.session_state() == SessionState::RwUser => {}
        Ok(info) => {
            let code = format!("{:?} after login", info.session_state());
            return Err(TokenError::Unreachable { function: "C_GetSessionInfo", code });
        }
        Err(error) => return Err(unreachable(&error)),
    }
    Ok(Connection { slot: token.slot, description: token.description(), _anchor: anchor })
}

/// During an outage a token that is not listed is not a mistake in the configuration.
fn as_outage(error: TokenError) -> TokenError {
    match error {
        TokenError::Misconfigured { reason } => {
            TokenError::Unreachable { function: "the connection", code: reason }
        }
        other => other,
    }
}

/// Pause between two recoveries, and after the first that failed.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// Longest pause while recoveries keep failing.
const LONGEST_PAUSE: Duration = Duration::from_secs(8);
