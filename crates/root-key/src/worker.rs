//! One thread's session, and what happens when a question fails.
//!
//! Invariants: a session is dropped after any error, since a failed call can leave it answering
//! `CKR_OPERATION_ACTIVE`. Return codes alone decide nothing: after a failure the token is asked, on a
//! fresh session, whether it is logged in, gives random bytes and still shows a key it showed before. If
//! so, the failure stands (repeated once where that is safe); if not, the connection is brought back.

use std::sync::Arc;

use cryptoki::session::{Session, SessionState};

use crate::{
    TokenError,
    fault::Fault,
    find,
    link::{Link, Visit},
};

/// Whether a question may be asked a second time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// It changes nothing in the token.
    Once,
    /// It makes or destroys something.
    Never,
}

/// What a question works with: a session of its own, inside the gate.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    pub(crate) session: &'a Session,
    pub(crate) link: &'a Link,
    visit: &'a Visit<'a>,
}

impl Call<'_> {
    /// A second session for a step that may fail and leave it unusable; closed when dropped.
    pub(crate) fn throw_away_session(&self) -> Result<Session, Fault> {
        Ok(self.link.module().open_rw_session(self.visit.slot)?)
    }
}

/// The state of one worker thread.
#[derive(Debug)]
pub(crate) struct Worker {
    link: Arc<Link>,
    held: Option<Held>,
    /// The generation of the last attempt.
    generation: u64,
}

#[derive(Debug)]
struct Held {
    session: Session,
    generation: u64,
}

impl Worker {
    pub(crate) fn new(link: Arc<Link>) -> Self {
        Self { link, held: None, generation: 0 }
    }

    /// Asks the token and deals with its failures.
    pub(crate) fn answer<R>(
        &mut self,
        repeat: Repeat,
        work: impl Fn(&Call<'_>) -> Result<R, Fault>,
    ) -> Result<R, TokenError> {
        let fault = match self.attempt(&work) {
            Ok(answer) => return Ok(answer),
            Err(fault) => fault,
        };
        let asked = !matches!(fault, Fault::Down(_));
        match fault {
            // Found and judged: nothing about the connection is in doubt.
            Fault::Decided(error) if !doubts_the_connection(&error) => return Err(error),
            fault if asked && self.attempt(&presence).is_ok() => {
                return match fault {
                    Fault::Call(_) if repeat == Repeat::Once => {
                        self.attempt(&work).map_err(Fault::refused)
                    }
                    fault => Err(fault.refused()),
                };
            }
            fault => {
                let recovered = self.link.recover(self.generation);
                if let Err(error) = recovered {
                    let permanent = matches!(error, TokenError::PinRefused { .. });
                    return Err(if asked && !permanent { fault.unreachable() } else { error });
                }
                if asked && repeat == Repeat::Never {
                    return Err(fault.unreachable());
                }
            }
        }
        self.attempt(&work).map_err(|fault| match fault {
            Fault::Decided(error) => error,
            fault => fault.unreachable(),
        })
    }

    /// Whether the token is there: see [`presence`].
    pub(crate) fn check(&mut self) -> Result<(), TokenError> {
        self.answer(Repeat::Once, presence)
    }

    fn attempt<R>(&mut self, work: &impl Fn(&Call<'_>) -> Result<R, Fault>) -> Result<R, Fault> {
        let link = Arc::clone(&self.link);
        let visit = link.visit().map_err(Fault::Down)?;
        self.generation = visit.generation;
        // A session of an older generation is not closed: its number may be another's now.
        let held = match self.held.take().filter(|held| held.generation == visit.generation) {
            Some(held) => held,
            None => Held {
                session: link.module().open_rw_session_no_drop(visit.slot)?,
                generation: visit.generation,
            },
        };
        let outcome = work(&Call { session: &held.session, link: &link, visit: &visit });
        match &outcome {
            Ok(_) => self.held = Some(held),
            Err(_) => {
                link.forget_handles();
                close(held.session);
            }
        }
        outcome
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let Some(held) = self.held.take() else { return };
        if let Ok(visit) = self.link.visit()
            && visit.generation == held.generation
        {
            close(held.session);
        }
    }
}

/// The token is logged in, gives random bytes, and shows a key that it showed before (some modules keep
/// answering from memory when their token is gone).
fn presence(call: &Call<'_>) -> Result<(), Fault> {
    let state = call.session.get_session_info()?.session_state();
    if state != SessionState::RwUser {
        let code = format!("{state:?}, not logged in");
        return Err(TokenError::Unreachable { function: "C_GetSessionInfo", code }.into());
    }
    call.session.generate_random_slice(&mut [0; 16])?;
    match call.link.witness() {
        Some((kind, id)) => find::handles(call.session, kind, id).and_then(|found| {
            if found.is_empty() { Err(find::missing(kind, id).into()) } else { Ok(()) }
        }),
        None => Ok(()),
    }
}

fn doubts_the_connection(error: &TokenError) -> bool {
    matches!(error, TokenError::ObjectMissing { .. } | TokenError::Unreachable { .. })
}

fn close(session: Session) {
    if let Err(error) = session.close() {
        tracing::debug!(%error, "a session did not close");
    }
}
