//! The sockets that are listened on: taken over from the running process, or bound.

use std::sync::Arc;

use super::start_error::StartError;
use crate::config::Config;
use crate::handover::{Predecessor, Purpose};
use crate::listener::{ListenAddress, ListenSocket, SocketOptions};

/// Every socket of a configuration.
pub(crate) struct Sockets {
    pub(crate) admin: Arc<ListenSocket>,
    /// The address for questions about policy, if it is another one.
    pub(crate) explain: Option<Arc<ListenSocket>>,
    /// In the configuration's order.
    pub(crate) listeners: Vec<Arc<ListenSocket>>,
}

impl Sockets {
    /// Takes what `predecessor` has of them, and binds the others.
    pub(crate) async fn open(
        config: &Config,
        predecessor: Option<&mut Predecessor>,
    ) -> Result<Self, StartError> {
        let listeners = config.listeners.iter().map(|listener| (Purpose::Listener, listener.address.clone()));
        // The operator names both, and the address tells which is which. Of two equal ones the first is taken first.
        let explain = config.admin.explain.as_ref().and_then(|explain| explain.address);
        let admin = std::iter::once(config.admin.address).chain(explain);
        let wanted: Vec<_> = admin.map(|address| (Purpose::Admin, address.into())).chain(listeners).collect();
        let mut taken = match predecessor {
            Some(predecessor) => predecessor.take(&wanted).await?,
            None => Vec::new(),
        }
        .into_iter();
        let mut open = |address: &ListenAddress, options: SocketOptions| {
            let opened = match taken.next().flatten() {
                Some(listening) => listening.set_mode(options).map(|()| listening),
                None => ListenSocket::bind_with(address, options),
            };
            opened.map(Arc::new).map_err(|source| StartError::Listen { address: address.clone(), source })
        };
        let of_admin = SocketOptions::default();
        let admin = open(&config.admin.address.into(), of_admin)?;
        let explain = explain.map(|address| open(&address.into(), of_admin)).transpose()?;
        let listeners = config.listeners.iter().map(|listener| open(&listener.address, listener.socket));
        Ok(Self { admin, explain, listeners: listeners.collect::<Result<_, _>>()? })
    }

    /// No other process accepts from them any more.
    pub(crate) fn own(&self) {
        let all = self.listeners.iter().chain([&self.admin]).chain(&self.explain);
        all.for_each(|socket| socket.own());
    }

    /// All of them, with the purpose of each.
    pub(crate) fn into_purposes(self) -> Vec<(Purpose, Arc<ListenSocket>)> {
        let listeners = self.listeners.into_iter().map(|listener| (Purpose::Listener, listener));
        let admin = std::iter::once(self.admin).chain(self.explain);
        admin.map(|admin| (Purpose::Admin, admin)).chain(listeners).collect()
    }
}
