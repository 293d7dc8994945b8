//! What a process can have only once: a loaded PKCS#11 module, and a PIN that was refused.
//!
//! Invariants: the module is initialised and finalised under one lock, by one holder at a time; a
//! second holder would be cut off by the first one's `C_Finalize`. A loaded module stays mapped until
//! the process ends. After a refused PIN no login is tried until a person says that the PIN was changed, and
//! a PIN that was refused is never sent again by this process. A process that holds a module never forks
//! without replacing itself.

use std::{
    path::{Path, PathBuf},
    sync::{
        Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use cryptoki::{
    context::{CInitializeArgs, CInitializeFlags, Pkcs11},
    error::{Error, RvError},
};

use crate::{TokenError, config::misconfigured, fault::unreachable, pin::Pin};

#[derive(Debug)]
struct Process {
    loaded: Option<(PathBuf, Pkcs11)>,
    holder: Holder,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holder {
    Nobody,
    Token,
    /// A token that was dropped; its threads are finishing.
    Leaving,
}

/// What is known of refused PINs.
#[derive(Debug)]
struct Refusals {
    /// The return code of the refusal that stands in the way of every login.
    standing: Option<String>,
    /// Every PIN that a token refused, each after a person's word: few.
    pins: Vec<Pin>,
}

static PROCESS: Mutex<Process> = Mutex::new(Process { loaded: None, holder: Holder::Nobody });
static LEFT: Condvar = Condvar::new();
static REFUSALS: Mutex<Refusals> = Mutex::new(Refusals { standing: None, pins: Vec::new() });
static LOGIN_ATTEMPTS: AtomicU64 = AtomicU64::new(0);

/// The right to use the initialised module; dropping it finalises.
#[derive(Debug)]
pub(crate) struct Claim {
    module: Pkcs11,
}

impl Claim {
    /// Loads the module if need be, initialises it and claims it. Waits, at most for `patience`, for a
    /// token that was dropped to leave.
    ///
    /// # Errors
    /// [`TokenError::Misconfigured`] when the module cannot be loaded, another one is loaded already or
    /// another token is open; [`TokenError::Unreachable`] when it does not initialise.
    pub(crate) fn take(path: &Path, patience: Duration) -> Result<Self, TokenError> {
        let process = lock();
        let (mut process, _) = LEFT
            .wait_timeout_while(process, patience, |process| process.holder == Holder::Leaving)
            .unwrap_or_else(PoisonError::into_inner);
        if process.holder != Holder::Nobody {
            return misconfigured(
                "this process has a token open already: share it, or drop it before opening another",
            );
        }
        let module = load(&mut process, path)?;
        initialize(&module).map_err(|error| unreachable(&error))?;
        process.holder = Holder::Token;
        Ok(Self { module })
    }

    pub(crate) fn module(&self) -> &Pkcs11 {
        &self.module
    }

    /// Finalises and initialises; every session and object handle is gone then. The caller sees to it
    /// that no call is in flight.
    pub(crate) fn reinitialize(&self) -> Result<(), TokenError> {
        // A module that lost its device may answer anything; what counts is whether it initialises.
        drop(self.module.clone().finalize());
        initialize(&self.module).map_err(|error| unreachable(&error))
    }

    /// The holder is going; whoever claims next waits for it instead of being refused.
    pub(crate) fn announce_leaving() {
        lock().holder = Holder::Leaving;
    }

    /// Waits until the holder has finalised the module and left, at most for `patience`.
    pub(crate) fn wait_until_left(patience: Duration) -> bool {
        let waited =
            LEFT.wait_timeout_while(lock(), patience, |process| process.holder != Holder::Nobody);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        // Not under the lock: this call may hang, and whoever looks at the lock must not.
        drop(self.module.clone().finalize());
        lock().holder = Holder::Nobody;
        LEFT.notify_all();
    }
}

/// Counts a login with this PIN that is about to be tried.
///
/// # Errors
/// [`TokenError::PinRefused`] when a refusal stands, or when this PIN was refused before: nothing may be tried.
pub(crate) fn count_login(pin: &Pin) -> Result<(), TokenError> {
    if let Some(refusal) = pin_refusal() {
        return Err(refusal);
    }
    if refusals().pins.iter().any(|refused| refused.is_same_as(pin)) {
        return Err(refuse_login(
            "it was refused before, and the PIN file still holds it".to_owned(),
        ));
    }
    LOGIN_ATTEMPTS.fetch_add(1, Ordering::SeqCst);
    Ok(())
}

/// The token refused this PIN: from now on no login is tried.
pub(crate) fn refuse_pin(pin: Pin, code: String) -> TokenError {
    refusals().pins.push(pin);
    refuse_login(code)
}

/// From now on no login is tried.
pub(crate) fn refuse_login(code: String) -> TokenError {
    TokenError::PinRefused { code: refusals().standing.get_or_insert(code).clone() }
}

/// The refusal that stands, if there is one.
pub(crate) fn pin_refusal() -> Option<TokenError> {
    refusals().standing.clone().map(|code| TokenError::PinRefused { code })
}

/// A person says that PIN or token were put right: one login may be tried again, with a PIN that was not
/// refused before.
pub(crate) fn forget_refusal() {
    refusals().standing = None;
}

fn refusals() -> MutexGuard<'static, Refusals> {
    REFUSALS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How often `C_Login` was called by this process.
pub(crate) fn login_attempts() -> u64 {
    LOGIN_ATTEMPTS.load(Ordering::SeqCst)
}

/// The module while a token is open.
#[cfg(feature = "testing")]
pub(crate) fn module_in_use() -> Option<Pkcs11> {
    let process = lock();
    let loaded = process.loaded.as_ref().filter(|_| process.holder == Holder::Token);
    loaded.map(|(_, module)| module.clone())
}

fn lock() -> MutexGuard<'static, Process> {
    PROCESS.lock().unwrap_or_else(PoisonError::into_inner)
}

fn load(process: &mut Process, path: &Path) -> Result<Pkcs11, TokenError> {
    let shown = path.display();
    if let Some((loaded, module)) = &process.loaded {
        if loaded == path {
            return Ok(module.clone());
        }
        return misconfigured(format!(
            "this process has loaded the module {} already and cannot load {shown} beside it",
            loaded.display()
        ));
    }
    if !path.is_file() {
        return misconfigured(format!(
            "the PKCS#11 module {shown} does not exist: install it (Debian and Ubuntu: apt-get install softhsm2), or correct token.module"
        ));
    }
    match Pkcs11::new(path) {
        Ok(module) => {
            process.loaded = Some((path.to_owned(), module.clone()));
            Ok(module)
        }
        Err(source) => misconfigured(format!(
            "{shown} cannot be loaded as a PKCS#11 module: {source}; token.module must name the vendor's library for this machine"
        )),
    }
}

fn initialize(module: &Pkcs11) -> Result<(), Error> {
    match module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
        Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => Ok(()),
        other => other,
    }
}
