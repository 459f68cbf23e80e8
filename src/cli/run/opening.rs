//! The sockets that are listened on: taken over from the running process, or bound.

use std::net::SocketAddr;
use std::sync::Arc;

use super::Failure;
use crate::config::Config;
use crate::handover::{Predecessor, Purpose};
use crate::listener::Listening;

/// Every socket of a configuration.
pub(super) struct Sockets {
    pub(super) admin: Arc<Listening>,
    /// In the configuration's order.
    pub(super) listeners: Vec<Arc<Listening>>,
}

impl Sockets {
    /// Takes what `predecessor` has of them, and binds the others.
    pub(super) async fn open(
        config: &Config,
        predecessor: Option<&mut Predecessor>,
    ) -> Result<Self, Failure> {
        let listeners = config.listeners.iter().map(|listener| (Purpose::Listener, listener.address));
        let wanted: Vec<_> = std::iter::once((Purpose::Admin, config.admin)).chain(listeners).collect();
        let mut taken = match predecessor {
            Some(predecessor) => predecessor.take(&wanted).await?,
            None => Vec::new(),
        }
        .into_iter();
        let mut open = |address: SocketAddr| match taken.next().flatten() {
            Some(listening) => Ok(Arc::new(listening)),
            None => {
                Listening::bind(address).map(Arc::new).map_err(|source| Failure::Listen { address, source })
            }
        };
        let admin = open(config.admin)?;
        let listeners =
            config.listeners.iter().map(|listener| open(listener.address)).collect::<Result<_, _>>()?;
        Ok(Self { admin, listeners })
    }

    /// All of them, with what each is for.
    pub(super) fn into_purposes(self) -> Vec<(Purpose, Arc<Listening>)> {
        let listeners = self.listeners.into_iter().map(|listener| (Purpose::Listener, listener));
        std::iter::once((Purpose::Admin, self.admin)).chain(listeners).collect()
    }
}
