//! Listeners that decide for others: they are asked about requests which a proxy has, or about what a service wants to know, and
//! forward nothing.

use ipnet::IpNet;

use super::ListenAddress;
use crate::diagnostic::{Report, Span};
use crate::document::scalar::choice;
use crate::document::{Fields, Node, Spelling, Value};
use crate::http::ConnectionPeer;
use crate::http::settings::peers;

/// How a listener is asked, and who may ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authorizer {
    /// The protocol of the questions.
    pub protocol: AuthorizerProtocol,
    /// What a question tells of the body.
    pub body: ToldBody,
    /// Where questions may come from; `None` for anywhere that reaches the listener.
    pub from: Option<AskingPeers>,
}

/// How a proxy asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthorizerProtocol {
    /// Envoy's `envoy.service.auth.v3.Authorization`, over gRPC.
    ExtAuthz,
    /// A request of HTTP that describes the client's request, in the fields of this proxy.
    ForwardAuth(ForwardAuthShape),
    /// OpenID AuthZEN: a question in JSON, about a subject that the service names.
    AuthZen,
}

/// In which fields a proxy describes the client's request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForwardAuthShape {
    /// nginx's `auth_request`: `X-Original-Method`, `X-Original-URI` and `Host`.
    Nginx,
    /// Traefik's `forwardAuth`: `X-Forwarded-Method`, `X-Forwarded-Uri` and `X-Forwarded-Host`.
    Traefik,
    /// Caddy's `forward_auth`: the same fields.
    Caddy,
    /// HAProxy, by the script of docs/with-haproxy.md: nginx's fields.
    Haproxy,
}

/// What a question tells of the body of the client's request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ToldBody {
    /// Nothing, but for `Content-Length`.
    #[default]
    Unknown,
    /// Whether there is one: the proxy sets `X-Original-Framing` in every question.
    Announced,
    /// All of it: where a question has none, the request has none.
    Sent,
}

/// The peers that may ask.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AskingPeers {
    /// Their addresses.
    pub networks: Vec<IpNet>,
    /// Whether those at the other end of Unix sockets may.
    pub unix: bool,
}

