//! A line to a store that can be cut, that loses a header, or along which somebody writes first.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use futures::future::BoxFuture;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::watch,
};

#[derive(Clone)]
pub(crate) struct Line {
    pub(crate) address: SocketAddr,
    cut: Arc<watch::Sender<bool>>,
    faults: Arc<Mutex<Faults>>,
}

#[derive(Default)]
struct Faults {
    hides_conditions: bool,
    first: Option<(String, BoxFuture<'static, ()>)>,
}

impl Line {
    pub(crate) async fn to(store: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let line = Self {
            address: listener.local_addr().expect("an address"),
            cut: Arc::new(watch::channel(false).0),
            faults: Arc::default(),
        };
        let accepting = line.clone();
        tokio::spawn(async move {
            while let Ok((caller, _)) = listener.accept().await {
                tokio::spawn(accepting.clone().carry(caller, store));
            }
        });
        line
    }

    /// Cuts the line, or mends it.
    pub(crate) fn cut(&self, cut: bool) {
        self.cut.send_replace(cut);
    }

    /// The store does not see `If-Match` any more.
    pub(crate) fn hide_conditions(&self) {
        self.faults.lock().expect("not poisoned").hides_conditions = true;
    }

    /// This is done when the first request that begins so is on its way.
    pub(crate) fn before(&self, request: &str, first: impl Future<Output = ()> + Send + 'static) {
        let first: BoxFuture<'static, ()> = Box::pin(first);
        self.faults.lock().expect("not poisoned").first = Some((request.to_owned(), first));
    }

    async fn carry(self, caller: TcpStream, store: SocketAddr) {
        let mut cut = self.cut.subscribe();
        let Ok(store) = TcpStream::connect(store).await else { return };
        let (mut from_caller, mut to_caller) = caller.into_split();
        let (mut from_store, mut to_store) = store.into_split();
        let requests = async {
            let mut buffer = vec![0; 64 * 1024];
            while let Ok(count @ 1..) = from_caller.read(&mut buffer).await {
                let part = self.meddle(buffer.get(..count).unwrap_or_default()).await;
                if to_store.write_all(&part).await.is_err() {
                    return;
                }
            }
        };
        let answers = tokio::io::copy(&mut from_store, &mut to_caller);
        tokio::select! {
            _ = cut.wait_for(|cut| *cut) => {}
            () = requests => {}
            _ = answers => {}
        }
    }

    async fn meddle(&self, part: &[u8]) -> Vec<u8> {
        let (hides, first) = {
            let mut faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
            let due = faults.first.take_if(|(request, _)| part.starts_with(request.as_bytes()));
            (faults.hides_conditions, due)
        };
        if let Some((_, first)) = first {
            first.await;
        }
        let mut part = part.to_vec();
        let hidden = b"if-match:";
        while hides
            && let Some(at) = part.windows(9).position(|found| found.eq_ignore_ascii_case(hidden))
        {
            part.splice(at..at + 9, *b"x-fmatch:");
        }
        part
    }
}
