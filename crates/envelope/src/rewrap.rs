//! Moving wraps to their keys' primary versions, those of many envelopes with one request to each service.
//!
//! Invariants: one envelope's failure is its own; the wraps keep their order, and those that no service here
//! knows keep their bytes; a payload is neither needed nor read.

use claviger_kms::{EncryptionContext, KeyVersion, KmsError, Rewrap, Rewrapped};

use crate::{
    Header, Result, Wrap,
    data_key::{Failure, Seen, Service, Services, binding, id_of, is_unknown},
};

/// What happened to one wrap in a rewrap.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum WrapOutcome {
    /// Now under version `to`; `from` is the same if it was there already.
    Rewrapped {
        /// The version before.
        from: KeyVersion,
        /// The version now.
        to: KeyVersion,
    },
    /// Kept byte for byte: no service of its provider was given, or none of them knows its key.
    NotOurs,
}

/// A header after a rewrap.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RewrappedHeader {
    /// The new header; the same wraps in the same order.
    pub header: Header,
    /// What happened to each wrap.
    pub outcomes: Vec<WrapOutcome>,
}

impl Services {
    /// Moves every wrap that a service here knows; one answer for each header, in order.
    pub(crate) async fn rewrap(
        &self,
        items: &[(&EncryptionContext, &Header)],
    ) -> Vec<Result<(RewrappedHeader, Vec<Seen>)>> {
        let mut moves: Vec<_> =
            items.iter().map(|(context, header)| Move::new(context, header)).collect();
        for service in self.all() {
            self.ask(service, &mut moves).await;
        }
        moves.into_iter().map(Move::finish).collect()
    }

    /// Asks one service about every wrap of its provider that is not moved yet.
    async fn ask(&self, service: &Service, moves: &mut [Move<'_>]) {
        let mut open: Vec<_> = moves.iter_mut().flat_map(|item| item.open_wraps(service)).collect();
        let most = service.kms.capabilities().max_batch.max(1);
        for part in open.chunks_mut(most) {
            let requests: Vec<_> = part.iter().map(|wrap| wrap.request(self)).collect();
            let replies = rewrap_all(service, requests).await;
            for (wrap, reply) in part.iter_mut().zip(replies) {
                *wrap.answer = Some(reply);
            }
        }
        drop(open);
        moves.iter_mut().for_each(Move::settle);
    }
}

/// One request; the whole batch's error is each item's.
async fn rewrap_all(
    service: &Service,
    mut requests: Vec<Rewrap>,
) -> Vec<Result<Rewrapped, KmsError>> {
    let count = requests.len();
    if count == 1
        && let Some(request) = requests.pop()
    {
        return vec![service.kms.rewrap(request).await];
    }
    match service.kms.rewrap_batch(requests).await {
        Ok(replies) if replies.len() == count => replies,
        Ok(replies) => {
            let reason = format!("the service answered {} of {count} rewraps", replies.len());
            vec![Err(KmsError::unavailable(reason)); count]
        }
        Err(error) => vec![Err(error); count],
    }
}

/// One envelope on its way.
struct Move<'a> {
    context: &'a EncryptionContext,
    header: &'a Header,
    wraps: Vec<Progress>,
    failure: Failure,
    fatal: Option<KmsError>,
}

#[derive(Default)]
struct Progress {
    answer: Option<Result<Rewrapped, KmsError>>,
    moved: Option<Rewrapped>,
}

struct OpenWrap<'m> {
    context: &'m EncryptionContext,
    header: &'m Header,
    wrap: &'m Wrap,
    answer: &'m mut Option<Result<Rewrapped, KmsError>>,
}

impl<'a> Move<'a> {
    fn new(context: &'a EncryptionContext, header: &'a Header) -> Self {
        let wraps = header.wraps().iter().map(|_| Progress::default()).collect();
        Self { context, header, wraps, failure: Failure::default(), fatal: None }
    }

    fn open_wraps(&mut self, service: &Service) -> Vec<OpenWrap<'_>> {
        if self.fatal.is_some() {
            return Vec::new();
        }
        let (context, header) = (self.context, self.header);
        let wraps = header.wraps().iter().zip(&mut self.wraps);
        wraps
            .filter(|(wrap, progress)| {
                progress.moved.is_none() && wrap.provider() == service.provider
            })
            .map(|(wrap, progress)| OpenWrap {
                context,
                header,
                wrap,
                answer: &mut progress.answer,
            })
            .collect()
    }

    /// Sorts what one service has answered.
    fn settle(&mut self) {
        for progress in &mut self.wraps {
            match progress.answer.take() {
                None => {}
                Some(Ok(reply)) => progress.moved = Some(reply),
                Some(Err(error)) if is_unknown(&error) => self.failure.add(error),
                Some(Err(error)) => {
                    self.fatal.get_or_insert(error);
                }
            }
        }
    }

    fn finish(self) -> Result<(RewrappedHeader, Vec<Seen>)> {
        if let Some(error) = self.fatal {
            return Err(error.into());
        }
        let (mut wraps, mut outcomes, mut seen) = (Vec::new(), Vec::new(), Vec::new());
        for (wrap, progress) in self.header.wraps().iter().zip(self.wraps) {
            if let Some(reply) = progress.moved {
                wraps.push(Wrap::new(wrap.provider(), reply.ciphertext)?);
                outcomes.push(WrapOutcome::Rewrapped { from: reply.from, to: reply.to });
                seen.push(Seen { key: reply.key, id: id_of(wrap), version: reply.to });
            } else {
                wraps.push(wrap.clone());
                outcomes.push(WrapOutcome::NotOurs);
            }
        }
        if seen.is_empty() {
            return Err(self.failure.into_error(self.header));
        }
        let header = self.header.with_wraps(wraps)?;
        Ok((RewrappedHeader { header, outcomes }, seen))
    }
}

impl OpenWrap<'_> {
    fn request(&self, services: &Services) -> Rewrap {
        Rewrap {
            ciphertext: self.wrap.ciphertext().to_vec(),
            binding: binding(self.header, self.context),
            campaign: services.campaign,
        }
    }
}