impl Authorizer {
    /// Whether a peer may ask.
    pub fn trusts(&self, peer: ConnectionPeer) -> bool {
        let Some(from) = &self.from else { return true };
        match peer {
            ConnectionPeer::Ip(address) => {
                let address = address.ip().to_canonical();
                from.networks.iter().any(|network| network.contains(&address))
            }
            ConnectionPeer::Unix => from.unix,
            ConnectionPeer::Unknown => false,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FrontendName {
    Http,
    ExtAuthz,
    ForwardAuth,
    AuthZen,
}

/// Reads `frontend` and `authorizer` of a listener. `None` where it forwards requests.
pub(super) fn authorizer(fields: &mut Fields<'_>, report: &mut Report) -> Option<(Authorizer, Span)> {
    let names = [
        ("http", FrontendName::Http),
        ("ext_authz", FrontendName::ExtAuthz),
        ("forward_auth", FrontendName::ForwardAuth),
        ("authzen", FrontendName::AuthZen),
    ];
    let written = fields.optional("frontend");
    let own = fields.optional("authorizer");
    let name = match written {
        Some(node) => choice(node, &names, report)?,
        None => FrontendName::Http,
    };
    if name == FrontendName::Http {
        if let Some(node) =
            own.filter(|node| !matches!(&node.value, Value::Map(entries) if entries.is_empty()))
        {
            report
                .error(&node.span, "`authorizer` is for a listener that decides for proxies")
                .help("write `frontend: ext_authz`, `forward_auth` or `authzen` beside it");
        }
        return None;
    }
    let at = written.map(|node| node.span.clone())?;
    let mut read = WrittenAuthorizer::default();
    if let Some(node) = own {
        read.read(node, name, report)?;
    }
    let protocol = match (name, read.shape) {
        (FrontendName::ForwardAuth, Some(shape)) => AuthorizerProtocol::ForwardAuth(shape),
        (FrontendName::ForwardAuth, None) => {
            report.error(&at, "it does not say which proxy asks").help(
                "write `authorizer: {shape: nginx}`; shapes are `nginx`, `traefik`, `caddy` and `haproxy`",
            );
            return None;
        }
        (FrontendName::AuthZen, _) => AuthorizerProtocol::AuthZen,
        _ => AuthorizerProtocol::ExtAuthz,
    };
    let body = read.body.as_ref().map_or(ToldBody::Unknown, |(body, _)| *body);
    if let Some((_, node)) = &read.body
        && !protocol.can_tell(body)
    {
        report
            .error(node, "this proxy cannot tell that of a body")
            .help("`sent` is for Envoy (`with_request_body`) and Traefik (`forwardBody`), `announced` for the others");
    }
    Some((Authorizer { protocol, body, from: read.from }, at))
}

impl AuthorizerProtocol {
    /// Its name, as the configuration and audit lines have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ExtAuthz => "ext_authz",
            Self::ForwardAuth(_) => "forward_auth",
            Self::AuthZen => "authzen",
        }
    }

    fn can_tell(self, body: ToldBody) -> bool {
        let sends = matches!(self, Self::ExtAuthz | Self::ForwardAuth(ForwardAuthShape::Traefik));
        match body {
            ToldBody::Unknown => true,
            ToldBody::Sent => sends,
            ToldBody::Announced => !sends && self != Self::AuthZen,
        }
    }
}

/// The keys of `authorizer`.
#[derive(Default)]
struct WrittenAuthorizer {
    from: Option<AskingPeers>,
    shape: Option<ForwardAuthShape>,
    body: Option<(ToldBody, Span)>,
}

impl WrittenAuthorizer {
    /// `None` where it is not a mapping, or a shape is written that is not one.
    fn read(&mut self, node: &Node, name: FrontendName, report: &mut Report) -> Option<()> {
        let mut fields = node.fields("`authorizer`", Spelling::Exact, report)?;
        self.from = fields.optional("from").map(|node| {
            let (networks, unix) = peers(node, report);
            AskingPeers { networks, unix }
        });
        let bodies =
            [("unknown", ToldBody::Unknown), ("announced", ToldBody::Announced), ("sent", ToldBody::Sent)];
        self.body = fields
            .optional("body")
            .and_then(|node| choice(node, &bodies, report).map(|body| (body, node.span.clone())));
        let mut is_good = true;
        if name == FrontendName::ForwardAuth
            && let Some(node) = fields.optional("shape")
        {
            let shapes = [
                ("nginx", ForwardAuthShape::Nginx),
                ("traefik", ForwardAuthShape::Traefik),
                ("caddy", ForwardAuthShape::Caddy),
                ("haproxy", ForwardAuthShape::Haproxy),
            ];
            self.shape = choice(node, &shapes, report);
            is_good = self.shape.is_some();
        }
        fields.finish(report);
        is_good.then_some(())
    }
}

/// Refuses a listener at which every client could ask: an answer tells what policy says of any request.
pub(super) fn judge_reach(
    authorizer: &Authorizer,
    at: &Span,
    address: Option<&ListenAddress>,
    requires_certificates: bool,
    has_proxy_protocol: bool,
    report: &mut Report,
) {
    let ip = address.and_then(ListenAddress::socket).map(|address| address.ip().to_canonical());
    let is_local = ip.is_none_or(|ip| ip.is_loopback());
    if authorizer.from.is_none() && !is_local && !requires_certificates {
        report.error(at, "every client that reaches this listener could ask what policy says").help(
            "name the proxies: `authorizer: {from: [10.0.0.7]}`; or listen on a loopback address or a Unix socket; or \
             require certificates: `tls: {client_ca: proxies-ca.pem, client_certificates: required, …}`",
        );
    }
    if has_proxy_protocol {
        report
            .error(at, "a listener that decides for proxies takes no PROXY protocol")
            .help("leave `proxy_protocol` out: the peers that may ask are those of `authorizer.from`");
    }
}
